//! What all benches share: samples small enough that all of them together take about a minute.

use std::time::Duration;

use criterion::Criterion;

pub fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .nresamples(5000)
        .without_plots()
}
