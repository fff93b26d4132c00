//! The page of a run that was measured over time.

use super::page::write::{bytes, count, share, time};
use super::page::{Loss, Page, Tile, fault, note, tile};
use super::{Figures, Report, charts, table};

impl Figures {
    pub(super) fn as_page(&self) -> Page {
        let marks = self.marks();
        let whose = match &self.traffic {
            Some(traffic) if traffic.storm.is_some() => "Messages among those who stayed",
            _ => "Deliveries",
        };
        let timeline = charts::timeline(whose, &self.latency_over_time, &marks);
        let mut page = self.about.page(self.sentence(), self.is_clean(), &self.server_cpus, &table(self));
        if self.sent == 0 {
            page.verdict.1 = if page.verdict.0 { "All sessions stayed." } else { "Not all sessions stayed." }.to_owned();
        }
        page.warnings = self.warnings();
        page.tiles = self.tiles();
        page.charts = charts::of_run(&self.curves, timeline, &self.series, &marks);
        page.losses = self.losses();
        page
    }

    /// What was done.
    fn sentence(&self) -> String {
        let pace = match (self.rate_per_s, self.window) {
            (Some(rate), _) => format!(", {} messages per second (open loop)", count(rate)),
            (None, Some(window)) => format!(", {window} outstanding per publisher (closed loop)"),
            (None, None) => String::new(),
        };
        let size = if self.sent > 0 { format!(", {} bytes each", self.about.payload_bytes) } else { String::new() };
        let members = self.members.map(|members| format!(", {members} members")).unwrap_or_default();
        format!(
            "{} sessions{members}{pace}{size}, over {}, for {:.1} s after {:.1} s of warm-up",
            self.connections,
            self.about.over.name(),
            self.duration_s,
            self.warmup_s
        )
    }

    /// What happened when, in the charts over time.
    fn marks(&self) -> Vec<(f64, String)> {
        let storm = self.traffic.as_ref().and_then(|traffic| traffic.storm.as_ref());
        let marks = storm.map(|storm| {
            let back = storm.all_back_s.map(|s| (storm.at_s + s, "all back".to_owned()));
            [(storm.at_s, format!("{} drop", storm.dropped))].into_iter().chain(back).collect()
        });
        marks.unwrap_or_default()
    }

    fn warnings(&self) -> Vec<String> {
        let of_client = self.client_limits.iter().map(|reason| {
            format!("The client, not the server, may have been the limit: {reason}. Give it more --cpus before you trust these figures.")
        });
        let unsent = (self.unsent > 0).then(|| {
            format!(
                "{} messages were due and never sent: the server did not keep up, and the latencies leave them out.",
                self.unsent
            )
        });
        of_client.chain(unsent).collect()
    }

    fn tiles(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        if self.delivered > 0 {
            let note = format!("{} acks per second", count(self.acks_per_s));
            tiles.push(tile("deliveries per second", count(self.deliveries_per_s), note));
            tiles.push(tile("latency p50", time(self.latency_us.p50), format!("p90 {}", time(self.latency_us.p90))));
            tiles.push(tile("latency p99", time(self.latency_us.p99), format!("p99.9 {}", time(self.latency_us.p999))));
            tiles.push(tile("latency max", time(self.latency_us.max), format!("of {} deliveries", count(self.delivered as f64))));
        }
        if let Some(storm) = self.traffic.as_ref().and_then(|traffic| traffic.storm.as_ref()) {
            let value = storm.all_back_s.map_or("never".to_owned(), |s| time(s * 1e6));
            let note = format!("{} of them away on purpose", time(storm.away_s * 1e6));
            tiles.push(tile("until all were back", value, note));
        }
        if let Some(us) = self.server_cpu_us_per_delivery.or(self.server_process_cpu_us_per_delivery) {
            let busy = self.server_cpu_busy.or(self.server_process_cpu).map(|busy| format!("server {} busy", share(busy)));
            tiles.push(tile("server CPU per delivery", time(us), busy.unwrap_or_default()));
        }
        if let Some(per_session) = self.server_rss_bytes_per_connection {
            let all = self.server_rss_bytes.map(|all| format!("{} at the end", bytes(all as f64)));
            tiles.push(tile("memory per session", bytes(per_session), all.unwrap_or_default()));
        }
        let logins = format!("{} logins per second", count(self.logins_per_s));
        tiles.push(tile("sessions", count(f64::from(self.connections)), logins));
        tiles
    }

    fn losses(&self) -> Vec<Loss> {
        let mut losses = vec![
            fault("lost", self.troubles.lost, "deliveries that never came"),
            fault("duplicated", self.troubles.duplicated, "deliveries that came again"),
            fault("out of order", self.troubles.out_of_order, "deliveries that came after later ones"),
            fault("unexpected", self.troubles.unexpected, "frames that fit nowhere: for someone else, or answers to nothing"),
            fault("disconnects", self.troubles.disconnects, "connections that ended though nobody wanted that"),
        ];
        if let Some(verified) = &self.verified {
            losses.push(fault("missing when read back", verified.missing, "acknowledged and not in the log"));
            losses.push(fault("different when read back", verified.different, "another message stands in its place"));
        }
        if let Some(traffic) = &self.traffic {
            losses.push(fault("holes", traffic.holes, "numbers of a log that a session passed over without being told"));
            losses.push(fault(
                "not resumed",
                traffic.not_resumed,
                "conversations with which the server did not go on after a return",
            ));
            losses.push(fault("never back", traffic.never_back, "sessions that did not come back"));
            if let Some(moves) = &traffic.moves {
                losses.push(fault(
                    "missed between joining and leaving",
                    moves.missing,
                    "records and messages that a member passed over",
                ));
            }
            losses.extend(note(
                "asked again",
                traffic.asked_again,
                "publishes without an answer when their connection ended, sent again",
            ));
            losses.extend(note("passed over by filters", traffic.filtered, "numbers that were announced and not wanted"));
        }
        losses.extend(note("refused", self.refused, "publishes that the server refused, and that were sent again"));
        losses.extend(note("unsent", self.unsent, "messages of the open loop that were due and never sent"));
        losses.extend(note("gaps and skips", self.gaps, "the server announced that it left something out"));
        for (code, times) in self.troubles.errors.iter().chain(&self.troubles.goaways) {
            losses.extend(note(code, *times, "answers of the server, by code"));
        }
        losses
    }
}
