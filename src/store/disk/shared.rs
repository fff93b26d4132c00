//! A partition's rows as its reader has them: the writer can take them away to open the database again.
//!
//! The lock is taken when that happens, and never for a command: the reader keeps a clone and compares one number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::database::{Rows, View};

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
    /// Views that others have; see [`Loan`].
    lent: usize,
}

impl SharedRows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer: here they are.
    pub fn give(&self, rows: Rows) {
        let mut state = self.lock();
        state.rows = Some(rows);
        self.generation.fetch_add(1, Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }

    /// The writer: nobody has them any more when this returns. The reader is to be woken by `wake`.
    pub fn take_away(&self, wake: impl Fn()) {
        let mut state = self.lock();
        state.rows = None;
        self.generation.fetch_add(1, Ordering::Release);
        while state.is_held || state.lent > 0 {
            wake();
            state = self.changed.wait_timeout(state, Duration::from_millis(10)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// All rows of a partition as they were at one moment, for somebody who is neither its writer nor its reader. The writer waits for it when it takes
/// the rows away, so whoever has one looks at [`Self::is_called_back`] often.
pub(super) struct Loan {
    /// `None` only while it is dropped.
    view: Option<View>,
    generation: u64,
    shared: Arc<SharedRows>,
}

impl Loan {
    /// The rows as they are now; `None` while they are away.
    pub fn take(shared: &Arc<SharedRows>) -> Option<Loan> {
        let mut state = shared.lock();
        let view = state.rows.as_ref()?.view();
        state.lent += 1;
        let generation = shared.generation.load(Ordering::Acquire);
        drop(state);
        Some(Loan { view: Some(view), generation, shared: shared.clone() })
    }

    /// What it sees.
    pub fn view(&self) -> &View {
        self.view.as_ref().expect("it has not been dropped")
    }

    /// Whether the writer wants it back.
    pub fn is_called_back(&self) -> bool {
        self.shared.generation.load(Ordering::Acquire) != self.generation
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Before it is said that it is given back.
        self.view = None;
        self.shared.lock().lent -= 1;
        self.shared.changed.notify_all();
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
