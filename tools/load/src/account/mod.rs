//! The books: what may be sent, what was received, what is missing. Pure state, no clock, no socket.

mod board;
mod ledger;
mod payload;
mod peers;
mod publisher;
mod received;
mod room;
mod supply;
mod tally;
mod tracker;
mod traffic_tally;
mod verify;

pub use board::Board;
pub use ledger::{Ledger, Log, mark};
pub use payload::{HEADER_BYTES, Header};
pub use peers::{Destination, RandomPeers};
pub use publisher::{Attempt, Pace, Publisher, WINDOW_MAX};
pub use received::Received;
pub use room::{Heard, Room};
pub use supply::Supply;
pub use tally::Tally;
pub use tracker::{Arrival, Tracker};
pub use traffic_tally::{ByClass, PHASES, TrafficTally};
pub use verify::{Found, FoundMessage, Reading, Verified};
