//! What a WebSocket costs besides what it carries.

use campanile::net::{Dress, PROTOCOLS};
use campanile::wire::Encoder;
use campanile::ws::upgrade::read;
use campanile::ws::{Event, Incoming, Names, Rules};

use super::frames;

/// One message of a client, masked, in so many fragments.
pub struct Message {
    incoming: Incoming,
    bytes: Vec<u8>,
}

impl Message {
    /// Bytes. What is unmasked in place is masked again the next time: the work is the same.
    pub fn binary(payload_bytes: usize, fragments: usize) -> Message {
        Message::new(0x2, [0x37, 0xfa, 0x21, 0x3d], &vec![b'x'; payload_bytes], fragments)
    }

    /// Text, half of it beyond ASCII. Its mask is zero, so that it stays text each time: the work is the same.
    pub fn text(payload_bytes: usize) -> Message {
        let payload: String = "abcd\u{43a}\u{43e}".chars().cycle().take(payload_bytes * 6 / 8).collect();
        Message::new(0x1, [0; 4], payload.as_bytes(), 1)
    }

    fn new(opcode: u8, mask: [u8; 4], payload: &[u8], fragments: usize) -> Message {
        let mut bytes = Vec::new();
        let pieces: Vec<&[u8]> = payload.chunks(payload.len().div_ceil(fragments)).collect();
        for (i, piece) in pieces.iter().enumerate() {
            let last = if i + 1 == pieces.len() { 0x80 } else { 0 };
            bytes.push(last | if i == 0 { opcode } else { 0 });
            match piece.len() {
                short @ ..126 => bytes.push(0x80 | short as u8),
                long => {
                    bytes.push(0x80 | 126);
                    bytes.extend_from_slice(&u16::try_from(long).expect("below 64 KiB").to_be_bytes());
                }
            }
            bytes.extend_from_slice(&mask);
            bytes.extend_from_slice(piece);
        }
        Message { incoming: Incoming::default(), bytes }
    }

    /// Read in place, as from the receive buffer.
    pub fn run(&mut self) -> usize {
        let mut input = &mut self.bytes[..];
        match self.incoming.next(&mut input, 1 << 20).expect("as the RFC says") {
            Some(Event::Binary(payload) | Event::Text(payload)) => payload.len(),
            other => panic!("{other:?} was not expected"),
        }
    }

    /// Its bytes on the wire.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// A message of the server, dressed once for all who get it.
pub struct Dressing {
    dress: Dress,
    frame: Vec<u8>,
    out: Vec<u8>,
}

impl Dressing {
    pub fn new(dress: Dress, body_bytes: usize) -> Dressing {
        let frame = frames::message(&mut Encoder::default(), &frames::record(body_bytes)).to_vec();
        Dressing { dress, frame, out: Vec::new() }
    }

    pub fn run(&mut self) -> usize {
        self.out.clear();
        self.dress.write(&self.frame, &mut self.out);
        self.out.len()
    }
}

/// The request that a browser begins with.
pub struct Upgrade {
    rules: Rules,
    request: &'static [u8],
}

impl Upgrade {
    pub fn new() -> Upgrade {
        let request = b"GET /ws HTTP/1.1\r\nHost: localhost:7401\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
            User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
            Upgrade: websocket\r\nOrigin: http://localhost:7402\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\n\
            Accept-Language: en-GB,en;q=0.9\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: campanile.v1.fb\r\n\r\n";
        let hosts = Names::of("localhost,127.0.0.1,[::1]");
        Upgrade { rules: Rules { hosts, head_bytes_max: 8192, protocols: PROTOCOLS, ..Rules::default() }, request }
    }

    pub fn run(&self) -> usize {
        let agreed = read(self.request, 0, &self.rules).expect("as it should be").expect("whole");
        agreed.accept.len()
    }

    /// The request.
    pub fn bytes(&self) -> &[u8] {
        self.request
    }
}
