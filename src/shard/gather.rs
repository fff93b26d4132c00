//! Whether what is to be sent waits for one more look at what has come: pure.

/// So many sends take long enough (a millisecond and more) for others to have published meanwhile, and a look costs next to nothing beside them.
const MANY_SENDS: usize = 256;
/// A turn that sends so many times for each receive carries messages to many, and what comes next is likely for the same receivers. Messages between
/// two are as many as their sends: for them another look gives nothing.
const SENDS_PER_RECEIVE: usize = 8;

/// A long flush begins only after a look at what came while it was made ready, so that a receiver has it in the same send: without it, those who publish to the
/// same many receivers stay divided into two parties, of which each waits while the other is served.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gather {
    is_waiting: bool,
}

impl Gather {
    /// A turn ends with so many sends, after so many receives. Says whether they wait for the next turn; never twice in a row.
    pub fn decide(&mut self, sends: usize, receives: usize) -> bool {
        self.is_waiting = !self.is_waiting && sends >= MANY_SENDS.max(receives * SENDS_PER_RECEIVE);
        self.is_waiting
    }

    /// Something waits: the next turn must not sleep.
    pub fn is_waiting(self) -> bool {
        self.is_waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_many_waits_once() {
        let mut gather = Gather::default();
        assert!(!gather.is_waiting());
        assert!(gather.decide(1000, 3) && gather.is_waiting());
        assert!(!gather.decide(1000, 3) && !gather.is_waiting(), "not a second time");
        assert!(gather.decide(1000, 0), "what another shard published needs no receive");
    }

    #[test]
    fn what_goes_to_few_or_comes_from_many_does_not_wait() {
        let mut gather = Gather::default();
        assert!(!gather.decide(0, 0) && !gather.decide(MANY_SENDS - 1, 1));
        assert!(!gather.decide(1000, 500), "messages between two");
        assert!(!gather.is_waiting());
    }
}
