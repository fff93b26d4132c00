//! Durability `memory`: the newest records of each log, bounded by count and bytes per log as its kind has it, and by bytes for all logs together.
//!
//! Above the bound for all, the log that has been quiet longest loses its oldest record first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Append, Command, LogId, NotStored, Outcome, ReadRange};
use crate::conversation::{Kind, Policies, Policy, Record};
use crate::limits::Limits;

const NONE: u32 = u32::MAX;

/// All logs of a shard.
#[derive(Debug)]
pub struct Memory {
    logs: Vec<Log>,
    /// Bytes in all logs.
    bytes: usize,
    /// Ends of the list of logs that hold records: quiet longest, and appended to last.
    quietest: u32,
    busiest: u32,
    bounds: Bounds,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    direct: LogBounds,
    group: LogBounds,
    topic: LogBounds,
    broadcast: LogBounds,
    all_bytes: usize,
}

/// Of one log.
#[derive(Debug, Clone, Copy)]
struct LogBounds {
    records: usize,
    bytes: usize,
}

impl LogBounds {
    /// Those of the policy; where it has none, the limit.
    fn new(policy: &Policy, limits: &Limits) -> LogBounds {
        let or = |own: u64, limit: u32| if own == 0 { limit as usize } else { usize::try_from(own).unwrap_or(usize::MAX) };
        LogBounds {
            records: or(policy.history_messages_max, limits.history_messages_max),
            bytes: or(policy.history_bytes_max, limits.history_bytes_max),
        }
    }
}

impl Bounds {
    fn of(&self, kind: Kind) -> LogBounds {
        match kind {
            Kind::Direct => self.direct,
            Kind::Group => self.group,
            Kind::Topic => self.topic,
            Kind::Broadcast => self.broadcast,
        }
    }
}

#[derive(Debug)]
struct Log {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    /// Seq of the next record, whatever is kept.
    next_seq: u64,
    quieter: u32,
    busier: u32,
}

impl Default for Log {
    fn default() -> Log {
        Log { records: VecDeque::new(), bytes: 0, next_seq: 1, quieter: NONE, busier: NONE }
    }
}

impl Log {
    fn first(&self) -> u64 {
        self.next_seq - self.records.len() as u64
    }

    /// Removes the body of a message, if it is kept. Gives the bytes that are free now.
    fn take_back(&mut self, seq: u64) -> usize {
        let Some(record) = seq.checked_sub(self.first()).and_then(|at| self.records.get_mut(at as usize)) else { return 0 };
        let before = record.memory_bytes();
        *record = Arc::new(record.retracted());
        let freed = before - record.memory_bytes();
        self.bytes -= freed;
        freed
    }
}

impl Memory {
    /// An empty store.
    pub fn new(limits: &Limits, policies: &Policies) -> Memory {
        let of = |kind| LogBounds::new(policies.of(kind), limits);
        let bounds = Bounds {
            direct: of(Kind::Direct),
            group: of(Kind::Group),
            topic: of(Kind::Topic),
            broadcast: of(Kind::Broadcast),
            all_bytes: limits.history_pool_bytes_max as usize,
        };
        Memory { logs: Vec::new(), bytes: 0, quietest: NONE, busiest: NONE, bounds }
    }

    /// Bytes that all logs take, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Does what is asked, at once, and says what was done.
    pub fn execute(&mut self, command: Command, outcomes: &mut Vec<Outcome>) {
        match command {
            Command::Append(append) => self.append(append, outcomes),
            Command::Read(range) => outcomes.push(self.read(*range)),
            Command::Forget(log) => self.forget(log),
            _ => unreachable!("what is kept in memory has nothing to load, and no rows"),
        }
    }

    fn append(&mut self, append: Append, outcomes: &mut Vec<Outcome>) {
        let Append { log: id, attempt, key, record, .. } = append;
        if self.logs.len() <= id as usize {
            self.logs.resize_with(id as usize + 1, Log::default);
        }
        let log = &mut self.logs[id as usize];
        let seq = record.seq;
        let follows = seq == log.next_seq;
        if follows {
            let bytes = record.memory_bytes();
            log.next_seq += 1;
            let target = record.content.target;
            log.bytes += bytes;
            self.bytes += bytes;
            log.records.push_back(record);
            if target != 0 {
                self.bytes -= log.take_back(target);
            }
            self.unlink(id);
            self.link_as_busiest(id);
        }
        outcomes.push(Outcome::Appended { log: id, attempt, seq, result: if follows { Ok(()) } else { Err(NotStored::Failed) } });
        self.trim_log(id, self.bounds.of(key.kind()), outcomes);
        self.trim_all(outcomes);
    }

