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
    /// Numbers from `first` on; all below count as seen.
    pub fn from(first: u64) -> Tracker {
        Tracker { next: first, holes: Vec::new() }
    }

    /// Up to where nothing is missing: the lowest number that was not seen.
    pub fn complete_to(&self) -> u64 {
        self.holes.first().map_or(self.next, |hole| hole.start)
    }

    /// Numbers below `end` that were not seen.
    pub fn missing_below(&self, end: u64) -> u64 {
        let of_hole = |hole: &Range<u64>| hole.end.min(end).saturating_sub(hole.start);
        self.holes.iter().map(of_hole).sum::<u64>() + end.saturating_sub(self.next)
    }

    /// Numbers that were passed over and not seen.
    pub fn missing(&self) -> u64 {
        self.missing_below(self.next)
    }

    /// Takes a whole range, whatever of it was seen.
    pub fn take_range(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if range.end > self.next {
            if range.start > self.next {
                self.holes.push(self.next..range.start);
            }
            self.next = range.end;
        }
        let rest = |hole: Range<u64>| [hole.start..hole.end.min(range.start), hole.start.max(range.end)..hole.end];
        let holes = std::mem::take(&mut self.holes);
        self.holes = holes.into_iter().flat_map(rest).filter(|hole| !hole.is_empty()).collect();
    }

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
    fn ranges_fill_what_they_cover() {
        let mut tracker = Tracker::from(5);
        assert_eq!((tracker.complete_to(), tracker.take(4)), (5, Duplicate));
        tracker.take_range(5..8);
        tracker.take_range(12..14);
        assert_eq!(
            (tracker.complete_to(), tracker.missing(), tracker.missing_below(10), tracker.missing_below(20)),
            (8, 4, 2, 10)
        );
        tracker.take_range(9..11);
        assert_eq!(tracker.holes, [8..9, 11..12]);
        tracker.take_range(3..30);
        assert_eq!((tracker.complete_to(), tracker.missing()), (30, 0));
        tracker.take_range(7..7);
        assert_eq!(tracker.complete_to(), 30);
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
