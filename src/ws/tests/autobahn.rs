//! The essential cases of the Autobahn test suite, under their numbers there: what an endpoint must hear. (How it answers is tested with a socket.)
//! Each is heard in one piece, byte by byte, and in pieces of 997 bytes, as the suite does.

use super::*;

/// What must be heard in these frames.
fn heard(case: &str, sent: &[(u8, &[u8])], expected: &[Said]) {
    let bytes = frames(sent);
    for size in [bytes.len().max(1), 997, 1] {
        let (said, is_idle) = hear(bytes.chunks(size));
        assert_eq!(said, expected, "case {case} in pieces of {size}");
        assert!(is_idle, "case {case} leaves something unfinished");
    }
}

fn fault(fault: Fault) -> Said {
    Said::Fault(fault)
}

fn text(text: &str) -> Said {
    Text(text.to_owned())
}

fn ping(payload: &[u8]) -> Said {
    Ping(payload.to_vec())
}

#[test]
fn case_1_messages_of_every_kind_of_length() {
    for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let payload = vec![b'*'; length];
        heard("1.1", &[(FIN | TEXT, &payload)], &[text(&"*".repeat(length))]);
        let payload = vec![0xfe; length];
        heard("1.2", &[(FIN | BINARY, &payload)], &[Binary(payload.clone())]);
    }
}

#[test]
fn case_2_pings_and_pongs() {
    let binary = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    heard("2.1", &[(FIN | PING, b"")], &[ping(b"")]);
    heard("2.2", &[(FIN | PING, b"Hello, world!")], &[ping(b"Hello, world!")]);
    heard("2.3", &[(FIN | PING, &binary)], &[ping(&binary)]);
    heard("2.4", &[(FIN | PING, &[0xfe; 125])], &[ping(&[0xfe; 125])]);
    heard("2.5", &[(FIN | PING, &[0xfe; 126])], &[fault(Fault::LongControl)]);
    heard("2.7", &[(FIN | PONG, b"")], &[Pong]);
    heard("2.8", &[(FIN | PONG, b"unsolicited pong payload")], &[Pong]);
    heard("2.9", &[(FIN | PONG, b"unsolicited"), (FIN | PING, b"ping payload")], &[Pong, ping(b"ping payload")]);
    let payloads: Vec<String> = (0..10).map(|i| format!("payload-{i}")).collect();
    let pings: Vec<_> = payloads.iter().map(|payload| (FIN | PING, payload.as_bytes())).collect();
    heard("2.10", &pings, &payloads.iter().map(|payload| ping(payload.as_bytes())).collect::<Vec<_>>());
}

#[test]
fn case_3_reserved_bits() {
    for rsv in 1..8_u8 {
        let bits = rsv << 4;
        heard("3.1", &[(FIN | bits | TEXT, b"Hello, world!")], &[fault(Fault::ReservedBits)]);
        let sent: &[(u8, &[u8])] = &[(FIN | TEXT, b"Hello"), (FIN | bits | TEXT, b"world"), (FIN | PING, b"")];
        heard("3.2", sent, &[text("Hello"), fault(Fault::ReservedBits)]);
        heard("3.5", &[(FIN | bits | BINARY, &[0xff; 8])], &[fault(Fault::ReservedBits)]);
        heard("3.6", &[(FIN | bits | PING, b"Hello")], &[fault(Fault::ReservedBits)]);
        heard("3.7", &[(FIN | bits | CLOSE, b"")], &[fault(Fault::ReservedBits)]);
    }
}

#[test]
fn case_4_reserved_opcodes() {
    for opcode in (3..8).chain(11..16) {
        heard("4.1", &[(FIN | opcode, b"")], &[fault(Fault::ReservedOpcode)]);
        let sent: &[(u8, &[u8])] = &[(FIN | TEXT, b"Hello"), (FIN | opcode, b"what"), (FIN | PING, b"")];
        heard("4.2", sent, &[text("Hello"), fault(Fault::ReservedOpcode)]);
    }
}

