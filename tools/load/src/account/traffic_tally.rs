//! What traffic counts besides what every run counts.

use super::Latencies;

/// Parts of a run that are told apart: before something happens, while it does, and after it.
pub const PHASES: usize = 3;

/// Latencies in ns by class of conversation and phase; only what occurs takes memory.
#[derive(Debug, Default)]
pub struct ByClass(Vec<Option<Latencies>>);

impl ByClass {
    /// A delivery took so long.
    pub fn record(&mut self, class: u8, phase: usize, ns: u64) {
        self.at(usize::from(class) * PHASES + phase).saturating_record(ns);
    }

    fn at(&mut self, place: usize) -> &mut Latencies {
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place].get_or_insert_default()
    }

    /// Those of a class in a phase, if there were any.
    pub fn get(&self, class: u8, phase: usize) -> Option<&Latencies> {
        self.0.get(usize::from(class) * PHASES + phase)?.as_ref()
    }

    /// Adds what another worker measured.
    pub fn add(&mut self, other: &ByClass) {
        for (place, histogram) in other.0.iter().enumerate() {
            if let Some(histogram) = histogram {
                self.at(place).add(histogram);
            }
        }
    }
}

/// Counts of the whole run, with its warm-up and drain.
#[derive(Debug, Default)]
pub struct TrafficTally {
    /// Measured deliveries.
    pub by_class: ByClass,
    /// Sessions that were dropped on purpose.
    pub dropped: u64,
    /// Sessions that came back and had everything again, lost ones included.
    pub returned: u64,
    /// Sessions that were away at the end.
    pub away: u64,
    /// From the time at which a session was to come back to its welcome, ns.
    pub relogins: Latencies,
    /// From the same time until it had all that was there when it came, ns.
    pub returns: Latencies,
    /// Publishes that had no answer when their connection ended and were sent again.
    pub asked_again: u64,
    /// Of those, the server said that it had them.
    pub had_been_taken: u64,
    /// Entries of a resume list that the server refused.
    pub not_resumed: u64,
    /// Numbers of logs that a session passed over and never got: a hole that nobody announced.
    pub holes: u64,
    /// Numbers that a topic's filter passed over, as announced.
    pub filtered: u64,
    /// Receipts that were answered.
    pub receipts: u64,
    /// Receipts of others that were told.
    pub receipt_events: u64,
    /// Times that a user was said to come or to go.
    pub presence_events: u64,
    /// Joins and leaves, from when they were meant to begin to their ack, ns.
    pub moves: Latencies,
    /// Joins and leaves for which nobody was free.
    pub moves_left_out: u64,
    /// Messages and records that those who joined and left got.
    pub visited: u64,
    /// Those that they passed over and never got.
    pub visits_missing: u64,
    /// Those that were numbered before they left, and did not come because they had not caught up.
    pub visits_cut_off: u64,
}

impl TrafficTally {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &TrafficTally) {
        self.by_class.add(&other.by_class);
        for (own, other) in
            [(&mut self.relogins, &other.relogins), (&mut self.returns, &other.returns), (&mut self.moves, &other.moves)]
        {
            own.add(other);
        }
        for (own, other) in [
            (&mut self.dropped, other.dropped),
            (&mut self.returned, other.returned),
            (&mut self.away, other.away),
            (&mut self.asked_again, other.asked_again),
            (&mut self.had_been_taken, other.had_been_taken),
            (&mut self.not_resumed, other.not_resumed),
            (&mut self.holes, other.holes),
            (&mut self.filtered, other.filtered),
            (&mut self.receipts, other.receipts),
            (&mut self.receipt_events, other.receipt_events),
            (&mut self.presence_events, other.presence_events),
            (&mut self.moves_left_out, other.moves_left_out),
            (&mut self.visited, other.visited),
            (&mut self.visits_missing, other.visits_missing),
            (&mut self.visits_cut_off, other.visits_cut_off),
        ] {
            *own += other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_kept_apart_by_class_and_phase() {
        let (mut a, mut b) = (ByClass::default(), ByClass::default());
        a.record(1, 2, 100);
        b.record(1, 2, 300);
        b.record(0, 0, 50);
        a.add(&b);
        let counts = [(0, 0), (0, 1), (1, 2)].map(|(class, phase)| a.get(class, phase).map(|latencies| latencies.len()));
        assert_eq!(counts, [Some(1), None, Some(2)]);
        assert_eq!(a.get(1, 2).unwrap().max(), 300);
    }

    #[test]
    fn sums_are_over_all_workers() {
        let (mut a, mut b) = (TrafficTally::default(), TrafficTally::default());
        b.returned = 2;
        b.holes = 1;
        b.returns.record(7).unwrap();
        a.add(&b);
        a.add(&b);
        assert_eq!((a.returned, a.holes, a.returns.len()), (4, 2, 2));
    }
}
