//! One answer for each verb that the crash tool uses.

use campanile::id::Address;
use campanile::wire::schema::{self as s, Body, ErrorCode, Frame, RecordKind, Role, SkipReason};
use campanile::wire::{Encoder, Fbb, address, conversation};
use flatbuffers::WIPOffset;

use crate::rooms::{Member, PAGE_MESSAGES_MAX, Record, Room};
use crate::store::{Line, Store};

/// It never changes here: this store loses nothing, unless it lies.
const EPOCH: u64 = 7;

type Answer<'e> = Result<&'e [u8], ErrorCode>;

/// The room that a user means.
fn room_of(user: &str, of: Option<s::Conversation<'_>>) -> Result<String, ErrorCode> {
    match address(of).map_err(|_| ErrorCode::bad_request)? {
        Address::Direct(other) if user < other => Ok(format!("direct:{user}|{other}")),
        Address::Direct(other) => Ok(format!("direct:{other}|{user}")),
        other => Ok(other.to_string()),
    }
}

fn meant<'a>(user: &str, room: &'a str) -> Address<'a> {
    match room.strip_prefix("direct:").and_then(|both| both.split_once('|')) {
        Some((first, second)) => Address::Direct(if first == user { second } else { first }),
        None => Address::parse(room).expect("rooms have sound names"),
    }
}

/// What to do, and what to say.
pub fn answer<'e>(store: &mut Store, user: &str, frame: Frame<'_>, encoder: &'e mut Encoder) -> Answer<'e> {
    let reference = frame.ref_();
    if let Some(sync) = frame.body_as_sync() {
        return page(store, user, reference, sync, encoder);
    }
    if let Some(members) = frame.body_as_members() {
        return member_page(store, user, reference, members, encoder);
    }
    if frame.body_as_conversations().is_some() {
        return Ok(list(store, user, reference, encoder));
    }
    if let Some(receipt) = frame.body_as_receipt() {
        let room = room_of(user, receipt.conversation())?;
        let (is_read, seq) = (receipt.kind() == s::ReceiptKind::read, receipt.cursor().map_or(0, |cursor| cursor.seq()));
        readable(store, user, &room)?;
        append(store, vec![Line::Receipt { room, user: user.to_owned(), is_read, seq }])?;
        return Ok(encoder.frame(reference, |b| s::Done::create(b, &s::DoneArgs {})));
    }
    if let Some(publish) = frame.body_as_publish() {
        return self::publish(store, user, reference, publish, encoder);
    }
    change(store, user, frame, encoder)
}

fn append(store: &mut Store, lines: Vec<Line>) -> Result<(), ErrorCode> {
    if store.append(lines) { Ok(()) } else { Err(ErrorCode::not_stored) }
}

fn ack(encoder: &mut Encoder, reference: u64, seq: u64, duplicate: bool) -> &[u8] {
    encoder.frame(reference, |b| s::Ack::create(b, &s::AckArgs { epoch: EPOCH, seq, time_ms: 1, duplicate }))
}

/// The room, if the user may read it.
fn readable<'a>(store: &'a Store, user: &str, name: &str) -> Result<&'a Room, ErrorCode> {
    let room = store.rooms.0.get(name).ok_or(ErrorCode::unknown_conversation)?;
    match name == "broadcast" || room.members.contains_key(user) {
        true => Ok(room),
        false => Err(ErrorCode::unknown_conversation),
    }
}

fn publish<'e>(store: &mut Store, user: &str, reference: u64, publish: s::Publish<'_>, encoder: &'e mut Encoder) -> Answer<'e> {
    let room = room_of(user, publish.conversation())?;
    if room.starts_with("group:") {
        readable(store, user, &room)?;
    }
    let client_id = publish.client_id().map(str::to_owned);
    let known = store.rooms.0.get(&room);
    let place = known.and_then(|known| known.places.get(&(user.to_owned(), client_id.clone()?)));
    if let Some(&seq) = place {
        return Ok(ack(encoder, reference, seq, true));
    }
    let seq = known.map_or(0, Room::committed) + 1;
    let body = String::from_utf8_lossy(publish.body().map_or(&[][..], |body| body.bytes())).into_owned();
    let record = Record { seq, sender: user.to_owned(), client_id, body, ..Record::default() };
    append(store, vec![Line::Record { room, record }])?;
    Ok(ack(encoder, reference, seq, false))
}

