//! What the kernel asks, answered by the disk model. It decides nothing.
//!
//! Writes come here within write(2): without FUSE's writeback cache nothing waits in the kernel that a sync would not cover.

use std::ffi::OsStr;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};

use super::{Shared, Tell};
use crate::disk::{Attributes, BLOCK_BYTES, Disk, DiskError};

/// How long the kernel may remember names and attributes. All changes go through it, so it never knows better.
const REMEMBERED: Duration = Duration::from_secs(1);
/// What a disk without a limit says that it has, in blocks: 64 GiB.
const BLOCKS: u64 = (64 << 30) / BLOCK_BYTES;

/// See the module.
pub struct Filesystem {
    shared: Arc<Shared>,
    tell: Tell,
}

impl Filesystem {
    /// Answers for the disk and tells `tell` what it did on purpose.
    pub(super) fn new(shared: Arc<Shared>, tell: Tell) -> Filesystem {
        Filesystem { shared, tell }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.shared.locked()
    }

    /// Does something to the disk and passes on what it did on purpose.
    fn change<T>(&self, change: impl FnOnce(&mut Disk) -> Result<T, DiskError>) -> Result<T, Errno> {
        let mut disk = self.disk();
        let result = change(&mut disk).map_err(errno);
        let fired = std::mem::take(&mut disk.faults.fired);
        drop(disk);
        fired.into_iter().for_each(|fired| (self.tell)(fired));
        self.shared.hold();
        result
    }
}

fn errno(error: DiskError) -> Errno {
    match error {
        DiskError::NotFound => Errno::ENOENT,
        DiskError::Exists => Errno::EEXIST,
        DiskError::WrongKind => Errno::EINVAL,
        DiskError::NotEmpty => Errno::ENOTEMPTY,
        DiskError::Io => Errno::EIO,
        DiskError::NoSpace => Errno::ENOSPC,
    }
}

fn kind(is_directory: bool) -> FileType {
    if is_directory { FileType::Directory } else { FileType::RegularFile }
}

/// Everything belongs to root and carries one time: nothing that is tested here depends on either.
fn attr(attributes: &Attributes) -> FileAttr {
    let (perm, nlink) = if attributes.is_directory { (0o755, 2) } else { (0o644, 1) };
    FileAttr {
        ino: INodeNo(attributes.ino),
        size: attributes.len,
        blocks: attributes.allocated_bytes / 512,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: kind(attributes.is_directory),
        perm,
        nlink,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES as u32,
        flags: 0,
    }
}

/// Answers with an entry, or an error.
fn entry(result: Result<Attributes, Errno>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&REMEMBERED, &attr(&attributes), Generation(0)),
        Err(error) => reply.error(error),
    }
}

/// Answers that it is done, or why not.
fn done(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl fuser::Filesystem for Filesystem {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.change(|disk| disk.lookup(parent.0, name).and_then(|ino| disk.attributes(ino)));
        entry(found, reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.change(|disk| disk.attributes(ino.0)) {
            Ok(attributes) => reply.attr(&REMEMBERED, &attr(&attributes)),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = self.change(|disk| {
            if let Some(len) = size {
                disk.set_len(ino.0, len)?;
            }
            disk.attributes(ino.0)
        });
        match changed {
            Ok(attributes) => reply.attr(&REMEMBERED, &attr(&attributes)),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        let made = self.change(|disk| disk.create(parent.0, name, true).and_then(|ino| disk.attributes(ino)));
        entry(made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.change(|disk| disk.remove(parent.0, name, false)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.change(|disk| disk.remove(parent.0, name, true)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.change(|disk| {
            if flags.contains(RenameFlags::RENAME_NOREPLACE) && disk.lookup(newparent.0, newname).is_ok() {
                return Err(DiskError::Exists);
            }
            disk.rename((parent.0, name), (newparent.0, newname))
        });
        done(renamed, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.change(|disk| {
            disk.attributes(ino.0)?;
            Ok(disk.opened(ino.0))
        });
        match opened {
            Ok(descriptor) => reply.opened(FileHandle(descriptor), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, _flags: i32, reply: ReplyCreate) {
        let created = self.change(|disk| {
            let ino = disk.create(parent.0, name, false)?;
            Ok((disk.attributes(ino)?, disk.opened(ino)))
        });
        match created {
            Ok((attributes, descriptor)) => {
                reply.created(&REMEMBERED, &attr(&attributes), Generation(0), FileHandle(descriptor), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.change(|disk| disk.read(ino.0, offset, size as usize)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.change(|disk| disk.write(ino.0, offset, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.disk().closed(handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.change(|disk| disk.sync(ino.0, Some(handle.0))), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.change(|disk| disk.sync(ino.0, None)), reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.change(|disk| {
            let entries = disk.list(ino.0)?;
            Ok(entries.into_iter().map(|(name, ino)| (disk.attributes(ino).is_ok_and(|a| a.is_directory), name, ino)).collect())
        });
        let entries: Vec<_> = match listed {
            Ok(entries) => entries,
            Err(error) => return reply.error(error),
        };
        // The parent's number in ".." is of no use to anybody here.
        let dots = [(true, ".".into(), ino.0), (true, "..".into(), ino.0)];
        for (place, (is_directory, name, ino)) in dots.into_iter().chain(entries).enumerate().skip(offset as usize) {
            if reply.add(INodeNo(ino), place as u64 + 1, kind(is_directory), &name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let disk = self.disk();
        let blocks = disk.faults.space_bytes.map_or(BLOCKS, |bytes| bytes / BLOCK_BYTES);
        let free = blocks.saturating_sub(disk.used_bytes() / BLOCK_BYTES);
        reply.statfs(blocks, free, free, 1 << 20, 1 << 20, BLOCK_BYTES as u32, 255, BLOCK_BYTES as u32);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
