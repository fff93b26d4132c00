//! Where a session stands in one conversation: what it has of the numbered log, as a client keeps its cursor.

use std::ops::Range;

use super::{Arrival, Tracker};

/// One conversation of one session.
#[derive(Debug)]
pub struct Room {
    /// Number of the conversation in the plan.
    pub channel: u32,
    /// The session receives what is said here, and not only speaks.
    pub receives: bool,
    /// Messages that this session has sent here.
    sent: u64,
    epoch: u64,
    /// Numbers of the log, from 1 on.
    seen: Tracker,
    /// It was named when the session came back, and nothing was heard of it since.
    is_awaited: bool,
    /// After a return: the number up to which it was behind.
    behind: Option<u64>,
}

/// What something of the log is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is the first time.
    New,
    /// It was there before, as a message or as an ack.
    Again,
    /// It is of another epoch, and nobody had said so.
    OtherEpoch,
}

impl Room {
    /// Nothing was heard or sent.
    pub fn new(channel: u32, receives: bool) -> Room {
        Room { channel, receives, sent: 0, epoch: 0, seen: Tracker::from(1), is_awaited: false, behind: None }
    }

    /// The number of the next message to be sent here.
    pub fn next_order(&mut self) -> u64 {
        self.sent += 1;
        self.sent - 1
    }

    /// What comes begins at `next`, and the log goes up to `committed`. A room that is known goes on where it was.
    pub fn begins(&mut self, epoch: u64, next: u64, committed: u64) -> Heard {
        let is_new = self.epoch == 0;
        if is_new {
            (self.epoch, self.seen) = (epoch, Tracker::from(next));
        } else if self.epoch != epoch {
            return Heard::OtherEpoch;
        }
        if std::mem::take(&mut self.is_awaited) {
            self.behind = Some(committed);
        }
        if is_new { Heard::New } else { Heard::Again }
    }

    /// The session comes back and says where it stands here. None: it does not know.
    pub fn present(&mut self) -> Option<(u64, u64)> {
        self.behind = None;
        let cursor = self.cursor().filter(|_| self.receives);
        self.is_awaited = cursor.is_some();
        cursor
    }

    /// The server does not go on with it.
    pub fn is_refused(&mut self) -> bool {
        std::mem::take(&mut self.is_awaited)
    }

    /// The log begins anew, at `first`.
    pub fn begins_anew(&mut self, epoch: u64, first: u64) {
        (self.epoch, self.seen) = (epoch, Tracker::from(first));
    }

    /// A record came, or the ack of one that this session wrote.
    pub fn take(&mut self, epoch: u64, seq: u64) -> Heard {
        if self.epoch == 0 {
            // A direct conversation begins without a word.
            self.epoch = epoch;
        } else if self.epoch != epoch {
            return Heard::OtherEpoch;
        }
        if self.seen.take(seq) == Arrival::Duplicate { Heard::Again } else { Heard::New }
    }

    /// These will not come.
    pub fn skip(&mut self, epoch: u64, seqs: Range<u64>) -> Heard {
        if self.epoch != epoch {
            return Heard::OtherEpoch;
        }
        self.seen.take_range(seqs);
        Heard::New
    }

    /// Epoch and number up to which there is nothing that it does not have. None: nothing is known.
    pub fn cursor(&self) -> Option<(u64, u64)> {
        (self.epoch != 0).then(|| (self.epoch, self.seen.complete_to() - 1))
    }

    /// Whether it has just come to where the log was when the session came back.
    pub fn has_caught_up(&mut self) -> bool {
        self.behind.take_if(|behind| self.seen.complete_to() > *behind).is_some()
    }

    /// Numbers that were passed over and never came.
    pub fn missing(&self) -> u64 {
        self.seen.missing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stands_before_what_is_missing() {
        let mut room = Room::new(3, true);
        assert_eq!(room.cursor(), None);
        assert_eq!(room.begins(7, 5, 4), Heard::New);
        assert_eq!(room.cursor(), Some((7, 4)));
        assert_eq!(
            [room.take(7, 5), room.take(7, 8), room.take(7, 5), room.take(8, 9)],
            [Heard::New, Heard::New, Heard::Again, Heard::OtherEpoch]
        );
        assert_eq!((room.cursor(), room.missing()), (Some((7, 5)), 2));
        room.skip(7, 6..8);
        assert_eq!((room.cursor(), room.missing()), (Some((7, 8)), 0));
    }

    #[test]
    fn a_direct_conversation_begins_with_its_first_message_or_ack() {
        let mut room = Room::new(0, true);
        assert_eq!((room.take(9, 2), room.cursor()), (Heard::New, Some((9, 0))));
        assert_eq!((room.take(9, 1), room.cursor()), (Heard::New, Some((9, 2))));
    }

    #[test]
    fn one_who_comes_back_is_behind_until_he_has_what_was_there_then() {
        let mut room = Room::new(0, true);
        assert_eq!((room.present(), room.begins(7, 1, 0), room.has_caught_up()), (None, Heard::New, false));
        room.take(7, 1);
        assert_eq!((room.present(), room.begins(7, 2, 3)), (Some((7, 1)), Heard::Again));
        assert!(!room.has_caught_up());
        room.take(7, 2);
        assert!(!room.has_caught_up());
        room.take(7, 3);
        assert!(room.has_caught_up() && !room.has_caught_up());
        assert_eq!((room.present(), room.begins(7, 4, 3), room.has_caught_up()), (Some((7, 3)), Heard::Again, true));
        assert_eq!(room.begins(8, 1, 0), Heard::OtherEpoch);
        room.begins_anew(8, 3);
        assert_eq!(room.cursor(), Some((8, 2)));
    }

    #[test]
    fn a_refused_room_is_awaited_no_longer_and_one_that_does_not_receive_never_was() {
        let mut room = Room::new(0, true);
        room.take(7, 1);
        assert!(room.present().is_some() && room.is_refused() && !room.is_refused());
        let mut room = Room::new(0, false);
        room.take(7, 1);
        assert!(room.present().is_none() && !room.is_refused());
    }
}
