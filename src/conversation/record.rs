//! What a conversation's log is made of.

use bytes::Bytes;
use ecow::EcoString;

use crate::wire::schema::{RecordKind, Role};

/// The id of a user or device: up to 15 bytes stand in place, longer ones are shared.
pub type Name = EcoString;

/// Bits of [`Content::flags`].
pub mod flags {
    /// `created`: anyone may join the group.
    pub const OPEN: u8 = 1;
    /// `created`: a new member reads from the beginning.
    pub const WHOLE_HISTORY: u8 = 2;
    /// A message that was taken back; it has no body any more.
    pub const RETRACTED: u8 = 4;
    /// A change of members that is told, as it happens, only to the user whom it concerns.
    pub const QUIET: u8 = 8;
}

/// What somebody wants to be in the log: everything but the place that the home gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// A message, or which change of a group.
    pub kind: RecordKind,
    /// The sender's idempotency key.
    pub client_id: Option<Box<str>>,
    /// Media type of the body; text/plain if absent.
    pub content_type: Option<Box<str>>,
    /// What topic filters look at.
    pub tag: Option<Box<str>>,
    /// Whom a change of a group concerns.
    pub subject: Option<Name>,
    /// The role that the subject has from now on.
    pub role: Role,
    /// How long it is offered, in ms; 0: as long as the log keeps it.
    pub ttl_ms: u32,
    /// See [`flags`].
    pub flags: u8,
    /// `retracted`: the seq of the message that was taken back.
    pub target: u64,
    /// The message, or a group's title.
    pub body: Bytes,
}

impl Content {
    /// A message with nothing but a body.
    pub fn message(body: impl Into<Bytes>) -> Content {
        Content {
            kind: RecordKind::message,
            client_id: None,
            content_type: None,
            tag: None,
            subject: None,
            role: Role::none,
            ttl_ms: 0,
            flags: 0,
            target: 0,
            body: body.into(),
        }
    }

    /// A change of a group.
    pub fn change(kind: RecordKind, subject: Option<Name>, role: Role, body: Bytes) -> Content {
        Content { kind, subject, role, ..Content::message(body) }
    }

    /// Whether it changes the group that it stands in.
    pub fn is_change(&self) -> bool {
        !matches!(self.kind, RecordKind::message | RecordKind::retracted)
    }

    /// The same in a group of so many members that they are not all told who comes and leaves.
    pub fn quiet(self) -> Content {
        let is_quiet = matches!(self.kind, RecordKind::added | RecordKind::joined | RecordKind::removed | RecordKind::left);
        Content { flags: self.flags | if is_quiet { flags::QUIET } else { 0 }, ..self }
    }

    /// Whether receivers whom it does not concern are only told that its number passes by.
    pub fn is_quiet(&self) -> bool {
        self.flags & flags::QUIET != 0
    }

    fn bytes(&self) -> usize {
        let text = |t: &Option<Box<str>>| t.as_deref().map_or(0, str::len);
        self.body.len() + text(&self.client_id) + text(&self.content_type) + text(&self.tag)
    }
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of the log that it stands in.
    pub epoch: u64,
    /// 1, 2, 3 ... without holes.
    pub seq: u64,
    /// Server time; never goes back within a conversation.
    pub time_ms: u64,
    /// Who wrote it.
    pub sender: Name,
    /// What.
    pub content: Content,
}

impl Record {
    /// What it takes of a memory limit, about.
    pub fn memory_bytes(&self) -> usize {
        // The record itself, its reference counts, and the overhead of some four allocations.
        size_of::<Record>() + 96 + self.content.bytes()
    }

    /// What is left of it when its sender has taken it back.
    pub fn retracted(&self) -> Record {
        let content = Content {
            flags: self.content.flags | flags::RETRACTED,
            content_type: None,
            tag: self.content.tag.clone(),
            client_id: self.content.client_id.clone(),
            ttl_ms: self.content.ttl_ms,
            ..Content::message(Bytes::new())
        };
        Record { sender: self.sender.clone(), content, ..*self }
    }

    /// Whether it is no longer offered at this wall-clock time.
    pub fn is_expired(&self, wall_ms: u64) -> bool {
        self.content.ttl_ms != 0 && self.time_ms + u64::from(self.content.ttl_ms) <= wall_ms
    }
}
