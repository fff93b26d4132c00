//! The writer of a partition, as a state machine: commands go in, rows are staged, and when they are written the outcomes come out.
//!
//! ```text
//! execute(command) ...  ->  take_batch() -> [written, and synced if must be] -> committed() -> outcomes
//!                                                                            \-> failed()   -> outcomes
//! ```
//!
//! It reads through [`ReadRows`], which does not show what is staged; where that matters it is kept in [`staging`] and [`logs`]. One file per kind of
//! command: [`append`], [`list`]; heads and receipts are here.

mod append;
mod list;
mod logs;
mod staging;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::engine::{Change, ReadRows};
use super::lookup::{self, Unreadable};
use super::rows::{self, Damaged, Doomed, Expiry, HeadRow, ReceiptRow};
use super::{Command, LogId, LogPlace, NotStored, Outcome, PutHead, PutReceipts, TERM};
use crate::clock::Now;
use crate::conversation::Durability;
use crate::slot::{RowId, ShardId};
use list::Oldest;
use logs::{LogState, Logs};
use staging::Staging;

/// What a partition is told when it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The run of the machine: larger after each time that it may have lost what was not synced. At least 1.
    pub os_generation: u64,
    /// Logs whose next seq is remembered: between one and two times as many.
    pub logs_cached: usize,
}

/// The writer's state: all of it can be found again on the disk, except what is staged and what has failed.
#[derive(Debug)]
pub struct Partition {
    settings: Settings,
    is_disk_full: bool,
    staging: Staging,
    outcomes: Vec<(ShardId, Outcome)>,
    logs: Logs,
    /// Logs of which something was refused or failed.
    refused: HashMap<(ShardId, LogId), Refused, ahash::RandomState>,
    /// The next to leave lists that are full.
    oldest: HashMap<RowId, Oldest, ahash::RandomState>,
    is_taken: bool,
}

/// No append of this attempt, or an older one, is taken any more.
#[derive(Clone, Copy, Debug)]
struct Refused {
    attempt: u32,
    why: NotStored,
}

/// What is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Commands whose outcome waits for it.
    pub commands: usize,
    /// Changes of rows. There may be none: then nothing is to be written.
    pub changes: usize,
    /// Bytes of their keys and values.
    pub bytes: usize,
    /// Whether it must be synced before its outcomes are told.
    pub must_sync: bool,
}

/// Why a command cannot be done.
#[derive(Debug)]
enum Refusal {
    NotStored(NotStored),
    Unreadable(Unreadable),
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Refusal {
        Refusal::Unreadable(unreadable)
    }
}

impl Refusal {
    /// What the one who asked is told, and what the log is.
    fn split(self) -> (NotStored, Result<(), Unreadable>) {
        match self {
            Refusal::NotStored(why) => (why, Ok(())),
            Refusal::Unreadable(unreadable) => (NotStored::Failed, Err(unreadable)),
        }
    }
}

impl Partition {
    /// Nothing is staged, nothing is known.
    pub fn new(settings: Settings) -> Partition {
        assert!(settings.os_generation > 0, "0 says that nothing was appended with durability os");
        Partition {
            settings,
            is_disk_full: false,
            staging: Staging::default(),
            outcomes: Vec::new(),
            logs: Logs::default(),
            refused: HashMap::default(),
            oldest: HashMap::default(),
            is_taken: false,
        }
    }

    /// As long as this is set, appends and new list entries fail with [`NotStored::DiskFull`]; all else goes on.
    pub fn set_disk_full(&mut self, is_full: bool) {
        self.is_disk_full = is_full;
    }

    /// Stages what a command means. Its outcome comes with those of its batch. Only between [`Self::committed`] or [`Self::failed`] and the next
    /// [`Self::take_batch`]; reads and loads do not come here.
    ///
    /// # Errors
    /// A row that was needed cannot be read. The command has failed, as its outcome will say, if it can; this is for the log.
    pub fn execute(&mut self, from: ShardId, command: Command, now: Now, rows: &dyn ReadRows) -> Result<(), Unreadable> {
        assert!(!self.is_taken, "the batch that was taken has no result yet");
        match command {
            Command::Append(append) => self.append(from, &append, now, rows),
            Command::PutHead(put) => self.put_head(from, &put, now, rows),
            Command::PutReceipts(put) => {
                self.put_receipts(from, put);
                Ok(())
            }
            Command::Hint(hint) => self.hint(from, hint, rows),
            Command::Strike(strike) => self.strike(from, &strike, rows),
            Command::PutCursors(put) => self.put_cursors(from, put, rows),
            Command::Forget(log) => {
                self.refused.remove(&(from, log));
                Ok(())
            }
            Command::Read(_) | Command::Load(_) | Command::LoadUser(_) => unreachable!("reading needs no writer"),
        }
    }

    /// What is staged.
    pub fn batch(&self) -> Batch {
        Batch {
            commands: self.outcomes.len(),
            changes: self.staging.changes(),
            bytes: self.staging.bytes(),
            must_sync: self.staging.must_sync,
        }
    }

    /// Takes the changes out, to be written as one. Next comes [`Self::committed`] or [`Self::failed`].
    pub fn take_batch(&mut self) -> Vec<Change> {
        assert!(!self.is_taken, "the batch that was taken has no result yet");
        self.is_taken = true;
        self.staging.take()
    }

    /// The batch is written, and synced if it must be. One outcome for each of its commands, in order.
    pub fn committed(&mut self) -> Vec<(ShardId, Outcome)> {
        assert!(self.is_taken, "a batch is taken before it is written");
        self.is_taken = false;
        self.logs.trim(self.settings.logs_cached);
        std::mem::take(&mut self.outcomes)
    }

