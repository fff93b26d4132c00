//! Framing: a stream of frames means the same wherever it is cut, and no bytes make the reader fail.

use campanile::wire::schema::{self as s, Body};
use campanile::wire::{Encoder, PREFIX_BYTES, Split, read, split};
use proptest::prelude::*;

/// What the server takes by default.
const FRAME_BYTES_MAX: usize = 73_728;

/// A frame as it was meant: enough to tell that it arrived as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    Ping { reference: u64 },
    Publish { reference: u64, topic: String, body: Vec<u8> },
    Remove { reference: u64, id: String, user: String },
}

fn meant() -> impl Strategy<Value = Meant> {
    let id = "[a-z]{1,64}";
    prop_oneof![
        any::<u64>().prop_map(|reference| Meant::Ping { reference }),
        (any::<u64>(), id, prop::collection::vec(any::<u8>(), 0..600)).prop_map(|(reference, topic, body)| Meant::Publish {
            reference,
            topic,
            body
        }),
        (any::<u64>(), id, id).prop_map(|(reference, id, user)| Meant::Remove { reference, id, user }),
    ]
}

fn encode(meant: &Meant, encoder: &mut Encoder) -> Vec<u8> {
    let bytes = match meant {
        Meant::Ping { reference } => encoder.frame(*reference, |b| s::Ping::create(b, &s::PingArgs {})),
        Meant::Publish { reference, topic, body } => encoder.frame(*reference, |b| {
            let conversation = Some(campanile::wire::conversation(b, campanile::id::Address::Topic(topic)));
            let body = Some(b.create_vector(body));
            s::Publish::create(b, &s::PublishArgs { conversation, body, ..Default::default() })
        }),
        Meant::Remove { reference, id, user } => encoder.frame(*reference, |b| {
            let (id, user) = (Some(b.create_string(id)), Some(b.create_string(user)));
            s::GroupRemove::create(b, &s::GroupRemoveArgs { id, user })
        }),
    };
    bytes.to_vec()
}

fn decode(bytes: &[u8]) -> Meant {
    let frame = read(bytes).expect("a sound frame");
    let reference = frame.ref_();
    match frame.body_type() {
        Body::Ping => Meant::Ping { reference },
        Body::Publish => {
            let body = frame.body_as_publish().unwrap();
            let topic = body.conversation().unwrap().id().unwrap().to_owned();
            Meant::Publish { reference, topic, body: body.body().unwrap().bytes().to_vec() }
        }
        Body::GroupRemove => {
            let body = frame.body_as_group_remove().unwrap();
            Meant::Remove { reference, id: body.id().unwrap().to_owned(), user: body.user().unwrap().to_owned() }
        }
        other => panic!("{other:?} was never sent"),
    }
}

/// Reads a stream as it arrives, in these pieces.
fn arrive<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Meant> {
    let (mut partial, mut all) = (Vec::new(), Vec::new());
    for piece in pieces {
        partial.extend_from_slice(piece);
        loop {
            match split(&partial, FRAME_BYTES_MAX) {
                Split::Whole(length) => {
                    all.push(decode(&partial[..length]));
                    partial.drain(..length);
                }
                Split::More(least) => {
                    assert!(least > partial.len(), "more is needed than is there");
                    break;
                }
                Split::TooLarge => panic!("no frame is too large"),
            }
        }
    }
    assert!(partial.is_empty(), "nothing is left over");
    all
}

proptest! {
    #[test]
    fn frames_are_the_same_at_every_split_point(frames in prop::collection::vec(meant(), 1..4)) {
        let mut encoder = Encoder::default();
        let stream: Vec<u8> = frames.iter().flat_map(|frame| encode(frame, &mut encoder)).collect();
        for at in 0..=stream.len() {
            let (before, after) = stream.split_at(at);
            prop_assert_eq!(&arrive([before, after].into_iter()), &frames);
        }
    }

    #[test]
    fn frames_are_the_same_in_any_pieces(frames in prop::collection::vec(meant(), 0..12), sizes in prop::collection::vec(1..700_usize, 1..40)) {
        let mut encoder = Encoder::default();
        let stream: Vec<u8> = frames.iter().flat_map(|frame| encode(frame, &mut encoder)).collect();
        let mut rest = stream.as_slice();
        let pieces = sizes.iter().cycle().map_while(|&size| {
            let (piece, left) = rest.split_at_checked(size.min(rest.len()))?;
            rest = left;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(arrive(pieces), frames.clone());
        prop_assert_eq!(arrive(stream.chunks(1)), frames);
    }

    #[test]
    fn random_bytes_are_refused_without_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        prop_assert_eq!(split(&framed, FRAME_BYTES_MAX), Split::Whole(framed.len()));
        touch(&framed);
        touch(&bytes);
        match split(&bytes, FRAME_BYTES_MAX) {
            Split::More(least) => prop_assert!(least > bytes.len()),
            Split::Whole(length) => prop_assert!((PREFIX_BYTES..=bytes.len()).contains(&length)),
            Split::TooLarge => prop_assert!(bytes.len() >= PREFIX_BYTES),
        }
    }

    #[test]
    fn a_frame_with_changed_bytes_is_refused_or_read_without_fail(
        frame in meant(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&frame, &mut Encoder::default());
        for (at, byte) in changes {
            let at = at.index(bytes.len() - PREFIX_BYTES) + PREFIX_BYTES;
            bytes[at] = byte;
        }
        touch(&bytes);
    }
}

/// Reads what a server reads, whatever it is.
fn touch(bytes: &[u8]) {
    let Ok(frame) = read(bytes) else { return };
    let _ = (frame.ref_(), frame.body_type());
    if let Some(publish) = frame.body_as_publish() {
        let _ = campanile::wire::address(publish.conversation());
        let _ = (publish.client_id(), publish.content_type(), publish.tag(), publish.body().map(|body| body.bytes().len()));
    }
    if let Some(remove) = frame.body_as_group_remove() {
        let _ = (remove.id(), remove.user());
    }
}

#[test]
fn the_length_bounds_a_frame_before_it_is_there() {
    let prefix = |length: u32| length.to_le_bytes();
    assert_eq!(split(&prefix(FRAME_BYTES_MAX as u32), FRAME_BYTES_MAX), Split::More(PREFIX_BYTES + FRAME_BYTES_MAX));
    assert_eq!(split(&prefix(FRAME_BYTES_MAX as u32 + 1), FRAME_BYTES_MAX), Split::TooLarge);
    assert_eq!(split(&prefix(u32::MAX), FRAME_BYTES_MAX), Split::TooLarge);
    assert_eq!(split(&prefix(0), FRAME_BYTES_MAX), Split::Whole(PREFIX_BYTES));
    assert!(read(&prefix(0)).is_err());
}
