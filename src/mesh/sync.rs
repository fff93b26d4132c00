//! The atomics of the doorbell; `tests/model` has loom's in their place.

pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};
