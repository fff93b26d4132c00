//! The store of the test world: the real logic of partitions over simulated disks, one step at a time, so that a test decides what is done when. As with the
//! real one, commands of a shard come to the writer of a partition in order, and reads overtake writes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::clock::Now;
use crate::conversation::{Key, Record};
use crate::slot::{ShardId, Slots};
use crate::store::engine::WriteRows;
use crate::store::partition::{Partition, Settings};
use crate::store::simulated::Disk;
use crate::store::{Command, LogId, NotStored, Outcome, reading};

pub(super) struct Store {
    slots: Slots,
    pub(super) parts: Vec<Part>,
    /// Records on their way to the disk.
    appends: BTreeMap<Place, (Key, Arc<Record>)>,
    /// Records that have come there, in order.
    pub(super) appended: Vec<(Key, Arc<Record>)>,
    /// So many batches fail from now on.
    pub(super) batches_to_fail: usize,
    /// The lie of a store that is to be caught: a batch is synced with the next one only.
    pub(super) acknowledges_before_sync: bool,
    os_generation: u64,
}

/// Of an append: shard, log, attempt, seq.
type Place = (ShardId, LogId, u32, u64);

/// A partition, with its queues from and to each shard.
pub(super) struct Part {
    writer: Partition,
    pub(super) disk: Disk,
    writes: Vec<VecDeque<Command>>,
    reads: Vec<VecDeque<Command>>,
    written: Vec<VecDeque<Outcome>>,
    read: Vec<VecDeque<Outcome>>,
}

impl Part {
    fn new(shards: ShardId, disk: Disk, os_generation: u64) -> Part {
        let commands = || (0..shards).map(|_| VecDeque::new()).collect();
        let outcomes = || (0..shards).map(|_| VecDeque::new()).collect();
        let writer = Partition::new(Settings { os_generation, logs_cached: 3 });
        Part { writer, disk, writes: commands(), reads: commands(), written: outcomes(), read: outcomes() }
    }
}

/// What a store can be asked to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The writer takes a command of a shard.
    Stage,
    /// What was taken is written, and synced if it must be.
    Commit,
    /// Something is read for a shard.
    Read,
}

impl Store {
    pub(super) fn new(slots: Slots) -> Store {
        let parts = (0..slots.partitions()).map(|_| Part::new(slots.shards(), Disk::default(), 1)).collect();
        Store {
            slots,
            parts,
            appends: BTreeMap::new(),
            appended: Vec::new(),
            batches_to_fail: 0,
            acknowledges_before_sync: false,
            os_generation: 1,
        }
    }

    /// The machine goes down: of what was not synced, as many batches are left as `keep` says. Then it comes up with so many shards.
    pub(super) fn crash(&mut self, slots: Slots, mut keep: impl FnMut(usize) -> usize) {
        self.os_generation += 1;
        let (shards, os_generation) = (slots.shards(), self.os_generation);
        for part in &mut self.parts {
            *part = Part::new(shards, part.disk.crash(&mut keep), os_generation);
        }
        self.appends.clear();
        self.slots = slots;
    }

    pub(super) fn push(&mut self, from: ShardId, command: Command) {
        if let Command::Append(append) = &command {
            let place = (from, append.log, append.attempt, append.record.seq);
            self.appends.insert(place, (append.key.clone(), append.record.clone()));
        }
        let row = command.row_on_disk().expect("it goes to the disk");
        let part = &mut self.parts[usize::from(self.slots.partition(row.slot))];
        let queues = if command.is_read() { &mut part.reads } else { &mut part.writes };
        queues[usize::from(from)].push_back(command);
    }

    /// Says whether there was something to do.
    pub(super) fn step(&mut self, part: usize, shard: ShardId, step: Step, now: Now) -> bool {
        match step {
            Step::Stage => self.stage(part, shard, now),
            Step::Commit => self.commit(part),
            Step::Read => self.read(part, shard),
        }
    }

    fn stage(&mut self, part: usize, from: ShardId, now: Now) -> bool {
        let Part { writer, disk, writes, .. } = &mut self.parts[part];
        let Some(command) = writes[usize::from(from)].pop_front() else { return false };
        writer.execute(from, command, now, disk).expect("the simulated disk can be read");
        true
    }

    fn commit(&mut self, part: usize) -> bool {
        let Part { writer, disk, written, .. } = &mut self.parts[part];
        let batch = writer.batch();
        if batch.commands == 0 {
            return false;
        }
        if self.acknowledges_before_sync {
            disk.sync().expect("the simulated disk can be synced");
        }
        let fails = self.batches_to_fail > 0 && batch.changes > 0;
        let outcomes = if fails {
            self.batches_to_fail -= 1;
            writer.failed(NotStored::Failed)
        } else {
            let changes = writer.take_batch();
            if !changes.is_empty() {
                disk.write(changes).expect("the simulated disk can be written");
            }
            if batch.must_sync && !self.acknowledges_before_sync {
                disk.sync().expect("the simulated disk can be synced");
            }
            writer.committed()
        };
        for (to, outcome) in outcomes {
            if let Outcome::Appended { log, attempt, seq, result } = &outcome {
                let record = self.appends.remove(&(to, *log, *attempt, *seq));
                self.appended.extend(record.filter(|_| result.is_ok()));
            }
            written[usize::from(to)].push_back(outcome);
        }
        true
    }

    fn read(&mut self, part: usize, from: ShardId) -> bool {
        let Part { disk, reads, read, .. } = &mut self.parts[part];
        let Some(command) = reads[usize::from(from)].pop_front() else { return false };
        let emit = &mut |outcome| read[usize::from(from)].push_back(outcome);
        let _ = reading::read(disk, command, self.os_generation, emit);
        true
    }

    /// The next outcome for a shard, of writes or of reads.
    pub(super) fn take(&mut self, part: usize, to: ShardId, of_writes: bool) -> Option<Outcome> {
        let Part { written, read, .. } = &mut self.parts[part];
        let queues = if of_writes { written } else { read };
        queues[usize::from(to)].pop_front()
    }
}
