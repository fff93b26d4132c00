//! Frames as clients and servers encode them.

use campanile::conversation::{Content, Record};
use campanile::id::Address;
use campanile::session::frames;
use campanile::wire::schema::{Publish, PublishArgs};
use campanile::wire::{Encoder, address, conversation, read};

/// A publish of a client.
pub fn publish(encoder: &mut Encoder, to: Address<'_>, client_id: Option<&str>, body: &[u8]) -> Vec<u8> {
    let frame = encoder.frame(7, |b| {
        let conversation = Some(conversation(b, to));
        let (client_id, body) = (client_id.map(|id| b.create_string(id)), Some(b.create_vector(body)));
        Publish::create(b, &PublishArgs { conversation, client_id, body, ..Default::default() })
    });
    frame.to_vec()
}

/// A record of a message with a body of this many bytes.
pub fn record(body_bytes: usize) -> Record {
    let mut content = Content::message(vec![b'x'; body_bytes]);
    content.client_id = Some("c-0123456789".into());
    Record { epoch: 1, seq: 42, time_ms: 1_700_000_000_000, sender: "alice".into(), content }
}

/// A record as members of a group get it.
pub fn message<'a>(encoder: &'a mut Encoder, record: &Record) -> &'a [u8] {
    encoder.frame(0, |b| frames::message(b, Address::Group("team"), record))
}

/// Verifies a publish and reads it in place.
pub fn read_publish(bytes: &[u8]) -> usize {
    let publish = read(bytes).expect("sound").body_as_publish().expect("a publish");
    let address = address(publish.conversation()).expect("a conversation");
    address.id().len() + publish.client_id().map_or(0, str::len) + publish.body().map_or(0, |body| body.len())
}
