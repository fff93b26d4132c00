//! Campanile, a real-time messaging server.
#![deny(unsafe_code)]

pub mod id;
pub mod wire;
