//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Exponential backoff with full jitter: attempt n waits a random time between 0 and `base * 2^n`, at most `max`. Full jitter
/// spreads the clients of a restarted server evenly over the whole time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first wait.
    pub base: Duration,
    /// Bound of every wait.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: Duration::from_millis(200), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The longest that attempt `attempt` (0, 1, 2 ...) may wait, in milliseconds.
    pub fn bound_ms(&self, attempt: u32) -> u64 {
        let base = u64::try_from(self.base.as_millis()).unwrap_or(u64::MAX);
        let max = u64::try_from(self.max.as_millis()).unwrap_or(u64::MAX);
        base.saturating_mul(1u64.checked_shl(attempt).unwrap_or(u64::MAX)).min(max)
    }

    /// The wait of attempt `attempt`, in milliseconds, drawn by `random` (any 64 bits).
    pub fn wait_ms(&self, attempt: u32, random: u64) -> u64 {
        let bound = self.bound_ms(attempt);
        // The high half of the product maps 64 random bits evenly on 0 ..= bound.
        ((u128::from(random) * (u128::from(bound) + 1)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_within_bounds_that_double() {
        let backoff = Backoff::default();
        for (attempt, bound) in
            [(0, 200), (1, 400), (2, 800), (7, 25_600), (8, 30_000), (63, 30_000), (64, 30_000), (u32::MAX, 30_000)]
        {
            assert_eq!(backoff.bound_ms(attempt), bound);
            assert_eq!(backoff.wait_ms(attempt, 0), 0);
            assert_eq!(backoff.wait_ms(attempt, u64::MAX), bound);
        }
    }

    #[test]
    fn jitter_is_full() {
        // A seeded generator (splitmix64) instead of the system's: the same 1000 draws every time.
        let mut state = 42u64;
        let mut draw = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        let waits: Vec<u64> = (0..1000).map(|_| Backoff::default().wait_ms(4, draw())).collect();
        let quarter = |q: u64| waits.iter().filter(|&&w| w / 801 == q).count();
        assert!(waits.iter().all(|&w| w <= 3_200));
        for q in 0..4 {
            assert!((200..300).contains(&quarter(q)), "quarter {q} has {}", quarter(q));
        }
    }
}
