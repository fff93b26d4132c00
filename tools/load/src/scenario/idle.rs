//! `idle`: sessions that log in, answer pings, and do nothing else. They may be attached to topics in which nobody speaks.

use std::fmt::Write;

use super::{Kind, Plan, Role};

/// Sessions, in the order in which they log in, that are attached to the same topics: a conversation's own memory is a small part of each.
const SHARERS: u32 = 1000;

impl Plan {
    /// How many topics each session is attached to.
    pub fn attached(&self) -> u32 {
        if let Kind::Idle { attach } = self.kind { attach } else { 0 }
    }

    /// The id of the nth topic that a session is attached to.
    pub fn write_attached(&self, index: u32, nth: u32, name: &mut String) {
        write!(name, "load-{:08x}-a{}-{nth}", self.run, index / SHARERS).expect("a string takes all text");
    }
}

pub(super) fn role() -> Role {
    Role::Idle
}
