//! Acks per second, minute by minute: a server that stalls for a compaction, or slows down as its log grows, shows it here.

/// A minute, in ns.
const MINUTE_NS: u64 = 60_000_000_000;

/// Counts at the ends of the minutes.
#[derive(Debug, Default)]
pub struct Minutes {
    /// Time in ns, and acks so far.
    marks: Vec<(u64, u64)>,
    ended: bool,
}

impl Minutes {
    /// The first minute begins.
    pub fn from(at_ns: u64, acked: u64) -> Minutes {
        Minutes { marks: vec![(at_ns, acked)], ended: false }
    }

    /// To be called often: ends a minute when it is over.
    pub fn look(&mut self, now_ns: u64, acked: u64) {
        if !self.ended && self.marks.last().is_some_and(|(at, _)| now_ns >= at + MINUTE_NS) {
            self.marks.push((now_ns, acked));
        }
    }

    /// Ends the last minute, which may be shorter, unless nothing of it is there.
    pub fn end(&mut self, now_ns: u64, acked: u64) {
        if self.marks.last().is_some_and(|(at, _)| now_ns >= at + MINUTE_NS / 60) {
            self.marks.push((now_ns, acked));
        }
        self.ended = true;
    }

    /// Acks per second of each.
    pub fn rates(&self) -> Vec<f64> {
        let rate = |pair: &[(u64, u64)]| (pair[1].1 - pair[0].1) as f64 * 1e9 / (pair[1].0 - pair[0].0) as f64;
        self.marks.windows(2).map(rate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minute_has_its_rate_and_the_rest_has_one_too() {
        let mut minutes = Minutes::from(0, 100);
        let second = MINUTE_NS / 60;
        for s in 1..=150 {
            minutes.look(s * second, 100 + s * 10 + if s > 60 { 600 } else { 0 });
        }
        minutes.end(150 * second, 2200);
        minutes.look(300 * second, 9999);
        assert_eq!(minutes.rates(), [10.0, 20.0, 10.0]);
        assert!(Minutes::default().rates().is_empty());
    }
}
