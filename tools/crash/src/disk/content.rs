//! The bytes of a file, sparse: a preallocated journal of 64 MiB costs what was written into it.

use std::collections::BTreeMap;

/// Bytes of one block.
pub const BLOCK_BYTES: u64 = 4096;

type Block = Box<[u8; BLOCK_BYTES as usize]>;

/// What a file holds. What was never written reads as zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    len: u64,
    blocks: BTreeMap<u64, Block>,
}

impl Content {
    /// Bytes of the file, holes included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that blocks take; holes take none.
    pub fn allocated_bytes(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK_BYTES
    }

    /// Bytes that a write would take in addition.
    pub fn needed_bytes(&self, at: u64, length: usize) -> u64 {
        if length == 0 {
            return 0;
        }
        let (first, last) = (at / BLOCK_BYTES, (at + length as u64 - 1) / BLOCK_BYTES);
        (last - first + 1 - self.blocks.range(first..=last).count() as u64) * BLOCK_BYTES
    }

    /// At most `length` bytes from `at`; fewer at the end of the file.
    pub fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let length = (length as u64).min(self.len.saturating_sub(at)) as usize;
        let mut bytes = vec![0; length];
        for (within, block, range) in pieces(at, length) {
            if let Some(block) = self.blocks.get(&block) {
                let from = within.start;
                bytes[range].copy_from_slice(&block[from..within.end]);
            }
        }
        bytes
    }

    /// Writes `bytes` at `at`; the file grows where needed.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        for (within, block, range) in pieces(at, bytes.len()) {
            let block = self.blocks.entry(block).or_insert_with(|| Box::new([0; BLOCK_BYTES as usize]));
            block[within].copy_from_slice(&bytes[range]);
        }
        if !bytes.is_empty() {
            self.len = self.len.max(at + bytes.len() as u64);
        }
    }

    /// Cuts the file, or lets it grow by zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.blocks.split_off(&len.div_ceil(BLOCK_BYTES));
            if let Some(block) = self.blocks.get_mut(&(len / BLOCK_BYTES)) {
                block[(len % BLOCK_BYTES) as usize..].fill(0);
            }
        }
        self.len = len;
    }
}

type Range = std::ops::Range<usize>;

/// Splits `length` bytes at `at` along blocks: where in the block, which block, where in the bytes.
fn pieces(at: u64, length: usize) -> impl Iterator<Item = (Range, u64, Range)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let place = at + done as u64;
        let within = (place % BLOCK_BYTES) as usize;
        let step = (length - done).min(BLOCK_BYTES as usize - within);
        let piece = (within..within + step, place / BLOCK_BYTES, done..done + step);
        done += step;
        (step > 0).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_across_blocks() {
        let mut content = Content::default();
        let bytes: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
        content.write(3000, &bytes);
        assert_eq!((content.len(), content.allocated_bytes()), (13_000, 4 * BLOCK_BYTES));
        assert_eq!(content.read(3000, 10_000), bytes);
        assert_eq!(content.read(0, 3000), vec![0; 3000]);
        assert_eq!(content.read(12_990, 100).len(), 10);
        assert!(content.read(20_000, 1).is_empty());
    }

    #[test]
    fn holes_are_zeros_and_cost_nothing() {
        let mut content = Content::default();
        content.set_len(64 << 20);
        assert_eq!((content.len(), content.allocated_bytes()), (64 << 20, 0));
        assert_eq!(content.needed_bytes(4095, 2), 2 * BLOCK_BYTES);
        content.write(1 << 20, b"x");
        assert_eq!(content.needed_bytes(1 << 20, 4096), 0);
        assert_eq!(content.read((1 << 20) - 1, 3), [0, b'x', 0]);
    }

    #[test]
    fn what_was_cut_does_not_come_back() {
        let mut content = Content::default();
        content.write(0, &[7; 9000]);
        content.set_len(5000);
        content.set_len(9000);
        assert_eq!(content.read(4999, 3), [7, 0, 0]);
        assert_eq!(content.read(8990, 100), [0; 10]);
    }
}
