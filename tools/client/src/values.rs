//! What travels in requests, answers and events, owned. Names are those of the schema, where the meaning of each field is told.

use campanile::wire::schema::{Direction, ReceiptKind, RecordKind, Role, SkipReason};

use crate::Conversation;

/// A place in a conversation's log: "I have everything up to and including `seq` of this `epoch`".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// Changes whenever the log may have lost something that it has shown.
    pub epoch: u64,
    /// 0: nothing yet.
    pub seq: u64,
}

/// What the server said when it let this client in. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Welcome {
    pub session: u64,
    pub user: String,
    pub server_time_ms: u64,
    pub heartbeat_ms: u32,
    pub idle_timeout_ms: u32,
    pub window: u32,
    pub frame_bytes_max: u32,
    pub body_bytes_max: u32,
    pub page_messages_max: u32,
    pub subscriptions_max: u32,
    pub features: u64,
    pub server: String,
    pub resume_max: u32,
    pub dedupe_ms: u32,
}

/// A message to be published. [`Publish::text`] fills in what most need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Where to.
    pub conversation: Conversation,
    /// The idempotency key, 1 - 64 bytes. None: the library makes one, which is what lets it send again without doubling.
    pub client_id: Option<String>,
    /// At most 64 bytes; None: `text/plain`.
    pub content_type: Option<String>,
    /// At most `body_bytes_max` of the welcome.
    pub body: Vec<u8>,
    /// Milliseconds; 0: as long as the conversation keeps it.
    pub ttl_ms: u32,
    /// What the filters of a topic look at, at most 64 bytes.
    pub tag: Option<String>,
}

impl Publish {
    /// A text message.
    pub fn text(conversation: Conversation, text: impl Into<String>) -> Publish {
        let body = text.into().into_bytes();
        Publish { conversation, client_id: None, content_type: None, body, ttl_ms: 0, tag: None }
    }

    /// The same message with a tag for the filters of a topic.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Publish {
        self.tag = Some(tag.into());
        self
    }
}

/// The place that a record took in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The place.
    pub cursor: Cursor,
    /// The server's time, milliseconds since 1970.
    pub time_ms: u64,
    /// It had been published before; this is the place of the first one.
    pub duplicate: bool,
}

/// A record of a conversation: what a user published, a change of a group, or that a message was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Message {
    pub conversation: Conversation,
    pub epoch: u64,
    pub seq: u64,
    pub time_ms: u64,
    pub sender: String,
    pub client_id: Option<String>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
    pub ttl_ms: u32,
    pub tag: Option<String>,
    pub kind: RecordKind,
    pub subject: Option<String>,
    pub role: Role,
    /// `retracted`: the seq of the message that its sender took back.
    pub target: u64,
    /// It was taken back: its body is gone.
    pub is_retracted: bool,
}

impl Message {
    /// The message's place.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.seq }
    }

    /// The body as text, if it is text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }
}

/// The cursor that was presented does not fit the log; what follows begins at `first`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where.
    pub conversation: Conversation,
    /// The log's epoch now.
    pub epoch: u64,
    /// First seq that is kept; `committed + 1` if nothing is.
    pub first: u64,
    /// Last seq that is committed.
    pub committed: u64,
}

/// `from ..= to` are numbered and will not come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Skip {
    pub conversation: Conversation,
    pub epoch: u64,
    pub from: u64,
    pub to: u64,
    pub why: SkipReason,
}

/// Where a conversation stood when it began to be received, and where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Subscribed {
    pub conversation: Conversation,
    pub epoch: u64,
    pub first: u64,
    pub committed: u64,
    pub next: u64,
}

impl Subscribed {
    /// The cursor before the first message that comes.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.next.saturating_sub(1) }
    }
}

/// Which page of history is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// Of which conversation.
    pub conversation: Conversation,
    /// Forward: from the seq after it. Backward: from it down; seq 0: from the newest.
    pub cursor: Cursor,
    /// Messages; 0: as many as the server gives.
    pub limit: u32,
    /// Which way.
    pub direction: Direction,
}

/// One page of history, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Page {
    pub conversation: Conversation,
    pub epoch: u64,
    pub first: u64,
    pub committed: u64,
    pub messages: Vec<Message>,
    pub skips: Vec<Skip>,
    pub gap: Option<Gap>,
    /// Give it to the next [`Sync`] of the same direction.
    pub next: Cursor,
    pub has_more: bool,
}

/// A group to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCreate {
    /// None: the server makes one.
    pub id: Option<String>,
    /// At most 256 bytes.
    pub title: Option<String>,
    /// Anyone may join.
    pub open: bool,
    /// A new member reads from the beginning.
    pub whole_history: bool,
    /// At most 100; more are added later.
    pub members: Vec<String>,
}

/// The group that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCreated {
    /// Its address.
    pub conversation: Conversation,
    /// The place of its first record.
    pub cursor: Cursor,
    /// The server's time, milliseconds since 1970.
    pub time_ms: u64,
}

/// One member of a group, or one side of a direct conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Member {
    pub user: String,
    pub role: Role,
    pub joined: u64,
    pub delivered: u64,
    pub read: u64,
}

/// Some members, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MembersPage {
    pub conversation: Conversation,
    pub members: Vec<Member>,
    pub has_more: bool,
}

/// One of the user's conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ConversationInfo {
    pub conversation: Conversation,
    pub title: Option<String>,
    pub role: Role,
    pub epoch: u64,
    pub first: u64,
    pub committed: u64,
    pub read: u64,
    pub unread: u64,
}

/// Some of the user's conversations, in the order in which he came to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationsPage {
    /// The conversations.
    pub items: Vec<ConversationInfo>,
    /// Give it as `after` of the next request.
    pub next: u32,
    /// There are more.
    pub has_more: bool,
}

/// "Up to here."
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ReceiptEvent {
    pub conversation: Conversation,
    pub user: String,
    pub kind: ReceiptKind,
    pub cursor: Cursor,
}

/// Whether a user has a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct UserPresence {
    pub user: String,
    pub online: bool,
    pub last_seen_ms: u64,
}

/// Answer to a presence query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceAnswer {
    /// One for each user asked about.
    pub users: Vec<UserPresence>,
    /// Sessions that receive the group asked about.
    pub sessions: u64,
}

/// Typing and the like: never stored, the first thing to be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct EphemeralEvent {
    pub conversation: Conversation,
    pub sender: String,
    pub name: String,
    pub body: Vec<u8>,
}
