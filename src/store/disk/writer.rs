//! A partition's writer: gathers commands into a batch, writes it, syncs it, tells the outcomes. While one batch is on its way to the disk, the
//! next one gathers in the lanes.
//!
//! What can go wrong, and what becomes of it:
//!
//! | what | answer |
//! |---|---|
//! | a batch cannot be written | its commands fail; the database is opened again without it, as often as it takes |
//! | a thread of the database fails | the same, with the next batch: what it was at is in the journals |
//! | a sync of a journal or of the mark fails | the process ends: what it should have saved may be lost, and no later sync would tell |
//! | the disk is nearly full | appends and new list entries fail until there is room again |
//! | a row cannot be read | the command that needs it fails |

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::database::Database;
use super::error::{OpenError, is_full};
use super::fault::Acknowledge;
use super::lanes::ThreadLanes;
use super::manifest;
use super::options::StoreOptions;
use super::shared::SharedRows;
use super::space::Space;
use crate::clock::Clock;
use crate::control::metrics::{PartitionMetrics, Partitions};
use crate::slot::{PartitionId, ShardId};
use crate::store::engine::{ReadRows, WriteRows};
use crate::store::partition::Partition;
use crate::store::removal::Removal;
use crate::store::{NotStored, Outcome};

/// Commands of one shard before the next has its turn, and before the clock is looked at.
const COMMANDS_PER_LANE: usize = 64;
/// Rows that one slice of the sweeper looks at: well under a millisecond, and then commands come first.
const SWEEP_ROWS_MAX: usize = 256;
/// How often the sweeper is asked.
const SWEEP_EVERY_MS: u64 = 5000;
/// What was written without a sync, and the mark, are synced this often.
const SYNC_EVERY_MS: u64 = 1000;
/// Longest sleep: the room on the disk is looked at, and a missed wake-up would be a bug that shows.
const SLEEP_MAX: Duration = Duration::from_millis(1000);
/// Pauses between two tries to open the database again: the first, and the longest.
const REOPEN_PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(2)];

/// What the thread works with.
pub(super) struct Writer {
    pub partition: PartitionId,
    pub lanes: ThreadLanes,
    pub database: Database,
    pub logic: Partition,
    pub removal: Removal,
    pub shared: Arc<SharedRows>,
    /// The partition's reader, to be woken when the rows are taken away.
    pub reader: Thread,
    pub metrics: Partitions,
    pub options: StoreOptions,
    pub data_dir: PathBuf,
    pub space: Space,
    pub clock: Clock,
    pub acknowledge: Acknowledge,
    /// Ends the process; says why.
    pub end: fn(&str),
    pub next_from: ShardId,
    pub swept_at_ms: u64,
    pub synced_at_ms: u64,
}

impl Writer {
    /// Writes until all shards are gone, and everything that they sent is on the disk.
    pub fn run(mut self) {
        loop {
            self.look_at_disk();
            self.gather();
            if self.logic.batch().commands > 0 {
                self.commit();
                // One slice, also when there is never nothing else to do.
                self.sweep();
            } else if !self.sweep() {
                if self.lanes.is_over() {
                    break;
                }
                self.rest();
            }
            self.sync_now_and_then();
        }
        self.sync_rest();
        self.close();
    }

    /// Drops the database, wherever it is used.
    fn close(&mut self) {
        self.shared.take_away(|| self.reader.unpark());
        self.database.close();
    }

    fn metrics(&self) -> &PartitionMetrics {
        &self.metrics[usize::from(self.partition)]
    }

    /// Takes commands until there are none, or the batch is full.
    fn gather(&mut self) {
        let began = Instant::now();
        let age_max = Duration::from_micros(self.options.batch_age_us_max);
        let shards = self.lanes.shards();
        self.next_from = (self.next_from + 1) % shards;
        loop {
            let mut found = false;
            for index in 0..shards {
                found |= self.gather_from((self.next_from + index) % shards);
                if self.is_batch_full() || began.elapsed() > age_max {
                    return;
                }
            }
            if !found {
                return;
            }
        }
    }

    fn is_batch_full(&self) -> bool {
        let batch = self.logic.batch();
        batch.commands >= self.options.batch_rows_max || batch.bytes >= self.options.batch_bytes_max
    }

