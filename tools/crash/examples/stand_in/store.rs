//! One file of JSON lines: appended, synced, read from its beginning at start.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::rooms::{Record, Rooms};

/// What is written for each thing that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Line {
    /// A group begins.
    Group { room: String, open: bool, whole_history: bool },
    /// A record of a room.
    Record { room: String, record: Record },
    /// A receipt.
    Receipt { room: String, user: String, is_read: bool, seq: u64 },
}

/// When an ack goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    No,
    BeforeAppend,
    BeforeSync,
}

/// Rooms, and the file that they come from.
pub struct Store {
    pub rooms: Rooms,
    file: File,
    lie: Lie,
    /// Acknowledged, and not even written.
    waiting: Vec<u8>,
}

/// Lines that a liar keeps before it writes them.
const LINES_KEPT: usize = 20;

impl Store {
    /// Reads what is there. What stands behind the first line that is none was never acknowledged, and goes.
    pub fn open(data_dir: &Path) -> io::Result<Store> {
        let path = data_dir.join("log");
        let bytes = fs::read(&path).unwrap_or_default();
        let (mut rooms, mut good) = (Rooms::default(), 0);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let Ok(parsed) = serde_json::from_slice::<Line>(line) else { break };
            if line.last() != Some(&b'\n') {
                break;
            }
            good += line.len();
            rooms.apply(parsed);
        }
        let file = File::options().create(true).append(true).open(&path)?;
        file.set_len(good as u64)?;
        file.sync_all()?;
        File::open(data_dir)?.sync_all()?;
        let lie = match std::env::var("CAMPANILE_TEST_ACK").as_deref() {
            Ok("before-append") => Lie::BeforeAppend,
            Ok("before-sync") => Lie::BeforeSync,
            _ => Lie::No,
        };
        Ok(Store { rooms, file, lie, waiting: Vec::new() })
    }

    /// Makes lines durable, all or none, and then true. False: they could not be written, and nothing has changed.
    pub fn append(&mut self, lines: Vec<Line>) -> bool {
        let mut bytes = std::mem::take(&mut self.waiting);
        for line in &lines {
            bytes.extend(serde_json::to_vec(line).expect("lines are JSON"));
            bytes.push(b'\n');
        }
        let is_kept_back = self.lie == Lie::BeforeAppend && bytes.iter().filter(|&&byte| byte == b'\n').count() < LINES_KEPT;
        if is_kept_back {
            self.waiting = bytes;
        } else if !self.write(&bytes) {
            return false;
        }
        lines.into_iter().for_each(|line| self.rooms.apply(line));
        true
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        let before = self.file.metadata().map(|metadata| metadata.len()).unwrap_or_else(ends);
        if self.file.write_all(bytes).is_err() {
            self.file.set_len(before).unwrap_or_else(ends);
            return false;
        }
        if self.lie != Lie::BeforeSync {
            self.file.sync_data().unwrap_or_else(ends);
        }
        true
    }
}

/// After this nothing may be acknowledged any more.
fn ends<T>(error: io::Error) -> T {
    eprintln!("stand-in: the disk fails: {error}");
    std::process::exit(1)
}
