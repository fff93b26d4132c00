//! What one publisher still has to lay in store.

use std::collections::HashMap;
use std::iter::Peekable;

use super::Destination;
use crate::scenario::Fill;

/// The messages of a fill, in their order; one that was refused comes again.
#[derive(Debug)]
pub struct Supply {
    fill: Peekable<Fill>,
    again: Vec<u32>,
    sent: HashMap<u32, u64>,
    /// The place of the last message of each conversation that was acknowledged.
    last: HashMap<u32, (u64, u64)>,
}

impl Supply {
    /// All that `fill` says.
    pub fn new(fill: Fill) -> Supply {
        Supply { fill: fill.peekable(), again: Vec::new(), sent: HashMap::new(), last: HashMap::new() }
    }

    /// Whether there is something to send.
    pub fn has_next(&mut self) -> bool {
        !self.again.is_empty() || self.fill.peek().is_some()
    }

    /// The next message.
    pub fn next(&mut self) -> Option<Destination> {
        let peer = self.again.pop().or_else(|| self.fill.next())?;
        let sent = self.sent.entry(peer).or_default();
        *sent += 1;
        Some(Destination { peer, order: *sent - 1 })
    }

    /// One was refused.
    pub fn refused(&mut self, peer: u32) {
        self.again.push(peer);
    }

    /// One was acknowledged, with this epoch and seq.
    pub fn acked(&mut self, peer: u32, place: (u64, u64)) {
        let last = self.last.entry(peer).or_default();
        *last = place.max(*last);
    }

    /// Takes the last places of all conversations, by peer.
    pub fn take_places(&mut self) -> Vec<(u32, (u64, u64))> {
        std::mem::take(&mut self.last).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Stock;

    #[test]
    fn what_is_refused_comes_again_with_a_new_number() {
        let mut supply = Supply::new(Fill::new(Stock::PerUser { users: 2, messages: 1 }, 0, 1));
        assert_eq!(supply.next(), Some(Destination { peer: 0, order: 0 }));
        supply.refused(0);
        assert_eq!(supply.next(), Some(Destination { peer: 0, order: 1 }));
        supply.acked(0, (7, 2));
        supply.acked(0, (7, 1));
        assert!(supply.has_next());
        assert_eq!(supply.next(), Some(Destination { peer: 1, order: 0 }));
        assert!(!supply.has_next());
        supply.refused(1);
        assert!(supply.has_next());
        assert_eq!(supply.take_places(), [(0, (7, 2))]);
    }
}
