//! What shards say to each other.
//!
//! A [`Request`] goes to a home and is answered by exactly one [`Event`] of the answering kind, which gives the credit back
//! ([`Event::is_answer`]). All other events are what a home sends to those who asked to hear of it. What a request needs to be answered travels with
//! it and comes back, so nobody keeps a table of open questions.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::conversation::{Content, Key, Name, Record};
use crate::net::Dress;
use crate::ring::Slot;
use crate::slot::ShardId;
use crate::wire::schema::{Direction, ErrorCode, ReceiptKind, Role, SkipReason};

/// Names a session on its home, for as long as that session lives: an index that is used again, and a count that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// Its place.
    pub index: u32,
    /// How often the place had been used before.
    pub generation: u32,
}

/// Which request of which session an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whose request.
    pub session: SessionKey,
    /// Its `ref`.
    pub reference: u64,
}

/// Collects the answers of several homes for one request: which collection, and which place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The collection.
    pub gather: u32,
    /// The place in it.
    pub index: u32,
}

/// Why a home did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code that the client gets.
    pub code: ErrorCode,
    /// When to try again, for the codes that mean it.
    pub retry_after_ms: u32,
}

impl Refusal {
    /// A refusal for good.
    pub fn new(code: ErrorCode) -> Refusal {
        Refusal { code, retry_after_ms: 0 }
    }

    /// Come back in a moment.
    pub fn busy() -> Refusal {
        Refusal { code: ErrorCode::busy, retry_after_ms: 50 }
    }
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    /// The members besides the creator; all of them have been hinted.
    Create {
        title: Bytes,
        open: bool,
        whole_history: bool,
        members: Vec<Name>,
    },
    Title {
        title: Bytes,
    },
    Add {
        user: Name,
        role: Role,
    },
    Remove {
        user: Name,
    },
    Join,
    Leave,
    SetRole {
        user: Name,
        role: Role,
    },
    Disband,
}

/// Somebody wants to change a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct GroupChange {
    pub key: Key,
    pub actor: Name,
    pub reply: Reply,
    pub change: Change,
    /// Users whose list must know the conversation before the change is asked for; the last is next.
    pub hints: Vec<Name>,
}

/// Somebody wants to say something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Publish {
    pub key: Key,
    pub sender: Name,
    pub reply: Reply,
    pub content: Content,
}

/// Why a range of a log is read, and so where the page goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFor {
    /// The answer to a sync.
    Sync(Reply),
    /// A session that catches up with a conversation.
    CatchUp(SessionKey),
    /// A shard whose fan-out fell behind.
    Mirror,
    /// Its sender wants to take back the record at the cursor.
    Retract(Reply),
}

/// A range of a log is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Read {
    pub key: Key,
    pub user: Name,
    pub purpose: ReadFor,
    /// Everything up to here is known (backward: not wanted from here on down).
    pub cursor: (u64, u64),
    pub limit: u32,
    pub direction: Direction,
}

/// What a home is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Request {
    // ---- to a conversation's home
    Publish(Box<Publish>),
    Change(Box<GroupChange>),
    /// A session wants to receive the conversation.
    Attach {
        key: Key,
        user: Name,
        session: SessionKey,
    },
    /// So many of the attachments of the asking shard are over. Void if the group has been founded anew since.
    Detach {
        key: Key,
        epoch: u64,
        attachments: u32,
    },
    Read(Box<Read>),
    Members {
        key: Key,
        user: Name,
        reply: Reply,
        after: Option<Name>,
        limit: u32,
    },
    /// What a list of conversations says of one.
    Describe {
        key: Key,
        user: Name,
        part: Part,
    },
    Receipt {
        key: Key,
        user: Name,
        reply: Reply,
        kind: ReceiptKind,
        cursor: (u64, u64),
    },
    Ephemeral {
        key: Key,
        sender: Name,
        reply: Reply,
        name: Box<str>,
        body: Bytes,
    },
    /// Which shards have receivers?
    Receivers {
        key: Key,
        user: Name,
        part: Part,
    },
    // ---- to the shard of receivers
    CountReceivers {
        key: Key,
        part: Part,
    },
    // ---- to a user's home
    /// Put the conversation into the user's list before the record that it points to is written.
    Hint {
        user: Name,
        key: Key,
        then: Then,
    },
    /// Is he there? With `watch`, tell the session at each change too. `shared` are the groups of the asker, hashed.
    Presence {
        user: Name,
        asker: Name,
        shared: Arc<[u64]>,
        watch: Option<SessionKey>,
        part: Part,
    },
    Unwatch {
        user: Name,
        session: SessionKey,
    },
}

impl Request {
    /// The conversation whose home is asked; `None`: a user's home is.
    pub fn conversation(&self) -> Option<&Key> {
        match self {
            Request::Publish(publish) => Some(&publish.key),
            Request::Change(change) => Some(&change.key),
            Request::Read(read) => Some(&read.key),
            Request::Attach { key, .. }
            | Request::Detach { key, .. }
            | Request::Members { key, .. }
            | Request::Describe { key, .. }
            | Request::Receipt { key, .. }
            | Request::Ephemeral { key, .. }
            | Request::Receivers { key, .. } => Some(key),
            Request::CountReceivers { .. } | Request::Hint { .. } | Request::Presence { .. } | Request::Unwatch { .. } => None,
        }
    }
}