    fn trim_log(&mut self, id: LogId, bounds: LogBounds, outcomes: &mut Vec<Outcome>) {
        let before = self.logs[id as usize].first();
        while {
            let log = &self.logs[id as usize];
            log.records.len() > bounds.records || (log.bytes > bounds.bytes && log.records.len() > 1)
        } {
            self.drop_oldest(id);
        }
        self.report_trim(id, before, outcomes);
    }

    fn trim_all(&mut self, outcomes: &mut Vec<Outcome>) {
        while self.bytes > self.bounds.all_bytes && self.quietest != NONE {
            let id = self.quietest;
            let before = self.logs[id as usize].first();
            while self.bytes > self.bounds.all_bytes && !self.logs[id as usize].records.is_empty() {
                self.drop_oldest(id);
            }
            if self.logs[id as usize].records.is_empty() {
                self.unlink(id);
            }
            self.report_trim(id, before, outcomes);
        }
    }

    fn drop_oldest(&mut self, id: LogId) {
        let log = &mut self.logs[id as usize];
        let bytes = log.records.pop_front().map_or(0, |r| r.memory_bytes());
        log.bytes -= bytes;
        self.bytes -= bytes;
    }

    fn report_trim(&self, log: LogId, before: u64, outcomes: &mut Vec<Outcome>) {
        let first = self.logs[log as usize].first();
        if first != before {
            outcomes.push(Outcome::Trimmed { log, first });
        }
    }

    fn read(&self, range: ReadRange) -> Outcome {
        let ReadRange { log: id, from, to, records_max, bytes_max, backward, asked, .. } = range;
        let mut records = Vec::new();
        if let Some(log) = self.logs.get(id as usize) {
            let from = from.max(log.first());
            let to = to.min(log.next_seq - 1);
            let count = (to + 1).saturating_sub(from).min(u64::from(records_max));
            let mut left = bytes_max as usize;
            let mut take = |seq: u64| {
                let record = &log.records[(seq - log.first()) as usize];
                let bytes = record.memory_bytes();
                let fits = records.is_empty() || bytes <= left;
                if fits {
                    left = left.saturating_sub(bytes);
                    records.push(record.clone());
                }
                fits
            };
            if backward {
                let _ = (0..count).all(|i| take(to - i));
                records.reverse();
            } else {
                let _ = (0..count).all(|i| take(from + i));
            }
        }
        Outcome::Range { log: id, records: Ok(records), asked }
    }

    fn forget(&mut self, id: LogId) {
        if (id as usize) < self.logs.len() {
            self.unlink(id);
            self.bytes -= self.logs[id as usize].bytes;
            self.logs[id as usize] = Log::default();
        }
    }

    fn is_linked(&self, id: LogId) -> bool {
        self.busiest == id || self.logs[id as usize].busier != NONE
    }

    fn unlink(&mut self, id: LogId) {
        if !self.is_linked(id) {
            return;
        }
        let Log { quieter, busier, .. } = self.logs[id as usize];
        match quieter {
            NONE => self.quietest = busier,
            q => self.logs[q as usize].busier = busier,
        }
        match busier {
            NONE => self.busiest = quieter,
            b => self.logs[b as usize].quieter = quieter,
        }
        self.logs[id as usize].quieter = NONE;
        self.logs[id as usize].busier = NONE;
    }

    fn link_as_busiest(&mut self, id: LogId) {
        self.logs[id as usize].quieter = self.busiest;
        match self.busiest {
            NONE => self.quietest = id,
            b => self.logs[b as usize].busier = id,
        }
        self.busiest = id;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Asked, LogPlace, TERM};
    use super::*;
    use crate::conversation::{Content, Durability, Key, Name};
    use crate::id::Address;
    use crate::mesh::{Read, ReadFor};
    use crate::slot::RowId;
    use crate::wire::schema::Direction;

    const PLACE: LogPlace = LogPlace { row: RowId { slot: 0, fingerprint: 0 }, incarnation: 1 };

    fn record(seq: u64, bytes: usize) -> Arc<Record> {
        let sender: Name = "alice".into();
        Arc::new(Record { epoch: 1, seq, time_ms: 5, sender, content: Content::message(vec![b'x'; bytes]) })
    }

    /// Without bounds of its own.
    fn store(limits: &Limits) -> Memory {
        Memory::new(limits, &Policies::in_memory())
    }

    fn append(store: &mut Memory, log: LogId, seq: u64, bytes: usize) -> Vec<Outcome> {
        append_to(store, Key::new("", Address::Broadcast), log, seq, bytes)
    }

