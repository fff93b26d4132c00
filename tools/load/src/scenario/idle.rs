//! `idle`: sessions that log in, answer pings, and do nothing else.

use super::Role;

pub(super) fn role() -> Role {
    Role::Idle
}
