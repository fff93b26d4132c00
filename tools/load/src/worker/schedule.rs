//! When messages of the open loop fall due.

/// The share of one worker in the rate: messages at equal distances, to its publishers in turn.
#[derive(Debug)]
pub struct Schedule {
    from_ns: f64,
    interval_ns: f64,
    next: u64,
    publishers: u64,
}

impl Schedule {
    /// `rate_per_s` over `all` publishers, of which this worker has `publishers`.
    pub fn new(from_ns: u64, rate_per_s: f64, publishers: u64, all: u64) -> Schedule {
        let own_rate = rate_per_s * publishers as f64 / all as f64;
        Schedule { from_ns: from_ns as f64, interval_ns: 1e9 / own_rate, next: 0, publishers }
    }

    /// When the next message is due.
    pub fn next_ns(&self) -> u64 {
        // Multiplied, not added up, so that rounding does not shift the rate.
        (self.from_ns + self.next as f64 * self.interval_ns) as u64
    }

    /// Takes the next message if it is due: the publisher's place among those of this worker, and the intended time.
    pub fn take(&mut self, now_ns: u64) -> Option<(usize, u64)> {
        let due_ns = self.next_ns();
        if self.publishers == 0 || due_ns > now_ns {
            return None;
        }
        let publisher = (self.next % self.publishers) as usize;
        self.next += 1;
        Some((publisher, due_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_fall_due_at_equal_distances_in_turn() {
        let mut s = Schedule::new(1_000, 1e6, 2, 4);
        let all: Vec<_> = std::iter::from_fn(|| s.take(9_000)).collect();
        assert_eq!(all, [(0, 1_000), (1, 3_000), (0, 5_000), (1, 7_000), (0, 9_000)]);
        assert_eq!((s.take(10_999), s.next_ns()), (None, 11_000));
    }

    #[test]
    fn a_worker_without_publishers_has_nothing_due() {
        assert_eq!(Schedule::new(0, 1e6, 0, 4).take(u64::MAX), None);
    }
}
