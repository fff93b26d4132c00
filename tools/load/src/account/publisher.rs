//! When a publisher may send, and what it still waits for. Knows no socket and no clock.

use std::collections::VecDeque;

/// Most places of a window: a place and its attempt share the 64 bits of a `ref`.
pub const WINDOW_MAX: u32 = 1 << 16;
const PLACE_BITS: u32 = 16;

/// How a publisher decides to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many messages are outstanding, each until its ack and all its deliveries were read.
    Window(u32),
    /// Messages fall due by the clock, whatever became of those before them.
    Rate,
}

/// A message that is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// For [`super::Header::place`].
    pub place: u32,
    /// For [`super::Header::seq`].
    pub seq: u64,
    /// For [`super::Header::channel`].
    pub channel: u32,
    /// For [`super::Header::intended_ns`].
    pub intended_ns: u64,
}

impl Attempt {
    /// The `ref` of the publish frame. Never 0, and never one of the small numbers that setting up uses.
    pub fn reference(&self) -> u64 {
        (self.seq + 1) << PLACE_BITS | u64::from(self.place)
    }
}

/// A message that waits to be sent.
#[derive(Clone, Copy, Debug)]
struct Due {
    intended_ns: u64,
    channel: u32,
}

/// One publishing connection's messages.
#[derive(Debug)]
pub struct Publisher {
    pace: Pace,
    /// Most publishes without an answer: the window that the server told in its welcome.
    unanswered_max: u32,
    unanswered: u32,
    /// By place: what holds it, and whether the answer is still to come.
    places: Vec<Option<(Attempt, bool)>>,
    free: Vec<u32>,
    /// Messages that fell due, or were refused for now, and are not on their way.
    waiting: VecDeque<Due>,
    /// Messages that had no answer when their connection ended: they are sent again as they were, one at a time and before all others, because
    /// nobody knows which of them were taken.
    unknown: VecDeque<Attempt>,
    /// One of them is on its way.
    asking: Option<Attempt>,
    held_until_ns: u64,
    next_seq: u64,
}

impl Publisher {
    /// A publisher that has sent nothing. `window` is what the server allows without an answer.
    pub fn new(pace: Pace, window: u32) -> Publisher {
        Publisher {
            pace,
            unanswered_max: window.clamp(1, WINDOW_MAX),
            unanswered: 0,
            places: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            unknown: VecDeque::new(),
            asking: None,
            held_until_ns: 0,
            next_seq: 0,
        }
    }

    /// A message falls due (open loop).
    pub fn due(&mut self, intended_ns: u64, channel: u32) {
        self.waiting.push_back(Due { intended_ns, channel });
    }

    /// The connection ended; there will be another one.
    pub fn disconnected(&mut self) {
        let mut lost: Vec<Attempt> =
            self.places.iter().flatten().filter(|(_, open)| *open).map(|(attempt, _)| *attempt).collect();
        lost.sort_unstable_by_key(|attempt| attempt.seq);
        self.unknown = lost.into();
        self.asking = None;
        self.unanswered = 0;
    }

    /// It is there.
    pub fn connected(&mut self, window: u32) {
        self.unanswered_max = window.clamp(1, WINDOW_MAX);
    }

    /// A message that must be sent again with the same idempotency key, if it is time for one.
    pub fn next_again(&mut self, now_ns: u64) -> Option<Attempt> {
        if now_ns < self.held_until_ns || self.asking.is_some() {
            return None;
        }
        self.asking = self.unknown.pop_front();
        self.unanswered += u32::from(self.asking.is_some());
        self.asking
    }

    /// The next message that may leave at `now_ns`, if any. Its place is taken from now on.
    pub fn next(&mut self, now_ns: u64) -> Option<Attempt> {
        let is_unsure = self.asking.is_some() || !self.unknown.is_empty();
        if now_ns < self.held_until_ns || self.unanswered >= self.unanswered_max || is_unsure {
            return None;
        }
        let due = match self.waiting.pop_front() {
            Some(due) => due,
            None if self.has_room() => Due { intended_ns: now_ns, channel: 0 },
            None => return None,
        };
        Some(self.begin(due))
    }

    /// Messages that wait keep their part of the window.
    fn has_room(&self) -> bool {
        match self.pace {
            Pace::Window(window) => self.places.len() - self.free.len() + self.waiting.len() < window as usize,
            Pace::Rate => false,
        }
    }

    fn begin(&mut self, due: Due) -> Attempt {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        let attempt = Attempt { place, seq: self.next_seq, channel: due.channel, intended_ns: due.intended_ns };
        self.next_seq += 1;
        self.unanswered += 1;
        self.places[place as usize] = Some((attempt, true));
        attempt
    }

    /// The server acknowledged. Open loop: the place is free; closed loop: [`Self::finished`] will free it.
    pub fn acked(&mut self, reference: u64) -> Option<Attempt> {
        let attempt = self.answered(reference)?;
        self.asking.take_if(|asking| *asking == attempt);
        if self.pace == Pace::Rate {
            self.finished(attempt.place);
        }
        Some(attempt)
    }

    /// The server refused. With `again_ns` the message waits, in front of all others, and nothing is sent before that time.
    ///
    /// None: it had been sent before, and was perhaps taken then. Nothing is known by this answer, and it is asked again.
    pub fn refused(&mut self, reference: u64, again_ns: Option<u64>) -> Option<Attempt> {
        let attempt = self.answered(reference)?;
        if let Some(asked) = self.asking.take_if(|asking| *asking == attempt) {
            self.places[asked.place as usize] = Some((asked, true));
            self.unknown.push_front(asked);
            self.hold(again_ns.unwrap_or(0));
            return None;
        }
        self.finished(attempt.place);
        if let Some(again_ns) = again_ns {
            self.waiting.push_front(Due { intended_ns: attempt.intended_ns, channel: attempt.channel });
            self.hold(again_ns);
        }
        Some(attempt)
    }

