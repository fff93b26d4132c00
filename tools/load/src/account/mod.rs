//! The books: what may be sent, what was received, what is missing. Pure state, no clock, no socket.

mod board;
mod payload;
mod publisher;
mod tally;
mod tracker;

pub use board::Board;
pub use payload::{HEADER_BYTES, Header};
pub use publisher::{Attempt, Pace, Publisher, WINDOW_MAX};
pub use tally::Tally;
pub use tracker::{Arrival, Tracker};
