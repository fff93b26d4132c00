//! What happens at each limit, to whom it happens, and that it happens to nobody else.

use std::io::Write;

use campanile::wire::schema::{CloseCode, ErrorCode};

use crate::support::client::{CONNECT_REF, Client, Extra, connect_frame};
use crate::support::seen::Seen;
use crate::support::server::Server;

#[test]
fn bytes_behind_the_login_move_with_the_connection() {
    let server = Server::start(&[]);
    let [here, there] = server.users(1);
    for round in 0..8 {
        for user in [&here[0], &there[0]] {
            let device = format!("device{round}");
            let mut client = Client::open(&server);
            let mut bytes = connect_frame(user, &device, &[]);
            let topic = format!("topic:{user}{round}");
            let frames = [(); 50].map(|()| client.publish_frame(&topic, &[b'x'; 300], Extra::default()));
            frames.iter().for_each(|(_, frame)| bytes.extend_from_slice(frame));
            if round == 0 {
                // Byte by byte, as far as the kernel goes along.
                bytes.iter().for_each(|byte| client.write(&[*byte]));
            } else {
                client.write(&bytes);
            }
            assert!(matches!(client.answer(CONNECT_REF), Seen::Welcome { .. }));
            for (i, (reference, _)) in frames.iter().enumerate() {
                assert_eq!(client.ack(*reference).seq, i as u64 + 1);
            }
        }
    }
    assert!(server.metric("campanile_handoffs_total", "") > 0, "nobody moved");
}

#[test]
fn a_slow_reader_is_closed_and_resumes_without_loss_while_others_go_on() {
    let limits = [
        ["--body-bytes-max", "16384"],
        ["--frame-bytes-max", "20480"],
        ["--page-bytes-max", "20480"],
        ["--outbox-bytes-max", "65536"],
        ["--history-messages-max", "100000"],
        ["--history-bytes-max", "100000000"],
    ];
    let server = Server::start(limits.as_flattened());
    let [here, there] = server.users(2);
    let mut publisher = Client::connect(&server, &here[0], "phone");
    let mut quick = Client::connect(&server, &there[0], "phone");
    let mut slow = Client::open_narrow(server.tcp, 4096);
    slow.log_in(&there[1], "phone", &[]);
    for reader in [&mut quick, &mut slow] {
        reader.subscribe("topic:news", None, &[]);
    }
    let body = vec![b'x'; 16_000];
    let (mut published, mut epoch) = (0, 0);
    // As much as the kernel holds for a connection, and then the outbox: nobody needs to know how much that is.
    while server.closes("slow_consumer") == 0 {
        for _ in 0..20 {
            let reference = publisher.send_publish("topic:news", &body, Extra::default());
            let ack = publisher.ack(reference);
            (published, epoch) = (ack.seq, ack.epoch);
            assert_eq!(quick.message().cursor(), (epoch, published));
        }
        assert!(published < 10_000, "a reader that reads nothing is not closed");
    }
    let received = slow.until_end();
    let mut last = 0;
    for seen in &received {
        match seen {
            Seen::Message(message) => {
                assert_eq!(message.seq, last + 1);
                last = message.seq;
            }
            Seen::GoAway { code, .. } => assert_eq!(*code, CloseCode::slow_consumer),
            other => panic!("{other:?}"),
        }
    }
    assert!(last < published);
    let mut slow = Client::resume(&server, &there[1], "phone", &[("topic:news", (epoch, last), &[])]);
    for seq in last + 1..=published {
        assert_eq!(slow.message().cursor(), (epoch, seq));
    }
    assert_eq!((slow.rest_of("topic:news"), quick.rest_of("topic:news")), (vec![], vec![]));
}

#[test]
fn a_reader_far_behind_catches_up_with_pages_and_goes_on_live() {
    let limits = ["--history-messages-max", "100000", "--history-bytes-max", "100000000"];
    let server = Server::start(&limits);
    let [here, there] = server.users(1);
    let mut publisher = Client::connect(&server, &here[0], "phone");
    let body = vec![b'x'; 4000];
    let mut last = (0, 0);
    for _ in 0..20 {
        let frames = [(); 100].map(|()| publisher.publish_frame("topic:news", &body, Extra::default()));
        for (_, frame) in &frames {
            publisher.write(frame);
        }
        for (reference, _) in frames {
            let ack = publisher.ack(reference);
            last = (ack.epoch, ack.seq);
        }
    }
    // 8 MB, thirty times what an outbox holds, for a reader whose kernel holds little.
    let mut reader = Client::open_narrow(server.tcp, 4096);
    reader.log_in(&there[0], "phone", &[("topic:news", (last.0, 0), &[])]);
    for seq in 1..=last.1 {
        assert_eq!(reader.message().seq, seq);
    }
    publisher.publish("topic:news", "live");
    assert_eq!(reader.message().text(), "live");
    assert_eq!(server.closes("slow_consumer"), 0);
}

