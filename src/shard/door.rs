//! The door: accepted connections wait here until they are heard for the first time.
//!
//! A login costs as much as hundreds of frames, and what it leads to (a user's list, pages of what he missed) comes with it. When thousands come at
//! once, a few are let in per turn, in order, so that a turn stays short and those who are inside feel little of them. Nothing is kept for who waits
//! but his place; the time until his login counts meanwhile.

use std::collections::VecDeque;

use super::Shard;
use crate::ring::Slot;

/// Who waits, the first one first. A stamp tells whether the slot is still his.
#[derive(Debug, Default)]
pub(super) struct Door(VecDeque<(Slot, u32)>);

impl Door {
    fn knock(&mut self, slot: Slot, stamp: u32) {
        self.0.push_back((slot, stamp));
    }

    /// The next ones, as many as may come in one turn.
    fn let_in(&mut self, count: usize) -> impl Iterator<Item = (Slot, u32)> {
        self.0.drain(..count.min(self.0.len()))
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Shard {
    /// A connection was accepted, and may be heard when it is its turn.
    pub(super) fn knock(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot) {
            self.door.knock(slot, connection.stamp);
        }
    }

    /// Hears those whose turn it is. Who has gone meanwhile has given his place to nobody.
    pub(super) fn open_door(&mut self) {
        if self.door.is_empty() {
            return;
        }
        let mut door = std::mem::take(&mut self.door);
        for (slot, stamp) in door.let_in(self.limits.logins_per_turn as usize) {
            if self.connections.get_mut(slot).is_some_and(|connection| connection.stamp == stamp) {
                self.receive(slot);
            }
        }
        self.door = door;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_first_is_let_in_first_and_never_more_than_so_many_at_once() {
        let mut door = Door::default();
        (0..5).for_each(|i| door.knock(Slot(i), 10 + i));
        assert_eq!(door.let_in(2).collect::<Vec<_>>(), [(Slot(0), 10), (Slot(1), 11)]);
        door.knock(Slot(0), 20);
        assert_eq!(door.let_in(9).map(|(_, stamp)| stamp).collect::<Vec<_>>(), [12, 13, 14, 20]);
        assert!(door.is_empty() && door.let_in(1).next().is_none());
    }
}
