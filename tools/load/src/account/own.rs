//! How busy this program itself was, for the question whether the server or it was the limit.

use std::time::Duration;

/// From this share of their time on, a worker's processor is taken as full.
const BUSY: f64 = 0.9;
/// So much of the time a worker may wait for its processor because something else runs there.
const WAITING: f64 = 0.05;
/// A message that is given to its publisher later than this has not been sent when it was meant to be ...
const LATE: Duration = Duration::from_millis(1);
/// ... which is of no importance where latencies are many times as long.
const LATE_SHARE: f64 = 0.2;

/// Shares of the measured time, of the worker with the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Own {
    /// It ran.
    pub ran: f64,
    /// It could have run, and something else did.
    pub waited: f64,
    /// Both together.
    pub wanted: f64,
}

impl Own {
    /// One worker, in ns.
    pub fn of(ran_ns: u64, waited_ns: u64, all_ns: u64) -> Own {
        let share = |ns: u64| ns as f64 / all_ns.max(1) as f64;
        Own { ran: share(ran_ns), waited: share(waited_ns), wanted: share(ran_ns + waited_ns) }
    }

    /// The highest of both.
    pub fn max(self, other: Own) -> Own {
        let Own { ran, waited, wanted } = other;
        Own { ran: self.ran.max(ran), waited: self.waited.max(waited), wanted: self.wanted.max(wanted) }
    }
}

/// Why this program may have been the limit, in sentences; none: it was not. `cores_busy`: of all its cores, whoever kept them busy.
/// `late_ns`: p99 of how late messages of the open loop were, beside the p99 of their latency.
pub fn limits(own: Own, cores_busy: f64, late_ns: u64, latency_ns: u64) -> Vec<String> {
    let percent = |share: f64| share * 100.0;
    let mut reasons = Vec::new();
    if own.ran >= BUSY {
        reasons.push(format!("a worker was busy {:.0} % of the time", percent(own.ran)));
    } else if own.waited >= WAITING || own.wanted >= BUSY {
        reasons.push(format!(
            "a worker waited for its processor {:.0} % of the time: something else ran there",
            percent(own.waited)
        ));
    } else if cores_busy >= BUSY {
        reasons.push(format!(
            "its cores were busy {:.0} % of the time, with the kernel's work for it or with others'",
            percent(cores_busy)
        ));
    }
    if u128::from(late_ns) > LATE.as_nanos() && late_ns as f64 > LATE_SHARE * latency_ns as f64 {
        reasons.push(format!("one message of a hundred was sent {:.1} ms or more after its time", late_ns as f64 / 1e6));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_shares_of_all_workers_count() {
        let (a, b) = (Own::of(50, 10, 100), Own::of(20, 30, 100));
        let max = a.max(b);
        assert_eq!((max.ran, max.waited, max.wanted), (0.5, 0.3, 0.6));
        assert_eq!(Own::of(0, 0, 0), Own::default());
    }

    #[test]
    fn each_limit_is_named() {
        let calm = Own::of(50, 1, 100);
        let number = |own, cores, late, latency| limits(own, cores, late, latency).len();
        assert_eq!(number(calm, 0.5, 50_000, 200_000), 0);
        assert_eq!(number(Own::of(91, 1, 100), 0.5, 0, 0), 1);
        assert_eq!(number(Own::of(40, 6, 100), 0.5, 0, 0), 1);
        assert_eq!(number(Own::of(87, 4, 100), 0.5, 0, 0), 1, "it ran or wanted to nearly all the time");
        assert_eq!(number(calm, 0.95, 0, 0), 1);
        assert_eq!(number(calm, 0.5, 2_000_000, 5_000_000), 1);
        assert_eq!(number(calm, 0.5, 2_000_000, 50_000_000), 0, "late, but by little of what was measured");
        assert_eq!(number(Own::of(99, 1, 100), 1.0, 9_000_000, 9_000_000), 2);
    }
}
