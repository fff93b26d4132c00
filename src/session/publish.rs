//! Publishing: from a session to the conversation's home, and the ack back. Ephemeral events go the same way without the log.

use bytes::Bytes;

use super::list::HintState;
use super::{Failure, Outcome, Session, Users, address, bad_request, check_id};
use crate::clock::Now;
use crate::conversation::{Content, Key, Kind};
use crate::effects::{Effects, Weight};
use crate::id::ID_BYTES_MAX;
use crate::mesh::{Placed, Publish, Read, ReadFor, Refusal, Reply, Request};
use crate::wire::schema::{self as s, ErrorCode};

impl Users {
    pub(super) fn publish(&mut self, reply: Reply, body: s::Publish<'_>, now: Now, fx: &mut Effects) -> Outcome {
        if self.is_stopping {
            return Err(ErrorCode::shutting_down.into());
        }
        let address = address(body.conversation())?;
        let content = content(body, self.limits.body_bytes_max as usize)?;
        self.take_publish_token(reply, now)?;
        let sender = self.user_of(reply.session).name.clone();
        let key = Key::new(&sender, address);
        let publish = Publish { key, sender, reply, content };
        fx.messages_in += 1;
        if publish.key.kind() == Kind::Direct { self.publish_direct(publish, fx) } else { self.send_publish(publish, fx) }
    }

    fn send_publish(&mut self, publish: Publish, fx: &mut Effects) -> Outcome {
        let home = self.home_of(&publish.key);
        self.ask(publish.reply.session, home, Request::Publish(Box::new(publish)), fx)
    }

    fn take_publish_token(&mut self, reply: Reply, now: Now) -> Outcome {
        let Some(rate) = self.publish_rate else { return Ok(()) };
        let user = self.sessions[reply.session.index].user;
        self.users[user]
            .bucket
            .take(rate, now.mono_ms)
            .map_err(|retry_after_ms| Failure::from(Refusal { code: ErrorCode::rate_limited, retry_after_ms }))
    }

    /// The first message to somebody waits until his list knows of the conversation, and so do those that follow it meanwhile.
    fn publish_direct(&mut self, publish: Publish, fx: &mut Effects) -> Outcome {
        let (session, entries_max) = (publish.reply.session, self.limits.conversations_per_user_max as usize);
        self.has_window(session)?;
        let user = self.sessions[session.index].user;
        let (slots, first) = (self.slots, self.first_number);
        let list = self.users[user].list(slots, first);
        if list.entry(&publish.key).is_some_and(|entry| matches!(entry.hint, HintState::Ready)) {
            return self.send_publish(publish, fx);
        }
        if self.policies.is_on_disk(Kind::Direct) {
            self.sessions[session.index].outstanding += 1;
            self.open_direct(user, publish, fx);
            return Ok(());
        }
        let entry = list.insert(&publish.key, entries_max).ok_or(ErrorCode::too_many_conversations)?;
        match &mut entry.hint {
            HintState::Ready => unreachable!("it was not ready a moment ago"),
            HintState::Asked(waiting) => waiting.push(publish),
            HintState::Unknown => {
                let (key, sender) = (publish.key.clone(), publish.sender.clone());
                entry.hint = HintState::Asked(Box::new(vec![publish]));
                self.hint_peer(key, sender, fx);
            }
        }
        self.sessions[session.index].outstanding += 1;
        Ok(())
    }

    pub(super) fn placed(&mut self, reply: Reply, result: Result<Placed, Refusal>, fx: &mut Effects) {
        let Some(connection) = self.answered(reply) else { return };
        match result {
            Ok(placed) => {
                self.remember_ack(reply.session, (placed.epoch, placed.seq));
                fx.ack(connection, reply.reference, placed);
            }
            Err(refusal) => self.refuse(reply, refusal, fx),
        }
    }

    /// Takes back an own message: its home looks whether it is one.
    pub(super) fn retract(&mut self, reply: Reply, body: s::Retract<'_>, now: Now, fx: &mut Effects) -> Outcome {
        if self.is_stopping {
            return Err(ErrorCode::shutting_down.into());
        }
        let key = self.key_of(reply.session, address(body.conversation())?);
        let cursor = body.cursor().ok_or_else(|| bad_request("cursor is missing"))?;
        self.take_publish_token(reply, now)?;
        let read = Read {
            user: self.user_of(reply.session).name.clone(),
            purpose: ReadFor::Retract(reply),
            cursor: (cursor.epoch(), cursor.seq()),
            limit: 1,
            direction: s::Direction::forward,
            key,
        };
        let home = self.home_of(&read.key);
        self.ask(reply.session, home, Request::Read(Box::new(read)), fx)
    }

