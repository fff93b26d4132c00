//! Frames that were verified lately, found by their bytes. A message to a group arrives here once for each member with the same bytes; comparing
//! them with those that were verified once costs a tenth of verifying them again, and proves as much.

use xxhash_rust::xxh3::xxh3_64;

use crate::account::Header;

/// Places; a power of two.
const PLACES: usize = 1024;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the body says.
    pub header: Header,
    /// Where it stands in its log.
    pub place: (u64, u64),
}

/// The newest frame of each place.
#[derive(Debug, Default)]
pub struct Known {
    frames: Vec<Option<(Vec<u8>, Told)>>,
}

impl Known {
    /// What a frame with exactly these bytes says, if it was kept.
    pub fn find(&self, bytes: &[u8]) -> Option<Told> {
        let (kept, told) = self.frames.get(place(bytes))?.as_ref()?;
        (kept == bytes).then_some(*told)
    }

    /// Keeps a frame that was verified, instead of the one in its place.
    pub fn keep(&mut self, bytes: &[u8], told: Told) {
        if self.frames.is_empty() {
            self.frames.resize_with(PLACES, || None);
        }
        let (kept, of) = self.frames[place(bytes)].get_or_insert_with(|| (Vec::new(), told));
        kept.clear();
        kept.extend_from_slice(bytes);
        *of = told;
    }
}

fn place(bytes: &[u8]) -> usize {
    xxh3_64(bytes) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_are_found() {
        let told =
            |seq| Told { header: Header { run: 1, publisher: 0, place: 0, channel: 0, seq, intended_ns: 0 }, place: (7, seq) };
        let mut known = Known::default();
        assert_eq!(known.find(b"a"), None);
        for seq in 0..3 * PLACES as u64 {
            known.keep(&seq.to_le_bytes(), told(seq));
            assert_eq!(known.find(&seq.to_le_bytes()), Some(told(seq)));
        }
        assert_eq!(known.find(b"a"), None);
    }
}
