//! A WebSocket that does what a test wants, right or wrong: frames are written and read one by one.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const FIN: u8 = 0x80;

/// The frames of Campanile, one in each message.
pub const FB: &str = "campanile.v1.fb";
pub const JSON: &str = "campanile.v1.json";

/// What a server sends after the upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// The first byte of a frame, and its payload.
    Frame(u8, Vec<u8>),
    /// Its close frame.
    Close(Option<u16>, String),
    /// The end of the stream.
    End,
}

pub struct Socket {
    pub stream: TcpStream,
    bytes: Vec<u8>,
}

/// A request as a client would make it, with these headers more, each with its line break.
pub fn request(headers: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// A frame of a client. `first`: opcode and flags.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x9a, 0x00, 0x37, 0xff];
    let mut bytes = vec![first];
    match payload.len() {
        short @ ..126 => bytes.push(0x80 | short as u8),
        long @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(long as u16).to_be_bytes());
        }
        longer => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(longer as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The payload of a close frame.
pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

impl Socket {
    /// A connection on which nothing was said.
    pub fn open(address: SocketAddr) -> Socket {
        Socket::over(TcpStream::connect(address).unwrap())
    }

    /// A connection that somebody else made.
    pub fn over(stream: TcpStream) -> Socket {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Socket { stream, bytes: Vec::new() }
    }

    /// A WebSocket with this sub-protocol.
    pub fn upgraded(address: SocketAddr, protocol: &str) -> Socket {
        let mut socket = Socket::open(address);
        socket.upgrade(protocol);
        socket
    }

    /// Asks for a sub-protocol, and gets it.
    pub fn upgrade(&mut self, protocol: &str) {
        self.write(request(&format!("Sec-WebSocket-Protocol: {protocol}\r\n")).as_bytes());
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        assert!(head.contains(&format!("Sec-WebSocket-Protocol: {protocol}\r\n")), "{head}");
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a frame.
    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&frame(first, payload));
    }

    /// What stands before the empty line.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                return String::from_utf8(self.bytes.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.fill(), "the server ended instead of answering: {:?}", String::from_utf8_lossy(&self.bytes));
        }
    }

    /// Everything up to the end.
    pub fn rest(&mut self) -> String {
        while self.fill() {}
        String::from_utf8(std::mem::take(&mut self.bytes)).unwrap()
    }

    /// The next frame, which must be one that a server may send.
    pub fn next(&mut self) -> Got {
        loop {
            if let Some(got) = self.whole() {
                return got;
            }
            if !self.fill() {
                assert!(self.bytes.is_empty(), "the server ended in the middle of a frame");
                return Got::End;
            }
        }
    }

    /// The code of the close frame that comes next, behind which nothing may come.
    pub fn closed(&mut self) -> (Option<u16>, String) {
        match self.next() {
            Got::Close(code, reason) => {
                assert_eq!(self.next(), Got::End);
                (code, reason)
            }
            got => panic!("no close: {got:?}"),
        }
    }

    /// The same, whatever messages come before it.
    pub fn closed_at_last(&mut self) -> (Option<u16>, String) {
        loop {
            match self.next() {
                Got::Frame(..) => {}
                Got::Close(code, reason) => {
                    assert_eq!(self.next(), Got::End);
                    return (code, reason);
                }
                Got::End => panic!("no close frame"),
            }
        }
    }

    fn whole(&mut self) -> Option<Got> {
        let &[first, second, ref rest @ ..] = &self.bytes[..] else { return None };
        assert_eq!(second & 0x80, 0, "a server masks nothing");
        let (length, header) = match second {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let end = header + length as usize;
        if self.bytes.len() < end {
            return None;
        }
        let payload: Vec<u8> = self.bytes.drain(..end).skip(header).collect();
        if first != FIN | CLOSE {
            return Some(Got::Frame(first, payload));
        }
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        let reason = String::from_utf8(payload.get(2..).unwrap_or_default().to_vec()).unwrap();
        Some(Got::Close(code, reason))
    }

    /// More bytes; `false`: there are no more.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(length) => {
                    self.bytes.extend_from_slice(&chunk[..length]);
                    return length > 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("nothing came: {error}; before it: {:?}", self.bytes),
            }
        }
    }
}
