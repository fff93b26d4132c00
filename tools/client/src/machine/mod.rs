//! The client's side of the protocol as a plain state machine: no socket, no clock, no randomness of its own.
//!
//! `handle_*` takes what happened (with the time and random bits where they matter), `poll_*` gives what is to be done. The task that
//! owns the socket ([`crate::connection`]) does nothing else than carry things between this machine, the socket and the application.

mod conversations;
mod receive;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use campanile::wire::schema::{CloseCode, ErrorCode};

use crate::Conversation;
use crate::error::{Disconnect, Ended, RequestError};
use crate::event::Event;
use crate::options::Options;
use crate::request::{Answer, Request};
use crate::values::{Cursor, EphemeralEvent, Gap, Message, ReceiptEvent, Skip, UserPresence, Welcome};
use conversations::{Conversations, RESUME_ENTRIES_MAX};
use requests::{Owner, Requests};

/// Requests without an answer, waiting or under way, that the machine holds.
const REQUESTS_MAX: usize = 1_024;
/// Bytes of events that are read ahead of the application while it waits for an answer that stands behind them in the stream.
const LOOKAHEAD_BYTES_MAX: usize = 16 << 20;
/// What an event counts beside its body.
const EVENT_BYTES: usize = 256;
/// Largest frame that a server is assumed to take before it has said so.
const FRAME_BYTES_ASSUMED: usize = 64 << 10;
/// A connection that stood this long was a good one: the next backoff begins anew.
const GOOD_CONNECTION_MS: u64 = 10_000;
/// Users in one request of those that restore watches.
const WATCH_CHUNK: usize = 100;

/// Where the application stands in a conversation, and for a topic the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// Which conversation.
    pub conversation: Conversation,
    /// What it has. None: the server knows better.
    pub cursor: Option<Cursor>,
    /// Topics: only messages with one of these tags; empty: all.
    pub tags: Vec<String>,
}

/// The first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub token: String,
    pub device: String,
    pub resume: Vec<ResumePoint>,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Incoming {
    Welcome(Welcome),
    GoAway {
        code: CloseCode,
        message: String,
        reconnect_after_ms: u32,
    },
    Ping,
    /// `about`: the entry of the resume list that cannot be resumed.
    Error {
        reference: u64,
        code: ErrorCode,
        message: String,
        retry_after_ms: u32,
        about: Option<Conversation>,
    },
    Answer {
        reference: u64,
        answer: Answer,
    },
    Message(Message),
    Gap(Gap),
    Skip(Skip),
    Receipt(ReceiptEvent),
    Presence(UserPresence),
    Ephemeral(EphemeralEvent),
    EphemeralDropped {
        count: u64,
    },
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Connect(Connect),
    Pong,
    Request { reference: u64, request: Arc<Request> },
}

/// Where the connection is in its life. Times are milliseconds of the caller's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No connection; the next attempt begins at this time.
    Waiting { until_ms: u64 },
    /// A connection is being made.
    Connecting { deadline_ms: u64 },
    /// `Connect` was sent.
    LoggingIn { deadline_ms: u64 },
    /// The server let us in.
    Up { since_ms: u64 },
    /// For good.
    Ended(Ended),
}

/// The answer to a request of the application.
pub(crate) type Outcome = (u64, Result<Answer, RequestError>);

/// See the module.
#[derive(Debug)]
pub(crate) struct Machine {
    options: Options,
    /// What is before the counter in the `client_id`s made here: no other client has it.
    client_id_prefix: String,
    client_ids: u64,
    phase: Phase,
    /// Attempts since the last good connection.
    attempt: u32,
    was_up: bool,
    welcome: Welcome,
    conversations: Conversations,
    /// Conversations of the resume list that was sent last, until the server has said where they go on.
    resumed: BTreeSet<Conversation>,
    watched: BTreeSet<String>,
    requests: Requests,
    /// Frames that go out before any request.
    control: VecDeque<Outgoing>,
    events: VecDeque<Event>,
    events_bytes: usize,
    outcomes: VecDeque<Outcome>,
    last_sent_ms: u64,
    last_heard_ms: u64,
}

