//! From frames to values. A frame that lacks what its verb cannot do without is [`Malformed`].

use campanile::wire::schema::{self as s, Body};
use campanile::wire::{self, Malformed};

use crate::Conversation;
use crate::machine::Incoming;
use crate::request::Answer;
use crate::values::{
    Ack, ConversationInfo, ConversationsPage, Cursor, EphemeralEvent, Gap, GroupCreated, Member, MembersPage, Message, Page,
    PresenceAnswer, ReceiptEvent, Skip, Subscribed, UserPresence, Welcome,
};

/// Reads one whole frame, prefix included. None: a verb of a newer protocol, which a client ignores.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<Incoming>, Malformed> {
    let frame = wire::read(bytes)?;
    let answer = |answer: Answer| Incoming::Answer { reference: frame.ref_(), answer };
    let incoming = match frame.body_type() {
        Body::Welcome => Incoming::Welcome(welcome(some(frame.body_as_welcome())?)),
        Body::GoAway => go_away(some(frame.body_as_go_away())?),
        Body::Ping => Incoming::Ping,
        Body::Error => error(frame.ref_(), some(frame.body_as_error())?)?,
        Body::Message => Incoming::Message(message(some(frame.body_as_message())?)?),
        Body::Gap => Incoming::Gap(gap(some(frame.body_as_gap())?)?),
        Body::Skip => Incoming::Skip(skip(some(frame.body_as_skip())?)?),
        Body::ReceiptEvent => Incoming::Receipt(receipt(some(frame.body_as_receipt_event())?)?),
        Body::PresenceEvent => Incoming::Presence(presence_event(some(frame.body_as_presence_event())?)),
        Body::EphemeralEvent => Incoming::Ephemeral(ephemeral(some(frame.body_as_ephemeral_event())?)?),
        Body::EphemeralDropped => Incoming::EphemeralDropped { count: some(frame.body_as_ephemeral_dropped())?.count() },
        Body::Pong => answer(Answer::Pong { server_time_ms: some(frame.body_as_pong())?.server_time_ms() }),
        Body::Ack => answer(Answer::Ack(ack(some(frame.body_as_ack())?))),
        Body::Subscribed => answer(Answer::Subscribed(subscribed(some(frame.body_as_subscribed())?)?)),
        Body::Page => answer(Answer::Page(page(some(frame.body_as_page())?)?)),
        Body::GroupCreated => answer(Answer::GroupCreated(group_created(some(frame.body_as_group_created())?)?)),
        Body::MembersPage => answer(Answer::Members(members(some(frame.body_as_members_page())?)?)),
        Body::ConversationsPage => answer(Answer::Conversations(conversations(some(frame.body_as_conversations_page())?)?)),
        Body::PresenceAnswer => answer(Answer::Presence(presence(some(frame.body_as_presence_answer())?))),
        Body::Done => answer(Answer::Done),
        _ => return Ok(None),
    };
    Ok(Some(incoming))
}

fn some<T>(field: Option<T>) -> Result<T, Malformed> {
    field.ok_or(Malformed)
}

