//! The store on disk: everything between what a [`Command`](super::Command) means in rows and the operating system.
//!
//! ```text
//!   shards --lanes--> writer (one thread per partition) --> Partition (what it means in rows) --> Database (fjall) --> journal, sync, mark
//!          --lanes--> reader (one thread per partition) --> reading                          --> its rows
//! ```
//!
//! [`manifest`] is the data directory; [`threads`] opens it and starts the threads; a shard holds a [`ShardStore`]. [`journal_check`] looks at a
//! database before fjall does. [`backup`] copies everything while all of them go on.

pub mod backup;
pub mod database;
mod error;
pub mod fault;
mod journal;
mod journal_check;
mod journal_files;
mod lanes;
pub mod manifest;
mod mark;
mod options;
mod reader;
mod shared;
mod space;
mod stamp;
#[cfg(test)]
mod tests;
mod threads;
mod writer;

pub use backup::{BackupError, Copied, Progress, Snapshots};
pub use error::{Damage, OpenError};
pub use lanes::ShardStore;
pub use manifest::Manifest;
pub use options::StoreOptions;
pub use stamp::KEY as STAMP_KEY;
pub use threads::{Opening, Stores};
