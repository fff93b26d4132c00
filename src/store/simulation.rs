//! A partition under seeded streams of commands, failed writes, restarts, crashes of the machine and the sweeper, against a model that knows
//! no rows. After each of them everything is loaded and must be what the model says: as of the last batch that the disk has kept.
//!
//! A failure names its seed; see [`crate::seeds`].

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::engine::WriteRows;
use super::removal::Removal;
use super::simulated::commands::*;
use super::simulated::{Disk, Store};
use super::*;
use crate::conversation::{Content, Group, Kind, flags};
use crate::id::Address;
use crate::mesh::ReadFor;
use crate::seeds::seeds;
use crate::wire::schema::{Direction, RecordKind, Role};

const SEEDS: u64 = 100;
const BATCHES: usize = 150;
const USERS: [&str; 4] = ["ann", "bob", "cat", "dan"];
const ENTRIES_MAX: u32 = 3;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// One log, as its home has it.
#[derive(Clone, Default)]
struct Log {
    incarnation: u64,
    epoch: u64,
    first: u64,
    /// All records that it ever had, taken back if they were.
    records: Vec<Arc<Record>>,
    expires_ms: Vec<u64>,
    group: Group,
    receipts: BTreeMap<Name, (u64, u64)>,
    os_generation: u64,
    is_over: bool,
}

#[derive(Clone, Default)]
struct List {
    last_number: u32,
    entries: BTreeMap<u32, (Key, Option<u64>)>,
}

/// What must be on the disk.
#[derive(Clone, Default)]
struct Model {
    logs: BTreeMap<Key, Log>,
    lists: BTreeMap<&'static str, List>,
}

impl Model {
    fn log(&self, key: &Key) -> Option<&Log> {
        self.logs.get(key).filter(|log| !log.is_over)
    }

    fn next(&self, key: &Key) -> u64 {
        self.log(key).map_or(1, |log| log.records.len() as u64 + 1)
    }

    fn append(&mut self, append: &Append, os_generation: u64) {
        let record = &append.record;
        let Append { durability, place, .. } = *append;
        if record.seq == 1 {
            let fresh = Log { incarnation: place.incarnation, epoch: record.epoch, first: 1, ..Log::default() };
            self.logs.insert(append.key.clone(), fresh);
        }
        let log = self.logs.get_mut(&append.key).expect("it was founded");
        if durability == Durability::Os {
            log.os_generation = os_generation;
        }
        if record.content.kind == RecordKind::created {
            log.group = Group::new(record.content.flags & flags::OPEN != 0, record.content.flags & flags::WHOLE_HISTORY != 0);
        }
        if let Some(at) = record.content.target.checked_sub(1) {
            log.records[at as usize] = Arc::new(log.records[at as usize].retracted());
        }
        log.group.apply(record);
        log.is_over = record.content.kind == RecordKind::disbanded;
        log.records.push(record.clone());
        log.expires_ms.push(append.expires_ms);
    }

    fn hint(&mut self, user: &'static str, key: &Key) -> Result<Listed, NotStored> {
        let list = self.lists.entry(user).or_default();
        if let Some((&number, _)) = list.entries.iter().find(|(_, (entry, _))| entry == key) {
            return Ok(Listed { number, dropped: None });
        }
        let mut dropped = None;
        if list.entries.len() >= ENTRIES_MAX as usize {
            let oldest = list.entries.iter().find(|(_, (entry, _))| entry.kind() == Kind::Direct);
            let oldest = oldest.filter(|_| key.kind() == Kind::Direct).ok_or(NotStored::ListFull)?;
            let number = *oldest.0;
            dropped = list.entries.remove(&number).map(|(key, _)| key);
        }
        list.last_number += 1;
        list.entries.insert(list.last_number, (key.clone(), None));
        Ok(Listed { number: list.last_number, dropped })
    }
}

/// What the home of a conversation knows that is not on the disk.
#[derive(Clone, Copy, Default)]
struct Home {
    attempt: u32,
    /// Something of this attempt was refused.
    refused: bool,
}

struct World {
    random: Random,
    store: Store,
    keys: Vec<Key>,
    /// What is written and synced, and after each batch since.
    kept: Vec<Model>,
    /// With what is staged.
    staged: Model,
    expected: Vec<Outcome>,
    homes: BTreeMap<Key, Home>,
    /// The last seq of each log that was acknowledged in its epoch.
    shown: BTreeMap<(Key, u64), u64>,
    durability: Durability,
    last_epoch: u64,
    /// Records that were due here may be gone.
    swept_ms: u64,
    seen: Seen,
}

