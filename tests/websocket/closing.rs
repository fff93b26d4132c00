//! The end of a WebSocket, whoever begins it.

use campanile::wire::schema::CloseCode;
use serde_json::json;

use crate::support::client::{Client, connect_frame};
use crate::support::server::Server;
use crate::support::websocket::{BINARY, CLOSE, FB, FIN, Got, JSON, PING, Socket, TEXT, close};
use crate::talk::Speaker;

#[test]
fn a_client_that_closes_gets_its_code_back_and_the_end_of_the_stream() {
    let server = Server::start(&[]);
    let mut closes = 0;
    for user in server.users(1).iter().flatten() {
        let said: [(Vec<u8>, Option<u16>); 4] = [
            (vec![], None),
            (close(1000, b""), Some(1000)),
            (close(1001, "going \u{1f44b}".as_bytes()), Some(1001)),
            (close(4999, &[b'x'; 123]), Some(4999)),
        ];
        for (payload, code) in said {
            let mut client = Speaker::connect(&server, user, "browser");
            client.ask(json!({"type": "ping"}));
            client.socket.send(FIN | CLOSE, &payload);
            // Nothing that follows is heard.
            client.socket.send(FIN | PING, b"late");
            client.socket.send(0x7f, b"nonsense");
            assert_eq!(client.socket.closed_at_last(), (code, String::new()));
            closes += 1;
            server.wait_for("campanile_closes_total", "code=\"peer\"", |count| count >= closes);
        }
    }
    server.wait_for("campanile_sessions", "", |sessions| sessions == 0);
    server.wait_for("campanile_connections", "", |connections| connections == 0);
    assert_eq!(server.metric("campanile_websocket_faults_total", ""), 0);
}

#[test]
fn a_client_may_close_before_it_logs_in() {
    let server = Server::start(&[]);
    for protocol in [FB, JSON] {
        let mut socket = Socket::upgraded(server.ws, protocol);
        socket.send(FIN | CLOSE, &close(1000, b"never mind"));
        assert_eq!(socket.closed(), (Some(1000), String::new()));
    }
    server.wait_for("campanile_connections", "", |connections| connections == 0);
}

#[test]
fn what_was_answered_before_a_close_comes_before_its_answer() {
    let server = Server::start(&[]);
    for user in server.users(1).iter().flatten() {
        let mut client = Speaker::connect(&server, user, "browser");
        client.ask(json!({"type": "ping"}));
        let mut bytes = Vec::new();
        for reference in 1..=3 {
            let ping = json!({"type": "ping", "ref": reference}).to_string();
            bytes.extend(crate::support::websocket::frame(FIN | TEXT, ping.as_bytes()));
        }
        bytes.extend(crate::support::websocket::frame(FIN | CLOSE, &close(1000, b"")));
        client.socket.write(&bytes);
        for reference in 1..=3 {
            assert_eq!(client.next_of("pong")["ref"], reference);
        }
        assert_eq!(client.socket.closed_at_last().0, Some(1000));
    }
}

#[test]
fn a_server_that_closes_says_why_in_its_own_words_and_in_those_of_websocket() {
    let server = Server::start(&["--sessions-per-user-max", "1"]);
    let connect = |device: &str| json!({"type": "connect", "token": "dev:alice", "device": device});
    let mut first = Speaker::connect(&server, "alice", "browser");
    let mut refused = Speaker { socket: Socket::upgraded(server.ws, JSON) };
    refused.say(&connect("other"));
    assert_eq!(refused.next()["code"], "too_many_sessions");
    assert_eq!(refused.socket.closed(), (Some(4108), "too_many_sessions".to_owned()));
    let again = Speaker::connect(&server, "alice", "browser");
    assert_eq!(first.next_of("go_away")["code"], "replaced");
    assert_eq!(first.socket.closed(), (Some(4109), "replaced".to_owned()));
    drop(again);
    let mut nobody = Speaker { socket: Socket::upgraded(server.ws, JSON) };
    nobody.say(&json!({"type": "ping"}));
    assert_eq!(nobody.next()["code"], "connect_expected");
    assert_eq!(nobody.socket.closed().0, Some(4102));
    let mut typo = Speaker { socket: Socket::upgraded(server.ws, JSON) };
    typo.say(&json!({"type": "connect", "ref": 5, "tokn": "dev:alice"}));
    let error = typo.next();
    assert!(error["ref"] == 5 && error["message"].as_str().unwrap().contains("tokn"), "{error}");
    assert_eq!(typo.next()["code"], "malformed_frame");
    assert_eq!(typo.socket.closed().0, Some(4100));
}

