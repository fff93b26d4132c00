//! One log as one user reads it back, compared with what was acknowledged.

use std::collections::HashMap;

use serde::Serialize;

use super::{Arrival, Header, Ledger, Log, Tracker};

/// What reading back found. Counts are of messages, each once for every reader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Acknowledged messages that are checked, each counted once.
    pub acked: u64,
    /// Acknowledged beyond what is remembered: not checked.
    pub unchecked: u64,
    /// Logs read, each once for every reader.
    pub readings: u64,
    /// Should be read: each acknowledged message by each reader of its log.
    pub expected: u64,
    /// Found at their places with sender and body as they were sent.
    pub read_back: u64,
    /// Not found at their places.
    pub missing: u64,
    /// At their places stands something else.
    pub different: u64,
    /// Found at two places of a log.
    pub twice: u64,
    /// Numbers that did not come and were not announced by gap or skip.
    pub holes: u64,
    /// Found and never acknowledged: their publishers were refused or have no answer.
    pub unacked: u64,
    /// Acks that named the place of another message.
    pub same_place: u64,
}

impl Verified {
    /// Whether all that was acknowledged is there, once and as it was sent.
    pub fn is_clean(&self) -> bool {
        self.missing + self.different + self.twice + self.holes + self.same_place == 0
    }

    /// Adds what another worker found.
    pub fn add(&mut self, other: &Verified) {
        self.readings += other.readings;
        self.expected += other.expected;
        self.read_back += other.read_back;
        self.missing += other.missing;
        self.different += other.different;
        self.twice += other.twice;
        self.holes += other.holes;
        self.unacked += other.unacked;
    }
}

/// A record as it was read back.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its place.
    pub epoch: u64,
    /// Its place.
    pub seq: u64,
    /// Of a message; None for what the server wrote itself, such as joins.
    pub message: Option<FoundMessage>,
}

/// What a message says.
#[derive(Clone, Copy, Debug)]
pub struct FoundMessage {
    /// Of body and sender; 0: the sender is not who the body says, or the body is none of this run.
    pub mark: u64,
    /// Publisher and number, where the body has them.
    pub header: Option<Header>,
}

/// A log while it is read, from its beginning to its end.
#[derive(Debug)]
pub struct Reading {
    /// Which.
    pub log: Log,
    /// Everything up to here was read: for the next request.
    pub cursor: (u64, u64),
    next: u64,
    counts: Verified,
    seen: HashMap<u32, Tracker>,
}

impl Reading {
    /// From the beginning.
    pub fn of(log: Log, ledger: &Ledger) -> Reading {
        let (acked, epoch) = ledger.acked_in(log);
        let counts = Verified { readings: 1, expected: acked, ..Verified::default() };
        Reading { log, cursor: (epoch, 0), next: 1, counts, seen: HashMap::new() }
    }

    /// The server said that the log begins there, or that what stands before `next` does not come.
    pub fn goes_on_at(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// The next record of the log.
    pub fn take(&mut self, found: Found, ledger: &Ledger) {
        let Found { epoch, seq, message } = found;
        self.counts.holes += seq.saturating_sub(self.next);
        if seq < self.next {
            self.counts.twice += 1;
            return;
        }
        self.next = seq + 1;
        let Some(FoundMessage { mark, header }) = message else { return };
        match ledger.mark_at(self.log, epoch, seq) {
            Some(acked) if acked == mark => self.counts.read_back += 1,
            Some(_) => self.counts.different += 1,
            None => self.counts.unacked += 1,
        }
        if let Some(header) = header {
            let arrival = self.seen.entry(header.publisher).or_default().take(header.seq);
            self.counts.twice += u64::from(arrival == Arrival::Duplicate);
        }
    }

    /// The log was read up to its end, or cannot be read any further.
    pub fn end(self, committed: Option<u64>, into: &mut Verified) {
        let mut counts = self.counts;
        counts.missing = counts.expected.saturating_sub(counts.read_back + counts.different);
        counts.holes += committed.map_or(0, |committed| (committed + 1).saturating_sub(self.next));
        into.add(&counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Log = Log::Direct(0, 1);

    /// Messages 2 to 4 were acknowledged.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(100);
        (2..=4).for_each(|seq| ledger.note(LOG, 7, seq, 100 + seq));
        ledger
    }

    fn message(seq: u64, mark: u64) -> Found {
        let header = Some(Header { run: 1, publisher: 0, place: 0, channel: 0, seq: mark, intended_ns: 0 });
        Found { epoch: 7, seq, message: Some(FoundMessage { mark, header }) }
    }

    fn read(found: &[Found], committed: u64) -> Verified {
        let ledger = ledger();
        let mut reading = Reading::of(LOG, &ledger);
        assert_eq!(reading.cursor, (7, 0));
        found.iter().for_each(|found| reading.take(*found, &ledger));
        let mut verified = Verified::default();
        reading.end(Some(committed), &mut verified);
        verified
    }

    const GOOD: Verified = Verified {
        acked: 0,
        unchecked: 0,
        readings: 1,
        expected: 3,
        read_back: 3,
        missing: 0,
        different: 0,
        twice: 0,
        holes: 0,
        unacked: 0,
        same_place: 0,
    };

    #[test]
    fn all_is_there() {
        let joined = Found { epoch: 7, seq: 1, message: None };
        let verified = read(&[joined, message(2, 102), message(3, 103), message(4, 104), message(5, 105)], 5);
        assert_eq!(verified, Verified { unacked: 1, ..GOOD });
        assert!(verified.is_clean());
    }

    #[test]
    fn what_is_missing_is_told_even_without_a_hole() {
        let verified = read(&[message(1, 101), message(2, 102), message(3, 103)], 3);
        assert_eq!(verified, Verified { read_back: 2, missing: 1, unacked: 1, ..GOOD });
        let verified = read(&[message(1, 101), message(2, 102), message(4, 104)], 6);
        assert_eq!(verified, Verified { read_back: 2, missing: 1, unacked: 1, holes: 3, ..GOOD });
        assert!(!verified.is_clean());
    }

    #[test]
    fn another_epoch_is_another_place() {
        let verified = read(&[message(1, 101), message(2, 102), Found { epoch: 8, ..message(3, 103) }, message(4, 104)], 4);
        assert_eq!(verified, Verified { read_back: 2, missing: 1, unacked: 2, ..GOOD });
    }

    #[test]
    fn another_body_or_sender_is_told() {
        let verified = read(&[message(1, 101), message(2, 102), message(3, 0), message(4, 104)], 4);
        assert_eq!(verified, Verified { read_back: 2, different: 1, unacked: 1, ..GOOD });
    }

    #[test]
    fn what_stands_there_twice_is_told() {
        let verified = read(&[message(1, 102), message(2, 102), message(3, 103), message(4, 104)], 4);
        assert_eq!(verified, Verified { twice: 1, unacked: 1, ..GOOD });
        let again = read(&[message(1, 101), message(2, 102), message(2, 102), message(3, 103), message(4, 104)], 4);
        assert_eq!((again.twice, again.read_back), (1, 3));
    }

    #[test]
    fn what_is_announced_is_no_hole_but_missing_all_the_same() {
        let ledger = ledger();
        let mut reading = Reading::of(LOG, &ledger);
        reading.goes_on_at(4);
        reading.take(message(4, 104), &ledger);
        let mut verified = Verified::default();
        reading.end(Some(4), &mut verified);
        assert_eq!(verified, Verified { read_back: 1, missing: 2, ..GOOD });
    }
}