/// What is to be done once a hint is in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Then {
    /// Go on with the change.
    Change(Box<GroupChange>),
    /// Go on with the change of this number at the asking shard, when all that it hints are hinted.
    Open { change: u32 },
    /// Send what `sender` has published meanwhile.
    Publish { sender: Name },
    /// Nobody waits for it.
    Nothing,
}

/// Where a conversation stands, as far as one user may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the log.
    pub epoch: u64,
    /// First kept seq; committed + 1 if nothing is kept.
    pub first: u64,
    /// Last seq.
    pub committed: u64,
    /// First seq that this user may read.
    pub visible_from: u64,
}

/// A record's place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Placed {
    pub epoch: u64,
    pub seq: u64,
    pub time_ms: u64,
    pub duplicate: bool,
}

/// Numbers that will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Skipped {
    pub from: u64,
    pub to: u64,
    pub why: SkipReason,
}

/// A range of a log, as far as one answer carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the conversation stood when this was read.
    pub head: Head,
    /// The cursor could not be honoured.
    pub gap: bool,
    /// Ascending.
    pub records: Vec<Arc<Record>>,
    /// Ascending, between the records.
    pub skips: Vec<Skipped>,
    /// The cursor for what comes next in the same direction.
    pub next: u64,
    /// Whether anything comes next.
    pub has_more: bool,
}

/// One line of a list of members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MemberLine {
    pub user: Name,
    pub role: Role,
    pub joined: u64,
    pub delivered: u64,
    pub read: u64,
}

/// What a list of conversations says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Description {
    pub head: Head,
    pub title: Bytes,
    pub role: Role,
    pub read: u64,
}

/// What a home says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    // ---- answers
    Placed {
        reply: Reply,
        result: Result<Placed, Refusal>,
    },
    Changed {
        key: Key,
        reply: Reply,
        created: bool,
        result: Result<Placed, Refusal>,
    },
    Attached {
        key: Key,
        session: SessionKey,
        result: Result<Head, Refusal>,
    },
    Detached,
    /// `cursor`: from where it was asked.
    Page {
        key: Key,
        purpose: ReadFor,
        cursor: (u64, u64),
        result: Result<Box<Page>, Refusal>,
    },
    Members {
        key: Key,
        reply: Reply,
        result: Result<(Vec<MemberLine>, bool), Refusal>,
    },
    Described {
        part: Part,
        description: Result<Box<Description>, Refusal>,
    },
    Done {
        reply: Reply,
        result: Result<(), Refusal>,
    },
    /// The answer to a receipt, with what it said.
    Noted {
        key: Key,
        reply: Reply,
        kind: ReceiptKind,
        cursor: (u64, u64),
        result: Result<(), Refusal>,
    },
    Receivers {
        key: Key,
        part: Part,
        result: Result<SmallVec<[ShardId; 8]>, Refusal>,
    },
    Counted {
        part: Part,
        sessions: u64,
    },
    Hinted {
        key: Key,
        then: Then,
        result: Result<(), Refusal>,
    },
    PresenceIs {
        part: Part,
        online: bool,
        last_seen_ms: u64,
    },
    Unwatched,
    // ---- news
    /// The next record of a conversation with receivers here. The session that published it has its ack instead.
    Delivered {
        key: Key,
        record: Arc<Record>,
        publisher: Option<SessionKey>,
    },
    /// A user of this home is a member from this record on. If one of his sessions wrote it, that session has its ack.
    MemberAdded {
        key: Key,
        user: Name,
        place: (u64, u64),
        publisher: Option<SessionKey>,
    },
    /// A user of this home was hinted that he would become a member, and does not.
    NotAdded {
        key: Key,
        user: Name,
    },
    Receipted {
        key: Key,
        user: Name,
        kind: ReceiptKind,
        cursor: (u64, u64),
        origin: Option<SessionKey>,
    },
    Ephemeral {
        key: Key,
        sender: Name,
        name: Box<str>,
        body: Bytes,
    },
    PresenceChanged {
        session: SessionKey,
        user: Name,
        online: bool,
        last_seen_ms: u64,
    },
    /// A connection has come to the home of the user that it logs in.
    HandedOver(Box<HandedOver>),
}

/// A connection on its way to its user's home. Its socket is in a slot of the receiving ring already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// Where the socket is now.
    pub slot: Slot,
    /// What it speaks.
    pub dress: Dress,
    /// The connect frame, and then all that it has sent behind that.
    pub bytes: Vec<u8>,
    /// When it must have logged in, in the receiver's own clock's terms: so many ms are left.
    pub login_left_ms: u64,
}

/// Messages are moved through queues: what is large stands in a box.
const _: () = assert!(size_of::<Request>() <= 112 && size_of::<Event>() <= 112);

impl Event {
    /// Whether this answers a request, and so gives its credit back.
    pub fn is_answer(&self) -> bool {
        !matches!(
            self,
            Event::Delivered { .. }
                | Event::MemberAdded { .. }
                | Event::NotAdded { .. }
                | Event::Receipted { .. }
                | Event::Ephemeral { .. }
                | Event::PresenceChanged { .. }
                | Event::HandedOver(_)
        )
    }
}
