//! Campanile, a real-time messaging server: one bell per core.
//!
//! ```text
//!             clients (TCP)                                             operators (HTTP)
//!                  |                                                           |
//!    +-------------v--------------+    SPSC lanes, both ways    +--------------v---------+
//!    | shard 0  (pinned, core 0)  |<--------------------------->| shard 1 (core 1)  ...  |
//!    |  own io_uring: sockets     |                             |                        |
//!    |  connections, sessions,    |       relaxed counters      |                        |
//!    |  users, conversations,     |------------------+          |                        |
//!    |  memory store              |                  v          +------------------------+
//!    +----------------------------+    control thread: health, readiness, metrics
//! ```
//!
//! A **shard** ([`shard`]) is one pinned thread: a glommio executor that hosts a loop around an io_uring of its own ([`ring`]). It accepts
//! connections ([`net`]), reads frames ([`wire`]), is the home of users ([`session`]) and of conversations ([`conversation`]), keeps their logs
//! ([`store`]), and talks to other shards through bounded queues ([`mesh`]). Nothing of it is touched by another thread.
//!
//! The **control thread** ([`control`]) reads counters and answers HTTP. [`server`] starts and stops all of them.
//!
//! The modules stand in ARCHITECTURE.md in the order in which a message passes through them. Without the feature `server` this is the wire
//! protocol alone, for clients.
#![deny(unsafe_code)]

#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod control;
#[cfg(feature = "server")]
pub mod conversation;
#[cfg(feature = "server")]
pub mod doctor;
#[cfg(feature = "server")]
pub mod effects;
#[cfg(feature = "server")]
mod few;
pub mod id;
#[cfg(feature = "server")]
pub mod json;
#[cfg(feature = "server")]
pub mod limits;
#[cfg(feature = "server")]
pub mod mesh;
#[cfg(feature = "server")]
mod near;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "server")]
pub mod offline;
#[cfg(feature = "server")]
pub mod probe;
#[cfg(feature = "server")]
pub mod rate;
#[cfg(feature = "server")]
pub mod ring;
#[cfg(all(test, feature = "server"))]
mod seeds;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod session;
#[cfg(feature = "server")]
pub mod shard;
#[cfg(feature = "server")]
pub mod slab;
#[cfg(feature = "server")]
pub mod slot;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod timer;
pub mod wire;
#[cfg(feature = "server")]
pub mod ws;