#[test]
fn case_5_fragments() {
    let both = text("fragment1fragment2");
    heard("5.1", &[(PING, b"fragment1"), (FIN | CONTINUATION, b"fragment2")], &[fault(Fault::FragmentedControl)]);
    heard("5.2", &[(PONG, b"fragment1"), (FIN | CONTINUATION, b"fragment2")], &[fault(Fault::FragmentedControl)]);
    heard("5.3", &[(TEXT, b"fragment1"), (FIN | CONTINUATION, b"fragment2")], std::slice::from_ref(&both));
    let sent: &[(u8, &[u8])] = &[(TEXT, b"fragment1"), (FIN | PING, b"ping payload"), (FIN | CONTINUATION, b"fragment2")];
    heard("5.6", sent, &[ping(b"ping payload"), both.clone()]);
    let nothing: &[Said] = &[fault(Fault::NothingToContinue)];
    heard("5.9", &[(FIN | CONTINUATION, b"non-continuation payload"), (FIN | TEXT, b"Hello, world!")], nothing);
    heard("5.12", &[(CONTINUATION, b"non-continuation payload"), (FIN | TEXT, b"Hello, world!")], nothing);
    let sent: &[(u8, &[u8])] =
        &[(TEXT, b"fragment1"), (FIN | CONTINUATION, b"fragment2"), (CONTINUATION, b"fragment3"), (FIN | TEXT, b"fragment4")];
    heard("5.15", sent, &[both, fault(Fault::NothingToContinue)]);
    let first = [(CONTINUATION, &b"fragment1"[..]), (FIN | TEXT, b"fragment2")];
    heard("5.16", &[first, first].concat(), nothing);
    heard("5.18", &[(TEXT, b"fragment1"), (FIN | TEXT, b"fragment2")], &[fault(Fault::MessageUnfinished)]);
    heard("5.18 in bytes", &[(BINARY, b"fragment1"), (BINARY, b"fragment2")], &[fault(Fault::MessageUnfinished)]);
    let sent: &[(u8, &[u8])] = &[
        (TEXT, b"fragment1"),
        (CONTINUATION, b"fragment2"),
        (FIN | PING, b"pongme 1!"),
        (CONTINUATION, b"fragment3"),
        (CONTINUATION, b"fragment4"),
        (FIN | PING, b"pongme 2!"),
        (FIN | CONTINUATION, b"fragment5"),
    ];
    let whole = text("fragment1fragment2fragment3fragment4fragment5");
    heard("5.19", sent, &[ping(b"pongme 1!"), ping(b"pongme 2!"), whole]);
}

#[test]
fn case_6_text_is_utf8_wherever_it_is_cut() {
    heard("6.1.1", &[(FIN | TEXT, b"")], &[text("")]);
    heard("6.1.2", &[(TEXT, b""), (CONTINUATION, b""), (FIN | CONTINUATION, b"")], &[text("")]);
    heard("6.1.3", &[(TEXT, b""), (CONTINUATION, b"middle"), (FIN | CONTINUATION, b"")], &[text("middle")]);
    let hello = "Hello-µ@ßöäüàá-UTF-8!!";
    heard("6.2.1", &[(FIN | TEXT, hello.as_bytes())], &[text(hello)]);
    for cut in 0..=hello.len() {
        let (front, back) = hello.as_bytes().split_at(cut);
        heard("6.2.2", &[(TEXT, front), (FIN | CONTINUATION, back)], &[text(hello)]);
    }
    let bytes: Vec<_> = hello.as_bytes().chunks(1).map(|byte| (CONTINUATION, byte)).collect();
    heard("6.2.3", &[&[(TEXT, &b""[..])], &bytes[..], &[(FIN | CONTINUATION, b"")]].concat(), &[text(hello)]);
    // Valid, a character that no text may have, and more.
    let spoilt = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64";
    heard("6.3.1", &[(FIN | TEXT, spoilt)], &[fault(Fault::InvalidUtf8)]);
    for cut in 0..=spoilt.len() {
        let (front, back) = spoilt.split_at(cut);
        heard("6.3.2", &[(TEXT, front), (FIN | CONTINUATION, back)], &[fault(Fault::InvalidUtf8)]);
    }
}

#[test]
fn case_6_4_a_text_fails_at_its_first_bad_byte() {
    // f4 90 begins a character above the last one; the suite sends what comes before, waits, and then the byte that cannot be.
    let good = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4";
    let bad = b"\x90";
    let more = b"\x80\x80\x65\x64\x69\x74\x65\x64";
    let begun = frames(&[(TEXT, good), (CONTINUATION, bad)]);
    assert_eq!(hear([&begun[..]]), (vec![fault(Fault::InvalidUtf8)], true), "6.4.1: before the message has an end");
    let whole = frame(FIN | TEXT, &[&good[..], bad, more].concat());
    let up_to_good = whole.len() - more.len() - bad.len();
    assert_eq!(hear([&whole[..up_to_good]]), (vec![], false), "6.4.3: nothing is wrong yet");
    let said = hear([&whole[..up_to_good], &whole[up_to_good..=up_to_good]]).0;
    assert_eq!(said, [fault(Fault::InvalidUtf8)], "6.4.3: within a frame that is not whole");
}

