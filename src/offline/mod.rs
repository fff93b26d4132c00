//! Work on a data directory that no server has: is it sound ([`fsck`]), what is in it ([`export`]), put something into it ([`import`]).
//!
//! All of it takes the directory's lock, so no server starts meanwhile, and opens the databases as the server does: an end that was torn
//! while it was written, and that nobody was told of, is cut. Exit codes are 0: done, 1: done, but something is wrong with the data, 2: not done.

pub mod directory;
pub mod export;
pub mod format;
pub mod fsck;
mod hints;
pub mod import;
mod progress;
pub mod report;
mod sink;
mod task;

pub use directory::Directory;
pub use progress::Progress;
pub use task::{NOT_DONE, Task};
