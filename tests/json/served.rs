//! JSON end to end: the real server, a client that writes JSON, and one of the binary protocol.

use serde_json::{Value, json};

use crate::support::client::{Client, Extra};
use crate::support::server::Server;
use crate::support::websocket::{FIN, Got, JSON, Socket, TEXT};

/// Somebody who writes texts.
struct Script {
    socket: Socket,
}

impl Script {
    fn open(server: &Server) -> Script {
        Script { socket: Socket::upgraded(server.ws, JSON) }
    }

    fn log_in(server: &Server, user: &str) -> Script {
        let mut script = Script::open(server);
        script.send(&json!({"type": "connect", "ref": 1, "token": format!("dev:{user}"), "device": "script"}).to_string());
        assert_eq!(script.next("welcome")["user"], user);
        script
    }

    fn send(&mut self, text: &str) {
        self.socket.send(FIN | TEXT, text.as_bytes());
    }

    fn receive(&mut self) -> Value {
        match self.socket.next() {
            Got::Frame(first, text) if first == FIN | TEXT => serde_json::from_slice(&text).expect("JSON"),
            got => panic!("no text: {got:?}"),
        }
    }

    /// The next object of a type; what else comes is of no interest.
    fn next(&mut self, kind: &str) -> Value {
        loop {
            let got = self.receive();
            if got["type"] == kind {
                return got;
            }
            assert_ne!(got["type"], "error", "{got}");
        }
    }

    /// The code and the sentence with which a request is refused.
    fn refused(&mut self, reference: u64) -> (String, String) {
        loop {
            let got = self.receive();
            if got["type"] == "error" {
                assert_eq!(got["ref"].as_u64().unwrap_or(0), reference, "{got}");
                return (got["code"].as_str().unwrap().to_owned(), got["message"].as_str().unwrap().to_owned());
            }
        }
    }
}

#[test]
fn a_script_and_a_client_of_the_binary_protocol_talk_with_each_other() {
    let server = Server::start(&[]);
    let [mine, theirs] = server.users(1);
    let (script_name, name) = (&mine[0], &theirs[0]);
    let mut script = Script::log_in(&server, script_name);
    let mut client = Client::connect(&server, name, "phone");

    script.send(
        &json!({"type": "publish", "ref": 2, "conversation": format!("direct:{name}"), "body": "Grüße \"🔔\"\n"}).to_string(),
    );
    let ack = script.next("ack");
    let message = client.message();
    assert_eq!((message.text(), ack["seq"].as_u64(), ack["ref"].as_u64()), ("Grüße \"🔔\"\n", Some(message.seq), Some(2)));

    let plain =
        json!({"timestamp": 17.5, "type": "message", "to": format!("direct:{name}"), "content": "plain", "sender": script_name});
    script.send(&plain.to_string());
    assert_eq!(script.next("ack").get("ref"), None);
    let message = client.message();
    assert_eq!((message.text(), message.content_type.as_str(), &message.sender), ("plain", "", script_name));

    let to = format!("direct:{script_name}");
    let mut comes = |body: &[u8], content_type, key: &str, value: &str| {
        let reference = client.send_publish(&to, body, Extra { content_type, ..Extra::default() });
        let ack = client.ack(reference);
        let got = script.next("message");
        assert_eq!(
            (&got[key], &got["conversation"], &got["seq"]),
            (&json!(value), &json!(format!("direct:{name}")), &json!(ack.seq))
        );
        assert_eq!((got.get("kind"), got.get("ttl_ms"), got.get("is_retracted")), (None, None, None));
    };
    comes(b"hi \\ \"\n", None, "body", "hi \\ \"\n");
    comes(b"\xff\x00", None, "body_base64", "/wA=");
    comes(b"text", Some("image/png"), "body_base64", "dGV4dA==");
}

#[test]
fn what_cannot_be_read_is_answered_and_the_connection_goes_on() {
    let server = Server::start(&[]);
    let mut script = Script::log_in(&server, "alice");
    let refused = |code: &str, message: &str| (code.to_owned(), message.to_owned());
    script.send(r#"{"type":"publish","ref":7,"conversation":"bob"}"#);
    let sentence = "conversation: expected direct:USER, group:ID, topic:ID or broadcast";
    assert_eq!(script.refused(7), refused("bad_request", sentence));
    script.send(r#"{"type":"message","ref":8,"to":"direct:bob","content":"hi","sender":"bob"}"#);
    assert_eq!(script.refused(8), refused("sender_mismatch", "sender: not the user of this session"));
    script.send("not JSON");
    assert_eq!(script.refused(0).0, "bad_request");
    script.send(r#"{"type":"frobnicate","ref":9}"#);
    assert_eq!(script.refused(9), refused("unknown_verb", "type: there is no verb 'frobnicate'"));
    // Read as a frame, and refused as a frame: by the session.
    script.send(r#"{"type":"ack","ref":10}"#);
    assert_eq!(script.refused(10).0, "unknown_verb");
    script.send(r#"{"type":"publish","ref":11,"conversation":"direct:","body":"hi"}"#);
    assert_eq!(script.refused(11), refused("invalid_id", "conversation.id: an id has at least 1 byte"));
    script.send(r#"{"type":"publish","ref":12,"body":"hi"}"#);
    assert_eq!(script.refused(12).0, "bad_request");
    script.send(&json!({"type": "publish", "ref": 13, "conversation": "broadcast", "body": "é".repeat(33_000)}).to_string());
    assert_eq!(script.refused(13).0, "body_too_large");
    assert_eq!((server.errors("sender_mismatch"), server.errors("unknown_verb"), server.errors("bad_request")), (1, 2, 3));
    script.send(r#"{"type":"ping","ref":14}"#);
    assert_eq!(script.next("pong")["ref"], 14);
}

#[test]
fn a_frame_that_would_be_too_large_ends_the_connection() {
    let server = Server::start(&[]);
    let mut script = Script::log_in(&server, "alice");
    script.send(&json!({"type": "publish", "conversation": "broadcast", "body": "x".repeat(80_000)}).to_string());
    assert_eq!(script.next("go_away")["code"], "frame_too_large");
    assert_eq!(script.socket.closed(), (Some(4101), "frame_too_large".to_owned()));
}

#[test]
fn before_the_login_the_first_error_is_the_last() {
    let server = Server::start(&[]);
    for (text, message) in [
        (r#"{"type":"connect","ref":3,"token":7}"#, "token: expected a string"),
        (
            r#"{"ref":3,"type":"connect","token":"dev:alice","divice":"x"}"#,
            "divice: there is no such field; there are version, token, device, resume, features",
        ),
    ] {
        let mut script = Script::open(&server);
        script.send(text);
        assert_eq!(script.refused(3), ("bad_request".to_owned(), message.to_owned()));
        assert_eq!(script.next("go_away")["code"], "malformed_frame");
        assert_eq!(script.socket.closed(), (Some(4100), "malformed_frame".to_owned()));
    }
    let mut script = Script::open(&server);
    script.send(r#"{"type":"message","to":"direct:bob","content":"hi"}"#);
    assert_eq!(script.next("go_away")["code"], "connect_expected");
    assert_eq!(script.socket.closed(), (Some(4102), "connect_expected".to_owned()));
}