    /// Says whether there was anything.
    fn gather_from(&mut self, from: ShardId) -> bool {
        let now = self.clock.now();
        for taken in 0..COMMANDS_PER_LANE {
            let Some(command) = self.lanes.next(from) else { return taken > 0 };
            if let Err(unreadable) = self.logic.execute(from, command, now, &self.database) {
                self.metrics().unreadable_writes.inc();
                tracing::error!(partition = self.partition, %unreadable, "a command failed");
            }
            if self.is_batch_full() {
                break;
            }
        }
        true
    }

    /// Writes what was gathered and tells what has become of it.
    fn commit(&mut self) {
        let batch = self.logic.batch();
        let began = Instant::now();
        self.metrics().commit_begins();
        let changes = self.logic.take_batch();
        if self.acknowledge.before_write() {
            self.tell_committed();
        }
        let written = if changes.is_empty() { Ok(()) } else { self.database.write(changes) };
        match written {
            Ok(()) => {
                if self.acknowledge.before_sync() {
                    self.tell_committed();
                }
                if batch.must_sync && batch.changes > 0 {
                    self.sync();
                }
                // Counted first, so that whoever has the answer finds it in the numbers.
                self.measure(batch.commands, batch.changes, batch.bytes, began);
                if self.acknowledge == Acknowledge::Honestly {
                    self.tell_committed();
                }
            }
            Err(error) => self.write_failed(&error),
        }
        self.metrics().commit_ends();
    }

    fn tell_committed(&mut self) {
        let outcomes = self.logic.committed();
        self.tell(outcomes);
    }

    fn tell(&mut self, outcomes: Vec<(ShardId, Outcome)>) {
        outcomes.into_iter().for_each(|(to, outcome)| self.lanes.send(to, outcome));
        self.lanes.publish();
    }

    /// Does not return when the sync fails: no outcome of this batch may be told, and no other either.
    fn sync(&mut self) {
        let began = Instant::now();
        if let Err(error) = self.database.sync() {
            self.sync_failed(&error);
        }
        self.metrics().sync_ns.observe(began.elapsed().as_nanos() as u64);
    }

    fn sync_failed(&self, error: &io::Error) -> ! {
        self.end_process(&format!("cannot sync: {error}; what was acknowledged is on the disk, look after that and start again"))
    }

    fn end_process(&self, why: &str) -> ! {
        if let Err(error) = manifest::note_failure(&self.data_dir) {
            tracing::error!(%error, "the next start is not told that the disk has failed");
        }
        (self.end)(&format!("partition {} of the store {why}", self.partition));
        unreachable!("the process has ended");
    }

    fn measure(&self, commands: usize, rows: usize, bytes: usize, began: Instant) {
        let metrics = self.metrics();
        metrics.batches.inc();
        metrics.rows.add(rows as u64);
        metrics.bytes.add(bytes as u64);
        metrics.batch_commands.observe(commands as u64);
        metrics.commit_ns.observe(began.elapsed().as_nanos() as u64);
        metrics.queue_depth.set(self.lanes.depth() as u64);
    }

    /// Nobody is told that a batch failed before it is certain that it will not be read back.
    fn write_failed(&mut self, error: &io::Error) {
        self.metrics().write_failures.inc();
        tracing::error!(partition = self.partition, %error, "a batch cannot be written; the database is opened again");
        let why = why_not_stored(error);
        self.close();
        self.try_until(Database::cut_failed, None);
        let outcomes = self.logic.failed(why);
        self.tell(outcomes);
        self.try_until(Database::reopen, Some(why));
        self.logic.forget_caches();
        let rows = self.database.rows().expect("it is open").clone();
        self.shared.give(rows);
        self.metrics().reopenings.inc();
        tracing::info!(partition = self.partition, "the database is open again");
    }

    /// Tries again with growing pauses. In between, commands are refused if it is said why.
    fn try_until(&mut self, what: fn(&mut Database) -> Result<(), OpenError>, refuse: Option<NotStored>) {
        let [mut pause, longest] = REOPEN_PAUSES;
        loop {
            let Err(error) = what(&mut self.database) else { return };
            if matches!(
                error,
                OpenError::NotSynced { .. }
                    | OpenError::Damaged(_)
                    | OpenError::Behind { .. }
                    | OpenError::Foreign { .. }
                    | OpenError::Missing { .. }
            ) {
                self.end_process(&format!("cannot go on: {error}"));
            }
            tracing::error!(partition = self.partition, %error, pause_ms = pause.as_millis() as u64, "tried again after a pause");
            if let Some(why) = refuse {
                self.refuse_for(pause, why);
            } else {
                std::thread::sleep(pause);
            }
            pause = (2 * pause).min(longest);
        }
    }

