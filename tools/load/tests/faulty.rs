//! Against a server that turns away, refuses, drops and repeats on purpose, the report has to say exactly how often.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use campanile::id::Address;
use campanile::wire::schema::{
    Ack, AckArgs, Body, CloseCode, Error, ErrorArgs, ErrorCode, Frame, GoAway, GoAwayArgs, Message, MessageArgs, Welcome,
    WelcomeArgs,
};
use campanile::wire::{Encoder, Split, address, conversation, read, split};
use serde_json::Value;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::protocol::{CloseFrame, Role as Side};
use tungstenite::{Message as Incoming, WebSocket, accept_hdr};

/// What was done on purpose.
#[derive(Default)]
struct Faults {
    users: HashMap<String, Line>,
    turned_away: HashSet<String>,
    publishes: u64,
    refused: u64,
    dropped: u64,
    repeated: u64,
    /// Answers to pings of the WebSocket, and to its end.
    pongs: u64,
    goodbyes: u64,
}

type Shared = Arc<Mutex<Faults>>;

fn locked(shared: &Shared) -> MutexGuard<'_, Faults> {
    shared.lock().expect("no thread of the server panics")
}

/// How the server is spoken to: WebSockets by an implementation that others wrote.
#[derive(Clone, Copy, Debug)]
enum Over {
    Tcp,
    WebSocket,
}

/// Serves connections, a thread each, for as long as the test lives.
fn faulty_server(over: Over) -> (u16, Shared) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let shared = Shared::default();
    let of_server = shared.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = of_server.clone();
            std::thread::spawn(move || match over {
                Over::Tcp => serve(stream, &shared),
                Over::WebSocket => serve_websocket(stream, &shared),
            });
        }
    });
    (port, shared)
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let (mut input, mut buffer, mut user) = (Vec::new(), [0; 4096], String::new());
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..length]);
        while let Split::Whole(length) = split(&input, 1 << 20) {
            let frame: Vec<u8> = input.drain(..length).collect();
            answer(&mut Line::tcp(&stream), &mut user, read(&frame).expect("the client sends frames"), shared);
        }
    }
}

// The signature is the crate's.
#[allow(clippy::result_large_err)]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let asked = request.headers().get("Sec-WebSocket-Protocol").expect("the client names one");
    assert_eq!(asked, "campanile.v1.fb");
    response.headers_mut().append("Sec-WebSocket-Protocol", asked.clone());
    Ok(response)
}

/// Pings before it does anything else, and closes as RFC 6455 says.
fn serve_websocket(stream: TcpStream, shared: &Shared) {
    let mut user = String::new();
    let mut socket =
        accept_hdr(stream.try_clone().expect("descriptors are left"), agree).expect("the client asks for a WebSocket");
    socket.send(Incoming::Ping("are you there?".into())).expect("the client is there");
    let mut line = Line {
        stream,
        socket: Some(WebSocket::from_raw_socket(socket.get_ref().try_clone().expect("descriptors are left"), Side::Server, None)),
    };
    loop {
        match socket.read() {
            Ok(Incoming::Binary(frame)) => answer(&mut line, &mut user, read(&frame).expect("one frame in each message"), shared),
            Ok(Incoming::Pong(payload)) => {
                assert_eq!(payload, "are you there?");
                locked(shared).pongs += 1;
            }
            Ok(Incoming::Close(close)) => {
                assert_eq!(close.map(|close| u16::from(close.code)), Some(4004));
                locked(shared).goodbyes += 1;
                return stream_ends(&line.stream);
            }
            // Only the end of the run ends it otherwise.
            Ok(other) => panic!("{other:?}"),
            Err(_) => return,
        }
    }
}

fn stream_ends(stream: &TcpStream) {
    // Both directions: whoever reads finds the end.
    stream.shutdown(Shutdown::Both).expect("it is connected");
}

/// Where frames go to.
struct Line {
    stream: TcpStream,
    socket: Option<WebSocket<TcpStream>>,
}

impl Line {
    fn tcp(stream: &TcpStream) -> Line {
        Line { stream: stream.try_clone().expect("descriptors are left"), socket: None }
    }

    fn another(&self) -> Line {
        let stream = self.stream.try_clone().expect("descriptors are left");
        let socket = self.socket.is_some().then(|| stream.try_clone().expect("descriptors are left"));
        Line { stream, socket: socket.map(|stream| WebSocket::from_raw_socket(stream, Side::Server, None)) }
    }

    /// The client closes when it is done; what is on its way then is nobody's.
    fn send(&mut self, bytes: &[u8]) {
        let _ = match &mut self.socket {
            None => self.stream.write_all(bytes).is_ok(),
            Some(socket) => socket.send(Incoming::binary(bytes.to_vec())).is_ok(),
        };
    }
}

