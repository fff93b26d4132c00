//! How much of each outstanding message is still to be read, over all workers.

use std::sync::atomic::{AtomicU32, Ordering};

/// A counter for each place in each publisher's window. A publisher sets it before it sends; whoever reads a delivery or the ack
/// takes one off, and whoever takes the last one off tells the publisher's worker.
#[derive(Debug)]
pub struct Board {
    window: usize,
    left: Vec<AtomicU32>,
}

impl Board {
    /// For publishers 0 .. `publishers`, each with places 0 .. `window`.
    pub fn new(publishers: u32, window: u32) -> Board {
        let places = publishers as usize * window as usize;
        Board { window: window as usize, left: (0..places).map(|_| AtomicU32::new(0)).collect() }
    }

    fn place(&self, publisher: u32, place: u32) -> Option<&AtomicU32> {
        if place as usize >= self.window {
            return None;
        }
        self.left.get(publisher as usize * self.window + place as usize)
    }

    /// `count` things are to be read for the message that now has this place.
    pub fn set(&self, publisher: u32, place: u32, count: u32) {
        if let Some(left) = self.place(publisher, place) {
            left.store(count, Ordering::Release);
        }
    }

    /// One of them was read. True for the last one.
    pub fn take(&self, publisher: u32, place: u32) -> bool {
        self.place(publisher, place).is_some_and(|left| left.fetch_sub(1, Ordering::AcqRel) == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_told() {
        let board = Board::new(2, 2);
        board.set(1, 1, 3);
        assert_eq!([board.take(1, 1), board.take(1, 1), board.take(1, 1)], [false, false, true]);
        board.set(1, 1, 1);
        assert!(board.take(1, 1));
    }

    #[test]
    fn places_that_do_not_exist_are_never_the_last_one() {
        let board = Board::new(1, 2);
        board.set(0, 2, 1);
        assert!(!board.take(0, 2));
        assert!(!board.take(5, 0));
    }
}
