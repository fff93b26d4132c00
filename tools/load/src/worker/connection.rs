//! A connection of a worker.

use std::collections::VecDeque;

use campanile::ring::{OpenBatch, Segment, Segments};
use campanile::wire::{Encoder, Fbb, Verb};
use flatbuffers::WIPOffset;

use super::cold::ColdRead;
use super::traffic::Attendance;
use crate::account::{Destination, Publisher, RandomPeers, Received, Supply};
use crate::dress::{Dress, Outbound};
use crate::scenario::{Role, Source};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none yet, or not any more but it will be made again.
    None,
    /// The server was asked for a WebSocket.
    Upgrading,
    /// Connect was sent.
    LoggingIn,
    /// Welcome came.
    Ready,
    /// The group verb was sent.
    Asking,
    /// The group verb was answered.
    Done,
    /// It ends; nothing more is read or sent.
    Ending,
    /// It has ended.
    Ended,
}

/// One socket and what belongs to it.
#[derive(Debug)]
pub struct Connection {
    /// Number in the plan.
    pub index: u32,
    /// What it does.
    pub role: Role,
    /// Where it stands.
    pub state: State,
    /// The front of a frame whose rest has not come.
    pub partial: Vec<u8>,
    /// What is to be sent after what is being sent.
    pub queue: Segments,
    /// A send is in flight.
    pub sending: bool,
    /// A receive is armed.
    pub receiving: bool,
    /// It is being shut down.
    pub shutting: bool,
    /// The server has closed its WebSocket and was answered: nothing may follow that.
    pub said_goodbye: bool,
    /// In the list of those with something to send.
    pub dirty: bool,
    /// When something was last sent, in ms since the origin.
    pub last_sent_ms: u64,
    /// Made again, or asked again, at this time.
    pub again_ns: Option<u64>,
    /// What was received.
    pub received: Received,
    /// Number of the next frame to be looked for in [`super::recent::Recent`].
    pub recent: u64,
    /// Publishes without an ack, oldest first, where acks do not say what they are for.
    pub unacked: VecDeque<u64>,
    /// What is published, from the welcome on.
    pub publisher: Option<Box<Publisher>>,
    /// Id of the conversation that it publishes to, if that is always the same.
    pub conversation: Option<Box<str>>,
    /// Else, to whom.
    pub peers: Option<Box<RandomPeers>>,
    /// Else, what it lays in store.
    pub supply: Option<Box<Supply>>,
    /// What it has asked to read.
    pub cold: Option<ColdRead>,
    /// What it takes part in, where that is more than one conversation.
    pub attendance: Option<Box<Attendance>>,
    /// When it was begun to be made, in ns since the origin.
    pub begun_ns: u64,
    /// Deliveries that it has read.
    pub got: u64,
    /// Where the message in each place of the window went, if that is to be known when it is answered.
    pub destinations: Vec<Destination>,
}

impl Connection {
    /// One that is still to be made.
    pub fn new(index: u32, role: Role, source: Source, conversation: Option<Box<str>>) -> Connection {
        Connection {
            index,
            role,
            state: State::None,
            partial: Vec::new(),
            queue: Segments::new(),
            sending: false,
            receiving: false,
            shutting: false,
            said_goodbye: false,
            dirty: false,
            last_sent_ms: 0,
            again_ns: None,
            received: Received::from(source),
            recent: 0,
            unacked: VecDeque::new(),
            publisher: None,
            conversation,
            peers: None,
            supply: None,
            cold: None,
            attendance: None,
            begun_ns: 0,
            got: 0,
            destinations: Vec::new(),
        }
    }

    /// Whether frames go to and fro.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Upgrading | State::LoggingIn) || self.is_logged_in()
    }

    /// Whether the server knows who it is.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.state, State::Ready | State::Asking | State::Done)
    }

    /// Remembers where the message in a place goes.
    pub fn remember(&mut self, place: u32, destination: Destination) {
        let place = place as usize;
        if self.destinations.len() <= place {
            self.destinations.resize(place + 1, Destination { peer: 0, order: 0 });
        }
        self.destinations[place] = destination;
    }

    fn enqueue(&mut self, segment: Segment) {
        if !self.queue.last_mut().is_some_and(|last| last.merge(&segment)) {
            self.queue.push(segment);
        }
    }
}

/// Frames on their way out: one batch for all connections of a worker, sent once per connection and turn.
pub struct Outgoing {
    encoder: Encoder,
    outbound: Outbound,
    words: Vec<u8>,
    batch: OpenBatch,
    dirty: Vec<u32>,
}

impl Outgoing {
    /// For connections of this dress. `seed`: another one for each worker.
    pub fn new(dress: Dress, seed: u64) -> Outgoing {
        let outbound = Outbound::new(dress, seed);
        Outgoing { encoder: Encoder::default(), outbound, words: Vec::new(), batch: OpenBatch::default(), dirty: Vec::new() }
    }

    /// Queues a frame.
    pub fn frame<V: Verb>(
        &mut self,
        to: &mut Connection,
        local: u32,
        reference: u64,
        build: impl FnOnce(&mut Fbb) -> WIPOffset<V>,
    ) {
        if to.said_goodbye {
            return;
        }
        let segment = self.batch.append(self.outbound.frame(self.encoder.frame(reference, build)));
        to.enqueue(segment);
        self.mark(to, local);
    }

    /// Queues the request for a WebSocket.
    pub fn request(&mut self, to: &mut Connection, local: u32, request: &str) {
        to.enqueue(self.batch.append(request.as_bytes()));
        self.mark(to, local);
    }

    /// Queues what another server's protocol says.
    pub fn words(&mut self, to: &mut Connection, local: u32, say: impl FnOnce(&mut Vec<u8>)) {
        self.words.clear();
        say(&mut self.words);
        if !self.words.is_empty() && !to.said_goodbye {
            to.enqueue(self.batch.append(self.outbound.frame(&self.words)));
            self.mark(to, local);
        }
    }

    /// Queues a ping of the WebSocket.
    pub fn ping(&mut self, to: &mut Connection, local: u32) {
        to.enqueue(self.batch.append(self.outbound.ping()));
        self.mark(to, local);
    }

    /// Queues the answer to one.
    pub fn pong(&mut self, to: &mut Connection, local: u32, payload: &[u8]) {
        to.enqueue(self.batch.append(self.outbound.pong(payload)));
        self.mark(to, local);
    }

    /// Queues the answer to the end of the WebSocket, behind which nothing is queued.
    pub fn goodbye(&mut self, to: &mut Connection, local: u32, payload: &[u8]) {
        if !std::mem::replace(&mut to.said_goodbye, true) {
            to.enqueue(self.batch.append(self.outbound.close(payload)));
            self.mark(to, local);
        }
    }

    /// There is something to send.
    pub fn mark(&mut self, connection: &mut Connection, local: u32) {
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(local);
        }
    }

    /// Ends the batch and tells who has something to send.
    pub fn seal(&mut self) -> Vec<u32> {
        if !self.dirty.is_empty() {
            self.batch.seal();
        }
        std::mem::take(&mut self.dirty)
    }

    /// Gives the list back, so that its memory is used again.
    pub fn recycle(&mut self, mut list: Vec<u32>) {
        if self.dirty.is_empty() {
            list.clear();
            self.dirty = list;
        }
    }
}
