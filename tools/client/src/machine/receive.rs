//! What the server sent, one function for each kind.

use campanile::wire::schema::{CloseCode, ErrorCode, RecordKind};

use super::requests::{Owner, Pending};
use super::{Incoming, Machine, Outgoing, Phase, WATCH_CHUNK};
use crate::Conversation;
use crate::error::{Disconnect, Ended, RequestError};
use crate::event::Event;
use crate::request::{Answer, Request};
use crate::tracker::{Hole, Verdict};
use crate::values::{Cursor, Gap, Message, Skip, Subscribed, Welcome};

/// Shortest wait before a request that was told "later" is sent again, in milliseconds.
const RETRY_MS_MIN: u64 = 50;

impl Machine {
    /// A frame came. `random`: any 64 bits, for the jitter of a wait that may follow.
    pub fn handle_frame(&mut self, now_ms: u64, frame: Incoming, random: u64) {
        self.last_heard_ms = now_ms;
        match (&self.phase, frame) {
            (Phase::LoggingIn { .. }, Incoming::Welcome(welcome)) => self.handle_welcome(now_ms, welcome),
            (Phase::LoggingIn { .. } | Phase::Up { .. }, Incoming::GoAway { code, message, reconnect_after_ms }) => {
                self.handle_go_away(now_ms, code, message, reconnect_after_ms, random);
            }
            (Phase::Up { .. }, frame) => self.handle_frame_up(now_ms, frame),
            (Phase::LoggingIn { .. }, _) => self.handle_lost(now_ms, Disconnect::Malformed, random),
            // What was read together with a go-away is of a connection that is over.
            _ => {}
        }
    }

    fn handle_frame_up(&mut self, now_ms: u64, frame: Incoming) {
        match frame {
            Incoming::Ping => self.control.push_back(Outgoing::Pong),
            Incoming::Error { reference: 0, code, message, about, .. } => self.handle_failure(code, message, about),
            Incoming::Error { reference, code, message, retry_after_ms, .. } => {
                self.handle_error(now_ms, reference, code, message, retry_after_ms);
            }
            Incoming::Answer { reference: 0, answer: Answer::Subscribed(subscribed) } => self.handle_subscribed(&subscribed),
            Incoming::Answer { reference, answer } => self.handle_answer(reference, answer),
            Incoming::Message(message) => self.handle_message(message),
            Incoming::Gap(gap) => self.handle_gap(gap),
            Incoming::Skip(skip) => self.handle_skip(skip),
            Incoming::Receipt(receipt) => self.tell(Event::Receipt(receipt)),
            Incoming::Presence(presence) => self.tell(Event::Presence(presence)),
            Incoming::Ephemeral(ephemeral) => self.tell(Event::Ephemeral(ephemeral)),
            Incoming::EphemeralDropped { count } => self.tell(Event::EphemeralDropped { count }),
            Incoming::Welcome(_) | Incoming::GoAway { .. } => {}
        }
    }

    fn handle_welcome(&mut self, now_ms: u64, welcome: Welcome) {
        self.phase = Phase::Up { since_ms: now_ms };
        self.welcome = welcome.clone();
        self.restore();
        self.tell(Event::Connected { resumed: self.was_up, welcome });
        self.was_up = true;
    }

    /// What the welcome does not bring back by itself: topics that did not fit into the resume list, and presence.
    fn restore(&mut self) {
        for point in self.conversations.topics_missing(&self.resumed) {
            let (conversation, cursor, tags) = (point.conversation, point.cursor, point.tags);
            self.requests.ask(Owner::Restore, Request::Subscribe { conversation, cursor, tags });
        }
        let watched: Vec<String> = self.watched.iter().cloned().collect();
        for users in watched.chunks(WATCH_CHUNK) {
            self.requests.ask(Owner::Restore, Request::PresenceWatch { users: users.to_vec() });
        }
    }

