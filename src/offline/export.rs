//! `campanile export`: what is in a data directory, as [lines of JSON](super::format), for people, other programs, and `campanile import`.
//!
//! What is not shown to users any more is not exported: records that expired, or stand before the first one that is kept. Users' cursors are only
//! exported where they are of the log's present epoch; others say nothing about it.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use super::format::{Conversation, Cursors, Thing, Totals, keys};
use super::{Directory, Progress};
use crate::clock::Clock;
use crate::conversation::{Key, Name, Record};
use crate::slot::{RowId, SLOTS};
use crate::store::LogPlace;
use crate::store::disk::OpenError;
use crate::store::disk::database::View;
use crate::store::engine::ReadRows;
use crate::store::rows::{self, CursorsRow, Damaged, HeadRow, LogValue, Row, tag};
use xxhash_rust::xxh3::xxh3_64;

/// Why nothing, or not all, was exported.
#[derive(Debug)]
pub enum ExportError {
    /// The directory does not open.
    Open(OpenError),
    /// What should be exported is no conversation, or there is none like it.
    Unknown(String),
    /// A row cannot be read.
    Unreadable(String),
    /// The lines cannot be written.
    Write(io::Error),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportError::Open(error) => error.fmt(f),
            ExportError::Unknown(what) => f.write_str(what),
            ExportError::Unreadable(what) => write!(f, "{what}; campanile fsck says what is damaged"),
            ExportError::Write(error) => write!(f, "the export cannot be written: {error}; it is not whole"),
        }
    }
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> ExportError {
        ExportError::Write(error)
    }
}

/// Exports a directory; only these conversations, if any are named, with the entries of users' lists that name them.
///
/// # Errors
/// See [`ExportError`]. Without its last line an export is not whole.
pub fn run(dir: &Path, wanted: &[String], out: &mut dyn Write, progress: &mut Progress) -> Result<Totals, ExportError> {
    let directory = Directory::open_sound(dir).map_err(ExportError::Open)?;
    let now_ms = Clock::start().now().wall_ms;
    let views: Vec<View> = directory.views().into_iter().map(|view| view.expect("all partitions are open")).collect();
    let mut export =
        Export { directory: &directory, views: &views, wanted: None, now_ms, out, progress, totals: Totals::default() };
    export.wanted = export.find(wanted)?;
    let data = format!("{:016x}", xxh3_64(&directory.manifest.data_id().to_le_bytes()));
    export.put(&Thing::Export {
        format: super::format::FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        data,
        time_ms: now_ms,
    })?;
    for view in &views {
        (0..SLOTS as u16).try_for_each(|slot| export.lists(view, slot))?;
    }
    for view in &views {
        (0..SLOTS as u16).try_for_each(|slot| export.conversations(view, slot))?;
    }
    let totals = export.totals;
    export.put(&Thing::End(totals))?;
    export.out.flush()?;
    Ok(totals)
}

struct Export<'a> {
    directory: &'a Directory,
    views: &'a [View],
    wanted: Option<Vec<Key>>,
    now_ms: u64,
    out: &'a mut dyn Write,
    progress: &'a mut Progress,
    totals: Totals,
}