impl Machine {
    /// A machine whose first attempt to connect begins at once.
    pub fn new(options: Options, client_id_prefix: String) -> Machine {
        let mut conversations = Conversations::default();
        for point in &options.resume {
            conversations.start(&point.conversation, point.cursor, &point.tags);
        }
        Machine {
            options,
            client_id_prefix,
            client_ids: 0,
            phase: Phase::Waiting { until_ms: 0 },
            attempt: 0,
            was_up: false,
            welcome: Welcome::default(),
            conversations,
            resumed: BTreeSet::new(),
            watched: BTreeSet::new(),
            requests: Requests::default(),
            control: VecDeque::new(),
            events: VecDeque::new(),
            events_bytes: 0,
            outcomes: VecDeque::new(),
            last_sent_ms: 0,
            last_heard_ms: 0,
        }
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Whether there is room for another request of the application.
    pub fn wants_requests(&self) -> bool {
        self.requests.len() < REQUESTS_MAX
    }

    /// Whether the socket should be read. While events wait for the application it is not, unless the application itself waits for an
    /// answer that can only come behind them.
    pub fn wants_bytes(&self) -> bool {
        self.events.is_empty() || (self.events_bytes < LOOKAHEAD_BYTES_MAX && self.requests.application_waits())
    }

    /// Largest frame, without its prefix, that the server takes, in bytes.
    pub fn frame_bytes_max(&self) -> usize {
        match self.welcome.frame_bytes_max {
            0 => FRAME_BYTES_ASSUMED,
            bytes => bytes as usize,
        }
    }

    /// Entries that a resume list may have.
    fn resume_max(&self) -> usize {
        match self.welcome.resume_max {
            0 => RESUME_ENTRIES_MAX,
            entries => entries as usize,
        }
    }

    /// How long a publish of unknown fate may be sent again, in milliseconds: the server must still know it when it comes.
    fn resend_within_ms(&self) -> u64 {
        let asked_ms = millis(self.options.resend_within);
        match u64::from(self.welcome.dedupe_ms) {
            0 => asked_ms,
            dedupe_ms => asked_ms.min(dedupe_ms - dedupe_ms / 10),
        }
    }

    /// The application asks for something; the number names it in [`Machine::poll_outcome`].
    pub fn handle_request(&mut self, mut request: Request) -> u64 {
        if let Request::Publish(publish) = &mut request {
            self.client_ids += 1;
            let (prefix, n) = (&self.client_id_prefix, self.client_ids);
            publish.client_id.get_or_insert_with(|| format!("{prefix}-{n}"));
        }
        self.requests.ask(Owner::Application, request)
    }

    /// The frame of a request turned out larger than the server takes.
    pub fn handle_too_large(&mut self, reference: u64, bytes: usize) {
        let too_large = RequestError::TooLarge { bytes, bytes_max: self.frame_bytes_max() };
        if self.requests.answered(reference).is_some_and(|pending| pending.owner == Owner::Application) {
            self.outcomes.push_back((reference, Err(too_large)));
        }
    }

    /// The application wants no more.
    pub fn handle_close(&mut self) {
        self.end(Ended::Closed);
    }

    /// The connection was made.
    pub fn handle_connected(&mut self, now_ms: u64) {
        let Phase::Connecting { deadline_ms } = self.phase else {
            return;
        };
        self.phase = Phase::LoggingIn { deadline_ms };
        let (token, device) = (self.options.token.clone(), self.options.device.clone());
        let room = self.frame_bytes_max().saturating_sub(256 + token.len() + device.len());
        let resume = self.conversations.resume(room, self.resume_max());
        self.conversations.rewind();
        self.resumed = resume.iter().map(|point| point.conversation.clone()).collect();
        self.control.push_back(Outgoing::Connect(Connect { token, device, resume }));
        self.last_heard_ms = now_ms;
        self.last_sent_ms = now_ms;
    }

    /// The connection ended or was not made. `random`: any 64 bits, for the jitter.
    pub fn handle_lost(&mut self, now_ms: u64, reason: Disconnect, random: u64) {
        self.lost(now_ms, reason, None, random);
    }

    /// Something came, or the socket is not being read and so nothing can come.
    pub fn handle_heard(&mut self, now_ms: u64) {
        self.last_heard_ms = now_ms;
    }

    /// The time of [`Machine::poll_timeout_ms`] has come.
    pub fn handle_timeout(&mut self, now_ms: u64, random: u64) {
        let connect_timeout_ms = millis(self.options.connect_timeout);
        match self.phase {
            Phase::Waiting { until_ms } if now_ms >= until_ms => {
                self.phase = Phase::Connecting { deadline_ms: now_ms + connect_timeout_ms };
            }
            Phase::Connecting { deadline_ms } | Phase::LoggingIn { deadline_ms } if now_ms >= deadline_ms => {
                self.handle_lost(now_ms, Disconnect::NoWelcome { connect_timeout_ms }, random);
            }
            Phase::Up { .. } if self.idle_at_ms().is_some_and(|at| now_ms >= at) => {
                let idle_timeout_ms = u64::from(self.welcome.idle_timeout_ms);
                self.handle_lost(now_ms, Disconnect::Silent { idle_timeout_ms }, random);
            }
            _ => {}
        }
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self, now_ms: u64) -> Option<Outgoing> {
        let outgoing = self.control.pop_front().or_else(|| self.next_request(now_ms))?;
        self.last_sent_ms = now_ms;
        Some(outgoing)
    }

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.events_bytes -= event_bytes(&event);
        Some(event)
    }