    /// While the database is closed, what comes fails.
    fn refuse_for(&mut self, time: Duration, why: NotStored) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let now = self.clock.now();
            for from in 0..self.lanes.shards() {
                while let Some(command) = self.lanes.next(from) {
                    // What cannot be read is no news.
                    let _ = self.logic.execute(from, command, now, &Closed);
                }
            }
            let outcomes = self.logic.failed(why);
            self.tell(outcomes);
            std::thread::park_timeout(left);
        }
    }

    /// Appends fail while the disk is nearly full.
    fn look_at_disk(&mut self) {
        let changed = self.space.look(self.clock.now().mono_ms);
        let free = self.space.free_bytes();
        self.metrics().disk_free_bytes.set(free);
        let Some(is_full) = changed else { return };
        self.logic.set_disk_full(is_full);
        self.metrics().disk_full.set(is_full.into());
        let (partition, wanted) = (self.partition, self.options.disk_free_bytes_min);
        if is_full {
            tracing::error!(partition, free, wanted, "the disk is nearly full: nothing new is stored until there is room");
        } else {
            tracing::info!(partition, free, "there is room on the disk again");
        }
    }

    /// One slice of removing what expired, if it is time. Nothing may be staged. Says whether something was removed.
    fn sweep(&mut self) -> bool {
        let now = self.clock.now();
        if now.mono_ms < self.swept_at_ms + SWEEP_EVERY_MS {
            return false;
        }
        let Some(cutoff_ms) = self.removal.due(now) else {
            self.swept_at_ms = now.mono_ms;
            return false;
        };
        let slice = self.removal.stage(&self.database, cutoff_ms, SWEEP_ROWS_MAX);
        if let Some(unreadable) = slice.unreadable {
            self.metrics().unreadable_writes.inc();
            tracing::error!(partition = self.partition, %unreadable, "what expired cannot be removed");
        }
        if !slice.has_more {
            self.swept_at_ms = now.mono_ms;
        }
        if slice.changes.is_empty() {
            return slice.has_more;
        }
        let removed = slice.changes.iter().filter(|change| change.value.is_none()).count() as u64;
        self.metrics().commit_begins();
        match self.database.write(slice.changes) {
            Ok(()) => self.metrics().removed_rows.add(removed),
            Err(error) => self.write_failed(&error),
        }
        self.metrics().commit_ends();
        true
    }

    /// Sleeps until a shard has something, or something else is due.
    fn rest(&self) {
        let now_ms = self.clock.now().mono_ms;
        let is_dirty = self.database.is_dirty() || !self.database.is_mark_synced();
        let sync_in = (self.synced_at_ms + SYNC_EVERY_MS).saturating_sub(now_ms);
        std::thread::park_timeout(if is_dirty { Duration::from_millis(sync_in) } else { SLEEP_MAX });
    }

    fn sync_now_and_then(&mut self) {
        let now_ms = self.clock.now().mono_ms;
        if now_ms >= self.synced_at_ms + SYNC_EVERY_MS {
            self.synced_at_ms = now_ms;
            self.sync_rest();
        }
    }

    /// What nobody waits for: what was written with durability `os`, and the mark.
    fn sync_rest(&mut self) {
        if self.database.is_dirty() {
            self.sync();
        }
        // It holds nothing that would be missed, but the disk is the same.
        if let Err(error) = self.database.sync_mark() {
            self.sync_failed(&error);
        }
    }
}

/// What a shard is told.
fn why_not_stored(error: &io::Error) -> NotStored {
    if is_full(error) { NotStored::DiskFull } else { NotStored::Failed }
}

/// A database that is closed: reading fails.
struct Closed;

impl ReadRows for Closed {
    fn get(&self, _: &[u8]) -> io::Result<Option<bytes::Bytes>> {
        Err(io::Error::other("the database is closed"))
    }

    fn scan(&self, _: &[u8], _: &[u8], _: bool, _: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        self.get(&[]).map(drop)
    }
}
