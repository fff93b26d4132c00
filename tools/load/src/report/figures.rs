//! From counts and meters to figures. The names of the fields are the keys of the JSON.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::about::About;
use super::curve::Curve;
use super::page::Page;
use super::traffic::{TrafficFigures, classes};
use super::troubles::Troubles;
use super::{Report, Table, table};
use crate::account::{Pace, Slice, Verified};
use crate::conduct::{Memory, Outcome, Sample, Spent};
use crate::options::Settings;

/// Latencies in microseconds; empty (0) where nothing was measured.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    /// Quantiles of nanoseconds.
    pub fn from(histogram: &Histogram<u64>) -> Latency {
        let us = |ns: u64| (ns as f64 / 100.0).round() / 10.0;
        let quantile = |q: f64| us(histogram.value_at_quantile(q));
        Latency { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), p999: quantile(0.999), max: us(histogram.max()) }
    }
}

/// All that is known about a run. Units are in the names.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// What was run, and on what.
    #[serde(flatten)]
    pub about: About,
    /// Connections in all.
    pub connections: u32,
    /// Receivers of each message in group and floor.
    pub members: Option<u32>,
    /// Outstanding messages of each publisher (closed loop).
    pub window: Option<u32>,
    /// Intended messages per second (open loop).
    pub rate_per_s: Option<f64>,
    /// Unanswered publishes that the server allows.
    pub server_window: Option<u32>,
    /// Not measured.
    pub warmup_s: f64,
    /// Measured.
    pub duration_s: f64,

    /// Publishes, without those that the server refused.
    pub sent: u64,
    /// Of those, acknowledged.
    pub acked: u64,
    /// Their deliveries that were read.
    pub delivered: u64,
    /// Their deliveries that should have been read.
    pub expected: u64,
    /// What should not be.
    #[serde(flatten)]
    pub troubles: Troubles,
    /// Messages of the open loop that were due and never sent.
    pub unsent: u64,
    /// Publishes that the server refused, of the whole run.
    pub refused: u64,
    /// Gap and Skip frames, of the whole run.
    pub gaps: u64,
    /// Records of the group that were delivered (joins), of the whole run.
    pub records: u64,
    /// Draining ended because nothing came any more.
    pub drain_gave_up: bool,

    /// Pings that sessions sent to be kept alive, or because they were asked to, and their answers, of the whole run.
    pub pings: u64,
    /// See `pings`.
    pub pongs: u64,
    /// How often each session pinged in the measured time, where it was asked to; only then a missing answer counts.
    pub heartbeat_ms: Option<u64>,

    /// What was found when all that was acknowledged was read back.
    pub verified: Option<Verified>,

    /// Acks read in the measured time.
    pub acks_per_s: f64,
    /// The same in each minute of it; the last one may be shorter.
    pub acks_per_s_by_minute: Vec<f64>,
    /// Longest part of the measured time in which no ack was read.
    pub longest_stall_ms: Option<f64>,
    /// Deliveries read in the measured time.
    pub deliveries_per_s: f64,
    /// Pings answered in the measured time.
    pub pongs_per_s: f64,
    /// Intended send to delivery read.
    pub latency_us: Latency,
    /// Intended send to ack read.
    pub ack_latency_us: Latency,
    /// Sessions logged in.
    pub logins_per_s: f64,
    /// Round trips of a session that has nothing to do with it, every 10 ms: before it begins, and while it goes on.
    pub pings_before_us: Option<Latency>,
    /// See `pings_before_us`.
    pub pings_during_us: Option<Latency>,
    /// Over the measured time: what was read and acknowledged, who was busy, the server's memory.
    pub series: Vec<Sample>,
    /// Latencies over the measured time; in a storm of those who stayed.
    pub latency_over_time: Vec<Slice>,
    /// Distributions, for charts.
    #[serde(skip)]
    pub curves: Vec<Curve>,
    /// What only traffic has.
    #[serde(flatten)]
    pub traffic: Option<TrafficFigures>,

    /// Busy share of the server's cores.
    pub server_cpu_busy: Option<f64>,
    /// Busy time of the server's cores, per delivery.
    pub server_cpu_us_per_delivery: Option<f64>,
    /// CPU time of the server's process, per delivery.
    pub server_process_cpu_us_per_delivery: Option<f64>,
    /// Busy time of the server's cores, per ping that was answered, where nothing else went on.
    pub server_cpu_us_per_pong: Option<f64>,
    /// CPU time of the server's process, per ping that was answered, where nothing else went on.
    pub server_process_cpu_us_per_pong: Option<f64>,
    /// CPU time of the server's process, as a share of one core.
    pub server_process_cpu: Option<f64>,
    /// Memory before the first connection.
    pub server_rss_start_bytes: Option<u64>,
    /// Memory with the first sessions, and how many they were.
    pub server_rss_part_bytes: Option<u64>,
    /// See `server_rss_part_bytes`.
    pub start_connections: Option<u32>,
    /// Memory at the end of the measured time.
    pub server_rss_bytes: Option<u64>,
    /// Growth per session: from `start_connections`, or else from before the first one, to all logged in.
    pub server_rss_bytes_per_connection: Option<f64>,

    /// Busy share of this program's cores.
    pub client_cpu_busy: f64,
    /// Share of the time that the busiest of this program's workers ran.
    pub client_worker_busy: f64,
    /// Share of the time that one of them waited for its processor.
    pub client_worker_waited: f64,
    /// Open loop: how long after its time a message was given to its publisher.
    pub client_late_us: Option<Latency>,
    /// The figures are the limit of this program, perhaps not the server's.
    pub client_was_the_limit: bool,
    /// Why that is so.
    pub client_limits: Vec<String>,
    /// Cores of the server.
    pub server_cpus: Vec<usize>,
}

