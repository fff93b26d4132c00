//! Backups of the running server: one at a time, each by a thread of its own, asked for and looked at through the ops port.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::store::disk::{BackupError, Copied, Progress, Snapshots};

/// What the thread gives way to: anything that is not idle itself.
const NICENESS: i32 = 10;
const HOW_TO_ENABLE: &str = "backups are not enabled; start the server with --backup-dir DIR, where it may write them";

/// Where backups go, and what becomes of them.
#[derive(Default)]
pub struct Backups {
    dir: Option<PathBuf>,
    is_anything_on_disk: bool,
    free_bytes_min: u64,
    /// Set when the store is open.
    store: OnceLock<Snapshots>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_stopping: bool,
    running: Option<Running>,
    last: Option<Result<Copied, BackupError>>,
    thread: Option<JoinHandle<()>>,
}

struct Running {
    name: String,
    began: Instant,
    progress: Arc<Progress>,
}

/// Why no backup is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no directory for them.
    NotEnabled,
    /// All conversations are in memory.
    NothingOnDisk,
    /// The store is not open yet, or not any more.
    NotOpen,
    /// One is being made.
    Busy,
    /// There is no thread or no random number for it.
    Failed,
}

impl Refusal {
    /// Cause and cure.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::NotEnabled => HOW_TO_ENABLE,
            Refusal::NothingOnDisk => "nothing is on disk; a backup needs a kind of conversation with durability fsync or os",
            Refusal::NotOpen => "the store is not open; try again when /readyz says ok",
            Refusal::Busy => "a backup is being made; wait for it, GET /backup says how far it is",
            Refusal::Failed => "the machine has no thread for a backup; try again when it has",
        }
    }
}

impl Backups {
    /// Backups go below `dir`; without one there are none. `free_bytes_min` stay free on its disk.
    pub fn new(dir: Option<PathBuf>, is_anything_on_disk: bool, free_bytes_min: u64) -> Backups {
        Backups { dir, is_anything_on_disk, free_bytes_min, ..Backups::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store is open.
    pub fn set_store(&self, store: Snapshots) {
        // There is one store.
        let _ = self.store.set(store);
    }

    /// Ends the one that is being made, and lets no other begin: the store is about to be closed.
    pub fn stop(&self) {
        let thread = {
            let mut state = self.lock();
            state.is_stopping = true;
            if let Some(running) = &state.running {
                running.progress.is_cancelled.store(true, Ordering::Relaxed);
            }
            state.thread.take()
        };
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of a backup has failed");
        }
    }

    /// Whether there can be any.
    ///
    /// # Errors
    /// Why there cannot.
    pub fn expect_enabled(&self) -> Result<(), Refusal> {
        match &self.dir {
            None => Err(Refusal::NotEnabled),
            Some(_) if !self.is_anything_on_disk => Err(Refusal::NothingOnDisk),
            Some(_) => Ok(()),
        }
    }

    /// Begins one. It is over when [`Self::is_running`] says no.
    ///
    /// # Errors
    /// Why not.
    pub fn begin(self: &Arc<Self>) -> Result<(), Refusal> {
        self.expect_enabled()?;
        let dir = self.dir.clone().ok_or(Refusal::NotEnabled)?;
        let store = self.store.get().cloned().ok_or(Refusal::NotOpen)?;
        let mut state = self.lock();
        if state.is_stopping {
            return Err(Refusal::NotOpen);
        }
        if state.running.is_some() {
            return Err(Refusal::Busy);
        }
        let random = getrandom::u32().map_err(|_| Refusal::Failed)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = name_of(since_1970.as_secs(), random);
        let progress = Arc::<Progress>::default();
        let (backups, its_name, its_progress) = (self.clone(), name.clone(), progress.clone());
        let work = move || {
            // Without it the copy is made a little faster, and others wait for it.
            let _ = rustix::process::nice(NICENESS);
            let result = store.copy(&dir, &its_name, backups.free_bytes_min, &its_progress);
            match &result {
                Ok(copied) => {
                    tracing::info!(dir = %copied.dir.display(), rows = copied.rows, bytes = copied.bytes, "a backup is made")
                }
                Err(error) => tracing::error!(%error, "a backup has failed"),
            }
            let mut state = backups.lock();
            state.running = None;
            state.last = Some(result);
        };
        let thread = std::thread::Builder::new().name("backup".into()).spawn(work).map_err(|_| Refusal::Failed)?;
        tracing::info!(name, "a backup begins");
        state.running = Some(Running { name, began: Instant::now(), progress });
        state.thread = Some(thread);
        Ok(())
    }

    /// Whether one is being made.
    pub fn is_running(&self) -> bool {
        self.lock().running.is_some()
    }

    /// Lines of `name: value` about the one that is being made, or else the last one, and whether that failed.
    pub fn report(&self) -> (String, bool) {
        let state = self.lock();
        match (&state.running, &state.last) {
            (Some(Running { name, began, progress }), _) => {
                let partitions = self.store.get().map_or(0, Snapshots::partitions);
                let number = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed);
                let (done, rows, bytes) = (number(&progress.partitions), number(&progress.rows), number(&progress.bytes));
                let seconds = began.elapsed().as_secs_f64();
                let text = format!(
                    "state: running\nname: {name}\npartitions: {done} of {partitions}\nrows: {rows}\nbytes: {bytes}\nseconds: {seconds:.1}\n"
                );
                (text, false)
            }
            (None, Some(Ok(Copied { dir, partitions, rows, bytes, took }))) => {
                let (dir, seconds) = (dir.display(), took.as_secs_f64());
                let text = format!(
                    "state: done\ndirectory: {dir}\npartitions: {partitions}\nrows: {rows}\nbytes: {bytes}\nseconds: {seconds:.1}\n"
                );
                (text, false)
            }
            (None, Some(Err(error))) => (format!("state: failed\nerror: {error}\n"), true),
            (None, None) => ("state: none\n".into(), false),
        }
    }
}

/// The time in UTC, so that names sort by age, and something random, so that no two are the same.
fn name_of(since_1970_s: u64, random: u32) -> String {
    let (days, seconds) = (since_1970_s / 86_400, since_1970_s % 86_400);
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("backup-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{random:08x}")
}

/// The Gregorian date of a day after 1970-01-01. Years begin in March here, so that the leap day is the last one.
fn date_of(days_since_1970: u64) -> (u64, u64, u64) {
    /// Days from 0000-03-01 to 1970-01-01.
    const EPOCH: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let day = days_since_1970 + EPOCH;
    let (era, day) = (day / DAYS_IN_400_YEARS, day % DAYS_IN_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / (DAYS_IN_400_YEARS - 1)) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_time_and_something_random() {
        assert_eq!(name_of(0, 1), "backup-19700101T000000Z-00000001");
        assert_eq!(name_of(951_782_400 + 3661, 0xabc), "backup-20000229T010101Z-00000abc");
        assert_eq!(name_of(1_735_689_599, 0), "backup-20241231T235959Z-00000000");
        assert_eq!(name_of(4_107_542_400, 0), "backup-21000301T000000Z-00000000");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refusal = |backups: Backups| Arc::new(backups).begin().unwrap_err();
        assert_eq!(refusal(Backups::default()), Refusal::NotEnabled);
        assert_eq!(refusal(Backups::new(Some("/b".into()), false, 0)), Refusal::NothingOnDisk);
        assert_eq!(refusal(Backups::new(Some("/b".into()), true, 0)), Refusal::NotOpen);
        assert_eq!(Backups::default().report(), ("state: none\n".into(), false));
    }
}
