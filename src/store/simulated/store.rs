//! A whole partition for tests, without a thread: commands are staged, batches written, outcomes given back, all when the test says so.

use super::Disk;
use crate::clock::Now;
use crate::slot::ShardId;
use crate::store::engine::WriteRows;
use crate::store::partition::{Partition, Settings, old_values};
use crate::store::{Command, NotStored, Outcome, Unreadable, reading};

/// A partition on a simulated disk.
#[derive(Debug)]
pub(crate) struct Store {
    /// What it writes to.
    pub(crate) disk: Disk,
    /// What decides.
    pub(crate) partition: Partition,
    /// See [`Settings::os_generation`].
    pub(crate) os_generation: u64,
    /// What the clocks show.
    pub(crate) now: Now,
    /// When a write fails: whether the batch is found after all when the disk is opened again.
    pub(crate) failed_is_there: bool,
    /// What could not be read.
    pub(crate) unreadable: Vec<Unreadable>,
}

impl Default for Store {
    fn default() -> Store {
        Store::open(Disk::default(), 1)
    }
}

impl Store {
    /// What a process finds.
    pub(crate) fn open(mut disk: Disk, os_generation: u64) -> Store {
        // What the process before has written but not synced is shown from now on, so it must not go any more.
        disk.sync().expect("the disk was opened just now");
        let partition = Partition::new(Settings { os_generation, logs_cached: 2 });
        let now = Now { mono_ms: 1, wall_ms: 1_790_000_000_000 };
        Store { disk, partition, os_generation, now, failed_is_there: false, unreadable: Vec::new() }
    }

    /// The process ends and begins again.
    pub(crate) fn restart(&mut self) {
        *self = Store { now: self.now, ..Store::open(self.disk.reopen(self.failed_is_there), self.os_generation) };
    }

    /// The machine goes down and comes up again; so many of the batches that were not synced are left.
    pub(crate) fn crash(&mut self, keep: impl FnOnce(usize) -> usize) {
        *self = Store { now: self.now, ..Store::open(self.disk.crash(keep), self.os_generation + 1) };
    }

    /// Stages a command; its outcome comes with [`Self::commit`].
    pub(crate) fn stage(&mut self, from: ShardId, command: Command) {
        let result = self.partition.execute(from, command, self.now, &self.disk);
        self.unreadable.extend(result.err());
    }

    /// Writes what is staged, syncs if it must be, and gives the outcomes. A write that fails is undone, as a writer does it.
    pub(crate) fn commit(&mut self) -> Vec<(ShardId, Outcome)> {
        let must_sync = self.partition.batch().must_sync;
        let changes = self.partition.take_batch();
        if changes.is_empty() {
            return self.partition.committed();
        }
        // What could not be undone is not done.
        let Ok(old) = old_values(&changes, &self.disk) else { return self.partition.failed(NotStored::Failed) };
        if self.disk.write(changes).is_err() {
            self.disk = self.disk.reopen(self.failed_is_there);
            self.disk.write(old).expect("the disk was opened again");
            self.disk.sync().expect("a sync that fails ends the process");
            return self.partition.failed(NotStored::Failed);
        }
        if must_sync {
            self.disk.sync().expect("a sync that fails ends the process");
        }
        self.partition.committed()
    }

    /// Does one command, whichever it is, and gives its outcomes.
    pub(crate) fn execute(&mut self, from: ShardId, command: Command) -> Vec<Outcome> {
        if matches!(command, Command::Read(_) | Command::Load(_) | Command::LoadUser(_)) {
            return self.read(command);
        }
        self.stage(from, command);
        self.commit().into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Does one command that reads.
    pub(crate) fn read(&mut self, command: Command) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let result = reading::read(&self.disk, command, self.os_generation, &mut |outcome| outcomes.push(outcome));
        self.unreadable.extend(result.err());
        outcomes
    }
}
