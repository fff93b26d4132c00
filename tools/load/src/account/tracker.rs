//! What one receiver got from one publisher, judged by the sequence numbers in the payload.

use std::ops::Range;

/// What a received number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Seen for the first time, and nothing later was seen before it.
    InOrder,
    /// Seen for the first time, but after a later one.
    OutOfOrder,
    /// Seen before.
    Duplicate,
}

/// The numbers that were seen: all below `next` except those in `holes`.
#[derive(Debug, Default)]
pub struct Tracker {
    next: u64,
    /// Ascending, disjoint. Empty unless something was lost, refused or reordered, so it costs nothing in a good run.
    holes: Vec<Range<u64>>,
}

impl Tracker {
    /// Takes a number.
    pub fn take(&mut self, seq: u64) -> Arrival {
        if seq == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        if seq > self.next {
            self.holes.push(self.next..seq);
            self.next = seq + 1;
            return Arrival::InOrder;
        }
        self.fill(seq)
    }

    fn fill(&mut self, seq: u64) -> Arrival {
        let at = self.holes.partition_point(|hole| hole.end <= seq);
        let Some(hole) = self.holes.get(at).filter(|hole| hole.contains(&seq)).cloned() else {
            return Arrival::Duplicate;
        };
        let rest = [hole.start..seq, seq + 1..hole.end];
        self.holes.splice(at..=at, rest.into_iter().filter(|r| !r.is_empty()));
        Arrival::OutOfOrder
    }
}

#[cfg(test)]
mod tests {
    use super::Arrival::*;
    use super::*;

    fn arrivals(seqs: &[u64]) -> Vec<Arrival> {
        let mut tracker = Tracker::default();
        seqs.iter().map(|s| tracker.take(*s)).collect()
    }

    #[test]
    fn numbers_in_order_are_in_order() {
        assert_eq!(arrivals(&[0, 1, 2, 3]), [InOrder; 4]);
    }

    #[test]
    fn a_number_seen_twice_is_a_duplicate_wherever_it_stands() {
        assert_eq!(arrivals(&[0, 0, 1, 0, 1]), [InOrder, Duplicate, InOrder, Duplicate, Duplicate]);
    }

    #[test]
    fn a_late_number_is_out_of_order_once_and_a_duplicate_then() {
        assert_eq!(arrivals(&[0, 3, 2, 1, 2, 4]), [InOrder, InOrder, OutOfOrder, OutOfOrder, Duplicate, InOrder]);
    }

    #[test]
    fn holes_are_split_and_forgotten() {
        let mut tracker = Tracker::default();
        tracker.take(10);
        assert_eq!(tracker.take(5), OutOfOrder);
        assert_eq!(tracker.holes, [0..5, 6..10]);
        for seq in [0, 1, 2, 3, 4, 6, 7, 8, 9] {
            assert_eq!(tracker.take(seq), OutOfOrder);
        }
        assert!(tracker.holes.is_empty());
    }
}
