//! The second way through an export: rows.

use std::io;

use super::check::Checked;
use crate::clock::Clock;
use crate::conversation::{Key, Kind, Name, Policies, Record};
use crate::offline::Directory;
use crate::offline::format::{Conversation, Cursors, Thing, Totals};
use crate::offline::hints::Hints;
use crate::offline::sink::Sink;
use crate::slot::PartitionId;
use crate::store::LogPlace;
use crate::store::engine::{Change, WriteRows};
use crate::store::rows::{self, CursorsRow, Doomed, Expiry, HeadRow, MemberRow, ReceiptRow};

/// Entries whose cursors are written together.
const CURSORS_BATCH: usize = 1000;

/// Writes what was checked.
pub struct Writer<'a> {
    directory: &'a mut Directory,
    checked: &'a Checked,
    policies: &'a Policies,
    epoch: u64,
    hints: Hints,
    /// Cursors of entries that are not on the disk yet.
    cursors: Vec<(PartitionId, Vec<u8>, Vec<u8>)>,
    open: Option<Open>,
    now_ms: u64,
    /// What is whole.
    pub totals: Totals,
}

/// A conversation that is being written.
struct Open {
    conversation: Conversation,
    place: LogPlace,
    partition: PartitionId,
    sink: Sink,
    last: u64,
    /// Removes what was written, until there is a head.
    removal: Vec<u8>,
    records: u64,
}

impl<'a> Writer<'a> {
    /// All logs begin the first epoch that the directory gave to this import.
    pub fn new(directory: &'a mut Directory, checked: &'a Checked, policies: &'a Policies) -> Writer<'a> {
        let (epoch, hints) = (directory.manifest.first_epoch(), Hints::new(directory));
        let now_ms = Clock::start().now().wall_ms;
        Writer { directory, checked, policies, epoch, hints, cursors: Vec::new(), open: None, now_ms, totals: Totals::default() }
    }

    /// Takes the next thing.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn take(&mut self, thing: Thing) -> io::Result<()> {
        match thing {
            Thing::Export { .. } => Ok(()),
            Thing::Listed { user, key, cursors } => self.listed(&user, &key, cursors),
            Thing::Conversation(conversation) => {
                self.close()?;
                self.begin(conversation)
            }
            Thing::Member { key, user, role, joined } => {
                self.hints.put(&user, &key, self.directory)?;
                self.put(|open| {
                    let member = MemberRow { incarnation: open.place.incarnation, role, joined };
                    (rows::member_key(open.place.row, &user), member.value())
                })
            }
            Thing::Receipt { user, delivered, read, .. } => self.put(|open| {
                let receipt = ReceiptRow { incarnation: open.place.incarnation, delivered, read };
                (rows::receipt_key(open.place.row, &user), receipt.value())
            }),
            Thing::Record { key, record } => self.record(&key, &record),
            Thing::End(_) => self.close(),
        }
    }

    /// Everything is on the disk when this returns.
    ///
    /// # Errors
    /// The same.
    pub fn finish(mut self) -> io::Result<()> {
        self.close()?;
        self.flush_lists()
    }

    fn listed(&mut self, user: &Name, key: &Key, cursors: Option<Cursors>) -> io::Result<()> {
        self.hints.put(user, key, self.directory)?;
        // Cursors of a conversation that is not imported say nothing.
        if let (Some(Cursors { read, devices }), Some(&committed)) = (cursors, self.checked.committed.get(key)) {
            let devices = devices.into_iter().map(|(device, seq)| (device, seq.min(committed))).collect();
            let cursors = CursorsRow { epoch: self.epoch, read: read.min(committed), devices };
            let slots = self.directory.slots;
            let row = slots.row(user.as_bytes());
            let place = rows::cursors_key(row, slots.fingerprint(key.bytes()));
            self.cursors.push((slots.partition(row.slot), place, cursors.value()));
        }
        self.totals.listed += 1;
        if self.cursors.len() >= CURSORS_BATCH { self.flush_lists() } else { Ok(()) }
    }

    /// Entries, and then their cursors.
    fn flush_lists(&mut self) -> io::Result<()> {
        self.hints.flush(self.directory)?;
        let mut sinks: Vec<Sink> = self.directory.parts.iter().map(|_| Sink::default()).collect();
        for (partition, key, value) in std::mem::take(&mut self.cursors) {
            sinks[usize::from(partition)].put(key, Some(value), self.directory.database(partition))?;
        }
        (0..).zip(sinks).try_for_each(|(partition, mut sink)| sink.flush(self.directory.database(partition)))
    }

    fn begin(&mut self, conversation: Conversation) -> io::Result<()> {
        self.flush_lists()?;
        let row = self.directory.slots.row(conversation.key.bytes());
        let place = LogPlace { row, incarnation: self.epoch };
        let partition = self.directory.slots.partition(row.slot);
        let removal = rows::expiry_key(&Expiry::of(self.now_ms, place, Doomed::Whole));
        let mut sink = Sink::default();
        sink.put(removal.clone(), Some(rows::expiry_value()), self.directory.database(partition))?;
        if conversation.key.kind() == Kind::Direct {
            let users = conversation.key.users();
            users.into_iter().try_for_each(|user| self.hints.put(&user.into(), &conversation.key, self.directory))?;
        }
        self.open = Some(Open { conversation, place, partition, sink, last: 0, removal, records: 0 });
        Ok(())
    }

    /// A row of the conversation that is open.
    fn put(&mut self, row: impl FnOnce(&mut Open) -> (Vec<u8>, Vec<u8>)) -> io::Result<()> {
        let open = self.open.as_mut().expect("every line was checked");
        let (key, value) = row(open);
        open.sink.put(key, Some(value), self.directory.database(open.partition)).map(drop)
    }

    fn record(&mut self, key: &Key, record: &Record) -> io::Result<()> {
        let expires_ms = self.policies.of(key.kind()).expires_ms(record.time_ms, record.content.ttl_ms);
        if expires_ms != 0 {
            let doomed = Doomed::Record(record.seq);
            self.put(|open| (rows::expiry_key(&Expiry::of(expires_ms, open.place, doomed)), rows::expiry_value()))?;
        }
        self.put(|open| {
            (open.last, open.records) = (record.seq, open.records + 1);
            (rows::log_key(open.place, record.seq).to_vec(), rows::record_value(record))
        })
    }

    /// The head comes last, and with it what was written counts.
    fn close(&mut self) -> io::Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        self.hints.flush(self.directory)?;
        let Conversation { key, first, committed, last_time_ms, title, flags, .. } = open.conversation;
        let database = self.directory.database(open.partition);
        if open.last < committed {
            let value = rows::removed_value(last_time_ms);
            open.sink.put(rows::log_key(open.place, committed).to_vec(), Some(value), database)?;
        }
        open.sink.flush(database)?;
        let epoch = self.epoch;
        let head = HeadRow { key, incarnation: open.place.incarnation, epoch, first, os_generation: 0, title, flags };
        database.write(vec![
            Change { key: rows::head_key(open.place.row).to_vec(), value: Some(head.value()) },
            Change { key: open.removal, value: None },
        ])?;
        database.sync()?;
        self.totals.conversations += 1;
        self.totals.records += open.records;
        Ok(())
    }
}
