//! Campanile, a real-time messaging server.
#![deny(unsafe_code)]

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod control;
#[cfg(feature = "server")]
pub mod doctor;
pub mod id;
#[cfg(feature = "server")]
pub mod limits;
#[cfg(feature = "server")]
pub mod probe;
#[cfg(feature = "server")]
pub mod ring;
#[cfg(feature = "server")]
pub mod server;
pub mod wire;
