//! What one session takes part in.

use std::collections::VecDeque;

use super::moves::Mover;
use crate::account::{Arrival, Room, Tracker};

/// A session that is not there, or not quite yet.
#[derive(Clone, Copy, Debug)]
pub struct Absence {
    /// When it was to come back: its latency counts from there.
    pub due_ns: u64,
    /// When it tries next.
    pub next_ns: u64,
    /// Conversations in which it has not all that was there when it came.
    pub behind: u32,
}

/// The conversations of one session, and whether it is there. There may be a million of these, most with one conversation: lists have room for what is
/// in them, and what most do not have is behind a pointer.
#[derive(Debug, Default)]
pub struct Attendance {
    /// In ascending order of their channels.
    rooms: Vec<Room>,
    /// What came of whom, by speaker and channel; in their order.
    streams: Vec<((u32, u32), Tracker)>,
    /// Requests without an answer, other than publishes.
    pub asked: u32,
    /// It was dropped, or lost.
    pub absence: Option<Absence>,
    /// It speaks, and does not only listen.
    pub speaks: bool,
    /// It is being dropped on purpose.
    pub is_leaving: bool,
    /// Channels of which something was read and not said so.
    pub unread: VecDeque<u32>,
    /// It has said what it read and waits for the answer.
    pub receipt_under_way: bool,
    /// It joins groups and leaves them.
    pub mover: Option<Box<Mover>>,
}

impl Attendance {
    /// It will receive a channel; they are named in ascending order.
    pub fn receives(&mut self, channel: u32) {
        debug_assert!(self.rooms.last().is_none_or(|last| last.channel < channel));
        grow(&mut self.rooms);
        self.rooms.push(Room::new(channel, true));
    }

    /// A channel that it takes part in.
    pub fn room(&mut self, channel: u32) -> Option<&mut Room> {
        let at = self.rooms.binary_search_by_key(&channel, |room| room.channel).ok()?;
        Some(&mut self.rooms[at])
    }

    /// A channel that it speaks in, perhaps without receiving it.
    pub fn room_to_speak_in(&mut self, channel: u32) -> &mut Room {
        let at = self.rooms.binary_search_by_key(&channel, |room| room.channel).unwrap_or_else(|at| {
            grow(&mut self.rooms);
            self.rooms.insert(at, Room::new(channel, false));
            at
        });
        &mut self.rooms[at]
    }

    /// All channels.
    pub fn rooms(&mut self) -> &mut [Room] {
        &mut self.rooms
    }

    /// A message of a speaker came, with his number for it.
    pub fn take(&mut self, speaker: u32, channel: u32, number: u64) -> Arrival {
        let of = (speaker, channel);
        let at = self.streams.binary_search_by_key(&of, |(of, _)| *of).unwrap_or_else(|at| {
            grow(&mut self.streams);
            self.streams.insert(at, (of, Tracker::default()));
            at
        });
        self.streams[at].1.take(number)
    }

    /// One conversation more has all that was there when the session came. True for the last one.
    pub fn caught_up(&mut self) -> bool {
        let Some(absence) = &mut self.absence else { return false };
        absence.behind = absence.behind.saturating_sub(1);
        absence.behind == 0
    }
}

/// Makes room for one more: the first one gets its own place and no more, as most lists end there; from then on they grow as usual.
fn grow<T>(list: &mut Vec<T>) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_found_and_made_for_speaking() {
        let mut attendance = Attendance::default();
        [2, 5].into_iter().for_each(|channel| attendance.receives(channel));
        assert!(attendance.room(3).is_none());
        assert!(!attendance.room_to_speak_in(3).receives && attendance.room_to_speak_in(5).receives);
        assert_eq!(attendance.rooms().iter().map(|room| room.channel).collect::<Vec<_>>(), [2, 3, 5]);
    }

    #[test]
    fn speakers_are_counted_apart_in_each_channel() {
        let mut attendance = Attendance::default();
        for (speaker, channel) in [(1, 1), (1, 2), (2, 1)] {
            assert_eq!(attendance.take(speaker, channel, 0), Arrival::InOrder);
        }
        assert_eq!(attendance.take(1, 2, 0), Arrival::Duplicate);
    }

    #[test]
    fn one_who_only_listens_to_one_conversation_takes_little_memory() {
        let mut attendance = Attendance::default();
        attendance.receives(0);
        attendance.take(7, 0, 0);
        assert_eq!((attendance.rooms.capacity(), attendance.streams.capacity()), (1, 1));
        assert!(size_of::<Attendance>() <= 160, "{}", size_of::<Attendance>());
    }

    #[test]
    fn the_last_room_that_catches_up_ends_an_absence() {
        let mut attendance = Attendance::default();
        assert!(!attendance.caught_up(), "it was never away");
        attendance.absence = Some(Absence { due_ns: 0, next_ns: 0, behind: 2 });
        assert_eq!([attendance.caught_up(), attendance.caught_up()], [false, true]);
    }
}
