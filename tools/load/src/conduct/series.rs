//! The run over time: what was read and acknowledged, who was busy, how much memory the server had.

use serde::Serialize;

use super::Meters;

/// Samples that a series has at most, about.
const SAMPLES: u64 = 120;
/// CPU times are counted in hundredths of a second: below this a share is mostly rounding.
const EVERY_NS_MIN: u64 = 500_000_000;
/// The slowest sampling.
const EVERY_NS_MAX: u64 = 60_000_000_000;

/// One sample: means since the one before. Shares are of all cores in question, the process's of one core.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Sample {
    /// Since the measured time began.
    pub t_s: f64,
    pub acks_per_s: f64,
    pub deliveries_per_s: f64,
    pub server_cpu: Option<f64>,
    pub server_process_cpu: Option<f64>,
    pub client_cpu: f64,
    pub server_rss_bytes: Option<u64>,
}

/// Samples of a run.
#[derive(Clone, Debug, Default)]
pub struct Series {
    every_ns: u64,
    first_ns: u64,
    last: Option<Meters>,
    samples: Vec<Sample>,
}

impl Series {
    /// The measured time begins; it is to be so long.
    pub fn begin(first: Meters, duration_ns: u64) -> Series {
        let every_ns = (duration_ns / SAMPLES).clamp(EVERY_NS_MIN, EVERY_NS_MAX);
        Series { every_ns, first_ns: first.at_ns, last: Some(first), samples: Vec::new() }
    }

    /// Whether it is time for another one.
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.last.is_some_and(|last| now_ns >= last.at_ns + self.every_ns)
    }

    /// The meters now, beside how many cores are the server's and this program's.
    pub fn take(&mut self, now: Meters, rss_bytes: Option<u64>, server_cores: usize, own_cores: usize) {
        let Some(last) = self.last.replace(now) else { return };
        let spent = now.since(&last);
        self.samples.push(Sample {
            t_s: (now.at_ns - self.first_ns) as f64 / 1e9,
            acks_per_s: spent.per_s(spent.acked),
            deliveries_per_s: spent.per_s(spent.read),
            server_cpu: spent.server_cores_s.map(|s| spent.share(s, server_cores)),
            server_process_cpu: spent.server_process_s.map(|s| spent.share(s, 1)),
            client_cpu: spent.share(spent.own_cores_s, own_cores),
            server_rss_bytes: rss_bytes,
        });
    }

    /// All samples.
    pub fn samples(self) -> Vec<Sample> {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_means_since_the_one_before() {
        let second = 1_000_000_000;
        let meters = |s: u64, read, cpu| Meters {
            at_ns: s * second,
            server_cores_s: Some(cpu),
            own_cores_s: 2.0 * cpu,
            read,
            ..Meters::default()
        };
        let mut series = Series::begin(meters(10, 100, 1.0), 10 * second);
        assert!(!series.is_due(10 * second + EVERY_NS_MIN - 1) && series.is_due(11 * second));
        series.take(meters(12, 300, 2.0), Some(7), 1, 2);
        series.take(meters(13, 300, 3.0), None, 1, 2);
        let samples = series.samples();
        assert_eq!((samples[0].t_s, samples[0].deliveries_per_s, samples[0].server_rss_bytes), (2.0, 100.0, Some(7)));
        assert_eq!((samples[0].server_cpu, samples[0].client_cpu, samples[0].server_process_cpu), (Some(0.5), 0.5, None));
        assert_eq!((samples[1].deliveries_per_s, samples[1].server_cpu), (0.0, Some(1.0)));
    }

    #[test]
    fn a_series_that_was_not_begun_is_never_due() {
        assert!(!Series::default().is_due(u64::MAX));
    }
}
