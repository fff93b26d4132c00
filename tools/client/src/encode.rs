//! From requests to frames.

use campanile::wire::schema as s;
use campanile::wire::{Encoder, Fbb, PROTOCOL_VERSION, conversation};
use flatbuffers::{ForwardsUOffset, Vector, WIPOffset};

use crate::machine::{Connect, Outgoing};
use crate::request::Request;
use crate::values::{Cursor, GroupCreate, Publish};

/// Builds the frame of `outgoing`; it stands in the encoder until the next call.
pub(crate) fn frame<'e>(encoder: &'e mut Encoder, outgoing: &Outgoing) -> &'e [u8] {
    match outgoing {
        Outgoing::Connect(hello) => encoder.frame(0, |b| connect(b, hello)),
        Outgoing::Pong => encoder.frame(0, |b| s::Pong::create(b, &s::PongArgs { server_time_ms: 0 })),
        Outgoing::Request { reference, request } => request_frame(encoder, *reference, request),
    }
}

/// One arm for each verb.
fn request_frame<'e>(encoder: &'e mut Encoder, reference: u64, request: &Request) -> &'e [u8] {
    macro_rules! group {
        ($verb:ident, $args:ident { $($field:ident: $value:expr),* }) => {
            encoder.frame(reference, |b| {
                $(let $field = Some(b.create_string($value));)*
                s::$verb::create(b, &s::$args { $($field),* })
            })
        };
        ($verb:ident, $args:ident { $($field:ident: $value:expr),* }, $role:expr) => {
            encoder.frame(reference, |b| {
                $(let $field = Some(b.create_string($value));)*
                s::$verb::create(b, &s::$args { $($field,)* role: $role })
            })
        };
    }
    match request {
        Request::Ping => encoder.frame(reference, |b| s::Ping::create(b, &s::PingArgs {})),
        Request::Publish(message) => encoder.frame(reference, |b| publish(b, message)),
        Request::Retract { conversation: of, cursor } => encoder.frame(reference, |b| {
            let of = Some(conversation(b, of.address()));
            let cursor = wire_cursor(*cursor);
            s::Retract::create(b, &s::RetractArgs { conversation: of, cursor: Some(&cursor) })
        }),
        Request::Subscribe { conversation: to, cursor, tags } => encoder.frame(reference, |b| {
            let to = Some(conversation(b, to.address()));
            let (cursor, tags) = (cursor.map(wire_cursor), strings(b, tags));
            s::Subscribe::create(b, &s::SubscribeArgs { conversation: to, cursor: cursor.as_ref(), tags })
        }),
        Request::Unsubscribe { conversation: from } => encoder.frame(reference, |b| {
            let from = Some(conversation(b, from.address()));
            s::Unsubscribe::create(b, &s::UnsubscribeArgs { conversation: from })
        }),
        Request::Sync(sync) => encoder.frame(reference, |b| {
            let of = Some(conversation(b, sync.conversation.address()));
            let cursor = wire_cursor(sync.cursor);
            let (limit, direction) = (sync.limit, sync.direction);
            s::Sync::create(b, &s::SyncArgs { conversation: of, cursor: Some(&cursor), limit, direction })
        }),
        Request::GroupCreate(group) => encoder.frame(reference, |b| group_create(b, group)),
        Request::GroupTitle { id, title } => group!(GroupTitle, GroupTitleArgs { id: id, title: title }),
        Request::GroupAdd { id, user, role } => group!(GroupAdd, GroupAddArgs { id: id, user: user }, *role),
        Request::GroupRemove { id, user } => group!(GroupRemove, GroupRemoveArgs { id: id, user: user }),
        Request::GroupJoin { id } => group!(GroupJoin, GroupJoinArgs { id: id }),
        Request::GroupLeave { id } => group!(GroupLeave, GroupLeaveArgs { id: id }),
        Request::GroupSetRole { id, user, role } => group!(GroupSetRole, GroupSetRoleArgs { id: id, user: user }, *role),
        Request::GroupDisband { id } => group!(GroupDisband, GroupDisbandArgs { id: id }),
        Request::Members { conversation: of, after, limit } => encoder.frame(reference, |b| {
            let of = Some(conversation(b, of.address()));
            let after = after.as_ref().map(|user| b.create_string(user));
            s::Members::create(b, &s::MembersArgs { conversation: of, after, limit: *limit })
        }),
        Request::Conversations { after, limit } => {
            encoder.frame(reference, |b| s::Conversations::create(b, &s::ConversationsArgs { after: *after, limit: *limit }))
        }
        Request::Receipt { conversation: of, kind, cursor } => encoder.frame(reference, |b| {
            let of = Some(conversation(b, of.address()));
            let cursor = wire_cursor(*cursor);
            s::Receipt::create(b, &s::ReceiptArgs { conversation: of, kind: *kind, cursor: Some(&cursor) })
        }),
        Request::PresenceQuery { users, conversation: of } => encoder.frame(reference, |b| {
            let of = of.as_ref().map(|of| conversation(b, of.address()));
            let users = strings(b, users);
            s::PresenceQuery::create(b, &s::PresenceQueryArgs { users, conversation: of })
        }),
        Request::PresenceWatch { users } => encoder.frame(reference, |b| {
            let users = strings(b, users);
            s::PresenceWatch::create(b, &s::PresenceWatchArgs { users })
        }),
        Request::PresenceUnwatch { users } => encoder.frame(reference, |b| {
            let users = strings(b, users);
            s::PresenceUnwatch::create(b, &s::PresenceUnwatchArgs { users })
        }),
        Request::Ephemeral { conversation: to, name, body } => encoder.frame(reference, |b| {
            let to = Some(conversation(b, to.address()));
            let (name, body) = (Some(b.create_string(name)), Some(b.create_vector(body)));
            s::Ephemeral::create(b, &s::EphemeralArgs { conversation: to, name, body })
        }),
        Request::LogOutDevice { device } => group!(LogOutDevice, LogOutDeviceArgs { device: device }),
    }
}

