//! What was acknowledged: the place that each message has in its log, and a mark of what it says. It is compared later with what the server
//! gives when it is asked for these logs.
//!
//! Memory: 8 bytes for each place up to the last one that was acknowledged, in vectors that grow by doubling, and as much again while the ledgers
//! of all workers are put together. The number of places is bounded; what is acknowledged beyond them is counted and not checked.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Names a conversation of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Log {
    /// Of these two connections, the lower one first.
    Direct(u32, u32),
    /// The group.
    Group,
}

impl Log {
    /// Of two connections, in whichever order.
    pub fn direct(a: u32, b: u32) -> Log {
        Log::Direct(a.min(b), a.max(b))
    }
}

/// What a body says and who said it, in 64 bits; never 0.
pub fn mark(publisher: u32, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, u64::from(publisher)) | 1
}

/// All that was acknowledged, as far as there is room.
#[derive(Debug, Default)]
pub struct Ledger {
    logs: HashMap<Log, Vec<Epoch>>,
    places: usize,
    places_max: usize,
    /// Acks that found no room.
    pub unchecked: u64,
    /// Acks for a place that another message had been given.
    pub same_place: u64,
}

/// A log while it had one epoch: nearly always there is one of it.
#[derive(Debug)]
struct Epoch {
    epoch: u64,
    /// By seq, from 1 on; 0: nothing acknowledged.
    marks: Vec<u64>,
}

impl Ledger {
    /// An empty one for at most so many places.
    pub fn new(places_max: usize) -> Ledger {
        Ledger { places_max, ..Ledger::default() }
    }

    /// A message was acknowledged.
    pub fn note(&mut self, log: Log, epoch: u64, seq: u64, mark: u64) {
        let epochs = self.logs.entry(log).or_default();
        let at = epochs.iter().position(|e| e.epoch == epoch).unwrap_or_else(|| {
            epochs.push(Epoch { epoch, marks: Vec::new() });
            epochs.len() - 1
        });
        let marks = &mut epochs[at].marks;
        let more = (seq as usize).saturating_sub(marks.len());
        if seq == 0 || more > self.places_max - self.places {
            self.unchecked += 1;
            return;
        }
        self.places += more;
        marks.resize(marks.len() + more, 0);
        let place = &mut marks[seq as usize - 1];
        self.same_place += u64::from(*place != 0);
        *place = mark;
    }

    /// Takes in what another worker noted. There is room for all that found room there.
    pub fn merge(&mut self, other: Ledger) {
        self.places_max += other.places_max;
        self.unchecked += other.unchecked;
        self.same_place += other.same_place;
        for (log, epochs) in other.logs {
            if !self.logs.contains_key(&log) {
                self.places += epochs.iter().map(|e| e.marks.len()).sum::<usize>();
                self.logs.insert(log, epochs);
                continue;
            }
            for Epoch { epoch, marks } in epochs {
                let noted = (1..).zip(marks).filter(|(_, mark)| *mark != 0);
                noted.for_each(|(seq, mark)| self.note(log, epoch, seq, mark));
            }
        }
    }

    /// The logs in which something was acknowledged, in their order.
    pub fn logs(&self) -> Vec<Log> {
        let mut logs: Vec<Log> = self.logs.keys().copied().collect();
        logs.sort_unstable();
        logs
    }

    /// What stands at a place, if something was acknowledged there.
    pub fn mark_at(&self, log: Log, epoch: u64, seq: u64) -> Option<u64> {
        let epoch = self.logs.get(&log)?.iter().find(|e| e.epoch == epoch)?;
        epoch.marks.get(usize::try_from(seq.checked_sub(1)?).ok()?).copied().filter(|mark| *mark != 0)
    }

    /// Messages acknowledged in a log, and the epoch of the last of them.
    pub fn acked_in(&self, log: Log) -> (u64, u64) {
        let epochs = self.logs.get(&log).map_or(&[][..], |epochs| epochs);
        let acked = epochs.iter().flat_map(|e| &e.marks).filter(|mark| **mark != 0).count() as u64;
        (acked, epochs.last().map_or(0, |e| e.epoch))
    }

    /// Messages acknowledged in all.
    pub fn acked(&self) -> u64 {
        self.logs.keys().map(|log| self.acked_in(*log).0).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AB: Log = Log::Direct(1, 2);

    #[test]
    fn places_are_found_again() {
        let mut ledger = Ledger::new(10);
        for seq in [3, 1] {
            ledger.note(AB, 7, seq, 10 + seq);
        }
        assert_eq!((1..=4).map(|seq| ledger.mark_at(AB, 7, seq)).collect::<Vec<_>>(), [Some(11), None, Some(13), None]);
        assert_eq!((ledger.mark_at(AB, 8, 1), ledger.mark_at(Log::Group, 7, 1), ledger.mark_at(AB, 7, 0)), (None, None, None));
        assert_eq!((ledger.acked_in(AB), ledger.acked(), ledger.logs()), ((2, 7), 2, vec![AB]));
        assert_eq!(Log::direct(2, 1), AB);
    }

    #[test]
    fn what_has_no_room_is_counted_and_not_checked() {
        let mut ledger = Ledger::new(3);
        for seq in [2, 1 << 40, 4, 3, 0] {
            ledger.note(AB, 7, seq, 1);
        }
        assert_eq!((ledger.unchecked, ledger.acked()), (3, 2));
        ledger.note(Log::Group, 7, 1, 1);
        assert_eq!(ledger.unchecked, 4);
    }

    #[test]
    fn one_place_for_two_messages_is_told() {
        let mut ledger = Ledger::new(10);
        ledger.note(AB, 7, 1, 1);
        ledger.note(AB, 8, 1, 1);
        assert_eq!(ledger.same_place, 0, "another epoch is another place");
        ledger.note(AB, 8, 1, 3);
        assert_eq!(ledger.same_place, 1);
    }

    #[test]
    fn ledgers_are_put_together() {
        let (mut a, mut b) = (Ledger::new(3), Ledger::new(10));
        a.note(AB, 7, 1, 11);
        b.note(AB, 7, 2, 12);
        b.note(AB, 9, 1, 13);
        b.note(Log::Group, 7, 5, 15);
        b.note(AB, 7, 100, 1);
        a.merge(b);
        let found = [a.mark_at(AB, 7, 1), a.mark_at(AB, 7, 2), a.mark_at(AB, 9, 1), a.mark_at(Log::Group, 7, 5)];
        assert_eq!((found, a.unchecked, a.same_place), ([Some(11), Some(12), Some(13), Some(15)], 1, 0));
        let mut c = Ledger::new(3);
        c.note(AB, 7, 1, 99);
        a.merge(c);
        assert_eq!(a.same_place, 1);
    }

    #[test]
    fn a_mark_is_of_body_and_sender() {
        assert_eq!(mark(1, b"x"), mark(1, b"x"));
        assert!(mark(1, b"x") != mark(2, b"x") && mark(1, b"x") != mark(1, b"y") && mark(1, b"x") != 0);
    }
}
