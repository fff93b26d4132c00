//! The way through all rows of a partition, in order: slot by slot, and within a slot heads, logs, members, receipts, users, entries, cursors. What
//! belongs together is in one slot, so no more than one slot is remembered.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::Rules;
use super::findings::Findings;
use super::hints::Elsewhere;
use super::lists::Lists;
use super::log::{self, Log};
use super::members;
use crate::conversation::{Kind, Name, Record};
use crate::offline::Progress;
use crate::slot::{PartitionId, RowId, SLOTS};
use crate::store::LogPlace;
use crate::store::disk::STAMP_KEY;
use crate::store::engine::ReadRows;
use crate::store::rows::{self, Doomed, Expiry, HeadRow, MemberRow, NO_SLOT, ReceiptRow, Row, RowKey, tag};

/// After all keys.
pub const END: [u8; 3] = [0xff; 3];

/// The check of one partition.
pub struct Walk<'a> {
    partition: PartitionId,
    elsewhere: &'a Elsewhere<'a>,
    rules: Rules,
    found: &'a mut Findings,
    slot: Slot,
    /// Logs, and members' rows, that belong to no head: how many rows.
    strays: HashMap<LogPlace, u64>,
    /// Logs that wait for their removal.
    doomed: HashSet<LogPlace>,
}

/// What has been read of one slot.
#[derive(Default)]
struct Slot {
    number: u16,
    conversations: HashMap<u128, Conversation>,
    /// The log whose rows are being read.
    log: Option<Log>,
    lists: Lists,
}

/// A conversation that has a head.
struct Conversation {
    head: HeadRow,
    log: Option<Log>,
    members: HashSet<Name>,
}

