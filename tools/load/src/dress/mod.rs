//! How frames travel: one after the other over TCP, or each in a WebSocket message, as it is or as JSON. Nothing outside of here knows, but for the
//! moment in which a connection becomes a WebSocket.

mod frame;
mod upgrade;

use std::net::SocketAddr;
use std::ops::Range;

use campanile::json;
use campanile::wire::schema::{Frame, size_prefixed_root_as_frame};
use campanile::wire::{Malformed, Split, read, split};
use serde::Serialize;

use frame::{Front, Masks, Opcode, front};
pub use upgrade::Answer;

/// Longest message that is believed: a page in JSON, with room to spare.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What a connection wears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Dress {
    /// Frames, over TCP.
    Tcp,
    /// Frames in binary messages of a WebSocket.
    Binary,
    /// Frames as JSON in its text messages.
    Json,
}

impl Dress {
    /// The sub-protocol; none over TCP.
    fn protocol(self) -> Option<&'static str> {
        match self {
            Dress::Tcp => None,
            Dress::Binary => Some("campanile.v1.fb"),
            Dress::Json => Some("campanile.v1.json"),
        }
    }

    /// For reports.
    pub fn name(self) -> &'static str {
        match self {
            Dress::Tcp => "tcp",
            Dress::Binary => "ws",
            Dress::Json => "ws-json",
        }
    }
}

impl From<Dress> for &'static str {
    fn from(dress: Dress) -> Self {
        dress.name()
    }
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is addressed: name and port.
    pub host: String,
    /// What it is asked for; "/" unless the target says otherwise.
    pub path: String,
    /// How frames travel.
    pub dress: Dress,
}

impl Target {
    /// A server that speaks TCP.
    pub fn tcp(address: SocketAddr) -> Target {
        Target { address, host: address.to_string(), path: "/".to_owned(), dress: Dress::Tcp }
    }

    /// What must be sent before the first frame, if anything. `seed`: another one for each connection.
    pub fn request(&self, seed: u64) -> Option<String> {
        let protocol = self.dress.protocol()?;
        Some(upgrade::request(&self.host, &self.path, protocol, &upgrade::key(seed)))
    }

    /// Reads the answer to that.
    pub fn answer(&self, bytes: &[u8], seed: u64) -> Answer {
        let Some(protocol) = self.dress.protocol() else { return Answer::Upgraded(0) };
        upgrade::answer(bytes, protocol, &upgrade::key(seed))
    }
}

/// Puts the dress on what leaves.
#[derive(Debug)]
pub struct Outbound {
    dress: Dress,
    masks: Masks,
    text: Vec<u8>,
    bytes: Vec<u8>,
}

impl Outbound {
    /// For connections of this dress.
    pub fn new(dress: Dress, seed: u64) -> Outbound {
        Outbound { dress, masks: Masks::new(seed), text: Vec::new(), bytes: Vec::new() }
    }

    /// A frame as it travels. It stands until the next call.
    pub fn frame<'a>(&'a mut self, frame: &'a [u8]) -> &'a [u8] {
        match self.dress {
            Dress::Tcp => frame,
            Dress::Binary => self.message(Opcode::Binary, frame),
            Dress::Json => {
                self.text.clear();
                json::write(size_prefixed_root_as_frame(frame).expect("a frame that was just built"), &mut self.text);
                self.bytes.clear();
                frame::write(Opcode::Text, &self.text, &mut self.masks, &mut self.bytes);
                &self.bytes
            }
        }
    }

    /// The answer to a ping of the WebSocket itself.
    pub fn pong(&mut self, payload: &[u8]) -> &[u8] {
        self.message(Opcode::Pong, payload)
    }

    /// The answer to the end of it.
    pub fn close(&mut self, payload: &[u8]) -> &[u8] {
        self.message(Opcode::Close, payload)
    }

    fn message(&mut self, opcode: Opcode, payload: &[u8]) -> &[u8] {
        self.bytes.clear();
        frame::write(opcode, payload, &mut self.masks, &mut self.bytes);
        &self.bytes
    }
}

/// What stands at the front of received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Nothing whole yet.
    More,
    /// This, with its payload; the next thing begins at its end.
    Whole(What, Range<usize>),
    /// The stream cannot be followed any further.
    Wrong,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// What [`Inbound::read`] makes a frame of.
    Message,
    /// To be answered with the same payload.
    Ping,
    /// Of no concern.
    Pong,
    /// The end, to be answered with the same payload.
    Close,
}

