//! Connections: what a shard keeps for a socket, from accept to the kernel's last completion.

mod addresses;
mod connection;
mod outbox;
mod table;

pub use addresses::AddressLimits;
pub use connection::{Connection, Due, Parsed, Phase};
pub use outbox::{Outbox, Pushed};
pub use table::Table;
