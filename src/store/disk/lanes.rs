//! The queues between shards and the threads of partitions: bounded, one producer, one consumer, nobody waits for a lock.
//!
//! ```text
//!   shard  --commands-->  writer or reader of a partition
//!   shard  <--outcomes--  the same; then a bit in the shard's news, then its bell if it sleeps
//! ```
//!
//! A shard never waits: what does not fit it keeps. A lane for outcomes has a place for the answer of each command that may be under way, so
//! a writer never waits either. A reader may: an answer can come in parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::mesh::lanes::Doorbell;
use crate::slot::{PartitionId, ShardId};
use crate::store::{Command, Outcome};

/// How often a reader looks whether a shard has made room. The shard does so in each of its turns.
const ROOM_WAIT: Duration = Duration::from_micros(200);

/// Which of a shard's lanes hold outcomes: bit `2 * partition` for the writer's, the next for the reader's.
type News = Arc<CachePadded<AtomicU64>>;

/// Partitions for which a shard's news has bits.
pub(super) const PARTITIONS_MAX: u16 = 32;

/// Both threads of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Writer,
    Reader,
}

/// A shard's ends of its lanes to all partitions.
#[derive(Debug)]
pub struct ShardStore {
    ends: Vec<Ends>,
    capacity: usize,
    news: News,
    /// News that was taken and not looked at.
    pending: u64,
}

/// A shard's ends of its lanes to one thread.
#[derive(Debug)]
struct Ends {
    commands: Producer<Command>,
    outcomes: Consumer<Outcome>,
    /// Commands whose outcome has not been taken.
    outstanding: usize,
    thread: Option<Thread>,
    is_touched: bool,
}

impl ShardStore {
    /// Hands a command to its partition. The thread there learns of it by [`Self::publish`] at the latest.
    ///
    /// # Errors
    /// There is no room: the command comes back. Room comes with outcomes.
    pub fn send(&mut self, partition: PartitionId, command: Command) -> Result<(), Command> {
        let has_outcome = !matches!(command, Command::Forget(_));
        let capacity = self.capacity;
        let ends = &mut self.ends[index(partition, thread_for(&command))];
        if has_outcome && ends.outstanding >= capacity {
            return Err(command);
        }
        ends.commands.push(command).map_err(|rtrb::PushError::Full(command)| command)?;
        ends.outstanding += usize::from(has_outcome);
        ends.is_touched = true;
        Ok(())
    }

    /// Commands that surely fit, whatever they are and wherever they go.
    pub fn room(&self) -> usize {
        let room = |ends: &Ends| ends.commands.slots().min(self.capacity - ends.outstanding);
        self.ends.iter().map(room).min().unwrap_or(0)
    }

    /// Commands of a partition's writer that are under way.
    pub fn outstanding(&self, partition: PartitionId) -> usize {
        self.ends[index(partition, Which::Writer)].outstanding
    }

    /// Wakes the threads that were sent something. Once a turn.
    pub fn publish(&mut self) {
        for ends in self.ends.iter_mut().filter(|ends| ends.is_touched) {
            ends.is_touched = false;
            if let Some(thread) = &ends.thread {
                thread.unpark();
            }
        }
    }

    /// The next outcome. Those of one partition's writer come in the order of their commands, and so do those of its reader.
    #[expect(clippy::should_implement_trait, reason = "more may come after none")]
    pub fn next(&mut self) -> Option<Outcome> {
        loop {
            if self.pending == 0 {
                if self.news.load(Ordering::Relaxed) == 0 {
                    return None;
                }
                self.pending = self.news.swap(0, Ordering::Acquire);
            }
            let lane = self.pending.trailing_zeros();
            let ends = &mut self.ends[lane as usize];
            match ends.outcomes.pop() {
                Ok(outcome) => {
                    ends.outstanding -= usize::from(is_last(&outcome));
                    return Some(outcome);
                }
                Err(_) => self.pending &= !(1 << lane),
            }
        }
    }

    /// Whether an outcome waits to be taken. To be asked before sleeping, after that has been announced.
    pub fn has_outcomes(&self) -> bool {
        self.pending != 0 || self.news.load(Ordering::Acquire) != 0
    }
}

/// The threads see that the shard is gone.
impl Drop for ShardStore {
    fn drop(&mut self) {
        let threads: Vec<Thread> = self.ends.iter_mut().filter_map(|ends| ends.thread.take()).collect();
        self.ends.clear();
        threads.iter().for_each(Thread::unpark);
    }
}