#[test]
fn more_requests_than_the_window_are_busy_and_the_others_are_answered() {
    let server = Server::start(&["--window-requests", "4"]);
    let [here, there] = server.users(1);
    let mut client = Client::open(&server);
    let Seen::Welcome { window, .. } = client.log_in(&here[0], "phone", &[]) else { panic!("no welcome") };
    assert_eq!(window, 4);
    let to = format!("direct:{}", there[0]);
    let frames = [(); 64].map(|()| client.publish_frame(&to, b"x", Extra::default()));
    client.write(&frames.each_ref().map(|(_, frame)| frame.clone()).concat());
    let (mut acked, mut busy) = (0, 0);
    for (reference, _) in frames {
        match client.answer(reference) {
            Seen::Ack(_) => acked += 1,
            Seen::Error { code: ErrorCode::busy, retry_after_ms, .. } if retry_after_ms > 0 => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(acked >= 4 && busy > 0, "{acked} {busy}");
    assert_eq!(server.errors("busy"), busy);
    // The window is free again.
    assert_eq!(client.publish(&to, "x").seq, acked + 1);
}

#[test]
fn who_publishes_too_fast_is_told_when_to_come_back() {
    let server = Server::start(&["--publish-rate-per-user", "1", "--publish-burst-per-user", "3"]);
    let mut phone = Client::connect(&server, "alice", "phone");
    let mut laptop = Client::connect(&server, "alice", "laptop");
    let mut bob = Client::connect(&server, "bob", "phone");
    phone.publish("topic:t", "x");
    laptop.publish("topic:t", "x");
    phone.publish("topic:t", "x");
    for device in [&mut phone, &mut laptop] {
        let reference = device.send_publish("topic:t", b"x", Extra::default());
        match device.answer(reference) {
            Seen::Error { code: ErrorCode::rate_limited, retry_after_ms: 1..=1000, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    bob.publish("topic:t", "mine");
    assert_eq!(server.errors("rate_limited"), 2);
}

#[test]
fn an_address_that_connects_too_often_is_told_when_to_come_back() {
    let server = Server::start(&["--connect-rate-per-address", "1", "--connect-burst-per-address", "8"]);
    // The kernel spreads connections over the shards, and each has its share of the rate.
    let mut clients: Vec<Client> = (0..24).map(|_| Client::open(&server)).collect();
    server.wait_for("campanile_closes_total", "code=\"connect_rate_limited\"", |closes| closes >= 12);
    let (mut welcome, mut refused) = (0, 0);
    for (i, client) in clients.iter_mut().enumerate() {
        // Whoever is refused may find that the server has closed already.
        let _ = client.stream.write_all(&connect_frame(&format!("user{i}"), "phone", &[]));
        match client.raw() {
            (CONNECT_REF, Seen::Welcome { .. }) => welcome += 1,
            (0, Seen::GoAway { code: CloseCode::connect_rate_limited, reconnect_after_ms }) if reconnect_after_ms > 0 => {
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((4..=12).contains(&welcome) && refused >= 12, "{welcome} {refused}");
}

#[test]
fn a_user_has_so_many_sessions_and_no_more() {
    let server = Server::start(&["--sessions-per-user-max", "3"]);
    let mut sessions: Vec<Client> = (0..3).map(|i| Client::connect(&server, "alice", &format!("device{i}"))).collect();
    let mut fourth = Client::open(&server);
    fourth.write(&connect_frame("alice", "device3", &[]));
    assert_eq!(fourth.closed(), CloseCode::too_many_sessions);
    // The same device again is not one more.
    let mut again = Client::connect(&server, "alice", "device0");
    assert_eq!(sessions[0].closed(), CloseCode::replaced);
    let _bob = Client::connect(&server, "bob", "device");
    drop(sessions.pop());
    server.wait_for("campanile_sessions", "", |sessions| sessions == 3);
    let _ = Client::connect(&server, "alice", "device3");
    assert_eq!(again.rest(), []);
}

#[test]
fn a_full_server_says_so_and_has_room_again_when_someone_goes() {
    let server = Server::start(&["--connections-max", "4"]);
    let mut clients: Vec<Client> = (0..4).map(|i| Client::connect(&server, &format!("user{i}"), "phone")).collect();
    server.wait_for("campanile_connections", "", |connections| connections == 4);
    let mut fifth = Client::open(&server);
    match fifth.raw() {
        (0, Seen::GoAway { code: CloseCode::too_many_connections, reconnect_after_ms }) => assert!(reconnect_after_ms > 0),
        other => panic!("{other:?}"),
    }
    drop(fifth);
    assert_eq!(server.closes("too_many_connections"), 1);
    drop(clients.pop());
    server.wait_for("campanile_connections", "", |connections| connections == 3);
    clients.push(Client::connect(&server, "user5", "phone"));
    clients[0].publish("direct:user5", "welcome");
    assert_eq!(clients[3].message().text(), "welcome");
}

#[test]
fn with_64_descriptors_it_serves_what_fits_and_recovers() {
    let mut server = Server::start_after("ulimit -n 64", &[]);
    let mut first = Client::connect(&server, "first", "phone");
    for round in 0..3 {
        // More than there can be: some are served, some told to come back, some wait in the kernel or are refused.
        let mut crowd: Vec<Client> = Vec::new();
        for i in 0..200 {
            let Ok(stream) = std::net::TcpStream::connect(server.tcp) else { continue };
            let mut client = Client::over(stream);
            if client.stream.write_all(&connect_frame(&format!("user{i}"), &format!("round{round}"), &[])).is_ok() {
                crowd.push(client);
            }
        }
        let sessions = server.wait_for("campanile_sessions", "", |sessions| sessions > 8);
        first.publish("direct:first", "still here");
        assert!(server.is_alive() && sessions < 200);
        drop(crowd);
        server.wait_for("campanile_sessions", "", |sessions| sessions == 1);
        server.wait_for("campanile_connections", "", |connections| connections == 1);
        let mut next = Client::connect(&server, "next", &format!("round{round}"));
        assert_eq!(next.publish("topic:t", "served").seq, round + 1);
        drop(next);
        server.wait_for("campanile_sessions", "", |sessions| sessions == 1);
    }
}

#[test]
fn without_a_free_receive_buffer_everything_arrives_all_the_same() {
    let server = Server::start(&["--recv-buffers", "8", "--recv-buffer-bytes", "256"]);
    let mut clients: Vec<Client> = (0..10).map(|i| Client::connect(&server, &format!("user{i}"), "phone")).collect();
    let body = vec![b'x'; 60_000];
    // Each of these alone is more than all buffers hold.
    let references: Vec<u64> = clients.iter_mut().map(|client| client.send_publish("topic:t", &body, Extra::default())).collect();
    for (client, reference) in clients.iter_mut().zip(references) {
        client.ack(reference);
    }
    assert!(server.metric("campanile_recv_enobufs_total", "") > 0, "there was a buffer each time");
}

#[test]
fn who_is_silent_is_pinged_and_then_closed() {
    let server = Server::start(&["--heartbeat-ms", "300", "--idle-timeout-ms", "1500"]);
    let [here, there] = server.users(1);
    for user in [&here[0], &there[0]] {
        let mut silent = Client::connect(&server, user, "silent");
        let mut pinged = false;
        let code = loop {
            match silent.raw() {
                (0, Seen::Ping) => pinged = true,
                (0, Seen::Subscribed { .. }) => {}
                (0, Seen::GoAway { code, .. }) => break code,
                other => panic!("{other:?}"),
            }
        };
        assert!(pinged);
        assert_eq!(code, CloseCode::idle_timeout);
        // One that answers each ping stays.
        let mut lively = Client::connect(&server, user, "lively");
        for _ in 0..3 {
            while lively.raw() != (0, Seen::Ping) {}
            lively.send_ping();
        }
        assert_eq!(lively.publish(&format!("direct:{user}"), "here").seq, 1);
    }
    assert_eq!(server.closes("idle_timeout"), 2);
}
