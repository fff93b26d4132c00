//! The report of `crowd`.

use serde::Serialize;

use super::about::About;
use super::curve::Curve;
use super::page::write::{bytes, count};
use super::page::{Page, fault, tile};
use super::table::{Table, mib, percent};
use super::troubles::Troubles;
use super::{Report, charts};
use crate::conduct::{Crowd, Footprint, Sample, Turn};
use crate::memory::KernelMemory;
use crate::options::Settings;
use crate::scenario::CrowdOptions;

/// All that is known about a crowd. Units are in the names; times and CPU are absent where they mean nothing (`--untimed`).
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct CrowdFigures {
    #[serde(flatten)]
    pub about: About,
    pub sessions: u32,
    pub logins_per_s: Option<f64>,

    /// Resident memory of the server's process before the first connection, with all sessions, and at the end.
    pub server_rss_bytes: Option<[u64; 3]>,
    /// What all sessions added to it, for each.
    pub server_growth_bytes_per_session: Option<f64>,
    /// All of it with all sessions, for each.
    pub server_rss_bytes_per_session: Option<f64>,
    /// What the sessions added to the kernel's memory, for each: both ends of its connection where this program runs on the server's machine.
    pub kernel_bytes_per_session: f64,
    /// Both ends of each connection are in it.
    pub kernel_has_both_ends: bool,
    /// The whole growth, by kind.
    pub kernel_growth_bytes: KernelMemory,
    /// What this program needs in all, for each session.
    pub client_rss_bytes_per_session: f64,

    /// Direct messages between sessions of the sample: before others dropped, and after they were back.
    pub direct: Vec<TurnFigures>,
    /// Messages to all: before some dropped.
    pub to_all_before: Vec<TurnFigures>,
    /// While they were away: to those who were there.
    pub to_all_meanwhile: Vec<TurnFigures>,
    /// When they were back.
    pub to_all_after: Vec<TurnFigures>,
    /// CPU of the server's process at rest, as a share of one core.
    pub rest_process_cpu: Option<f64>,
    /// Busy time of the server's cores at rest, as a share of them all.
    pub rest_cores_cpu: Option<f64>,
    pub rest_s: f64,

    /// Dropped at once.
    pub dropped: u64,
    /// Of those, came back and had what was said meanwhile.
    pub returned: u64,
    /// From when they might come back to the last one that had all.
    pub all_back_s: Option<f64>,

    pub sent: u64,
    pub acked: u64,
    pub delivered: u64,
    pub expected: u64,
    #[serde(flatten)]
    pub troubles: Troubles,
    /// Numbers of logs that a session passed over and never got.
    pub holes: u64,
    /// Conversations with which the server did not go on after a return.
    pub not_resumed: u64,
    /// Sessions that were away at the end.
    pub never_back: u64,
    pub gaps: u64,
    pub refused: u64,
    pub drain_gave_up: bool,

    /// From the last login on.
    pub series: Vec<Sample>,
    #[serde(skip)]
    curves: Vec<Curve>,
    pub server_cpus: Vec<usize>,
}

/// Messages that were sent at once.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct TurnFigures {
    /// To those who were there.
    pub deliveries: u64,
    /// From the first message to the last of the deliveries.
    pub took_s: Option<f64>,
}

