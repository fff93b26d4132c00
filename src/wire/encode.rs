//! From values to the bytes of a frame.

use flatbuffers::{FlatBufferBuilder, WIPOffset};

use super::fixed::Ready;
use super::schema::{self, Body, Conversation, ConversationArgs, ConversationKind, Frame, FrameArgs};
use crate::id::Address;

/// The builder that the generated code fills.
pub type Fbb = FlatBufferBuilder<'static>;

/// A table that can be the body of a frame.
pub trait Verb {
    /// Its tag in the union.
    const BODY: Body;
}

macro_rules! verbs {
    ($($name:ident)*) => { $(impl Verb for schema::$name<'_> { const BODY: Body = Body::$name; })* };
}

verbs! {
    Connect Welcome Ping Pong GoAway Error Publish Ack Message Gap Skip Subscribe Unsubscribe Subscribed Sync Page
    GroupCreate GroupCreated GroupTitle GroupAdd GroupRemove GroupJoin GroupLeave GroupSetRole GroupDisband
    Members MembersPage Conversations ConversationsPage Receipt ReceiptEvent
    PresenceQuery PresenceAnswer PresenceWatch PresenceUnwatch PresenceEvent
    Ephemeral EphemeralEvent EphemeralDropped LogOutDevice Done Retract
}

/// Builds frames one after another in memory that is used again.
#[derive(Default)]
pub struct Encoder {
    builder: Fbb,
    ready: Ready,
}

impl Encoder {
    /// Builds a frame: `build` makes the body, the result is the whole frame with its size prefix. It stands until the next call.
    pub fn frame<V: Verb>(&mut self, reference: u64, build: impl FnOnce(&mut Fbb) -> WIPOffset<V>) -> &[u8] {
        self::build(&mut self.builder, reference, build)
    }

    /// The frame of an `Ack` of what is no duplicate.
    pub fn ack(&mut self, reference: u64, epoch: u64, seq: u64, time_ms: u64) -> &[u8] {
        let numbers = [reference, epoch, seq, time_ms];
        if numbers.contains(&0) {
            return self.frame(reference, |b| schema::Ack::create(b, &schema::AckArgs { epoch, seq, time_ms, duplicate: false }));
        }
        self.ready.ack.with(numbers)
    }

    /// The frame of a `Pong`.
    pub fn pong(&mut self, reference: u64, server_time_ms: u64) -> &[u8] {
        let numbers = [reference, server_time_ms];
        if numbers.contains(&0) {
            return self.frame(reference, |b| schema::Pong::create(b, &schema::PongArgs { server_time_ms }));
        }
        self.ready.pong.with(numbers)
    }
}

/// Builds a frame in the memory of `b`.
pub(super) fn build<V: Verb>(b: &mut Fbb, reference: u64, build: impl FnOnce(&mut Fbb) -> WIPOffset<V>) -> &[u8] {
    b.reset();
    let body = build(b).as_union_value();
    let frame = Frame::create(b, &FrameArgs { ref_: reference, body_type: V::BODY, body: Some(body) });
    b.finish_size_prefixed(frame, None);
    b.finished_data()
}

/// Writes the address of a conversation.
pub fn conversation(b: &mut Fbb, address: Address<'_>) -> WIPOffset<Conversation<'static>> {
    let kind = match address {
        Address::Direct(_) => ConversationKind::direct,
        Address::Group(_) => ConversationKind::group,
        Address::Topic(_) => ConversationKind::topic,
        Address::Broadcast => ConversationKind::broadcast,
    };
    let id = (!address.id().is_empty()).then(|| b.create_string(address.id()));
    Conversation::create(b, &ConversationArgs { kind, id })
}
