//! The table at the end of a run.

use std::collections::BTreeMap;

use super::{Figures, Latency};
use crate::account::Verified;
use crate::dress::Dress;

/// The figures for people: what has no value is left out.
pub(super) fn table(f: &Figures) -> Table {
    let mut t = Table::default();
    t.row("scenario", &scenario(f));
    if f.has_messages() {
        messages(&mut t, f);
    }
    t.optional("pings / pongs", f.heartbeat_ms.map(|_| format!("{} / {}   ({:.0} per second)", f.pings, f.pongs, f.pongs_per_s)));
    f.traffic.iter().for_each(|traffic| traffic.rows(&mut t));
    t.optional("pings before, us", f.pings_before_us.as_ref().map(latency));
    t.optional("pings meanwhile, us", f.pings_during_us.as_ref().map(latency));
    t.row("logins", &format!("{} sessions, {:.0} per second", f.connections, f.logins_per_s));
    server(&mut t, f);
    let [busy, worker, waited] = [f.client_cpu_busy, f.client_worker_busy, f.client_worker_waited].map(percent);
    t.row("client CPU", &format!("{busy:.0} % of cores {:?}; busiest worker {worker:.0} %, waited {waited:.0} %", f.about.cpus));
    troubles(&mut t, f);
    t
}

/// Rows of names and values.
#[derive(Default)]
pub struct Table(Vec<(String, String)>);

impl Table {
    /// A row.
    pub fn row(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// A row, where there is a value.
    pub fn optional(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.row(name, &value);
        }
    }

    /// Acks per second in each minute, where there is more than one.
    pub fn minutes(&mut self, rates: &[f64]) {
        for (minute, rate) in (1..).zip(rates).filter(|_| rates.len() > 1) {
            self.row(&format!("  minute {minute}"), &format!("{rate:.0} acks per second"));
        }
    }

    /// Counts of what should not be; what is not is left out.
    pub fn counts(&mut self, counts: &[(&str, u64)]) {
        for (name, count) in counts {
            self.optional(name, (*count > 0).then(|| count.to_string()));
        }
    }

    /// Codes with their counts.
    pub(super) fn codes(&mut self, name: &str, counts: &BTreeMap<String, u64>) {
        self.optional(name, list(counts));
    }

    /// All rows as lines.
    pub fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name:<28}{value}\n")).collect()
    }

    /// All rows.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        self.0.clone()
    }
}

/// A share as people read it.
pub(super) fn percent(share: f64) -> f64 {
    share * 100.0
}

/// Bytes as people read them.
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn scenario(f: &Figures) -> String {
    let members = f.members.map(|m| format!(", {m} members")).unwrap_or_default();
    let pace = match (f.window, f.rate_per_s) {
        (_, Some(rate)) => format!("rate {rate}/s"),
        (Some(window), None) => format!("window {window}"),
        (None, None) => String::new(),
    };
    let beats = f.heartbeat_ms.map(|ms| format!(", a ping every {ms} ms")).unwrap_or_default();
    let load = if f.has_messages() { format!(", {} bytes, {pace}", f.about.payload_bytes) } else { beats };
    let over = f.about.over.name();
    format!(
        "{}: {} connections{members}{load}, {over}, {:.1} s, durability {}",
        f.about.scenario, f.connections, f.duration_s, f.about.durability
    )
}

fn messages(t: &mut Table, f: &Figures) {
    t.row("sent / acked", &format!("{} / {}   ({:.0} acks per second)", f.sent, f.acked, f.acks_per_s));
    t.row("delivered / expected", &format!("{} / {}   ({:.0} per second)", f.delivered, f.expected, f.deliveries_per_s));
    f.troubles.row(t);
    t.optional("read back / expected", f.verified.as_ref().map(read_back));
    t.row("delivery latency, us", &latency(&f.latency_us));
    t.row("ack latency, us", &latency(&f.ack_latency_us));
    t.optional("longest without an ack", f.longest_stall_ms.map(|ms| format!("{ms:.1} ms")));
    t.minutes(&f.acks_per_s_by_minute);
}

/// What is missing comes first: it is what the reading is for.
fn read_back(v: &Verified) -> String {
    let counts = format!("{} / {}   ({} missing, {} different", v.read_back, v.expected, v.missing, v.different);
    let rest = [(v.twice, "twice"), (v.holes, "holes"), (v.same_place, "acks for one place"), (v.unchecked, "not checked")];
    let rest: String = rest.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect();
    format!("{counts}{rest}; {} acked, {} logs read)", v.acked, v.readings)
}

/// Quantiles as people read them.
pub fn latency(l: &Latency) -> String {
    format!("p50 {:.1}  p90 {:.1}  p99 {:.1}  p999 {:.1}  max {:.1}", l.p50, l.p90, l.p99, l.p999, l.max)
}

fn server(t: &mut Table, f: &Figures) {
    t.optional("server cores", f.server_cpu_busy.map(|b| format!("{:.1} % busy of {:?}", percent(b), f.server_cpus)));
    t.optional("  per delivery", f.server_cpu_us_per_delivery.map(|us| format!("{us:.3} us")));
    t.optional("  per pong", f.server_cpu_us_per_pong.map(|us| format!("{us:.3} us")));
    t.optional("server process", f.server_process_cpu.map(|b| format!("{:.1} % of a core", percent(b))));
    t.optional("  per delivery", f.server_process_cpu_us_per_delivery.map(|us| format!("{us:.3} us")));
    t.optional("  per pong", f.server_process_cpu_us_per_pong.map(|us| format!("{us:.3} us")));
    t.optional(
        "server memory",
        f.server_rss_start_bytes
            .zip(f.server_rss_bytes)
            .map(|(start, end)| format!("{:.1} MiB before, {:.1} MiB at the end", mib(start), mib(end))),
    );
    let from = f.start_connections.unwrap_or(0);
    t.optional(
        "  growth per session",
        f.server_rss_bytes_per_connection.map(|bytes| format!("{bytes:.0} bytes (from {from} to {} sessions)", f.connections)),
    );
}

fn troubles(t: &mut Table, f: &Figures) {
    t.counts(&[
        ("disconnects", f.troubles.disconnects),
        ("unexpected frames", f.troubles.unexpected),
        ("gaps and skips", f.gaps),
        ("refused publishes", f.refused),
    ]);
    f.troubles.codes(t);
    for reason in &f.client_limits {
        t.row("CLIENT WAS THE LIMIT", &format!("{reason}; the figures may be this program's limit, not the server's"));
    }
    let notes = [
        (
            f.about.over == Dress::Json,
            "JSON is written and read by this program too: compare the server's CPU, and rates only where client CPU is far from 100 %",
        ),
        (
            f.unsent > 0 && f.rate_per_s.is_some(),
            "the server did not keep up with --rate: the latencies leave out messages that were never sent",
        ),
        (
            f.verified.as_ref().is_some_and(|v| v.unchecked > 0),
            "more was acknowledged than is remembered for --verify; see --verify-places",
        ),
        (f.drain_gave_up, "at the end nothing came any more while messages were outstanding; see --drain"),
        (window_was_cut(f), "--window is above the server's window; no more than that were ever unanswered"),
    ];
    for (_, note) in notes.iter().filter(|(applies, _)| *applies) {
        t.row("note", note);
    }
}

fn window_was_cut(f: &Figures) -> bool {
    f.window.zip(f.server_window).is_some_and(|(window, server)| window > server)
}

fn list(counts: &BTreeMap<String, u64>) -> Option<String> {
    let texts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}
