//! What the conductor and the workers tell each other: atomics, each with a single writer.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Setting up fails when it makes no progress for this long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The steps of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Step {
    /// Connections are made and logged in, up to the number that the conductor allows.
    LogIn = 0,
    /// The owner creates the group.
    Create = 1,
    /// Members join.
    Join = 2,
    /// Messages are laid in store.
    Fill = 3,
    /// Their senders say that they have read them.
    Receipts = 4,
    /// Pages are read.
    Read = 5,
    /// Publishing, from and until the times that are told.
    Run = 6,
    /// Nothing is published; what is outstanding is read.
    Drain = 7,
    /// Workers hand in what they measured, and another round may follow.
    Count = 8,
    /// Workers hand in what was acknowledged.
    HandIn = 9,
    /// It is read back.
    ReadBack = 10,
    /// Workers end.
    Stop = 11,
}

/// By their numbers.
const STEPS: [Step; 12] = [
    Step::LogIn,
    Step::Create,
    Step::Join,
    Step::Fill,
    Step::Receipts,
    Step::Read,
    Step::Run,
    Step::Drain,
    Step::Count,
    Step::HandIn,
    Step::ReadBack,
    Step::Stop,
];

/// Counters of each worker and their sums, with the same names.
macro_rules! counters {
    ($(#[$doc:meta] $name:ident,)+) => {
        /// What a worker did so far, for progress and for knowing when a step is over. Written by that worker once per turn.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Block {
            $(#[$doc] pub $name: AtomicU64,)+
            /// When the last delivery was read.
            pub read_at_ns: AtomicU64,
        }

        /// The sum of all blocks.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $(#[$doc] pub $name: u64,)+
            /// When the last delivery was read.
            pub read_at_ns: u64,
        }

        impl Totals {
            /// Counts first: who sees a number sees when the last of them was.
            fn of(blocks: &[Block]) -> Totals {
                blocks.iter().fold(Totals::default(), |sum, block| Totals {
                    $($name: sum.$name + block.$name.load(Ordering::Acquire),)+
                    read_at_ns: sum.read_at_ns.max(block.read_at_ns.load(Ordering::Relaxed)),
                })
            }
        }
    };
}

counters! {
    /// Connections that are logged in.
    logged_in,
    /// Groups created.
    created,
    /// Members that have joined, topics that were subscribed to, users whose presence is watched.
    joined,
    /// How often a session was told that it receives a conversation.
    begun,
    /// Records of groups that came.
    records,
    /// Sessions that came back.
    returned,
    /// Sessions that are away, joins and leaves without an answer.
    pending,
    /// See [`crate::account::Tally`].
    attempts,
    /// See [`crate::account::Tally`].
    refused,
    /// See [`crate::account::Tally`].
    acked,
    /// See [`crate::account::Tally`].
    read,
    /// See [`crate::account::Tally`]; 0 where pings are not what is measured.
    pings,
    /// See `pings`.
    pongs,
    /// See [`crate::account::Tally`].
    expected,
    /// Receipts that were answered.
    receipts,
    /// Pages read.
    pages,
    /// Users who have all that was laid in store for them.
    caught_up,
    /// Rounds of which it has handed in what it measured.
    rounds,
    /// 1 when its ledger was handed in.
    handed_in,
    /// Logs read back.
    readings,
    /// Messages in them.
    read_back,
    /// Error frames, goaways and disconnects together.
    troubles,
}

/// Shared by all threads of a run.
#[derive(Debug)]
pub struct Stage {
    origin: Instant,
    step: AtomicU8,
    log_in_until: AtomicU32,
    publish_from_ns: AtomicU64,
    measure_from_ns: AtomicU64,
    measure_until_ns: AtomicU64,
    /// Number of the round, and its rate as the bits of an f64: 0 until there are several.
    round: AtomicU32,
    round_rate: AtomicU64,
    /// When a worker last read acks.
    last_ack_ns: AtomicU64,
    /// When the sessions that leave together do, and when all of them are back.
    storm_ns: [AtomicU64; 2],
    /// Before this time nobody who was dropped comes back.
    return_from_ns: AtomicU64,
    /// When the last session came back.
    last_return_ns: AtomicU64,
    /// Class of the speakers whose turn it is, and how often each of them speaks; see [`Stage::begin_turn`].
    turn: AtomicU64,
    /// When the first of them did.
    spoke_ns: AtomicU64,
    /// One for each worker.
    pub blocks: Vec<Block>,
}