impl CrowdFigures {
    /// Computes the figures.
    pub fn from(durability: &str, settings: &Settings, options: &CrowdOptions, outcome: &Crowd) -> CrowdFigures {
        let Crowd { plan, over, tally, seen } = outcome;
        let timed = |value: f64| (!options.untimed).then_some(value);
        let turns = |turns: &[Turn]| -> Vec<TurnFigures> {
            let figures = |turn: &Turn| TurnFigures { deliveries: turn.wanted, took_s: timed(turn.took.as_secs_f64()) };
            turns.iter().map(figures).collect()
        };
        let [start, all, end] = seen.memory;
        let each = |bytes: f64| bytes / f64::from(plan.connections);
        let kernel = all.kernel - start.kernel;
        let rest = seen.rest;
        let at_rest = |cpu_s: Option<f64>, cores: usize| timed(rest.share(cpu_s?, cores));
        let [dropped, returned] = seen.dropped;
        CrowdFigures {
            about: About::new("crowd", durability, *over, settings),
            sessions: plan.connections,
            logins_per_s: timed(seen.logins_per_s),
            server_rss_bytes: rss([start, all, end]),
            server_growth_bytes_per_session: start.server.zip(all.server).map(|(from, to)| each(to as f64 - from as f64)),
            server_rss_bytes_per_session: all.server.map(|rss| each(rss as f64)),
            kernel_bytes_per_session: each(kernel.all as f64),
            kernel_has_both_ends: seen.is_local,
            kernel_growth_bytes: kernel,
            client_rss_bytes_per_session: each(all.client as f64),
            direct: turns(&seen.samples),
            to_all_before: turns(&seen.broadcasts[0]),
            to_all_meanwhile: turns(&seen.broadcasts[1]),
            to_all_after: turns(&seen.broadcasts[2]),
            rest_process_cpu: at_rest(rest.server_process_s, 1),
            rest_cores_cpu: at_rest(rest.server_cores_s, settings.server_cpus.len()),
            rest_s: rest.seconds,
            dropped,
            returned,
            all_back_s: timed(seen.all_back.as_secs_f64()).filter(|_| returned == dropped),
            sent: tally.sent_measured,
            acked: tally.acked_measured,
            delivered: tally.delivered_measured,
            expected: tally.expected_measured,
            troubles: Troubles::from(tally),
            holes: tally.traffic.holes,
            not_resumed: tally.traffic.not_resumed,
            never_back: tally.traffic.away,
            gaps: tally.gaps,
            refused: tally.refused,
            drain_gave_up: seen.drain_gave_up,
            series: seen.series.clone(),
            curves: [
                Curve::of("direct messages", tally.traffic.by_class.get(0, 0).unwrap_or(&tally.latency)),
                Curve::of("acks", &tally.ack_latency),
            ]
            .into_iter()
            .flatten()
            .filter(|_| !options.untimed)
            .collect(),
            server_cpus: settings.server_cpus.clone(),
        }
    }

    fn memory_rows(&self, t: &mut Table) {
        let growth = self.server_growth_bytes_per_session.map(|growth| format!("{growth:.0} B per session"));
        t.optional("server memory, growth", growth);
        let all = self.server_rss_bytes.zip(self.server_rss_bytes_per_session);
        t.optional(
            "server memory, all of it",
            all.map(|([start, all, end], each)| {
                let [start, all, end] = [start, all, end].map(mib);
                format!("{each:.0} B per session   ({start:.1} MiB before, {all:.1} with all sessions, {end:.1} at the end)")
            }),
        );
        let each = self.kernel_bytes_per_session;
        let ends = match self.kernel_has_both_ends {
            _ if each <= 0.0 => "not to be told: something else on this machine gave back more than the sessions took".to_owned(),
            true => format!("{each:.0} B per connection with both its ends, about {:.0} B for the server's", each / 2.0),
            false => format!("{each:.0} B per session (of this program's machine, not the server's)"),
        };
        t.row("kernel memory, growth", &ends);
        let KernelMemory { slab, page_tables, stacks, per_cpu, vmalloc, tcp_buffers, .. } = self.kernel_growth_bytes;
        let part = |name: &str, bytes: i64| format!("{name} {:.0}", bytes as f64 / f64::from(self.sessions));
        let parts = [
            part("slab", slab),
            part("page tables", page_tables),
            part("stacks", stacks),
            part("per CPU", per_cpu),
            part("vmalloc", vmalloc),
        ];
        t.row("  by its own accounts", &format!("{}; in buffers of sockets {}", parts.join(", "), part("", tcp_buffers).trim()));
        t.row("client memory", &format!("{:.0} B per session", self.client_rss_bytes_per_session));
    }

    /// What happened, in its order.
    fn rows(&self, t: &mut Table) {
        let said = |turns: &[TurnFigures]| turns.iter().map(told).collect::<Vec<_>>().join("; ");
        t.row("direct messages", &said(&self.direct[..1]));
        t.row("to all", &said(&self.to_all_before));
        let at_rest = [("of one core", self.rest_process_cpu), ("of its cores", self.rest_cores_cpu)];
        let at_rest: Vec<String> =
            at_rest.iter().filter_map(|(what, share)| Some(format!("{:.2} % {what}", percent((*share)?)))).collect();
        t.optional(
            "server CPU at rest",
            (!at_rest.is_empty()).then(|| format!("{}, for {:.0} s", at_rest.join(", "), self.rest_s)),
        );
        t.row("dropped at once", &self.dropped.to_string());
        t.row("  to those who stayed", &said(&self.to_all_meanwhile));
        let took = self.all_back_s.map(|s| format!(", the last one after {s:.2} s")).unwrap_or_default();
        t.row("  came back, had all", &format!("{} of {}{took}", self.returned, self.dropped));
        t.row("  to all again", &said(&self.to_all_after));
        t.row("  direct messages", &said(&self.direct[1..]));
    }