    fn handle_go_away(&mut self, now_ms: u64, code: CloseCode, message: String, reconnect_after_ms: u32, random: u64) {
        if (2000..3000).contains(&code.0) {
            return self.end(Ended::Refused { code, message });
        }
        let told_ms = Some(u64::from(reconnect_after_ms));
        self.lost(now_ms, Disconnect::GoAway { code, message }, told_ms, random);
    }

    // ---------------------------------------------------------------------------------------------- the stream

    fn handle_message(&mut self, message: Message) {
        let (conversation, at) = (message.conversation.clone(), message.cursor());
        if !self.conversations.receives(&conversation) {
            return self.tell_message(message, at);
        }
        let (verdict, hole) = self.conversations.tracker(&conversation).message(at);
        self.tell_hole(&conversation, hole);
        self.settle(&conversation);
        let resume = self.conversations.tracker(&conversation).cursor().unwrap_or(at);
        let out = self.puts_me_out(&message);
        if verdict == Verdict::New {
            self.take_new(message, resume);
        }
        if out {
            self.conversations.forget(&conversation);
        }
    }

    /// What this session wrote itself is told by the ack, also when the ack was lost with a connection and comes again.
    fn take_new(&mut self, message: Message, resume: Cursor) {
        let conversation = message.conversation.clone();
        if message.sender != self.welcome.user {
            return self.tell_message(message, resume);
        }
        if message.client_id.as_deref().is_some_and(|client_id| self.requests.publishing(client_id)) {
            return self.tell(Event::Acked { conversation, resume });
        }
        match self.requests.changing(&message) {
            Some(pending) => pending.echo = Some((message, resume)),
            None => self.tell_message(message, resume),
        }
    }

    /// A record was kept back and the fate of its request is known: told now, unless it is the one that the ack tells.
    pub(super) fn settle_echo(&mut self, echo: Option<(Message, Cursor)>, wrote: Option<Cursor>) {
        let Some((record, resume)) = echo else { return };
        if wrote != Some(record.cursor()) {
            return self.tell_message(record, resume);
        }
        let conversation = record.conversation;
        if let Some(resume) = self.conversations.known(&conversation).and_then(|tracker| tracker.cursor()) {
            self.tell(Event::Acked { conversation, resume });
        }
    }

    /// A conversation is received without having been asked for, or is resumed.
    fn handle_subscribed(&mut self, subscribed: &Subscribed) {
        let conversation = subscribed.conversation.clone();
        let resumed = self.resumed.remove(&conversation);
        if !self.conversations.receives(&conversation) {
            return;
        }
        let tracker = self.conversations.tracker(&conversation);
        if tracker.begins_at(subscribed.cursor()) {
            let resume = tracker.cursor().unwrap_or_default();
            return self.tell(Event::Receiving { conversation, resume });
        }
        // The server did not know this cursor, because the resume list was full or the user had not been a member meanwhile: it is
        // told now, and says what does not come.
        let (cursor, goes_on) = (tracker.cursor(), subscribed.cursor());
        if !resumed && cursor.is_some_and(|cursor| cursor.epoch != goes_on.epoch || cursor.seq < goes_on.seq) {
            let tags = Vec::new();
            self.requests.ask(Owner::Restore, Request::Subscribe { conversation, cursor, tags });
        }
    }

    fn tell_message(&mut self, message: Message, resume: Cursor) {
        self.tell(match message.kind {
            RecordKind::message => Event::Message { message, resume },
            _ => Event::Record { message, resume },
        });
    }

    /// Whether nothing more comes after this record.
    fn puts_me_out(&self, message: &Message) -> bool {
        let me = &self.welcome.user;
        match message.kind {
            RecordKind::disbanded => true,
            RecordKind::removed => message.subject.as_ref() == Some(me),
            RecordKind::left => message.subject.as_ref().unwrap_or(&message.sender) == me,
            _ => false,
        }
    }

