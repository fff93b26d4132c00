//! Starting, being looked after, and stopping.

use std::process::Command;

use campanile::wire::schema::{CloseCode, ErrorCode};

use crate::support::client::{Client, Extra};
use crate::support::seen::Seen;
use crate::support::server::Server;

#[test]
fn a_stopping_server_delivers_what_it_acknowledged_and_says_goodbye_to_all() {
    let mut server = Server::start(&["--publish-rate-per-user", "0", "--goaway-spread-ms", "3000"]);
    let [here, there] = server.users(3);
    let mut pairs: Vec<(Client, Client, String)> = [(&here[0], &there[0]), (&there[1], &here[1]), (&here[2], &there[2])]
        .map(|(from, to)| {
            let clients = (Client::connect(&server, from, "phone"), Client::connect(&server, to, "phone"));
            (clients.0, clients.1, format!("direct:{to}"))
        })
        .into();
    let mut idle = Client::connect(&server, "idle", "phone");
    std::thread::scope(|scope| {
        let publishing: Vec<_> = pairs
            .iter_mut()
            .map(|(from, to, name)| {
                let name = name.as_str();
                let reading = scope.spawn(|| to.until_end());
                let publishing = scope.spawn(|| {
                    // Until the server says goodbye. What is refused meanwhile is refused for that reason.
                    let (mut acked, mut goodbye) = (Vec::new(), None);
                    'all: loop {
                        let mut references = Vec::new();
                        for _ in 0..16 {
                            let (reference, frame) = from.publish_frame(name, b"x", Extra::default());
                            if std::io::Write::write_all(&mut from.stream, &frame).is_err() {
                                break;
                            }
                            references.push(reference);
                        }
                        for _ in 0..16 {
                            match from.raw().1 {
                                Seen::Ack(ack) => acked.push(ack.seq),
                                Seen::Error { code: ErrorCode::shutting_down, .. } => {}
                                Seen::GoAway { code, reconnect_after_ms } => goodbye = Some((code, reconnect_after_ms)),
                                Seen::End => break 'all,
                                Seen::Subscribed { .. } => {}
                                other => panic!("{other:?}"),
                            }
                        }
                    }
                    (acked, goodbye)
                });
                (publishing, reading)
            })
            .collect();
        server.wait_for("campanile_messages_in_total", "", |messages| messages > 500);
        server.terminate();
        for (publishing, reading) in publishing {
            let (acked, goodbye) = publishing.join().unwrap();
            let seen = reading.join().unwrap();
            let received: Vec<u64> = seen
                .iter()
                .filter_map(|seen| match seen {
                    Seen::Message(message) => Some(message.seq),
                    _ => None,
                })
                .collect();
            assert!(!acked.is_empty());
            assert_eq!(received, (1..=received.len() as u64).collect::<Vec<_>>());
            assert!(acked.last() <= received.last(), "acknowledged {:?}, received {:?}", acked.last(), received.last());
            // The publisher may have written to a closed socket, and then reads a reset in place of the goodbye.
            assert!(goodbye.is_none_or(|(code, after)| code == CloseCode::shutting_down && after <= 3000), "{goodbye:?}");
            let last = seen.last().unwrap();
            assert!(matches!(last, Seen::GoAway { code: CloseCode::shutting_down, .. }), "{last:?}");
        }
    });
    assert_eq!(idle.closed(), CloseCode::shutting_down);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::start(&["--stop-grace-ms", "600000"]);
    let mut client = Client::connect(&server, "alice", "phone");
    server.terminate();
    // Told to go, it stays; the server would wait for it no longer than a second, but the operator does not.
    assert_eq!(client.closed(), CloseCode::shutting_down);
    server.terminate();
    // 1: by the second signal. 0: it had just ended by itself.
    assert!(matches!(server.wait().code(), Some(0 | 1)));
}

#[test]
fn a_quiet_server_stops_and_leaves_its_port_to_the_next() {
    let mut server = Server::start(&[]);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let port = server.tcp.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_campanile")).args(["doctor", "--tcp", &port]).output().unwrap();
    assert!(output.status.success());
}

#[test]
fn a_second_server_on_the_same_port_is_refused() {
    let server = Server::start(&[]);
    for (what, address) in [("tcp", server.tcp), ("ws", server.ws), ("ops", server.ops)] {
        let others = ["tcp", "ws", "ops"].into_iter().filter(|other| *other != what);
        let others = others.flat_map(|other| [format!("--{other}"), "127.0.0.1:0".to_owned()]);
        let address = address.to_string();
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_campanile"))
            .args(others)
            .args([&format!("--{what}"), &address, "--shards", "1", "--data-dir"])
            .arg(dir.path())
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&address) && said.contains("taken") && said.contains(&format!("--{what}")), "{said}");
    }
    Client::connect(&server, "alice", "phone");
}

#[test]
fn operators_see_health_and_numbers() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/healthz").0, 200);
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.get("/nothing").0, 404);
    let mut alice = Client::connect(&server, "alice", "phone");
    let mut bob = Client::connect(&server, "bob", "phone");
    for _ in 0..10 {
        alice.publish("direct:bob", "x");
    }
    bob.texts(10);
    server.wait_for("campanile_sessions", "", |sessions| sessions == 2);
    server.wait_for("campanile_messages_in_total", "", |messages| messages == 10);
    server.wait_for("campanile_deliveries_total", "", |deliveries| deliveries == 10);
    server.wait_for("campanile_conversations", "", |conversations| conversations == 2);
    let (_, text) = server.get("/metrics");
    for name in [
        "campanile_connections",
        "campanile_received_bytes_total",
        "campanile_sent_bytes_total",
        "campanile_request_queue_depth",
        "campanile_result_queue_depth",
        "campanile_waiting_at_door",
        "campanile_drops_total",
        "campanile_closes_total",
        "campanile_turn_seconds_bucket",
        "campanile_sends_per_turn_bucket",
    ] {
        for shard in 0..2 {
            assert!(text.lines().any(|line| line.starts_with(name) && line.contains(&format!("shard=\"{shard}\""))), "{name}");
        }
    }
    // Whoever is not asked for by the address or as localhost does not answer.
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server.ops).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 4") && !text.contains("campanile_"), "{text}");
}