impl Figures {
    /// Computes the figures.
    pub fn from(scenario: &'static str, durability: &str, settings: &Settings, outcome: &Outcome) -> Figures {
        let Outcome { plan, tally, meters: [first, last], memory, .. } = outcome;
        let spent = last.since(first);
        let Spent { server_cores_s, server_process_s, read, .. } = spent;
        let beats = if settings.heartbeat.is_some() && read == 0 { spent.pongs } else { 0 };
        let client_cpu_busy = spent.share(spent.own_cores_s, settings.cpus.len());
        let client_limits = tally.client_limits(client_cpu_busy);
        Figures {
            about: About::new(scenario, durability, outcome.over, settings),
            connections: plan.connections,
            members: (plan.joins() > 0).then_some(plan.joins()),
            window: window(settings.pace).filter(|_| plan.publishers() > 0),
            rate_per_s: settings.rate_per_s,
            server_window: tally.server_window,
            warmup_s: settings.warmup.as_secs_f64(),
            duration_s: spent.seconds,
            sent: tally.sent_measured,
            acked: tally.acked_measured,
            delivered: tally.delivered_measured,
            expected: tally.expected_measured,
            troubles: Troubles::from(tally),
            unsent: tally.unsent,
            refused: tally.refused,
            gaps: tally.gaps,
            records: tally.records,
            drain_gave_up: outcome.drain_gave_up,
            pings: tally.pings,
            pongs: tally.pongs,
            heartbeat_ms: settings.heartbeat.map(|every| every.as_millis() as u64),
            verified: outcome.verified.clone(),
            acks_per_s: spent.per_s(spent.acked),
            acks_per_s_by_minute: outcome.acks_per_s_by_minute.clone(),
            longest_stall_ms: (plan.publishers() > 0).then_some(outcome.stall_ns as f64 / 1e6),
            deliveries_per_s: spent.per_s(read),
            pongs_per_s: spent.per_s(spent.pongs),
            latency_us: Latency::from(&tally.latency),
            ack_latency_us: Latency::from(&tally.ack_latency),
            logins_per_s: outcome.logins_per_s,
            pings_before_us: outcome.pings.as_ref().map(|pings| Latency::from(&pings.before)),
            pings_during_us: outcome.pings.as_ref().map(|pings| Latency::from(&pings.during)),
            series: outcome.series.clone(),
            latency_over_time: tally.timeline.slices(),
            curves: curves(outcome),
            traffic: plan.traffic().map(|traffic| TrafficFigures::from(traffic, outcome)),
            server_cpu_busy: server_cores_s.map(|s| spent.share(s, settings.server_cpus.len())),
            server_cpu_us_per_delivery: us_each(server_cores_s, read),
            server_process_cpu_us_per_delivery: us_each(server_process_s, read),
            server_cpu_us_per_pong: us_each(server_cores_s, beats),
            server_process_cpu_us_per_pong: us_each(server_process_s, beats),
            server_process_cpu: server_process_s.map(|s| spent.share(s, 1)),
            server_rss_start_bytes: memory.start,
            server_rss_part_bytes: memory.part.map(|(_, bytes)| bytes),
            start_connections: memory.part.map(|(sessions, _)| sessions),
            server_rss_bytes: memory.end,
            server_rss_bytes_per_connection: growth(memory, plan.connections),
            client_cpu_busy,
            client_worker_busy: tally.own.ran,
            client_worker_waited: tally.own.waited,
            client_late_us: settings.rate_per_s.map(|_| Latency::from(&tally.lateness)),
            client_was_the_limit: !client_limits.is_empty(),
            client_limits,
            server_cpus: settings.server_cpus.clone(),
        }
    }

