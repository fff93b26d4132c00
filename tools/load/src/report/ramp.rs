//! The report of `ramp`: a table of rates, and the knee.

use serde::Serialize;

use super::about::About;
use super::page::write::{count, share, time};
use super::page::{Page, fault, tile};
use super::table::{Table, percent};
use super::troubles::Troubles;
use super::{Latency, Report, charts};
use crate::conduct::{Ramp, RampStep};
use crate::options::Settings;

/// All that is known about a ramp. Units are in the names.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct RampFigures {
    #[serde(flatten)]
    pub about: About,
    /// What was played at each rate.
    pub load: &'static str,
    pub connections: u32,
    pub step_s: f64,
    /// A rate holds if the p99 of its deliveries is at most this, and all was sent and delivered.
    pub p99_max_us: f64,
    /// The highest rate that held, in messages per second.
    pub knee_per_s: Option<f64>,
    /// The first rate above it that did not may have been this program's limit.
    pub client_was_the_limit: bool,
    pub steps: Vec<StepFigures>,
    #[serde(flatten)]
    pub troubles: Troubles,
    pub server_cpus: Vec<usize>,
}

/// One rate.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct StepFigures {
    pub rate_per_s: f64,
    pub acks_per_s: f64,
    pub deliveries_per_s: f64,
    pub latency_us: Latency,
    pub ack_latency_us: Latency,
    /// Messages that were due and never sent.
    pub unsent: u64,
    pub server_cpu_busy: Option<f64>,
    pub server_process_cpu: Option<f64>,
    pub client_cpu_busy: f64,
    pub client_limits: Vec<String>,
    pub has_held: bool,
}

impl RampFigures {
    /// Computes the figures.
    pub fn from(load: &'static str, p99_ns: u64, durability: &str, settings: &Settings, ramp: &Ramp) -> RampFigures {
        let steps: Vec<StepFigures> = ramp.steps.iter().map(|step| StepFigures::from(settings, step)).collect();
        let above = |step: &&StepFigures| !step.has_held && ramp.knee_per_s.is_none_or(|knee| step.rate_per_s > knee);
        let first_above = steps.iter().filter(above).min_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
        RampFigures {
            about: About::new("ramp", durability, ramp.over, settings),
            load,
            connections: ramp.plan.connections,
            step_s: settings.duration.as_secs_f64(),
            p99_max_us: p99_ns as f64 / 1e3,
            knee_per_s: ramp.knee_per_s,
            client_was_the_limit: first_above.is_some_and(|step| !step.client_limits.is_empty()),
            steps,
            troubles: Troubles::from(&ramp.tally),
            server_cpus: settings.server_cpus.clone(),
        }
    }

    /// The quantile of each rate, of its best try.
    fn line(&self, value: fn(&Latency) -> f64) -> Vec<(f64, f64)> {
        let mut points: Vec<(f64, f64)> = self.steps.iter().map(|step| (step.rate_per_s, value(&step.latency_us))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        points.dedup_by_key(|(rate, _)| *rate);
        points
    }
}

impl Report for RampFigures {
    /// Whether every message came once and in order, at whatever rate.
    fn is_clean(&self) -> bool {
        self.troubles.count() == 0
    }