    /// Whether an event waits.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next answer for the application.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// When [`Machine::handle_timeout`] and [`Machine::poll_transmit`] are to be called again although nothing happened.
    pub fn poll_timeout_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Waiting { until_ms } => Some(until_ms),
            Phase::Connecting { deadline_ms } | Phase::LoggingIn { deadline_ms } => Some(deadline_ms),
            Phase::Up { .. } => {
                let times = [self.idle_at_ms(), self.heartbeat_at_ms(), self.requests.ready_at_ms(self.window())];
                times.into_iter().flatten().min()
            }
            Phase::Ended(_) => None,
        }
    }

    fn window(&self) -> usize {
        (self.welcome.window as usize).max(1)
    }

    fn idle_at_ms(&self) -> Option<u64> {
        (self.welcome.idle_timeout_ms > 0).then(|| self.last_heard_ms + u64::from(self.welcome.idle_timeout_ms))
    }

    /// A little before the time that the server asked for, which counts at its end of the wire.
    fn heartbeat_at_ms(&self) -> Option<u64> {
        let heartbeat_ms = u64::from(self.welcome.heartbeat_ms);
        (heartbeat_ms > 0).then(|| self.last_sent_ms + heartbeat_ms - heartbeat_ms / 10)
    }

    fn next_request(&mut self, now_ms: u64) -> Option<Outgoing> {
        if !matches!(self.phase, Phase::Up { .. }) {
            return None;
        }
        let known_since_ms = now_ms.saturating_sub(self.resend_within_ms());
        while let Some(reference) = self.requests.too_old(known_since_ms) {
            self.outcomes.push_back((reference, Err(RequestError::ConnectionLost)));
        }
        let next = self.requests.next(now_ms, self.window());
        let heartbeat_due = self.heartbeat_at_ms().is_some_and(|at| now_ms >= at);
        let next = next.or_else(|| heartbeat_due.then(|| self.requests.heartbeat(now_ms)));
        next.map(|(reference, request)| Outgoing::Request { reference, request })
    }

    /// The end of a connection, or of an attempt: back to waiting, or the end of everything.
    fn lost(&mut self, now_ms: u64, reason: Disconnect, told_ms: Option<u64>, random: u64) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Waiting { .. }) {
            return;
        }
        if !self.was_up && !self.options.keep_trying {
            return self.end(Ended::Unreachable { target: self.options.target.clone(), reason });
        }
        if matches!(self.phase, Phase::Up { since_ms } if now_ms - since_ms >= GOOD_CONNECTION_MS) {
            self.attempt = 0;
        }
        let backoff_ms = self.options.backoff.wait_ms(self.attempt, random);
        let wait_ms = told_ms.map_or(backoff_ms, |told_ms| told_ms.max(backoff_ms));
        self.attempt = self.attempt.saturating_add(1);
        self.phase = Phase::Waiting { until_ms: now_ms + wait_ms };
        self.control.clear();
        for (reference, pending) in self.requests.connection_lost() {
            self.outcomes.push_back((reference, Err(RequestError::ConnectionLost)));
            self.settle_echo(pending.echo, None);
        }
        self.tell_disconnected(reason, Duration::from_millis(wait_ms));
    }

    /// Attempts that fail one after another are one event until the application takes it.
    fn tell_disconnected(&mut self, reason: Disconnect, retry_in: Duration) {
        if matches!(self.events.back(), Some(Event::Disconnected { .. })) {
            self.events.pop_back();
            self.events_bytes -= EVENT_BYTES;
        }
        self.tell(Event::Disconnected { reason, retry_in });
    }

    fn tell(&mut self, event: Event) {
        self.events_bytes += event_bytes(&event);
        self.events.push_back(event);
    }

    fn end(&mut self, why: Ended) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        for reference in self.requests.end() {
            self.outcomes.push_back((reference, Err(RequestError::Ended(why.clone()))));
        }
        self.control.clear();
        self.phase = Phase::Ended(why.clone());
        self.tell(Event::Ended(why));
    }
}

fn event_bytes(event: &Event) -> usize {
    EVENT_BYTES
        + match event {
            Event::Message { message, .. } | Event::Record { message, .. } => message.body.len(),
            Event::Ephemeral(ephemeral) => ephemeral.body.len(),
            _ => 0,
        }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
