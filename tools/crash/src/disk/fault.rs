//! What goes wrong with the disk, and when.

use std::ffi::OsString;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// There is no such file.
    NotFound,
    /// There is such a file.
    Exists,
    /// A directory is needed, or something else than a directory.
    WrongKind,
    /// The directory has entries.
    NotEmpty,
    /// EIO: injected, or the power is gone.
    Io,
    /// ENOSPC: injected, or the space is used up.
    NoSpace,
}

/// What the disk did on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The fsync failed of a file that has this name.
    Sync(OsString),
    /// A write failed.
    Write,
    /// The power went at an operation that had been counted out.
    Power,
}

/// Faults that are armed. All counts are of operations from now on; 1 is the next.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The fsync of a file (not of a directory) that fails with EIO. One fails.
    pub sync: Option<u64>,
    /// The write that is the first to fail, how many fail, and with what.
    pub write: Option<(u64, u64, DiskError)>,
    /// The write or sync with which the power goes.
    pub power: Option<u64>,
    /// All that may be allocated, in bytes. None: no limit.
    pub space_bytes: Option<u64>,
    /// Power is gone: everything fails.
    pub is_dead: bool,
    /// What has happened since it was last asked.
    pub fired: Vec<Fired>,
}

impl Faults {
    /// Any operation.
    ///
    /// # Errors
    /// [`DiskError::Io`] without power.
    pub fn operation(&self) -> Result<(), DiskError> {
        if self.is_dead { Err(DiskError::Io) } else { Ok(()) }
    }

    /// A write, before it is done.
    ///
    /// # Errors
    /// The one that is armed.
    pub fn write(&mut self) -> Result<(), DiskError> {
        self.counted()?;
        let Some((at, times, error)) = &mut self.write else { return Ok(()) };
        if *at > 1 {
            *at -= 1;
            return Ok(());
        }
        let error = *error;
        *times = times.saturating_sub(1);
        if *times == 0 {
            self.write = None;
        }
        self.fired.push(Fired::Write);
        Err(error)
    }

    /// A sync of a file that has this name, before it is done.
    ///
    /// # Errors
    /// The one that is armed.
    pub fn sync(&mut self, name: impl FnOnce() -> OsString) -> Result<(), DiskError> {
        self.counted()?;
        let fails = counts_out(&mut self.sync);
        if fails {
            self.fired.push(Fired::Sync(name()));
            return Err(DiskError::Io);
        }
        Ok(())
    }

    /// An operation at which the power may go.
    ///
    /// # Errors
    /// [`DiskError::Io`] without power.
    pub fn counted(&mut self) -> Result<(), DiskError> {
        self.operation()?;
        if counts_out(&mut self.power) {
            self.is_dead = true;
            self.fired.push(Fired::Power);
        }
        self.operation()
    }
}

/// Counts down; true when it was the one.
fn counts_out(count: &mut Option<u64>) -> bool {
    let Some(left) = count else { return false };
    *left = left.saturating_sub(1);
    let out = *left == 0;
    if out {
        *count = None;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kth_write_fails_as_often_as_asked() {
        let mut faults = Faults { write: Some((3, 2, DiskError::NoSpace)), ..Faults::default() };
        let results: Vec<bool> = (0..6).map(|_| faults.write().is_ok()).collect();
        assert_eq!(results, [true, true, false, false, true, true]);
        assert_eq!(faults.fired, [Fired::Write, Fired::Write]);
    }

    #[test]
    fn the_kth_sync_fails_once() {
        let mut faults = Faults { sync: Some(2), ..Faults::default() };
        let mut sync = |name: &str| faults.sync(|| name.into());
        assert_eq!([sync("a"), sync("b"), sync("c")], [Ok(()), Err(DiskError::Io), Ok(())]);
        assert_eq!(faults.fired, [Fired::Sync("b".into())]);
    }

    #[test]
    fn power_goes_at_its_operation_and_stays_away() {
        let mut faults = Faults { power: Some(2), ..Faults::default() };
        let results = [faults.write(), faults.sync(|| "a".into()), faults.write()];
        assert_eq!(results, [Ok(()), Err(DiskError::Io), Err(DiskError::Io)]);
        assert_eq!(faults.operation(), Err(DiskError::Io));
        assert_eq!(faults.fired, [Fired::Power]);
    }
}
