//! The store on disk: everything between what a [`Command`](super::Command) means in rows and the operating system.

pub mod database;
pub mod error;
mod journal;
mod journal_check;
pub mod manifest;
mod mark;
pub mod options;
mod stamp;
#[cfg(test)]
mod tests;

pub use error::OpenError;
pub use manifest::Manifest;
pub use options::StoreOptions;
