//! The report of `backlog`.

use serde::Serialize;

use super::about::About;
use super::curve::Curve;
use super::figures::us_each;
use super::page::write::{count, time};
use super::page::{Page, fault, tile};
use super::table::{Table, latency, mib, percent};
use super::troubles::Troubles;
use super::{Latency, Report, charts};
use crate::conduct::{Backlog, Sample};
use crate::options::Settings;
use crate::scenario::Kind;

/// All that is known about a backlog. Units are in the names.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct BacklogFigures {
    #[serde(flatten)]
    pub about: About,
    /// Who log in at once.
    pub users: u32,
    /// That wait for each of them.
    pub messages_per_user: u32,
    /// Who sent them.
    pub publishers: u32,
    /// Laying in store.
    pub filled_messages: u64,
    pub fill_s: f64,
    pub fill_acks_per_s: f64,
    /// Publishes that were refused meanwhile, and sent again.
    pub fill_refused: u64,

    /// Users who got all their messages.
    pub caught_up: u64,
    /// From the first login until all had them.
    pub all_caught_up_s: f64,
    /// From a user's own connect to his last message.
    pub catch_up_us: Latency,
    /// From the first login of all to a user's last message.
    pub caught_up_after_us: Latency,
    pub delivered: u64,
    pub expected: u64,
    pub deliveries_per_s: f64,
    #[serde(flatten)]
    pub troubles: Troubles,
    pub gaps: u64,
    /// Round trips of a session that has nothing to do with it, every 10 ms: while nothing goes on, and while all catch up.
    pub pings_before_us: Option<Latency>,
    pub pings_during_us: Option<Latency>,

    pub server_cpu_busy: Option<f64>,
    pub server_cpu_us_per_delivery: Option<f64>,
    pub server_rss_start_bytes: Option<u64>,
    pub server_rss_filled_bytes: Option<u64>,
    pub server_rss_end_bytes: Option<u64>,
    pub client_cpu_busy: f64,
    /// While all caught up.
    pub series: Vec<Sample>,
    /// Distributions, for charts.
    #[serde(skip)]
    pub curves: Vec<Curve>,
    pub server_cpus: Vec<usize>,
}

impl BacklogFigures {
    /// Computes the figures.
    pub fn from(durability: &str, settings: &Settings, outcome: &Backlog) -> BacklogFigures {
        let Backlog { plan, tally, filled, spent, pings, .. } = outcome;
        let Kind::Backlog { publishers, users, messages } = plan.kind else { unreachable!("a backlog was played") };
        let expected = u64::from(users) * u64::from(messages);
        BacklogFigures {
            about: About::new("backlog", durability, outcome.over, settings),
            users,
            messages_per_user: messages,
            publishers,
            filled_messages: filled.messages,
            fill_s: filled.took.as_secs_f64(),
            fill_acks_per_s: filled.messages as f64 / filled.took.as_secs_f64(),
            fill_refused: tally.refused,
            caught_up: outcome.caught_up,
            all_caught_up_s: outcome.took.as_secs_f64(),
            catch_up_us: Latency::from(&tally.catch_up),
            caught_up_after_us: Latency::from(&tally.caught_up_after),
            delivered: tally.read,
            expected,
            deliveries_per_s: tally.read as f64 / outcome.took.as_secs_f64(),
            troubles: Troubles { lost: expected.saturating_sub(tally.read), ..Troubles::from(tally) },
            gaps: tally.gaps,
            pings_before_us: pings.as_ref().map(|pings| Latency::from(&pings.before)),
            pings_during_us: pings.as_ref().map(|pings| Latency::from(&pings.during)),
            server_cpu_busy: spent.server_cores_s.map(|s| spent.share(s, settings.server_cpus.len())),
            server_cpu_us_per_delivery: us_each(spent.server_cores_s, tally.read),
            server_rss_start_bytes: filled.rss_before,
            server_rss_filled_bytes: filled.rss_after,
            server_rss_end_bytes: outcome.rss_end,
            client_cpu_busy: spent.share(spent.own_cores_s, settings.cpus.len()),
            series: outcome.series.clone(),
            curves: [
                Curve::of("from his own connect", &tally.catch_up),
                Curve::of("from the first login", &tally.caught_up_after),
                pings.as_ref().and_then(|pings| Curve::of("pings before", &pings.before)),
                pings.as_ref().and_then(|pings| Curve::of("pings meanwhile", &pings.during)),
            ]
            .into_iter()
            .flatten()
            .collect(),
            server_cpus: settings.server_cpus.clone(),
        }
    }
}

