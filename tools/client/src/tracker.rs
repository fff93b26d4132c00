//! What has been received of one conversation.
//!
//! A conversation reaches a session in two ways: the stream (messages, skips and gaps, in order) and the acks of what the session
//! itself published, which take numbers of the same log, are not in the stream, and may overtake it. The cursor is the place up to
//! which everything was received in one way or the other; acks above it wait as ranges until the stream has caught up.

use std::collections::BTreeMap;

use crate::values::Cursor;

/// Ranges of acked numbers above the cursor that are kept. One range holds any number of publishes in a row.
const ACKED_RANGES_MAX: usize = 1024;

/// What to do with something that came by the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not seen before.
    New,
    /// Received already, by the stream or as an ack.
    Duplicate,
}

/// Numbers are missing: `expected` should have come and `got` came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub expected: Cursor,
    pub got: Cursor,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracker {
    /// Everything up to here was received. None: nothing tells yet where the stream begins.
    cursor: Option<Cursor>,
    /// The highest number that the stream brought, of the cursor's epoch. Above the cursor only while an ack may still fill what lies between.
    stream_seq: u64,
    /// Numbers above the cursor that were received: first -> last.
    above: BTreeMap<u64, u64>,
    /// The epoch of `above`: an ack can tell of a new epoch before the gap does.
    above_epoch: u64,
    /// Up to here acks were forgotten for want of room, so that what is missing here is no hole.
    forgotten_seq: u64,
}

impl Tracker {
    /// A tracker that starts at a known place.
    pub fn at(cursor: Cursor) -> Tracker {
        Tracker { cursor: Some(cursor), stream_seq: cursor.seq, above_epoch: cursor.epoch, ..Tracker::default() }
    }

    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// A message of the stream. A change of epoch without a gap is taken over and reported.
    pub fn message(&mut self, at: Cursor) -> (Verdict, Option<Hole>) {
        let Some(cursor) = self.cursor else {
            return (self.begin(at), None);
        };
        if at.epoch != cursor.epoch {
            self.restart(Cursor { epoch: at.epoch, seq: at.seq });
            return (Verdict::New, Some(Hole { expected: Cursor { seq: cursor.seq + 1, ..cursor }, got: at }));
        }
        if at.seq <= cursor.seq || self.is_above(at.seq) {
            return (Verdict::Duplicate, None);
        }
        self.stream_seq = self.stream_seq.max(at.seq);
        self.insert(at.seq, at.seq);
        self.absorb();
        (Verdict::New, None)
    }

    /// The stream says that `from ..= to` will not come.
    pub fn skip(&mut self, epoch: u64, from: u64, to: u64) -> (Verdict, Option<Hole>) {
        let first = Cursor { epoch, seq: from };
        if to < from {
            return (Verdict::Duplicate, None);
        }
        match self.cursor {
            None => {
                self.restart(Cursor { epoch, seq: to });
                (Verdict::New, None)
            }
            Some(cursor) if cursor.epoch != epoch => {
                self.restart(Cursor { epoch, seq: to });
                (Verdict::New, Some(Hole { expected: Cursor { seq: cursor.seq + 1, ..cursor }, got: first }))
            }
            Some(cursor) if to <= cursor.seq => (Verdict::Duplicate, None),
            Some(_) => {
                self.stream_seq = self.stream_seq.max(to);
                self.insert(from, to);
                self.absorb();
                (Verdict::New, None)
            }
        }
    }

    /// The stream starts again at `first`, whatever the cursor was.
    pub fn gap(&mut self, epoch: u64, first: u64) {
        self.restart(Cursor { epoch, seq: first.saturating_sub(1) });
    }

    /// The stream begins behind `cursor`, which counts unless a place is known already. Says whether it was taken.
    pub fn begins_at(&mut self, cursor: Cursor) -> bool {
        let fresh = self.cursor.is_none();
        if fresh {
            self.restart(cursor);
        }
        fresh
    }

