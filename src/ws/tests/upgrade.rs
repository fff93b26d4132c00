//! Requests, one for each rule.

use proptest::prelude::*;

use crate::ws::upgrade::{Agreed, Refusal, Rules, read};
use crate::ws::{Names, answer};

/// The lines of a request that is right.
const LINES: [&str; 6] = [
    "GET /chat HTTP/1.1",
    "Host: localhost:7401",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

fn rules() -> Rules {
    Rules {
        hosts: Names::of("localhost, 127.0.0.1, [::1]"),
        origins: Names::of("https://chat.example.org"),
        addresses: false,
        head_bytes_max: 8192,
        protocols: &["campanile.v1.fb", "campanile.v1.json"],
        page: "http://127.0.0.1:7402/".to_owned(),
    }
}

/// The lines as a request.
fn request(lines: &[&str]) -> Vec<u8> {
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// The request with a line more.
fn with(line: &str) -> Vec<u8> {
    request(&[&LINES[..], &[line]].concat())
}

/// The request with the line that begins alike in place of its own.
fn instead(line: &str) -> Vec<u8> {
    let name = line.split([':', ' ']).next().unwrap();
    let index = LINES.iter().position(|other| other.starts_with(name)).expect("a line of that name");
    let mut lines = LINES;
    lines[index] = line;
    request(&lines)
}

/// The request less a line.
fn without(name: &str) -> Vec<u8> {
    request(&LINES.iter().copied().filter(|line| !line.starts_with(name)).collect::<Vec<_>>())
}

fn judge(bytes: &[u8]) -> Result<Option<Agreed>, Refusal> {
    read(bytes, 0, &rules())
}

fn agreed(bytes: &[u8]) -> Agreed {
    judge(bytes).unwrap_or_else(|refusal| panic!("{refusal:?}: {}", String::from_utf8_lossy(bytes))).expect("a whole request")
}

#[track_caller]
fn refused(bytes: &[u8], refusal: Refusal) {
    assert_eq!(judge(bytes), Err(refusal), "{}", String::from_utf8_lossy(bytes));
}

#[test]
fn the_request_of_the_rfc_is_answered_as_the_rfc_says() {
    let agreed = agreed(&request(&LINES));
    assert_eq!(agreed, Agreed { accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(), protocol: None });
    let answer = String::from_utf8(answer::agree(&agreed, &rules())).unwrap();
    let lines: Vec<&str> = answer.split("\r\n").collect();
    assert_eq!(lines[0], "HTTP/1.1 101 Switching Protocols");
    assert_eq!(lines[1..4], ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    assert_eq!(lines[4..], ["", ""]);
}

#[test]
fn names_and_words_may_be_written_in_any_case() {
    let browser = [
        "GET / HTTP/1.1",
        "HOST: LocalHost:7401",
        "connection: keep-alive, UPGRADE",
        "upgrade: WebSocket",
        "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
        "sec-websocket-version: 13",
        "sec-websocket-key:\tdGhlIHNhbXBsZSBub25jZQ== ",
        "origin: http://localhost:5173",
        "cookie: a=b",
        "content-length: 0",
    ];
    agreed(&request(&browser));
}

#[test]
fn the_first_sub_protocol_that_is_known_is_taken() {
    let protocol = |line: &str| agreed(&with(line)).protocol;
    assert_eq!(protocol("Sec-WebSocket-Protocol: campanile.v1.fb"), Some(0));
    assert_eq!(protocol("Sec-WebSocket-Protocol: campanile.v1.json"), Some(1));
    assert_eq!(protocol("Sec-WebSocket-Protocol: campanile.v9.fb, campanile.v1.json,campanile.v1.fb"), Some(1));
    assert_eq!(protocol("Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Protocol: campanile.v1.fb"), Some(0));
    for line in ["Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: CAMPANILE.V1.FB"] {
        refused(&with(line), Refusal::Protocol);
    }
    let indifferent = Rules { protocols: &[], ..rules() };
    assert_eq!(read(&with("Sec-WebSocket-Protocol: mqtt"), 0, &indifferent).unwrap().unwrap().protocol, None);
}

#[test]
fn only_a_get_of_http_1_1_is_taken() {
    refused(&instead("GET /chat HTTP/1.0"), Refusal::HttpVersion);
    for method in ["POST", "HEAD", "OPTIONS", "CONNECT", "get"] {
        let line = format!("{method} / HTTP/1.1");
        refused(&request(&[&[&*line], &LINES[1..]].concat()), Refusal::Method);
    }
    for line in
        ["GET http://localhost/ HTTP/1.1", "GET * HTTP/1.1", "GET  / HTTP/1.1", "GET /", "GET / HTTP/2.0", "\u{16}\u{3}\u{1}"]
    {
        refused(&request(&[&[line], &LINES[1..]].concat()), Refusal::Malformed);
    }
}

#[test]
fn there_is_one_host_and_it_is_allowed() {
    refused(&without("Host"), Refusal::NoHost);
    refused(&with("Host: localhost"), Refusal::NoHost);
    for host in [
        "Host:",
        "Host: ",
        "Host: localhost:",
        "Host: localhost:x",
        "Host: localhost:+1",
        "Host: localhost:70000",
        "Host: [::1",
        "Host: a b",
    ] {
        refused(&instead(host), Refusal::NoHost);
    }
    for host in
        ["Host: evil.example", "Host: localhost.evil.example", "Host: 127.0.0.2", "Host: localhost.", "Host: user@localhost"]
    {
        let refusal = judge(&instead(host)).unwrap_err();
        assert!([Refusal::HostNotAllowed, Refusal::NoHost].contains(&refusal), "{host}: {refusal:?}");
    }
    for host in ["Host: localhost", "Host: 127.0.0.1:1", "Host: [::1]:7401", "Host: [::1]"] {
        agreed(&instead(host));
    }
}

#[test]
fn where_strangers_may_come_in_they_may_name_an_address_but_no_name() {
    let open = Rules { addresses: true, ..rules() };
    for host in ["Host: 192.0.2.7:7401", "Host: [2001:db8::7]"] {
        refused(&instead(host), Refusal::HostNotAllowed);
        assert!(read(&instead(host), 0, &open).is_ok(), "{host}");
    }
    assert_eq!(read(&instead("Host: evil.example"), 0, &open), Err(Refusal::HostNotAllowed));
    assert_eq!(read(&instead("Host: 192.0.2.7.evil.example"), 0, &open), Err(Refusal::HostNotAllowed));
    let any = Rules { hosts: Names::of("*"), ..rules() };
    assert!(read(&instead("Host: evil.example"), 0, &any).is_ok());
}

#[test]
fn a_page_may_connect_to_its_own_host() {
    for origin in ["http://localhost", "http://localhost:8000", "https://LOCALHOST:7402", "https://chat.example.org"] {
        agreed(&with(&format!("Origin: {origin}")));
    }
    for origin in [
        "http://127.0.0.1:7401",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil.example/localhost",
        "http://localhost@evil.example",
        "https://chat.example.org:444",
        "http://chat.example.org",
        "file://localhost",
        "localhost",
        "null",
        "",
    ] {
        refused(&with(&format!("Origin: {origin}")), Refusal::OriginNotAllowed);
    }
    refused(&with("Origin: http://localhost\r\nOrigin: http://localhost"), Refusal::OriginNotAllowed);
    let any = Rules { origins: Names::of("*"), ..rules() };
    assert!(read(&with("Origin: null"), 0, &any).is_ok());
}

#[test]
fn a_request_has_no_body() {
    for line in [
        "Content-Length: 5",
        "Content-Length: 00",
        "Content-Length: 0\r\nContent-Length: 0",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding:",
    ] {
        refused(&with(line), Refusal::Body);
    }
}

#[test]
fn anything_else_is_not_an_upgrade() {
    refused(&request(&["GET / HTTP/1.1", "Host: localhost:7401", "Accept: text/html"]), Refusal::NotAnUpgrade);
    refused(&without("Upgrade"), Refusal::NotAnUpgrade);
    refused(&without("Connection"), Refusal::NotAnUpgrade);
    refused(&instead("Upgrade: h2c"), Refusal::NotAnUpgrade);
    refused(&instead("Connection: keep-alive"), Refusal::NotAnUpgrade);
}

#[test]
fn version_and_key_stand_there_once() {
    for line in ["Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 13, 8", "Sec-WebSocket-Version:"] {
        refused(&instead(line), Refusal::Version);
    }
    refused(&without("Sec-WebSocket-Version"), Refusal::Version);
    refused(&with("Sec-WebSocket-Version: 13"), Refusal::Version);
    for line in [
        "Sec-WebSocket-Key:",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ?==",
    ] {
        refused(&instead(line), Refusal::Key);
    }
    refused(&without("Sec-WebSocket-Key"), Refusal::Key);
    refused(&with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), Refusal::Key);
    // 22 letters that were drawn one by one: the last one says more than 16 bytes need.
    agreed(&instead("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="));
}

#[test]
fn a_request_is_bounded() {
    let long = "x".repeat(8192);
    refused(&with(&format!("Cookie: {long}")), Refusal::TooLarge);
    refused(long.as_bytes().repeat(2).as_slice(), Refusal::TooLarge);
    assert_eq!(judge(&b"x".repeat(8192)), Ok(None), "its end may come yet");
    let many: Vec<String> = (0..95).map(|i| format!("X-{i}: y")).collect();
    let lines: Vec<&str> = LINES.iter().copied().chain(many.iter().map(|line| &**line)).collect();
    agreed(&request(&lines));
    refused(&request(&[&lines[..], &["X: y"]].concat()), Refusal::TooLarge);
}

#[test]
fn lines_end_as_http_says() {
    let text = String::from_utf8(request(&LINES)).unwrap();
    refused(text.replacen("websocket\r\n", "websocket\n", 1).as_bytes(), Refusal::Malformed);
    // Two requests for those who take a line feed alone for an end.
    refused(text.replacen("websocket\r\n", "websocket\n\n", 1).as_bytes(), Refusal::Malformed);
    for line in ["Bad Name: x", ": x", "X: a\u{0}b", " folded: x", "X: y\r\n z"] {
        refused(&with(line), Refusal::Malformed);
    }
}

#[test]
fn nothing_may_follow_a_request_before_its_answer() {
    refused(&[request(&LINES), vec![0x81]].concat(), Refusal::EarlyBytes);
    refused(&request(&LINES).repeat(2), Refusal::EarlyBytes);
}

#[test]
fn it_is_whole_only_at_its_end_wherever_it_is_cut() {
    let bytes = request(&LINES);
    for cut in 0..bytes.len() {
        assert_eq!(judge(&bytes[..cut]), Ok(None));
        assert!(read(&bytes, cut, &rules()).unwrap().is_some(), "its end is found though {cut} bytes were looked at before");
    }
}

#[test]
fn every_refusal_has_a_page_and_ends_the_connection() {
    for (index, &refusal) in Refusal::ALL.iter().enumerate() {
        assert_eq!(refusal as usize, index);
        let page = String::from_utf8(answer::refuse(refusal, &rules())).unwrap();
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {} ", refusal.status())) && !head.contains(" Error\r\n"), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(head.contains("Sec-WebSocket-Version: 13"), refusal.status() == 426, "{head}");
        assert_eq!(head.contains("Allow: GET"), refusal.status() == 405, "{head}");
        assert!(body.contains(refusal.reason()), "{body}");
        assert_eq!(body.contains("http://127.0.0.1:7402/"), refusal == Refusal::NotAnUpgrade, "{body}");
    }
}

proptest! {
    #[test]
    fn no_request_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300), spot in 0..200_usize) {
        let mut spoilt = request(&LINES);
        let spot = spot.min(spoilt.len());
        spoilt.splice(spot..spot, bytes.iter().copied());
        let _ = judge(&bytes);
        let _ = judge(&spoilt);
    }
}
