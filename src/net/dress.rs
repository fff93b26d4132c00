//! What a connection speaks: the same frames, each transport in its own dress.

use super::{Leave, Pongs};
use crate::wire::schema::{CloseCode, Frame};
use crate::wire::{PREFIX_BYTES, Split, read, split};
use crate::ws::frame::{Opcode, write};
use crate::ws::{Event, Fault};

/// Sub-protocols of WebSocket, as they are negotiated.
pub const PROTOCOLS: &[&str] = &["campanile.v1.fb"];

/// A byte of text takes six in JSON at most (`\u0000`), and whatever else a frame holds takes less: limits for frames hold for JSON this many times.
pub const JSON_GROWTH: usize = 6;
/// A frame has at least 32 bytes and a header in front of it at most an eighth of that.
const HEADER_SHARE: usize = 8;

/// The dress of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    /// Frames, one after the other.
    Tcp,
    /// A WebSocket that has not been agreed on: HTTP.
    Upgrade,
    /// A frame in each binary message of a WebSocket.
    Binary,
}

impl Dress {
    /// What was agreed on: an index into [`PROTOCOLS`], or nothing.
    pub fn agreed(_protocol: Option<usize>) -> Dress {
        Dress::Binary
    }

    /// Whether it carries the frames of a WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Dress::Binary)
    }

    /// Longest message from a client, for a limit of frames without their prefix.
    pub fn message_bytes_max(self, frame_bytes_max: u32) -> usize {
        PREFIX_BYTES + frame_bytes_max as usize
    }

    /// What may wait in an outbox, for a limit in bytes of frames.
    pub fn outbox_bytes_max(self, outbox_bytes_max: u32) -> usize {
        let bytes = outbox_bytes_max as usize;
        match self {
            Dress::Tcp | Dress::Upgrade => bytes,
            Dress::Binary => bytes + bytes / HEADER_SHARE,
        }
    }

    /// The frame that a message of a client carries, if it is one and not a control frame.
    ///
    /// # Errors
    /// The connection cannot go on.
    pub fn message<'a>(self, event: Event<'a>, pongs: &mut Pongs) -> Result<Option<&'a [u8]>, Leave> {
        match event {
            Event::Binary(frame) if self == Dress::Binary => Ok(Some(frame)),
            Event::Binary(_) | Event::Text(_) => Err(Leave::Fault(Fault::WrongKind)),
            Event::Ping(payload) => {
                pongs.add(payload);
                Ok(None)
            }
            Event::Pong => Ok(None),
            Event::Close(code) => Err(Leave::Closed(code)),
        }
    }

    /// Appends a run of frames of this server as the connection gets them.
    pub fn write(self, mut frames: &[u8], into: &mut Vec<u8>) {
        while let Split::Whole(length) = split(frames, u32::MAX as usize) {
            let (frame, rest) = frames.split_at(length);
            match self {
                Dress::Tcp | Dress::Upgrade => into.extend_from_slice(frame),
                Dress::Binary => write(Opcode::Binary, frame, into),
            }
            frames = rest;
        }
        debug_assert!(frames.is_empty(), "a run has whole frames");
    }
}

/// Verifies the frame that a message is.
///
/// # Errors
/// It is none, or not exactly one.
pub fn whole_frame(message: &[u8]) -> Result<Frame<'_>, Leave> {
    let frame = if split(message, message.len()) == Split::Whole(message.len()) { read(message).ok() } else { None };
    frame.ok_or(Leave::Told { code: CloseCode::malformed_frame, reconnect_after_ms: 0 })
}

/// The code of a WebSocket's close frame for a reason of ours: those after which a client should come back are 4000 and more, the others 4100
/// and more.
pub fn close_code(code: CloseCode) -> u16 {
    match code.0 {
        retryable @ 1000..2000 => retryable - 1000 + 4000,
        last => last.saturating_sub(2000).min(899) + 4100,
    }
}
