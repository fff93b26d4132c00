//! During the run: whatever the books allow to be sent is sent.

use campanile::wire::conversation;
use campanile::wire::schema::{Publish, PublishArgs};

use super::schedule::Schedule;
use super::{Publishing, Worker};
use crate::account::{Attempt, Destination, Header, Pace};

impl Worker<'_> {
    /// Sends what is due, from the beginning of the run to its end.
    pub(super) fn publish(&mut self) {
        let now = self.crew.stage.now_ns();
        if self.publishing == Publishing::NotYet {
            self.begin(now);
        }
        if self.publishing != Publishing::Going {
            return;
        }
        if now >= self.measured.end {
            self.publishing = Publishing::Over;
            self.last_of_schedule();
            return;
        }
        self.take_due(now);
        self.take_held(now);
        while let Some(local) = self.ready.pop() {
            self.pump(local);
        }
    }

    fn begin(&mut self, now: u64) {
        let stage = &self.crew.stage;
        self.measured = stage.measured();
        if now < stage.publish_from_ns() {
            return;
        }
        self.publishing = Publishing::Going;
        self.schedule = self.crew.settings.rate_per_s.map(|rate| {
            let (own, all) = (self.publishers.len() as u64, u64::from(self.crew.plan.publishers()));
            Schedule::new(stage.publish_from_ns(), rate, own, all)
        });
        self.ready.extend_from_slice(&self.publishers);
    }

    /// Messages of the open loop fall due.
    fn take_due(&mut self, now: u64) {
        let Some(schedule) = &mut self.schedule else { return };
        while let Some((publisher, intended_ns)) = schedule.take(now) {
            let local = self.publishers[publisher];
            if let Some(publisher) = &mut self.connections[local as usize].publisher {
                publisher.due(intended_ns, 0);
                self.ready.push(local);
            }
        }
    }

    /// What fell due before the end but after the last turn still leaves, as far as the server's window allows.
    fn last_of_schedule(&mut self) {
        if self.crew.settings.pace != Pace::Rate {
            return;
        }
        self.take_due(self.measured.end - 1);
        while let Some(local) = self.ready.pop() {
            self.pump(local);
        }
    }

    /// Publishers whose pause is over may go on.
    pub(super) fn take_held(&mut self, now: u64) {
        let (connections, ready) = (&self.connections, &mut self.ready);
        self.held.retain(|local| {
            let publisher = connections[*local as usize].publisher.as_ref();
            let held = publisher.is_some_and(|p| p.held_until_ns(now).is_some());
            if !held {
                ready.push(*local);
            }
            held
        });
    }

    pub(super) fn pump(&mut self, local: u32) {
        loop {
            let now = self.crew.stage.now_ns();
            if self.connections[local as usize].supply.as_mut().is_some_and(|supply| !supply.has_next()) {
                return;
            }
            let publisher = self.connections[local as usize].publisher.as_mut();
            let Some(attempt) = publisher.and_then(|p| p.next(now)) else { return };
            self.send(local, attempt);
        }
    }

    fn send(&mut self, local: u32, attempt: Attempt) {
        let plan = &self.crew.plan;
        let connection = &mut self.connections[local as usize];
        let Attempt { place, seq, channel, intended_ns } = attempt;
        let publisher = connection.index;
        let fixed = connection.conversation.take();
        self.name.clear();
        let laid_in_store = connection.supply.as_mut().and_then(|supply| supply.next());
        let destination = if let Some(destination) = laid_in_store {
            plan.write_peer(destination.peer, &mut self.name);
            destination
        } else if let Some(peers) = &mut connection.peers {
            let destination = peers.next();
            plan.write_user(destination.peer, &mut self.name);
            destination
        } else {
            Destination { peer: plan.fixed_peer(publisher), order: seq }
        };
        if self.ledger.is_some() || laid_in_store.is_some() {
            connection.remember(place, destination);
        }
        let id = fixed.as_deref().unwrap_or(&self.name);
        let seq = destination.order;
        Header { run: plan.run, publisher, place, channel, seq, intended_ns }.write(&mut self.body);
        if self.crew.settings.pace != Pace::Rate {
            // All deliveries and the ack.
            self.crew.board.set(publisher, place, plan.fan_out() + 1);
        }
        self.tally.sent(intended_ns, plan.fan_out(), &self.measured);
        self.outgoing.frame(connection, local, attempt.reference(), |b| {
            let conversation = Some(conversation(b, plan.address(id)));
            let body = Some(b.create_vector(&self.body));
            Publish::create(b, &PublishArgs { conversation, body, ..Default::default() })
        });
        connection.conversation = fixed;
    }

    /// When publishing has something to do next, as far as time alone decides.
    pub(super) fn publishing_due_ns(&self, now: u64) -> Option<u64> {
        match self.publishing {
            Publishing::NotYet => Some(self.crew.stage.publish_from_ns()),
            Publishing::Over => None,
            Publishing::Going => {
                let held = self.held.iter().filter_map(|l| self.connections[*l as usize].publisher.as_ref()?.held_until_ns(now));
                let due = self.schedule.as_ref().filter(|_| !self.publishers.is_empty()).map(Schedule::next_ns);
                held.chain(due).chain([self.measured.end]).min()
            }
        }
    }

    /// Messages that were due and never left.
    pub(super) fn unsent(&self) -> u64 {
        self.connections.iter().filter_map(|c| c.publisher.as_ref()).map(|p| p.waiting() as u64).sum()
    }
}
