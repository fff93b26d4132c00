//! The dedupe window: which `client_id`s were published lately, and what their publishers were told.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::mesh::Placed;

/// Stands for (sender, client_id): a keyed 128-bit hash.
pub type Fingerprint = u128;

/// Up to so many are looked through one by one; most conversations never have more in their window.
const FEW: usize = 16;

/// Bounded by count and time. A publish that is still on its way counts too, so that its repetition waits for the same answer.
#[derive(Debug, Default)]
pub struct Dedupe {
    /// In the order of their seqs.
    window: VecDeque<Entry>,
    /// Seqs by fingerprint, once there were more than a few.
    by_fingerprint: Option<Box<HashTable<u64>>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// In halves: a `u128` would be aligned to 16 bytes, and the entry half as large again.
    fingerprint: [u64; 2],
    seq: u64,
    time_ms: u64,
}

/// What is known of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it is new.
    No,
    /// It has this place.
    Placed(Placed),
    /// It is being written at this seq.
    InFlight(u64),
}

impl Dedupe {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// Looks a fingerprint up. What stands above `committed` is in flight.
    pub fn look_up(&self, fingerprint: Fingerprint, epoch: u64, committed: u64) -> Known {
        match self.find(halves(fingerprint)) {
            None => Known::No,
            Some(entry) if entry.seq > committed => Known::InFlight(entry.seq),
            Some(&Entry { seq, time_ms, .. }) => Known::Placed(Placed { epoch, seq, time_ms, duplicate: true }),
        }
    }

    fn find(&self, fingerprint: [u64; 2]) -> Option<&Entry> {
        let Some(table) = &self.by_fingerprint else {
            return self.window.iter().rev().find(|entry| entry.fingerprint == fingerprint);
        };
        let entry = |seq: u64| self.at(seq).filter(|entry| entry.fingerprint == fingerprint);
        table.find(fingerprint[0], |&seq| entry(seq).is_some()).and_then(|&seq| entry(seq))
    }

    fn at(&self, seq: u64) -> Option<&Entry> {
        self.window.get(self.window.binary_search_by_key(&seq, |entry| entry.seq).ok()?)
    }

    /// Remembers a publish that was given a place, above all that are remembered.
    pub fn insert(&mut self, fingerprint: Fingerprint, seq: u64, time_ms: u64) {
        self.window.push_back(Entry { fingerprint: halves(fingerprint), seq, time_ms });
        if self.by_fingerprint.is_some() {
            self.enter(seq);
        } else if self.window.len() > FEW {
            self.by_fingerprint = Some(Box::default());
            (0..self.window.len()).for_each(|i| self.enter(self.window[i].seq));
        }
    }

    fn enter(&mut self, seq: u64) {
        let hash_of = |table_seq: u64, window: &VecDeque<Entry>| {
            let found = window.binary_search_by_key(&table_seq, |entry| entry.seq);
            found.map_or(0, |i| window[i].fingerprint[0])
        };
        let Dedupe { window, by_fingerprint } = self;
        if let Some(table) = by_fingerprint {
            table.insert_unique(hash_of(seq, window), seq, |&seq| hash_of(seq, window));
        }
    }

    fn leave(&mut self, gone: Entry) {
        if let Some(table) = &mut self.by_fingerprint
            && let Ok(place) = table.find_entry(gone.fingerprint[0], |&seq| seq == gone.seq)
        {
            place.remove();
        }
        if self.window.is_empty() {
            self.by_fingerprint = None;
            self.window = VecDeque::new();
        }
    }

    /// Forgets publishes that failed: all above `committed`.
    pub fn forget_above(&mut self, committed: u64) {
        while let Some(entry) = self.window.pop_back_if(|entry| entry.seq > committed) {
            self.leave(entry);
        }
    }

    /// Forgets what is outside the window. Publishes in flight are inside.
    pub fn trim(&mut self, committed: u64, count_max: usize, before_ms: u64) {
        while let Some(&entry) = self.window.front() {
            let outside = self.window.len() > count_max || entry.time_ms < before_ms;
            if !outside || entry.seq > committed {
                break;
            }
            self.window.pop_front();
            self.leave(entry);
        }
    }
}

fn halves(fingerprint: Fingerprint) -> [u64; 2] {
    [fingerprint as u64, (fingerprint >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_by_count_and_time() {
        let mut d = Dedupe::default();
        (1..=5).for_each(|i| d.insert(u128::from(i), i, 100 * i));
        d.trim(5, 4, 0);
        assert_eq!(d.look_up(1, 7, 5), Known::No);
        assert_eq!(d.look_up(2, 7, 5), Known::Placed(Placed { epoch: 7, seq: 2, time_ms: 200, duplicate: true }));
        d.trim(5, 4, 300);
        assert_eq!(d.look_up(2, 7, 5), Known::No);
        assert_ne!(d.look_up(3, 7, 5), Known::No);
    }

    #[test]
    fn a_publish_in_flight_is_known_until_it_fails() {
        let mut d = Dedupe::default();
        d.insert(1, 1, 100);
        d.insert(2, 2, 100);
        assert_eq!(d.look_up(2, 7, 1), Known::InFlight(2));
        d.trim(0, 0, 1000);
        assert_eq!(d.look_up(1, 7, 0), Known::InFlight(1));
        d.forget_above(1);
        assert_eq!(d.look_up(2, 7, 1), Known::No);
        assert!(matches!(d.look_up(1, 7, 1), Known::Placed(_)));
    }

    #[test]
    fn many_are_known_as_few_are() {
        let mut d = Dedupe::default();
        let fingerprint = |i: u64| u128::from(i) << 64 | u128::from(i % 7);
        for i in 1..=1000 {
            assert_eq!(d.look_up(fingerprint(i), 7, i), Known::No);
            d.insert(fingerprint(i), 2 * i, i);
            d.trim(2 * i, 100, 0);
            let first = i.saturating_sub(99).max(1);
            assert_ne!(d.look_up(fingerprint(first), 7, 2 * i), Known::No);
            assert_eq!(d.look_up(fingerprint(first - 1), 7, 2 * i), Known::No);
        }
        d.forget_above(1900);
        assert_eq!(d.look_up(fingerprint(951), 7, 1900), Known::No);
        assert!(matches!(d.look_up(fingerprint(950), 7, 1900), Known::Placed(placed) if placed.seq == 1900));
        d.trim(1900, 0, 0);
        assert!(d.is_empty() && d.by_fingerprint.is_none());
    }
}
