//! The frames that a server sends, built from the server's own values.

use flatbuffers::WIPOffset;

use crate::conversation::{Record, flags};
use crate::id::Address;
use crate::mesh::{Description, Head, MemberLine, Page, Placed, Refusal, Skipped};
use crate::wire::schema::{self as s, Cursor, RecordKind};
use crate::wire::{Fbb, conversation};

type Offset<T> = WIPOffset<T>;

/// A record, as the reader who calls its conversation `address` sees it.
pub fn message(b: &mut Fbb, address: Address<'_>, record: &Record) -> Offset<s::Message<'static>> {
    let content = &record.content;
    let conversation = Some(conversation(b, address));
    let sender = Some(b.create_string(&record.sender));
    let client_id = content.client_id.as_deref().map(|t| b.create_string(t));
    let content_type = content.content_type.as_deref().map(|t| b.create_string(t));
    let tag = content.tag.as_deref().map(|t| b.create_string(t));
    let subject = content.subject.as_deref().map(|t| b.create_string(t));
    let with_body = content.kind == RecordKind::message || !content.body.is_empty();
    let body = with_body.then(|| b.create_vector(&content.body));
    s::Message::create(
        b,
        &s::MessageArgs {
            conversation,
            epoch: record.epoch,
            seq: record.seq,
            time_ms: record.time_ms,
            sender,
            client_id,
            content_type,
            body,
            ttl_ms: content.ttl_ms,
            tag,
            kind: content.kind,
            subject,
            role: content.role,
            target: content.target,
            is_retracted: content.flags & flags::RETRACTED != 0,
        },
    )
}

/// What went wrong with a request, or with a conversation that was to be resumed.
pub fn error(b: &mut Fbb, refusal: Refusal, message: &str, about: Option<Address<'_>>) -> Offset<s::Error<'static>> {
    let message = Some(b.create_string(message));
    let conversation = about.map(|address| conversation(b, address));
    let Refusal { code, retry_after_ms } = refusal;
    s::Error::create(b, &s::ErrorArgs { code, message, retry_after_ms, conversation })
}

/// A place in the log.
pub fn ack(b: &mut Fbb, placed: Placed) -> Offset<s::Ack<'static>> {
    let Placed { epoch, seq, time_ms, duplicate } = placed;
    s::Ack::create(b, &s::AckArgs { epoch, seq, time_ms, duplicate })
}

/// A new group's place.
pub fn group_created(b: &mut Fbb, address: Address<'_>, placed: Placed) -> Offset<s::GroupCreated<'static>> {
    let conversation = Some(conversation(b, address));
    let Placed { epoch, seq, time_ms, .. } = placed;
    s::GroupCreated::create(b, &s::GroupCreatedArgs { conversation, epoch, seq, time_ms })
}

/// The cursor cannot be honoured.
pub fn gap(b: &mut Fbb, address: Address<'_>, head: Head) -> Offset<s::Gap<'static>> {
    let conversation = Some(conversation(b, address));
    s::Gap::create(b, &s::GapArgs { conversation, epoch: head.epoch, first: head.first, committed: head.committed })
}

/// Numbers that will not come.
pub fn skip(b: &mut Fbb, address: Address<'_>, epoch: u64, skipped: Skipped) -> Offset<s::Skip<'static>> {
    let conversation = Some(conversation(b, address));
    let Skipped { from, to, why } = skipped;
    s::Skip::create(b, &s::SkipArgs { conversation, epoch, from, to, why })
}

/// A conversation is received from `next` on.
pub fn subscribed(b: &mut Fbb, address: Address<'_>, head: Head, next: u64) -> Offset<s::Subscribed<'static>> {
    let conversation = Some(conversation(b, address));
    let Head { epoch, first, committed, .. } = head;
    s::Subscribed::create(b, &s::SubscribedArgs { conversation, epoch, first, committed, next })
}

/// A page of history. The conversation is named once, not in each message.
pub fn page(b: &mut Fbb, address: Address<'_>, page: &Page) -> Offset<s::Page<'static>> {
    let messages: Vec<_> = page.records.iter().map(|record| message(b, address, record)).collect();
    let messages = Some(b.create_vector(&messages));
    let skips: Vec<_> = page.skips.iter().map(|&skipped| skip(b, address, page.head.epoch, skipped)).collect();
    let skips = Some(b.create_vector(&skips));
    let gap = page.gap.then(|| gap(b, address, page.head));
    let conversation = Some(conversation(b, address));
    let next = Cursor::new(page.head.epoch, page.next);
    let Head { epoch, first, committed, .. } = page.head;
    let has_more = page.has_more;
    s::Page::create(b, &s::PageArgs { conversation, epoch, first, committed, messages, skips, gap, next: Some(&next), has_more })
}

/// A page of members.
pub fn members(b: &mut Fbb, address: Address<'_>, lines: &[MemberLine], has_more: bool) -> Offset<s::MembersPage<'static>> {
    let members: Vec<_> = lines
        .iter()
        .map(|line| {
            let user = Some(b.create_string(&line.user));
            let MemberLine { role, joined, delivered, read, .. } = *line;
            s::Member::create(b, &s::MemberArgs { user, role, joined, delivered, read })
        })
        .collect();
    let members = Some(b.create_vector(&members));
    let conversation = Some(conversation(b, address));
    s::MembersPage::create(b, &s::MembersPageArgs { conversation, members, has_more })
}

/// One line of a list of conversations; `read` is the better of what the list and the home know.
pub fn conversation_info(
    b: &mut Fbb,
    address: Address<'_>,
    description: &Description,
    read: u64,
) -> Offset<s::ConversationInfo<'static>> {
    let Head { epoch, first, committed, visible_from } = description.head;
    let conversation = Some(conversation(b, address));
    let title = std::str::from_utf8(&description.title).ok().filter(|t| !t.is_empty()).map(|t| b.create_string(t));
    let read = read.max(description.read);
    let unread = committed.saturating_sub(read.max(visible_from - 1).max(first - 1));
    let role = description.role;
    s::ConversationInfo::create(b, &s::ConversationInfoArgs { conversation, title, role, epoch, first, committed, read, unread })
}

/// The last word.
pub fn go_away(b: &mut Fbb, code: s::CloseCode, reconnect_after_ms: u32) -> Offset<s::GoAway<'static>> {
    let message = Some(b.create_string(close_reason(code)));
    s::GoAway::create(b, &s::GoAwayArgs { code, message, reconnect_after_ms })
}

fn close_reason(code: s::CloseCode) -> &'static str {
    use s::CloseCode as C;
    match code {
        C::shutting_down => "the server is stopping; come back and resume",
        C::slow_consumer => "you read too slowly; come back and resume, nothing that is kept is lost",
        C::idle_timeout => "nothing was heard from you for too long",
        C::too_many_connections => "this server is full; come back later",
        C::connect_rate_limited => "too many connections from your address; come back later",
        C::overloaded => "the server could not take the connection over just now; come back at once",
        C::malformed_frame => "what you sent is not a frame of this protocol",
        C::frame_too_large => "the frame is longer than the server takes",
        C::connect_expected => "the first frame must be Connect",
        C::already_connected => "you are connected already",
        C::version_unsupported => "this protocol version or feature is not known here",
        C::login_failed => "the token, the device or the resume list is not valid",
        C::login_timeout => "no Connect arrived in time",
        C::frame_timeout => "a frame was begun and not finished in time",
        C::too_many_sessions => "you have as many sessions as you may",
        C::replaced => "this device connected again",
        C::logged_out => "this device was logged out by another of your sessions",
        _ => "closed",
    }
}
