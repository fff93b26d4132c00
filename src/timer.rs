//! The timer wheel of a shard: what is to be looked at, and when. Coarse and cheap: one push to arm, one to fire.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use crate::few::push_tightly;

/// The wheel's step. A timer fires up to this much late, never early.
pub const STEP_MS: u64 = 50;
/// Buckets of the wheel. What lies further ahead than they reach is looked at when they end, and armed again.
const BUCKETS: usize = 512;

/// Room for so many timers stays in a bucket that was emptied. What came together, such as a storm of logins, does not come so again.
const KEPT: usize = 64;

/// A wheel of timers that each carry a value.
#[derive(Debug)]
pub struct Wheel<T> {
    buckets: VecDeque<Vec<T>>,
    /// The time of the first bucket, in steps.
    first_step: u64,
    /// No bucket before this step has anything, so that one who asks often need not look through empty ones again.
    empty_to: Cell<u64>,
    armed: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel that begins now.
    pub fn new(now_ms: u64) -> Wheel<T> {
        let first_step = now_ms / STEP_MS;
        Wheel { buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), first_step, empty_to: Cell::new(first_step), armed: 0 }
    }

    /// Fires at this time, or before it if it is too far ahead.
    pub fn arm(&mut self, at_ms: u64, value: T) {
        let step = at_ms.div_ceil(STEP_MS).max(self.first_step);
        let bucket = ((step - self.first_step) as usize).min(BUCKETS - 1);
        push_tightly(&mut self.buckets[bucket], value);
        self.empty_to.set(self.empty_to.get().min(self.first_step + bucket as u64));
        self.armed += 1;
    }

    /// Moves what is due into `due`.
    pub fn advance(&mut self, now_ms: u64, due: &mut Vec<T>) {
        while self.first_step * STEP_MS <= now_ms {
            let mut bucket = self.buckets.pop_front().expect("the wheel has its buckets");
            self.armed -= bucket.len();
            due.append(&mut bucket);
            if bucket.capacity() > KEPT {
                bucket = Vec::new();
            }
            self.buckets.push_back(bucket);
            self.first_step += 1;
        }
    }

    /// How long until something may be due.
    pub fn next(&self, now_ms: u64) -> Option<Duration> {
        if self.armed == 0 {
            return None;
        }
        let known_empty = self.empty_to.get().saturating_sub(self.first_step) as usize;
        let bucket = known_empty + self.buckets.iter().skip(known_empty).position(|b| !b.is_empty())?;
        self.empty_to.set(self.first_step + bucket as u64);
        Some(Duration::from_millis((self.empty_to.get() * STEP_MS).saturating_sub(now_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(now_ms, &mut due);
        due
    }

    #[test]
    fn fires_late_by_a_step_at_most_and_never_early() {
        let mut wheel = Wheel::new(1000);
        wheel.arm(1120, 1);
        wheel.arm(1150, 2);
        wheel.arm(900, 0);
        assert_eq!(due(&mut wheel, 1000), [0]);
        assert_eq!(wheel.next(1010), Some(Duration::from_millis(140)));
        assert!(due(&mut wheel, 1149).is_empty());
        assert_eq!(due(&mut wheel, 1150), [1, 2]);
        assert_eq!(wheel.next(1150), None);
    }

    #[test]
    fn who_asks_often_gets_the_next_of_what_is_armed_by_then() {
        let mut wheel = Wheel::new(0);
        let next_ms = |wheel: &Wheel<u32>, now_ms| wheel.next(now_ms).map(|next| next.as_millis());
        for at_ms in [10_000, 20_000, 5_000] {
            wheel.arm(at_ms, 0);
            assert_eq!(next_ms(&wheel, 0), Some(at_ms.min(10_000).into()));
        }
        due(&mut wheel, 5_000);
        assert_eq!([next_ms(&wheel, 5_000), next_ms(&wheel, 6_000)], [Some(5_000), Some(4_000)]);
        wheel.arm(7_000, 0);
        assert_eq!(next_ms(&wheel, 6_000), Some(1_000));
        due(&mut wheel, 10_000);
        assert_eq!(next_ms(&wheel, 10_000), Some(10_000));
        due(&mut wheel, 20_000);
        assert_eq!(next_ms(&wheel, 20_000), None);
    }

    #[test]
    fn what_is_far_ahead_comes_to_be_armed_again() {
        let mut wheel = Wheel::new(0);
        wheel.arm(1_000_000, 7);
        assert_eq!(due(&mut wheel, BUCKETS as u64 * STEP_MS), [7]);
        wheel.arm(1_000_000, 7);
        assert_eq!(due(&mut wheel, 999_000), [7]);
    }
}
