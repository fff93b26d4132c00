//! What the state machines want done. They fill it; the shard's loop empties it.

use crate::conversation::{Key, Record};
use crate::mesh::{Event, Placed, Refusal, Request};
use crate::ring::{OpenBatch, Segment, Slot};
use crate::session::LoggedIn;
use crate::session::frames::{ack, error, message};
use crate::slot::ShardId;
use crate::store::Command;
use crate::wire::schema::{CloseCode, ErrorCode};
use crate::wire::{Encoder, Fbb, Verb};

/// How much a frame matters when its receiver reads slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Answers, pings, farewells: there is always room, since their number is bounded by the session's window.
    Control,
    /// Messages: over the limit, the session is closed and resumes by cursor.
    Data,
    /// Over half of the limit it is dropped and counted.
    Ephemeral,
}

/// One frame for one connection.
#[derive(Clone, Debug)]
pub struct Send {
    /// To whom.
    pub to: Slot,
    /// What.
    pub frame: Segment,
    /// How important.
    pub weight: Weight,
}

/// Everything that a step wants done, in the order in which it is to be done within each list.
#[derive(Default)]
pub struct Effects {
    encoder: Encoder,
    /// The bytes of all frames of this turn.
    pub open: OpenBatch,
    /// Frames to connections.
    pub sends: Vec<Send>,
    /// Connections to say goodbye to.
    pub closes: Vec<(Slot, CloseCode, u32)>,
    /// Connections whose session wants to know when all was sent.
    pub watch_drained: Vec<Slot>,
    /// To homes. Each has its credit.
    pub requests: Vec<(ShardId, Request)>,
    /// To those who asked, or listen.
    pub events: Vec<(ShardId, Event)>,
    /// Codes of the errors that were answered, to be counted.
    pub errors: Vec<ErrorCode>,
    /// Messages that were handed to connections, to be counted.
    pub deliveries: u64,
    /// Publishes of sessions that went on to their conversation's home, to be counted.
    pub messages_in: u64,
    /// To the store of this shard.
    pub commands: Vec<Command>,
    /// Logins that waited for the store and are through.
    pub logins: Vec<LoggedIn>,
}

impl Effects {
    /// Encodes a frame once; it may then be sent to any number of connections.
    pub fn frame<V: Verb>(&mut self, reference: u64, build: impl FnOnce(&mut Fbb) -> flatbuffers::WIPOffset<V>) -> Segment {
        self.open.append(self.encoder.frame(reference, build))
    }

    /// Encodes a frame that nobody shares. It stands until the next one.
    pub fn frame_apart<V: Verb>(&mut self, reference: u64, build: impl FnOnce(&mut Fbb) -> flatbuffers::WIPOffset<V>) -> &[u8] {
        self.encoder.frame(reference, build)
    }

    /// Encodes a record as `viewer` sees it.
    pub fn message(&mut self, key: &Key, viewer: &str, record: &Record) -> Segment {
        self.frame(0, |b| message(b, key.address(viewer), record))
    }

    /// Sends a frame.
    pub fn send(&mut self, to: Slot, frame: Segment, weight: Weight) {
        self.sends.push(Send { to, frame, weight });
    }

    /// Sends an answer.
    pub fn answer<V: Verb>(&mut self, to: Slot, reference: u64, build: impl FnOnce(&mut Fbb) -> flatbuffers::WIPOffset<V>) {
        let frame = self.frame(reference, build);
        self.send(to, frame, Weight::Control);
    }

    /// Tells a session where its message stands.
    pub fn ack(&mut self, to: Slot, reference: u64, placed: Placed) {
        let Placed { epoch, seq, time_ms, duplicate } = placed;
        if duplicate {
            return self.answer(to, reference, |b| ack(b, placed));
        }
        let frame = self.open.append(self.encoder.ack(reference, epoch, seq, time_ms));
        self.send(to, frame, Weight::Control);
    }

    /// Answers a ping.
    pub fn pong(&mut self, to: Slot, reference: u64, server_time_ms: u64) {
        let frame = self.open.append(self.encoder.pong(reference, server_time_ms));
        self.send(to, frame, Weight::Control);
    }

    /// Tells a session that a request failed.
    pub fn error(&mut self, to: Slot, reference: u64, refusal: Refusal, message: &str) {
        self.errors.push(refusal.code);
        self.answer(to, reference, |b| error(b, refusal, message, None));
    }

    /// Tells a listener.
    pub fn event(&mut self, to: ShardId, event: Event) {
        self.events.push((to, event));
    }
}