#[test]
fn what_is_no_frame_ends_a_binary_connection() {
    let server = Server::start(&[]);
    let connect = connect_frame("alice", "browser", &[]);
    let messages: [(Vec<u8>, CloseCode); 5] = [
        (b"".to_vec(), CloseCode::malformed_frame),
        (vec![7; 100], CloseCode::frame_too_large),
        (connect[..connect.len() - 1].to_vec(), CloseCode::malformed_frame),
        ([&connect[..], &[0]].concat(), CloseCode::malformed_frame),
        (connect.repeat(2), CloseCode::malformed_frame),
    ];
    for logged_in in [false, true] {
        for (message, code) in &messages {
            let mut client =
                if logged_in { Client::connect_websocket(&server, "alice", "phone") } else { Client::open_websocket(&server) };
            client.socket.as_mut().unwrap().send(FIN | BINARY, message);
            assert_eq!(client.closed(), *code, "{message:?}");
        }
    }
    assert_eq!((server.closes("malformed_frame"), server.closes("frame_too_large")), (8, 2));
}

#[test]
fn one_that_goes_without_a_word_is_gone() {
    let server = Server::start(&[]);
    for user in server.users(1).iter().flatten() {
        let before = server.closes("peer");
        let client = Speaker::connect(&server, user, "browser");
        client.socket.stream.shutdown(std::net::Shutdown::Both).unwrap();
        server.wait_for("campanile_closes_total", "code=\"peer\"", |closes| closes == before + 1);
    }
    server.wait_for("campanile_connections", "", |connections| connections == 0);
}

#[test]
fn a_slow_reader_is_closed_and_resumes() {
    let server = Server::start(&["--send-stall-timeout-ms", "500"]);
    let mut bob = Client::connect(&server, "bob", "phone");
    let mut slow = Speaker::connect(&server, "slow", "browser");
    bob.publish("direct:slow", "first");
    let first = slow.next_of("message");
    let body = "x".repeat(60_000);
    let mut sent = 1;
    while server.closes("slow_consumer") == 0 {
        bob.publish("direct:slow", &body);
        sent += 1;
    }
    drop(slow);
    let mut again = Speaker { socket: Socket::upgraded(server.ws, JSON) };
    let resume = json!([{"conversation": "direct:bob", "cursor": {"epoch": first["epoch"], "seq": 1}}]);
    again.ask(json!({"type": "connect", "token": "dev:slow", "device": "browser", "resume": resume}));
    for seq in 2..=sent {
        assert_eq!(again.next_of("message")["seq"], seq);
    }
}

#[test]
fn a_server_that_stops_tells_everybody() {
    let mut server = Server::start(&[]);
    let mut json = Speaker::connect(&server, "alice", "browser");
    let mut binary = Client::connect_websocket(&server, "bob", "browser");
    let mut nobody = Socket::upgraded(server.ws, FB);
    let mut asking = Socket::open(server.ws);
    server.wait_for("campanile_connections", "", |connections| connections == 4);
    server.terminate();
    let farewell = json.next_of("go_away");
    assert!(farewell["code"] == "shutting_down" && farewell["reconnect_after_ms"].as_u64().unwrap() <= 5000, "{farewell}");
    assert_eq!(json.socket.closed(), (Some(4000), "shutting_down".to_owned()));
    assert_eq!(binary.closed(), CloseCode::shutting_down);
    assert!(matches!(nobody.next(), Got::Frame(0x82, _)));
    assert_eq!(nobody.closed().0, Some(4000));
    assert!(asking.head().starts_with("HTTP/1.1 503 "));
    drop((json, binary, nobody, asking));
    assert_eq!(server.wait().code(), Some(0));
}
