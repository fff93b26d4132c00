//! Users of all transports talk with each other.

use campanile::wire::schema::{CloseCode, RecordKind};
use serde_json::{Value, json};

use crate::support::client::{Client, Extra};
use crate::support::server::Server;
use crate::support::websocket::{FIN, Got, JSON, PING, PONG, Socket, TEXT};

/// A session that speaks JSON.
pub struct Speaker {
    pub socket: Socket,
}

impl Speaker {
    pub fn connect(server: &Server, user: &str, device: &str) -> Speaker {
        let mut speaker = Speaker { socket: Socket::upgraded(server.ws, JSON) };
        let welcome = speaker.ask(json!({"type": "connect", "token": format!("dev:{user}"), "device": device}));
        assert_eq!((&welcome["type"], &welcome["user"]), (&json!("welcome"), &json!(user)));
        speaker
    }

    pub fn say(&mut self, value: &Value) {
        self.socket.send(FIN | TEXT, value.to_string().as_bytes());
    }

    /// The next message; pongs are passed over.
    pub fn next(&mut self) -> Value {
        loop {
            match self.socket.next() {
                Got::Frame(first, _) if first == FIN | PONG => {}
                Got::Frame(first, text) => {
                    assert_eq!(first, FIN | TEXT);
                    return serde_json::from_slice(&text).expect("JSON");
                }
                got => panic!("no message: {got:?}"),
            }
        }
    }

    /// The next message of this type.
    pub fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let value = self.next();
            if value["type"] == kind {
                return value;
            }
        }
    }

    /// The answer to a request.
    pub fn ask(&mut self, mut value: Value) -> Value {
        value["ref"] = json!(99);
        self.say(&value);
        loop {
            let value = self.next();
            if value["ref"] == 99 {
                return value;
            }
        }
    }
}

#[test]
fn users_of_both_transports_talk_with_each_other() {
    let server = Server::start(&[]);
    let [mine, theirs] = server.users(2);
    // On either shard one of each transport: about half of them are handed over.
    for (browser, other) in [(&mine[0], &theirs[0]), (&theirs[1], &mine[1])] {
        let mut browser_client = Client::connect_websocket(&server, browser, "browser");
        let mut other_client = Client::connect(&server, other, "phone");
        for round in 0..4 {
            let text = format!("message {round}");
            browser_client.publish(&format!("direct:{other}"), &text);
            assert_eq!(other_client.message().text(), text);
            let long = "long ".repeat(1 << (4 * round));
            other_client.publish(&format!("direct:{browser}"), &long);
            assert_eq!(browser_client.message().text(), long);
        }
    }
    assert_eq!(server.metric("campanile_upgrades_total", ""), 2);
}

#[test]
fn json_says_what_frames_say() {
    let server = Server::start(&[]);
    let [mine, theirs] = server.users(2);
    for (speaker, other) in [(&mine[0], &theirs[0]), (&theirs[1], &mine[1])] {
        let mut other_client = Client::connect(&server, other, "phone");
        let mut client = Speaker::connect(&server, speaker, "browser");
        let to = format!("direct:{other}");
        let ack = client.ask(json!({"type": "publish", "conversation": to, "body": "with every word", "client_id": "1"}));
        assert_eq!((&ack["type"], &ack["seq"], &ack["duplicate"]), (&json!("ack"), &json!(1), &json!(false)));
        let got = other_client.message();
        assert_eq!((got.text(), got.sender.as_str()), ("with every word", speaker.as_str()));
        let ack = client.ask(json!({"type": "message", "to": to, "content": "as people do", "sender": speaker}));
        assert_eq!((&ack["type"], &ack["seq"]), (&json!("ack"), &json!(2)));
        assert_eq!(other_client.message().text(), "as people do");
        other_client.publish(&format!("direct:{speaker}"), "to you \u{1f514} \"quoted\"\n");
        let got = client.next_of("message");
        assert_eq!(
            (&got["sender"], &got["body"], &got["seq"]),
            (&json!(other), &json!("to you \u{1f514} \"quoted\"\n"), &json!(3))
        );
        // Whatever is wrong is told, and the connection goes on.
        let error = client.ask(json!({"type": "message", "to": to, "content": "who?", "sender": other}));
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("sender_mismatch")));
        let error = client.ask(json!({"type": "publish", "conversation": to, "bdy": "typo"}));
        assert!(error["code"] == "bad_request" && error["message"].as_str().unwrap().contains("bdy"), "{error}");
        client.socket.send(FIN | TEXT, b"[1, 2");
        assert_eq!(client.next_of("error")["code"], "bad_request");
        assert_eq!(client.ask(json!({"type": "ping"}))["type"], "pong");
    }
    assert_eq!((server.errors("sender_mismatch"), server.errors("bad_request")), (2, 4));
}