/// What happened at all: a simulation in which nothing happens proves nothing.
#[derive(Default)]
struct Seen {
    refused: u32,
    failed: u32,
    crashes: u32,
    lost: u32,
    dropped: u32,
    refounded: u32,
    removed: u32,
}

impl World {
    fn new(seed: u64) -> World {
        let keys = vec![
            Key::new("", Address::Group("team")),
            Key::new("", Address::Group("club")),
            Key::new("", Address::Topic("news")),
            Key::direct("ann", "bob"),
            Key::direct("ann", "cat"),
            Key::direct("ann", "dan"),
        ];
        let store = Store::open(Disk::default(), 1);
        World {
            random: Random(seed),
            store,
            keys,
            kept: vec![Model::default()],
            staged: Model::default(),
            expected: Vec::new(),
            homes: BTreeMap::new(),
            shown: BTreeMap::new(),
            durability: Durability::Fsync,
            last_epoch: 100,
            swept_ms: 0,
            seen: Seen::default(),
        }
    }

    fn stage(&mut self, command: Command, outcome: Outcome) {
        self.store.stage(0, command);
        self.expected.push(outcome);
    }

    fn place(&self, key: &Key) -> LogPlace {
        LogPlace {
            row: slots().row(key.bytes()),
            incarnation: self.staged.log(key).map_or(self.last_epoch, |log| log.incarnation),
        }
    }

    // ---- commands

    fn command(&mut self) {
        let at = self.random.below(self.keys.len() as u64);
        let key = self.keys[at as usize].clone();
        match self.random.below(100) {
            0..60 => self.append(at as LogId, key),
            60..65 => {
                let is_new_epoch = self.random.chance(30);
                self.put_head(key, is_new_epoch);
            }
            65..72 => self.put_receipts(key),
            72..88 => self.hint(key),
            88..92 => self.strike(key),
            _ => self.put_cursors(key),
        }
    }

    fn content(&mut self, key: &Key, seq: u64) -> Content {
        let user = Some(self.random.one(&USERS));
        let role = self.random.one(&[Role::member, Role::admin]);
        let client_id = self.random.chance(50).then(|| format!("c{}", self.random.next()).into());
        let message = Content { client_id, ..message(&"x".repeat(self.random.below(40) as usize)) };
        let target = self.random.below(seq);
        let is_message = |log: &Log| log.records[target as usize - 1].content.kind == RecordKind::message;
        if target > 0 && self.random.chance(10) && self.staged.log(key).is_some_and(is_message) {
            return Content { target, ..change(RecordKind::retracted, None, Role::none, "") };
        }
        if key.kind() != Kind::Group {
            return message;
        }
        match (seq, self.random.below(100)) {
            (1, _) => Content { flags: flags::OPEN, ..change(RecordKind::created, None, Role::owner, "title") },
            (_, 0..10) => change(RecordKind::title, None, Role::none, self.random.one(&["a", "b"])),
            (_, 10..25) => change(RecordKind::added, user, role, ""),
            (_, 25..30) => change(RecordKind::joined, user, Role::member, ""),
            (_, 30..35) => change(RecordKind::removed, user, Role::none, ""),
            (_, 35..40) => change(RecordKind::left, user, Role::none, ""),
            (_, 40..50) => change(RecordKind::role, user, role, ""),
            (_, 50..53) => change(RecordKind::disbanded, None, Role::none, ""),
            _ => message,
        }
    }

    fn append(&mut self, log: LogId, key: Key) {
        // It was told that the log may have lost something.
        let os_generation = self.store.os_generation;
        if self.staged.log(&key).is_some_and(|log| ![0, os_generation].contains(&log.os_generation)) {
            self.put_head(key.clone(), true);
        }
        let next = self.staged.next(&key);
        let mut home = self.homes.get(&key).copied().unwrap_or_default();
        // Mostly the home has heard of the failure and tries anew.
        if home.refused && self.random.chance(70) {
            home = Home { attempt: home.attempt + 1, refused: false };
        }
        let seq = if self.random.chance(3) { next + 1 + self.random.below(3) } else { next };
        if seq == 1 {
            self.last_epoch += 1;
            self.seen.refounded += u32::from(self.staged.logs.contains_key(&key));
        }
        let content = self.content(&key, seq.min(next));
        let is_over = content.kind == RecordKind::disbanded;
        let place = self.place(&key);
        let epoch = self.staged.log(&key).map_or(self.last_epoch, |log| log.epoch);
        self.store.now.wall_ms += 1;
        let time_ms = self.store.now.wall_ms;
        let record = Arc::new(Record { epoch, seq, time_ms, sender: self.random.one(&USERS).into(), content });
        let expires_ms = if self.random.chance(20) { time_ms + self.random.below(300) } else { 0 };
        let (attempt, durability) = (home.attempt, self.durability);
        let append = Append { log, attempt, place, durability, term: TERM, key: key.clone(), record, expires_ms };
        let is_good = !home.refused && seq == next;
        if is_good {
            self.staged.append(&append, self.store.os_generation);
        } else {
            home.refused = true;
            self.seen.refused += 1;
        }
        if is_good && is_over {
            // The home of the next group of this name comes without failures.
            home = Home { attempt: home.attempt + 1, refused: false };
        }
        self.homes.insert(key, home);
        let result = if is_good { Ok(()) } else { Err(NotStored::Failed) };
        self.stage(Command::Append(append), Outcome::Appended { log, attempt, seq, result });
    }

