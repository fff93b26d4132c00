//! The interface between what decides and what keeps: append in order, complete; read a range; load what a home must know.
//!
//! A conversation's home and a user's home ask with [`Command`]s and learn by [`Outcome`]s, later or at once: **exactly one for each command**, except
//! that [`Command::Forget`] has none and that a load may be preceded by parts ([`Outcome::Members`], [`Outcome::Entries`]). [`Memory`] keeps the newest records for
//! as long as the process lives; a partition on disk fills the same interface.

pub mod disk;
pub mod engine;
mod lookup;
mod memory;
pub mod partition;
pub mod reading;
pub mod removal;
pub mod rows;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod simulation;

use std::sync::Arc;

use bytes::Bytes;

use crate::conversation::{Durability, Key, Member, Name, Record};
use crate::mesh::{Read, Reply, Then};
use crate::slot::{RowId, ShardId};

pub use lookup::{Unreadable, Why};
pub use memory::Memory;

/// Names a log within its shard. Used again only after the conversation has left the shard's memory, with nothing in flight.
pub type LogId = u32;

/// The term of every slot as long as there is one machine: appends carry it, and a writer refuses an old one.
pub const TERM: u32 = 1;

/// One record for the end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The log, in the shard's memory.
    pub log: LogId,
    /// Counts the failures of this log: completions of an older attempt are void, and a store refuses what follows a failure with the same attempt.
    pub attempt: u32,
    /// The log, on disk.
    pub place: LogPlace,
    /// When it counts as stored.
    pub durability: Durability,
    /// See [`TERM`].
    pub term: u32,
    /// The conversation.
    pub key: Key,
    /// Carries its epoch and seq; the store refuses it unless it follows the last one.
    pub record: Arc<Record>,
    /// From this wall-clock time on it may really be removed (plus the grace period), in ms since 1970; 0: never.
    pub expires_ms: u64,
}

/// A log on disk: the rows of a conversation, and which of its logs. A group that was disbanded and founded anew has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPlace {
    /// Of the conversation's key.
    pub row: RowId,
    /// The epoch with which the log began. Its epoch may change later, its rows stay.
    pub incarnation: u64,
}

/// A range of a log. Either end may lie outside what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRange {
    /// The log.
    pub log: LogId,
    /// The same on disk.
    pub place: LogPlace,
    /// Where it is kept.
    pub durability: Durability,
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
    /// How many messages had been taken back since somebody began to read.
    pub taken_back: u64,
}

/// What a home must know of a conversation to be its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Where its log will be in the shard's memory; comes back.
    pub log: LogId,
    /// The conversation.
    pub key: Key,
    /// Of the key.
    pub row: RowId,
    /// What its kind has now.
    pub durability: Durability,
    /// Wanted are the client ids of records not older than this (ms since 1970) ...
    pub recent_after_ms: u64,
    /// ... and at most so many.
    pub recent_max: u32,
    /// Wanted are the sizes of bodies, the newest first, up to this sum; 0: none are wanted.
    pub sizes_up_to: u64,
}

/// Where a conversation stands, on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredConversation {
    /// See [`LogPlace`].
    pub incarnation: u64,
    /// Of its log. 0: it may have lost something that it had shown (durability `os`, after the machine went down), so it needs a new one.
    pub epoch: u64,
    /// First seq that is kept.
    pub first: u64,
    /// Last seq.
    pub committed: u64,
    /// Time of the last record.
    pub last_time_ms: u64,
    /// Groups: for people.
    pub title: Bytes,
    /// Groups: see [`crate::conversation::flags`].
    pub flags: u8,
    /// Direct conversations: user, delivered, read.
    pub receipts: Vec<(Name, u64, u64)>,
    /// What was published lately, ascending.
    pub recent: Vec<Recent>,
    /// Sizes of the newest bodies, ascending by seq, if they were wanted.
    pub sizes: Vec<(u64, u32)>,
}

/// A publish that may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Recent {
    pub seq: u64,
    pub time_ms: u64,
    pub sender: Name,
    pub client_id: Box<str>,
}

/// A conversation has another epoch, or begins later than before: what stands below `first` is never shown again and really removed after the grace period.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PutHead {
    pub key: Key,
    pub place: LogPlace,
    pub epoch: u64,
    pub first: u64,
}

/// How far users have received and read; comes back when it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutReceipts {
    /// In the shard's memory.
    pub log: LogId,
    /// On disk. Receipts are of one incarnation.
    pub place: LogPlace,
    /// When they count as stored.
    pub durability: Durability,
    /// User, delivered, read.
    pub receipts: Vec<(Name, u64, u64)>,
}

/// A user's list of conversations is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LoadUser {
    pub user: Name,
    pub row: RowId,
    /// Names the user within his home; comes back.
    pub index: u32,
    pub generation: u32,
}

/// One conversation of a user's list, on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Which.
    pub key: Key,
    /// Its place in the list.
    pub number: u32,
    /// Of the cursors; 0: there are none.
    pub epoch: u64,
    /// The user has read up to here.
    pub read: u64,
    /// Each device has received up to there.
    pub devices: Vec<(Box<str>, u64)>,
}