fn answer(line: &mut Line, user: &mut String, frame: Frame<'_>, shared: &Shared) {
    match frame.body_type() {
        Body::Connect => {
            let token = frame.body_as_connect().and_then(|c| c.token()).unwrap_or("");
            *user = token.trim_start_matches("dev:").to_owned();
            if locked(shared).turned_away.insert(user.clone()) {
                return turn_away(line);
            }
            locked(shared).users.insert(user.clone(), line.another());
            let welcome = WelcomeArgs { heartbeat_ms: 30_000, window: 64, ..WelcomeArgs::default() };
            line.send(Encoder::default().frame(frame.ref_(), |b| Welcome::create(b, &welcome)));
        }
        Body::Publish => publish(line, user, frame, shared),
        _ => {}
    }
}

/// The first login of each user comes too early.
fn turn_away(line: &mut Line) {
    let code = CloseCode::connect_rate_limited;
    let go_away = GoAwayArgs { code, message: None, reconnect_after_ms: 20 };
    line.send(Encoder::default().frame(0, |b| GoAway::create(b, &go_away)));
    match &mut line.socket {
        None => stream_ends(&line.stream),
        // The answer to this is waited for.
        Some(socket) => {
            socket.close(Some(CloseFrame { code: 4004.into(), reason: "connect_rate_limited".into() })).expect("it is connected")
        }
    }
}

fn publish(line: &mut Line, user: &str, frame: Frame<'_>, shared: &Shared) {
    let mut encoder = Encoder::default();
    let mut faults = locked(shared);
    faults.publishes += 1;
    let copies = match faults.publishes % 10 {
        3 => {
            faults.refused += 1;
            let busy = ErrorArgs { code: ErrorCode::busy, message: None, retry_after_ms: 5, ..Default::default() };
            return line.send(encoder.frame(frame.ref_(), |b| Error::create(b, &busy)));
        }
        5 => 0,
        7 => 2,
        _ => 1,
    };
    faults.dropped += u64::from(copies == 0);
    faults.repeated += u64::from(copies == 2);
    let publish = frame.body_as_publish().expect("its type says so");
    let Ok(Address::Direct(peer)) = address(publish.conversation()) else { panic!("direct messages only") };
    let message = encoder.frame(0, |b| {
        let conversation = Some(conversation(b, Address::Direct(user)));
        let body = publish.body().map(|body| b.create_vector(body.bytes()));
        Message::create(b, &MessageArgs { conversation, body, seq: 1, ..Default::default() })
    });
    for _ in 0..copies {
        faults.users.get_mut(peer).expect("both have logged in").send(message);
    }
    let ack = AckArgs { epoch: 1, seq: 1, time_ms: 0, duplicate: false };
    line.send(encoder.frame(frame.ref_(), |b| Ack::create(b, &ack)));
}

#[test]
fn what_a_server_does_wrong_is_counted() {
    what_is_wrong_is_counted(Over::Tcp, "tcp");
}

#[test]
fn the_same_over_websockets_as_others_speak_them() {
    let shared = what_is_wrong_is_counted(Over::WebSocket, "ws");
    let faults = locked(&shared);
    assert_eq!((faults.pongs, faults.goodbyes), (8, 4), "each of four users came twice, and was sent away once");
}

fn what_is_wrong_is_counted(over: Over, scheme: &str) -> Shared {
    let (port, shared) = faulty_server(over);
    let json = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faulty-{scheme}.json"));
    let options = "direct --connections 4 --rate 300 --duration 1 --warmup 0 --drain 3 --payload 32";
    let output = Command::new(env!("CARGO_BIN_EXE_campanile-load"))
        .args(options.split_ascii_whitespace())
        .args(["--target", &format!("{scheme}://127.0.0.1:{port}"), "--json"])
        .arg(&json)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_str(&std::fs::read_to_string(&json).expect("a report")).expect("JSON");
    let faults = locked(&shared);
    assert!(faults.refused > 10 && faults.dropped > 10 && faults.repeated > 10);
    assert_eq!(figures["lost"], faults.dropped, "{figures:#}");
    assert_eq!(figures["duplicated"], faults.repeated, "{figures:#}");
    assert_eq!(figures["refused"], faults.refused, "{figures:#}");
    assert_eq!(figures["errors"]["busy"], faults.refused, "{figures:#}");
    assert_eq!(figures["goaways"]["connect_rate_limited"], 4, "{figures:#}");
    assert_eq!(figures["disconnects"], 0, "who is turned away comes again: {figures:#}");
    assert_eq!(figures["out_of_order"], 0, "a message that comes again after a refusal is a new one: {figures:#}");
    assert_eq!(figures["drain_gave_up"], true, "{figures:#}");
    assert_eq!(figures["sent"], faults.publishes - faults.refused, "{figures:#}");
    assert_eq!(figures["over"], scheme);
    drop(faults);
    shared
}
