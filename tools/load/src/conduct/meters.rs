//! The meters of a run: what was used and done up to a moment, and between two.

/// The meters at one moment. CPU in seconds since some moment before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meters {
    /// When, in ns of the stage.
    pub at_ns: u64,
    /// Busy time of the server's cores.
    pub server_cores_s: Option<f64>,
    /// CPU of the server's process.
    pub server_process_s: Option<f64>,
    /// Busy time of this program's cores.
    pub own_cores_s: f64,
    /// Deliveries read so far.
    pub read: u64,
    /// Acks so far.
    pub acked: u64,
    /// Pings answered so far.
    pub pongs: u64,
}

/// The same between two moments.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Spent {
    /// How long it was.
    pub seconds: f64,
    pub server_cores_s: Option<f64>,
    pub server_process_s: Option<f64>,
    pub own_cores_s: f64,
    pub read: u64,
    pub acked: u64,
    pub pongs: u64,
}

impl Meters {
    /// What was used and done since then.
    pub fn since(&self, first: &Meters) -> Spent {
        let used = |first: Option<f64>, last: Option<f64>| first.zip(last).map(|(first, last)| last - first);
        Spent {
            seconds: (self.at_ns - first.at_ns) as f64 / 1e9,
            server_cores_s: used(first.server_cores_s, self.server_cores_s),
            server_process_s: used(first.server_process_s, self.server_process_s),
            own_cores_s: self.own_cores_s - first.own_cores_s,
            read: self.read - first.read,
            acked: self.acked - first.acked,
            pongs: self.pongs - first.pongs,
        }
    }
}

impl Spent {
    /// CPU in seconds as a share of so many cores. Never below 0, though idle time, of which busy time is what is left, comes in ticks.
    pub fn share(&self, cpu_s: f64, cores: usize) -> f64 {
        (cpu_s / self.seconds / cores.max(1) as f64).max(0.0)
    }

    /// A count per second.
    pub fn per_s(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_lies_between_two_moments() {
        let first = Meters { at_ns: 1_000_000_000, server_cores_s: Some(5.0), own_cores_s: 2.0, read: 10, ..Meters::default() };
        let last = Meters { at_ns: 3_000_000_000, server_process_s: Some(1.0), own_cores_s: 4.0, read: 30, ..first };
        let spent = last.since(&first);
        assert_eq!((spent.seconds, spent.own_cores_s, spent.read, spent.acked), (2.0, 2.0, 20, 0));
        assert_eq!((spent.server_cores_s, spent.server_process_s), (Some(0.0), None), "known at both moments, or not at all");
        assert_eq!((spent.share(2.0, 1), spent.share(2.0, 4), spent.per_s(20)), (1.0, 0.25, 10.0));
        assert_eq!((spent.share(-0.01, 1), spent.share(1.0, 0)), (0.0, 0.5));
    }
}