    /// All that should not be.
    fn troubles(&self) -> u64 {
        let of_returns = self.holes + self.not_resumed + self.never_back + (self.dropped - self.returned);
        self.troubles.count() + of_returns + self.gaps
    }
}

fn rss(footprints: [Footprint; 3]) -> Option<[u64; 3]> {
    let [start, all, end] = footprints.map(|footprint| footprint.server);
    Some([start?, all?, end?])
}

fn told(turn: &TurnFigures) -> String {
    let took = turn.took_s.map(|s| format!(" in {s:.3} s")).unwrap_or_default();
    format!("{} deliveries{took}", turn.deliveries)
}

impl Report for CrowdFigures {
    fn is_clean(&self) -> bool {
        self.troubles() == 0 && self.acked == self.sent && self.delivered == self.expected && !self.drain_gave_up
    }

    fn table(&self) -> Table {
        let mut t = Table::default();
        let sessions = self.sessions;
        let About { durability, over, payload_bytes, .. } = &self.about;
        let over = over.name();
        t.row("scenario", &format!("crowd: {sessions} sessions, {payload_bytes} bytes, {over}, durability {durability}"));
        t.row(
            "logged in",
            &match self.logins_per_s {
                Some(rate) => format!("{sessions} sessions, {rate:.0} per second"),
                None => format!("{sessions} sessions"),
            },
        );
        self.memory_rows(&mut t);
        self.rows(&mut t);
        t.row("acked / sent", &format!("{} / {}", self.acked, self.sent));
        t.row("delivered / expected", &format!("{} / {}", self.delivered, self.expected));
        self.troubles.row(&mut t);
        t.counts(&[
            ("disconnects", self.troubles.disconnects),
            ("never came back", self.never_back),
            ("holes in logs", self.holes),
            ("not resumed", self.not_resumed),
            ("unexpected frames", self.troubles.unexpected),
            ("gaps and skips", self.gaps),
            ("refused publishes", self.refused),
        ]);
        self.troubles.codes(&mut t);
        if self.drain_gave_up {
            t.row("note", "at the end nothing came any more while messages were outstanding; see --drain");
        }
        t.row(
            "verdict",
            if self.is_clean() { "nothing was lost, nothing came twice" } else { "NOT everything came as it should" },
        );
        t
    }

    fn page(&self) -> Page {
        let subtitle = format!("{} sessions on one server, over {}", self.sessions, self.about.over.name());
        let mut page = self.about.page(subtitle, self.is_clean(), &self.server_cpus, &self.table());
        page.tiles = vec![tile("sessions", count(f64::from(self.sessions)), "logged in at the same time")];
        page.tiles
            .extend(self.server_rss_bytes_per_session.map(|each| tile("server memory per session", bytes(each), "all of it")));
        page.tiles.push(tile("kernel memory per connection", bytes(self.kernel_bytes_per_session), "both ends"));
        page.tiles.extend(self.all_back_s.map(|s| tile("until all were back", format!("{s:.2} s"), "who had dropped at once")));
        page.charts = charts::of_run(&self.curves, None, &self.series, &[]);
        page.losses = vec![
            fault("lost", self.troubles.lost, "deliveries that never came"),
            fault("duplicated", self.troubles.duplicated, "deliveries that came again"),
            fault("out of order", self.troubles.out_of_order, "deliveries that came after later ones of their conversation"),
            fault("holes", self.holes, "numbers of logs that a session passed over"),
            fault("not resumed", self.not_resumed, "conversations with which the server did not go on after a return"),
            fault("never back", self.never_back, "sessions that did not come back, or not with everything"),
            fault("unexpected", self.troubles.unexpected, "frames that fit nowhere"),
            fault("gaps", self.gaps, "the server announced that it left something out"),
            fault("disconnects", self.troubles.disconnects, "connections that ended though nobody wanted that"),
        ];
        page
    }
}
