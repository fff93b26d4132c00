//! Latencies over time: the measured time in slices, by when messages were meant to be sent.

use super::Latencies;

/// Slices that are kept; what comes after them is in the other figures only.
const SLICES_MAX: u64 = 1000;

/// See the module. Values with two digits, so that many slices take little memory.
#[derive(Debug, Default)]
pub struct Timeline {
    slice_ns: u64,
    slices: Vec<Option<Latencies<2>>>,
}

/// One slice.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[allow(missing_docs)]
pub struct Slice {
    /// The middle of the slice, since the measured time began.
    pub t_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Timeline {
    /// With slices of this length; 0: nothing is kept.
    pub fn new(slice_ns: u64) -> Timeline {
        Timeline { slice_ns, slices: Vec::new() }
    }

    /// A latency of a message that was meant to be sent so long after the beginning.
    pub fn record(&mut self, since_begin_ns: u64, latency_ns: u64) {
        if let Some(at) = since_begin_ns.checked_div(self.slice_ns).filter(|at| *at < SLICES_MAX) {
            self.at(at as usize).saturating_record(latency_ns);
        }
    }

    fn at(&mut self, at: usize) -> &mut Latencies<2> {
        if self.slices.len() <= at {
            self.slices.resize_with(at + 1, || None);
        }
        self.slices[at].get_or_insert_default()
    }

    /// Adds what another worker measured, with the same slices.
    pub fn add(&mut self, other: &Timeline) {
        self.slice_ns = self.slice_ns.max(other.slice_ns);
        for (at, histogram) in other.slices.iter().enumerate() {
            if let Some(histogram) = histogram {
                self.at(at).add(histogram);
            }
        }
    }

    /// Slices in which something was measured.
    pub fn slices(&self) -> Vec<Slice> {
        let us = |ns: u64| ns as f64 / 1e3;
        let slice = |(at, histogram): (usize, &Option<Latencies<2>>)| {
            let histogram = histogram.as_ref()?;
            Some(Slice {
                t_s: (at as f64 + 0.5) * self.slice_ns as f64 / 1e9,
                p50_us: us(histogram.value_at_quantile(0.5)),
                p99_us: us(histogram.value_at_quantile(0.99)),
                max_us: us(histogram.max()),
            })
        };
        self.slices.iter().enumerate().filter_map(slice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_lie_in_the_slice_in_which_they_began() {
        let (mut a, mut b) = (Timeline::new(1_000_000_000), Timeline::new(1_000_000_000));
        a.record(0, 1_000);
        a.record(2_999_999_999, 5_000);
        b.record(999_999_999, 3_000);
        b.record(u64::MAX, 9_000);
        a.add(&b);
        let slices = a.slices();
        assert_eq!(slices.iter().map(|s| s.t_s).collect::<Vec<_>>(), [0.5, 2.5]);
        assert!((slices[0].max_us - 3.0).abs() < 0.1 && (slices[0].p50_us - 1.0).abs() < 0.1, "{slices:?}");
    }

    #[test]
    fn without_slices_nothing_is_kept() {
        let mut none = Timeline::default();
        none.record(5, 5);
        assert!(none.slices().is_empty());
    }
}
