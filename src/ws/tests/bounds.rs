//! What a peer can make grow.

use super::*;

/// Feeds frames one by one; gives what was said.
fn feed(incoming: &mut Incoming, bytes_max: usize, mut frames: impl Iterator<Item = Vec<u8>>) -> Result<usize, Fault> {
    frames.try_fold(0, |messages, mut frame| {
        let mut rest = &mut frame[..];
        incoming.next(&mut rest, bytes_max).map(|event| messages + usize::from(event.is_some()))
    })
}

#[test]
fn a_million_fragments_of_one_byte_are_a_message_of_a_million_bytes() {
    const FRAGMENTS: usize = 1_000_000;
    let mut incoming = Incoming::default();
    let begin = std::iter::once(frame(BINARY, b"x"));
    let more = std::iter::repeat_n(frame(CONTINUATION, b"x"), FRAGMENTS - 1);
    assert_eq!(feed(&mut incoming, FRAGMENTS, begin.chain(more)), Ok(0));
    assert!(incoming.kept_bytes() <= 2 * FRAGMENTS, "{}", incoming.kept_bytes());
    assert_eq!(feed(&mut incoming, FRAGMENTS, std::iter::once(frame(CONTINUATION, b"x"))), Err(Fault::TooBig));
    let mut end = frame(FIN | CONTINUATION, b"");
    let mut rest = &mut end[..];
    assert_eq!(incoming.next(&mut rest, FRAGMENTS), Ok(Some(Event::Binary(&[b'x'; FRAGMENTS]))));
}

#[test]
fn fragments_without_end_and_without_content_keep_nothing() {
    let mut incoming = Incoming::default();
    let begin = std::iter::once(frame(TEXT, b""));
    let more = std::iter::repeat_n(frame(CONTINUATION, b""), 1_000_000);
    assert_eq!(feed(&mut incoming, 1000, begin.chain(more)), Ok(0));
    assert_eq!(incoming.kept_bytes(), 0);
    assert!(!incoming.is_idle(), "the message has no end");
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_received() {
    let header = |length: usize| frame(FIN | BINARY, &vec![0; length])[..8].to_vec();
    assert_eq!(feed(&mut Incoming::default(), 1000, std::iter::once(frame(FIN | BINARY, &[0; 1000]))), Ok(1));
    assert_eq!(feed(&mut Incoming::default(), 1000, std::iter::once(header(1000))), Ok(0));
    assert_eq!(feed(&mut Incoming::default(), 1000, std::iter::once(header(1001))), Err(Fault::TooBig));
    // All fragments together.
    let parts = [frame(BINARY, &[0; 600]), header(401)];
    let mut parts = parts.into_iter();
    let mut incoming = Incoming::default();
    assert_eq!(feed(&mut incoming, 1000, parts.by_ref().take(1)), Ok(0));
    let mut last = frame(FIN | CONTINUATION, &[0; 401])[..8].to_vec();
    assert_eq!(incoming.next(&mut &mut last[..], 1000), Err(Fault::TooBig));
    // A ping is no part of the message.
    let mut incoming = Incoming::default();
    assert_eq!(feed(&mut incoming, 1000, [frame(BINARY, &[0; 1000]), frame(FIN | PING, &[0; 100])].into_iter()), Ok(1));
}

#[test]
fn what_a_header_promises_takes_no_memory() {
    let mut incoming = Incoming::default();
    let promise = frame(FIN | BINARY, &vec![0; BYTES_MAX])[..14].to_vec();
    assert_eq!(feed(&mut incoming, BYTES_MAX, std::iter::once(promise)), Ok(0));
    assert_eq!(incoming.kept_bytes(), 0);
}

#[test]
fn between_messages_nothing_is_kept() {
    let mut incoming = Incoming::default();
    let sent =
        [frame(BINARY, &[7; 600]), frame(FIN | PING, b"ping"), frame(FIN | CONTINUATION, &[7; 400]), frame(FIN | TEXT, b"more")];
    assert_eq!(feed(&mut incoming, 1000, sent.into_iter()), Ok(3));
    assert!(incoming.is_idle());
}

#[test]
fn nothing_comes_behind_what_is_asked_for_in_one_piece() {
    // Pings in one piece, and a message around one: what was handed out for one is gone before the next is.
    let bytes = frames(&[(TEXT, b"a"), (FIN | PING, b"1"), (CONTINUATION, b"b"), (FIN | PING, b"2"), (FIN | CONTINUATION, b"c")]);
    let all = [Ping(b"1".to_vec()), Ping(b"2".to_vec()), Text("abc".to_owned())];
    for size in 1..=bytes.len() {
        assert_eq!(hear(bytes.chunks(size)).0, all, "in pieces of {size}");
    }
}