#[test]
fn without_a_sub_protocol_json_is_spoken() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(server.ws);
    socket.write(crate::support::websocket::request("").as_bytes());
    assert!(!socket.head().contains("Sec-WebSocket-Protocol"));
    let mut script = Speaker { socket };
    assert_eq!(script.ask(json!({"type": "connect", "token": "dev:script"}))["type"], "welcome");
}

#[test]
fn one_group_is_heard_in_every_dress() {
    let server = Server::start(&[]);
    let [here, there] = server.users(3);
    let members: Vec<&str> = here[1..].iter().chain(&there).map(String::as_str).collect();
    let mut owner = Client::connect(&server, &here[0], "phone");
    owner.group_create("team", false, false, &members);
    let mut frames = [Client::connect(&server, members[0], "tcp"), Client::connect_websocket(&server, members[1], "binary")];
    let mut more = Client::connect_websocket(&server, members[2], "binary");
    let mut json = [Speaker::connect(&server, members[3], "json"), Speaker::connect(&server, members[4], "json")];
    for client in frames.iter_mut().chain([&mut more]) {
        client.rest_of("group:team");
    }
    for speaker in &mut json {
        speaker.ask(json!({"type": "members", "conversation": "group:team"}));
    }
    // Pipelined, so that runs of messages leave with one send.
    const MESSAGES: usize = 50;
    let texts: Vec<String> = (0..MESSAGES).map(|i| format!("{i} {}", "x".repeat(97 * i % 4000))).collect();
    let references: Vec<u64> =
        texts.iter().map(|text| owner.send_publish("group:team", text.as_bytes(), Extra::default())).collect();
    for reference in references {
        owner.ack(reference);
    }
    for client in frames.iter_mut().chain([&mut more]) {
        assert_eq!(client.texts(MESSAGES), texts);
    }
    for speaker in &mut json {
        for text in &texts {
            assert_eq!(speaker.next_of("message")["body"], *text);
        }
    }
}

#[test]
fn a_message_of_any_size_and_content_comes_through_in_either_encoding() {
    let server = Server::start(&[]);
    let mut binary = Client::connect_websocket(&server, "binary", "browser");
    let mut speaker = Speaker::connect(&server, "speaker", "script");
    // 65,536 bytes that take six each in JSON: as large as a message gets.
    let worst = "\u{1}".repeat(65_536);
    for text in ["", "x", &"y".repeat(125), &"z".repeat(70), &"€".repeat(20_000), &worst] {
        binary.publish("direct:speaker", text);
        assert_eq!(speaker.next_of("message")["body"], *text);
        let ack = speaker.ask(json!({"type": "message", "to": "direct:binary", "content": text}));
        assert_eq!(ack["type"], "ack", "{ack}");
        assert_eq!(binary.message().text(), text);
    }
    let bytes: Vec<u8> = (0..=255).collect();
    let reference = binary.send_publish("direct:speaker", &bytes, Extra::default());
    binary.ack(reference);
    let got = speaker.next_of("message");
    assert_eq!(got["body"], Value::Null);
    let ack = speaker.ask(json!({"type": "publish", "conversation": "direct:binary", "body_base64": got["body_base64"]}));
    assert_eq!(ack["type"], "ack", "{ack}");
    assert_eq!(binary.message().body, bytes);
}