    fn put_head(&mut self, key: Key, is_new_epoch: bool) {
        let place = self.place(&key);
        let os_generation = self.store.os_generation;
        let Some(log) = self.staged.logs.get_mut(&key).filter(|log| !log.is_over) else { return };
        log.first += self.random.below(log.records.len() as u64 + 2 - log.first);
        if is_new_epoch {
            self.last_epoch += 1;
            log.epoch = self.last_epoch;
            if log.os_generation != os_generation {
                log.os_generation = 0;
            }
        }
        let (epoch, first) = (log.epoch, log.first);
        self.stage(Command::PutHead(Box::new(PutHead { key, place, epoch, first })), Outcome::HeadPut);
    }

    fn put_receipts(&mut self, key: Key) {
        let (place, user) = (self.place(&key), Name::from(self.random.one(&USERS)));
        let Some(log) = self.staged.logs.get_mut(&key).filter(|log| !log.is_over) else { return };
        let (delivered, read) = (self.random.below(50), self.random.below(50));
        if let Some(member) = log.group.member_mut(&user) {
            (member.delivered, member.read) = (delivered, read);
        }
        log.receipts.insert(user.clone(), (delivered, read));
        let durability = self.durability;
        let put = Box::new(PutReceipts { log: 0, place, durability, receipts: vec![(user, delivered, read)] });
        self.stage(Command::PutReceipts(put.clone()), Outcome::ReceiptsPut { put, result: Ok(()) });
    }

    fn hint(&mut self, key: Key) {
        let user = self.random.one(&USERS);
        let hint = hint(user, &key, ENTRIES_MAX);
        let result = self.staged.hint(user, &key);
        self.seen.dropped += u32::from(matches!(&result, Ok(Listed { dropped: Some(_), .. })));
        self.stage(Command::Hint(hint.clone()), Outcome::Hinted { hint, result });
    }

    fn strike(&mut self, key: Key) {
        let user = self.random.one(&USERS);
        self.staged.lists.entry(user).or_default().entries.retain(|_, (entry, _)| *entry != key);
        self.stage(strike(user, &key), Outcome::Struck);
    }

    fn put_cursors(&mut self, key: Key) {
        let (user, read) = (self.random.one(&USERS), self.random.below(99));
        let list = self.staged.lists.entry(user).or_default();
        list.entries.values_mut().filter(|(entry, _)| *entry == key).for_each(|(_, cursors)| *cursors = Some(read));
        let put = cursors(user, &key, read);
        self.stage(Command::PutCursors(put.clone()), Outcome::CursorsPut { put, result: Ok(()) });
    }

    // ---- batches

    fn commit(&mut self) {
        let must_sync = self.store.partition.batch().must_sync;
        let is_empty = self.store.partition.batch().changes == 0;
        let fails = !is_empty && self.random.chance(8);
        if fails {
            self.store.failed_is_there = self.random.chance(50);
            self.store.disk.fail_write_after(0);
        }
        let outcomes: Vec<_> = self.store.commit().into_iter().map(|(_, outcome)| outcome).collect();
        let expected = std::mem::take(&mut self.expected);
        if fails {
            assert_eq!(outcomes.len(), expected.len());
            outcomes.into_iter().for_each(|outcome| self.must_have_failed(&outcome));
            self.staged = self.kept.last().expect("there is one").clone();
            self.kept = vec![self.staged.clone()];
            self.seen.failed += 1;
            return;
        }
        assert_eq!(outcomes, expected);
        if must_sync {
            self.kept.clear();
        }
        // A batch without changes is none for the disk.
        if !is_empty {
            self.kept.push(self.staged.clone());
        }
        for (key, log) in self.staged.logs.iter().filter(|(_, log)| !log.is_over) {
            self.shown.insert((key.clone(), log.epoch), log.records.len() as u64);
        }
    }

