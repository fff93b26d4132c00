//! Bytes on their way out: written once, then immutable, shared by reference until the kernel has taken them.
//!
//! While a turn runs, its frames are appended to an [`OpenBatch`]; what stands for a place in it is a [`Segment`]. When the turn
//! sends, the batch is sealed: its bytes move to memory of exactly their size and never change again. A frame for a thousand
//! receivers is one run of bytes and a thousand segments, and frames that follow one another in a batch merge into one segment,
//! so that sixteen messages to the same receivers leave with a single send from a single address.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// Bytes after which a batch is sealed even within a turn, so that one slow reader never pins more than this besides its own.
pub const BATCH_BYTES: usize = 64 * 1024;

/// Sealed (or soon to be sealed) bytes, counted in a gauge for as long as anything refers to them.
#[derive(Debug)]
struct Batch {
    bytes: OnceCell<Vec<u8>>,
    live_bytes: Rc<Cell<usize>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        let bytes = self.bytes.get().map_or(0, Vec::len);
        self.live_bytes.set(self.live_bytes.get() - bytes);
    }
}

/// A run of bytes in a batch.
#[derive(Clone, Debug)]
pub struct Segment {
    batch: Rc<Batch>,
    start: u32,
    end: u32,
}

impl Segment {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes.
    ///
    /// # Panics
    /// Before the batch is sealed.
    pub fn bytes(&self) -> &[u8] {
        let all = self.batch.bytes.get().expect("a segment is read after its batch was sealed");
        &all[self.start as usize..self.end as usize]
    }

    /// Whether both are the same run of the same bytes.
    pub fn is_same(&self, other: &Segment) -> bool {
        (self.start, self.end) == (other.start, other.end) && Rc::ptr_eq(&self.batch, &other.batch)
    }

    /// A number that is equal for those that are the same, and mostly differs for others.
    pub fn fingerprint(&self) -> usize {
        (Rc::as_ptr(&self.batch) as usize >> 4).wrapping_mul(31) ^ self.start as usize
    }

    /// Grows this segment by `next` if that begins where this one ends. Says whether it did.
    pub fn merge(&mut self, next: &Segment) -> bool {
        let follows = self.end == next.start && Rc::ptr_eq(&self.batch, &next.batch);
        if follows {
            self.end = next.end;
        }
        follows
    }

    /// Forgets the first `bytes` bytes, which were sent.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.len());
        self.start += bytes as u32;
    }
}

/// The batch that is being written.
#[derive(Debug)]
pub struct OpenBatch {
    batch: Rc<Batch>,
    bytes: Vec<u8>,
    live_bytes: Rc<Cell<usize>>,
}

impl Default for OpenBatch {
    fn default() -> Self {
        let live_bytes = Rc::new(Cell::new(0));
        OpenBatch { batch: Self::next(&live_bytes), bytes: Vec::with_capacity(BATCH_BYTES), live_bytes }
    }
}

impl OpenBatch {
    fn next(live_bytes: &Rc<Cell<usize>>) -> Rc<Batch> {
        Rc::new(Batch { bytes: OnceCell::new(), live_bytes: live_bytes.clone() })
    }

    /// Appends a frame.
    pub fn append(&mut self, frame: &[u8]) -> Segment {
        self.append_all(&[frame])
    }

    /// Appends a frame that comes in pieces.
    pub fn append_all(&mut self, pieces: &[&[u8]]) -> Segment {
        if self.bytes.len() + pieces.iter().map(|piece| piece.len()).sum::<usize>() > BATCH_BYTES {
            self.seal();
        }
        let start = self.bytes.len() as u32;
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        Segment { batch: self.batch.clone(), start, end: self.bytes.len() as u32 }
    }

    /// Ends the batch: its segments can be read from now on, and never change.
    pub fn seal(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        if Rc::strong_count(&self.batch) > 1 {
            self.live_bytes.set(self.live_bytes.get() + self.bytes.len());
            self.batch.bytes.set(self.bytes.as_slice().into()).expect("a batch is sealed once");
            self.batch = Self::next(&self.live_bytes);
        }
        self.bytes.clear();
        if self.bytes.capacity() > 2 * BATCH_BYTES {
            self.bytes.shrink_to(BATCH_BYTES);
        }
    }

    /// Seals `frames` as a batch of their own, apart from the open one.
    pub fn seal_apart(&self, frames: Vec<u8>) -> Segment {
        let end = frames.len() as u32;
        self.live_bytes.set(self.live_bytes.get() + frames.len());
        let batch = Rc::new(Batch { bytes: OnceCell::from(frames), live_bytes: self.live_bytes.clone() });
        Segment { batch, start: 0, end }
    }

    /// Bytes of all sealed batches that something still refers to; shared bytes count once.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_and_strangers_do_not() {
        let mut open = OpenBatch::default();
        let (mut a, b, c) = (open.append(b"one"), open.append(b"two"), open.append(b"three"));
        assert!(!a.clone().merge(&c));
        assert!(a.merge(&b));
        open.seal();
        assert_eq!(a.bytes(), b"onetwo");
        let d = open.append(b"next");
        assert!(!c.clone().merge(&d));
        open.seal();
        a.advance(3);
        assert_eq!((a.bytes(), d.bytes()), (&b"two"[..], &b"next"[..]));
    }

    #[test]
    fn live_bytes_count_shared_bytes_once_and_end_with_the_last_reference() {
        let mut open = OpenBatch::default();
        let a = open.append(&[7; 100]);
        let copies: Vec<_> = (0..10).map(|_| a.clone()).collect();
        open.seal();
        assert_eq!(open.live_bytes(), 100);
        let apart = open.seal_apart(vec![1; 50]);
        assert_eq!(open.live_bytes(), 150);
        drop((a, copies));
        assert_eq!(open.live_bytes(), 50);
        drop(apart);
        assert_eq!(open.live_bytes(), 0);
    }

    #[test]
    fn a_batch_that_nobody_refers_to_is_not_kept() {
        let mut open = OpenBatch::default();
        drop(open.append(&[1; 10]));
        open.seal();
        assert_eq!(open.live_bytes(), 0);
        let big = open.append(&vec![2; 3 * BATCH_BYTES]);
        open.seal();
        assert_eq!(big.bytes().len(), 3 * BATCH_BYTES);
    }
}
