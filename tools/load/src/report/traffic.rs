//! What the report of traffic has besides: latencies by class of conversation, and how sessions came back.

use serde::Serialize;

use super::Latency;
use super::table::{Table, latency};
use crate::account::{Latencies, PHASES, TrafficTally};
use crate::conduct::Outcome;
use crate::scenario::Traffic;

/// See the module. Units are in the names.
#[derive(Clone, Debug, Serialize)]
pub struct TrafficFigures {
    /// Conversations of all kinds.
    pub conversations: usize,
    /// Groups among them.
    pub groups: u64,
    /// Deliveries by class of conversation, and by part of the run where there are several.
    pub classes: Vec<ClassFigures>,
    /// Sessions that were dropped on purpose.
    pub dropped: u64,
    /// Those that came back, lost ones included, and had everything again.
    pub returned: u64,
    /// Those that never did.
    pub never_back: u64,
    /// From when a session was to come back to its welcome.
    pub relogin_us: Latency,
    /// From the same time until it had all that was there when it came.
    pub return_us: Latency,
    /// Publishes without an answer that were sent again after the return.
    pub asked_again: u64,
    /// Of those, the server had them already.
    pub had_been_taken: u64,
    /// Conversations with which the server did not go on after a return.
    pub not_resumed: u64,
    /// Numbers of logs that a session passed over and never got.
    pub holes: u64,
    /// Numbers that were announced as passed over by a topic's filter.
    pub filtered: u64,
    /// Receipts that were answered.
    pub receipts: u64,
    /// Receipts of others that were told.
    pub receipt_events: u64,
    /// Times that a user was said to come or to go.
    pub presence_events: u64,
    /// Joins and leaves while the groups talk on.
    pub moves: Option<MovesFigures>,
    /// All that dropped together.
    pub storm: Option<StormFigures>,
}

/// Deliveries of one class in one part of the run.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ClassFigures {
    pub class: &'static str,
    /// "all", or "before", "during" and "after" the storm.
    pub when: &'static str,
    pub deliveries: u64,
    pub latency_us: Latency,
}

/// Joins and leaves.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct MovesFigures {
    pub moves: u64,
    /// From when a move was meant to begin to its ack.
    pub move_us: Latency,
    /// Joins and leaves that nobody was free for.
    pub left_out: u64,
    /// Messages and records that the movers got between joining and leaving.
    pub delivered: u64,
    /// Those that they passed over and never got.
    pub missing: u64,
    /// Those that were numbered before they left, and did not come because they had not caught up with the group by then.
    pub cut_off: u64,
}

/// How those came back who dropped together.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct StormFigures {
    pub dropped: u32,
    /// When, since the measured time began.
    pub at_s: f64,
    pub away_s: f64,
    /// From the moment at which they dropped until all were back; none: not all came.
    pub all_back_s: Option<f64>,
    pub missing: u64,
}

impl TrafficFigures {
    /// Computes the figures.
    pub fn from(traffic: &Traffic, outcome: &Outcome) -> TrafficFigures {
        let tally = &outcome.tally.traffic;
        let storm = outcome.storm.as_ref().map(|storm| StormFigures {
            dropped: storm.dropped,
            at_s: storm.at_ns.saturating_sub(outcome.meters[0].at_ns) as f64 / 1e9,
            away_s: traffic.away_ns() as f64 / 1e9,
            all_back_s: (storm.returned >= u64::from(storm.dropped)).then_some(storm.took.as_secs_f64()),
            missing: u64::from(storm.dropped).saturating_sub(storm.returned),
        });
        TrafficFigures {
            conversations: traffic.channels.len(),
            groups: traffic.groups(),
            classes: classes(traffic, tally, storm.is_some())
                .into_iter()
                .map(|(class, when, histogram)| ClassFigures {
                    class,
                    when: if when.is_empty() { "all" } else { when.trim_start() },
                    deliveries: histogram.len(),
                    latency_us: Latency::from(histogram),
                })
                .collect(),
            dropped: tally.dropped,
            returned: tally.returned,
            never_back: tally.away,
            relogin_us: Latency::from(&tally.relogins),
            return_us: Latency::from(&tally.returns),
            asked_again: tally.asked_again,
            had_been_taken: tally.had_been_taken,
            not_resumed: tally.not_resumed,
            holes: tally.holes,
            filtered: tally.filtered,
            receipts: tally.receipts,
            receipt_events: tally.receipt_events,
            presence_events: tally.presence_events,
            moves: traffic.moves.as_ref().map(|_| MovesFigures {
                moves: tally.moves.len(),
                move_us: Latency::from(&tally.moves),
                left_out: tally.moves_left_out,
                delivered: tally.visited,
                missing: tally.visits_missing,
                cut_off: tally.visits_cut_off,
            }),
            storm,
        }
    }

    /// What should not be: holes in logs, conversations that did not go on, sessions that never came back.
    pub fn troubles(&self) -> u64 {
        self.holes + self.not_resumed + self.never_back + self.moves.as_ref().map_or(0, |moves| moves.missing)
    }

    /// For people.
    pub(super) fn rows(&self, t: &mut Table) {
        t.row("conversations", &format!("{}, of them {} groups", self.conversations, self.groups));
        for class in self.classes.iter().filter(|_| self.classes.len() > 1) {
            let when = if class.when == "all" { String::new() } else { format!(" {}", class.when) };
            t.row(&format!("  {}{when}, us", class.class), &latency(&class.latency_us));
        }
        if let Some(storm) = &self.storm {
            let back = match storm.all_back_s {
                Some(s) => format!("all back after {s:.2} s, {:.2} s of them away on purpose", storm.away_s),
                None => format!("{} never came back", storm.missing),
            };
            t.row("storm", &format!("{} sessions dropped: {back}", storm.dropped));
        }
        if self.returned > 0 {
            t.row("returns", &format!("{} of {}", self.returned, self.dropped));
            t.row("  until welcome, us", &latency(&self.relogin_us));
            t.row("  until up to date, us", &latency(&self.return_us));
        }
        if let Some(moves) = &self.moves {
            t.row("joins and leaves", &format!("{}   ({} left out)", moves.moves, moves.left_out));
            t.row("  until their ack, us", &latency(&moves.move_us));
            let MovesFigures { delivered, missing, cut_off, .. } = moves;
            t.row("  got, missing, cut off", &format!("{delivered}, {missing}, {cut_off}"));
        }
        t.counts(&[
            ("never came back", self.never_back),
            ("asked again", self.asked_again),
            ("  had been taken", self.had_been_taken),
            ("holes in logs", self.holes),
            ("not resumed", self.not_resumed),
            ("filtered", self.filtered),
            ("receipts", self.receipts),
            ("receipts of others", self.receipt_events),
            ("presence events", self.presence_events),
        ]);
    }
}

/// Latencies by class and part of the run, with their names.
pub(super) fn classes<'a>(
    traffic: &Traffic,
    tally: &'a TrafficTally,
    has_storm: bool,
) -> Vec<(&'static str, &'static str, &'a Latencies)> {
    let whens = if has_storm { [" before", " during", " after"] } else { [""; PHASES] };
    let mut classes = Vec::new();
    for (number, class) in (0..).zip(traffic.classes) {
        for (phase, when) in whens.into_iter().enumerate() {
            classes.extend(tally.by_class.get(number, phase).map(|histogram| (*class, when, histogram)));
        }
    }
    classes
}
