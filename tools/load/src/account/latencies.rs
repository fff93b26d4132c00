//! A histogram of latencies.

use std::ops::{Deref, DerefMut};

use hdrhistogram::Histogram;

/// Longest latency that is told apart, in ns (one hour).
const NS_MAX: u64 = 3_600_000_000_000;

/// Latencies in ns, told apart to so many digits. All of them have the same range and can be added.
#[derive(Clone, Debug)]
pub struct Latencies<const DIGITS: u8 = 3>(Histogram<u64>);

impl<const DIGITS: u8> Default for Latencies<DIGITS> {
    fn default() -> Self {
        Latencies(Histogram::new_with_max(NS_MAX, DIGITS).expect("one hour in ns with a few digits is allowed"))
    }
}

impl<const DIGITS: u8> Latencies<DIGITS> {
    /// Adds what another thread measured.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same range");
    }
}

impl<const DIGITS: u8> Deref for Latencies<DIGITS> {
    type Target = Histogram<u64>;

    fn deref(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl<const DIGITS: u8> DerefMut for Latencies<DIGITS> {
    fn deref_mut(&mut self) -> &mut Histogram<u64> {
        &mut self.0
    }
}