    /// Nothing leaves before that time.
    pub fn hold(&mut self, until_ns: u64) {
        self.held_until_ns = self.held_until_ns.max(until_ns);
    }

    fn answered(&mut self, reference: u64) -> Option<Attempt> {
        let place = (reference & u64::from(WINDOW_MAX - 1)) as usize;
        let (attempt, unanswered) = self.places.get_mut(place)?.as_mut()?;
        if !*unanswered || attempt.reference() != reference {
            return None;
        }
        *unanswered = false;
        self.unanswered -= 1;
        Some(*attempt)
    }

    /// All that was outstanding of the message in this place has come.
    pub fn finished(&mut self, place: u32) {
        if self.places[place as usize].take().is_some() {
            self.free.push(place);
        }
    }

    /// When a held publisher may go on, if it is held.
    pub fn held_until_ns(&self, now_ns: u64) -> Option<u64> {
        (self.held_until_ns > now_ns).then_some(self.held_until_ns)
    }

    /// Messages that were due and are not on their way.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Forgets them, and says how many they were.
    pub fn give_up_waiting(&mut self) -> usize {
        std::mem::take(&mut self.waiting).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(p: &mut Publisher, now_ns: u64) -> Vec<Attempt> {
        std::iter::from_fn(|| p.next(now_ns)).collect()
    }

    #[test]
    fn a_closed_loop_keeps_its_window_full_and_no_fuller() {
        let mut p = Publisher::new(Pace::Window(3), 100);
        let first = drain(&mut p, 10);
        assert_eq!(first.iter().map(|a| (a.place, a.seq)).collect::<Vec<_>>(), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(p.acked(first[1].reference()), Some(first[1]));
        assert_eq!(p.next(20), None, "acknowledged, but not all deliveries were read");
        p.finished(1);
        assert_eq!(drain(&mut p, 30), [Attempt { place: 1, seq: 3, channel: 0, intended_ns: 30 }]);
    }

    #[test]
    fn an_answer_counts_once_and_only_for_its_attempt() {
        let mut p = Publisher::new(Pace::Window(1), 100);
        let a = p.next(0).unwrap();
        assert!(p.acked(a.reference()).is_some());
        assert_eq!(p.acked(a.reference()), None);
        p.finished(a.place);
        let b = p.next(0).unwrap();
        assert_eq!(p.acked(a.reference()), None, "an old answer for a place that is used again");
        assert!(p.acked(b.reference()).is_some());
        assert_eq!(p.acked(99), None);
    }

    #[test]
    fn the_servers_window_bounds_what_is_unanswered() {
        let mut p = Publisher::new(Pace::Window(10), 4);
        let sent = drain(&mut p, 0);
        assert_eq!(sent.len(), 4);
        p.acked(sent[0].reference());
        assert_eq!(drain(&mut p, 0).len(), 1);
    }

    #[test]
    fn a_refused_message_comes_again_later_with_its_first_intended_time() {
        let mut p = Publisher::new(Pace::Window(2), 100);
        let sent = drain(&mut p, 5);
        p.refused(sent[0].reference(), Some(50));
        assert_eq!(p.next(49), None);
        assert_eq!(p.held_until_ns(49), Some(50));
        assert_eq!(drain(&mut p, 60), [Attempt { place: 0, seq: 2, channel: 0, intended_ns: 5 }]);
        p.refused(sent[1].reference(), None);
        assert_eq!(drain(&mut p, 70), [Attempt { place: 1, seq: 3, channel: 0, intended_ns: 70 }]);
    }

    #[test]
    fn an_open_loop_sends_what_is_due_with_the_time_it_was_due() {
        let mut p = Publisher::new(Pace::Rate, 2);
        assert_eq!(p.next(100), None);
        (1..=3).for_each(|t| p.due(t, 7));
        let sent = drain(&mut p, 100);
        assert_eq!(sent.iter().map(|a| a.intended_ns).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(p.waiting(), 1);
        p.acked(sent[0].reference());
        assert_eq!(p.next(200).map(|a| (a.intended_ns, a.place, a.channel)), Some((3, 0, 7)));
    }

    #[test]
    fn what_had_no_answer_is_asked_again_as_it_was_one_by_one_and_first() {
        let mut p = Publisher::new(Pace::Rate, 10);
        (1..=4).for_each(|t| p.due(t, t as u32));
        let sent = drain(&mut p, 5);
        p.acked(sent[1].reference());
        p.due(6, 6);
        p.disconnected();
        p.connected(10);
        assert_eq!((p.next(7), p.next_again(7), p.next_again(7)), (None, Some(sent[0]), None));
        assert_eq!(p.acked(sent[0].reference()), Some(sent[0]));
        assert_eq!((p.next_again(8), p.next(8)), (Some(sent[2]), None));
        assert_eq!(p.refused(sent[2].reference(), Some(50)), None, "it may have been taken the first time");
        assert_eq!((p.next_again(49), p.next_again(50)), (None, Some(sent[2])));
        assert_eq!(p.acked(sent[2].reference()), Some(sent[2]));
        assert_eq!(p.next_again(51), Some(sent[3]));
        p.disconnected();
        assert_eq!(p.next_again(52), Some(sent[3]), "the connection ended again");
        assert_eq!(p.acked(sent[3].reference()), Some(sent[3]));
        assert_eq!((p.next_again(53), p.next(53).map(|a| (a.channel, a.seq))), (None, Some((6, 4))));
    }
}
