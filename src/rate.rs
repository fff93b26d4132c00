//! Token buckets, as the generic cell rate algorithm (ITU-T I.371): one number of state.

/// How many may come per second, and how many at once before that counts.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    interval_us: u64,
    tolerance_us: u64,
}

impl Rate {
    /// `per_second` 0 means: no limit.
    pub fn new(per_second: u32, burst: u32) -> Option<Rate> {
        let interval_us = 1_000_000_u64.checked_div(per_second.into())?.max(1);
        Some(Rate { interval_us, tolerance_us: interval_us * u64::from(burst.max(1)) })
    }
}

/// The state: when the bucket will be full again, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    full_at_us: u64,
}

impl Bucket {
    /// Takes one token.
    ///
    /// # Errors
    /// After how many milliseconds there is one.
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), u32> {
        let now_us = now_ms * 1000;
        let full_at_us = self.full_at_us.max(now_us) + rate.interval_us;
        let over_us = (full_at_us - now_us).saturating_sub(rate.tolerance_us);
        if over_us > 0 {
            return Err((over_us.div_ceil(1000)).min(u64::from(u32::MAX)) as u32);
        }
        self.full_at_us = full_at_us;
        Ok(())
    }

    /// Whether nothing would be lost by forgetting it.
    pub fn is_full(&self, now_ms: u64) -> bool {
        self.full_at_us <= now_ms * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate::new(10, 3).unwrap();
        let mut bucket = Bucket::default();
        assert!((0..3).all(|_| bucket.take(rate, 1000).is_ok()));
        assert_eq!(bucket.take(rate, 1000), Err(100));
        assert_eq!(bucket.take(rate, 1099), Err(1));
        assert_eq!(bucket.take(rate, 1100), Ok(()));
        assert!(!bucket.is_full(1300));
        assert!(bucket.is_full(1400));
        assert!((0..3).all(|_| bucket.take(rate, 5000).is_ok()));
        assert!(Rate::new(0, 5).is_none());
    }
}
