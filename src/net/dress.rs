//! What a connection speaks: the same frames, each transport in its own dress.

use super::{Leave, Pongs};
use crate::json::{self, JsonError};
use crate::wire::schema::{CloseCode, Frame, size_prefixed_root_as_frame};
use crate::wire::{PREFIX_BYTES, Split, read, split};
use crate::ws::frame::{Head, Opcode, write};
use crate::ws::{Event, Fault};

/// Sub-protocols of WebSocket, as they are negotiated.
pub const PROTOCOLS: &[&str] = &["campanile.v1.fb", "campanile.v1.json"];

/// A byte of text takes six in JSON at most (`\u0000`), and whatever else a frame holds takes less: limits for frames hold for JSON this many times.
const JSON_GROWTH: usize = 6;
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
    /// A frame as JSON in each text message of a WebSocket.
    Json,
}

/// A frame, and its bytes.
pub type Undressed<'a> = (Frame<'a>, &'a [u8]);

/// Why a message is no frame.
#[derive(Debug)]
pub enum Misread {
    /// The client is to be told, and may go on.
    Json(JsonError),
    /// The connection ends.
    Leave(Leave),
}

impl Dress {
    /// What was agreed on: an index into [`PROTOCOLS`], or nothing, as by people and scripts.
    pub fn agreed(protocol: Option<usize>) -> Dress {
        if protocol == Some(0) { Dress::Binary } else { Dress::Json }
    }

    /// Whether it carries the frames of a WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Dress::Binary | Dress::Json)
    }

    /// Longest message from a client, for a limit of frames without their prefix.
    pub fn message_bytes_max(self, frame_bytes_max: u32) -> usize {
        let frame_bytes_max = PREFIX_BYTES + frame_bytes_max as usize;
        if self == Dress::Json { JSON_GROWTH * frame_bytes_max } else { frame_bytes_max }
    }

    /// What may wait in an outbox, for a limit in bytes of frames.
    pub fn outbox_bytes_max(self, outbox_bytes_max: u32) -> usize {
        let bytes = outbox_bytes_max as usize;
        match self {
            Dress::Tcp | Dress::Upgrade => bytes,
            Dress::Binary => bytes + bytes / HEADER_SHARE,
            Dress::Json => JSON_GROWTH * bytes,
        }
    }

    /// The message of a client, if it is none of WebSocket's own.
    ///
    /// # Errors
    /// The connection cannot go on.
    pub fn message<'a>(self, event: Event<'a>, pongs: &mut Pongs) -> Result<Option<&'a [u8]>, Leave> {
        match event {
            Event::Binary(message) if self == Dress::Binary => Ok(Some(message)),
            Event::Text(message) if self == Dress::Json => Ok(Some(message)),
            Event::Binary(_) | Event::Text(_) => Err(Leave::Fault(Fault::WrongKind)),
            Event::Ping(payload) => {
                pongs.add(payload);
                Ok(None)
            }
            Event::Pong => Ok(None),
            Event::Close(code) => Err(Leave::Closed(code)),
        }
    }

    /// The frame that a message is, or stands for, verified. `user` is who sends it, once that is known.
    ///
    /// # Errors
    /// See [`Misread`].
    pub fn frame<'a>(
        self,
        message: &'a [u8],
        json: &'a mut json::Reader,
        user: Option<&str>,
        frame_bytes_max: u32,
    ) -> Result<Undressed<'a>, Misread> {
        let bytes = if self == Dress::Json { json.read(message, user).map_err(Misread::Json)? } else { message };
        match split(bytes, frame_bytes_max as usize) {
            Split::Whole(length) if length == bytes.len() => {
                read(bytes).map(|frame| (frame, bytes)).map_err(|_| Misread::Leave(CloseCode::malformed_frame.into()))
            }
            Split::TooLarge => Err(Misread::Leave(CloseCode::frame_too_large.into())),
            Split::Whole(_) | Split::More(_) => Err(Misread::Leave(CloseCode::malformed_frame.into())),
        }
    }

    /// Appends a run of frames of this server as the connection gets them.
    pub fn write(self, mut frames: &[u8], into: &mut Vec<u8>) {
        while let Split::Whole(length) = split(frames, u32::MAX as usize) {
            let (frame, rest) = frames.split_at(length);
            match self {
                Dress::Tcp | Dress::Upgrade => into.extend_from_slice(frame),
                Dress::Binary => write(Opcode::Binary, frame, into),
                Dress::Json => {
                    let begin = into.len();
                    json::write(size_prefixed_root_as_frame(frame).expect("this server's own frame"), into);
                    let head = Head::new(Opcode::Text, into.len() - begin);
                    into.splice(begin..begin, head.bytes().iter().copied());
                }
            }
            frames = rest;
        }
        debug_assert!(frames.is_empty(), "a run has whole frames");
    }
}

/// The code of a WebSocket's close frame for a reason of ours: those after which a client should come back are 4000 and more, the others 4100
/// and more.
pub fn close_code(code: CloseCode) -> u16 {
    match code.0 {
        retryable @ 1000..2000 => retryable - 1000 + 4000,
        last => last.saturating_sub(2000).min(899) + 4100,
    }
}
