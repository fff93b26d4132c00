//! Frames of the server as values that can be kept and compared.

use campanile::wire::schema as s;
use campanile::wire::schema::{Body, CloseCode, ConversationKind, ErrorCode, Frame, ReceiptKind, RecordKind, Role, SkipReason};

/// The body of a frame. Conversations are written as people write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Welcome {
        user: String,
        session: u64,
        window: u32,
        heartbeat_ms: u32,
        subscriptions_max: u32,
    },
    Ping,
    Pong,
    GoAway {
        code: CloseCode,
        reconnect_after_ms: u32,
    },
    Error {
        code: ErrorCode,
        message: String,
        retry_after_ms: u32,
    },
    Ack(Ack),
    Message(Message),
    Gap(Gap),
    Skip(Skip),
    Subscribed {
        conversation: String,
        epoch: u64,
        first: u64,
        committed: u64,
    },
    Page(Page),
    GroupCreated {
        conversation: String,
        epoch: u64,
        seq: u64,
    },
    Members {
        members: Vec<Member>,
        has_more: bool,
    },
    Conversations {
        items: Vec<Info>,
        next: u32,
        has_more: bool,
    },
    Receipt {
        conversation: String,
        user: String,
        kind: ReceiptKind,
        seq: u64,
    },
    Presence {
        users: Vec<(String, bool)>,
        sessions: u64,
    },
    PresenceChanged {
        user: String,
        online: bool,
    },
    Ephemeral {
        conversation: String,
        sender: String,
        name: String,
        body: Vec<u8>,
    },
    EphemeralDropped {
        count: u64,
    },
    Done,
    Other(Body),
    /// The server has closed the connection.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub epoch: u64,
    pub seq: u64,
    pub time_ms: u64,
    pub duplicate: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub conversation: String,
    pub epoch: u64,
    pub seq: u64,
    pub time_ms: u64,
    pub sender: String,
    pub client_id: String,
    pub content_type: String,
    pub body: Vec<u8>,
    pub ttl_ms: u32,
    pub tag: String,
    pub kind: RecordKind,
    pub subject: String,
    pub role: Role,
    pub target: u64,
    pub is_retracted: bool,
}

