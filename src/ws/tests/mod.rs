//! Frames of clients, right and wrong, without a socket. [`autobahn`] is the essence of the suite of that name.

mod autobahn;
mod bounds;
mod splits;
mod upgrade;

use super::{Event, Fault, Incoming, close};

/// Longest message in these tests.
const BYTES_MAX: usize = 1 << 20;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const FIN: u8 = 0x80;

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Fault(Fault),
}

use Said::{Binary, Close, Ping, Pong, Text};

/// A frame of a client: its first byte, and its payload with a mask.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        short @ ..126 => bytes.push(0x80 | short as u8),
        long @ ..0x1_0000 => bytes.extend([&[0xfe], &(long as u16).to_be_bytes()[..]].concat()),
        longer => bytes.extend([&[0xff], &(longer as u64).to_be_bytes()[..]].concat()),
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// Several frames.
pub fn frames(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

/// What is heard in pieces of a stream, up to the first fault or close; and whether nothing is unfinished then.
pub fn hear<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Said>, bool) {
    let (mut incoming, mut said) = (Incoming::default(), Vec::new());
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        loop {
            let event = match incoming.next(&mut rest, BYTES_MAX) {
                Ok(None) => break,
                Ok(Some(Event::Text(text))) => Text(std::str::from_utf8(text).expect("UTF-8").to_owned()),
                Ok(Some(Event::Binary(bytes))) => Binary(bytes.to_vec()),
                Ok(Some(Event::Ping(payload))) => Ping(payload.to_vec()),
                Ok(Some(Event::Pong)) => Pong,
                Ok(Some(Event::Close(code))) => Close(code),
                Err(fault) => Said::Fault(fault),
            };
            said.push(event);
            if matches!(said.last(), Some(Close(_) | Said::Fault(_))) {
                return (said, true);
            }
        }
        assert!(rest.is_empty(), "all that came is taken");
    }
    (said, incoming.is_idle())
}
