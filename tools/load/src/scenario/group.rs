//! `group`: one publisher, who owns the group and is a member himself, and the members who receive.

use super::Role;

/// The connection of the publisher.
pub(super) const OWNER: u32 = 0;

pub(super) fn role(index: u32, members: u32) -> Role {
    match index {
        OWNER => Role::Owner,
        index if index <= members => Role::Member,
        _ => Role::Idle,
    }
}