fn index(partition: PartitionId, thread: Which) -> usize {
    2 * usize::from(partition) + thread as usize
}

fn thread_for(command: &Command) -> Which {
    match command {
        Command::Read(_) | Command::Load(_) | Command::LoadUser(_) => Which::Reader,
        _ => Which::Writer,
    }
}

/// Whether nothing more comes for the same command.
fn is_last(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Members { .. } | Outcome::Entries { .. } | Outcome::Trimmed { .. })
}

/// A partition's thread's ends of its lanes to all shards.
#[derive(Debug)]
pub(super) struct ThreadLanes {
    lanes: Vec<Lane>,
    bells: Arc<[Doorbell]>,
}

#[derive(Debug)]
struct Lane {
    commands: Consumer<Command>,
    outcomes: Producer<Outcome>,
    news: News,
    bit: u64,
    is_touched: bool,
}

impl ThreadLanes {
    /// The next command of a shard.
    pub fn next(&mut self, from: ShardId) -> Option<Command> {
        self.lanes[usize::from(from)].commands.pop().ok()
    }

    /// Hands an outcome to a shard, which learns of it by [`Self::publish`].
    ///
    /// # Panics
    /// There is no room, though there are no more commands under way than places.
    pub fn send(&mut self, to: ShardId, outcome: Outcome) {
        let lane = &mut self.lanes[usize::from(to)];
        lane.is_touched = true;
        if let Err(rtrb::PushError::Full(outcome)) = lane.outcomes.push(outcome) {
            // A shard that has ended reads nothing; one that has not counts its commands.
            assert!(lane.outcomes.is_abandoned(), "no room for {outcome:?}");
        }
    }

    /// The same, waiting for room.
    pub fn send_waiting(&mut self, to: ShardId, outcome: Outcome) {
        while self.lanes[usize::from(to)].outcomes.is_full() && !self.lanes[usize::from(to)].outcomes.is_abandoned() {
            self.publish();
            std::thread::park_timeout(ROOM_WAIT);
        }
        self.send(to, outcome);
    }

    /// Tells the shards that were sent something, and wakes those that sleep.
    pub fn publish(&mut self) {
        for (lane, bell) in self.lanes.iter_mut().zip(&*self.bells) {
            if std::mem::take(&mut lane.is_touched) {
                lane.news.fetch_or(lane.bit, Ordering::Release);
                bell.ring_if_asleep();
            }
        }
    }

    /// Commands that wait.
    pub fn depth(&self) -> usize {
        self.lanes.iter().map(|lane| lane.commands.slots()).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.commands.is_empty())
    }

    /// Whether nothing waits and nothing will come any more.
    pub fn is_over(&self) -> bool {
        // In this order: what is there when a shard is gone was there before.
        self.lanes.iter().all(|lane| lane.commands.is_abandoned()) && self.is_empty()
    }

    /// How many shards there are.
    pub fn shards(&self) -> ShardId {
        self.lanes.len() as ShardId
    }
}

/// The lanes of a partition's threads.
#[derive(Debug)]
pub(super) struct PartitionLanes {
    pub writer: ThreadLanes,
    pub reader: ThreadLanes,
}

/// All lanes between shards and partitions, with room for `capacity` commands each. The threads of the partitions are not known yet: see [`introduce`].
pub(super) fn connect(
    partitions: PartitionId,
    capacity: usize,
    bells: &Arc<[Doorbell]>,
) -> (Vec<ShardStore>, Vec<PartitionLanes>) {
    assert!(partitions <= PARTITIONS_MAX, "a shard's news has a bit for each lane");
    let none = || ThreadLanes { lanes: Vec::new(), bells: bells.clone() };
    let mut threads: Vec<PartitionLanes> = (0..partitions).map(|_| PartitionLanes { writer: none(), reader: none() }).collect();
    let mut shards = Vec::new();
    for _ in 0..bells.len() {
        let news = News::default();
        let mut ends = Vec::new();
        for (partition, lanes) in (0..).zip(&mut threads) {
            for (thread, lanes) in [(Which::Writer, &mut lanes.writer), (Which::Reader, &mut lanes.reader)] {
                let (commands, commands_out) = RingBuffer::new(capacity);
                let (outcomes, outcomes_out) = RingBuffer::new(capacity);
                ends.push(Ends { commands, outcomes: outcomes_out, outstanding: 0, thread: None, is_touched: false });
                let bit = 1 << index(partition, thread);
                lanes.lanes.push(Lane { commands: commands_out, outcomes, news: news.clone(), bit, is_touched: false });
            }
        }
        shards.push(ShardStore { ends, capacity, news, pending: 0 });
    }
    (shards, threads)
}