/// A conversation is to stand in a user's list; comes back when it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Whose list.
    pub user: Name,
    /// Of his id.
    pub user_row: RowId,
    /// What is to stand there.
    pub key: Key,
    /// Of the key.
    pub key_row: RowId,
    /// Entries that the list may have: an old direct conversation leaves a full list for a new one, a group does not get in.
    pub entries_max: u32,
    /// Who wants it, and what for.
    pub from: ShardId,
    /// See `from`.
    pub then: Then,
}

/// A conversation stands in a user's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its place.
    pub number: u32,
    /// The conversation that left the list for it.
    pub dropped: Option<Key>,
}

/// A conversation leaves a user's list, with its cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Strike {
    pub user: Name,
    pub user_row: RowId,
    pub key: Key,
    pub key_row: RowId,
}

/// How far a user and his devices are in a conversation; comes back when it is stored. Void if the list has no such entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PutCursors {
    pub user: Name,
    pub user_row: RowId,
    pub key: Key,
    pub key_row: RowId,
    pub epoch: u64,
    pub read: u64,
    pub devices: Vec<(Box<str>, u64)>,
    /// Requests that are answered when it is.
    pub replies: Vec<Reply>,
}

/// What a home asks of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Append(Append),
    Read(Box<ReadRange>),
    /// The conversation is not in the shard's memory any more. What is kept in memory is gone with it.
    Forget(LogId),
    Load(Box<Load>),
    PutHead(Box<PutHead>),
    PutReceipts(Box<PutReceipts>),
    LoadUser(Box<LoadUser>),
    Hint(Box<Hint>),
    Strike(Box<Strike>),
    PutCursors(Box<PutCursors>),
}

impl Command {
    /// Whether it only reads.
    pub fn is_read(&self) -> bool {
        matches!(self, Command::Read(_) | Command::Load(_) | Command::LoadUser(_))
    }

    /// The row that it is about, if that is on disk; `None`: it is for [`Memory`].
    pub fn row_on_disk(&self) -> Option<RowId> {
        match self {
            Command::Append(append) => append.durability.is_on_disk().then_some(append.place.row),
            Command::Read(range) => range.durability.is_on_disk().then_some(range.place.row),
            Command::Forget(_) => None,
            Command::Load(load) => Some(load.row),
            Command::PutHead(put) => Some(put.place.row),
            Command::PutReceipts(put) => Some(put.place.row),
            Command::LoadUser(load) => Some(load.row),
            Command::Hint(hint) => Some(hint.user_row),
            Command::Strike(strike) => Some(strike.user_row),
            Command::PutCursors(put) => Some(put.user_row),
        }
    }
}

/// Why something was not stored. Nothing of it is there, also not after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// The store could not write, or what it should follow failed.
    Failed,
    /// There is less room on the disk than there must be. It may succeed later.
    DiskFull,
    /// A user's list has no room.
    ListFull,
}

/// The store could not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRead;

/// What the store did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    // ---- for the home of conversations
    Appended {
        log: LogId,
        attempt: u32,
        seq: u64,
        result: Result<(), NotStored>,
    },
    /// In memory older records were dropped: this is the first that is kept, or the next to come.
    Trimmed {
        log: LogId,
        first: u64,
    },
    /// Ascending. What is missing between two has expired.
    Range {
        log: LogId,
        records: Result<Vec<Arc<Record>>, NotRead>,
        asked: Asked,
    },
    /// Some of the members of a group that is being loaded.
    Members {
        log: LogId,
        members: Vec<(Name, Member)>,
    },
    /// `None`: there is no such conversation on disk.
    Loaded {
        log: LogId,
        result: Result<Option<Box<StoredConversation>>, NotRead>,
    },
    HeadPut,
    ReceiptsPut {
        put: Box<PutReceipts>,
        result: Result<(), NotStored>,
    },
    // ---- for the home of users
    /// Some of the conversations of a user who is being loaded.
    Entries {
        index: u32,
        generation: u32,
        entries: Vec<StoredEntry>,
    },
    UserLoaded {
        index: u32,
        generation: u32,
        result: Result<(), NotRead>,
    },
    Hinted {
        hint: Box<Hint>,
        result: Result<Listed, NotStored>,
    },
    Struck,
    CursorsPut {
        put: Box<PutCursors>,
        result: Result<(), NotStored>,
    },
}

/// Commands and outcomes are moved through queues: what is large and rare stands in a box.
const _: () = assert!(size_of::<Command>() <= 128 && size_of::<Outcome>() <= 176);

impl Outcome {
    /// Whether it goes to the home of users; else to that of conversations.
    pub fn is_for_users(&self) -> bool {
        use Outcome::{CursorsPut, Entries, Hinted, Struck, UserLoaded};
        matches!(self, Entries { .. } | UserLoaded { .. } | Hinted { .. } | Struck | CursorsPut { .. })
    }
}
