//! The mesh: how shards talk. [`message`] is what they say, [`lanes`] carry it, [`bell`] wakes who sleeps.

pub mod bell;
pub mod lanes;
mod message;
mod sync;

pub use message::{
    Change, Description, Event, GroupChange, HandedOver, Head, MemberLine, Page, Part, Placed, Publish, Read, ReadFor, Refusal,
    Reply, Request, SessionKey, Skipped, Then,
};