    fn must_have_failed(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Appended { log, attempt, result, .. } => {
                assert!(result.is_err());
                let home = self.homes.entry(self.keys[*log as usize].clone()).or_default();
                // The home may have gone on to another attempt, which failed with this batch too.
                home.refused |= home.attempt == *attempt;
            }
            Outcome::Hinted { result, .. } => assert!(result.is_err()),
            Outcome::ReceiptsPut { result, .. } | Outcome::CursorsPut { result, .. } => {
                assert_eq!(*result, Err(NotStored::Failed));
            }
            _ => {}
        }
    }

    /// The machine goes down, perhaps while a batch is written.
    fn crash(&mut self) {
        if self.random.chance(50) {
            let changes = self.store.partition.take_batch();
            if !changes.is_empty() {
                self.store.disk.write(changes).unwrap();
                self.kept.push(self.staged.clone());
            }
        }
        let mut keep = 0;
        self.store.crash(|unsynced| {
            keep = self.random.below(unsynced as u64 + 1) as usize;
            keep
        });
        self.began_again(keep);
        self.seen.crashes += 1;
    }

    fn restart(&mut self) {
        self.store.restart();
        self.began_again(self.kept.len() - 1);
    }

    fn began_again(&mut self, keep: usize) {
        self.staged = self.kept[keep].clone();
        self.kept = vec![self.staged.clone()];
        self.expected.clear();
        self.homes.clear();
        self.durability = self.random.one(&[Durability::Fsync, Durability::Os]);
        self.check();
    }

    fn sweep(&mut self) {
        let cutoff_ms = self.store.now.wall_ms - self.random.below(200);
        self.swept_ms = self.swept_ms.max(cutoff_ms);
        let (mut removal, rows_max) = (Removal::new(0), 1 + self.random.below(9) as usize);
        loop {
            let slice = removal.stage(&self.store.disk, cutoff_ms, rows_max);
            assert!(slice.unreadable.is_none());
            if !slice.changes.is_empty() {
                self.seen.removed += slice.changes.iter().filter(|change| change.value.is_none()).count() as u32;
                self.store.disk.write(slice.changes).unwrap();
                self.kept.push(self.staged.clone());
            }
            if !slice.has_more || self.random.chance(5) {
                return;
            }
        }
    }

    // ---- what must hold

    fn check(&mut self) {
        for key in self.keys.clone() {
            self.check_log(&key);
        }
        for user in USERS {
            self.check_list(user);
        }
        assert!(self.store.unreadable.is_empty(), "{:?}", self.store.unreadable);
    }

    fn check_log(&mut self, key: &Key) {
        let load = Load {
            log: 0,
            key: key.clone(),
            row: slots().row(key.bytes()),
            durability: self.durability,
            recent_after_ms: 0,
            recent_max: u32::MAX,
            sizes_up_to: 0,
        };
        let mut outcomes = self.store.read(Command::Load(Box::new(load)));
        let Some(Outcome::Loaded { result: Ok(stored), .. }) = outcomes.pop() else { panic!("{key:?} is not loaded") };
        let (Some(stored), Some(log)) = (&stored, self.staged.log(key)) else {
            assert!(stored.is_none() && self.staged.log(key).is_none(), "{key:?}: {stored:?}");
            return;
        };
        let last = log.records.last().expect("a log has a record");
        let ends = (stored.incarnation, stored.first, stored.committed, stored.last_time_ms);
        assert_eq!(ends, (log.incarnation, log.first, last.seq, last.time_ms), "{key:?}");
        // Nothing that was shown is lost without a new epoch.
        let shown = self.shown.get(&(key.clone(), log.epoch)).copied().unwrap_or(0);
        assert!(shown <= last.seq || stored.epoch == 0, "{key:?}: {shown} was shown, {} is there", last.seq);
        assert!(stored.epoch == log.epoch || (stored.epoch == 0 && log.os_generation != 0), "{key:?}");
        self.seen.lost += u32::from(shown > last.seq);
        let members: Vec<_> = outcomes
            .into_iter()
            .flat_map(|outcome| if let Outcome::Members { members, .. } = outcome { members } else { panic!("{outcome:?}") })
            .collect();
        let expected: Vec<_> = log.group.after(None).map(|(name, member)| (name.clone(), *member)).collect();
        assert_eq!(members, expected, "{key:?}");
        assert_eq!((&stored.title, stored.flags & flags::OPEN != 0), (&log.group.title, log.group.open), "{key:?}");
        if key.kind() == Kind::Direct {
            let of = |user: &&str| Some((Name::from(*user), log.receipts.get(*user)?)).map(|(name, &(d, r))| (name, d, r));
            let expected: Vec<_> = key.users().iter().filter_map(of).collect();
            assert_eq!(stored.receipts, expected, "{key:?}");
        }
        self.check_records(key, stored);
    }

    fn check_records(&mut self, key: &Key, stored: &StoredConversation) {
        let read = crate::mesh::Read {
            key: key.clone(),
            user: "ann".into(),
            purpose: ReadFor::Mirror,
            cursor: (0, 0),
            limit: 0,
            direction: Direction::forward,
        };
        let asked = Asked { shard: 0, epoch: 9, read, gap: false, start: 1, taken_back: 0 };
        let (place, durability, bytes_max) = (self.place(key), self.durability, u64::MAX);
        let (from, to, records_max) = (stored.first, stored.committed, u32::MAX);
        let range =
            ReadRange { log: 0, place, durability, from, to, records_max, bytes_max, backward: self.random.chance(50), asked };
        let outcome = self.store.read(Command::Read(Box::new(range))).pop();
        let Some(Outcome::Range { records: Ok(records), .. }) = outcome else { panic!("{outcome:?}") };
        let log = self.staged.log(key).expect("it was looked at");
        let mut records = records.into_iter().peekable();
        for (record, &expires_ms) in log.records.iter().zip(&log.expires_ms).skip(stored.first as usize - 1) {
            let may_be_gone = expires_ms != 0 && expires_ms <= self.swept_ms;
            match records.next_if(|found| found.seq == record.seq) {
                Some(found) => assert_eq!(*found, Record { epoch: 9, ..(**record).clone() }, "{key:?}"),
                None => assert!(may_be_gone, "{key:?}: {} is not there", record.seq),
            }
        }
        assert_eq!(records.next(), None, "{key:?}: more than there was");
        // Client ids are known as long as their records are there.
        let recent = stored.recent.iter().filter(|recent| recent.seq >= stored.first);
        recent.for_each(|recent| {
            let content = &log.records[recent.seq as usize - 1].content;
            assert_eq!(content.client_id.as_deref(), Some(&*recent.client_id));
        });
    }

    fn check_list(&mut self, user: &'static str) {
        let load = LoadUser { user: user.into(), row: slots().row(user.as_bytes()), index: 0, generation: 0 };
        let mut outcomes = self.store.read(Command::LoadUser(Box::new(load)));
        assert!(matches!(outcomes.pop(), Some(Outcome::UserLoaded { result: Ok(()), .. })));
        let entries = outcomes
            .into_iter()
            .flat_map(|outcome| if let Outcome::Entries { entries, .. } = outcome { entries } else { panic!("{outcome:?}") });
        let found: Vec<_> = entries.map(|entry| (entry.number, entry.key, (entry.epoch != 0).then_some(entry.read))).collect();
        let list = self.staged.lists.get(user).cloned().unwrap_or_default();
        let expected: Vec<_> = list.entries.into_iter().map(|(number, (key, cursors))| (number, key, cursors)).collect();
        assert_eq!(found, expected, "{user}");
    }
}

