//! Bytes to frames to what they mean for the books.

use campanile::wire::schema::{Ack, Body, Error, Frame, GoAway, Message, Pong, PongArgs, RecordKind, SkipReason};

use super::cold::COLD_REF;
use super::connection::State;
use super::fill::RECEIPT_REF;
use super::setup::{PAUSE_NS, SETUP_REF};
use super::verify::PAGE_REF;
use super::{Finished, Worker};
use crate::account::{Attempt, Destination, Header, Pace};
use crate::dress::{Arrived, Dress, What};
use crate::scenario::{Kind, Role};

impl Worker<'_> {
    /// Takes what arrived on a connection.
    pub(super) fn take_bytes(&mut self, local: u32, bytes: &[u8]) {
        let now_ns = self.crew.stage.now_ns();
        let mut partial = std::mem::take(&mut self.connections[local as usize].partial);
        if partial.is_empty() {
            let used = self.take_arrived(local, bytes, now_ns);
            partial.extend_from_slice(&bytes[used..]);
        } else {
            partial.extend_from_slice(bytes);
            let used = self.take_arrived(local, &partial, now_ns);
            partial.drain(..used);
        }
        self.connections[local as usize].partial = partial;
    }

    /// Takes all that is whole and says how many bytes it was.
    fn take_arrived(&mut self, local: u32, bytes: &[u8], now_ns: u64) -> usize {
        let mut used = 0;
        if self.connections[local as usize].state == State::Upgrading {
            match self.take_answer(local, bytes) {
                Some(length) => used = length,
                None => return 0,
            }
        }
        if let Dress::Peer(peer) = self.crew.target.dress
            && !peer.is_websocket()
        {
            return self.take_words(local, peer, bytes, now_ns);
        }
        loop {
            let rest = &bytes[used..];
            match self.crew.target.dress.front(rest) {
                Arrived::Whole(what, range) => {
                    used += range.end;
                    self.take_whole(local, what, &rest[range], now_ns);
                }
                Arrived::More => return used,
                Arrived::Wrong => {
                    self.tally.unexpected += 1;
                    return bytes.len();
                }
            }
        }
    }

    fn take_whole(&mut self, local: u32, what: What, payload: &[u8], now_ns: u64) {
        let connection = &mut self.connections[local as usize];
        match what {
            What::Message => self.take_message(local, payload, now_ns),
            What::Ping => self.outgoing.pong(connection, local, payload),
            What::Pong => self.ponged(local),
            What::Close => self.outgoing.goodbye(connection, local, payload),
        }
    }

    fn take_message(&mut self, local: u32, bytes: &[u8], now_ns: u64) {
        if let Dress::Peer(peer) = self.crew.target.dress {
            self.take_words(local, peer, bytes, now_ns);
            return;
        }
        if self.crew.plan.traffic().is_some() {
            return self.take_traffic(local, bytes, now_ns);
        }
        let connection = &mut self.connections[local as usize];
        if let Some(header) = self.recent.find(connection.recent, bytes) {
            connection.recent += 1;
            return self.delivered(local, header, now_ns);
        }
        // Taken out for as long as its frame is looked at.
        let mut inbound = std::mem::take(&mut self.inbound);
        match inbound.read(bytes) {
            Ok(frame) => match frame.body_as_message() {
                Some(message) => self.message(local, message, bytes, now_ns),
                None => self.take_frame(local, frame, now_ns),
            },
            Err(_) => self.tally.unexpected += 1,
        }
        self.inbound = inbound;
    }

    pub(super) fn take_frame(&mut self, local: u32, frame: Frame<'_>, now_ns: u64) {
        match frame.body_type() {
            Body::Ack => frame.body_as_ack().into_iter().for_each(|ack| self.ack(local, frame.ref_(), ack, now_ns)),
            Body::Error => frame.body_as_error().into_iter().for_each(|e| self.error(local, frame.ref_(), e, now_ns)),
            Body::Welcome => frame.body_as_welcome().into_iter().for_each(|w| self.welcome(local, w)),
            Body::Page if frame.ref_() == COLD_REF => {
                frame.body_as_page().into_iter().for_each(|page| self.cold_page(local, page, now_ns));
            }
            Body::Page => frame.body_as_page().into_iter().for_each(|page| self.page(local, page)),
            Body::Done if frame.ref_() == RECEIPT_REF => self.receipt_answered(local),
            Body::GroupCreated => self.group_created(local),
            Body::GoAway => frame.body_as_go_away().into_iter().for_each(|g| self.go_away(local, g, now_ns)),
            Body::Ping => self.pong(local, frame.ref_()),
            // In a large group others come and leave without a word.
            Body::Skip if frame.body_as_skip().is_some_and(|skip| skip.why() == SkipReason::members_changed) => {}
            Body::Gap | Body::Skip => self.tally.gaps += 1,
            Body::Pong => self.ponged(local),
            // Events that nobody here asked for but that a server may send: receipts, presence, typing.
            _ => {}
        }
    }

    fn message(&mut self, local: u32, message: Message<'_>, bytes: &[u8], now_ns: u64) {
        if message.kind() != RecordKind::message {
            self.tally.records += 1;
            return;
        }
        let Some(header) = message.body().and_then(|body| Header::read(body.bytes(), self.crew.plan.run)) else {
            self.tally.unexpected += 1;
            return;
        };
        if self.crew.plan.fan_out() > 1 {
            self.connections[local as usize].recent = self.recent.keep(bytes, header) + 1;
        }
        self.delivered(local, header, now_ns);
    }

    pub(super) fn delivered(&mut self, local: u32, header: Header, now_ns: u64) {
        let connection = &mut self.connections[local as usize];
        let Some(arrival) = connection.received.take(header.publisher, header.seq) else {
            self.tally.unexpected += 1;
            return;
        };
        if !self.tally.delivered(arrival, header.intended_ns, now_ns, &self.measured) {
            return;
        }
        self.in_time(header.intended_ns, now_ns);
        if self.connections[local as usize].role == Role::Late {
            return self.caught_up(local, now_ns);
        }
        self.count_down(header.publisher, header.place);
    }

    /// A delivery of the measured time has its place on the timeline.
    pub(super) fn in_time(&mut self, intended_ns: u64, now_ns: u64) {
        if self.measured.contains(&intended_ns) {
            self.tally.timeline.record(intended_ns - self.measured.start, now_ns.saturating_sub(intended_ns));
        }
    }

    /// A late user got one more; with the last one he has all.
    fn caught_up(&mut self, local: u32, now_ns: u64) {
        let Kind::Backlog { messages, .. } = self.crew.plan.kind else { return };
        let connection = &mut self.connections[local as usize];
        connection.got += 1;
        if connection.got == u64::from(messages) {
            self.caught_up += 1;
            self.tally.catch_up.saturating_record(now_ns - connection.begun_ns);
            self.tally.caught_up_after.saturating_record(now_ns.saturating_sub(self.crew.stage.publish_from_ns()));
        }
    }

    fn ack(&mut self, local: u32, reference: u64, ack: Ack<'_>, now_ns: u64) {
        if reference == SETUP_REF {
            return self.joined(local);
        }
        let connection = &mut self.connections[local as usize];
        let attempt = connection.publisher.as_mut().and_then(|p| p.acked(reference));
        let Some(attempt) = attempt.filter(|_| !ack.duplicate()) else {
            self.tally.unexpected += 1;
            return;
        };
        self.tally.acked(attempt, now_ns, &self.measured);
        let publisher = connection.index;
        if let Some(supply) = &mut connection.supply {
            supply.acked(connection.destinations[attempt.place as usize].peer, (ack.epoch(), ack.seq()));
        }
        if self.ledger.is_some() {
            let Destination { peer, order } = connection.destinations[attempt.place as usize];
            let Attempt { place, channel, intended_ns, .. } = attempt;
            let header = Header { run: self.crew.plan.run, publisher, place, channel, seq: order, intended_ns };
            self.note_for_verify(local, header, peer, (ack.epoch(), ack.seq()));
        }
        self.ready.push(local);
        self.count_down(publisher, attempt.place);
    }

    /// One more part of a message was read; with the last one its place in the window is free.
    pub(super) fn count_down(&mut self, publisher: u32, place: u32) {
        if self.crew.settings.pace == Pace::Rate || !self.crew.board.take(publisher, place) {
            return;
        }
        let (worker, local) = self.crew.plan.place(publisher);
        if worker == self.id {
            self.finished(&Finished { local, place });
        } else {
            let post = &self.crew.posts[worker as usize];
            // Neither fails before the run is over: the receiver lives as long as its worker, and the count of rings cannot overflow.
            let _ = post.letters.send(Finished { local, place });
            let _ = rustix::io::write(&post.bell, &1u64.to_ne_bytes());
        }
    }

    fn finished(&mut self, finished: &Finished) {
        if let Some(publisher) = &mut self.connections[finished.local as usize].publisher {
            publisher.finished(finished.place);
            self.ready.push(finished.local);
        }
    }

    /// Takes what other workers finished.
    pub(super) fn take_letters(&mut self) {
        while let Ok(finished) = self.letters.try_recv() {
            self.finished(&finished);
        }
    }

    fn error(&mut self, local: u32, reference: u64, error: Error<'_>, now_ns: u64) {
        self.tally.error(error.code().0);
        let again_ns = again_ns(error, now_ns);
        if reference == SETUP_REF {
            return self.setup_refused(local, again_ns, in_words(error));
        }
        match reference {
            PAGE_REF => return self.page_refused(local, again_ns),
            COLD_REF => return self.cold_refused(local, again_ns),
            RECEIPT_REF => return self.receipt_answered(local),
            _ => {}
        }
        let Some(attempt) = self.publish_refused(local, reference, again_ns, now_ns) else { return };
        self.tally.refused(attempt, self.crew.plan.fan_out(), &self.measured);
        let connection = &mut self.connections[local as usize];
        if let Some(supply) = &mut connection.supply {
            supply.refused(connection.destinations[attempt.place as usize].peer);
        }
    }

    /// None of its messages leaves before it helps. Gives the one that was refused, unless it is asked again.
    pub(super) fn publish_refused(&mut self, local: u32, reference: u64, again_ns: Option<u64>, now_ns: u64) -> Option<Attempt> {
        let publisher = self.connections[local as usize].publisher.as_mut()?;
        let attempt = publisher.refused(reference, again_ns);
        if attempt.is_some() && again_ns.is_none() {
            // The next one will fare no better; a pause keeps a hopeless run from becoming a storm.
            publisher.hold(now_ns + PAUSE_NS);
        }
        self.held.push(local);
        attempt
    }

    pub(super) fn go_away(&mut self, local: u32, goaway: GoAway<'_>, now_ns: u64) {
        let code = goaway.code();
        self.tally.goaway(code.0);
        let connection = &mut self.connections[local as usize];
        if connection.state != State::LoggingIn {
            return;
        }
        if code.0 < 2000 {
            connection.again_ns = Some(now_ns + u64::from(goaway.reconnect_after_ms().max(1)) * 1_000_000);
        } else {
            let name = code.variant_name().unwrap_or("unknown code");
            self.setup_refused(local, None, format!("{} {name}: {}", code.0, goaway.message().unwrap_or("")));
        }
    }

    fn pong(&mut self, local: u32, reference: u64) {
        let connection = &mut self.connections[local as usize];
        self.outgoing.frame(connection, local, reference, |b| Pong::create(b, &PongArgs { server_time_ms: 0 }));
    }
}

/// When what was refused may be asked again; never, if it is wrong by itself.
pub(super) fn again_ns(error: Error<'_>, now_ns: u64) -> Option<u64> {
    match error.code().0 {
        200..=299 => Some(now_ns + u64::from(error.retry_after_ms().max(1)) * 1_000_000),
        300.. => Some(now_ns + PAUSE_NS),
        _ => None,
    }
}

/// A refusal for people.
pub(super) fn in_words(error: Error<'_>) -> String {
    let code = error.code();
    format!("{} {}: {}", code.0, code.variant_name().unwrap_or("unknown code"), error.message().unwrap_or(""))
}