    /// The stream begins again behind the cursor: on a new connection, or because it was asked to.
    pub fn rewind(&mut self) {
        self.stream_seq = self.cursor.map_or(0, |cursor| cursor.seq);
    }

    /// This session wrote `at`.
    pub fn ack(&mut self, at: Cursor) {
        if self.cursor.is_some_and(|c| c.epoch == at.epoch && at.seq <= c.seq) {
            return;
        }
        if at.epoch != self.above_epoch {
            self.above.clear();
            self.above_epoch = at.epoch;
            self.forgotten_seq = 0;
        }
        if self.cursor.is_none() && at.seq == 1 {
            self.restart(Cursor { epoch: at.epoch, seq: 0 });
        }
        self.insert(at.seq, at.seq);
        self.absorb();
        if self.above.len() > ACKED_RANGES_MAX
            && let Some((_, end)) = self.above.pop_first()
        {
            self.forgotten_seq = self.forgotten_seq.max(end);
        }
    }

    /// Whether the stream has gone past numbers that nothing brought yet.
    pub fn unsettled(&self) -> bool {
        self.cursor.is_some_and(|cursor| self.stream_seq > cursor.seq)
    }

    /// Gives up numbers that the stream has gone past, when no ack can bring them any more: call it while it tells holes.
    pub fn settle(&mut self) -> Option<Hole> {
        while self.unsettled() {
            let cursor = self.cursor?;
            let expected = Cursor { seq: cursor.seq + 1, ..cursor };
            let got = Cursor { seq: self.above.keys().next().copied().unwrap_or(self.stream_seq), ..cursor };
            self.cursor = Some(Cursor { seq: if self.above.is_empty() { got.seq } else { got.seq - 1 }, ..cursor });
            self.absorb();
            if expected.seq > self.forgotten_seq {
                return Some(Hole { expected, got });
            }
        }
        None
    }

    /// The first that the stream brings: it begins here.
    fn begin(&mut self, at: Cursor) -> Verdict {
        let seen = self.above_epoch == at.epoch && self.is_above(at.seq);
        self.restart(at);
        if seen { Verdict::Duplicate } else { Verdict::New }
    }

    fn restart(&mut self, cursor: Cursor) {
        self.cursor = Some(cursor);
        self.stream_seq = cursor.seq;
        if self.above_epoch != cursor.epoch {
            self.above.clear();
            self.above_epoch = cursor.epoch;
            self.forgotten_seq = 0;
        }
        self.absorb();
    }

    fn is_above(&self, seq: u64) -> bool {
        self.above.range(..=seq).next_back().is_some_and(|(_, &last)| seq <= last)
    }

    /// Adds `first ..= last` and joins it with what it touches.
    fn insert(&mut self, mut first: u64, mut last: u64) {
        if let Some((&start, &end)) = self.above.range(..=first).next_back()
            && end + 1 >= first
        {
            (first, last) = (start, last.max(end));
        }
        while let Some((&start, &end)) = self.above.range(first..=last.saturating_add(1)).next() {
            self.above.remove(&start);
            last = last.max(end);
        }
        self.above.insert(first, last);
    }