fn change<'e>(store: &mut Store, user: &str, frame: Frame<'_>, encoder: &'e mut Encoder) -> Answer<'e> {
    let reference = frame.ref_();
    let record = |kind: RecordKind, subject: Option<&str>, role: u8, body: &str| {
        let (subject, body) = (subject.map(str::to_owned), body.to_owned());
        Record { kind: kind.0, sender: user.to_owned(), subject, role, body, ..Record::default() }
    };
    if let Some(create) = frame.body_as_group_create() {
        let id = create.id().unwrap_or_default();
        let room = format!("group:{id}");
        if store.rooms.0.contains_key(&room) {
            return Err(ErrorCode::already_exists);
        }
        let mut records = vec![record(RecordKind::created, None, Role::owner.0, "")];
        records.extend(create.members().into_iter().flatten().map(|member| record(RecordKind::added, Some(member), 1, "")));
        let mut lines = vec![Line::Group { room: room.clone(), open: create.open(), whole_history: create.whole_history() }];
        lines.extend(
            (1..).zip(records).map(|(seq, record)| Line::Record { room: room.clone(), record: Record { seq, ..record } }),
        );
        append(store, lines)?;
        return Ok(encoder.frame(reference, |b| {
            let conversation = Some(conversation(b, Address::Group(id)));
            s::GroupCreated::create(b, &s::GroupCreatedArgs { conversation, epoch: EPOCH, seq: 1, time_ms: 1 })
        }));
    }
    let some = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let (id, record) = match frame.body_type() {
        Body::GroupAdd => frame.body_as_group_add().map(|v| (some(v.id()), record(RecordKind::added, v.user(), v.role().0, ""))),
        Body::GroupRemove => frame.body_as_group_remove().map(|v| (some(v.id()), record(RecordKind::removed, v.user(), 0, ""))),
        Body::GroupSetRole => {
            frame.body_as_group_set_role().map(|v| (some(v.id()), record(RecordKind::role, v.user(), v.role().0, "")))
        }
        Body::GroupJoin => frame.body_as_group_join().map(|v| (some(v.id()), record(RecordKind::joined, Some(user), 1, ""))),
        Body::GroupLeave => frame.body_as_group_leave().map(|v| (some(v.id()), record(RecordKind::left, Some(user), 0, ""))),
        Body::GroupTitle => {
            frame.body_as_group_title().map(|v| (some(v.id()), record(RecordKind::title, None, 0, v.title().unwrap_or_default())))
        }
        _ => None,
    }
    .ok_or(ErrorCode::unknown_verb)?;
    let name = format!("group:{id}");
    let room = store.rooms.0.get(&name).ok_or(ErrorCode::unknown_conversation)?;
    permitted(room, user, &record)?;
    let seq = room.committed() + 1;
    append(store, vec![Line::Record { room: name, record: Record { seq, ..record } }])?;
    Ok(ack(encoder, reference, seq, false))
}

/// Owners may everything, others may come and go.
fn permitted(room: &Room, user: &str, record: &Record) -> Result<(), ErrorCode> {
    let is_in = |user: &Option<String>| user.as_ref().is_some_and(|user| room.members.contains_key(user));
    if RecordKind(record.kind) == RecordKind::joined {
        return match (is_in(&record.subject), room.open) {
            (true, _) => Err(ErrorCode::already_member),
            (false, true) => Ok(()),
            (false, false) => Err(ErrorCode::unknown_conversation),
        };
    }
    let role = room.members.get(user).ok_or(ErrorCode::unknown_conversation)?.role;
    match RecordKind(record.kind) {
        RecordKind::left => Ok(()),
        _ if role < Role::owner.0 => Err(ErrorCode::not_permitted),
        RecordKind::added if is_in(&record.subject) => Err(ErrorCode::already_member),
        RecordKind::removed | RecordKind::role if !is_in(&record.subject) => Err(ErrorCode::not_a_member),
        _ => Ok(()),
    }
}

