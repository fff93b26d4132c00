//! Connections: what a shard keeps for a socket, from accept to the kernel's last completion.

mod addresses;
mod connection;
mod dress;
mod leave;
mod outbox;
mod pongs;
mod table;

pub use addresses::AddressLimits;
pub use connection::{Connection, Due, Parsed, Phase};
pub use dress::{Dress, Misread, PROTOCOLS};
pub use leave::Leave;
pub use outbox::{Outbox, Pushed};
pub use pongs::Pongs;
pub use table::Table;
