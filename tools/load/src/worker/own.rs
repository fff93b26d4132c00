//! A worker looks at itself: how much of the measured time it ran, and how much it waited for its processor.

use std::ops::Range;

use crate::account::Own;
use crate::machine::{self, ThreadTimes};

/// Reads the thread's times when the measured time begins and when it is over.
#[derive(Debug, Default)]
pub struct OwnWatch {
    measured: Range<u64>,
    begin: Option<(u64, ThreadTimes)>,
    is_over: bool,
}

impl OwnWatch {
    /// To be called once per turn. Gives the shares of a measured time once, when it is over.
    pub fn look(&mut self, now_ns: u64, measured: &Range<u64>) -> Option<Own> {
        if self.measured.start != measured.start {
            *self = OwnWatch { measured: measured.clone(), ..OwnWatch::default() };
        }
        // The end may be fixed later than the beginning.
        self.measured.end = measured.end;
        if self.is_over || now_ns < self.measured.start {
            return None;
        }
        let Some((began_ns, before)) = self.begin else {
            self.begin = Some((now_ns, machine::thread_times()));
            return None;
        };
        if now_ns < self.measured.end {
            return None;
        }
        self.is_over = true;
        let after = machine::thread_times();
        let [ran, waited] = [after.ran_ns - before.ran_ns, after.waited_ns.saturating_sub(before.waited_ns)];
        Some(Own::of(ran, waited, now_ns - began_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_measured_time_gives_its_shares_once() {
        let mut watch = OwnWatch::default();
        let measured = 100..200;
        assert_eq!([50, 100, 150].map(|now| watch.look(now, &measured)), [None; 3]);
        assert!(watch.look(210, &measured).is_some());
        assert_eq!(watch.look(220, &measured), None);
        assert_eq!(watch.look(250, &(240..u64::MAX)), None);
        assert_eq!(watch.look(300, &(240..u64::MAX)), None);
        assert!(watch.look(310, &(240..305)).is_some(), "the end became known while it went on");
    }
}
