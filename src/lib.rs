//! Campanile, a real-time messaging server.
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
pub mod effects;
pub mod id;
#[cfg(feature = "server")]
pub mod limits;
#[cfg(feature = "server")]
pub mod mesh;
#[cfg(feature = "server")]
pub mod rate;
#[cfg(feature = "server")]
#[allow(unsafe_code)]
pub mod ring;
#[cfg(feature = "server")]
pub mod session;
#[cfg(feature = "server")]
pub mod slab;
#[cfg(feature = "server")]
pub mod slot;
#[cfg(feature = "server")]
pub mod store;
pub mod wire;
