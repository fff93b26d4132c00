//! The end-to-end tests of sessions once more, with clients that come by WebSocket.
#![cfg(feature = "server")]

mod support;

#[path = "end_to_end/delivery.rs"]
mod delivery;
#[path = "end_to_end/durable.rs"]
mod durable;
#[path = "end_to_end/groups.rs"]
mod groups;
#[path = "end_to_end/presence.rs"]
mod presence;
#[path = "end_to_end/resume.rs"]
mod resume;
