//! What a worker counted; the sum over all workers is what the report says.

use std::collections::BTreeMap;
use std::ops::Range;

use super::own::limits;
use super::{Arrival, Attempt, Latencies, Own, Timeline, TrafficTally, Verified};

/// Counts of one worker. "All" counts the whole run with its warm-up and drain; "measured" counts messages whose intended time lies
/// between the end of the warm-up and the end of the duration, whenever they were answered or read.
#[derive(Debug, Default)]
pub struct Tally {
    /// Publishes sent, refused ones included (all).
    pub attempts: u64,
    /// Publishes that the server answered with an error (all).
    pub refused: u64,
    /// Acks (all).
    pub acked: u64,
    /// Deliveries read, each message once per receiver (all).
    pub read: u64,
    /// Pings sent once logged in (all).
    pub pings: u64,
    /// Answers to them (all).
    pub pongs: u64,
    /// Deliveries that should be read: the receivers of all publishes that were not refused (all).
    pub expected: u64,
    /// Publishes sent and not refused (measured).
    pub sent_measured: u64,
    /// Acks (measured).
    pub acked_measured: u64,
    /// Deliveries (measured).
    pub delivered_measured: u64,
    /// Deliveries that should be read (measured).
    pub expected_measured: u64,
    /// Deliveries seen before (all).
    pub duplicated: u64,
    /// Deliveries that came after a later one (all).
    pub out_of_order: u64,
    /// Frames that have no place here: messages for someone else, answers to nothing (all).
    pub unexpected: u64,
    /// Messages that are records of a group: joins and the like (all).
    pub records: u64,
    /// Gap and Skip frames (all): the server says that it left something out.
    pub gaps: u64,
    /// Messages of the open loop that were due and never sent.
    pub unsent: u64,
    /// Error frames, by code (all).
    pub errors: BTreeMap<u16, u64>,
    /// GoAway frames, by code (all).
    pub goaways: BTreeMap<u16, u64>,
    /// Connections that ended before the run did (all).
    pub disconnects: u64,
    /// Smallest window of a welcome.
    pub server_window: Option<u32>,
    /// Longest time in which no worker read an ack, ns (measured).
    pub stall_ns: u64,
    /// Begin of a late user's connection to the last message that was laid in store for him, ns.
    pub catch_up: Latencies,
    /// From the moment at which all began to that message, ns.
    pub caught_up_after: Latencies,
    /// Request of a page to its arrival, ns.
    pub reads: Latencies,
    /// Pages that did not hold what they should.
    pub wrong_pages: u64,
    /// What reading back found.
    pub verified: Verified,
    /// Intended send to delivery read, ns (measured).
    pub latency: Latencies,
    /// Intended send to ack read, ns (measured).
    pub ack_latency: Latencies,
    /// Open loop: how long after its time a message was given to its publisher, ns (measured).
    pub lateness: Latencies,
    /// Latencies over time (measured).
    pub timeline: Timeline,
    /// How busy this program was (measured).
    pub own: Own,
    /// What traffic counts besides.
    pub traffic: TrafficTally,
}

impl Tally {
    /// A publish with so many receivers was sent.
    pub fn sent(&mut self, intended_ns: u64, receivers: u32, measured: &Range<u64>) {
        self.attempts += 1;
        self.expected += u64::from(receivers);
        if measured.contains(&intended_ns) {
            self.sent_measured += 1;
            self.expected_measured += u64::from(receivers);
        }
    }

    /// A publish was acknowledged at `now_ns`.
    pub fn acked(&mut self, attempt: Attempt, now_ns: u64, measured: &Range<u64>) {
        self.acked += 1;
        if measured.contains(&attempt.intended_ns) {
            self.acked_measured += 1;
            self.ack_latency.saturating_record(now_ns.saturating_sub(attempt.intended_ns));
        }
    }

    /// A publish was sent to a server that acknowledges nothing.
    pub fn unasked(&mut self, attempt: Attempt, measured: &Range<u64>) {
        self.acked += 1;
        self.acked_measured += u64::from(measured.contains(&attempt.intended_ns));
    }

    /// A publish was refused: it was not sent, as far as anyone but its sender knows.
    pub fn refused(&mut self, attempt: Attempt, receivers: u32, measured: &Range<u64>) {
        self.refused += 1;
        self.expected -= u64::from(receivers);
        if measured.contains(&attempt.intended_ns) {
            self.sent_measured -= 1;
            self.expected_measured -= u64::from(receivers);
        }
    }

    /// A delivery was read at `now_ns`. Says whether it counts, which a duplicate does not.
    pub fn delivered(&mut self, arrival: Arrival, intended_ns: u64, now_ns: u64, measured: &Range<u64>) -> bool {
        match arrival {
            Arrival::Duplicate => {
                self.duplicated += 1;
                return false;
            }
            Arrival::OutOfOrder => self.out_of_order += 1,
            Arrival::InOrder => {}
        }
        self.read += 1;
        if measured.contains(&intended_ns) {
            self.delivered_measured += 1;
            self.latency.saturating_record(now_ns.saturating_sub(intended_ns));
        }
        true
    }

