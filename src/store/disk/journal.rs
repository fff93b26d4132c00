//! The format of fjall's journals (3.1.13, `journal/entry.rs`), read by ourselves: fjall cuts a journal at the first record that it
//! cannot read, without a word about what stood behind it.
//!
//! ```text
//! start  1 | rows u32 | sequence number u64
//! row    2 | kind u8 | compression u8 | keyspace u64 | key length u16 | value length u32 | stored length u32 | key | value
//! end    3 | xxh3 of all rows u64 | "FJL" 3
//! ```
//!
//! All numbers are little endian. A file begins as 64 MiB of zeros, so it ends with zeros unless it has been cut. The first row of each batch of ours
//! is its [`Stamp`]. The checksum covers neither the number of rows nor the sequence number: the former is counted, the latter must grow.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::stamp::{self, Owner, Stamp};

const START: u8 = 1;
const ROW: u8 = 2;
const END: u8 = 3;
const START_BYTES: u64 = 1 + 4 + 8;
const ROW_HEADER_BYTES: u64 = 1 + 1 + 1 + 8 + 2 + 4 + 4;
const END_BYTES: u64 = 1 + 8 + 4;
const MAGIC: &[u8] = b"FJL\x03";
/// Read at once, unless a row is longer.
const WINDOW_BYTES: u64 = 1 << 18;
static ZEROS: [u8; WINDOW_BYTES as usize] = [0; WINDOW_BYTES as usize];

/// What stands at a place of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole batch of ours.
    Batch(Batch),
    /// A whole batch of another partition, or of another data directory.
    Foreign,
    /// Nothing, up to the end of the file.
    End,
    /// Something else; says what, to stand after "has".
    Broken(&'static str),
}

/// A whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What it says of itself.
    pub stamp: Stamp,
    /// What orders its rows among those of other batches.
    pub sequence: u64,
    /// Where the next one begins.
    pub end: u64,
}

/// A journal's file. It is only read.
#[derive(Debug)]
pub struct Journal {
    file: File,
    len: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Journal {
    /// Opens it, and forgets what the operating system remembers of it: after a sync that failed, memory holds what the disk does not.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> io::Result<Journal> {
        let file = File::open(path)?;
        file.sync_data()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        let len = file.metadata()?.len();
        Ok(Journal { file, len, window: Vec::new(), window_at: 0 })
    }

