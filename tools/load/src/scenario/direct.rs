//! `direct`: users in random pairs, each sends to the other.

use super::Role;

/// Connections 0 and 1 are a pair, 2 and 3, and so on. What is random is which user is on which connection.
pub(super) fn role(index: u32) -> Role {
    Role::Pair(index ^ 1)
}

/// The numbers below `count` in an order that depends on `seed` alone.
pub(super) fn shuffled(seed: u32, count: u32) -> Vec<u32> {
    let mut users: Vec<u32> = (0..count).collect();
    fastrand::Rng::with_seed(seed.into()).shuffle(&mut users);
    users
}
