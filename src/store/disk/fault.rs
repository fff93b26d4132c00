//! For crash tests only, and only in debug builds: a store that acknowledges too early, so that a test can show that it would notice.

/// When outcomes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When what they tell is so.
    #[default]
    Honestly,
    /// Before anything is written.
    #[cfg(debug_assertions)]
    BeforeAppend,
    /// When it is written, and not synced.
    #[cfg(debug_assertions)]
    BeforeSync,
}

/// The variable that asks for it, as `before-append` or `before-sync`.
#[cfg(debug_assertions)]
pub const VARIABLE: &str = "CAMPANILE_TEST_ACK";

impl Acknowledge {
    /// What the environment asks for.
    #[cfg(debug_assertions)]
    pub fn from_environment() -> Acknowledge {
        match std::env::var(VARIABLE).as_deref() {
            Ok("before-append") => Acknowledge::BeforeAppend,
            Ok("before-sync") => Acknowledge::BeforeSync,
            Ok(other) => panic!("{VARIABLE} is before-append or before-sync, not {other}"),
            Err(_) => Acknowledge::Honestly,
        }
    }

    /// A release has nothing to ask for.
    #[cfg(not(debug_assertions))]
    pub fn from_environment() -> Acknowledge {
        Acknowledge::Honestly
    }

    /// Whether outcomes go before the write.
    pub fn before_write(self) -> bool {
        #[cfg(debug_assertions)]
        return self == Acknowledge::BeforeAppend;
        #[cfg(not(debug_assertions))]
        return false;
    }

    /// Whether outcomes go before the sync.
    pub fn before_sync(self) -> bool {
        #[cfg(debug_assertions)]
        return self == Acknowledge::BeforeSync;
        #[cfg(not(debug_assertions))]
        return false;
    }
}

/// Failures that a unit test asks for.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub struct Faults(std::sync::Arc<Asked>);

#[cfg(test)]
#[derive(Debug, Default)]
struct Asked {
    writes: std::sync::atomic::AtomicU32,
    syncs: std::sync::atomic::AtomicU32,
    reopenings: std::sync::atomic::AtomicU32,
    /// Whether syncs stand still.
    holds_syncs: std::sync::Mutex<bool>,
    let_go: std::sync::Condvar,
}

#[cfg(test)]
impl Faults {
    /// The next writes fail, after the whole batch has got into the journal.
    pub fn fail_writes(&self, count: u32) {
        self.0.writes.store(count, std::sync::atomic::Ordering::SeqCst);
    }

    /// The next syncs fail.
    pub fn fail_syncs(&self, count: u32) {
        self.0.syncs.store(count, std::sync::atomic::Ordering::SeqCst);
    }

    /// The next tries to open the database again fail.
    pub fn fail_reopenings(&self, count: u32) {
        self.0.reopenings.store(count, std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn write(&self) -> std::io::Result<()> {
        Faults::take(&self.0.writes)
    }

    /// From now on syncs stand still, or no more.
    pub fn hold_syncs(&self, hold: bool) {
        *self.0.holds_syncs.lock().unwrap() = hold;
        self.0.let_go.notify_all();
    }

    pub(super) fn sync(&self) -> std::io::Result<()> {
        drop(self.0.let_go.wait_while(self.0.holds_syncs.lock().unwrap(), |holds| *holds).unwrap());
        Faults::take(&self.0.syncs)
    }

    pub(super) fn reopen(&self) -> std::io::Result<()> {
        Faults::take(&self.0.reopenings)
    }

    fn take(left: &std::sync::atomic::AtomicU32) -> std::io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        match left.try_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(std::io::ErrorKind::StorageFull.into()),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
impl PartialEq for Faults {
    fn eq(&self, other: &Faults) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
impl Eq for Faults {}
