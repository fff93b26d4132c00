//! Hostile peers. Each gets its documented answer and is counted, and two bystanders on the two shards talk on as if nothing were.
//!
//! `corpus/table.txt` lists fixed inputs with their outcomes; what takes time, size or number stands here.
#![cfg(feature = "server")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use campanile::wire::schema::{CloseCode, ErrorCode};

use support::bystanders::Bystanders;
use support::client::{CONNECT_REF, Client, Extra, connect_frame};
use support::seen::Seen;
use support::server::Server;

// ---------------------------------------------------------------------------------------------------- the corpus

struct Case {
    name: String,
    in_session: bool,
    outcome: Outcome,
}

enum Outcome {
    Close(String),
    Error(String),
    Welcome,
    Peer,
}

impl Case {
    fn read(line: &str) -> Case {
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap_or_else(|| panic!("{line}")).to_owned();
        let (name, stage, outcome) = (word(), word(), word());
        let outcome = match outcome.as_str() {
            "close" => Outcome::Close(word()),
            "error" => Outcome::Error(word()),
            "peer" => Outcome::Peer,
            "welcome" => Outcome::Welcome,
            other => panic!("{other} is no outcome: {line}"),
        };
        assert!(["first", "session"].contains(&stage.as_str()), "{line}");
        Case { name, in_session: stage == "session", outcome }
    }

