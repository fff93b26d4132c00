//! The hot paths, each as one operation that can be repeated: by a clock (the benches that criterion runs) or by a count of instructions
//! (`counted.rs`). Inputs are the same each time.
// Each bench uses a part of it.
#![allow(dead_code)]

pub mod clockwork;
pub mod conversation;
pub mod fan_out;
pub mod frames;
pub mod json;
pub mod mesh;
pub mod outbox;
pub mod rows;
pub mod session;
pub mod shards;
pub mod timer;
pub mod town;
pub mod ws;
