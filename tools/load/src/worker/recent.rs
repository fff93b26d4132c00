//! Frames that were verified lately. A message to a thousand members arrives here a thousand times with the same bytes; comparing
//! them with those that were verified once costs a tenth of verifying them again, and proves as much.

use crate::account::Header;

/// Frames kept: more than are usually on their way to one receiver.
const KEPT: u64 = 256;

/// The newest frames, numbered in the order in which they were first seen.
#[derive(Debug, Default)]
pub struct Recent {
    frames: Vec<(Vec<u8>, Header)>,
    next: u64,
}

impl Recent {
    /// The header of the frame with this number, if it has exactly these bytes. Each receiver gets the frames in the same order, so it
    /// asks for the number after the last one that it got.
    pub fn find(&self, number: u64, bytes: &[u8]) -> Option<Header> {
        if number >= self.next || number + KEPT < self.next {
            return None;
        }
        let (kept, header) = &self.frames[(number % KEPT) as usize];
        (kept == bytes).then_some(*header)
    }

    /// Keeps a frame that was verified, instead of the oldest one, and gives its number.
    pub fn keep(&mut self, bytes: &[u8], header: Header) -> u64 {
        let number = self.next;
        match self.frames.get_mut((number % KEPT) as usize) {
            Some((kept, of)) => {
                kept.clear();
                kept.extend_from_slice(bytes);
                *of = header;
            }
            None => self.frames.push((bytes.to_vec(), header)),
        }
        self.next += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: u64) -> Header {
        Header { run: 1, publisher: 0, place: 0, channel: 0, seq, intended_ns: 0 }
    }

    #[test]
    fn only_the_same_bytes_at_the_same_place_are_found() {
        let mut recent = Recent::default();
        assert_eq!(recent.find(0, b"a"), None);
        assert_eq!(recent.keep(b"a", header(1)), 0);
        assert_eq!(recent.keep(b"b", header(2)), 1);
        assert_eq!(recent.find(0, b"a"), Some(header(1)));
        assert_eq!(recent.find(1, b"b"), Some(header(2)));
        assert_eq!((recent.find(1, b"a"), recent.find(2, b"a")), (None, None));
    }

    #[test]
    fn old_frames_make_room() {
        let mut recent = Recent::default();
        for seq in 0..=KEPT {
            recent.keep(&seq.to_le_bytes(), header(seq));
        }
        assert_eq!(recent.find(0, &0u64.to_le_bytes()), None);
        assert_eq!(recent.find(1, &1u64.to_le_bytes()), Some(header(1)));
        assert_eq!(recent.find(KEPT, &KEPT.to_le_bytes()), Some(header(KEPT)));
    }
}