impl Stage {
    /// A run that begins now.
    pub fn new(workers: u32) -> Stage {
        Stage {
            origin: Instant::now(),
            step: AtomicU8::new(Step::LogIn as u8),
            log_in_until: AtomicU32::new(0),
            publish_from_ns: AtomicU64::new(u64::MAX),
            measure_from_ns: AtomicU64::new(u64::MAX),
            measure_until_ns: AtomicU64::new(u64::MAX),
            round: AtomicU32::new(0),
            round_rate: AtomicU64::new(0),
            last_ack_ns: AtomicU64::new(0),
            storm_ns: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            return_from_ns: AtomicU64::new(0),
            last_return_ns: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            spoke_ns: AtomicU64::new(u64::MAX),
            blocks: (0..workers).map(|_| Block::default()).collect(),
        }
    }

    /// Nanoseconds since the origin: one monotonic clock for all workers.
    pub fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Where the run is.
    pub fn step(&self) -> Step {
        STEPS[self.step.load(Ordering::Acquire) as usize]
    }

    /// Goes on to a step.
    pub fn go_to(&self, step: Step) {
        self.step.store(step as u8, Ordering::Release);
    }

    /// Connections with an index below this may log in.
    pub fn log_in_until(&self) -> u32 {
        self.log_in_until.load(Ordering::Relaxed)
    }

    /// Lets connections up to this index log in.
    pub fn allow_log_in_until(&self, index: u32) {
        self.log_in_until.store(index, Ordering::Relaxed);
    }

    /// Fixes the times of the run, before going to [`Step::Run`].
    pub fn schedule(&self, publish_from_ns: u64, measured: Range<u64>) {
        self.measure_from_ns.store(measured.start, Ordering::Relaxed);
        self.measure_until_ns.store(measured.end, Ordering::Relaxed);
        self.publish_from_ns.store(publish_from_ns, Ordering::Release);
    }

    /// A round with messages at this rate, per second, begins; its times were fixed.
    pub fn begin_round(&self, round: u32, rate_per_s: f64) {
        self.round_rate.store(rate_per_s.to_bits(), Ordering::Relaxed);
        self.round.store(round, Ordering::Release);
    }

    /// Instead of a rate: each speaker of a class speaks so often, at once. Each turn is a round of its own.
    pub fn begin_turn(&self, round: u32, class: u8, times: u32) {
        self.spoke_ns.store(u64::MAX, Ordering::Relaxed);
        self.turn.store(u64::from(class) << 32 | u64::from(times), Ordering::Relaxed);
        self.round.store(round, Ordering::Release);
    }

    /// Whose turn it is and how often he speaks, where speakers take turns.
    pub fn turn(&self) -> Option<(u8, u32)> {
        let turn = self.turn.load(Ordering::Relaxed);
        (turn != 0).then_some(((turn >> 32) as u8, turn as u32))
    }

    /// A speaker whose turn it is spoke now.
    pub fn speaks(&self, at_ns: u64) {
        self.spoke_ns.fetch_min(at_ns, Ordering::Relaxed);
    }

    /// When the first one of the turn did.
    pub fn spoke_ns(&self) -> u64 {
        self.spoke_ns.load(Ordering::Relaxed)
    }

    /// The round, and its rate.
    pub fn round(&self) -> (u32, f64) {
        let round = self.round.load(Ordering::Acquire);
        (round, f64::from_bits(self.round_rate.load(Ordering::Relaxed)))
    }

    /// When publishing begins. Known from [`Step::Run`] on.
    pub fn publish_from_ns(&self) -> u64 {
        self.publish_from_ns.load(Ordering::Acquire)
    }

    /// Intended times of the messages that make the figures; publishing stops at its end. Known from [`Step::Run`] on.
    pub fn measured(&self) -> Range<u64> {
        self.measure_from_ns.load(Ordering::Relaxed)..self.measure_until_ns.load(Ordering::Relaxed)
    }

    /// Acks were read now, by any worker. Gives how long there had been none, as far as that lies in the measured time.
    pub fn acks_read(&self, now_ns: u64) -> u64 {
        let before = self.last_ack_ns.fetch_max(now_ns, Ordering::Relaxed);
        within(before..now_ns, &self.measured())
    }

    /// For how long there has been no ack at the end of the measured time.
    pub fn without_ack_ns(&self) -> u64 {
        let measured = self.measured();
        within(self.last_ack_ns.load(Ordering::Relaxed)..measured.end, &measured)
    }

