//! Campanile, a real-time messaging server.
#![deny(unsafe_code)]

pub mod id;
#[cfg(feature = "server")]
#[allow(unsafe_code)]
pub mod ring;
pub mod wire;