impl Report for BacklogFigures {
    /// Whether every user got each of his messages once and in order.
    fn is_clean(&self) -> bool {
        self.troubles.count() + self.gaps == 0
    }

    fn page(&self) -> Page {
        let subtitle = format!(
            "{} users log in at once, {} messages wait for each, over {}",
            self.users,
            self.messages_per_user,
            self.about.over.name()
        );
        let mut page = self.about.page(subtitle, self.is_clean(), &self.server_cpus, &self.table());
        page.tiles = vec![
            tile("until all had caught up", time(self.all_caught_up_s * 1e6), format!("{} users", self.caught_up)),
            tile("a user's own time, p50", time(self.catch_up_us.p50), format!("p99 {}", time(self.catch_up_us.p99))),
            tile("deliveries per second", count(self.deliveries_per_s), format!("{} in all", count(self.delivered as f64))),
            tile("laid in store", count(self.fill_acks_per_s), "acks per second"),
        ];
        page.charts = charts::of_run(&self.curves, None, &self.series, &[]);
        page.losses = vec![
            fault("lost", self.troubles.lost, "messages that waited and never came"),
            fault("duplicated", self.troubles.duplicated, "messages that came again"),
            fault("out of order", self.troubles.out_of_order, "messages that came after later ones of their conversation"),
            fault("unexpected", self.troubles.unexpected, "frames that fit nowhere"),
            fault("gaps", self.gaps, "the server announced that it left something out"),
            fault("disconnects", self.troubles.disconnects, "connections that ended though nobody wanted that"),
        ];
        page
    }

    fn table(&self) -> Table {
        let mut t = Table::default();
        let (users, messages, publishers) = (self.users, self.messages_per_user, self.publishers);
        let what =
            format!("{users} users, {messages} messages each, {publishers} publishers, {} bytes", self.about.payload_bytes);
        t.row("scenario", &format!("backlog: {what}, {}, durability {}", self.about.over.name(), self.about.durability));
        t.row(
            "laid in store",
            &format!("{} in {:.1} s   ({:.0} acks per second)", self.filled_messages, self.fill_s, self.fill_acks_per_s),
        );
        t.row("caught up", &format!("{} of {users} in {:.2} s", self.caught_up, self.all_caught_up_s));
        t.row("  from his own connect, us", &latency(&self.catch_up_us));
        t.row("  from the first login, us", &latency(&self.caught_up_after_us));
        t.row(
            "delivered / expected",
            &format!("{} / {}   ({:.0} per second)", self.delivered, self.expected, self.deliveries_per_s),
        );
        self.troubles.row(&mut t);
        t.optional("pings before, us", self.pings_before_us.as_ref().map(latency));
        t.optional("pings meanwhile, us", self.pings_during_us.as_ref().map(latency));
        t.optional("server cores", self.server_cpu_busy.map(|b| format!("{:.1} % busy of {:?}", percent(b), self.server_cpus)));
        t.optional("  per delivery", self.server_cpu_us_per_delivery.map(|us| format!("{us:.3} us")));
        let rss = [self.server_rss_start_bytes, self.server_rss_filled_bytes, self.server_rss_end_bytes];
        if let [Some(start), Some(filled), Some(end)] = rss.map(|bytes| bytes.map(mib)) {
            t.row("server memory", &format!("{start:.1} MiB before, {filled:.1} with the backlog, {end:.1} at the end"));
        }
        t.row("client CPU", &format!("{:.0} % of cores {:?}", percent(self.client_cpu_busy), self.about.cpus));
        t.counts(&[
            ("refused publishes", self.fill_refused),
            ("disconnects", self.troubles.disconnects),
            ("unexpected frames", self.troubles.unexpected),
            ("gaps and skips", self.gaps),
        ]);
        self.troubles.codes(&mut t);
        t
    }
}
