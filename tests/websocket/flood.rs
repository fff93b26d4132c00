//! Much of what is allowed.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use campanile::wire::schema::CloseCode;
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};

use crate::support::PATIENCE;
use crate::support::bystanders::Bystanders;
use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::websocket::{BINARY, CONTINUATION, FB, FIN, Got, JSON, PING, PONG, Socket, TEXT, frame};
use crate::talk::Speaker;

/// What the server may have more of than before, in memory that it does not hold for good.
const GROWN_MAX: u64 = 32 << 20;

#[test]
fn a_million_fragments_of_one_byte_are_too_big_and_take_bounded_memory() {
    // CVE-2026-42786: fragments were put together without end.
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    let resident = server.resident_bytes();
    for protocol in [FB, JSON] {
        let mut hostile = Socket::upgraded(server.ws, protocol);
        hostile.send(if protocol == FB { BINARY } else { TEXT }, b"x");
        let batch = frame(CONTINUATION, b"x").repeat(1000);
        for _ in 0..1000 {
            if hostile.stream.write_all(&batch).is_err() {
                break;
            }
        }
        assert!(matches!(hostile.next(), Got::Close(Some(1009), _) | Got::End));
        bystanders.exchange();
    }
    assert_eq!(server.metric("campanile_websocket_faults_total", "fault=\"too_big\""), 2);
    assert!(server.resident_bytes().saturating_sub(resident) < GROWN_MAX);
}

#[test]
fn a_million_empty_fragments_are_part_of_a_message() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    let resident = server.resident_bytes();
    let mut patient = Speaker::connect(&server, "patient", "browser");
    patient.socket.send(TEXT, b"{\"type\":\"ping\",");
    let batch = frame(CONTINUATION, b"").repeat(1000);
    (0..1000).for_each(|_| patient.socket.write(&batch));
    patient.socket.send(FIN | CONTINUATION, b"\"ref\":7}");
    assert_eq!(patient.next_of("pong")["ref"], 7);
    assert!(server.resident_bytes().saturating_sub(resident) < GROWN_MAX);
    bystanders.exchange();
}

/// A connection whose kernel keeps little for it.
fn narrow(server: &Server) -> TcpStream {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&fd, 4096).unwrap();
    connect(&fd, &server.ws).unwrap();
    TcpStream::from(fd)
}

#[test]
fn pings_whose_answers_nobody_reads_take_bounded_memory_and_the_last_one_is_answered() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    let resident = server.resident_bytes();
    let mut hostile = Socket::over(narrow(&server));
    hostile.upgrade(JSON);
    hostile.send(FIN | TEXT, b"{\"type\":\"connect\",\"token\":\"dev:hostile\"}");
    assert!(matches!(hostile.next(), Got::Frame(..)));
    // When the answers have no room the server stops reading, so the writer meets a full socket.
    hostile.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let batch = frame(FIN | PING, &[b'p'; 125]).repeat(500);
    let mut rest = loop {
        match hostile.stream.write(&batch) {
            // The frame that was cut must be finished later.
            Ok(bytes) if bytes < batch.len() => break batch[bytes..].to_vec(),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break Vec::new(),
            Err(error) => panic!("{error}"),
        }
    };
    bystanders.exchange();
    let grown = server.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWN_MAX, "{grown} bytes more");
    // Now it reads, and says one more.
    hostile.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    rest.extend(frame(FIN | PING, b"the last"));
    let mut writer = hostile.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&rest).unwrap());
    loop {
        match hostile.next() {
            Got::Frame(first, payload) if first == FIN | PONG && payload == b"the last" => break,
            Got::Frame(..) => {}
            got => panic!("{got:?}"),
        }
    }
    writing.join().unwrap();
    bystanders.exchange();
}

#[test]
fn ten_pings_have_ten_pongs() {
    let server = Server::start(&[]);
    let mut client = Socket::upgraded(server.ws, FB);
    let payloads: Vec<String> = (0..10).map(|i| format!("payload-{i}")).collect();
    client.write(&payloads.iter().flat_map(|payload| frame(FIN | PING, payload.as_bytes())).collect::<Vec<u8>>());
    for payload in payloads {
        assert_eq!(client.next(), Got::Frame(FIN | PONG, payload.into_bytes()));
    }
}

#[test]
fn a_message_that_trickles_in_is_closed_however_lively_its_sender_is() {
    let server = Server::start(&["--frame-timeout-ms", "300"]);
    let mut bystanders = Bystanders::on(&server);
    // Half of a header, half of a payload, half of the fragments.
    let begun: [Vec<u8>; 3] = [frame(FIN | TEXT, b"{}")[..1].to_vec(), frame(FIN | TEXT, b"{}")[..7].to_vec(), frame(TEXT, b"{")];
    for (number, bytes) in begun.iter().enumerate() {
        let mut client = Speaker::connect(&server, "hostile", "browser");
        client.socket.write(bytes);
        // Pings may stand between fragments: they are answered, and gain nothing.
        while number == 2 && server.closes("frame_timeout") == 2 {
            let _ = client.socket.stream.write_all(&frame(FIN | PING, b""));
        }
        assert_eq!(client.next_of("go_away")["code"], "frame_timeout");
        while !matches!(client.socket.next(), Got::Close(Some(4107), _)) {}
        bystanders.exchange();
    }
    assert_eq!(server.closes("frame_timeout"), 3);
}

#[test]
fn a_flood_of_upgrades_that_are_dropped_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    for round in 0..5 {
        let sockets: Vec<Socket> = (0..200)
            .map(|i| {
                let mut socket = Socket::open(server.ws);
                // Some say nothing, some ask and do not wait for the answer, some are on their way to their home.
                if i % 4 != 0 {
                    socket.write(crate::support::websocket::request("").as_bytes());
                }
                if i % 4 > 1 {
                    socket.head();
                    socket.send(FIN | TEXT, format!("{{\"type\":\"connect\",\"token\":\"dev:flood{round}-{i}\"}}").as_bytes());
                }
                if i % 4 == 3 {
                    sockopt::set_socket_linger(&socket.stream, Some(Duration::ZERO)).unwrap();
                }
                socket
            })
            .collect();
        bystanders.exchange();
        drop(sockets);
        server.wait_for("campanile_connections", "", |connections| connections == 2);
        server.wait_for("campanile_sessions", "", |sessions| sessions == 2);
        bystanders.exchange();
    }
}

#[test]
fn requests_whose_answers_nobody_reads_wait_and_then_all_are_answered() {
    let server = Server::start(&[]);
    let mut client = Client::connect_websocket(&server, "busy", "browser");
    let references: Vec<u64> = (0..20_000).map(|_| client.send_ping()).collect();
    for reference in references {
        assert_eq!(client.answer(reference), crate::support::seen::Seen::Pong);
    }
    client.write(&crate::support::client::connect_frame("busy", "browser", &[]));
    assert_eq!(client.closed(), CloseCode::already_connected);
}