fn run(seed: u64) -> Seen {
    let mut world = World::new(seed);
    for _ in 0..BATCHES {
        for _ in 0..world.random.below(12) {
            world.command();
        }
        match world.random.below(100) {
            0..5 => world.crash(),
            5..8 => {
                world.commit();
                world.restart();
            }
            8..20 => {
                world.commit();
                world.sweep();
                world.check();
            }
            _ => world.commit(),
        }
    }
    world.commit();
    world.check();
    world.restart();
    world.seen
}

#[test]
fn the_disk_holds_what_was_promised() {
    let (mut seen, seeds) = (Seen::default(), seeds(SEEDS));
    for seed in seeds.clone() {
        let of_seed = catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|panic| {
            eprintln!("CAMPANILE_SEED={seed}");
            resume_unwind(panic)
        });
        seen.refused += of_seed.refused;
        seen.failed += of_seed.failed;
        seen.crashes += of_seed.crashes;
        seen.lost += of_seed.lost;
        seen.dropped += of_seed.dropped;
        seen.refounded += of_seed.refounded;
        seen.removed += of_seed.removed;
    }
    if seeds.end - seeds.start >= SEEDS {
        let Seen { refused, failed, crashes, lost, dropped, refounded, removed } = seen;
        for (what, count) in [
            ("refused", refused),
            ("failed", failed),
            ("crashes", crashes),
            ("lost", lost),
            ("dropped", dropped),
            ("removed", removed),
        ] {
            assert!(count > 100, "{what}: only {count}");
        }
        assert!(refounded > 50, "founded anew: only {refounded}");
    }
}
