//! The dedupe window: which `client_id`s were published lately, and what their publishers were told.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::mesh::Placed;

/// Stands for (sender, client_id): a keyed 128-bit hash.
pub type Fingerprint = u128;

/// A fingerprint is a keyed hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed here");
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}

/// Bounded by count and time. A publish that is still on its way counts too, so that its repetition waits for the same answer.
#[derive(Debug, Default)]
pub struct Dedupe {
    seqs: HashMap<Fingerprint, Entry, BuildHasherDefault<AsItIs>>,
    order: VecDeque<(u64, Fingerprint)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
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
        self.order.is_empty()
    }

    /// Looks a fingerprint up. What stands above `committed` is in flight.
    pub fn look_up(&self, fingerprint: Fingerprint, epoch: u64, committed: u64) -> Known {
        match self.seqs.get(&fingerprint) {
            None => Known::No,
            Some(entry) if entry.seq > committed => Known::InFlight(entry.seq),
            Some(&Entry { seq, time_ms }) => Known::Placed(Placed { epoch, seq, time_ms, duplicate: true }),
        }
    }

    /// Remembers a publish that was given a place.
    pub fn insert(&mut self, fingerprint: Fingerprint, seq: u64, time_ms: u64) {
        self.seqs.insert(fingerprint, Entry { seq, time_ms });
        self.order.push_back((time_ms, fingerprint));
    }

    /// Forgets publishes that failed: all above `committed`.
    pub fn forget_above(&mut self, committed: u64) {
        while let Some(&(_, fingerprint)) = self.order.back() {
            if self.seqs.get(&fingerprint).is_some_and(|entry| entry.seq <= committed) {
                break;
            }
            self.seqs.remove(&fingerprint);
            self.order.pop_back();
        }
    }

    /// Forgets what is outside the window. Publishes in flight are inside.
    pub fn trim(&mut self, committed: u64, count_max: usize, before_ms: u64) {
        while let Some(&(time_ms, fingerprint)) = self.order.front() {
            let outside = self.order.len() > count_max || time_ms < before_ms;
            let in_flight = self.seqs.get(&fingerprint).is_some_and(|entry| entry.seq > committed);
            if !outside || in_flight {
                break;
            }
            self.seqs.remove(&fingerprint);
            self.order.pop_front();
        }
    }
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
}