    /// Whether there were messages.
    pub fn has_messages(&self) -> bool {
        !matches!(self.about.scenario, "idle" | "echo-floor")
    }
}

impl Report for Figures {
    fn table(&self) -> Table {
        table(self)
    }

    fn page(&self) -> Page {
        self.as_page()
    }

    /// Whether every message came once, in order, over connections that stayed, was acknowledged, and was found again where it was looked for.
    fn is_clean(&self) -> bool {
        let of_traffic = self.traffic.as_ref().map_or(0, TrafficFigures::troubles);
        let unanswered = self.heartbeat_ms.is_some() && self.pongs != self.pings;
        let is_whole = !unanswered && !self.drain_gave_up;
        self.troubles.count() + of_traffic == 0 && is_whole && self.verified.as_ref().is_none_or(Verified::is_clean)
    }
}

fn curves(outcome: &Outcome) -> Vec<Curve> {
    let Outcome { plan, tally, pings, storm, .. } = outcome;
    let of_traffic = plan.traffic().map(|traffic| classes(traffic, &tally.traffic, storm.is_some())).unwrap_or_default();
    let mut curves: Vec<Option<Curve>> = if of_traffic.len() > 1 {
        of_traffic.into_iter().map(|(name, when, histogram)| Curve::of(format!("{name}{when}"), histogram)).collect()
    } else {
        vec![Curve::of("deliveries", &tally.latency)]
    };
    curves.push(Curve::of("acks", &tally.ack_latency));
    if let Some(pings) = pings {
        curves.push(Curve::of("pings before", &pings.before));
        curves.push(Curve::of("pings meanwhile", &pings.during));
    }
    curves.into_iter().flatten().collect()
}

/// CPU in us, of each of so many; nothing of nothing.
pub(super) fn us_each(cpu_s: Option<f64>, count: u64) -> Option<f64> {
    cpu_s.filter(|_| count > 0).map(|s| s * 1e6 / count as f64)
}

fn window(pace: Pace) -> Option<u32> {
    if let Pace::Window(window) = pace { Some(window) } else { None }
}

fn growth(memory: &Memory, connections: u32) -> Option<f64> {
    let (sessions, from) = memory.part.or(memory.start.map(|bytes| (0, bytes)))?;
    let more = f64::from(connections.checked_sub(sessions).filter(|n| *n > 0)?);
    Some((memory.all? as f64 - from as f64) / more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_from_the_first_sessions_where_they_were_asked_for() {
        let memory = Memory { start: Some(1_000), part: Some((10, 3_000)), all: Some(5_000), end: Some(9_000) };
        assert_eq!(growth(&memory, 20), Some(200.0));
        assert_eq!(growth(&Memory { part: None, ..memory }, 20), Some(200.0));
        assert_eq!(growth(&memory, 10), None);
        assert_eq!(growth(&Memory::default(), 20), None);
    }

    #[test]
    fn latencies_are_in_microseconds() {
        let mut histogram = Histogram::<u64>::new_with_max(1_000_000_000, 3).unwrap();
        histogram.record(1_500).unwrap();
        assert_eq!(Latency::from(&histogram).p50, 1.5);
        assert_eq!(Latency::from(&Histogram::new_with_max(1_000_000_000, 3).unwrap()).max, 0.0);
    }
}