fn message(b: &mut Fbb, of: Address<'_>, record: &Record) -> WIPOffset<s::Message<'static>> {
    let args = s::MessageArgs {
        conversation: Some(conversation(b, of)),
        epoch: EPOCH,
        seq: record.seq,
        sender: Some(b.create_string(&record.sender)),
        client_id: record.client_id.as_ref().map(|id| b.create_string(id)),
        body: Some(b.create_vector(record.body.as_bytes())),
        kind: RecordKind(record.kind),
        subject: record.subject.as_ref().map(|user| b.create_string(user)),
        role: Role(record.role),
        ..s::MessageArgs::default()
    };
    s::Message::create(b, &args)
}

fn page<'e>(store: &Store, user: &str, reference: u64, sync: s::Sync<'_>, encoder: &'e mut Encoder) -> Answer<'e> {
    let name = room_of(user, sync.conversation())?;
    let room = readable(store, user, &name)?;
    let limit = u64::from(if sync.limit() == 0 { PAGE_MESSAGES_MAX } else { sync.limit().min(PAGE_MESSAGES_MAX) });
    let cursor = sync.cursor().map_or(0, |cursor| cursor.seq());
    let joined = room.members.get(user).map_or(1, |member| member.joined.max(1));
    let visible_from = if room.whole_history { 1 } else { joined };
    let committed = room.committed();
    let (from, to, next, has_more) = if sync.direction() == s::Direction::forward {
        let from = (cursor + 1).max(visible_from);
        let to = committed.min(from + limit - 1);
        (from, to, to, to < committed)
    } else {
        let to = if cursor == 0 { committed } else { cursor.min(committed) };
        let from = visible_from.max((to + 1).saturating_sub(limit));
        (from, to, from.saturating_sub(1), from > visible_from)
    };
    let of = meant(user, &name);
    Ok(encoder.frame(reference, |b| {
        let records = room.records.iter().filter(|record| (from..=to).contains(&record.seq));
        let messages: Vec<_> = records.map(|record| message(b, of, record)).collect();
        let skip = (sync.direction() == s::Direction::forward && cursor + 1 < visible_from).then(|| {
            let conversation = Some(conversation(b, of));
            let (from, to, why) = (cursor + 1, visible_from - 1, SkipReason::before_joined);
            s::Skip::create(b, &s::SkipArgs { conversation, epoch: EPOCH, from, to, why })
        });
        let args = s::PageArgs {
            conversation: Some(conversation(b, of)),
            epoch: EPOCH,
            first: 1,
            committed,
            messages: Some(b.create_vector(&messages)),
            skips: skip.map(|skip| b.create_vector(&[skip])),
            gap: None,
            next: Some(&s::Cursor::new(EPOCH, next)),
            has_more,
        };
        s::Page::create(b, &args)
    }))
}

fn member_page<'e>(store: &Store, user: &str, reference: u64, asked: s::Members<'_>, encoder: &'e mut Encoder) -> Answer<'e> {
    let name = room_of(user, asked.conversation())?;
    let room = readable(store, user, &name)?;
    Ok(encoder.frame(reference, |b| {
        let line = |b: &mut Fbb, (user, member): (&String, &Member)| {
            let Member { role, joined, delivered, read } = *member;
            let user = Some(b.create_string(user));
            s::Member::create(b, &s::MemberArgs { user, role: Role(role), joined, delivered, read })
        };
        let members: Vec<_> = room.members.iter().map(|member| line(b, member)).collect();
        let (conversation, members) = (Some(conversation(b, meant(user, &name))), Some(b.create_vector(&members)));
        s::MembersPage::create(b, &s::MembersPageArgs { conversation, members, has_more: false })
    }))
}

fn list<'e>(store: &Store, user: &str, reference: u64, encoder: &'e mut Encoder) -> &'e [u8] {
    encoder.frame(reference, |b| {
        let mut items = Vec::new();
        for (name, room) in &store.rooms.0 {
            let Some(member) = room.members.get(user) else { continue };
            let of = meant(user, name);
            let from = if room.whole_history { 1 } else { member.joined.max(1) };
            let (committed, read) = (room.committed(), member.read);
            let unread = committed - read.max(from - 1);
            let (conversation, role) = (Some(conversation(b, of)), Role(member.role));
            let info =
                s::ConversationInfoArgs { conversation, title: None, role, epoch: EPOCH, first: 1, committed, read, unread };
            items.push(s::ConversationInfo::create(b, &info));
        }
        let items = Some(b.create_vector(&items));
        s::ConversationsPage::create(b, &s::ConversationsPageArgs { items, next: 0, has_more: false })
    })
}