    fn page(&self) -> Page {
        let p99_max = time(self.p99_max_us);
        let subtitle = format!(
            "{} at rising rates, {} sessions, {} bytes, over {}, {:.1} s each, until the p99 of deliveries passes {p99_max}",
            self.load,
            self.connections,
            self.about.payload_bytes,
            self.about.over.name(),
            self.step_s
        );
        let mut page = self.about.page(subtitle, self.is_clean(), &self.server_cpus, &self.table());
        let at_knee = self.steps.iter().rfind(|step| step.has_held && Some(step.rate_per_s) == self.knee_per_s);
        let note = format!("messages per second with a p99 of at most {p99_max}");
        page.tiles.push(tile("knee", self.knee_per_s.map_or("none".to_owned(), count), note));
        if let Some(step) = at_knee {
            page.tiles.push(tile("p99 there", time(step.latency_us.p99), format!("p50 {}", time(step.latency_us.p50))));
            let deliveries = format!("{} acks per second", count(step.acks_per_s));
            page.tiles.push(tile("deliveries per second there", count(step.deliveries_per_s), deliveries));
            if let Some(busy) = step.server_cpu_busy.or(step.server_process_cpu) {
                page.tiles.push(tile("server busy there", share(busy), ""));
            }
        }
        if self.client_was_the_limit {
            page.warnings.push(
                "The client, not the server, may have been the limit at the lowest rate that did not hold: give it more --cpus."
                    .to_owned(),
            );
        }
        let lines = vec![("p50", self.line(|l| l.p50)), ("p99", self.line(|l| l.p99)), ("max", self.line(|l| l.max))];
        page.charts = charts::by_rate(lines, self.p99_max_us, self.knee_per_s).into_iter().collect();
        page.losses = vec![
            fault("lost", self.troubles.lost, "deliveries that never came"),
            fault("duplicated", self.troubles.duplicated, "deliveries that came again"),
            fault("out of order", self.troubles.out_of_order, "deliveries that came after later ones"),
            fault("unexpected", self.troubles.unexpected, "frames that fit nowhere"),
            fault("disconnects", self.troubles.disconnects, "connections that ended though nobody wanted that"),
        ];
        page
    }

    fn table(&self) -> Table {
        let mut t = Table::default();
        let what = format!("{} connections, {} bytes, {}", self.connections, self.about.payload_bytes, self.about.over.name());
        t.row(
            "scenario",
            &format!("ramp of {}: {what}, steps of {:.1} s, durability {}", self.load, self.step_s, self.about.durability),
        );
        t.row("", "     rate/s     acks/s  p50, us  p99, us p999, us   max, us  server  client  ");
        for step in &self.steps {
            let l = &step.latency_us;
            let server =
                step.server_cpu_busy.or(step.server_process_cpu).map_or("-".to_owned(), |busy| format!("{:.0} %", percent(busy)));
            let verdict = match (step.has_held, step.client_limits.is_empty()) {
                (true, _) => "held",
                (false, true) => "did not hold",
                (false, false) => "did not hold; the client was the limit",
            };
            let row = format!(
                "{:11.0}{:11.0}{:9.0}{:9.0}{:9.0}{:10.0}{server:>8}{:>6.0} %  {verdict}",
                step.rate_per_s,
                step.acks_per_s,
                l.p50,
                l.p99,
                l.p999,
                l.max,
                percent(step.client_cpu_busy)
            );
            t.row("", &row);
        }
        let bound = format!("p99 of a delivery at most {:.1} ms", self.p99_max_us / 1e3);
        match self.knee_per_s {
            Some(knee) => t.row("knee", &format!("{knee:.0} messages per second   ({bound})")),
            None => t.row("knee", &format!("below every rate that was tried   ({bound})")),
        }
        if self.client_was_the_limit {
            t.row(
                "CLIENT WAS THE LIMIT",
                "of the lowest rate that did not hold: the server's knee may lie higher; give this program more --cpus",
            );
        }
        self.troubles.row(&mut t);
        t.counts(&[("disconnects", self.troubles.disconnects), ("unexpected frames", self.troubles.unexpected)]);
        self.troubles.codes(&mut t);
        t
    }
}

impl StepFigures {
    fn from(settings: &Settings, RampStep { rate_per_s, tally, spent, has_held }: &RampStep) -> StepFigures {
        let client_cpu_busy = spent.share(spent.own_cores_s, settings.cpus.len());
        StepFigures {
            rate_per_s: *rate_per_s,
            acks_per_s: spent.per_s(spent.acked),
            deliveries_per_s: spent.per_s(spent.read),
            latency_us: Latency::from(&tally.latency),
            ack_latency_us: Latency::from(&tally.ack_latency),
            unsent: tally.unsent,
            server_cpu_busy: spent.server_cores_s.map(|s| spent.share(s, settings.server_cpus.len())),
            server_process_cpu: spent.server_process_s.map(|s| spent.share(s, 1)),
            client_cpu_busy,
            client_limits: tally.client_limits(client_cpu_busy),
            has_held: *has_held,
        }
    }
}
