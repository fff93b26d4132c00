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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Address;
    use crate::wire::schema::{Publish, PublishArgs};
    use crate::wire::{Encoder, conversation};

    fn publish(body: &[u8]) -> Vec<u8> {
        let build = |b: &mut crate::wire::Fbb| {
            let conversation = Some(conversation(b, Address::Topic("news")));
            let body = Some(b.create_vector(body));
            Publish::create(b, &PublishArgs { conversation, body, ..Default::default() })
        };
        Encoder::default().frame(7, build).to_vec()
    }

    fn dressed(dress: Dress, frames: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        dress.write(frames, &mut bytes);
        bytes
    }

    #[test]
    fn a_run_of_frames_is_a_message_each() {
        let (short, long) = (publish(b"hi"), publish(&[b'x'; 300]));
        let run = [&short[..], &long].concat();
        assert_eq!(dressed(Dress::Tcp, &run), run);
        let binary = dressed(Dress::Binary, &run);
        assert_eq!(binary[..2], [0x82, short.len() as u8]);
        assert_eq!(binary[2..2 + short.len()], short);
        assert_eq!(binary[2 + short.len()..][..4], [0x82, 126, (long.len() >> 8) as u8, long.len() as u8]);
        assert_eq!(binary.len(), 2 + 4 + run.len());
        let json = dressed(Dress::Json, &run);
        let text = br#"{"type":"publish","ref":7,"conversation":"topic:news","body":"hi","ttl_ms":0}"#;
        assert_eq!((json[0], json[1], &json[2..2 + text.len()]), (0x81, text.len() as u8, &text[..]));
        assert_eq!(json[2 + text.len()..][..2], [0x81, 126]);
    }

    #[test]
    fn what_fits_over_tcp_fits_in_every_dress() {
        const LIMIT: u32 = 1 << 20;
        let frames = [publish(b""), publish(&[1; 5]), publish(&[0; 65_536]), publish(&[0xff; 65_536]), publish(&[b'"'; 1000])];
        for frame in &frames {
            let run = frame.repeat(LIMIT as usize / frame.len());
            for dress in [Dress::Binary, Dress::Json] {
                let bytes = dressed(dress, &run).len();
                assert!(
                    bytes <= dress.outbox_bytes_max(LIMIT),
                    "{} bytes of {} are {bytes} in {dress:?}",
                    run.len(),
                    frame.len()
                );
            }
        }
    }

    #[test]
    fn a_message_is_one_frame_of_at_most_the_limit() {
        let mut json = json::Reader::new();
        let frame = publish(b"hi");
        let limit = (frame.len() - PREFIX_BYTES) as u32;
        let mut code = |dress: Dress, message: &[u8], limit| match dress.frame(message, &mut json, None, limit) {
            Ok((read, bytes)) => Ok((read.ref_(), bytes.to_vec())),
            Err(Misread::Leave(leave)) => Err(Some(leave)),
            Err(Misread::Json(_)) => Err(None),
        };
        assert_eq!(code(Dress::Binary, &frame, limit), Ok((7, frame.clone())));
        let (malformed, too_large) = (CloseCode::malformed_frame.into(), CloseCode::frame_too_large.into());
        assert_eq!(code(Dress::Binary, &frame, limit - 1), Err(Some(too_large)));
        for wrong in [&frame[..frame.len() - 1], &[&frame[..], &[0]].concat(), &frame.repeat(2), b"", b"abc"] {
            assert_eq!(code(Dress::Binary, wrong, limit), Err(Some(malformed)));
        }
        let text = br#"{"type":"ping","ref":9}"#;
        assert_eq!(code(Dress::Json, text, limit).map(|(reference, _)| reference), Ok(9));
        assert_eq!(code(Dress::Json, b"ping", limit), Err(None));
        assert_eq!(code(Dress::Json, text, 8), Err(Some(too_large)));
    }

    #[test]
    fn every_reason_of_ours_has_a_close_code_of_its_own() {
        assert_eq!(close_code(CloseCode::shutting_down), 4000);
        assert_eq!(close_code(CloseCode::login_failed), 4105);
        let all: Vec<CloseCode> = (1..=u16::MAX).map(CloseCode).filter(|code| code.variant_name().is_some()).collect();
        let codes: std::collections::BTreeSet<u16> = all.iter().map(|&code| close_code(code)).collect();
        assert_eq!(codes.len(), all.len());
        assert!(codes.iter().all(|&code| crate::ws::close::may_be_sent(code)));
        for code in all {
            assert_eq!(code.0 < 2000, close_code(code) < 4100, "{code:?}");
            let mut frame = Vec::new();
            crate::ws::close::write_frame(Some(close_code(code)), code.variant_name().unwrap(), &mut frame);
            assert!(frame.len() <= 127);
        }
    }

    #[test]
    fn each_kind_of_message_has_its_dress() {
        let mut pongs = Pongs::behind(0);
        assert_eq!(Dress::Binary.message(Event::Binary(b"x"), &mut pongs), Ok(Some(&b"x"[..])));
        assert_eq!(Dress::Json.message(Event::Text(b"x"), &mut pongs), Ok(Some(&b"x"[..])));
        for (dress, event) in [(Dress::Json, Event::Binary(b"x")), (Dress::Binary, Event::Text(b"x"))] {
            assert_eq!(dress.message(event, &mut pongs), Err(Leave::Fault(Fault::WrongKind)));
        }
        assert_eq!(Dress::Json.message(Event::Close(Some(1001)), &mut pongs), Err(Leave::Closed(Some(1001))));
        assert_eq!(Dress::Json.message(Event::Pong, &mut pongs), Ok(None));
        assert!(pongs.is_empty());
        assert_eq!(Dress::Json.message(Event::Ping(b"x"), &mut pongs), Ok(None));
        assert_eq!(pongs.take().as_deref(), Some(&[0x8a, 1, b'x'][..]));
        assert_eq!(
            (Dress::agreed(Some(0)), Dress::agreed(Some(1)), Dress::agreed(None)),
            (Dress::Binary, Dress::Json, Dress::Json)
        );
        assert_eq!(PROTOCOLS, ["campanile.v1.fb", "campanile.v1.json"]);
    }
}
