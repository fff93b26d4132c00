//! The books: what may be sent, what was received, what is missing. Pure state, no clock, no socket.

mod board;
mod latencies;
mod ledger;
mod own;
mod payload;
mod peers;
mod publisher;
mod received;
mod room;
mod supply;
mod tally;
mod timeline;
mod tracker;
mod traffic_tally;
mod verify;
mod visits;

pub use board::Board;
pub use latencies::Latencies;
pub use ledger::{Ledger, Log, mark};
pub use own::Own;
pub use payload::{HEADER_BYTES, Header};
pub use peers::{Destination, RandomPeers};
pub use publisher::{Attempt, Pace, Publisher, WINDOW_MAX};
pub use received::Received;
pub use room::{Heard, Room};
pub use supply::Supply;
pub use tally::Tally;
pub use timeline::{Slice, Timeline};
pub use tracker::{Arrival, Tracker};
pub use traffic_tally::{PHASES, TrafficTally};
pub use verify::{Found, FoundMessage, Reading, Verified};
pub use visits::{Visited, Visits};