    fn handle_gap(&mut self, gap: Gap) {
        if self.conversations.receives(&gap.conversation) {
            self.conversations.tracker(&gap.conversation).gap(gap.epoch, gap.first);
        }
        self.tell(Event::Gap(gap));
    }

    fn handle_skip(&mut self, skip: Skip) {
        let conversation = skip.conversation.clone();
        if !self.conversations.receives(&conversation) {
            return self.tell(Event::Skip(skip));
        }
        let (verdict, hole) = self.conversations.tracker(&conversation).skip(skip.epoch, skip.from, skip.to);
        self.tell_hole(&conversation, hole);
        self.settle(&conversation);
        if verdict == Verdict::New {
            self.tell(Event::Skip(skip));
        }
    }

    /// Tells the holes of a conversation, unless an ack that is still to come may fill them.
    fn settle(&mut self, conversation: &Conversation) {
        while let Some(tracker) = self.conversations.known(conversation)
            && tracker.unsettled()
            && !self.requests.writes_to(conversation)
            && !self.requests.subscribes(conversation)
            && let Some(hole) = tracker.settle()
        {
            self.tell_hole(conversation, Some(hole));
        }
    }

    fn tell_hole(&mut self, conversation: &Conversation, hole: Option<Hole>) {
        if let Some(Hole { expected, got }) = hole {
            self.tell(Event::Hole { conversation: conversation.clone(), expected, got });
        }
    }

    // --------------------------------------------------------------------------------------------- the answers

    fn handle_answer(&mut self, reference: u64, answer: Answer) {
        let Some(mut pending) = self.requests.answered(reference) else { return };
        let outcome = if fits(&pending.request, &answer) { Ok(answer) } else { Err(RequestError::WrongAnswer) };
        if let Ok(answer) = &outcome {
            self.learn(&pending, answer);
        }
        self.after_answer(&pending);
        self.settle_echo(pending.echo.take(), wrote_at(&outcome));
        match pending.owner {
            Owner::Application => self.outcomes.push_back((reference, outcome)),
            Owner::Restore => self.tell_restored(outcome),
            Owner::Heartbeat => {}
        }
    }

    /// What an answer says about where this client stands.
    fn learn(&mut self, pending: &Pending, answer: &Answer) {
        match (&*pending.request, answer) {
            (Request::GroupLeave { id } | Request::GroupDisband { id }, Answer::Ack(_)) => {
                self.conversations.forget(&Conversation::Group(id.clone()));
            }
            (request, Answer::Ack(ack)) => {
                if let Some(conversation) = request.writes_to().filter(|c| self.conversations.receives(c)) {
                    self.wrote(conversation, ack.cursor);
                }
            }
            (_, Answer::GroupCreated(created)) => self.wrote(created.conversation.clone(), created.cursor),
            (Request::Subscribe { conversation, cursor, tags }, Answer::Subscribed(subscribed)) => {
                if pending.owner == Owner::Restore && self.conversations.has_cursor(conversation) {
                    self.conversations.tracker(conversation).rewind();
                } else {
                    self.conversations.start(conversation, Some(cursor.unwrap_or(subscribed.cursor())), tags);
                }
            }
            (Request::Unsubscribe { conversation }, Answer::Done) => self.conversations.forget(conversation),
            (Request::PresenceWatch { users }, Answer::Presence(_)) => self.watched.extend(users.iter().cloned()),
            (Request::PresenceUnwatch { users }, Answer::Done) => {
                for user in users {
                    self.watched.remove(user);
                }
            }
            _ => {}
        }
    }

    /// A record of this session stands at `at`.
    fn wrote(&mut self, conversation: Conversation, at: Cursor) {
        let tracker = self.conversations.tracker(&conversation);
        let before = tracker.cursor();
        tracker.ack(at);
        if let Some(resume) = tracker.cursor().filter(|&cursor| Some(cursor) != before) {
            self.tell(Event::Acked { conversation, resume });
        }
    }

