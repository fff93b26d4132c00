//! A partition's rows as its reader has them: the writer can take them away to open the database again.
//!
//! The lock is taken when that happens, and never for a command: the reader keeps a clone and compares one number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::database::Rows;

/// Between the writer and the reader of a partition.
#[derive(Default)]
pub(super) struct SharedRows {
    state: Mutex<State>,
    changed: Condvar,
    /// Counts changes of `state.rows`.
    generation: AtomicU64,
}

#[derive(Default)]
struct State {
    rows: Option<Rows>,
    /// Whether the reader has a clone.
    is_held: bool,
}

impl SharedRows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer: here they are.
    pub fn give(&self, rows: Rows) {
        self.lock().rows = Some(rows);
        self.generation.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    /// The writer: nobody has them any more when this returns. The reader is to be woken by `wake`.
    pub fn take_away(&self, wake: impl Fn()) {
        let mut state = self.lock();
        state.rows = None;
        self.generation.fetch_add(1, Ordering::Release);
        while state.is_held {
            wake();
            state = self.changed.wait_timeout(state, Duration::from_millis(10)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The reader's clone.
#[derive(Default)]
pub(super) struct Held {
    rows: Option<Rows>,
    generation: u64,
}

impl Held {
    /// Gives back what was taken away, and takes what there is. Waits up to `wait` if there is nothing.
    pub fn refresh(&mut self, shared: &SharedRows, wait: Duration) -> Option<&Rows> {
        if self.rows.is_none() || shared.generation.load(Ordering::Acquire) != self.generation {
            self.rows = None;
            let mut state = shared.lock();
            state.is_held = false;
            shared.changed.notify_all();
            if state.rows.is_none() && !wait.is_zero() {
                let until = shared.changed.wait_timeout_while(state, wait, |state| state.rows.is_none());
                state = until.unwrap_or_else(PoisonError::into_inner).0;
            }
            self.generation = shared.generation.load(Ordering::Acquire);
            self.rows.clone_from(&state.rows);
            state.is_held = self.rows.is_some();
        }
        self.rows.as_ref()
    }

    /// Gives them back for good.
    pub fn release(&mut self, shared: &SharedRows) {
        self.rows = None;
        shared.lock().is_held = false;
        shared.changed.notify_all();
    }
}
