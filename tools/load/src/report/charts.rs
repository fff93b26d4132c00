//! The charts of reports.

use super::curve::Curve;
use super::page::write::{bytes, count, quantile, seconds, share, time};
use super::page::{Chart, Line, Scale};
use crate::account::Slice;
use crate::conduct::Sample;

/// What a run shows: latencies, how they went over time where that is known, and the run over time.
pub(super) fn of_run(curves: &[Curve], timeline: Option<Chart>, series: &[Sample], marks: &[(f64, String)]) -> Vec<Chart> {
    let charts = [distribution(curves), timeline, throughput(series, marks), cpu(series, marks), memory(series, marks)];
    charts.into_iter().flatten().collect()
}

/// Quantiles of latencies.
pub(super) fn distribution(curves: &[Curve]) -> Option<Chart> {
    let last = curves.iter().filter_map(|curve| curve.points.last()).map(|(quantile, _)| *quantile).fold(0.99, f64::max);
    let values = curves.iter().flat_map(|curve| &curve.points).map(|(_, us)| *us);
    (!curves.is_empty()).then(|| Chart {
        title: "Latency distribution".into(),
        note: "From when a message was meant to be sent. Each further nine is as wide as the one before.".into(),
        x: (Scale::Quantile(last), "of all stayed below", quantile),
        y: (Scale::log_of(values), "latency", time),
        lines: curves.iter().map(|curve| line(&curve.name, curve.points.iter().copied())).collect(),
        marks: Vec::new(),
        bounds: Vec::new(),
    })
}

/// Latencies over time.
pub(super) fn timeline(whose: &str, slices: &[Slice], marks: &[(f64, String)]) -> Option<Chart> {
    let of = |value: fn(&Slice) -> f64| slices.iter().map(move |slice| (slice.t_s, value(slice)));
    let ends = slices.iter().map(|slice| slice.t_s).chain(marks.iter().map(|(at, _)| *at));
    (slices.len() > 1).then(|| Chart {
        title: "Latency over time".into(),
        note: format!("{whose}, by when they were meant to be sent."),
        x: (Scale::Linear(0.0, ends.fold(0.0, f64::max)), "time", seconds),
        y: (Scale::log_of(slices.iter().flat_map(|slice| [slice.p50_us, slice.max_us])), "latency", time),
        lines: vec![line("p50", of(|s| s.p50_us)), line("p99", of(|s| s.p99_us)), line("max", of(|s| s.max_us))],
        marks: marks.to_vec(),
        bounds: Vec::new(),
    })
}

/// Messages per second over time.
fn throughput(series: &[Sample], marks: &[(f64, String)]) -> Option<Chart> {
    let deliveries = Line { is_filled: true, ..line("deliveries", series.iter().map(|s| (s.t_s, s.deliveries_per_s))) };
    let acks = line("acks", series.iter().map(|s| (s.t_s, s.acks_per_s)));
    let values = || series.iter().flat_map(|s| [s.deliveries_per_s, s.acks_per_s]);
    let is_any = values().any(|value| value > 0.0);
    over_time("Throughput", "per second", Scale::from_zero(values()), count, vec![deliveries, acks], series, marks)
        .filter(|_| is_any)
}

