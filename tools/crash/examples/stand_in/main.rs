//! A stand-in for the server: slow, simple, durable, and able to lie. It is what the tests of the crash tool are made with, so that they say
//! something about the tool and not about the server.
//!
//! It takes the options that the tool gives a server, and the same switch for lies: `CAMPANILE_TEST_ACK` = `before-append` or `before-sync`.
//! It delivers nothing live.

mod answers;
mod rooms;
mod store;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use campanile::wire::schema::{Body, Error, ErrorArgs, ErrorCode, Pong, PongArgs, Welcome, WelcomeArgs};
use campanile::wire::{Encoder, Split, read, split};

use store::Store;

const FRAME_BYTES_MAX: usize = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let data_dir = PathBuf::from(option("--data-dir").expect("--data-dir is given"));
    let listener = TcpListener::bind(option("--tcp").expect("--tcp is given")).expect("the port is free");
    let store = Store::open(&data_dir).unwrap_or_else(|error| {
        eprintln!("stand-in: {}: {error}", data_dir.display());
        std::process::exit(1);
    });
    println!("  clients    tcp://{}", listener.local_addr().expect("it is bound"));
    let store = Arc::new(Mutex::new(store));
    for stream in listener.incoming().flatten() {
        let store = store.clone();
        std::thread::spawn(move || serve(stream, &store));
    }
}

/// One connection, until it ends. A thread that panics ends its connection, and by the lock all others.
fn serve(mut stream: TcpStream, store: &Mutex<Store>) {
    let (mut input, mut buffer, mut user) = (Vec::new(), [0; 4096], String::new());
    let mut encoder = Encoder::default();
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..length]);
        while let Split::Whole(length) = split(&input, FRAME_BYTES_MAX) {
            let bytes: Vec<u8> = input.drain(..length).collect();
            let Ok(frame) = read(&bytes) else { return };
            let reference = frame.ref_();
            let answer = match frame.body_type() {
                Body::Connect => {
                    let token = frame.body_as_connect().and_then(|connect| connect.token()).unwrap_or_default();
                    user = token.trim_start_matches("dev:").to_owned();
                    let welcome = |b: &mut _| {
                        let name = Some(campanile::wire::Fbb::create_string(b, &user));
                        let (window, page_messages_max) = (128, rooms::PAGE_MESSAGES_MAX);
                        Welcome::create(b, &WelcomeArgs { user: name, window, page_messages_max, ..WelcomeArgs::default() })
                    };
                    encoder.frame(reference, welcome)
                }
                Body::Ping => encoder.frame(reference, |b| Pong::create(b, &PongArgs { server_time_ms: 0 })),
                _ => {
                    let mut store = store.lock().expect("no connection panics");
                    match answers::answer(&mut store, &user, frame, &mut encoder) {
                        Ok(bytes) => bytes,
                        Err(code) => refusal(&mut encoder, reference, code),
                    }
                }
            };
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

fn refusal(encoder: &mut Encoder, reference: u64, code: ErrorCode) -> &[u8] {
    let error = ErrorArgs { code, message: None, retry_after_ms: 20, conversation: None };
    encoder.frame(reference, |b| Error::create(b, &error))
}
