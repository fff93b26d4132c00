//! The request, and what is made of it.

use std::process::{Command, Stdio};

use crate::support::bystanders::Bystanders;
use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::websocket::{FB, FIN, JSON, Socket, TEXT, request};

/// The status of the answer to these bytes, which must be the only one, and the end of the connection.
fn refused(server: &Server, bytes: &[u8]) -> u16 {
    let mut socket = Socket::open(server.ws);
    socket.write(bytes);
    let head = socket.head();
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    let body = socket.rest();
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}{body}");
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn each_refusal_has_its_status_is_counted_and_disturbs_nobody() {
    let server = Server::start(&[]);
    let mut bystanders = Bystanders::on(&server);
    let with = |line: &str| request(&format!("{line}\r\n")).into_bytes();
    let instead = |from: &str, to: &str| request("").replacen(from, to, 1).into_bytes();
    let many: String = (0..2000).map(|i| format!("x{i}:\r\n")).collect();
    let spaces = format!("Sec-WebSocket-Protocol: b{}x", " ".repeat(15_000));
    let cases: Vec<(&str, u16, Vec<u8>)> = vec![
        ("not_an_upgrade", 426, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("method", 405, instead("GET", "POST")),
        ("http_version", 505, instead("HTTP/1.1", "HTTP/1.0")),
        ("malformed", 400, b"\x16\x03\x01\x02\x00\r\n\r\n".to_vec()),
        ("malformed", 400, b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()),
        ("no_host", 400, instead("Host: localhost\r\n", "")),
        ("no_host", 400, with("Host: localhost")),
        // A page that has made its own name point here (DNS rebinding).
        ("host_not_allowed", 421, instead("localhost", "evil.example:7401")),
        // A page of somebody else in the browser of a user (cross-site WebSocket hijacking).
        ("origin_not_allowed", 403, with("Origin: https://evil.example")),
        ("origin_not_allowed", 403, with("Origin: null")),
        ("body", 400, [with("Content-Length: 5"), b"hello".to_vec()].concat()),
        ("body", 400, with("Transfer-Encoding: chunked")),
        ("version", 426, instead("Version: 13", "Version: 8")),
        ("key", 400, instead("Key: dGhl", "Key: dGh")),
        ("protocol", 400, with("Sec-WebSocket-Protocol: mqtt")),
        ("early_bytes", 400, [with("X: y"), vec![0x81, 0x80, 1, 2, 3, 4]].concat()),
        ("early_bytes", 400, with("X: y").repeat(3)),
        ("too_large", 431, with(&format!("Cookie: {}", "c".repeat(1_000_000)))),
        ("too_large", 431, vec![b'x'; 20_000]),
        // CVE-2024-37890: so many headers that the one for which they were looked at was gone.
        ("too_large", 431, with(many.trim_end())),
        // CVE-2021-32640: spaces over which a list was split in quadratic time.
        ("protocol", 400, with(&spaces)),
    ];
    for (reason, status, bytes) in cases {
        let label = format!("reason=\"{reason}\"");
        let before = server.metric("campanile_upgrade_refusals_total", &label);
        assert_eq!(refused(&server, &bytes), status, "{reason}");
        assert_eq!(server.metric("campanile_upgrade_refusals_total", &label), before + 1, "{reason}");
        bystanders.exchange();
    }
    assert_eq!(server.metric("campanile_upgrades_total", ""), 0);
    server.wait_for("campanile_connections", "", |connections| connections == 2);
}

#[test]
fn who_comes_with_a_browser_is_told_where_the_page_is() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(server.ws);
    socket.write(b"GET / HTTP/1.1\r\nHost: localhost:7401\r\nAccept: text/html\r\n\r\n");
    assert!(socket.head().contains("\r\nContent-Type: text/html; charset=utf-8\r\n"));
    assert!(socket.rest().contains(&format!("<a href=\"http://{}/\">", server.ops)));
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(server.ws);
    for byte in request(&format!("Sec-WebSocket-Protocol: {FB}\r\n")).as_bytes() {
        socket.write(&[*byte]);
    }
    assert!(socket.head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn names_and_origins_can_be_allowed() {
    let server = Server::start(&["--ws-hosts", "chat.example.org", "--ws-origins", "https://app.example.org"]);
    let ask = |host: &str, origin: &str| {
        let mut socket = Socket::open(server.ws);
        let text = request(&format!("Origin: {origin}\r\n")).replacen("Host: localhost", &format!("Host: {host}"), 1);
        socket.write(text.as_bytes());
        socket.head().split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(ask("chat.example.org:443", "https://app.example.org"), "101");
    assert_eq!(ask("chat.example.org", "https://chat.example.org"), "101");
    assert_eq!(ask("chat.example.org", "https://www.example.org"), "403");
    assert_eq!(ask("localhost", "https://app.example.org"), "421");
}

#[test]
fn one_time_limit_goes_from_the_first_packet_to_the_login() {
    let server = Server::start(&["--login-timeout-ms", "400"]);
    let mut bystanders = Bystanders::on(&server);
    let mut silent = Socket::open(server.ws);
    let mut half = Socket::open(server.ws);
    half.write(&request("").as_bytes()[..40]);
    let mut binary = Client::open_websocket(&server);
    let mut json = Socket::upgraded(server.ws, JSON);
    let mut begun = Socket::upgraded(server.ws, JSON);
    begun.send(TEXT, b"{\"type\":");
    for socket in [&mut silent, &mut half] {
        let head = socket.head();
        assert!(head.starts_with("HTTP/1.1 408 ") && head.contains("\r\nConnection: close\r\n"), "{head}");
        socket.rest();
    }
    assert_eq!(binary.closed(), campanile::wire::schema::CloseCode::login_timeout);
    for socket in [&mut json, &mut begun] {
        let crate::support::websocket::Got::Frame(0x81, text) = socket.next() else { panic!("no farewell") };
        assert!(String::from_utf8(text).unwrap().contains("\"code\":\"login_timeout\""));
        assert_eq!(socket.closed(), (Some(4106), "login_timeout".to_owned()));
    }
    assert_eq!(server.closes("login_timeout"), 5);
    bystanders.exchange();
}

#[test]
fn a_full_server_says_so_in_the_language_of_the_web() {
    let server = Server::start(&["--connections-max", "2"]);
    let _clients = [Client::connect_websocket(&server, "alice", "browser"), Client::connect(&server, "bob", "phone")];
    server.wait_for("campanile_connections", "", |connections| connections == 2);
    let mut third = Socket::open(server.ws);
    let head = third.head();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: "), "{head}");
    assert_eq!(server.closes("too_many_connections"), 1);
}

#[test]
fn an_address_that_connects_too_often_is_told_when_to_come_back() {
    let server = Server::start(&["--connect-rate-per-address", "1", "--connect-burst-per-address", "8"]);
    let mut sockets: Vec<Socket> = (0..24).map(|_| Socket::open(server.ws)).collect();
    server.wait_for("campanile_closes_total", "code=\"connect_rate_limited\"", |closes| closes >= 12);
    let mut refused = 0;
    for socket in &mut sockets {
        // Whoever is refused may find that the server has closed already.
        let _ = std::io::Write::write_all(&mut socket.stream, request("").as_bytes());
        let head = socket.head();
        refused += usize::from(head.starts_with("HTTP/1.1 429 ") && head.contains("\r\nRetry-After: "));
        assert!(head.starts_with("HTTP/1.1 429 ") || head.starts_with("HTTP/1.1 101 "), "{head}");
    }
    assert!((12..=20).contains(&refused), "{refused}");
}

#[test]
fn it_can_be_turned_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_campanile"))
        .args(["--ws", "", "--tcp", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--shards", "1", "--data-dir"])
        .arg(dir.path())
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let line = lines.map_while(Result::ok).find(|line| line.trim_start().starts_with("websocket"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(line.unwrap().split_whitespace().collect::<Vec<_>>(), ["websocket", "off"]);
}

#[test]
fn a_connect_may_come_in_any_pieces() {
    let server = Server::start(&[]);
    for user in server.users(1).iter().flatten() {
        let text = format!("{{\"type\":\"connect\",\"ref\":99,\"token\":\"dev:{user}\",\"device\":\"€\"}}");
        let mut socket = Socket::upgraded(server.ws, JSON);
        // Byte by byte over the network, and in fragments that cut the character.
        for (index, byte) in text.as_bytes().iter().enumerate() {
            for byte in crate::support::websocket::frame(if index == 0 { TEXT } else { 0 }, &[*byte]) {
                socket.write(&[byte]);
            }
        }
        socket.send(FIN, b"");
        let crate::support::websocket::Got::Frame(0x81, welcome) = socket.next() else { panic!("no welcome") };
        assert!(String::from_utf8(welcome).unwrap().starts_with("{\"type\":\"welcome\",\"ref\":99,"));
    }
}
