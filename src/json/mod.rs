//! JSON: frames as text, for browsers and scripts. One object is one frame, in both directions; `schema/JSON.md` is its specification.
//!
//! This is a transcoder and nothing else. [`Reader`] makes of a text the frame that a client of the binary protocol would have sent, which is then verified
//! and read as any other; [`write`] makes a text of a frame on its way out. Whoever handles frames does not know that there is JSON.
//!
//! Which fields there are stands once, in `tables.rs`, for both ways; how a type is read stands in `read/field.rs`, how it is written in `write.rs`.

mod content;
mod enums;
mod read;
mod tables;
mod write;

pub use read::{JsonError, Reader};
pub use tables::write;

/// Whole numbers above this are no numbers to JavaScript (2^53 - 1), so they are written as strings.
const EXACT_MAX: u64 = (1 << 53) - 1;
