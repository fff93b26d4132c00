//! Speaking: messages fall due by the clock, and who sends which where is drawn by weight.

use campanile::ring::Ring;
use campanile::wire::conversation;
use campanile::wire::schema::{Publish, PublishArgs};

use super::super::schedule::Schedule;
use super::super::{Publishing, State, Worker};
use super::asks::tag_name;
use crate::account::{Attempt, Destination, Header};
use crate::scenario::Shape;

impl Worker<'_> {
    /// A turn of the run: who is to leave leaves, who is to come comes, and what is due is sent. After the end what waits still leaves.
    pub(in super::super) fn converse(&mut self, ring: &mut Ring) {
        let now = self.crew.stage.now_ns();
        self.look_at_round();
        // Its end may be fixed only while it goes on.
        self.measured = self.crew.stage.measured();
        if self.publishing == Publishing::NotYet && now >= self.crew.stage.publish_from_ns() {
            self.begin_to_speak();
        }
        self.leave_and_return(ring, now);
        self.ask();
        if self.publishing == Publishing::Going {
            self.draw_due(now.min(self.measured.end - 1));
            if now >= self.measured.end {
                self.publishing = Publishing::Over;
                self.end_round();
            } else {
                self.leave_in_turn(ring, now);
                self.move_on(now);
            }
        }
        self.take_held(now);
        while let Some(local) = self.ready.pop() {
            self.let_speak(local);
        }
    }

    fn begin_to_speak(&mut self) {
        self.publishing = Publishing::Going;
        if let Some((class, times)) = self.crew.stage.turn() {
            return self.take_turn(class, times);
        }
        let all: f64 = self.crew.plan.traffic().map_or(0.0, |traffic| traffic.speakers.iter().map(|s| s.weight).sum());
        let own = self.traffic.draw.weight();
        self.schedule = self.rate_per_s().filter(|_| own > 0.0).map(|rate| {
            // As if it were one publisher of one.
            Schedule::new(self.crew.stage.publish_from_ns(), rate * own / all, 1, 1)
        });
        let from_ns = self.crew.stage.publish_from_ns();
        self.begin_to_leave(from_ns);
        self.begin_moves(from_ns);
    }

    /// The speakers of a class speak so often, at once.
    fn take_turn(&mut self, class: u8, times: u32) {
        let (now, plan) = (self.crew.stage.now_ns(), &self.crew.plan);
        let Some(traffic) = plan.traffic() else { return };
        let is_of_class = |channel: u32| traffic.channels[channel as usize].class == class;
        for (index, channel) in self.traffic.draw.speakers().iter().copied().filter(|(_, channel)| is_of_class(*channel)) {
            let (_, local) = plan.place(index);
            if let Some(publisher) = &mut self.connections[local as usize].publisher {
                (0..times).for_each(|_| publisher.due(now, channel));
                self.ready.push(local);
                self.crew.stage.speaks(now);
            }
        }
    }

    fn draw_due(&mut self, now: u64) {
        while let Some((_, intended_ns)) = self.schedule.as_mut().and_then(|schedule| schedule.take(now)) {
            let Some((index, channel)) = self.traffic.draw.next() else { return };
            if self.measured.contains(&intended_ns) {
                self.tally.lateness.saturating_record(now - intended_ns);
            }
            let (_, local) = self.crew.plan.place(index);
            if let Some(publisher) = &mut self.connections[local as usize].publisher {
                publisher.due(intended_ns, channel);
                self.ready.push(local);
            }
        }
    }

    fn let_speak(&mut self, local: u32) {
        let now = self.crew.stage.now_ns();
        loop {
            let connection = &mut self.connections[local as usize];
            let Some(publisher) = connection.publisher.as_mut().filter(|_| connection.state == State::Ready) else {
                return;
            };
            if let Some(attempt) = publisher.next_again(now) {
                self.tally.traffic.asked_again += 1;
                self.speak(local, attempt, true);
            } else if let Some(attempt) = publisher.next(now) {
                self.speak(local, attempt, false);
            } else {
                return;
            }
        }
    }

    fn speak(&mut self, local: u32, attempt: Attempt, is_again: bool) {
        let crew = self.crew;
        let Some(traffic) = crew.plan.traffic() else { return };
        let Attempt { place, seq, channel, intended_ns } = attempt;
        let connection = &mut self.connections[local as usize];
        if !is_again {
            let attendance = connection.attendance.as_mut().expect("all connections of traffic have one");
            let order = attendance.room_to_speak_in(channel).next_order();
            connection.remember(place, Destination { peer: channel, order });
            self.tally.sent(intended_ns, traffic.fan_out(channel, order), &self.measured);
        }
        let order = connection.destinations[place as usize].order;
        let publisher = connection.index;
        Header { run: crew.plan.run, publisher, place, channel, seq: order, intended_ns }.write(&mut self.body);
        let address = crew.plan.channel_address(channel, publisher, &mut self.name);
        let is_topic = matches!(traffic.channels[channel as usize].shape, Shape::Topic(_));
        let tag = traffic.tag(order).filter(|_| is_topic).map(tag_name);
        // What may have to be sent twice is told apart from what is said twice.
        let client_id = traffic.has_returns().then(|| seq.to_string());
        self.outgoing.frame(connection, local, attempt.reference(), |b| {
            let (tag, client_id) = (tag.map(|tag| b.create_string(&tag)), client_id.map(|id| b.create_string(&id)));
            let conversation = Some(conversation(b, address));
            let body = Some(b.create_vector(&self.body));
            Publish::create(b, &PublishArgs { conversation, body, tag, client_id, ..Default::default() })
        });
    }

    /// The receivers of a message that was sent.
    pub(super) fn receivers_of(&self, local: u32, attempt: Attempt) -> u32 {
        let Destination { peer: channel, order } = self.connections[local as usize].destinations[attempt.place as usize];
        self.crew.plan.traffic().map_or(0, |traffic| traffic.fan_out(channel, order))
    }
}
