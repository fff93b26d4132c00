//! The header of a frame (RFC 6455, section 5.2).

use super::Fault;

/// The longest header: two bytes, eight of length, four of mask.
pub const HEADER_BYTES_MAX: usize = 14;
/// Control frames carry no more than this (section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// Lengths of the second byte that say: the length follows in two bytes, or in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message that was begun.
    Continuation = 0,
    /// A message of UTF-8, or its beginning.
    Text = 1,
    /// A message of bytes, or its beginning.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// To be answered.
    Ping = 9,
    /// The answer.
    Pong = 10,
}

impl Opcode {
    fn of(nibble: u8) -> Option<Opcode> {
        Some(match nibble {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether it may stand between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The header of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub opcode: Opcode,
    /// It ends its message.
    pub is_last: bool,
    /// Bytes of its payload.
    pub length: u64,
    /// What its payload is masked with.
    pub mask: [u8; 4],
}

impl Header {
    /// Reads the header at the front of `bytes`, and says how long it is. `None`: it has not come whole, but what came is no fault.
    ///
    /// # Errors
    /// What is wrong with it, as soon as it can be seen.
    pub fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
        let &[first, ref rest @ ..] = bytes else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(Fault::ReservedBits);
        }
        let opcode = Opcode::of(first & 0x0f).ok_or(Fault::ReservedOpcode)?;
        let is_last = first & FIN != 0;
        if opcode.is_control() && !is_last {
            return Err(Fault::FragmentedControl);
        }
        let &[second, ref rest @ ..] = rest else { return Ok(None) };
        if second & MASKED == 0 {
            return Err(Fault::NotMasked);
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Fault::LongControl);
        }
        let Some((length, rest)) = length(short, rest)? else { return Ok(None) };
        let Some(&mask) = rest.first_chunk() else { return Ok(None) };
        let header_bytes = bytes.len() - rest.len() + mask.len();
        Ok(Some((Header { opcode, is_last, length, mask }, header_bytes)))
    }
}

/// The length that the second byte means, and what follows it.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Fault> {
    let (length, rest, least) = match short {
        LENGTH_16 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), rest, u64::from(LENGTH_16))
        }
        LENGTH_64 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), rest, 1 << 16)
        }
        short => (u64::from(short), rest, 0),
    };
    if length >> 63 != 0 {
        return Err(Fault::LengthTopBit);
    }
    if length < least {
        return Err(Fault::LengthNotMinimal);
    }
    Ok(Some((length, rest)))
}

/// The header of an unfragmented frame from a server, which masks nothing.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; 10],
    length: u8,
}

impl Head {
    /// For a payload of so many bytes.
    pub fn new(opcode: Opcode, payload_bytes: usize) -> Head {
        let mut bytes = [0; 10];
        bytes[0] = FIN | opcode as u8;
        let length = if payload_bytes < usize::from(LENGTH_16) {
            bytes[1] = payload_bytes as u8;
            2
        } else if let Ok(short) = u16::try_from(payload_bytes) {
            bytes[1] = LENGTH_16;
            bytes[2..4].copy_from_slice(&short.to_be_bytes());
            4
        } else {
            bytes[1] = LENGTH_64;
            bytes[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        };
        Head { bytes, length }
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length.into()]
    }
}

/// Appends an unfragmented frame from a server.
pub fn write(opcode: Opcode, payload: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(Head::new(opcode, payload.len()).bytes());
    into.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    /// The header of a final binary frame of a client.
    fn header(second: u8, length: &[u8]) -> Vec<u8> {
        [&[0x82, second | MASKED], length, &MASK].concat()
    }

    fn read_length(bytes: &[u8]) -> Result<u64, Fault> {
        Header::read(bytes).map(|read| read.expect("a whole header").0.length)
    }

    #[test]
    fn each_length_has_one_encoding() {
        assert_eq!(read_length(&header(0, &[])), Ok(0));
        assert_eq!(read_length(&header(125, &[])), Ok(125));
        assert_eq!(read_length(&header(126, &126_u16.to_be_bytes())), Ok(126));
        assert_eq!(read_length(&header(126, &u16::MAX.to_be_bytes())), Ok(65_535));
        assert_eq!(read_length(&header(127, &65_536_u64.to_be_bytes())), Ok(65_536));
        assert_eq!(read_length(&header(127, &(u64::MAX >> 1).to_be_bytes())), Ok(u64::MAX >> 1));
        assert_eq!(read_length(&header(126, &125_u16.to_be_bytes())), Err(Fault::LengthNotMinimal));
        assert_eq!(read_length(&header(127, &65_535_u64.to_be_bytes())), Err(Fault::LengthNotMinimal));
        assert_eq!(read_length(&header(127, &0_u64.to_be_bytes())), Err(Fault::LengthNotMinimal));
        assert_eq!(read_length(&header(127, &(1_u64 << 63).to_be_bytes())), Err(Fault::LengthTopBit));
    }

    #[test]
    fn what_is_not_whole_is_waited_for() {
        for whole in [header(5, &[]), header(126, &[1, 0]), header(127, &[0, 0, 0, 0, 0, 1, 0, 0])] {
            for cut in 0..whole.len() {
                assert_eq!(Header::read(&whole[..cut]), Ok(None));
            }
            let (read, length) = Header::read(&[&whole[..], b"payload"].concat()).unwrap().unwrap();
            assert_eq!((read.mask, read.opcode, read.is_last, length), (MASK, Opcode::Binary, true, whole.len()));
        }
    }

    #[test]
    fn what_is_wrong_is_seen_at_the_first_byte_that_shows_it() {
        for first in 0..=255_u8 {
            let read = Header::read(&[first]);
            let (reserved, opcode) = (first & RESERVED != 0, first & 0x0f);
            let expected = match opcode {
                _ if reserved => Err(Fault::ReservedBits),
                3..=7 | 11..=15 => Err(Fault::ReservedOpcode),
                8..=10 if first & FIN == 0 => Err(Fault::FragmentedControl),
                _ => Ok(None),
            };
            assert_eq!(read, expected, "{first:#x}");
        }
        assert_eq!(Header::read(&[0x81, 5]), Err(Fault::NotMasked));
        for opcode in [0x88, 0x89, 0x8a] {
            assert_eq!(Header::read(&[opcode, MASKED | 126]), Err(Fault::LongControl));
            assert_eq!(Header::read(&[opcode, MASKED | 127]), Err(Fault::LongControl));
            assert_eq!(Header::read(&[opcode, MASKED | 125]), Ok(None));
        }
    }

    #[test]
    fn a_server_writes_the_shortest_header() {
        assert_eq!(Head::new(Opcode::Text, 125).bytes(), [0x81, 125]);
        assert_eq!(Head::new(Opcode::Binary, 126).bytes(), [0x82, 126, 0, 126]);
        assert_eq!(Head::new(Opcode::Binary, 65_535).bytes(), [0x82, 126, 255, 255]);
        assert_eq!(Head::new(Opcode::Binary, 65_536).bytes(), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        let mut bytes = Vec::new();
        write(Opcode::Pong, b"hi", &mut bytes);
        assert_eq!(bytes, [0x8a, 2, b'h', b'i']);
    }
}
