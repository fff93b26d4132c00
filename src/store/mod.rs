//! The interface between what decides and what keeps: append in order, complete; read a range.
//!
//! A conversation's home asks with [`Append`] and [`ReadRange`] and learns by [`Outcome`]s, later or at once. [`memory`] keeps the newest
//! records for as long as the process lives; a store on disk fills the same interface.

mod memory;

use std::sync::Arc;

use crate::conversation::Record;
use crate::mesh::Read;
use crate::slot::ShardId;

pub use memory::Memory;

/// Names a log within its shard. Used again only after [`Command::Forget`].
pub type LogId = u32;

/// One record for the end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The log.
    pub log: LogId,
    /// Counts the failures of this log: completions of an older attempt are void.
    pub attempt: u32,
    /// Carries its epoch and seq; the store refuses it unless it follows the last one.
    pub record: Arc<Record>,
}

/// A range of a log. Either end may lie outside what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRange {
    /// The log.
    pub log: LogId,
    /// First seq wanted.
    pub from: u64,
    /// Last seq wanted.
    pub to: u64,
    /// At most so many records ...
    pub records_max: u32,
    /// ... and about so many bytes, but always one record.
    pub bytes_max: u64,
    /// Begin at `to` and go down.
    pub backward: bool,
    /// For whom; comes back with the outcome.
    pub asked: Asked,
}

/// Who asked for a range, and what is already known of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Asked {
    pub shard: ShardId,
    /// Of the conversation when it was asked.
    pub epoch: u64,
    pub read: Read,
    pub gap: bool,
    /// The seq at which the answer begins, before anything is skipped.
    pub start: u64,
}

/// What a home asks of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Append(Append),
    Read(Box<ReadRange>),
    /// The conversation is gone.
    Forget(LogId),
}

/// The store refused or could not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendFailed;

/// What the store did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    Appended {
        log: LogId,
        attempt: u32,
        seq: u64,
        result: Result<(), AppendFailed>,
    },
    /// Older records were dropped: this is the first that is kept, or the next to come.
    Trimmed {
        log: LogId,
        first: u64,
    },
    /// Ascending, without holes.
    Range {
        log: LogId,
        records: Vec<Arc<Record>>,
        asked: Asked,
    },
}