    /// Moves the cursor over what is received without interruption.
    fn absorb(&mut self) {
        let Some(cursor) = self.cursor.filter(|c| c.epoch == self.above_epoch) else {
            return;
        };
        let mut seq = cursor.seq;
        while let Some((&first, &last)) = self.above.first_key_value()
            && first <= seq + 1
        {
            self.above.pop_first();
            seq = seq.max(last);
        }
        self.cursor = Some(Cursor { seq, ..cursor });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Cursor {
        Cursor { epoch: 7, seq }
    }

    fn receive(tracker: &mut Tracker, seq: u64) -> (Verdict, Option<Hole>) {
        let (verdict, hole) = tracker.message(at(seq));
        (verdict, hole.or_else(|| tracker.settle()))
    }

    #[test]
    fn the_first_message_says_where_the_stream_begins() {
        let mut tracker = Tracker::default();
        assert_eq!(receive(&mut tracker, 40), (Verdict::New, None));
        assert_eq!(tracker.cursor(), Some(at(40)));
        assert_eq!(receive(&mut tracker, 41), (Verdict::New, None));
        assert_eq!(receive(&mut tracker, 41), (Verdict::Duplicate, None));
        assert_eq!(receive(&mut tracker, 3), (Verdict::Duplicate, None));
        assert_eq!(tracker.cursor(), Some(at(41)));
    }

    #[test]
    fn an_ack_moves_the_cursor_when_nothing_lies_between() {
        let mut tracker = Tracker::at(at(4));
        tracker.ack(at(5));
        assert_eq!(tracker.cursor(), Some(at(5)));
        let mut fresh = Tracker::default();
        fresh.ack(at(1));
        assert_eq!(fresh.cursor(), Some(at(1)));
    }

    #[test]
    fn an_ack_above_the_backlog_waits_for_it() {
        let mut tracker = Tracker::at(at(4));
        tracker.ack(at(7));
        tracker.ack(at(8));
        assert_eq!(tracker.cursor(), Some(at(4)));
        assert!(!tracker.unsettled(), "the stream has not gone past anything");
        assert_eq!(receive(&mut tracker, 5), (Verdict::New, None));
        assert_eq!(receive(&mut tracker, 6), (Verdict::New, None));
        assert_eq!(tracker.cursor(), Some(at(8)));
        assert_eq!(receive(&mut tracker, 9), (Verdict::New, None));
    }

    #[test]
    fn an_ack_before_the_beginning_is_known_is_kept() {
        let mut tracker = Tracker::default();
        tracker.ack(at(7));
        assert_eq!(tracker.cursor(), None);
        assert_eq!(receive(&mut tracker, 5), (Verdict::New, None));
        assert_eq!(receive(&mut tracker, 6), (Verdict::New, None));
        assert_eq!(tracker.cursor(), Some(at(7)));
    }

    #[test]
    fn a_hole_is_told_once() {
        let mut tracker = Tracker::at(at(4));
        assert_eq!(receive(&mut tracker, 6), (Verdict::New, Some(Hole { expected: at(5), got: at(6) })));
        assert_eq!(tracker.cursor(), Some(at(6)));
        assert_eq!(receive(&mut tracker, 7), (Verdict::New, None));
    }

    #[test]
    fn an_ack_that_comes_after_later_messages_is_no_hole() {
        let mut tracker = Tracker::at(at(4));
        assert_eq!(tracker.message(at(6)), (Verdict::New, None));
        assert!(tracker.unsettled());
        assert_eq!(tracker.cursor(), Some(at(4)), "a resume now would ask for 5 again");
        assert_eq!(tracker.message(at(6)), (Verdict::Duplicate, None));
        tracker.ack(at(5));
        assert_eq!(tracker.settle(), None);
        assert_eq!(tracker.cursor(), Some(at(6)));
    }

    #[test]
    fn every_hole_is_told() {
        let mut tracker = Tracker::at(at(4));
        tracker.ack(at(6));
        tracker.message(at(8));
        assert_eq!(tracker.settle(), Some(Hole { expected: at(5), got: at(6) }));
        assert_eq!(tracker.settle(), Some(Hole { expected: at(7), got: at(8) }));
        assert_eq!(tracker.settle(), None);
        assert_eq!(tracker.cursor(), Some(at(8)));
    }

    #[test]
    fn skips_move_the_cursor_and_must_touch_it() {
        let mut tracker = Tracker::at(at(4));
        assert_eq!(tracker.skip(7, 5, 9), (Verdict::New, None));
        assert_eq!((tracker.settle(), tracker.cursor()), (None, Some(at(9))));
        assert_eq!(tracker.skip(7, 5, 9), (Verdict::Duplicate, None));
        assert_eq!(tracker.skip(7, 12, 13), (Verdict::New, None));
        assert_eq!(tracker.settle(), Some(Hole { expected: at(10), got: at(12) }));
        assert_eq!(tracker.cursor(), Some(at(13)));
    }

    #[test]
    fn a_gap_starts_again_also_backwards_and_in_another_epoch() {
        let mut tracker = Tracker::at(at(40));
        tracker.gap(7, 10);
        assert_eq!(tracker.cursor(), Some(at(9)));
        assert_eq!(receive(&mut tracker, 10), (Verdict::New, None));
        tracker.ack(Cursor { epoch: 8, seq: 3 });
        assert_eq!(tracker.cursor(), Some(at(10)), "an ack of a new epoch waits for the gap");
        tracker.gap(8, 1);
        assert_eq!(tracker.message(Cursor { epoch: 8, seq: 1 }), (Verdict::New, None));
        assert_eq!(tracker.message(Cursor { epoch: 8, seq: 2 }), (Verdict::New, None));
        assert_eq!(tracker.cursor(), Some(Cursor { epoch: 8, seq: 3 }));
    }

    #[test]
    fn an_epoch_that_changes_without_a_gap_is_a_hole() {
        let mut tracker = Tracker::at(at(4));
        let got = Cursor { epoch: 8, seq: 1 };
        assert_eq!(tracker.message(got), (Verdict::New, Some(Hole { expected: at(5), got })));
        assert_eq!(tracker.cursor(), Some(got));
    }

    #[test]
    fn ranges_are_bounded_and_what_was_forgotten_is_no_hole() {
        let mut tracker = Tracker::at(at(0));
        for n in 0..=ACKED_RANGES_MAX as u64 {
            tracker.ack(at(2 + 2 * n));
        }
        assert_eq!(tracker.above.len(), ACKED_RANGES_MAX);
        assert_eq!(receive(&mut tracker, 1), (Verdict::New, None));
        assert_eq!(receive(&mut tracker, 3), (Verdict::New, None), "2 was acked and forgotten");
        assert_eq!(tracker.cursor(), Some(at(4)));
    }

    /// A log of which some records are one's own: the stream brings the others, acks come whenever they like, and connections break.
    /// After a reconnect the stream begins behind the cursor and brings one's own records as well.
    fn everything_comes_once(seed: u64) {
        let mut state = seed;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        const LAST: u64 = 60;
        let own: Vec<bool> = (0..=LAST).map(|_| draw(3) == 0).collect();
        let mut tracker = Tracker::at(at(0));
        let (mut seen, mut resumed_after, mut stream) = (vec![0; LAST as usize + 1], 0, 1);
        let mut unacked: Vec<u64> = (1..=LAST).filter(|&seq| own[seq as usize]).collect();
        while tracker.cursor() != Some(at(LAST)) {
            match draw(12) {
                0 => {
                    resumed_after = stream - 1;
                    stream = tracker.cursor().map_or(1, |c| c.seq + 1);
                }
                1..=3 if !unacked.is_empty() => {
                    let which = draw(unacked.len() as u64) as usize;
                    tracker.ack(at(unacked.swap_remove(which)));
                }
                _ if stream <= LAST => {
                    // Own records come by the stream only when they were written before the connection was made.
                    if !own[stream as usize] || stream <= resumed_after {
                        let (verdict, hole) = tracker.message(at(stream));
                        assert_eq!(hole, None, "seed {seed}");
                        seen[stream as usize] += u64::from(verdict == Verdict::New);
                    }
                    stream += 1;
                }
                _ => {}
            }
            if unacked.is_empty() {
                assert_eq!(tracker.settle(), None, "seed {seed}: a hole that is none");
            }
        }
        for seq in 1..=LAST as usize {
            assert!(seen[seq] <= 1 && (own[seq] || seen[seq] == 1), "seed {seed}: message {seq} came {} times", seen[seq]);
        }
    }

    #[test]
    fn everything_comes_once_whatever_the_order() {
        (0..2_000).for_each(everything_comes_once);
    }
}