fn owned(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn place(cursor: &s::Cursor) -> Cursor {
    Cursor { epoch: cursor.epoch(), seq: cursor.seq() }
}

fn conversation(wire: Option<s::Conversation<'_>>) -> Result<Conversation, Malformed> {
    wire::address(wire).map(Conversation::from).map_err(|_| Malformed)
}

fn welcome(w: s::Welcome<'_>) -> Welcome {
    Welcome {
        session: w.session(),
        user: owned(w.user()),
        server_time_ms: w.server_time_ms(),
        heartbeat_ms: w.heartbeat_ms(),
        idle_timeout_ms: w.idle_timeout_ms(),
        window: w.window(),
        frame_bytes_max: w.frame_bytes_max(),
        body_bytes_max: w.body_bytes_max(),
        page_messages_max: w.page_messages_max(),
        subscriptions_max: w.subscriptions_max(),
        features: w.features(),
        server: owned(w.server()),
        resume_max: w.resume_max(),
        dedupe_ms: w.dedupe_ms(),
    }
}

fn go_away(w: s::GoAway<'_>) -> Incoming {
    Incoming::GoAway { code: w.code(), message: owned(w.message()), reconnect_after_ms: w.reconnect_after_ms() }
}

fn error(reference: u64, w: s::Error<'_>) -> Result<Incoming, Malformed> {
    let about = w.conversation().map(|about| conversation(Some(about))).transpose()?;
    let (code, message, retry_after_ms) = (w.code(), owned(w.message()), w.retry_after_ms());
    Ok(Incoming::Error { reference, code, message, retry_after_ms, about })
}

fn message(w: s::Message<'_>) -> Result<Message, Malformed> {
    Ok(Message {
        conversation: conversation(w.conversation())?,
        epoch: w.epoch(),
        seq: w.seq(),
        time_ms: w.time_ms(),
        sender: owned(w.sender()),
        client_id: w.client_id().map(str::to_owned),
        content_type: w.content_type().map(str::to_owned),
        body: w.body().map_or_else(Vec::new, |body| body.bytes().to_vec()),
        ttl_ms: w.ttl_ms(),
        tag: w.tag().map(str::to_owned),
        kind: w.kind(),
        subject: w.subject().map(str::to_owned),
        role: w.role(),
        target: w.target(),
        is_retracted: w.is_retracted(),
    })
}

fn gap(w: s::Gap<'_>) -> Result<Gap, Malformed> {
    Ok(Gap { conversation: conversation(w.conversation())?, epoch: w.epoch(), first: w.first(), committed: w.committed() })
}

fn skip(w: s::Skip<'_>) -> Result<Skip, Malformed> {
    let conversation = conversation(w.conversation())?;
    Ok(Skip { conversation, epoch: w.epoch(), from: w.from(), to: w.to(), why: w.why() })
}

fn receipt(w: s::ReceiptEvent<'_>) -> Result<ReceiptEvent, Malformed> {
    let cursor = Cursor { epoch: w.epoch(), seq: w.seq() };
    Ok(ReceiptEvent { conversation: conversation(w.conversation())?, user: owned(w.user()), kind: w.kind(), cursor })
}

fn presence_event(w: s::PresenceEvent<'_>) -> UserPresence {
    UserPresence { user: owned(w.user()), online: w.online(), last_seen_ms: w.last_seen_ms() }
}

fn ephemeral(w: s::EphemeralEvent<'_>) -> Result<EphemeralEvent, Malformed> {
    let body = w.body().map_or_else(Vec::new, |body| body.bytes().to_vec());
    Ok(EphemeralEvent { conversation: conversation(w.conversation())?, sender: owned(w.sender()), name: owned(w.name()), body })
}

fn ack(w: s::Ack<'_>) -> Ack {
    Ack { cursor: Cursor { epoch: w.epoch(), seq: w.seq() }, time_ms: w.time_ms(), duplicate: w.duplicate() }
}

fn subscribed(w: s::Subscribed<'_>) -> Result<Subscribed, Malformed> {
    let conversation = conversation(w.conversation())?;
    Ok(Subscribed { conversation, epoch: w.epoch(), first: w.first(), committed: w.committed(), next: w.next() })
}

fn page(w: s::Page<'_>) -> Result<Page, Malformed> {
    Ok(Page {
        conversation: conversation(w.conversation())?,
        epoch: w.epoch(),
        first: w.first(),
        committed: w.committed(),
        messages: w.messages().into_iter().flatten().map(message).collect::<Result<_, _>>()?,
        skips: w.skips().into_iter().flatten().map(skip).collect::<Result<_, _>>()?,
        gap: w.gap().map(gap).transpose()?,
        next: w.next().map(place).unwrap_or_default(),
        has_more: w.has_more(),
    })
}

fn group_created(w: s::GroupCreated<'_>) -> Result<GroupCreated, Malformed> {
    let cursor = Cursor { epoch: w.epoch(), seq: w.seq() };
    Ok(GroupCreated { conversation: conversation(w.conversation())?, cursor, time_ms: w.time_ms() })
}

fn members(w: s::MembersPage<'_>) -> Result<MembersPage, Malformed> {
    let member = |m: s::Member<'_>| Member {
        user: owned(m.user()),
        role: m.role(),
        joined: m.joined(),
        delivered: m.delivered(),
        read: m.read(),
    };
    let members = w.members().into_iter().flatten().map(member).collect();
    Ok(MembersPage { conversation: conversation(w.conversation())?, members, has_more: w.has_more() })
}

fn conversations(w: s::ConversationsPage<'_>) -> Result<ConversationsPage, Malformed> {
    let info = |i: s::ConversationInfo<'_>| {
        Ok(ConversationInfo {
            conversation: conversation(i.conversation())?,
            title: i.title().map(str::to_owned),
            role: i.role(),
            epoch: i.epoch(),
            first: i.first(),
            committed: i.committed(),
            read: i.read(),
            unread: i.unread(),
        })
    };
    let items = w.items().into_iter().flatten().map(info).collect::<Result<_, _>>()?;
    Ok(ConversationsPage { items, next: w.next(), has_more: w.has_more() })
}

fn presence(w: s::PresenceAnswer<'_>) -> PresenceAnswer {
    let user =
        |u: s::UserPresence<'_>| UserPresence { user: owned(u.user()), online: u.online(), last_seen_ms: u.last_seen_ms() };
    PresenceAnswer { users: w.users().into_iter().flatten().map(user).collect(), sessions: w.sessions() }
}
