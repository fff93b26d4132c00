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

/// What was done on purpose.
#[derive(Default)]
struct Faults {
    users: HashMap<String, TcpStream>,
    turned_away: HashSet<String>,
    publishes: u64,
    refused: u64,
    dropped: u64,
    repeated: u64,
}

type Shared = Arc<Mutex<Faults>>;

fn locked(shared: &Shared) -> MutexGuard<'_, Faults> {
    shared.lock().expect("no thread of the server panics")
}

/// Serves connections, a thread each, for as long as the test lives.
fn faulty_server() -> (u16, Shared) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let shared = Shared::default();
    let of_server = shared.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = of_server.clone();
            std::thread::spawn(move || serve(stream, &shared));
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
            answer(&mut stream, &mut user, read(&frame).expect("the client sends frames"), shared);
        }
    }
}

fn answer(stream: &mut TcpStream, user: &mut String, frame: Frame<'_>, shared: &Shared) {
    match frame.body_type() {
        Body::Connect => {
            let token = frame.body_as_connect().and_then(|c| c.token()).unwrap_or("");
            *user = token.trim_start_matches("dev:").to_owned();
            if locked(shared).turned_away.insert(user.clone()) {
                return turn_away(stream);
            }
            locked(shared).users.insert(user.clone(), stream.try_clone().expect("descriptors are left"));
            let welcome = WelcomeArgs { heartbeat_ms: 30_000, window: 64, ..WelcomeArgs::default() };
            send(stream, Encoder::default().frame(frame.ref_(), |b| Welcome::create(b, &welcome)));
        }
        Body::Publish => publish(stream, user, frame, shared),
        _ => {}
    }
}

/// The first login of each user comes too early.
fn turn_away(stream: &mut TcpStream) {
    let code = CloseCode::connect_rate_limited;
    let go_away = GoAwayArgs { code, message: None, reconnect_after_ms: 20 };
    send(&mut *stream, Encoder::default().frame(0, |b| GoAway::create(b, &go_away)));
    // Both directions: the thread's next read finds the end.
    stream.shutdown(Shutdown::Both).expect("it is connected");
}

fn publish(stream: &mut TcpStream, user: &str, frame: Frame<'_>, shared: &Shared) {
    let mut encoder = Encoder::default();
    let mut faults = locked(shared);
    faults.publishes += 1;
    let copies = match faults.publishes % 10 {
        3 => {
            faults.refused += 1;
            let busy = ErrorArgs { code: ErrorCode::busy, message: None, retry_after_ms: 5, ..Default::default() };
            return send(stream, encoder.frame(frame.ref_(), |b| Error::create(b, &busy)));
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
        send(&mut faults.users.get(peer).expect("both have logged in"), message);
    }
    let ack = AckArgs { epoch: 1, seq: 1, time_ms: 0, duplicate: false };
    send(stream, encoder.frame(frame.ref_(), |b| Ack::create(b, &ack)));
}

fn send(mut stream: impl Write, bytes: &[u8]) {
    // The client closes when it is done; what is on its way then is nobody's.
    let _ = stream.write_all(bytes);
}

#[test]
fn what_a_server_does_wrong_is_counted() {
    let (port, shared) = faulty_server();
    let json = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faulty.json");
    let options = "direct --connections 4 --rate 300 --duration 1 --warmup 0 --drain 0.5 --payload 32";
    let output = Command::new(env!("CARGO_BIN_EXE_campanile-load"))
        .args(options.split_ascii_whitespace())
        .args(["--target", &format!("tcp://127.0.0.1:{port}"), "--json"])
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
}
