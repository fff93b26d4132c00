//! Hearing: messages and records of conversations, each at its place in its log.

use campanile::id::Address;
use campanile::wire::address;
use campanile::wire::schema::{Conversation, Message, RecordKind};

use super::super::Worker;
use super::known::Told;
use crate::account::{Arrival, Header, Heard, Visited};
use crate::scenario::{Named, Shape};

impl Worker<'_> {
    /// Takes a message of the connection, which holds a frame.
    pub(in super::super) fn take_traffic(&mut self, local: u32, bytes: &[u8], now_ns: u64) {
        if let Some(told) = self.traffic.known.find(bytes) {
            return self.heard(local, told, now_ns);
        }
        // Taken out for as long as its frame is looked at.
        let mut inbound = std::mem::take(&mut self.inbound);
        match inbound.read(bytes) {
            Ok(frame) => match frame.body_as_message() {
                Some(message) => self.hear(local, message, bytes, now_ns),
                None => self.told(local, frame, now_ns),
            },
            Err(_) => self.tally.unexpected += 1,
        }
        self.inbound = inbound;
    }

    /// The conversation of a frame, if it is one that this session takes part in.
    pub(super) fn channel_of(&mut self, local: u32, conversation: Option<Conversation<'_>>) -> Option<u32> {
        let plan = &self.crew.plan;
        let index = self.connections[local as usize].index;
        match plan.named(address(conversation).ok()?)? {
            Named::Channel(channel) => Some(channel),
            Named::With(peer) => {
                let (pair, traffic) = ([index.min(peer), index.max(peer)], plan.traffic()?);
                let is_with = |channel: u32| traffic.channels[channel as usize].shape == Shape::Direct(pair);
                self.attendance(local).rooms().iter().map(|room| room.channel).find(|channel| is_with(*channel))
            }
        }
    }

    fn hear(&mut self, local: u32, message: Message<'_>, bytes: &[u8], now_ns: u64) {
        let place = (message.epoch(), message.seq());
        if message.kind() != RecordKind::message {
            self.tally.records += 1;
            let channel = self.channel_of(local, message.conversation());
            if let Some(visited) = channel.and_then(|channel| self.visited(local, channel, place.0, place.1)) {
                return self.count_visited(visited);
            }
            let room = channel.and_then(|channel| self.attendance(local).room(channel));
            let heard = room.map(|room| room.take(place.0, place.1));
            return self.judge(local, channel, heard == Some(Heard::New));
        }
        let header = message.body().and_then(|body| Header::read(body.bytes(), self.crew.plan.run));
        match header.filter(|header| self.is_what_it_says(local, message, header)) {
            Some(header) => {
                let told = Told { header, place };
                self.traffic.known.keep(bytes, told);
                self.heard(local, told, now_ns);
            }
            None => self.tally.unexpected += 1,
        }
    }

    /// Whether a message came through the conversation and from the user that its body names.
    fn is_what_it_says(&mut self, local: u32, message: Message<'_>, header: &Header) -> bool {
        let plan = &self.crew.plan;
        let Some(traffic) = plan.traffic().filter(|traffic| header.channel < traffic.channels.len() as u32) else { return false };
        let index = self.connections[local as usize].index;
        let is_there = match address(message.conversation()) {
            Ok(Address::Direct(peer)) => {
                let pair = match traffic.channels[header.channel as usize].shape {
                    Shape::Direct(pair) => pair,
                    _ => return false,
                };
                self.name.clear();
                plan.write_user(if pair[0] == index { pair[1] } else { pair[0] }, &mut self.name);
                pair.contains(&index) && self.name == peer
            }
            Ok(address) => plan.channel_address(header.channel, index, &mut self.name) == address,
            Err(_) => false,
        };
        self.name.clear();
        plan.write_user(header.publisher, &mut self.name);
        is_there && message.sender() == Some(self.name.as_str())
    }

    fn heard(&mut self, local: u32, Told { header, place: (epoch, seq) }: Told, now_ns: u64) {
        let crew = self.crew;
        let Some(traffic) = crew.plan.traffic() else { return };
        let Header { publisher, channel, intended_ns, .. } = header;
        if let Some(visited) = self.visited(local, channel, epoch, seq) {
            return self.count_visited(visited);
        }
        let index = self.connections[local as usize].index;
        let tag = traffic.tag(header.seq);
        let attendance = self.connections[local as usize].attendance.as_mut().expect("all connections of traffic have one");
        let Some(room) = attendance.room(channel).filter(|_| traffic.is_for(index, channel, tag)) else {
            self.tally.unexpected += 1;
            return;
        };
        let heard = room.take(epoch, seq);
        // A session that lost its connection before an ack gets its own message: nobody counts on that.
        if publisher != index {
            let arrival = attendance.take(publisher, channel, header.seq);
            if self.tally.delivered(arrival, intended_ns, now_ns, &self.measured) && self.measured.contains(&intended_ns) {
                let class = traffic.channels[channel as usize].class;
                let phase = crew.stage.phase_of(intended_ns);
                self.tally.traffic.by_class.record(class, phase, now_ns.saturating_sub(intended_ns));
                // Who is away has to wait: what is shown over time is what the others feel.
                if class == 0 || traffic.leaves_together().is_empty() {
                    self.in_time(intended_ns, now_ns);
                }
            }
            self.has_read(local, channel, header.seq);
        }
        self.judge(local, Some(channel), heard != Heard::OtherEpoch);
    }

    /// Something came to one who joins and leaves: others do not count on it, so it counts apart.
    fn count_visited(&mut self, visited: Visited) {
        match visited {
            Visited::NotForHim => self.tally.unexpected += 1,
            Visited::Heard(Arrival::Duplicate) => self.tally.duplicated += 1,
            Visited::Heard(arrival) => {
                self.tally.out_of_order += u64::from(arrival == Arrival::OutOfOrder);
                self.tally.traffic.visited += 1;
            }
        }
    }

    /// After a place in a log: it was right or not; and with the last one that was missing a session is back.
    pub(super) fn judge(&mut self, local: u32, channel: Option<u32>, is_right: bool) {
        self.tally.unexpected += u64::from(!is_right);
        let attendance = self.attendance(local);
        let room = channel.and_then(|channel| attendance.room(channel));
        if room.is_some_and(|room| room.has_caught_up()) && attendance.caught_up() {
            self.is_back(local);
        }
    }

    /// What those who joined and left did not get: holes, and ends.
    pub(in super::super) fn visits_missing(&self) -> [u64; 2] {
        let movers = || self.connections.iter().filter_map(|c| c.attendance.as_ref()?.mover.as_ref());
        [movers().map(|mover| mover.visits.missing()).sum(), movers().map(|mover| mover.visits.cut_off()).sum()]
    }

    /// What sessions passed over and never got.
    pub(in super::super) fn holes(&mut self) -> u64 {
        let rooms = self.connections.iter_mut().filter_map(|c| c.attendance.as_mut()).flat_map(|a| a.rooms().iter());
        rooms.filter(|room| room.receives).map(|room| room.missing()).sum()
    }
}