    /// An ack that did not come can fill no hole any more.
    fn after_answer(&mut self, pending: &Pending) {
        if let Some(conversation) = pending.request.writes_to() {
            self.settle(&conversation);
        }
    }

    fn tell_restored(&mut self, outcome: Result<Answer, RequestError>) {
        if let Ok(Answer::Presence(presence)) = outcome {
            for user in presence.users {
                self.tell(Event::Presence(user));
            }
        }
    }

    fn handle_error(&mut self, now_ms: u64, reference: u64, code: ErrorCode, message: String, retry_after_ms: u32) {
        let Some(mut pending) = self.requests.answered(reference) else { return };
        if self.worth_retrying(&pending, code) {
            let at_ms = now_ms + u64::from(retry_after_ms).max(RETRY_MS_MIN);
            return self.requests.again(reference, pending, at_ms);
        }
        self.after_answer(&pending);
        self.settle_echo(pending.echo.take(), None);
        match pending.owner {
            Owner::Application => {
                self.outcomes.push_back((reference, Err(RequestError::Refused { code, message, retry_after_ms })));
            }
            Owner::Restore => self.restore_refused(&pending.request, code, message),
            // Also "over the window" is a sign of life.
            Owner::Heartbeat => {}
        }
    }

    /// A failure of something that asked for no answer: most often an entry of the resume list, which is not resumed again.
    fn handle_failure(&mut self, code: ErrorCode, message: String, about: Option<Conversation>) {
        if let Some(conversation) = &about {
            self.conversations.forget(conversation);
            self.resumed.remove(conversation);
        }
        self.tell(Event::Trouble { conversation: about, code, message });
    }

    fn worth_retrying(&self, pending: &Pending, code: ErrorCode) -> bool {
        let later = (200..300).contains(&code.0) || code == ErrorCode::shutting_down;
        let ours = pending.owner == Owner::Restore || matches!(*pending.request, Request::Publish(_));
        later && ours && pending.refusals < self.options.publish_retries
    }

    fn restore_refused(&mut self, request: &Request, code: ErrorCode, message: String) {
        let mut about = None;
        match request {
            Request::Subscribe { conversation, .. } => {
                self.conversations.forget(conversation);
                about = Some(conversation.clone());
            }
            Request::PresenceWatch { users } => users.iter().for_each(|user| {
                self.watched.remove(user);
            }),
            _ => {}
        }
        self.tell(Event::Trouble { conversation: about, code, message });
    }
}

/// The place of the record that a request wrote.
fn wrote_at(outcome: &Result<Answer, RequestError>) -> Option<Cursor> {
    match outcome {
        Ok(Answer::Ack(ack)) => Some(ack.cursor),
        Ok(Answer::GroupCreated(created)) => Some(created.cursor),
        _ => None,
    }
}

/// Whether the answer is of the kind that the request asks for.
fn fits(request: &Request, answer: &Answer) -> bool {
    match answer {
        Answer::Pong { .. } => matches!(request, Request::Ping),
        Answer::Ack(_) => request.writes_to().is_some(),
        Answer::Subscribed(_) => matches!(request, Request::Subscribe { .. }),
        Answer::Page(_) => matches!(request, Request::Sync(_)),
        Answer::GroupCreated(_) => matches!(request, Request::GroupCreate(_)),
        Answer::Members(_) => matches!(request, Request::Members { .. }),
        Answer::Conversations(_) => matches!(request, Request::Conversations { .. }),
        Answer::Presence(_) => matches!(request, Request::PresenceQuery { .. } | Request::PresenceWatch { .. }),
        Answer::Done => matches!(
            request,
            Request::Unsubscribe { .. }
                | Request::Receipt { .. }
                | Request::PresenceUnwatch { .. }
                | Request::Ephemeral { .. }
                | Request::LogOutDevice { .. }
        ),
    }
}
