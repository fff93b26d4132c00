//! The disk model as a mounted file system: the server writes to a real directory, and the power can be taken from it.

mod filesystem;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption, spawn_mount};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::disk::{Disk, Faults, Fired, Ino, ROOT};
use filesystem::Filesystem;

/// How long the kernel may take to let go of a mount whose last user has ended.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(10);

/// Is told at once when a fault fires, from the thread that serves the file system.
pub type Tell = Arc<dyn Fn(Fired) + Send + Sync>;

/// Takes this process out of the machine's mount namespace, so that what it mounts is seen by it and the processes that it starts, and goes
/// when they go, however they end. To be called while the process has one thread.
///
/// # Errors
/// This process may not (it takes CAP_SYS_ADMIN).
pub fn keep_mounts_private() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    Ok(())
}

/// What the thread of the file system and the controller share.
struct Shared {
    disk: Mutex<Disk>,
    /// Without power operations get no answer, instead of an error, as long as this is set: a machine that loses power tells its programs
    /// nothing. What they do while the last operation is under way, they do.
    holds: AtomicBool,
    let_go: Condvar,
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no operation of the disk panics")
    }

    /// Waits while there is no power and nobody may notice.
    fn hold(&self) {
        let mut disk = self.locked();
        while disk.faults.is_dead && self.holds.load(Ordering::Relaxed) {
            disk = self.let_go.wait(disk).expect("no operation of the disk panics");
        }
    }

    fn let_go(&self) {
        let _disk = self.locked();
        self.holds.store(false, Ordering::Relaxed);
        self.let_go.notify_all();
    }
}

/// A disk that is mounted somewhere. It is unmounted when this goes.
pub struct Mounted {
    shared: Arc<Shared>,
    at: PathBuf,
    tell: Tell,
    session: Option<BackgroundSession>,
}

impl Mounted {
    /// Mounts `disk` over the directory `at`, which must exist. Faults that fire are told to `tell`.
    ///
    /// # Errors
    /// The kernel has no FUSE, or this process may not mount (it takes CAP_SYS_ADMIN).
    pub fn new(disk: Disk, at: &Path, tell: Tell) -> io::Result<Mounted> {
        let shared = Arc::new(Shared { disk: Mutex::new(disk), holds: AtomicBool::new(false), let_go: Condvar::new() });
        let mut mounted = Mounted { shared, at: at.to_owned(), tell, session: None };
        mounted.mount()?;
        Ok(mounted)
    }

    fn mount(&mut self) -> io::Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("campanile-crash".into()), MountOption::NoAtime];
        let filesystem = Filesystem::new(self.shared.clone(), self.tell.clone());
        self.session = Some(spawn_mount(filesystem, &self.at, &config)?);
        Ok(())
    }

    /// The disk, between two operations.
    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.shared.locked()
    }

    /// Arms faults, in place of those that were.
    pub fn arm(&self, faults: Faults) {
        self.disk().faults = faults;
    }

    /// Everything fails from here on, as for a program whose machine loses power.
    pub fn cut_power(&self) {
        self.disk().cut_power();
    }

    /// From here on, operations without power get no answer until [`Self::let_go`] or the end of the mount. A process that waits for one
    /// can be killed, and ends when it is let go.
    pub fn hold_without_power(&self) {
        self.shared.holds.store(true, Ordering::Relaxed);
    }

    /// Answers what was held, with an error.
    pub fn let_go(&self) {
        self.shared.let_go();
    }

    /// The machine comes up again: what was not durable is gone, and so are the kernel's caches of it. No process may use the
    /// directory any more. Gives how many changes had not been synced.
    ///
    /// # Errors
    /// The directory is still in use, or cannot be mounted again.
    pub fn power_up(&mut self) -> io::Result<u64> {
        self.unmount()?;
        let unsynced = self.disk().unsynced() as u64;
        self.disk().power_up();
        self.mount().map(|()| unsynced)
    }

    fn unmount(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        self.shared.let_go();
        let began = Instant::now();
        let mut result = session.umount_and_join();
        // The kernel lets go of a killed process's files a moment after the process is gone.
        while result.is_err() && is_mounted(&self.at) && began.elapsed() < UNMOUNT_TIMEOUT {
            std::thread::yield_now();
            result = unmount_by_command(&self.at);
        }
        // How its thread ended is of no concern once the mount is gone: the kernel may abort the connection before it is told of the end.
        if is_mounted(&self.at) { result } else { Ok(()) }
    }

    /// Copies what programs would see to a real directory, for a look at it afterwards.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn export(&self, to: &Path) -> io::Result<()> {
        export(&self.disk(), ROOT, to)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.disk().cut_power();
        let _ = self.unmount();
    }
}

fn is_mounted(at: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(1) == at.to_str())
}

/// umount(8), for the rare case that the first attempt found the directory still in use.
fn unmount_by_command(at: &Path) -> io::Result<()> {
    let status = std::process::Command::new("umount").arg(at).stderr(std::process::Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{} is still in use", at.display()))) }
}

fn export(disk: &Disk, directory: Ino, to: &Path) -> io::Result<()> {
    let broken = |error| io::Error::other(format!("the disk: {error:?}"));
    std::fs::create_dir_all(to)?;
    for (name, ino) in disk.list(directory).map_err(broken)? {
        let attributes = disk.attributes(ino).map_err(broken)?;
        if attributes.is_directory {
            export(disk, ino, &to.join(name))?;
        } else {
            std::fs::write(to.join(name), disk.read(ino, 0, attributes.len as usize).map_err(broken)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