    fn append_to(store: &mut Memory, key: Key, log: LogId, seq: u64, bytes: usize) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let append = Append {
            log,
            attempt: 0,
            place: PLACE,
            durability: Durability::Memory,
            term: TERM,
            key,
            record: record(seq, bytes),
            expires_ms: 0,
        };
        store.execute(Command::Append(append), &mut outcomes);
        outcomes
    }

    fn read(store: &mut Memory, log: LogId, from: u64, to: u64, records_max: u32, backward: bool) -> Vec<u64> {
        let read = Read {
            key: Key::new("alice", Address::Broadcast),
            user: "alice".into(),
            purpose: ReadFor::Mirror,
            cursor: (1, 0),
            limit: 0,
            direction: Direction::forward,
        };
        let asked = Asked { shard: 0, epoch: 1, read, gap: false, start: from, taken_back: 0 };
        let durability = Durability::Memory;
        let range = ReadRange { log, place: PLACE, durability, from, to, records_max, bytes_max: 10_000, backward, asked };
        let mut outcomes = Vec::new();
        store.execute(Command::Read(Box::new(range)), &mut outcomes);
        match outcomes.pop() {
            Some(Outcome::Range { records: Ok(records), .. }) => records.iter().map(|r| r.seq).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn limits(records: u32, log_bytes: u32, all_bytes: u64) -> Limits {
        Limits {
            history_messages_max: records,
            history_bytes_max: log_bytes,
            history_pool_bytes_max: all_bytes,
            ..Limits::default()
        }
    }

    #[test]
    fn keeps_the_newest_by_count_and_says_what_is_first() {
        let mut store = store(&limits(3, 1 << 20, 1 << 30));
        (1..=3).for_each(|seq| assert_eq!(append(&mut store, 0, seq, 10).len(), 1));
        let outcomes = append(&mut store, 0, 4, 10);
        assert_eq!(outcomes[1], Outcome::Trimmed { log: 0, first: 2 });
        assert_eq!(read(&mut store, 0, 0, 99, 10, false), [2, 3, 4]);
        assert_eq!(read(&mut store, 0, 3, 99, 1, false), [3]);
        assert_eq!(read(&mut store, 0, 1, 3, 2, true), [2, 3]);
        assert!(read(&mut store, 0, 5, 4, 2, true).is_empty());
        assert!(read(&mut store, 9, 1, 4, 2, true).is_empty());
    }

    #[test]
    fn a_kind_has_bounds_of_its_own() {
        let mut policies = Policies::in_memory();
        policies.topic.history_messages_max = 2;
        policies.group.history_bytes_max = record(1, 1000).memory_bytes() as u64;
        let mut store = Memory::new(&limits(3, 1 << 20, 1 << 30), &policies);
        for (log, address) in [Address::Topic("t"), Address::Group("g"), Address::Direct("bob")].into_iter().enumerate() {
            (1..=4).for_each(|seq| drop(append_to(&mut store, Key::new("alice", address), log as LogId, seq, 1000)));
        }
        assert_eq!(read(&mut store, 0, 0, 9, 9, false), [3, 4]);
        assert_eq!(read(&mut store, 1, 0, 9, 9, false), [4]);
        assert_eq!(read(&mut store, 2, 0, 9, 9, false), [2, 3, 4]);
    }

    #[test]
    fn keeps_one_record_however_large() {
        let mut store = store(&limits(100, 8192, 1 << 30));
        append(&mut store, 0, 1, 100);
        append(&mut store, 0, 2, 20_000);
        assert_eq!(read(&mut store, 0, 1, 9, 10, false), [2]);
    }

    #[test]
    fn refuses_what_does_not_follow() {
        let mut store = store(&Limits::default());
        append(&mut store, 0, 1, 10);
        let outcomes = append(&mut store, 0, 3, 10);
        assert_eq!(outcomes, [Outcome::Appended { log: 0, attempt: 0, seq: 3, result: Err(NotStored::Failed) }]);
        assert_eq!(read(&mut store, 0, 1, 9, 10, false), [1]);
    }

    #[test]
    fn the_quietest_log_pays_for_the_pool() {
        let one = record(1, 1000).memory_bytes() as u64;
        let mut store = store(&limits(100, 1 << 20, 3 * one));
        append(&mut store, 0, 1, 1000);
        append(&mut store, 1, 1, 1000);
        append(&mut store, 0, 2, 1000);
        let outcomes = append(&mut store, 0, 3, 1000);
        assert_eq!(outcomes[1], Outcome::Trimmed { log: 1, first: 2 });
        append(&mut store, 0, 4, 1000);
        assert_eq!(read(&mut store, 0, 1, 9, 10, false), [2, 3, 4]);
        store.execute(Command::Forget(0), &mut Vec::new());
        assert_eq!(store.bytes(), 0);
        append(&mut store, 0, 1, 1000);
        assert_eq!(read(&mut store, 0, 1, 9, 10, false), [1]);
    }
}