impl Dress {
    /// Looks at the front of what a connection has received.
    pub fn front(self, bytes: &[u8]) -> Arrived {
        let of_messages = match self {
            Dress::Tcp => {
                return match split(bytes, MESSAGE_BYTES_MAX) {
                    Split::Whole(length) => Arrived::Whole(What::Message, 0..length),
                    Split::More(_) => Arrived::More,
                    Split::TooLarge => Arrived::Wrong,
                };
            }
            Dress::Binary => Opcode::Binary,
            Dress::Json => Opcode::Text,
        };
        let (opcode, payload) = match front(bytes) {
            Front::More => return Arrived::More,
            Front::Frame { opcode, payload } => (opcode, payload),
            Front::Wrong => return Arrived::Wrong,
        };
        match opcode {
            Opcode::Ping => Arrived::Whole(What::Ping, payload),
            Opcode::Pong => Arrived::Whole(What::Pong, payload),
            Opcode::Close => Arrived::Whole(What::Close, payload),
            opcode if opcode == of_messages => Arrived::Whole(What::Message, payload),
            Opcode::Text | Opcode::Binary => Arrived::Wrong,
        }
    }
}

/// Makes frames of messages.
#[derive(Default)]
pub struct Inbound {
    /// For connections that wear JSON.
    json: Option<Box<json::Reader>>,
}

impl Inbound {
    /// For connections of this dress.
    pub fn new(dress: Dress) -> Inbound {
        Inbound { json: (dress == Dress::Json).then(Box::default) }
    }

    /// A message as a frame. It stands until the next call.
    ///
    /// # Errors
    /// It is none.
    pub fn read<'a>(&'a mut self, message: &'a [u8]) -> Result<Frame<'a>, Malformed> {
        match &mut self.json {
            Some(reader) => read(reader.read(message, None).map_err(|_| Malformed)?),
            None => read(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use campanile::wire::Encoder;
    use campanile::wire::schema::{Body, Ping, PingArgs};

    use super::*;

    #[test]
    fn tcp_wears_nothing() {
        let target = Target::tcp(SocketAddr::from(([127, 0, 0, 1], 7400)));
        assert_eq!((target.request(1), target.answer(b"", 1)), (None, Answer::Upgraded(0)));
        let mut encoder = Encoder::default();
        let frame = encoder.frame(9, |b| Ping::create(b, &PingArgs {})).to_vec();
        assert_eq!(Outbound::new(Dress::Tcp, 1).frame(&frame), frame);
        assert_eq!(Dress::Tcp.front(&frame[..5]), Arrived::More);
        assert_eq!(Dress::Tcp.front(&frame), Arrived::Whole(What::Message, 0..frame.len()));
        assert_eq!(Inbound::new(Dress::Tcp).read(&frame).map(|frame| frame.ref_()), Ok(9));
    }

    #[test]
    fn a_websocket_says_what_it_is() {
        let front = |bytes: &[u8]| Dress::Binary.front(bytes);
        assert_eq!(front(&[0x82, 2, 7, 7]), Arrived::Whole(What::Message, 2..4));
        assert_eq!(front(&[0x89, 1, 7]), Arrived::Whole(What::Ping, 2..3));
        assert_eq!(front(&[0x8a, 0]), Arrived::Whole(What::Pong, 2..2));
        assert_eq!(front(&[0x88, 2, 3, 0xe8]), Arrived::Whole(What::Close, 2..4));
        assert_eq!(front(&[0x81, 0]), Arrived::Wrong, "text where binary was agreed");
        assert_eq!(Dress::Json.front(&[0x81, 2, b'{', b'}']), Arrived::Whole(What::Message, 2..4));
        assert_eq!(Dress::Json.front(&[0x82, 0]), Arrived::Wrong, "bytes where text was agreed");
    }

    #[test]
    fn json_is_a_frame_again_in_the_end() {
        let mut encoder = Encoder::default();
        let frame = encoder.frame(9, |b| Ping::create(b, &PingArgs {})).to_vec();
        let text = br#"{"type":"ping","ref":9}"#;
        // What leaves is masked, so that only its length shows.
        assert_eq!(Outbound::new(Dress::Json, 1).frame(&frame).len(), 2 + 4 + text.len());
        let mut inbound = Inbound::new(Dress::Json);
        assert_eq!(inbound.read(text).map(|frame| (frame.ref_(), frame.body_type())), Ok((9, Body::Ping)));
        assert!(inbound.read(b"{").is_err() && inbound.read(&frame).is_err());
    }
}