    fn bytes(&self) -> Vec<u8> {
        let path = format!("{}/tests/corpus/{}.hex", env!("CARGO_MANIFEST_DIR"), self.name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    /// The number that must go up.
    fn counter(&self) -> (&'static str, String) {
        match &self.outcome {
            Outcome::Close(code) => ("campanile_closes_total", format!("code=\"{code}\"")),
            Outcome::Error(code) => ("campanile_errors_total", format!("code=\"{code}\"")),
            Outcome::Welcome => ("campanile_accepts_total", String::new()),
            Outcome::Peer => ("campanile_closes_total", "code=\"peer\"".to_owned()),
        }
    }
}

#[test]
fn each_input_of_the_corpus_has_its_outcome_and_disturbs_nobody() {
    let table = std::fs::read_to_string(format!("{}/tests/corpus/table.txt", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let cases: Vec<Case> = table.lines().filter(|line| !line.starts_with('#')).map(Case::read).collect();
    let files = std::fs::read_dir(format!("{}/tests/corpus", env!("CARGO_MANIFEST_DIR"))).unwrap().count();
    assert_eq!(cases.len() + 1, files, "each file has its line");
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    for case in &cases {
        // One hostile user on either shard, since what is refused is refused by the home of the user.
        for hostile in ["hostile", "hostess", "host"] {
            let (name, label) = case.counter();
            let before = server.metric(name, &label);
            let mut client = Client::open(&server);
            if case.in_session {
                client.log_in(hostile, &case.name, &[]);
            }
            client.write(&case.bytes());
            match &case.outcome {
                Outcome::Close(code) => {
                    let (_, seen) = client.event_or_answer();
                    let Seen::GoAway { code: got, .. } = seen else { panic!("{}: {seen:?}", case.name) };
                    assert_eq!(got.variant_name(), Some(code.as_str()), "{}", case.name);
                    assert_eq!(client.until_end(), [], "{}", case.name);
                }
                Outcome::Error(code) => {
                    let (reference, seen) = client.event_or_answer();
                    let Seen::Error { code: got, .. } = seen else { panic!("{}: {seen:?}", case.name) };
                    assert_eq!((reference, got.variant_name()), (7, Some(code.as_str())), "{}", case.name);
                    client.publish(&format!("topic:{hostile}"), "alive");
                }
                Outcome::Welcome => assert!(matches!(client.answer(7), Seen::Welcome { .. }), "{}", case.name),
                Outcome::Peer => {
                    client.half_close();
                    client.until_end();
                }
            }
            server.wait_for(name, &label, |count| count == before + 1);
        }
        bystanders.exchange();
    }
    server.wait_for("campanile_connections", "", |connections| connections == 2);
}

// --------------------------------------------------------------------------------------------- size, number, time

#[test]
fn a_body_above_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    let mut client = Client::connect(&server, "hostile", "phone");
    let reference = client.send_publish("topic:t", &vec![0; 65_537], Extra::default());
    assert_eq!(client.refused(reference), ErrorCode::body_too_large);
    let reference = client.send_publish("topic:t", &vec![0; 65_536], Extra::default());
    assert_eq!(client.ack(reference).seq, 1);
    assert_eq!(server.errors("body_too_large"), 1);
    bystanders.exchange();
}

#[test]
fn ten_thousand_subscriptions_are_a_thousand() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    let mut client = Client::connect(&server, "hostile", "phone");
    let (mut subscribed, mut refused) = (0, 0);
    for batch in 0..100 {
        let references: Vec<u64> =
            (0..100).map(|i| client.send_subscribe(&format!("topic:{}", 100 * batch + i), None, &[])).collect();
        for reference in references {
            match client.answer(reference) {
                Seen::Subscribed { .. } => subscribed += 1,
                Seen::Error { code: ErrorCode::too_many_subscriptions, .. } => refused += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((subscribed, refused), (1000, 9000));
    assert_eq!(server.errors("too_many_subscriptions"), 9000);
    bystanders.clients[0].publish("topic:7", "still delivered");
    assert_eq!(client.message().text(), "still delivered");
    bystanders.exchange();
    // Topics that nobody receives and that keep nothing are forgotten.
    drop(client);
    server.wait_for("campanile_mirrors", "", |mirrors| mirrors <= 4);
    server.wait_for("campanile_conversations", "", |conversations| conversations <= 4);
    bystanders.exchange();
}

#[test]
fn who_never_logs_in_is_closed() {
    let server = Server::start(&["--login-timeout-ms", "300"]);
    let mut bystanders = Bystanders::on(&server);
    let mut silent: Vec<Client> = (0..20).map(|_| Client::open(&server)).collect();
    // A byte now and then keeps nobody.
    let mut slow = Client::open(&server);
    let connect = connect_frame("hostile", "phone", &[]);
    slow.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut first = [0; 1];
    for byte in connect.iter().take(connect.len() - 1) {
        if slow.stream.write_all(&[*byte]).is_err() {
            break;
        }
        // The pause is the attack: it ends when the server says something.
        match slow.stream.peek(&mut first) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    slow.stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    assert_eq!(slow.closed(), CloseCode::login_timeout);
    for client in &mut silent {
        assert_eq!(client.closed(), CloseCode::login_timeout);
    }
    assert_eq!(server.closes("login_timeout"), 21);
    bystanders.exchange();
}

#[test]
fn a_frame_that_trickles_in_is_closed() {
    let server = Server::start(&["--frame-timeout-ms", "300"]);
    let mut bystanders = Bystanders::on(&server);
    for user in ["hostile", "hostess", "host"] {
        let mut client = Client::connect(&server, user, "phone");
        client.rest();
        let (_, frame) = client.publish_frame("topic:t", &[b'x'; 2000], Extra::default());
        client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut first = [0; 1];
        for byte in &frame[..frame.len() - 1] {
            if client.stream.write_all(&[*byte]).is_err() {
                break;
            }
            match client.stream.peek(&mut first) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => break,
            }
        }
        client.stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        assert_eq!(client.closed(), CloseCode::frame_timeout);
        bystanders.exchange();
    }
    assert_eq!(server.closes("frame_timeout"), 3);
}

#[test]
fn a_million_pings_whose_answers_nobody_reads_take_bounded_memory() {
    let server = Server::start(&["--send-stall-timeout-ms", "500"]);
    let mut bystanders = Bystanders::on(&server);
    let resident = server.resident_bytes();
    let mut client = Client::open_narrow(server.tcp, 4096);
    client.log_in("hostile", "phone", &[]);
    let (_, ping) = client.frame(|b| campanile::wire::schema::Ping::create(b, &campanile::wire::schema::PingArgs {}));
    let batch = ping.repeat(1000);
    // The server stops reading when the answers have no room, so the writer meets a full socket, and later a closed one.
    client.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut written = 0;
    while written < 1_000_000 {
        match client.stream.write(&batch) {
            Ok(bytes) => written += bytes / ping.len(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => bystanders.exchange(),
            Err(_) => break,
        }
    }
    bystanders.exchange();
    let grown = server.resident_bytes().saturating_sub(resident);
    assert!(grown < 32 << 20, "{grown} bytes more");
    // Either it was closed as a slow consumer, or all that it sent has been answered as far as the kernel holds it.
    drop(client);
    server.wait_for("campanile_connections", "", |connections| connections == 2);
    bystanders.exchange();
}

#[test]
fn a_flood_of_connections_that_are_dropped_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    for round in 0..5 {
        let clients: Vec<Client> = (0..200)
            .map(|i| {
                let mut client = Client::open(&server);
                // Some say nothing, some are on their way to their home, some reset the connection with answers unread.
                if i % 3 != 0 {
                    client.write(&connect_frame(&format!("flood{i}"), &format!("{round}"), &[]));
                }
                if i % 3 == 1 {
                    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
                }
                client
            })
            .collect();
        bystanders.exchange();
        drop(clients);
        server.wait_for("campanile_connections", "", |connections| connections == 2);
        server.wait_for("campanile_sessions", "", |sessions| sessions == 2);
        bystanders.exchange();
    }
    assert!(server.closes("peer") >= 900);
}

#[test]
fn a_half_open_peer_is_found() {
    let server = Server::start(&["--heartbeat-ms", "100", "--idle-timeout-ms", "700"]);
    let [here, there] = server.users(1);
    for user in [&here[0], &there[0]] {
        // It is there for the kernel, but answers nothing: as if its machine were gone.
        let mut client = Client::open(&server);
        client.log_in(user, "phone", &[]);
        let before = server.closes("idle_timeout");
        server.wait_for("campanile_closes_total", "code=\"idle_timeout\"", |closes| closes == before + 1);
        // One that has shut its sending side is taken at its word.
        let before = server.closes("peer");
        let mut client = Client::connect(&server, user, "laptop");
        client.half_close();
        client.until_end();
        server.wait_for("campanile_closes_total", "code=\"peer\"", |closes| closes == before + 1);
    }
    server.wait_for("campanile_connections", "", |connections| connections == 0);
}

#[test]
fn one_who_writes_on_after_goodbye_is_cut_off() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    let mut client = Client::connect(&server, "hostile", "phone");
    client.write(&connect_frame("hostile", "phone", &[]));
    // It neither closes nor listens, but goes on writing: the server gives it a second, and then the connection is gone.
    let (_, frame) = client.publish_frame("topic:t", &[b'x'; 4000], Extra::default());
    let mut chunk = [0; 4096];
    client.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    // The kernel may keep its window shut for good once the server has closed: that is an end, too.
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut ended = false;
    while client.stream.write_all(&frame).is_ok() {
        match client.stream.read(&mut chunk) {
            Ok(0) => ended = true,
            Ok(_) => assert!(!ended),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    server.wait_for("campanile_connections", "", |connections| connections == 2);
    assert_eq!(server.closes("already_connected"), 1);
    let mut again = Client::open(&server);
    again.write(&connect_frame("hostile", "phone", &[]));
    assert!(matches!(again.answer(CONNECT_REF), Seen::Welcome { .. }));
    bystanders.exchange();
}