    /// The batch is not written, or not synced, and nothing of it must be there: see [`old_values`]. One outcome for each of its commands, in order.
    pub fn failed(&mut self, why: NotStored) -> Vec<(ShardId, Outcome)> {
        self.staging.take();
        self.is_taken = false;
        self.forget_caches();
        let mut outcomes = std::mem::take(&mut self.outcomes);
        outcomes.iter_mut().for_each(|(from, outcome)| self.fail(*from, outcome, why));
        outcomes
    }

    /// Forgets what is known of the disk, because it was opened again. Nothing may be staged.
    pub fn forget_caches(&mut self) {
        assert!(self.staging.changes() == 0, "what is staged rests on what is known");
        self.logs.clear();
        self.oldest.clear();
    }

    fn fail(&mut self, from: ShardId, outcome: &mut Outcome, why: NotStored) {
        match outcome {
            Outcome::Appended { log, attempt, result, .. } if result.is_ok() => {
                *result = Err(why);
                self.refuse_from_now_on((from, *log), *attempt, why);
            }
            Outcome::Hinted { result, .. } if result.is_ok() => *result = Err(why),
            Outcome::ReceiptsPut { result, .. } | Outcome::CursorsPut { result, .. } if result.is_ok() => *result = Err(why),
            _ => {}
        }
    }

    fn refuse_from_now_on(&mut self, log: (ShardId, LogId), attempt: u32, why: NotStored) {
        let refused = self.refused.entry(log).or_insert(Refused { attempt, why });
        if refused.attempt < attempt {
            *refused = Refused { attempt, why };
        }
    }

    /// The head of a conversation, if it is that of this log.
    fn head(&self, place: LogPlace, rows: &dyn ReadRows) -> Result<Option<HeadRow>, Unreadable> {
        Ok(self.any_head(place.row, rows)?.filter(|head| head.incarnation == place.incarnation))
    }

    fn any_head(&self, row: RowId, rows: &dyn ReadRows) -> Result<Option<HeadRow>, Unreadable> {
        let key = rows::head_key(row);
        lookup::read(&key, self.staging.get(&key, rows)?, HeadRow::read)
    }

    /// Where a log stands. What it did not know it looks up: nothing of such a log is staged, except perhaps its head.
    fn log_state(&mut self, place: LogPlace, rows: &dyn ReadRows) -> Result<LogState, Unreadable> {
        if let Some(state) = self.logs.get(place) {
            return Ok(state);
        }
        let last = lookup::last_row(rows, place)?.map_or(0, |(seq, _)| seq);
        let state = match self.head(place, rows)? {
            // All rows below `first` may be gone, the last one too.
            Some(head) => LogState { next: head.first.max(last + 1), os_generation: head.os_generation },
            None if last == 0 => LogState { next: 1, os_generation: 0 },
            // It was disbanded, and waits for its removal.
            None => LogState { next: 0, os_generation: 0 },
        };
        self.logs.put(place, state);
        Ok(state)
    }

    fn put_head(&mut self, from: ShardId, put: &PutHead, now: Now, rows: &dyn ReadRows) -> Result<(), Unreadable> {
        self.outcomes.push((from, Outcome::HeadPut));
        let mut state = self.log_state(put.place, rows)?;
        // A group that is gone stays gone, and a log without a record has nothing to put.
        let Some(mut head) = self.head(put.place, rows)? else { return Ok(()) };
        if put.epoch != head.epoch {
            head.epoch = put.epoch;
            // What earlier runs of the machine may have lost belonged to the epoch that is over.
            if head.os_generation != self.settings.os_generation {
                head.os_generation = 0;
            }
        }
        if put.first > head.first {
            head.first = put.first;
            let expiry = Expiry::of(now.wall_ms, put.place, Doomed::Below(put.first));
            self.staging.push(rows::expiry_key(&expiry), Some(rows::expiry_value()));
        }
        state.next = state.next.max(head.first);
        state.os_generation = head.os_generation;
        self.logs.put(put.place, state);
        self.staging.put(rows::head_key(put.place.row).to_vec(), Some(head.value()));
        Ok(())
    }

    fn put_receipts(&mut self, from: ShardId, put: Box<PutReceipts>) {
        let LogPlace { row, incarnation } = put.place;
        for &(ref user, delivered, read) in &put.receipts {
            let receipt = ReceiptRow { incarnation, delivered, read };
            self.staging.put(rows::receipt_key(row, user), Some(receipt.value()));
        }
        self.staging.must_sync |= put.durability == Durability::Fsync;
        self.outcomes.push((from, Outcome::ReceiptsPut { put, result: Ok(()) }));
    }
}

/// The rows that these changes replace, as they are now: writing them back undoes the changes.
///
/// For a batch whose write failed: it may be there after the database has been opened again, though its commands were told that it is not.
/// Read before the write, or after it has failed through the reader that did not see it; written and synced first thing after the reopening,
/// before [`Partition::failed`] tells anyone.
///
/// # Errors
/// A row cannot be read.
pub fn old_values(changes: &[Change], rows: &dyn ReadRows) -> Result<Vec<Change>, Unreadable> {
    let keys: BTreeSet<&[u8]> = changes.iter().map(|change| &change.key[..]).collect();
    let old = |key: &[u8]| {
        let value = lookup::get(rows, key)?;
        Ok(Change { key: key.to_vec(), value: value.map(|value| value.to_vec()) })
    };
    keys.into_iter().map(old).collect()
}