    /// Says when the sessions that leave together do.
    pub fn storm_begins(&self, at_ns: u64) {
        self.storm_ns[0].store(at_ns, Ordering::Relaxed);
    }

    /// When that is; never, as far as is known.
    pub fn storm_from_ns(&self) -> u64 {
        self.storm_ns[0].load(Ordering::Relaxed)
    }

    /// All are back since then.
    pub fn storm_ended(&self, at_ns: u64) {
        self.storm_ns[1].store(at_ns, Ordering::Relaxed);
    }

    /// Before the sessions left (0), while they were away (1), or after all were back (2).
    pub fn phase_of(&self, at_ns: u64) -> usize {
        self.storm_ns.iter().filter(|from_ns| from_ns.load(Ordering::Relaxed) <= at_ns).count()
    }

    /// Nobody who was dropped comes back before this time.
    pub fn return_from(&self, at_ns: u64) {
        self.return_from_ns.store(at_ns, Ordering::Relaxed);
    }

    /// That time; long ago, unless it was said.
    pub fn return_from_ns(&self) -> u64 {
        self.return_from_ns.load(Ordering::Relaxed)
    }

    /// A session came back now.
    pub fn came_back(&self, at_ns: u64) {
        self.last_return_ns.fetch_max(at_ns, Ordering::Relaxed);
    }

    /// When the last one did.
    pub fn last_return_ns(&self) -> u64 {
        self.last_return_ns.load(Ordering::Relaxed)
    }

    /// All that was done so far.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.blocks)
    }
}

impl Totals {
    /// Whether every publish and ping was answered, every delivery of publishes that were taken was read, and nobody is away.
    pub fn is_settled(&self) -> bool {
        let answered = self.acked >= self.attempts - self.refused && self.pongs >= self.pings;
        answered && self.read >= self.expected && self.pending == 0
    }
}

/// How much of a span lies within the measured time.
fn within(span: Range<u64>, measured: &Range<u64>) -> u64 {
    span.end.min(measured.end).saturating_sub(span.start.max(measured.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_counts_over_all_workers_and_within_the_measured_time() {
        let stage = Stage::new(2);
        assert_eq!((stage.acks_read(50), stage.without_ack_ns()), (0, 0), "nothing is measured yet");
        stage.schedule(0, 100..1000);
        assert_eq!(stage.acks_read(130), 30, "from the beginning on");
        assert_eq!(stage.acks_read(430), 300);
        assert_eq!(stage.acks_read(430), 0, "another worker had some at the same time");
        assert_eq!(stage.without_ack_ns(), 570);
        assert_eq!(stage.acks_read(1200), 570);
    }

    #[test]
    fn a_run_is_settled_when_all_is_answered_and_read() {
        let t = Totals { attempts: 5, refused: 1, acked: 4, read: 12, expected: 12, ..Totals::default() };
        assert!(t.is_settled());
        assert!(!Totals { expected: 13, ..t }.is_settled());
        assert!(!Totals { acked: 3, ..t }.is_settled());
        assert!(!Totals { pending: 1, ..t }.is_settled());
        assert!(!Totals { pings: 1, ..t }.is_settled());
    }

    #[test]
    fn a_turn_is_told_with_its_first_speaker() {
        let stage = Stage::new(2);
        assert_eq!((stage.turn(), stage.round().0), (None, 0));
        stage.begin_turn(1, 0, 3);
        assert_eq!((stage.turn(), stage.round().0), (Some((0, 3)), 1));
        [70, 50, 60].into_iter().for_each(|at| stage.speaks(at));
        assert_eq!(stage.spoke_ns(), 50);
        stage.begin_turn(2, 1, 1);
        assert_eq!((stage.turn(), stage.spoke_ns()), (Some((1, 1)), u64::MAX));
    }

    #[test]
    fn phases_follow_from_when_sessions_left_and_were_back() {
        let stage = Stage::new(1);
        assert_eq!(stage.phase_of(u64::MAX - 1), 0);
        stage.storm_begins(100);
        assert_eq!([99, 100, u64::MAX - 1].map(|at| stage.phase_of(at)), [0, 1, 1]);
        stage.storm_ended(200);
        assert_eq!([99, 199, 200].map(|at| stage.phase_of(at)), [0, 1, 2]);
    }

    #[test]
    fn steps_are_told_as_they_were_set() {
        let stage = Stage::new(1);
        for step in STEPS {
            stage.go_to(step);
            assert_eq!(stage.step(), step);
        }
    }
}