/// Who was busy.
fn cpu(series: &[Sample], marks: &[(f64, String)]) -> Option<Chart> {
    let optional = |name: &str, value: fn(&Sample) -> Option<f64>| {
        let points: Vec<(f64, f64)> = series.iter().filter_map(|s| Some((s.t_s, value(s)?))).collect();
        (!points.is_empty()).then(|| Line { name: name.to_owned(), points, is_filled: false })
    };
    let lines: Vec<Line> = [
        optional("server's cores", |s| s.server_cpu),
        optional("server's process, of one core", |s| s.server_process_cpu),
        optional("this program's cores", |s| Some(s.client_cpu)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let highest = lines.iter().flat_map(|line| &line.points).map(|(_, share)| *share).chain([1.0]);
    over_time("CPU", "busy", Scale::from_zero(highest), share, lines, series, marks)
}

/// Memory of the server.
fn memory(series: &[Sample], marks: &[(f64, String)]) -> Option<Chart> {
    let points: Vec<(f64, f64)> = series.iter().filter_map(|s| Some((s.t_s, s.server_rss_bytes? as f64))).collect();
    let scale = Scale::bytes_from_zero(points.iter().map(|(_, bytes)| *bytes));
    let is_any = !points.is_empty();
    let lines = vec![Line { name: "resident".into(), points, is_filled: true }];
    over_time("Memory of the server", "resident", scale, bytes, lines, series, marks).filter(|_| is_any)
}

fn over_time(
    title: &str,
    name: &'static str,
    scale: Scale,
    format: fn(f64) -> String,
    lines: Vec<Line>,
    series: &[Sample],
    marks: &[(f64, String)],
) -> Option<Chart> {
    let end = series.last()?.t_s;
    (series.len() > 1).then(|| Chart {
        title: title.to_owned(),
        note: String::new(),
        x: (Scale::Linear(0.0, end), "time", seconds),
        y: (scale, name, format),
        lines,
        marks: marks.to_vec(),
        bounds: Vec::new(),
    })
}

/// Latencies by rate: quantiles by name.
pub(super) fn by_rate(lines: Vec<(&str, Vec<(f64, f64)>)>, p99_max_us: f64, knee_per_s: Option<f64>) -> Option<Chart> {
    let rates = || lines.iter().flat_map(|(_, points)| points).map(|(rate, _)| *rate);
    let values = lines.iter().flat_map(|(_, points)| points).map(|(_, us)| *us).chain([p99_max_us]);
    (rates().count() > 0).then(|| Chart {
        title: "Latency by rate".into(),
        note: "Where a rate was tried more than once, the best try.".into(),
        x: (Scale::log_of(rates()), "messages per second", count),
        y: (Scale::log_of(values), "latency", time),
        lines: lines.iter().map(|(name, points)| line(name, points.iter().copied())).collect(),
        marks: knee_per_s.map(|knee| (knee, format!("knee: {}", count(knee)))).into_iter().collect(),
        bounds: vec![(p99_max_us, format!("bound of the p99: {}", time(p99_max_us)))],
    })
}

fn line(name: &str, points: impl Iterator<Item = (f64, f64)>) -> Line {
    Line { name: name.to_owned(), points: points.collect(), is_filled: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(t_s: f64) -> Sample {
        Sample {
            t_s,
            acks_per_s: 10.0,
            deliveries_per_s: 20.0,
            server_cpu: None,
            server_process_cpu: Some(1.4),
            client_cpu: 0.5,
            server_rss_bytes: Some(3 << 20),
        }
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let series = [sample(1.0), sample(2.0)];
        let names = |chart: Chart| chart.lines.into_iter().map(|line| line.name).collect::<Vec<_>>();
        let cpu = cpu(&series, &[]).unwrap();
        assert_eq!(cpu.y.0, Scale::Linear(0.0, 1.5));
        assert_eq!(names(cpu), ["server's process, of one core", "this program's cores"]);
        assert_eq!(names(throughput(&series, &[]).unwrap()), ["deliveries", "acks"]);
        assert!(throughput(&series[..1], &[]).is_none() && memory(&[], &[]).is_none() && distribution(&[]).is_none());
        let idle = series.map(|s| Sample { acks_per_s: 0.0, deliveries_per_s: 0.0, server_rss_bytes: None, ..s });
        assert!(throughput(&idle, &[]).is_none() && memory(&idle, &[]).is_none());
    }

    #[test]
    fn a_ramp_shows_its_bound_and_knee() {
        let chart = by_rate(vec![("p99", vec![(100.0, 50.0), (200.0, 5000.0)])], 1000.0, Some(100.0)).unwrap();
        assert_eq!((chart.marks[0].1.as_str(), chart.bounds[0].1.as_str()), ("knee: 100", "bound of the p99: 1 ms"));
        assert!(by_rate(vec![("p99", Vec::new())], 1.0, None).is_none());
    }
}
