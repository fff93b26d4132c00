//! Connections to other servers: what they say, and what it means for the books. Before the run every request is followed by a ping, whose answer
//! says that the request was done.

use super::Worker;
use super::connection::State;
use crate::account::{Attempt, Header};
use crate::error::Failure;
use crate::peers::{Heard, Peer, Which};
use crate::scenario::Role;

/// Publishes without an answer: one less than the packet identifiers that MQTT has.
const WINDOW: u32 = u16::MAX as u32;
/// Sessions are kept alive by a ping in half of this time.
const HEARTBEAT_MS: u64 = 30_000;

impl Worker<'_> {
    /// The first words: who it is, and what it wants to hear whatever is played. One that does nothing hears what is for all, so that it
    /// has one subscription, as a session of Campanile has that to `broadcast`.
    pub(super) fn greet(&mut self, local: u32, peer: Peer) {
        let plan = &self.crew.plan;
        let connection = &mut self.connections[local as usize];
        connection.state = State::LoggingIn;
        let user = plan.user(connection.index);
        self.outgoing.words(connection, local, |out| peer.hello(&user, out));
        match connection.role {
            Role::Idle => self.outgoing.words(connection, local, |out| peer.join(&plan.group_id(), out)),
            Role::Member => {}
            // An owner listens for acks.
            Role::Owner | Role::Pair(_) | Role::Anyone | Role::Filler | Role::Late | Role::Talker => {
                self.outgoing.words(connection, local, |out| peer.listen(&user, out));
            }
        }
        self.ping_peer(local, peer);
    }

    /// Sends a ping.
    pub(super) fn ping_peer(&mut self, local: u32, peer: Peer) {
        let connection = &mut self.connections[local as usize];
        if peer.is_websocket() {
            self.outgoing.ping(connection, local);
        } else {
            self.outgoing.words(connection, local, |out| peer.ping(out));
        }
    }

    /// Takes all that is whole of what a server said, and says how many bytes it was.
    pub(super) fn take_words(&mut self, local: u32, peer: Peer, bytes: &[u8], now_ns: u64) -> usize {
        let mut used = 0;
        loop {
            match peer.hear(&bytes[used..]) {
                Ok(Some((heard, length))) => {
                    used += length;
                    self.peer_says(local, peer, heard, now_ns);
                    if used == bytes.len() {
                        return used;
                    }
                }
                Ok(None) => return used,
                Err(expected) => {
                    let answer = format!("it is not the protocol of {}: expected {}", peer.name(), expected.0);
                    self.failure.get_or_insert(Failure::Refused { request: "to be understood", answer });
                    return bytes.len();
                }
            }
        }
    }

    fn peer_says(&mut self, local: u32, peer: Peer, heard: Heard<'_>, now_ns: u64) {
        let connection = &mut self.connections[local as usize];
        match heard {
            Heard::Message { body, reply_to } => {
                if let Some(reply_to) = reply_to {
                    self.outgoing.words(connection, local, |out| peer.answer(reply_to, out));
                }
                match Header::read(body, self.crew.plan.run) {
                    Some(header) => self.delivered(local, header, now_ns),
                    None => self.tally.unexpected += 1,
                }
            }
            Heard::Acked(which) => self.acked_by_peer(local, which, now_ns),
            Heard::Pong => self.ponged(local),
            Heard::Ping => self.outgoing.words(connection, local, |out| peer.pong(out)),
            Heard::Nothing => {}
            Heard::Refused(words) => {
                self.failure.get_or_insert(Failure::Refused { request: "what it was told", answer: words.to_owned() });
            }
        }
    }

    fn acked_by_peer(&mut self, local: u32, which: Which, now_ns: u64) {
        let connection = &mut self.connections[local as usize];
        let publisher = connection.publisher.as_mut();
        let reference = match which {
            Which::Oldest => connection.unacked.pop_front(),
            Which::Reference(reference) => Some(reference),
            Which::Place(place) => publisher.as_ref().and_then(|p| p.unanswered_in(place)),
        };
        let Some(attempt) = publisher.zip(reference).and_then(|(p, reference)| p.acked(reference)) else {
            self.tally.unexpected += 1;
            return;
        };
        self.tally.acked(attempt, now_ns, &self.measured);
        let publisher = connection.index;
        self.ready.push(local);
        self.count_down(publisher, attempt.place);
    }

    /// A message was sent; where nobody acknowledges it, all that is outstanding are its deliveries.
    pub(super) fn told_peer(&mut self, local: u32, peer: Peer, attempt: Attempt, is_acked: bool) {
        let connection = &mut self.connections[local as usize];
        if is_acked {
            if peer.acks_in_order() {
                connection.unacked.push_back(attempt.reference());
            }
            return;
        }
        let acked = connection.publisher.as_mut().and_then(|p| p.acked(attempt.reference()));
        if acked.is_some() {
            let publisher = connection.index;
            self.tally.unasked(attempt, &self.measured);
            self.count_down(publisher, attempt.place);
        }
    }

    /// A ping was answered.
    pub(super) fn ponged(&mut self, local: u32) {
        match (self.connections[local as usize].state, self.crew.target.is_peer()) {
            (State::LoggingIn, true) => self.welcomed(local, WINDOW, HEARTBEAT_MS),
            (State::Asking, true) => self.joined(local),
            _ => self.tally.pongs += 1,
        }
    }
}
