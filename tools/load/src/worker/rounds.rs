//! Several rounds over the same connections, each with a rate of its own.

use super::{Publishing, Worker};

impl Worker<'_> {
    /// In another round than before, publishing begins anew.
    pub(super) fn look_at_round(&mut self) {
        let (round, _) = self.crew.stage.round();
        if std::mem::replace(&mut self.round, round) != round {
            self.publishing = Publishing::NotYet;
            self.schedule = None;
        }
    }

    /// Messages per second of all workers together, where there is a rate.
    pub(super) fn rate_per_s(&self) -> Option<f64> {
        let (round, rate_per_s) = self.crew.stage.round();
        if round > 0 { Some(rate_per_s) } else { self.crew.settings.rate_per_s }
    }

    /// The time of a round is over: what was not sent by then is not sent any more, so that the next round begins with nothing.
    pub(super) fn end_round(&mut self) {
        if self.round > 0 {
            let publishers = self.connections.iter_mut().filter_map(|connection| connection.publisher.as_mut());
            self.tally.unsent += publishers.map(|publisher| publisher.give_up_waiting() as u64).sum::<u64>();
        }
    }

    /// Hands in what was measured.
    pub(super) fn count_round(&mut self) {
        if self.rounds < self.round {
            self.rounds = self.round;
            // What was refused after the end waits again.
            self.end_round();
            let part = self.tally.take_measured();
            self.crew.rounds.lock().expect("no worker panics while it holds this").push(part);
        }
    }
}
