//! The threads of the store, from a shard's handle to the disk and back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{Manifest, OpenError, Opening, ShardStore, StoreOptions, Stores};
use crate::control::metrics::{self, Partitions};
use crate::conversation::{Content, Durability, Key, Record};
use crate::id::Address;
use crate::mesh::lanes::Doorbell;
use crate::mesh::{Read, ReadFor};
use crate::slot::Slots;
use crate::store::{Append, Asked, Command, Load, LogPlace, NotRead, NotStored, Outcome, ReadRange, StoredConversation, TERM};
use crate::wire::schema::Direction;

/// An open store, with one handle per shard, and what has been sent to it.
struct Running {
    dir: Arc<tempfile::TempDir>,
    options: StoreOptions,
    slots: Slots,
    metrics: Partitions,
    bells: Arc<[Doorbell]>,
    stores: Stores,
    shards: Vec<ShardStore>,
    next_seq: HashMap<u32, u64>,
}

const SHARDS: u16 = 2;
const PARTITIONS: u16 = 3;

impl Running {
    fn start() -> Running {
        Running::start_with(StoreOptions { disk_free_bytes_min: 0, ..StoreOptions::default() })
    }

    fn start_with(options: StoreOptions) -> Running {
        Running::open(Arc::new(tempfile::tempdir().unwrap()), options).unwrap()
    }

    fn open(dir: Arc<tempfile::TempDir>, options: StoreOptions) -> Result<Running, OpenError> {
        let bells: Arc<[Doorbell]> = (0..SHARDS).map(|_| Doorbell::new().unwrap()).collect();
        let manifest = Manifest::open_or_create(dir.path(), PARTITIONS, SHARDS)?;
        let slots = Slots::with_partitions(manifest.slot_seed(), SHARDS, PARTITIONS);
        let metrics = metrics::for_partitions(PARTITIONS.into());
        let opening = Opening { manifest, options: &options, metrics: &metrics, bells: &bells, cpus: &[] };
        let (stores, shards) = Stores::open_with(opening, |why| panic!("{why}"))?;
        Ok(Running { dir, options, slots, metrics, bells, stores, shards, next_seq: HashMap::new() })
    }

    /// Stops and starts again.
    fn again(self) -> Running {
        let Running { dir, options, stores, shards, next_seq, .. } = self;
        drop(shards);
        stores.close().unwrap();
        Running { next_seq, ..Running::open(dir, options).unwrap() }
    }

    fn stop(self) {
        drop(self.shards);
        self.stores.close().unwrap();
    }

    fn place(&self, log: u32) -> LogPlace {
        LogPlace { row: self.slots.row(key(log).bytes()), incarnation: 7 }
    }

    fn partition(&self, log: u32) -> u16 {
        self.slots.partition(self.place(log).row.slot)
    }

    /// Appends the next record to a log; all logs belong to shard 0.
    fn append(&mut self, log: u32, durability: Durability) {
        let seq = self.next_seq.entry(log).or_insert(1);
        let append = append(log, *seq, durability, self.slots.row(key(log).bytes()));
        *seq += 1;
        let partition = self.partition(log);
        self.shards[0].send(partition, Command::Append(append)).unwrap();
    }

    fn publish(&mut self) {
        self.shards.iter_mut().for_each(ShardStore::publish);
    }

    /// Sleeps as a shard does until there is an outcome, which a bell that is not rung would never end.
    fn wait(&mut self, shard: usize) -> Outcome {
        self.publish();
        loop {
            if let Some(outcome) = self.shards[shard].next() {
                return outcome;
            }
            let sleep = self.bells[shard].sleep();
            sleep.announce();
            if !self.shards[shard].has_outcomes() {
                rustix::io::read(self.bells[shard].eventfd(), &mut [0; 8]).unwrap();
            }
            self.bells[shard].sleep().wake();
        }
    }