fn connect(b: &mut Fbb, hello: &Connect) -> WIPOffset<s::Connect<'static>> {
    let entries: Vec<_> = hello
        .resume
        .iter()
        .map(|point| {
            let of = Some(conversation(b, point.conversation.address()));
            let (cursor, tags) = (point.cursor.map(wire_cursor), strings(b, &point.tags));
            s::Resume::create(b, &s::ResumeArgs { conversation: of, cursor: cursor.as_ref(), tags })
        })
        .collect();
    let resume = (!entries.is_empty()).then(|| b.create_vector(&entries));
    let token = Some(b.create_string(&hello.token));
    let device = Some(b.create_string(&hello.device));
    s::Connect::create(b, &s::ConnectArgs { version: PROTOCOL_VERSION, token, device, resume, features: 0 })
}

fn publish(b: &mut Fbb, message: &Publish) -> WIPOffset<s::Publish<'static>> {
    let args = s::PublishArgs {
        conversation: Some(conversation(b, message.conversation.address())),
        client_id: message.client_id.as_ref().map(|text| b.create_string(text)),
        content_type: message.content_type.as_ref().map(|text| b.create_string(text)),
        body: Some(b.create_vector(&message.body)),
        ttl_ms: message.ttl_ms,
        tag: message.tag.as_ref().map(|text| b.create_string(text)),
    };
    s::Publish::create(b, &args)
}

fn group_create(b: &mut Fbb, group: &GroupCreate) -> WIPOffset<s::GroupCreate<'static>> {
    let args = s::GroupCreateArgs {
        id: group.id.as_ref().map(|text| b.create_string(text)),
        title: group.title.as_ref().map(|text| b.create_string(text)),
        open: group.open,
        whole_history: group.whole_history,
        members: strings(b, &group.members),
    };
    s::GroupCreate::create(b, &args)
}

fn wire_cursor(cursor: Cursor) -> s::Cursor {
    s::Cursor::new(cursor.epoch, cursor.seq)
}

type Strings = WIPOffset<Vector<'static, ForwardsUOffset<&'static str>>>;

/// A list of texts; an empty one is left out.
fn strings(b: &mut Fbb, texts: &[String]) -> Option<Strings> {
    let offsets: Vec<WIPOffset<&'static str>> = texts.iter().map(|text| b.create_string(text)).collect();
    (!offsets.is_empty()).then(|| b.create_vector(&offsets))
}