#[test]
fn a_backlog_of_the_largest_messages_reaches_a_reader_of_json() {
    // In JSON each takes six times the place: what waits for one session is bounded, and must be no trap.
    let server = Server::start(&[]);
    let mut binary = Client::connect(&server, "binary", "phone");
    let worst = "\u{1}".repeat(65_536);
    let references: Vec<u64> =
        (0..8).map(|_| binary.send_publish("direct:speaker", worst.as_bytes(), Extra::default())).collect();
    for reference in references {
        binary.ack(reference);
    }
    let mut speaker = Speaker::connect(&server, "speaker", "script");
    for seq in 1..=8 {
        let got = speaker.next_of("message");
        assert_eq!((&got["seq"], got["body"].as_str().unwrap().len()), (&json!(seq), 65_536));
    }
    assert_eq!(server.closes("slow_consumer"), 0);
}

#[test]
fn pings_are_answered_before_login_and_after_it_wherever_the_user_lives() {
    let server = Server::start(&[]);
    for (number, user) in server.users(1).iter().flatten().enumerate() {
        let mut socket = Socket::upgraded(server.ws, JSON);
        let connect = json!({"type": "connect", "ref": 99, "token": format!("dev:{user}")}).to_string();
        let (front, back) = connect.as_bytes().split_at(10);
        // The pongs leave before the connection moves to its user's home.
        socket.send(FIN | PING, b"before");
        socket.send(TEXT, front);
        socket.send(FIN | PING, b"between");
        socket.send(FIN, back);
        socket.send(FIN | PING, b"after");
        for payload in ["before", "between"] {
            assert_eq!(socket.next(), Got::Frame(FIN | PONG, payload.into()));
        }
        let mut got: Vec<Got> = (0..3).map(|_| socket.next()).collect();
        let pong = Got::Frame(FIN | PONG, b"after".into());
        assert!(got.contains(&pong), "{got:?}");
        got.retain(|got| *got != pong);
        let Got::Frame(0x81, welcome) = &got[0] else { panic!("{got:?}") };
        assert!(String::from_utf8_lossy(welcome).starts_with("{\"type\":\"welcome\",\"ref\":99,"), "{number}");
    }
}

#[test]
fn a_ping_is_a_sign_of_life() {
    let server = Server::start(&["--heartbeat-ms", "100", "--idle-timeout-ms", "400"]);
    let mut silent = Client::connect_websocket(&server, "silent", "browser");
    let mut alive = Speaker::connect(&server, "alive", "browser");
    while server.closes("idle_timeout") == 0 {
        alive.socket.send(FIN | PING, b"");
        while !matches!(alive.socket.next(), Got::Frame(0x8a, _)) {}
    }
    assert_eq!(silent.closed(), CloseCode::idle_timeout);
    assert_eq!(alive.ask(json!({"type": "ping"}))["type"], "pong");
    assert_eq!(server.closes("idle_timeout"), 1);
}

#[test]
fn a_session_takes_up_in_one_dress_what_it_left_in_another() {
    let server = Server::start(&[]);
    let mut bob = Client::connect(&server, "bob", "phone");
    let mut alice = Client::connect_websocket(&server, "alice", "laptop");
    bob.publish("direct:alice", "one");
    let one = alice.message();
    drop(alice);
    bob.publish("direct:alice", "two");
    let mut speaker = Speaker { socket: Socket::upgraded(server.ws, JSON) };
    let cursor = json!({"epoch": one.epoch.to_string(), "seq": one.seq});
    let resume = json!([{"conversation": "direct:bob", "cursor": cursor}]);
    speaker.ask(json!({"type": "connect", "token": "dev:alice", "device": "laptop", "resume": resume}));
    let two = speaker.next_of("message");
    assert_eq!((&two["body"], &two["seq"]), (&json!("two"), &json!(2)));
    let mut again = Client::open(&server);
    again.log_in("alice", "laptop", &[("direct:bob", (one.epoch, 2), &[])]);
    assert_eq!(again.rest(), []);
    bob.publish("direct:alice", "three");
    assert_eq!(again.record(RecordKind::message).text(), "three");
}