    pub(super) fn ephemeral(&mut self, reply: Reply, body: s::Ephemeral<'_>, fx: &mut Effects) -> Outcome {
        let address = address(body.conversation())?;
        let name = check_id("name", body.name())?.into();
        let bytes = body.body().map(|b| b.bytes()).unwrap_or_default();
        if bytes.len() > self.limits.ephemeral_bytes_max as usize {
            return Err(ErrorCode::body_too_large.into());
        }
        let sender = self.user_of(reply.session).name.clone();
        let key = Key::new(&sender, address);
        let home = self.home_of(&key);
        let request = Request::Ephemeral { key, sender, reply, name, body: Bytes::copy_from_slice(bytes) };
        self.ask(reply.session, home, request, fx)
    }

    /// To those who are there right now, but not back to the user who did it.
    pub(super) fn ephemeral_event(&mut self, key: &Key, sender: &str, name: &str, body: &[u8], fx: &mut Effects) {
        let receivers = self.receivers(key);
        let frame_for = |viewer: &str, fx: &mut Effects| {
            fx.frame(0, |b| {
                let conversation = Some(crate::wire::conversation(b, key.address(viewer)));
                let (sender, name) = (Some(b.create_string(sender)), Some(b.create_string(name)));
                let body = Some(b.create_vector(body));
                s::EphemeralEvent::create(b, &s::EphemeralEventArgs { conversation, sender, name, body })
            })
        };
        let mut frame = None;
        for index in receivers {
            let session = &self.sessions[index];
            let viewer = &self.users[session.user].name;
            if **viewer != *sender {
                // All who receive this here see it alike: the only viewer of a direct conversation besides the sender is his peer.
                let frame = frame.get_or_insert_with(|| frame_for(viewer, fx)).clone();
                fx.send(session.connection, frame, Weight::Ephemeral);
            }
        }
    }

    /// The connection had no room for an ephemeral event; the session is told at the next one that fits.
    pub fn ephemeral_dropped(&mut self, session: crate::mesh::SessionKey) {
        if self.session(session).is_some() {
            let dropped = &mut self.more(session).ephemeral_dropped;
            *dropped = dropped.saturating_add(1);
        }
    }

    /// There is room again: says how many ephemeral events were dropped meanwhile.
    pub(super) fn tell_dropped(&mut self, index: u32, fx: &mut Effects) {
        let Session { connection, more, .. } = &mut self.sessions[index];
        let count = more.as_mut().map_or(0, |more| std::mem::take(&mut more.ephemeral_dropped)).into();
        if count > 0 {
            let connection = *connection;
            fx.answer(connection, 0, |b| s::EphemeralDropped::create(b, &s::EphemeralDroppedArgs { count }));
        }
    }
}

fn content(body: s::Publish<'_>, body_bytes_max: usize) -> Result<Content, Failure> {
    let bytes = body.body().map(|b| b.bytes()).unwrap_or_default();
    if bytes.len() > body_bytes_max {
        return Err(ErrorCode::body_too_large.into());
    }
    let client_id = body.client_id().map(|id| check_id("client_id", Some(id))).transpose()?;
    Ok(Content {
        client_id: client_id.map(Into::into),
        content_type: short("content_type", body.content_type())?,
        tag: short("tag", body.tag())?,
        ttl_ms: body.ttl_ms(),
        ..Content::message(Bytes::copy_from_slice(bytes))
    })
}

/// A text of at most 64 bytes.
pub(super) fn short(field: &str, text: Option<&str>) -> Result<Option<Box<str>>, Failure> {
    match text {
        Some(text) if text.len() > ID_BYTES_MAX => Err(bad_request(format!("{field} is longer than 64 bytes"))),
        Some(text) if text.chars().any(char::is_control) => Err(bad_request(format!("{field} has control characters"))),
        text => Ok(text.map(Into::into)),
    }
}
