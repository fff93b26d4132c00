//! What one who joins groups and leaves them gets: what is numbered between his joining and his leaving, in order, without a hole, and nothing else.
//! One who leaves before he has caught up with his group is no member any more when the rest would come, so its end may be missing.

use super::{Arrival, Tracker};

/// One membership.
#[derive(Debug)]
struct Visit {
    channel: u32,
    epoch: u64,
    seen: Tracker,
    /// The first number that he is to get.
    from: u64,
    /// The number of his leaving.
    until: Option<u64>,
}

/// What one membership after the other brought.
#[derive(Debug, Default)]
pub struct Visits {
    /// The last one may go on; the others are over, and something of them is still to come.
    visits: Vec<Visit>,
}

/// What came through a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited {
    /// It belongs to a membership.
    Heard(Arrival),
    /// It does not.
    NotForHim,
}

impl Visits {
    /// He is a member and gets what is numbered from `next` on.
    pub fn begins(&mut self, channel: u32, epoch: u64, next: u64) {
        self.visits.push(Visit { channel, epoch, seen: Tracker::from(next), from: next, until: None });
    }

    /// He left; his leaving has this number. False: he was in no such group.
    pub fn ends(&mut self, channel: u32, epoch: u64, seq: u64) -> bool {
        let open = |visit: &&mut Visit| visit.channel == channel && visit.epoch == epoch && visit.until.is_none();
        let Some(visit) = self.visits.iter_mut().find(open) else { return false };
        visit.until = Some(seq);
        self.forget_complete();
        true
    }

    /// A message or record of this number came.
    pub fn take(&mut self, channel: u32, epoch: u64, seq: u64) -> Visited {
        let holds = |visit: &&mut Visit| {
            visit.channel == channel && visit.epoch == epoch && seq >= visit.from && visit.until.is_none_or(|until| seq < until)
        };
        let Some(visit) = self.visits.iter_mut().find(holds) else { return Visited::NotForHim };
        let arrival = visit.seen.take(seq);
        self.forget_complete();
        Visited::Heard(arrival)
    }

    /// What was passed over and never came.
    pub fn missing(&self) -> u64 {
        self.visits.iter().map(|visit| visit.seen.missing()).sum()
    }

    /// Ends of memberships that never came.
    pub fn cut_off(&self) -> u64 {
        let cut_off = |visit: &Visit| visit.until.map_or(0, |until| visit.seen.missing_below(until) - visit.seen.missing());
        self.visits.iter().map(cut_off).sum()
    }

    fn forget_complete(&mut self) {
        self.visits.retain(|visit| visit.until.is_none_or(|until| visit.seen.complete_to() < until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Visited = Visited::Heard(Arrival::InOrder);

    #[test]
    fn what_lies_between_joining_and_leaving_comes_once() {
        let mut visits = Visits::default();
        visits.begins(3, 7, 5);
        assert_eq!([visits.take(3, 7, 5), visits.take(3, 7, 6)], [NEW, NEW]);
        assert_eq!(visits.take(3, 7, 6), Visited::Heard(Arrival::Duplicate));
        assert_eq!([visits.take(3, 7, 4), visits.take(4, 7, 7), visits.take(3, 8, 7)], [Visited::NotForHim; 3]);
        assert!(visits.ends(3, 7, 9));
        assert_eq!((visits.missing(), visits.cut_off()), (0, 2));
        assert_eq!(
            [visits.take(3, 7, 7), visits.take(3, 7, 8)],
            [NEW, NEW],
            "what is numbered before his leaving may come after it"
        );
        assert_eq!((visits.cut_off(), visits.take(3, 7, 8), visits.take(3, 7, 10)), (0, Visited::NotForHim, Visited::NotForHim));
        assert!(!visits.ends(3, 7, 9));
    }

    #[test]
    fn he_may_come_again_while_something_is_still_to_come() {
        let mut visits = Visits::default();
        visits.begins(3, 7, 5);
        assert!(visits.ends(3, 7, 7));
        visits.begins(3, 7, 10);
        assert_eq!([visits.take(3, 7, 10), visits.take(3, 7, 12), visits.take(3, 7, 5)], [NEW; 3]);
        assert_eq!((visits.missing(), visits.cut_off()), (1, 1), "11 of the second time, 6 of the first");
        assert_eq!([visits.take(3, 7, 6), visits.take(3, 7, 11)], [NEW, Visited::Heard(Arrival::OutOfOrder)]);
        assert_eq!((visits.missing(), visits.cut_off()), (0, 0));
    }

    #[test]
    fn a_membership_in_which_nothing_was_said_is_complete() {
        let mut visits = Visits::default();
        visits.begins(1, 7, 2);
        assert!(visits.ends(1, 7, 2));
        assert_eq!((visits.missing(), visits.cut_off()), (0, 0));
    }
}
