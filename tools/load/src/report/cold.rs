//! The report of `cold`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::about::About;
use super::curve::Curve;
use super::page::write::{bytes, count, time};
use super::page::{Page, fault, tile};
use super::table::{Table, latency, mib};
use super::troubles::Troubles;
use super::{Latency, Report, charts};
use crate::conduct::ColdReads;
use crate::options::Settings;
use crate::scenario::Kind;

/// All that is known about reading cold conversations. Units are in the names.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ColdFigures {
    #[serde(flatten)]
    pub about: About,
    /// Number of the run, to read again what it laid in store.
    pub run: String,
    pub conversations: u32,
    pub messages: u64,
    pub publishers: u32,
    pub fill_s: Option<f64>,
    pub fill_acks_per_s: Option<f64>,

    /// Pages read.
    pub reads: u64,
    /// Messages wanted in each.
    pub page_messages: u32,
    /// Under way at once.
    pub readers: u32,
    /// Pages that were refused, or did not hold the newest messages in their order.
    pub wrong: u64,
    pub reads_per_s: f64,
    /// From the request to the page.
    pub read_us: Latency,
    pub refused: u64,
    pub unexpected: u64,
    pub disconnects: u64,
    pub errors: BTreeMap<String, u64>,

    /// Before the first connection of this run, if it filled.
    pub server_rss_start_bytes: Option<u64>,
    pub server_rss_filled_bytes: Option<u64>,
    pub server_rss_before_reads_bytes: Option<u64>,
    pub server_rss_after_reads_bytes: Option<u64>,
    /// Distributions, for charts.
    #[serde(skip)]
    pub curves: Vec<Curve>,
}

impl ColdFigures {
    /// Computes the figures.
    pub fn from(durability: &str, settings: &Settings, outcome: &ColdReads) -> ColdFigures {
        let ColdReads { plan, tally, filled, pages, took, rss, .. } = outcome;
        let Kind::Cold { publishers, conversations, messages, page, readers, .. } = plan.kind else {
            unreachable!("cold reads were played")
        };
        let fill_s = filled.map(|filled| filled.took.as_secs_f64());
        let Troubles { unexpected, disconnects, errors, .. } = Troubles::from(tally);
        ColdFigures {
            about: About::new("cold", durability, outcome.over, settings),
            run: format!("{:08x}", plan.run),
            conversations,
            messages,
            publishers,
            fill_s,
            fill_acks_per_s: filled.map(|filled| filled.messages as f64 / filled.took.as_secs_f64()),
            reads: *pages,
            page_messages: page,
            readers,
            wrong: tally.wrong_pages,
            reads_per_s: *pages as f64 / took.as_secs_f64(),
            read_us: Latency::from(&tally.reads),
            refused: tally.refused,
            unexpected,
            disconnects,
            errors,
            server_rss_start_bytes: filled.and_then(|filled| filled.rss_before),
            server_rss_filled_bytes: filled.and_then(|filled| filled.rss_after),
            server_rss_before_reads_bytes: rss[0],
            server_rss_after_reads_bytes: rss[1],
            curves: Curve::of("from the request to the page", &tally.reads).into_iter().collect(),
        }
    }
}

impl Report for ColdFigures {
    /// Whether every page held what it should.
    fn is_clean(&self) -> bool {
        self.wrong + self.unexpected + self.disconnects == 0
    }

    fn page(&self) -> Page {
        let (messages, conversations) = (self.messages, self.conversations);
        let subtitle =
            format!("{messages} messages in {conversations} conversations that nobody uses, over {}", self.about.over.name());
        let mut page = self.about.page(subtitle, self.is_clean(), &[], &self.table());
        if page.verdict.0 {
            page.verdict.1 = "Every page held the newest messages, in their order.".to_owned();
        }
        page.tiles = vec![
            tile("pages per second", count(self.reads_per_s), format!("{} at once", self.readers)),
            tile("a page, p50", time(self.read_us.p50), format!("p90 {}", time(self.read_us.p90))),
            tile("a page, p99", time(self.read_us.p99), format!("max {}", time(self.read_us.max))),
        ];
        let rss = self.server_rss_before_reads_bytes.map(|rss| tile("memory before the reads", bytes(rss as f64), ""));
        page.tiles.extend(rss);
        page.charts = charts::distribution(&self.curves).into_iter().collect();
        page.losses = vec![
            fault("wrong pages", self.wrong, "refused, or without the newest messages in their order"),
            fault("unexpected", self.unexpected, "frames that fit nowhere"),
            fault("disconnects", self.disconnects, "connections that ended though nobody wanted that"),
        ];
        page
    }

    fn table(&self) -> Table {
        let mut t = Table::default();
        let what =
            format!("{} conversations, {} messages, {} bytes", self.conversations, self.messages, self.about.payload_bytes);
        t.row(
            "scenario",
            &format!("cold: {what}, {}, durability {}, run {}", self.about.over.name(), self.about.durability, self.run),
        );
        let filled = self.fill_s.zip(self.fill_acks_per_s);
        t.optional("laid in store", filled.map(|(s, rate)| format!("in {s:.1} s   ({rate:.0} acks per second)")));
        if self.reads > 0 {
            let readers = self.readers;
            t.row(
                "pages read",
                &format!(
                    "{} of {} messages, {readers} at once   ({:.0} per second)",
                    self.reads, self.page_messages, self.reads_per_s
                ),
            );
            t.row("  from request to page, us", &latency(&self.read_us));
            t.row("  wrong", &self.wrong.to_string());
        }
        for (name, bytes) in [
            ("server memory at first", self.server_rss_start_bytes),
            ("  filled", self.server_rss_filled_bytes),
            ("  before the reads", self.server_rss_before_reads_bytes),
            ("  after the reads", self.server_rss_after_reads_bytes),
        ] {
            t.optional(name, bytes.map(|bytes| format!("{:.1} MiB", mib(bytes))));
        }
        t.counts(&[
            ("refused publishes", self.refused),
            ("disconnects", self.disconnects),
            ("unexpected frames", self.unexpected),
        ]);
        t.codes("errors", &self.errors);
        t
    }
}