    /// Takes out what was measured, so that another measurement may follow; what counts for the whole run stays.
    pub fn take_measured(&mut self) -> Tally {
        use std::mem::take;
        Tally {
            sent_measured: take(&mut self.sent_measured),
            acked_measured: take(&mut self.acked_measured),
            delivered_measured: take(&mut self.delivered_measured),
            expected_measured: take(&mut self.expected_measured),
            unsent: take(&mut self.unsent),
            stall_ns: take(&mut self.stall_ns),
            own: take(&mut self.own),
            latency: take(&mut self.latency),
            ack_latency: take(&mut self.ack_latency),
            lateness: take(&mut self.lateness),
            ..Tally::default()
        }
    }

    /// An Error frame came.
    pub fn error(&mut self, code: u16) {
        *self.errors.entry(code).or_default() += 1;
    }

    /// A GoAway frame came.
    pub fn goaway(&mut self, code: u16) {
        *self.goaways.entry(code).or_default() += 1;
    }

    /// A welcome told its window.
    pub fn window(&mut self, window: u32) {
        self.server_window = Some(self.server_window.map_or(window, |w| w.min(window)));
    }

    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Tally) {
        self.attempts += other.attempts;
        self.refused += other.refused;
        self.acked += other.acked;
        self.read += other.read;
        self.pings += other.pings;
        self.pongs += other.pongs;
        self.expected += other.expected;
        self.sent_measured += other.sent_measured;
        self.acked_measured += other.acked_measured;
        self.delivered_measured += other.delivered_measured;
        self.expected_measured += other.expected_measured;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.unexpected += other.unexpected;
        self.records += other.records;
        self.gaps += other.gaps;
        self.unsent += other.unsent;
        self.disconnects += other.disconnects;
        for (code, n) in &other.errors {
            *self.errors.entry(*code).or_default() += n;
        }
        for (code, n) in &other.goaways {
            *self.goaways.entry(*code).or_default() += n;
        }
        if let Some(window) = other.server_window {
            self.window(window);
        }
        self.stall_ns = self.stall_ns.max(other.stall_ns);
        self.verified.add(&other.verified);
        self.wrong_pages += other.wrong_pages;
        for (own, other) in [
            (&mut self.catch_up, &other.catch_up),
            (&mut self.caught_up_after, &other.caught_up_after),
            (&mut self.reads, &other.reads),
            (&mut self.latency, &other.latency),
            (&mut self.ack_latency, &other.ack_latency),
            (&mut self.lateness, &other.lateness),
        ] {
            own.add(other);
        }
        self.timeline.add(&other.timeline);
        self.own = self.own.max(other.own);
        self.traffic.add(&other.traffic);
    }

    /// Why this program may have been the limit, in sentences; none: it was not. `cores_busy`: of all its cores, whoever kept them busy.
    pub fn client_limits(&self, cores_busy: f64) -> Vec<String> {
        let p99 = |latencies: &Latencies| latencies.value_at_quantile(0.99);
        limits(self.own, cores_busy, p99(&self.lateness), p99(&self.latency))
    }

    /// Deliveries that never came (all).
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Range<u64> = 100..200;

    fn attempt(intended_ns: u64) -> Attempt {
        Attempt { place: 0, seq: 0, channel: 0, intended_ns }
    }

    #[test]
    fn only_measured_messages_make_figures_but_all_can_be_lost() {
        let mut t = Tally::default();
        for intended in [50, 150, 250] {
            t.sent(intended, 1, &MEASURED);
            t.acked(attempt(intended), 300, &MEASURED);
        }
        assert!(t.delivered(Arrival::InOrder, 150, 350, &MEASURED));
        assert!(!t.delivered(Arrival::Duplicate, 150, 360, &MEASURED));
        assert_eq!((t.sent_measured, t.acked_measured, t.delivered_measured, t.expected_measured), (1, 1, 1, 1));
        assert_eq!((t.lost(), t.duplicated, t.acked), (2, 1, 3));
        assert_eq!((t.latency.len(), t.latency.max()), (1, 200));
    }

    #[test]
    fn a_refused_publish_is_neither_sent_nor_lost() {
        let mut t = Tally::default();
        t.sent(150, 5, &MEASURED);
        t.refused(attempt(150), 5, &MEASURED);
        assert_eq!((t.sent_measured, t.expected, t.expected_measured, t.lost()), (0, 0, 0, 0));
    }

    #[test]
    fn what_was_measured_can_be_taken_out_and_the_rest_stays() {
        let mut t = Tally::default();
        t.sent(150, 1, &MEASURED);
        t.acked(attempt(150), 160, &MEASURED);
        t.delivered(Arrival::InOrder, 150, 170, &MEASURED);
        let part = t.take_measured();
        assert_eq!((part.sent_measured, part.delivered_measured, part.latency.len(), part.attempts), (1, 1, 1, 0));
        assert_eq!((t.sent_measured, t.expected_measured, t.latency.len(), t.ack_latency.len()), (0, 0, 0, 0));
        assert_eq!((t.attempts, t.acked, t.read, t.lost()), (1, 1, 1, 0));
    }

    #[test]
    fn sums_are_over_all_workers() {
        let mut a = Tally::default();
        let mut b = Tally::default();
        a.sent(150, 1, &MEASURED);
        b.delivered(Arrival::OutOfOrder, 150, 160, &MEASURED);
        b.error(200);
        b.window(8);
        a.add(&b);
        a.add(&b);
        assert_eq!((a.attempts, a.read, a.out_of_order, a.errors[&200], a.server_window), (1, 2, 2, 2, Some(8)));
    }
}