    fn load(&mut self, shard: usize, log: u32) -> Result<Option<Box<StoredConversation>>, NotRead> {
        let load = Load {
            log,
            key: key(log),
            row: self.place(log).row,
            durability: Durability::Fsync,
            recent_after_ms: 0,
            recent_max: 10,
            sizes_up_to: 0,
        };
        let partition = self.partition(log);
        self.shards[shard].send(partition, Command::Load(Box::new(load))).unwrap();
        match self.wait(shard) {
            Outcome::Loaded { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    fn committed(&mut self, log: u32) -> u64 {
        self.load(1, log).unwrap().map_or(0, |stored| stored.committed)
    }

    fn read(&mut self, log: u32, from: u64, to: u64) -> Vec<u64> {
        let read = Read {
            key: key(log),
            user: "alice".into(),
            purpose: ReadFor::Mirror,
            cursor: (1, 0),
            limit: 0,
            direction: Direction::forward,
        };
        let asked = Asked { shard: 0, epoch: 1, read, gap: false, start: from, taken_back: 0 };
        let place = self.place(log);
        let (durability, records_max, bytes_max) = (Durability::Fsync, 100, 1 << 20);
        let range = ReadRange { log, place, durability, from, to, records_max, bytes_max, backward: false, asked };
        let partition = self.partition(log);
        self.shards[1].send(partition, Command::Read(Box::new(range))).unwrap();
        match self.wait(1) {
            Outcome::Range { records: Ok(records), .. } => records.iter().map(|record| record.seq).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn metric(&self, read: fn(&metrics::PartitionMetrics) -> u64) -> u64 {
        self.metrics.iter().map(|metrics| read(metrics)).sum()
    }
}

fn key(log: u32) -> Key {
    Key::new("", Address::Topic(&format!("topic {log}")))
}

fn append(log: u32, seq: u64, durability: Durability, row: crate::slot::RowId) -> Append {
    let content = Content::message(format!("message {seq} of {log}").into_bytes());
    let record = Record { epoch: 7, seq, time_ms: 1000 + seq, sender: "alice".into(), content };
    let place = LogPlace { row, incarnation: 7 };
    Append { log, attempt: 0, place, durability, term: TERM, key: key(log), record: Arc::new(record), expires_ms: 0 }
}

fn appended(outcome: &Outcome) -> (u32, u64, Result<(), NotStored>) {
    match outcome {
        Outcome::Appended { log, seq, result, .. } => (*log, *seq, *result),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_start() {
    const LOGS: u32 = 20;
    let mut running = Running::start();
    let mut stored: HashMap<u32, u64> = HashMap::new();
    for round in 0..50 {
        (0..LOGS).for_each(|log| running.append(log, if round % 2 == 0 { Durability::Fsync } else { Durability::Os }));
        for _ in 0..LOGS {
            let (log, seq, result) = appended(&running.wait(0));
            assert_eq!(result, Ok(()));
            assert_eq!(stored.insert(log, seq).unwrap_or(0) + 1, seq, "in order");
        }
    }
    assert!(running.metric(|m| m.batches.get()) > 0 && running.metric(|m| m.rows.get()) >= 1000);
    let mut running = running.again();
    for log in 0..LOGS {
        assert_eq!(running.committed(log), 50);
    }
    assert_eq!(running.read(3, 40, 99), (40..=50).collect::<Vec<_>>());
    running.append(3, Durability::Fsync);
    assert_eq!(appended(&running.wait(0)), (3, 51, Ok(())));
    assert_eq!(running.metric(|m| m.dropped_tail_bytes.get()), 0);
    running.stop();
}

#[test]
fn commands_that_come_together_share_syncs() {
    let mut running = Running::start();
    (0..2000).for_each(|i| running.append(i % 10, Durability::Fsync));
    (0..2000).for_each(|_| assert_eq!(appended(&running.wait(0)).2, Ok(())));
    assert_eq!(running.metric(|m| m.batch_commands.sum()), 2000);
    assert!(running.metric(|m| m.batches.get()) < 2000);
    running.stop();
}

#[test]
fn what_was_sent_before_the_end_is_committed() {
    let mut running = Running::start();
    (0..500).for_each(|i| running.append(i % 10, Durability::Fsync));
    let mut running = running.again();
    let all: u64 = (0..10).map(|log| running.committed(log)).sum();
    assert_eq!(all, 500);
    running.stop();
}

#[test]
fn a_write_that_fails_leaves_nothing_and_the_database_is_opened_again() {
    let mut running = Running::start();
    running.append(1, Durability::Fsync);
    assert_eq!(appended(&running.wait(0)), (1, 1, Ok(())));
    running.options.faults.fail_writes(1);
    running.options.faults.fail_reopenings(3);
    running.append(1, Durability::Fsync);
    running.append(1, Durability::Fsync);
    for seq in [2, 3] {
        let (log, failed, result) = appended(&running.wait(0));
        assert!((log, failed) == (1, seq) && result.is_err(), "{result:?}");
    }
    // The next attempt begins where the log ends.
    let row = running.place(1).row;
    let partition = running.partition(1);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let again = Append { attempt, ..append(1, 2, Durability::Fsync, row) };
        running.shards[0].send(partition, Command::Append(again)).unwrap();
        match appended(&running.wait(0)) {
            (1, 2, Ok(())) => break,
            (1, 2, Err(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((running.metric(|m| m.write_failures.get()), running.metric(|m| m.reopenings.get())), (1, 1));
    assert_eq!(running.committed(1), 2);
    running.next_seq.insert(1, 3);
    let mut running = running.again();
    assert_eq!(running.read(1, 1, 9), [1, 2]);
    running.stop();
}

#[test]
fn a_sync_that_fails_acknowledges_nothing_and_ends_the_process() {
    let mut running = Running::start();
    running.append(1, Durability::Fsync);
    running.wait(0);
    running.options.faults.fail_syncs(1);
    running.append(1, Durability::Fsync);
    running.publish();
    let partition = usize::from(running.partition(1));
    let Running { dir, stores, shards, .. } = running;
    let outcomes = stores.threads_for_test(partition).join();
    assert!(outcomes.is_err(), "the end of the process is a panic here");
    let mut shards = shards;
    assert_eq!(shards[0].next(), None);
    assert!(dir.path().join("disk-failed").exists());
}

#[test]
fn while_a_commit_stands_still_it_is_told_and_nothing_else_waits() {
    let mut running = Running::start();
    running.append(1, Durability::Fsync);
    running.wait(0);
    running.options.faults.hold_syncs(true);
    running.append(1, Durability::Fsync);
    running.publish();
    let partition = usize::from(running.partition(1));
    let stands_for = |running: &Running| running.metrics[partition].committing_for(Instant::now());
    while stands_for(&running).is_none_or(|time| time < Duration::from_millis(20)) {
        std::thread::yield_now();
    }
    assert_eq!(running.read(1, 1, 9), [1, 2], "readers see what is written; the home shows what is committed");
    assert_eq!(running.shards[0].next(), None, "and that is not");
    running.options.faults.hold_syncs(false);
    assert_eq!(appended(&running.wait(0)), (1, 2, Ok(())));
    running.stop();
}

#[test]
fn a_full_disk_stops_appends_until_there_is_room() {
    let mut running = Running::start_with(StoreOptions { disk_free_bytes_min: u64::MAX / 2, ..StoreOptions::default() });
    running.append(1, Durability::Fsync);
    assert_eq!(appended(&running.wait(0)), (1, 1, Err(NotStored::DiskFull)));
    assert_eq!(running.metrics[usize::from(running.partition(1))].disk_full.get(), 1);
    assert_eq!(running.committed(1), 0);
    running.stop();
}

#[test]
fn reads_wait_while_the_database_is_opened_again() {
    let mut running = Running::start();
    running.append(1, Durability::Fsync);
    running.wait(0);
    for failures in 1..=5 {
        running.options.faults.fail_writes(1);
        let (row, partition) = (running.place(1).row, running.partition(1));
        let next = Append { attempt: failures, ..append(1, 2, Durability::Fsync, row) };
        running.shards[0].send(partition, Command::Append(next)).unwrap();
        running.publish();
        // Where opening takes longer than a read waits, it fails; it never sees what failed.
        let read = running.load(1, 1);
        assert!(read.is_err() || read.is_ok_and(|stored| stored.unwrap().committed == 1));
        assert_eq!(appended(&running.wait(0)), (1, 2, Err(NotStored::DiskFull)));
    }
    running.stop();
}

#[test]
fn lanes_that_are_full_give_commands_back() {
    let options = StoreOptions { lane_capacity: 16, disk_free_bytes_min: 0, ..StoreOptions::default() };
    let mut running = Running::start_with(options);
    let (row, partition) = (running.place(1).row, running.partition(1));
    let (mut sent, mut taken) = (0, 0);
    let mut came_back = 0;
    while taken < 1000 {
        match running.shards[0].send(partition, Command::Append(append(1, sent + 1, Durability::Fsync, row))) {
            Ok(()) => sent += 1,
            Err(_) => {
                came_back += 1;
                taken += 1;
                assert_eq!(appended(&running.wait(0)), (1, taken, Ok(())));
            }
        }
    }
    assert!(came_back > 0 && running.shards[0].outstanding(partition) < 16);
    running.stop();
}

#[test]
fn one_partition_that_does_not_open_keeps_all_closed() {
    let running = Running::start();
    let dir = running.dir.clone();
    let options = running.options.clone();
    running.stop();
    let aside = dir.path().join("aside");
    std::fs::rename(dir.path().join("partition-1"), &aside).unwrap();
    let error = Running::open(dir.clone(), options.clone()).err().unwrap();
    assert!(matches!(error, OpenError::Missing { partition: 1, .. }), "{error}");
    std::fs::rename(&aside, dir.path().join("partition-1")).unwrap();
    Running::open(dir, options).unwrap().stop();
}

#[test]
fn what_waits_for_nothing_is_synced_a_little_later() {
    let mut running = Running::start();
    running.append(1, Durability::Os);
    assert_eq!(appended(&running.wait(0)), (1, 1, Ok(())));
    while running.metric(|m| m.sync_ns.buckets().map(|(_, count)| count).sum()) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    running.stop();
}

#[test]
fn conversations_of_a_repaired_partition_begin_a_new_epoch() {
    let mut running = Running::start();
    (0..60).for_each(|i| running.append(i % 6, Durability::Fsync));
    (0..60).for_each(|_| assert_eq!(appended(&running.wait(0)).2, Ok(())));
    let dir = running.dir.clone();
    let options = running.options.clone();
    let damaged = running.partition(0);
    let of_damaged: Vec<u32> = (0..6).filter(|log| running.partition(*log) == damaged).collect();
    running.stop();
    let fsck = |cut| crate::offline::fsck::run(dir.path(), cut, 0, &mut crate::offline::Progress::quiet()).unwrap().report;
    let fine = fsck(false);
    assert!(fine.is_sound(), "{}", fine.text());
    // The last batch is lost.
    let journal = dir.path().join(format!("partition-{damaged}/0.jnl"));
    let used = std::fs::read(&journal).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(used as u64 - 3).unwrap();
    let refused = Running::open(dir.clone(), options.clone()).err().unwrap().to_string();
    assert!(refused.contains("fsck --cut"), "{refused}");
    let found = fsck(false);
    assert!(!found.is_sound() && found.text().contains(&format!("damage: partition {damaged}")), "{}", found.text());
    let cut = fsck(true);
    assert!(cut.is_sound(), "{}", cut.text());
    let mut running = Running::open(dir, options).unwrap();
    for log in 0..6 {
        // A log that was in the lost batch alone is gone.
        let stored = running.load(1, log).unwrap();
        let epoch = stored.map(|stored| stored.epoch);
        assert!(if of_damaged.contains(&log) { epoch.is_none_or(|epoch| epoch == 0) } else { epoch == Some(7) }, "{epoch:?}");
    }
    running.stop();
}