    /// Bytes in use: up to the last that is not zero.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn used(&mut self) -> io::Result<u64> {
        let mut end = self.len;
        while end > 0 {
            let begin = end.saturating_sub(WINDOW_BYTES);
            let window = self.bytes(begin, end - begin)?.expect("it lies within the file");
            if window != &ZEROS[..window.len()] {
                let last = window.iter().rposition(|byte| *byte != 0).expect("not all are zero");
                return Ok(begin + last as u64 + 1);
            }
            end = begin;
        }
        Ok(0)
    }

    /// What stands at `offset`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn at(&mut self, offset: u64, owner: Owner) -> io::Result<Found> {
        match self.bytes(offset, 1)?.map(|bytes| bytes[0]) {
            None => Ok(Found::End),
            Some(0) if self.is_zero_from(offset)? => Ok(Found::End),
            Some(_) => Ok(self.batch(offset, owner)?.unwrap_or_else(Found::Broken)),
        }
    }

    /// The next place from `offset` on at which a batch of ours may begin.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_candidate(&mut self, offset: u64) -> io::Result<Option<u64>> {
        const KEY_AT: u64 = START_BYTES + ROW_HEADER_BYTES;
        let key_bytes = stamp::KEY.len() as u64;
        let mut at = offset + KEY_AT;
        while at + key_bytes <= self.len {
            let bytes = (self.len - at).min(WINDOW_BYTES);
            let window = self.bytes(at, bytes)?.expect("it ends within the file");
            if let Some(found) = window.windows(stamp::KEY.len()).position(|bytes| bytes == stamp::KEY) {
                return Ok(Some(at + found as u64 - KEY_AT));
            }
            // A key may lie across the end of the window.
            at += bytes - key_bytes + 1;
        }
        Ok(None)
    }

    fn batch(&mut self, offset: u64, owner: Owner) -> io::Result<Result<Found, &'static str>> {
        const TORN: &str = "a batch without an end";
        let Some(start) = self.bytes(offset, START_BYTES)? else { return Ok(Err(TORN)) };
        if start[0] != START {
            return Ok(Err("no beginning of a batch"));
        }
        let rows = u32::from_le_bytes(start[1..5].try_into().expect("4 bytes"));
        let sequence = u64::from_le_bytes(start[5..13].try_into().expect("8 bytes"));
        let mut at = offset + START_BYTES;
        let mut sum = Xxh3::new();
        let mut own = None;
        for row in 0..rows {
            let Some(header) = self.bytes(at, ROW_HEADER_BYTES)? else { return Ok(Err(TORN)) };
            let Some((key_bytes, value_bytes)) = row_lengths(header) else { return Ok(Err("no row where one should be")) };
            let Some(bytes) = self.bytes(at, ROW_HEADER_BYTES + key_bytes + value_bytes)? else { return Ok(Err(TORN)) };
            sum.update(bytes);
            if row == 0 {
                let (key, value) = bytes[ROW_HEADER_BYTES as usize..].split_at(key_bytes as usize);
                own = if key == stamp::KEY { Stamp::decode(value, owner) } else { None };
                if own.is_none() {
                    return Ok(Err("a batch that does not say which it is"));
                }
            }
            at += bytes.len() as u64;
        }
        let Some(end) = self.bytes(at, END_BYTES)? else { return Ok(Err(TORN)) };
        if end[0] != END || &end[9..] != MAGIC {
            return Ok(Err(TORN));
        }
        if end[1..9] != sum.digest().to_le_bytes() {
            return Ok(Err("a batch with a wrong checksum"));
        }
        Ok(match own {
            Some((stamp, true)) => Ok(Found::Batch(Batch { stamp, sequence, end: at + END_BYTES })),
            Some((_, false)) => Ok(Found::Foreign),
            None => Err("a batch without rows"),
        })
    }

    fn is_zero_from(&mut self, offset: u64) -> io::Result<bool> {
        let mut at = offset;
        while at < self.len {
            let bytes = (self.len - at).min(WINDOW_BYTES);
            let window = self.bytes(at, bytes)?.expect("it ends within the file");
            if window != &ZEROS[..window.len()] {
                return Ok(false);
            }
            at += bytes;
        }
        Ok(true)
    }

    /// `len` bytes at `offset`; `None` if the file ends before.
    fn bytes(&mut self, offset: u64, len: u64) -> io::Result<Option<&[u8]>> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let has_it = offset >= self.window_at && offset + len <= self.window_at + self.window.len() as u64;
        if !has_it {
            let read = len.max(WINDOW_BYTES.min(self.len - offset));
            self.window.resize(read as usize, 0);
            self.window_at = offset;
            if let Err(error) = self.file.read_exact_at(&mut self.window, offset) {
                self.window.clear();
                return Err(error);
            }
        }
        let begin = (offset - self.window_at) as usize;
        Ok(Some(&self.window[begin..begin + len as usize]))
    }
}

/// Lengths of key and value.
fn row_lengths(header: &[u8]) -> Option<(u64, u64)> {
    const KINDS: [u8; 3] = [0, 1, 2];
    let is_row = header[0] == ROW && KINDS.contains(&header[1]) && header[2] == 0;
    let key = u16::from_le_bytes(header[11..13].try_into().ok()?);
    let value = u32::from_le_bytes(header[13..17].try_into().ok()?);
    let stored = u32::from_le_bytes(header[17..21].try_into().ok()?);
    (is_row && value == stored).then_some((key.into(), value.into()))
}