impl Message {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn cursor(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub conversation: String,
    pub epoch: u64,
    pub first: u64,
    pub committed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    pub conversation: String,
    pub epoch: u64,
    pub from: u64,
    pub to: u64,
    pub why: SkipReason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub epoch: u64,
    pub first: u64,
    pub committed: u64,
    pub messages: Vec<Message>,
    pub skips: Vec<Skip>,
    pub gap: Option<Gap>,
    pub next: (u64, u64),
    pub has_more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub user: String,
    pub role: Role,
    pub joined: u64,
    pub delivered: u64,
    pub read: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub conversation: String,
    pub title: String,
    pub role: Role,
    pub committed: u64,
    pub read: u64,
    pub unread: u64,
}

/// A frame as a value.
pub fn seen(frame: Frame<'_>) -> Seen {
    macro_rules! body {
        ($as:ident) => {
            frame.$as().expect("a body of the tag's type")
        };
    }
    match frame.body_type() {
        Body::Welcome => welcome(body!(body_as_welcome)),
        Body::Ping => Seen::Ping,
        Body::Pong => Seen::Pong,
        Body::GoAway => {
            let b = body!(body_as_go_away);
            Seen::GoAway { code: b.code(), reconnect_after_ms: b.reconnect_after_ms() }
        }
        Body::Error => {
            let b = body!(body_as_error);
            Seen::Error { code: b.code(), message: text(b.message()), retry_after_ms: b.retry_after_ms() }
        }
        Body::Ack => {
            let b = body!(body_as_ack);
            Seen::Ack(Ack { epoch: b.epoch(), seq: b.seq(), time_ms: b.time_ms(), duplicate: b.duplicate() })
        }
        Body::Message => Seen::Message(message(body!(body_as_message))),
        Body::Gap => Seen::Gap(gap(body!(body_as_gap))),
        Body::Skip => Seen::Skip(skip(body!(body_as_skip))),
        Body::Subscribed => {
            let b = body!(body_as_subscribed);
            let conversation = name(b.conversation());
            Seen::Subscribed { conversation, epoch: b.epoch(), first: b.first(), committed: b.committed() }
        }
        Body::Page => Seen::Page(page(body!(body_as_page))),
        Body::GroupCreated => {
            let b = body!(body_as_group_created);
            Seen::GroupCreated { conversation: name(b.conversation()), epoch: b.epoch(), seq: b.seq() }
        }
        Body::MembersPage => {
            let b = body!(body_as_members_page);
            Seen::Members { members: b.members().unwrap_or_default().iter().map(member).collect(), has_more: b.has_more() }
        }
        Body::ConversationsPage => {
            let b = body!(body_as_conversations_page);
            let items = b.items().unwrap_or_default().iter().map(info).collect();
            Seen::Conversations { items, next: b.next(), has_more: b.has_more() }
        }
        Body::ReceiptEvent => {
            let b = body!(body_as_receipt_event);
            Seen::Receipt { conversation: name(b.conversation()), user: text(b.user()), kind: b.kind(), seq: b.seq() }
        }
        Body::PresenceAnswer => {
            let b = body!(body_as_presence_answer);
            let users = b.users().unwrap_or_default().iter().map(|user| (text(user.user()), user.online())).collect();
            Seen::Presence { users, sessions: b.sessions() }
        }
        Body::PresenceEvent => {
            let b = body!(body_as_presence_event);
            Seen::PresenceChanged { user: text(b.user()), online: b.online() }
        }
        Body::EphemeralEvent => {
            let b = body!(body_as_ephemeral_event);
            let body = b.body().map(|b| b.bytes().to_vec()).unwrap_or_default();
            Seen::Ephemeral { conversation: name(b.conversation()), sender: text(b.sender()), name: text(b.name()), body }
        }
        Body::EphemeralDropped => Seen::EphemeralDropped { count: body!(body_as_ephemeral_dropped).count() },
        Body::Done => Seen::Done,
        other => Seen::Other(other),
    }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn name(conversation: Option<s::Conversation<'_>>) -> String {
    let Some(conversation) = conversation else { return String::new() };
    let id = conversation.id().unwrap_or_default();
    match conversation.kind() {
        ConversationKind::broadcast => "broadcast".into(),
        kind => format!("{}:{id}", kind.variant_name().expect("a known kind")),
    }
}

fn welcome(b: s::Welcome<'_>) -> Seen {
    Seen::Welcome {
        user: text(b.user()),
        session: b.session(),
        window: b.window(),
        heartbeat_ms: b.heartbeat_ms(),
        subscriptions_max: b.subscriptions_max(),
    }
}

fn message(b: s::Message<'_>) -> Message {
    Message {
        conversation: name(b.conversation()),
        epoch: b.epoch(),
        seq: b.seq(),
        time_ms: b.time_ms(),
        sender: text(b.sender()),
        client_id: text(b.client_id()),
        content_type: text(b.content_type()),
        body: b.body().map(|b| b.bytes().to_vec()).unwrap_or_default(),
        ttl_ms: b.ttl_ms(),
        tag: text(b.tag()),
        kind: b.kind(),
        subject: text(b.subject()),
        role: b.role(),
        target: b.target(),
        is_retracted: b.is_retracted(),
    }
}

fn gap(b: s::Gap<'_>) -> Gap {
    Gap { conversation: name(b.conversation()), epoch: b.epoch(), first: b.first(), committed: b.committed() }
}

fn skip(b: s::Skip<'_>) -> Skip {
    Skip { conversation: name(b.conversation()), epoch: b.epoch(), from: b.from(), to: b.to(), why: b.why() }
}

fn page(b: s::Page<'_>) -> Page {
    Page {
        epoch: b.epoch(),
        first: b.first(),
        committed: b.committed(),
        messages: b.messages().unwrap_or_default().iter().map(message).collect(),
        skips: b.skips().unwrap_or_default().iter().map(skip).collect(),
        gap: b.gap().map(gap),
        next: b.next().map_or((0, 0), |cursor| (cursor.epoch(), cursor.seq())),
        has_more: b.has_more(),
    }
}

fn member(b: s::Member<'_>) -> Member {
    Member { user: text(b.user()), role: b.role(), joined: b.joined(), delivered: b.delivered(), read: b.read() }
}

fn info(b: s::ConversationInfo<'_>) -> Info {
    Info {
        conversation: name(b.conversation()),
        title: text(b.title()),
        role: b.role(),
        committed: b.committed(),
        read: b.read(),
        unread: b.unread(),
    }
}