/// Tells the shards which threads to wake: for each partition its writer and its reader.
pub(super) fn introduce(shards: &mut [ShardStore], threads: &[(Thread, Thread)]) {
    for shard in shards {
        for (partition, (writer, reader)) in (0..).zip(threads) {
            shard.ends[index(partition, Which::Writer)].thread = Some(writer.clone());
            shard.ends[index(partition, Which::Reader)].thread = Some(reader.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LoadUser;

    fn bells(shards: usize) -> Arc<[Doorbell]> {
        (0..shards).map(|_| Doorbell::new().unwrap()).collect()
    }

    fn load(index: u32) -> Command {
        let row = crate::slot::RowId { slot: 0, fingerprint: 0 };
        Command::LoadUser(Box::new(LoadUser { user: "u".into(), row, index, generation: 0 }))
    }

    fn loaded(index: u32) -> Outcome {
        Outcome::UserLoaded { index, generation: 0, result: Ok(()) }
    }

    #[test]
    fn commands_go_to_their_thread_and_outcomes_come_back() {
        let (mut shards, mut threads) = connect(2, 4, &bells(2));
        shards[1].send(1, Command::Forget(7)).unwrap();
        shards[1].send(1, load(1)).unwrap();
        let lanes = &mut threads[1];
        assert_eq!(lanes.writer.next(0), None);
        assert_eq!(lanes.writer.next(1), Some(Command::Forget(7)));
        assert_eq!(lanes.reader.next(1), Some(load(1)));
        assert!(!shards[1].has_outcomes());
        lanes.reader.send(1, Outcome::Entries { index: 1, generation: 0, entries: Vec::new() });
        lanes.reader.send(1, loaded(1));
        assert_eq!(shards[1].next(), None, "it is not published");
        lanes.reader.publish();
        assert!(shards[1].has_outcomes() && !shards[0].has_outcomes());
        assert!(matches!(shards[1].next(), Some(Outcome::Entries { .. })));
        assert_eq!((shards[1].next(), shards[1].next()), (Some(loaded(1)), None));
        assert!(!shards[1].has_outcomes());
    }

    #[test]
    fn a_place_is_free_when_the_outcome_has_been_taken() {
        let (mut shards, mut threads) = connect(1, 2, &bells(1));
        let (shard, reader) = (&mut shards[0], &mut threads[0].reader);
        assert_eq!(shard.room(), 2);
        shard.send(0, load(1)).unwrap();
        shard.send(0, load(2)).unwrap();
        assert_eq!((shard.send(0, load(3)), shard.room()), (Err(load(3)), 0));
        (1..=2).for_each(|index| {
            reader.next(0).unwrap();
            reader.send(0, loaded(index));
        });
        reader.publish();
        assert_eq!(shard.send(0, load(3)), Err(load(3)), "its outcome would have no place");
        shard.next().unwrap();
        shard.send(0, load(3)).unwrap();
    }

    #[test]
    fn a_sleeping_shard_is_rung() {
        let bells = bells(1);
        let (_shards, mut threads) = connect(1, 2, &bells);
        bells[0].sleep().announce();
        threads[0].writer.send(0, Outcome::Struck);
        threads[0].writer.publish();
        assert!(!bells[0].ring_if_asleep(), "it has been rung already");
    }

    #[test]
    fn lanes_are_over_when_all_shards_are_gone() {
        let (mut shards, mut threads) = connect(1, 2, &bells(2));
        shards[0].send(0, Command::Forget(1)).unwrap();
        drop(shards.pop());
        assert!(!threads[0].writer.is_over());
        drop(shards);
        assert!(!threads[0].writer.is_over(), "what was sent is still taken");
        threads[0].writer.next(0).unwrap();
        assert!(threads[0].writer.is_over() && threads[0].reader.is_over());
        (0..5).for_each(|_| threads[0].writer.send(0, Outcome::Struck));
    }
}
