//! Frames of a WebSocket client (RFC 6455, section 5): every one that leaves is masked, none that arrives may be.

use std::ops::Range;

use super::MESSAGE_BYTES_MAX;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Lengths of the second byte that say: the length follows in two bytes, or in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
/// Control frames carry no more than this.
const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A message of UTF-8.
    Text = 1,
    /// A message of bytes.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// To be answered.
    Ping = 9,
    /// The answer.
    Pong = 10,
}

/// What stands at the front of received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Front {
    /// Not a whole frame yet.
    More,
    /// A frame: its payload, and where the next one begins.
    Frame {
        /// What it is.
        opcode: Opcode,
        /// Where its payload lies.
        payload: Range<usize>,
    },
    /// What no server may send, or what none that is measured here has a reason to send: fragments.
    Wrong,
}

/// Looks for a whole frame of a server.
pub fn front(bytes: &[u8]) -> Front {
    let [first, second, ..] = *bytes else { return Front::More };
    let opcode = match first {
        0x81 => Opcode::Text,
        0x82 => Opcode::Binary,
        0x88 => Opcode::Close,
        0x89 => Opcode::Ping,
        0x8a => Opcode::Pong,
        _ => return Front::Wrong,
    };
    let (header, length) = match second {
        LENGTH_16 => match bytes[2..].first_chunk() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Front::More,
        },
        LENGTH_64 => match bytes[2..].first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Front::More,
        },
        length => (2, u64::from(length)),
    };
    let is_control = opcode as u8 >= 8;
    let max = if is_control { CONTROL_BYTES_MAX } else { MESSAGE_BYTES_MAX };
    if second & MASKED != 0 || length > max as u64 || header != header_bytes(length as usize) {
        return Front::Wrong;
    }
    let payload = header..header + length as usize;
    if bytes.len() < payload.end { Front::More } else { Front::Frame { opcode, payload } }
}

/// The only header that a payload of this length may have, without its mask.
fn header_bytes(length: usize) -> usize {
    match length {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Keys for masks, a new one for each message as section 5.3 wants it. They need be no secret here: there is no browser and no proxy.
#[derive(Debug)]
pub struct Masks(fastrand::Rng);

impl Masks {
    /// Begins anywhere.
    pub fn new(seed: u64) -> Masks {
        Masks(fastrand::Rng::with_seed(seed))
    }

    /// The next key.
    fn take(&mut self) -> [u8; 4] {
        self.0.u32(..).to_ne_bytes()
    }
}

/// Appends a frame of a client.
pub fn write(opcode: Opcode, payload: &[u8], masks: &mut Masks, into: &mut Vec<u8>) {
    into.push(FIN | opcode as u8);
    match header_bytes(payload.len()) {
        2 => into.push(MASKED | payload.len() as u8),
        4 => {
            into.push(MASKED | LENGTH_16);
            into.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        _ => {
            into.push(MASKED | LENGTH_64);
            into.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    let key = masks.take();
    into.extend_from_slice(&key);
    let begin = into.len();
    into.extend_from_slice(payload);
    mask(key, &mut into[begin..]);
}

/// Masks in place, or takes the mask off again.
fn mask(key: [u8; 4], payload: &mut [u8]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    words.iter_mut().for_each(|word| *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes());
    rest.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(opcode, payload, &mut Masks::new(7), &mut bytes);
        bytes
    }

    /// The same frame as a server would send it.
    fn unmasked(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
        let header = header_bytes(length);
        assert_eq!(bytes[1] & MASKED, MASKED);
        bytes[1] &= !MASKED;
        let key = *bytes[header..].first_chunk().expect("a mask");
        mask(key, &mut bytes[header + 4..]);
        bytes.drain(header..header + 4);
        bytes
    }

    #[test]
    fn the_masked_hello_of_the_rfc_is_unmasked() {
        // RFC 6455, section 5.7.
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        mask([0x37, 0xfa, 0x21, 0x3d], &mut payload);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn what_is_written_is_what_is_read_without_its_mask() {
        for length in [0, 1, 7, 8, 9, 125, 126, 1000, 65_535, 65_536, 70_001] {
            let payload: Vec<u8> = (0..length).map(|i| (i * 31) as u8).collect();
            let masked = written(Opcode::Binary, &payload);
            assert_eq!(masked.len(), header_bytes(length) + 4 + length);
            assert_eq!(front(&masked), Front::Wrong, "a server may not mask");
            let mut bytes = unmasked(masked, length);
            bytes.push(0x82);
            let Front::Frame { opcode: Opcode::Binary, payload: range } = front(&bytes) else { panic!("{length}") };
            assert_eq!(bytes[range.clone()], payload);
            assert_eq!(range.end + 1, bytes.len());
        }
    }

    #[test]
    fn what_is_not_whole_is_waited_for() {
        for length in [3, 126, 65_536] {
            let bytes = unmasked(written(Opcode::Text, &vec![b'x'; length]), length);
            for cut in (0..20.min(bytes.len())).chain([bytes.len() - 1]) {
                assert_eq!(front(&bytes[..cut]), Front::More, "{cut} of {length}");
            }
        }
    }

    #[test]
    fn what_no_server_may_send_is_seen() {
        let wrong: [&[u8]; 8] = [
            &[0x02, 0],                              // a fragment
            &[0x80, 0],                              // the end of one
            &[0xc2, 0],                              // a reserved bit
            &[0x83, 0],                              // a reserved opcode
            &[0x82, 0x80, 1, 2, 3, 4],               // masked
            &[0x82, 126, 0, 125],                    // a length that is not minimal
            &[0x89, 126, 0, 126],                    // a control frame that is too long
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], // the top bit of the length
        ];
        for bytes in wrong {
            assert_eq!(front(bytes), Front::Wrong, "{bytes:x?}");
        }
    }

    #[test]
    fn each_message_has_a_key_of_its_own() {
        let mut masks = Masks::new(42);
        let keys: std::collections::HashSet<[u8; 4]> = (0..1000).map(|_| masks.take()).collect();
        assert!(keys.len() > 990);
    }
}