impl Export<'_> {
    fn put(&mut self, thing: &Thing) -> Result<(), ExportError> {
        self.out.write_all(thing.line().as_bytes())?;
        let Totals { conversations, records, .. } = self.totals;
        self.progress.step(|| format!("{conversations} conversations, {records} records"));
        Ok(())
    }

    fn find(&self, wanted: &[String]) -> Result<Option<Vec<Key>>, ExportError> {
        let mut found = Vec::new();
        for address in wanted {
            let before = found.len();
            for key in keys(address).map_err(ExportError::Unknown)? {
                if self.head(&key)?.is_some() {
                    found.push(key);
                }
            }
            if found.len() == before {
                return Err(ExportError::Unknown(format!(
                    "there is no {address} in {}; it may be kept in memory only, or have no message",
                    self.directory.manifest.dir().display()
                )));
            }
        }
        Ok((!wanted.is_empty()).then_some(found))
    }

    fn is_wanted(&self, key: &Key) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(key))
    }

    fn view_of(&self, row: RowId) -> &View {
        &self.views[usize::from(self.directory.slots.partition(row.slot))]
    }

    fn head(&self, key: &Key) -> Result<Option<HeadRow>, ExportError> {
        let row = self.directory.slots.row(key.bytes());
        get(self.view_of(row), &rows::head_key(row), HeadRow::read)
    }

    /// The lists of the users of a slot, each in its own order.
    fn lists(&mut self, view: &View, slot: u16) -> Result<(), ExportError> {
        let mut users: HashMap<u128, Name> = HashMap::new();
        each(view, &of_slot(slot, tag::USER), |row| {
            if let Row::User { row, user } = row {
                users.insert(row.fingerprint, (*user.id).into());
            }
            Ok(())
        })?;
        let mut entries = Vec::new();
        each(view, &of_slot(slot, tag::ENTRY), |row| {
            if let Row::Entry { user, conversation, entry } = row
                && self.is_wanted(&entry.key)
            {
                entries.push((user, entry.number, conversation, entry.key));
            }
            Ok(())
        })?;
        entries.sort_unstable();
        for (user, _, conversation, key) in entries {
            let Some(name) = users.get(&user.fingerprint).cloned() else {
                return Err(ExportError::Unreadable(format!("the list of an unknown user has {key:?}")));
            };
            let cursors = self.cursors(view, user, conversation, &key)?;
            self.totals.listed += 1;
            self.put(&Thing::Listed { user: name, key, cursors })?;
        }
        Ok(())
    }

    fn cursors(&self, view: &View, user: RowId, conversation: u128, key: &Key) -> Result<Option<Cursors>, ExportError> {
        let Some(cursors) = get(view, &rows::cursors_key(user, conversation), CursorsRow::read)? else { return Ok(None) };
        let head = self.head(key)?.filter(|head| head.epoch == cursors.epoch);
        Ok(head.map(|_| Cursors { read: cursors.read, devices: cursors.devices }))
    }

    fn conversations(&mut self, view: &View, slot: u16) -> Result<(), ExportError> {
        let mut heads = Vec::new();
        each(view, &of_slot(slot, tag::HEAD), |row| {
            if let Row::Head { row, head } = row
                && self.is_wanted(&head.key)
            {
                heads.push((row, head));
            }
            Ok(())
        })?;
        heads.into_iter().try_for_each(|(row, head)| self.conversation(view, row, head))
    }

    fn conversation(&mut self, view: &View, row: RowId, head: HeadRow) -> Result<(), ExportError> {
        let HeadRow { key, incarnation, epoch, first, title, flags, .. } = head;
        let place = LogPlace { row, incarnation };
        let (last, last_time_ms) = last_row(view, place)?;
        let committed = last.max(first - 1);
        if committed == 0 {
            return Err(ExportError::Unreadable(format!("{key:?} has a head, but no records")));
        }
        self.totals.conversations += 1;
        self.put(&Thing::Conversation(Conversation { key: key.clone(), epoch, first, committed, last_time_ms, title, flags }))?;
        each(view, &rows::prefix(row, tag::MEMBER), |row| match row {
            Row::Member { user, member, .. } if member.incarnation == incarnation => {
                self.put(&Thing::Member { key: key.clone(), user, role: member.role, joined: member.joined })
            }
            _ => Ok(()),
        })?;
        each(view, &rows::prefix(row, tag::RECEIPT), |row| match row {
            Row::Receipt { user, receipt, .. } if receipt.incarnation == incarnation => {
                self.put(&Thing::Receipt { key: key.clone(), user, delivered: receipt.delivered, read: receipt.read })
            }
            _ => Ok(()),
        })?;
        let range = (rows::log_key(place, first).to_vec(), rows::log_key(place, u64::MAX).to_vec());
        each_in(view, range, |row| match row {
            Row::Log { record, .. } if !record.is_expired(self.now_ms) => {
                self.totals.records += 1;
                self.put(&Thing::Record { key: key.clone(), record: Record::clone(&record) })
            }
            _ => Ok(()),
        })
    }
}

/// The last seq of a log, and the time of its record.
fn last_row(view: &View, place: LogPlace) -> Result<(u64, u64), ExportError> {
    let (from, to) = (rows::log_key(place, 0), rows::log_key(place, u64::MAX));
    let mut last = Ok((0, 0));
    let read = view.scan(&from, &to, true, &mut |key, value| {
        last = time_of(key, value);
        false
    });
    read.map_err(|error| ExportError::Unreadable(error.to_string()))?;
    last.map_err(|damaged| ExportError::Unreadable(format!("the last record of a log: {damaged}")))
}

fn time_of(key: &[u8], value: &[u8]) -> Result<(u64, u64), Damaged> {
    let rows::RowKey::Log(_, seq) = rows::parse(key)? else { return Err(Damaged("it is none")) };
    let (LogValue::Record(rows::RecordView { time_ms, .. }) | LogValue::Removed { time_ms }) = rows::log_value(value)?;
    Ok((seq, time_ms))
}

fn of_slot(slot: u16, tag: u8) -> [u8; 3] {
    let [high, low] = slot.to_be_bytes();
    [high, low, tag]
}

fn get<T>(view: &View, key: &[u8], read: impl Fn(&[u8]) -> Result<T, Damaged>) -> Result<Option<T>, ExportError> {
    let value = view.get(key).map_err(|error| ExportError::Unreadable(error.to_string()))?;
    let read = value.map(|value| read(&value)).transpose();
    read.map_err(|damaged| ExportError::Unreadable(damaged.to_string()))
}

/// Visits the rows whose keys begin like this.
fn each(view: &View, prefix: &[u8], visit: impl FnMut(Row) -> Result<(), ExportError>) -> Result<(), ExportError> {
    each_in(view, (prefix.to_vec(), rows::end_of(prefix)), visit)
}

fn each_in(
    view: &View,
    (from, to): (Vec<u8>, Vec<u8>),
    mut visit: impl FnMut(Row) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut result = Ok(());
    let read = view.scan(&from, &to, false, &mut |key, value| {
        let row = rows::describe(key, value).map_err(|damaged| ExportError::Unreadable(format!("a row is damaged: {damaged}")));
        result = row.and_then(&mut visit);
        result.is_ok()
    });
    result.and(read.map_err(|error| ExportError::Unreadable(error.to_string())))
}