impl<'a> Walk<'a> {
    /// Of this partition.
    pub fn new(partition: PartitionId, elsewhere: &'a Elsewhere<'a>, rules: Rules, found: &'a mut Findings) -> Walk<'a> {
        let (slot, strays, doomed) = Default::default();
        Walk { partition, elsewhere, rules, found, slot, strays, doomed }
    }

    /// Reads all rows.
    pub fn run(mut self, rows: &dyn ReadRows, progress: &mut Progress) {
        let mut from = Vec::new();
        let mut unreadable_since: Option<Vec<u8>> = None;
        let mut read: u64 = 0;
        while from[..] < END[..] {
            let mut last = from.clone();
            let result = rows.scan(&from, &END, false, &mut |key, value| {
                if let Some(since) = unreadable_since.take() {
                    self.unreadable(&since, key, "the disk does not give it");
                }
                last.clear();
                last.extend_from_slice(key);
                self.row(key, value);
                read += 1;
                progress.step(|| format!("partition {}, {read} rows", self.partition));
                true
            });
            let Err(error) = result else { break };
            tracing::warn!(partition = self.partition, %error, "a part of the partition cannot be read");
            unreadable_since.get_or_insert_with(|| last.clone());
            from = next_slot(&last);
        }
        if let Some(since) = unreadable_since {
            self.unreadable(&since, &END, "the disk does not give it");
        }
        self.finish_slot();
        self.finish_strays();
    }

    fn unreadable(&mut self, since: &[u8], until: &[u8], error: &str) {
        let place = format!("the rows from {} to {}", Hex(since), Hex(until));
        self.found.damage(self.partition, place, error);
        self.found.fixes.unreadable.insert(self.partition);
        self.found.lossy(self.partition);
    }

    fn row(&mut self, key: &[u8], value: &[u8]) {
        let tally = &mut self.found.report.tallies[usize::from(self.partition)];
        tally.bytes += (key.len() + value.len()) as u64;
        if key == STAMP_KEY {
            return;
        }
        if let Some(slot) = key.first_chunk().map(|slot| u16::from_be_bytes(*slot)).filter(|slot| *slot != self.slot.number) {
            self.finish_slot();
            self.slot.number = slot;
        }
        match rows::describe(key, value) {
            Err(damaged) => self.give_up(key, damaged),
            Ok(_) if !self.is_ours(key) => self.give_up(key, "it belongs to another partition"),
            Ok(row) => self.described(key, row),
        }
    }

    fn is_ours(&self, key: &[u8]) -> bool {
        let slot = key.first_chunk().map(|slot| u16::from_be_bytes(*slot));
        slot.is_some_and(|slot| slot == NO_SLOT || self.elsewhere.slots.partition(slot) == self.partition)
    }

    /// A row that is of no use.
    fn give_up(&mut self, key: &[u8], why: impl fmt::Display) {
        let place = self.words(key);
        self.found.damage(self.partition, place, why);
        self.found.fix(self.partition, key, None);
        if matches!(key.get(2), Some(&(tag::HEAD | tag::LOG))) {
            self.found.lossy(self.partition);
        }
    }

    fn described(&mut self, key: &[u8], row: Row) {
        let tally = &mut self.found.report.tallies[usize::from(self.partition)];
        match row {
            Row::Head { row, head } => {
                tally.conversations += 1;
                self.head(key, row, head);
            }
            Row::Log { place, record } => {
                tally.records += 1;
                self.log(key, place, record.seq, record.time_ms, Some(&record));
            }
            Row::Removed { place, seq, time_ms } => self.log(key, place, seq, time_ms, None),
            Row::Member { row, user, member } => {
                tally.members += 1;
                self.member(key, row, &user, member);
            }
            Row::Receipt { row, user, receipt } => {
                tally.receipts += 1;
                self.receipt(key, row, &user, receipt);
            }
            Row::User { row, user } => {
                tally.users += 1;
                if self.elsewhere.slots.row(user.id.as_bytes()) == row {
                    self.slot.lists.user(row, user);
                } else {
                    self.give_up(key, format_args!("it is that of {}, who has another place", user.id));
                }
            }
            Row::Entry { user, conversation, entry } => {
                tally.entries += 1;
                if self.elsewhere.slots.fingerprint(entry.key.bytes()) != conversation {
                    self.give_up(key, format_args!("it names {:?}, which has another place", entry.key));
                } else if let Some(wrong) = self.slot.lists.entry(user, conversation, &entry, self.elsewhere.slots) {
                    let place = format!("{:?} in the list of {}", entry.key, self.slot.lists.name(user));
                    self.found.warn(self.partition, place, wrong);
                }
            }
            Row::Cursors { user, conversation, .. } => {
                tally.cursors += 1;
                if !self.slot.lists.has(user, conversation) {
                    self.give_up(key, "they belong to no entry of his list");
                }
            }
            Row::Expiry(expiry) => {
                tally.expiries += 1;
                self.expiry(key, &expiry);
            }
            Row::Meta { .. } => {}
        }
    }

    fn head(&mut self, key: &[u8], row: RowId, head: HeadRow) {
        if self.elsewhere.slots.row(head.key.bytes()) != row {
            return self.give_up(key, format_args!("it is that of {:?}, which has another place", head.key));
        }
        self.slot.conversations.insert(row.fingerprint, Conversation { head, log: None, members: HashSet::new() });
    }

    fn log(&mut self, key: &[u8], place: LogPlace, seq: u64, time_ms: u64, record: Option<&Record>) {
        if self.slot.log.as_ref().is_none_or(|log| log.place != place) {
            self.finish_log();
        }
        let head = self.slot.conversations.get(&place.row.fingerprint).map(|c| &c.head);
        let head = head.filter(|head| head.incarnation == place.incarnation);
        let head = head.map_or((0, 0), |head| (head.first, self.rules.epoch_of(head)));
        let log = self.slot.log.get_or_insert_with(|| Log::new(place));
        match log.take((seq, time_ms), record, head, self.rules) {
            None => {}
            Some(log::Wrong::Superfluous(why)) => self.give_up(key, why),
            Some(log::Wrong::Odd(what)) => {
                let words = self.words(key);
                self.found.warn(self.partition, words, what);
            }
            Some(log::Wrong::Lost(what)) => {
                let words = self.words(key);
                self.found.damage(self.partition, words, what);
                self.found.lossy(self.partition);
            }
        }
    }

    /// All rows of a log have been read.
    fn finish_log(&mut self) {
        let Some(log) = self.slot.log.take() else { return };
        self.found.report.tallies[usize::from(self.partition)].gone += log.gone;
        match self.slot.conversations.get_mut(&log.place.row.fingerprint) {
            Some(conversation) if conversation.head.incarnation == log.place.incarnation => conversation.log = Some(log),
            _ => *self.strays.entry(log.place).or_default() += log.rows,
        }
    }

    /// The conversation of a row, if it is of the same log. Rows of another one are void, and removed with it.
    fn conversation(&mut self, row: RowId, incarnation: u64) -> Option<&mut Conversation> {
        self.finish_log();
        let conversation = self.slot.conversations.get_mut(&row.fingerprint).filter(|c| c.head.incarnation == incarnation);
        if conversation.is_none() {
            *self.strays.entry(LogPlace { row, incarnation }).or_default() += 1;
        }
        conversation
    }

    fn member(&mut self, key: &[u8], row: RowId, user: &Name, member: MemberRow) {
        let Some(conversation) = self.conversation(row, member.incarnation) else { return };
        let wrong = conversation.log.as_ref().and_then(|log| members::wrong(log, conversation.committed(), user, member));
        conversation.members.insert(user.clone());
        let conversation = conversation.head.key.clone();
        if conversation.kind() != Kind::Group {
            return self.give_up(key, "only groups have members");
        }
        if let Some(members::Wrong { what, right }) = wrong {
            let words = self.words(key);
            self.found.damage(self.partition, words, what);
            self.found.fix(self.partition, key, right.map(|right| right.value()));
        }
        self.elsewhere.expect_hint(self.partition, &conversation, user, self.found);
    }

    fn receipt(&mut self, key: &[u8], row: RowId, user: &Name, receipt: ReceiptRow) {
        let Some(conversation) = self.conversation(row, receipt.incarnation) else { return };
        let committed = conversation.committed();
        let concerns_him = match conversation.head.key.kind() {
            Kind::Direct => conversation.head.key.users().contains(&&**user),
            _ => conversation.members.contains(user),
        };
        if !concerns_him {
            let words = self.words(key);
            self.found.warn(self.partition, words, "he is not in this conversation");
        }
        if receipt.delivered.max(receipt.read) > committed {
            let words = self.words(key);
            self.found.damage(self.partition, words, format_args!("it goes beyond record {committed}, the last one"));
            let right = ReceiptRow { delivered: receipt.delivered.min(committed), read: receipt.read.min(committed), ..receipt };
            self.found.fix(self.partition, key, Some(right.value()));
        }
    }

    fn expiry(&mut self, key: &[u8], expiry: &Expiry) {
        if self.elsewhere.slots.partition(expiry.slot) != self.partition {
            return self.give_up(key, "what it removes is in another partition");
        }
        if expiry.doomed == Doomed::Whole {
            self.doomed.insert(expiry.place());
        }
    }

    /// All of a slot has been read.
    fn finish_slot(&mut self) {
        self.finish_log();
        let Slot { number, conversations, lists, .. } = std::mem::take(&mut self.slot);
        for (fingerprint, conversation) in conversations {
            self.finish_conversation(RowId { slot: number, fingerprint }, &conversation);
        }
        lists.finish(number, self.partition, self.elsewhere, self.found);
    }

    fn finish_conversation(&mut self, row: RowId, conversation: &Conversation) {
        let Conversation { head, log, .. } = conversation;
        let key = &head.key;
        if log.is_none() && head.first == 1 {
            self.found.damage(self.partition, format_args!("{key:?}"), "it has a head, but no records");
            self.found.fix(self.partition, rows::head_key(row), None);
            return self.found.lossy(self.partition);
        }
        let missing = log
            .iter()
            .filter(|_| key.kind() == Kind::Group)
            .flat_map(|log| members::missing(log, |user| conversation.members.contains(user)));
        for (user, wrong) in missing {
            self.found.damage(self.partition, format_args!("member {user} of {key:?}"), wrong.what);
            self.found.fix(self.partition, rows::member_key(row, &user), wrong.right.map(|right| right.value()));
        }
        if key.kind() == Kind::Direct && conversation.committed() > 0 {
            let mut users = key.users().to_vec();
            users.dedup();
            users.iter().for_each(|user| self.elsewhere.expect_hint(self.partition, key, user, self.found));
        }
    }

    /// All rows have been read: logs without a head should wait for their removal.
    fn finish_strays(&mut self) {
        for (place, count) in std::mem::take(&mut self.strays) {
            if !self.doomed.contains(&place) {
                let words = format!("the log of an unknown conversation ({:032x})", place.row.fingerprint);
                self.found.warn(self.partition, words, format_args!("it has {count} rows, but no head, and nothing removes it"));
                let expiry = Expiry::of(self.rules.now_ms, place, Doomed::Whole);
                self.found.fix(self.partition, rows::expiry_key(&expiry), Some(rows::expiry_value()));
            }
        }
    }

    /// A key, for people.
    fn words(&self, key: &[u8]) -> String {
        let name = |row: RowId| match self.slot.conversations.get(&row.fingerprint) {
            Some(conversation) => format!("{:?}", conversation.head.key),
            None => format!("an unknown conversation ({:032x})", row.fingerprint),
        };
        let lists = &self.slot.lists;
        match rows::parse(key) {
            Ok(RowKey::Head(row)) => format!("the head of {}", name(row)),
            Ok(RowKey::Log(place, seq)) => format!("record {seq} of {}", name(place.row)),
            Ok(RowKey::Member(row, user)) => format!("member {user} of {}", name(row)),
            Ok(RowKey::Receipt(row, user)) => format!("the receipt of {user} in {}", name(row)),
            Ok(RowKey::User(row)) => format!("the row of {}", lists.name(row)),
            Ok(RowKey::Entry { user, conversation }) => {
                format!("the entry ({conversation:032x}) in the list of {}", lists.name(user))
            }
            Ok(RowKey::Cursors { user, conversation }) => format!("the cursors ({conversation:032x}) of {}", lists.name(user)),
            Ok(RowKey::Expiry(expiry)) => format!("the removal of {:?} of {:032x}", expiry.doomed, expiry.fingerprint),
            Ok(RowKey::Meta(meta)) => format!("the note {meta}"),
            Err(_) => format!("the row {}", Hex(key)),
        }
    }
}

impl Conversation {
    /// The last seq.
    fn committed(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.last.0).max(self.head.first - 1)
    }
}

/// The first key of the next slot.
fn next_slot(key: &[u8]) -> Vec<u8> {
    let slot = key.first_chunk().map_or(0, |slot| u16::from_be_bytes(*slot));
    let next = if u64::from(slot) + 1 < SLOTS { slot + 1 } else { NO_SLOT };
    if slot == NO_SLOT { END.to_vec() } else { next.to_be_bytes().to_vec() }
}

/// Bytes of a key, as in the messages of the store.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