#[test]
fn cases_6_5_to_6_23_every_kind_of_sequence() {
    let valid: &[&[u8]] = &[
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
        b"\x00",
        b"\xc2\x80",
        b"\xe0\xa0\x80",
        b"\xf0\x90\x80\x80",
        b"\x7f",
        b"\xdf\xbf",
        b"\xef\xbf\xbf",
        b"\xf4\x8f\xbf\xbf",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbd",
        // Characters that stand for nothing are characters all the same.
        b"\xef\xbf\xbe",
        b"\xf0\x9f\xbf\xbe",
        b"\xf3\xaf\xbf\xbf",
        b"\xf4\x8f\xbf\xbe",
    ];
    for bytes in valid {
        heard("6", &[(FIN | TEXT, bytes)], &[text(std::str::from_utf8(bytes).unwrap())]);
    }
    let invalid: &[&[u8]] = &[
        // 6.6: characters that the end cuts off.
        b"\xce",
        b"\xce\xba\xe1",
        b"\xce\xba\xe1\xbd",
        b"\xf0\x90\x80",
        // 6.8, 6.10: five and six bytes.
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xfb\xbf\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf\xbf",
        // 6.11.5: the first after the last character.
        b"\xf4\x90\x80\x80",
        // 6.12, 6.13: continuations alone.
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80\xbf",
        // 6.14: lonely beginnings, each followed by a space.
        b"\xc0 \xc1 \xc2 ",
        b"\xe0 \xe1 ",
        b"\xf0 \xf1 ",
        b"\xf8 \xf9 ",
        b"\xfc \xfd ",
        // 6.15 to 6.17: unfinished, impossible.
        b"\xc0\xe0\x80\xf0\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        // 6.18 to 6.20: overlong.
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        // 6.21, 6.22: surrogates, alone and in pairs.
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
    ];
    for bytes in invalid {
        heard("6", &[(FIN | TEXT, bytes)], &[fault(Fault::InvalidUtf8)]);
        for cut in 0..=bytes.len() {
            heard("6", &[(TEXT, &bytes[..cut]), (FIN | CONTINUATION, &bytes[cut..])], &[fault(Fault::InvalidUtf8)]);
        }
    }
}

#[test]
fn case_7_the_end() {
    let code = |code: u16, reason: &[u8]| [&code.to_be_bytes(), reason].concat();
    // 7.1: nothing that follows is heard.
    heard("7.1.1", &[(FIN | TEXT, b"Hello"), (FIN | CLOSE, b"")], &[text("Hello"), Close(None)]);
    heard("7.1.2", &[(FIN | CLOSE, b""), (FIN | CLOSE, b"")], &[Close(None)]);
    heard("7.1.3", &[(FIN | CLOSE, b""), (FIN | PING, b"")], &[Close(None)]);
    heard("7.1.4", &[(FIN | CLOSE, b""), (FIN | TEXT, b"Hello")], &[Close(None)]);
    heard("7.1.5", &[(TEXT, b"fragment1"), (FIN | CLOSE, b""), (FIN | CONTINUATION, b"fragment2")], &[Close(None)]);
    heard("7.3.2", &[(FIN | CLOSE, b"a")], &[fault(Fault::BadClose)]);
    heard("7.3.3", &[(FIN | CLOSE, &code(1000, b""))], &[Close(Some(1000))]);
    heard("7.3.4", &[(FIN | CLOSE, &code(1000, "Hello World!".as_bytes()))], &[Close(Some(1000))]);
    heard("7.3.5", &[(FIN | CLOSE, &code(1000, &[b'*'; 123]))], &[Close(Some(1000))]);
    heard("7.3.6", &[(FIN | CLOSE, &code(1000, &[b'*'; 124]))], &[fault(Fault::LongControl)]);
    let spoilt = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    heard("7.5.1", &[(FIN | CLOSE, &code(1000, spoilt))], &[fault(Fault::InvalidUtf8)]);
    for good in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        heard("7.7", &[(FIN | CLOSE, &code(good, b"reason"))], &[Close(Some(good))]);
    }
    for bad in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        heard("7.9", &[(FIN | CLOSE, &code(bad, b"reason"))], &[fault(Fault::BadClose)]);
    }
    assert_eq!(Fault::BadClose.code(), close::PROTOCOL_ERROR);
}

#[test]
fn cases_9_and_10_long_messages_in_many_fragments() {
    let whole = "*".repeat(BYTES_MAX);
    for size in [64, 1300, 65_536, BYTES_MAX] {
        let pieces: Vec<&[u8]> = whole.as_bytes().chunks(size).collect();
        let last = pieces.len() - 1;
        let first_byte = |at: usize| if at == 0 { TEXT } else { CONTINUATION } | if at == last { FIN } else { 0 };
        let sent: Vec<_> = pieces.iter().enumerate().map(|(at, piece)| (first_byte(at), *piece)).collect();
        assert_eq!(hear(frames(&sent).chunks(1460)), (vec![text(&whole)], true));
    }
}
