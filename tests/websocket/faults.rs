//! Frames that break a rule, each with the close code of RFC 6455, before login and after it. The rules themselves are tested without a socket, in
//! `src/ws`; here, that each ends its connection, is counted, and disturbs nobody.

use crate::support::bystanders::Bystanders;
use crate::support::client::connect_frame;
use crate::support::server::Server;
use crate::support::websocket::{BINARY, CLOSE, CONTINUATION, FB, FIN, Got, JSON, PING, PONG, Socket, TEXT, close, frame};

/// A WebSocket of this kind, logged in or not.
fn socket(server: &Server, protocol: &str, is_logged_in: bool) -> Socket {
    let mut socket = Socket::upgraded(server.ws, protocol);
    if is_logged_in {
        if protocol == FB {
            socket.send(FIN | BINARY, &connect_frame("hostile", "browser", &[]));
        } else {
            socket.send(FIN | TEXT, b"{\"type\":\"connect\",\"token\":\"dev:hostile\"}");
        }
        assert!(matches!(socket.next(), Got::Frame(..)));
    }
    socket
}

#[test]
fn each_fault_has_its_code_is_counted_and_disturbs_nobody() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    let two = |one: Vec<u8>, other: Vec<u8>| [one, other].concat();
    let top_bit = |second: u8| [&[FIN | BINARY, second][..], &(1_u64 << 63).to_be_bytes(), &[0; 4]].concat();
    let spoilt = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    // Sub-protocol, fault, close code, bytes.
    let cases: Vec<(&str, &str, u16, Vec<u8>)> = vec![
        (FB, "not_masked", 1002, vec![FIN | BINARY, 3, 1, 2, 3]),
        (JSON, "not_masked", 1002, b"\x81\x02{}".to_vec()),
        (FB, "reserved_bits", 1002, frame(FIN | 0x40 | BINARY, b"x")),
        (JSON, "reserved_bits", 1002, frame(FIN | 0x10 | PING, b"")),
        (FB, "reserved_opcode", 1002, frame(FIN | 3, b"")),
        (JSON, "reserved_opcode", 1002, frame(FIN | 11, b"")),
        (FB, "fragmented_control", 1002, frame(PING, b"")),
        (JSON, "long_control", 1002, frame(FIN | PING, &[0; 126])),
        // CVE-2026-27889: the length became a negative number, and 15 bytes ended a whole server.
        (FB, "length_top_bit", 1002, top_bit(0xff)),
        (JSON, "length_top_bit", 1002, top_bit(0xff)),
        (FB, "length_not_minimal", 1002, vec![FIN | BINARY, 0xfe, 0, 5, 0, 0, 0, 0]),
        (FB, "nothing_to_continue", 1002, frame(FIN | CONTINUATION, b"x")),
        (JSON, "message_unfinished", 1002, two(frame(TEXT, b"{"), frame(FIN | TEXT, b"}"))),
        (FB, "bad_close", 1002, frame(FIN | CLOSE, b"\x03")),
        (JSON, "bad_close", 1002, frame(FIN | CLOSE, &close(1005, b""))),
        (FB, "bad_close", 1002, frame(FIN | CLOSE, &close(65_535, b""))),
        (JSON, "invalid_utf8", 1007, frame(FIN | CLOSE, &close(1000, b"\xff"))),
        (JSON, "invalid_utf8", 1007, frame(FIN | TEXT, spoilt)),
        // At once, not when the message has its end.
        (JSON, "invalid_utf8", 1007, frame(TEXT, spoilt)),
        (FB, "wrong_kind", 1003, frame(FIN | TEXT, b"{\"type\":\"ping\"}")),
        (JSON, "wrong_kind", 1003, frame(FIN | BINARY, b"{\"type\":\"ping\"}")),
        // At its header, whatever follows.
        (FB, "too_big", 1009, frame(FIN | BINARY, &[0; 73_733])[..20].to_vec()),
        (JSON, "too_big", 1009, frame(TEXT, &[b' '; 6 * 73_732 + 1])[..20].to_vec()),
        (FB, "too_big", 1009, two(frame(BINARY, &[0; 73_000]), frame(FIN | CONTINUATION, &[0; 733]))),
    ];
    for (protocol, fault, code, bytes) in &cases {
        for is_logged_in in [false, true] {
            let label = format!("fault=\"{fault}\"");
            let before = server.metric("campanile_websocket_faults_total", &label);
            let mut socket = socket(&server, protocol, is_logged_in);
            socket.write(bytes);
            // What follows is not heard.
            let _ = std::io::Write::write_all(&mut socket.stream, &frame(FIN | PING, b"late"));
            assert_eq!(socket.closed_at_last().0, Some(*code), "{fault} in {protocol}, logged in: {is_logged_in}");
            assert_eq!(server.metric("campanile_websocket_faults_total", &label), before + 1, "{fault}");
        }
        bystanders.exchange();
    }
    server.wait_for("campanile_connections", "", |connections| connections == 2);
    assert_eq!(server.metric("campanile_websocket_faults_total", ""), 2 * cases.len() as u64);
}

#[test]
fn text_fails_wherever_it_is_cut() {
    let server = Server::start(&[]);
    let spoilt = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xf4\x90\x80\x80 and more";
    for cut in 0..=spoilt.len() {
        let (front, back) = spoilt.split_at(cut);
        let mut socket = socket(&server, JSON, true);
        socket.send(TEXT, front);
        // It may be closed by now.
        let _ = std::io::Write::write_all(&mut socket.stream, &frame(FIN | CONTINUATION, back));
        assert_eq!(socket.closed_at_last().0, Some(1007), "cut at {cut}");
    }
    assert_eq!(server.metric("campanile_websocket_faults_total", "fault=\"invalid_utf8\""), spoilt.len() as u64 + 1);
}

#[test]
fn messages_before_a_fault_are_heard() {
    let server = Server::start(&[]);
    let mut socket = socket(&server, JSON, true);
    let ping = frame(FIN | TEXT, b"{\"type\":\"ping\",\"ref\":3}");
    socket.write(&[ping.clone(), frame(FIN | PING, b"hey"), frame(FIN | 3, b""), ping].concat());
    let (mut pongs, mut answers) = (0, 0);
    loop {
        match socket.next() {
            Got::Frame(first, _) if first == FIN | PONG => pongs += 1,
            Got::Frame(_, text) => answers += usize::from(text.starts_with(b"{\"type\":\"pong\",\"ref\":3,")),
            Got::Close(code, _) => break assert_eq!(code, Some(1002)),
            Got::End => panic!("no close frame"),
        }
    }
    assert_eq!((pongs, answers, socket.next()), (1, 1, Got::End));
}
