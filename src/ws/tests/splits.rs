//! Whatever a network does to a stream, the same is heard.

use proptest::prelude::*;

use super::*;

/// A frame that is mostly right: kinds, flags and lengths as they come, text that is mostly UTF-8.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![4 => Just(CONTINUATION), 4 => Just(TEXT), 4 => Just(BINARY), 2 => Just(PING), 1 => Just(PONG), 1 => Just(CLOSE), 1 => 3..8_u8];
    let text = "[a-zµ€\u{1f514}]{0,40}".prop_map(String::into_bytes);
    let payload = prop_oneof![6 => text, 2 => prop::collection::vec(any::<u8>(), 0..300), 1 => Just(vec![3, 232, 111])];
    let first = (opcode, prop::bool::weighted(0.7), prop::bool::weighted(0.02))
        .prop_map(|(opcode, is_last, reserved)| opcode | if is_last { FIN } else { 0 } | if reserved { 0x40 } else { 0 });
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

/// Streams of messages that are right, with fragments and pings, so that much is heard.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let message =
        (any::<bool>(), "[a-zµ€\u{1f514}]{0,200}", 1..6_usize, any::<bool>()).prop_map(|(is_text, text, parts, pings)| {
            let size = text.len().div_ceil(parts).max(1);
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let mut bytes = frame(if is_text { TEXT } else { BINARY }, b"");
            for piece in pieces {
                bytes.extend(frame(CONTINUATION, piece));
                if pings {
                    bytes.extend(frame(FIN | PING, b"between"));
                }
            }
            bytes.extend(frame(FIN | CONTINUATION, b""));
            bytes
        });
    prop::collection::vec(message, 1..5).prop_map(|messages| messages.concat())
}

/// A stream, and where it is cut.
fn cut(stream: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    stream.prop_flat_map(|bytes| {
        let length = bytes.len();
        (Just(bytes), prop::collection::vec(0..=length, 0..12))
    })
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = [0, bytes.len()].iter().chain(cuts).copied().collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

proptest! {
    #[test]
    fn any_stream_is_heard_alike(
        (bytes, cuts) in cut(prop::collection::vec(any_frame(), 1..12).prop_map(|frames| frames.concat()))
    ) {
        let whole = hear([&bytes[..]]);
        prop_assert_eq!(&hear(pieces(&bytes, &cuts)), &whole);
        prop_assert_eq!(hear(bytes.chunks(1)), whole);
    }

    #[test]
    fn messages_are_heard_whole((bytes, cuts) in cut(messages())) {
        let (said, is_idle) = hear([&bytes[..]]);
        prop_assert!(is_idle && !said.iter().any(|said| matches!(said, Said::Fault(_))), "{:?}", said);
        prop_assert_eq!(hear(pieces(&bytes, &cuts)), (said, true));
    }

    #[test]
    fn garbage_is_heard_alike((bytes, cuts) in cut(prop::collection::vec(any::<u8>(), 0..200))) {
        prop_assert_eq!(hear(pieces(&bytes, &cuts)), hear([&bytes[..]]));
    }
}
