//! A disk in memory that knows what is durable. It does no I/O, reads no clock, and draws only from the generator that it is given.
//!
//! What survives a loss of power, and why this model:
//!
//! - **Data** of a file is durable up to its last fsync or fdatasync. Of later writes any sectors of 512 bytes may have arrived, in any
//!   order, also of a file that is not reachable any more.
//! - **Names** follow strict POSIX: creating, renaming or removing is durable after an fsync of the *directory*. An fsync of the file
//!   alone does not make its name durable (ext4 would; POSIX and other file systems promise nothing). Of what is not synced, the
//!   operations of each directory survive in their order up to a random one, as journaling file systems do it; a rename is whole or not at
//!   all, but does not wait for the data of the file that it moves (the "zero length after rename" trap is in).
//! - **A failed fsync** is not made good by a later one, as on Linux since ever: the pages count as clean, and the error is told once to each
//!   descriptor that was open then (fsync(2), since Linux 4.13).

mod content;
mod fault;
mod file;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use fastrand::Rng;

pub use content::BLOCK_BYTES;
pub use fault::{DiskError, Faults, Fired};
use file::File;
use names::Names;

/// Number of a file or directory.
pub type Ino = u64;
/// Number of a descriptor.
pub type Descriptor = u64;

/// The directory in which all others are.
pub const ROOT: Ino = 1;

#[derive(Clone, Debug)]
enum Node {
    File(File),
    Directory,
}

/// What `stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Which.
    pub ino: Ino,
    /// A directory, or a file.
    pub is_directory: bool,
    /// Bytes.
    pub len: u64,
    /// Bytes on the disk.
    pub allocated_bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Disk {
    nodes: BTreeMap<Ino, Node>,
    names: Names,
    /// Descriptors: of which file, and whether an fsync through it has to tell that another one failed.
    open: BTreeMap<Descriptor, (Ino, bool)>,
    /// The next number of a file or a descriptor.
    next: u64,
    rng: Rng,
    /// What is armed.
    pub faults: Faults,
}

impl Disk {
    /// An empty disk whose luck follows from `seed`.
    pub fn new(seed: u64) -> Disk {
        Disk {
            nodes: BTreeMap::from([(ROOT, Node::Directory)]),
            names: Names::new(),
            open: BTreeMap::new(),
            next: ROOT + 1,
            rng: Rng::with_seed(seed),
            faults: Faults::default(),
        }
    }

    // ---------------------------------------------------------------------------------------------------- looking

    /// What is known about a file.
    ///
    /// # Errors
    /// It is not there, or the power is gone.
    pub fn attributes(&self, ino: Ino) -> Result<Attributes, DiskError> {
        self.faults.operation()?;
        let node = self.nodes.get(&ino).ok_or(DiskError::NotFound)?;
        Ok(match node {
            Node::Directory => Attributes { ino, is_directory: true, len: 0, allocated_bytes: 0 },
            Node::File(file) => {
                let (len, allocated_bytes) = (file.now().len(), file.now().allocated_bytes());
                Attributes { ino, is_directory: false, len, allocated_bytes }
            }
        })
    }

    /// The file of a name.
    ///
    /// # Errors
    /// There is none, or the power is gone.
    pub fn lookup(&self, directory: Ino, name: &OsStr) -> Result<Ino, DiskError> {
        self.faults.operation()?;
        self.names.get(directory, name).ok_or(DiskError::NotFound)
    }

    /// The entries of a directory, by name.
    ///
    /// # Errors
    /// It is no directory, or the power is gone.
    pub fn list(&self, directory: Ino) -> Result<Vec<(OsString, Ino)>, DiskError> {
        self.is_directory(directory)?;
        Ok(self.names.list(directory))
    }

    /// Reads.
    ///
    /// # Errors
    /// It is no file, or the power is gone.
    pub fn read(&self, ino: Ino, at: u64, length: usize) -> Result<Vec<u8>, DiskError> {
        self.faults.operation()?;
        match self.nodes.get(&ino) {
            Some(Node::File(file)) => Ok(file.now().read(at, length)),
            Some(Node::Directory) => Err(DiskError::WrongKind),
            None => Err(DiskError::NotFound),
        }
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        let of_node = |node: &Node| match node {
            Node::File(file) => file.now().allocated_bytes(),
            Node::Directory => 0,
        };
        let mut used = self.names.reachable();
        used.extend(self.open.values().map(|(ino, _)| ino));
        self.nodes.iter().filter(|(ino, _)| used.contains(ino)).map(|(_, node)| of_node(node)).sum()
    }

    /// Changes of data and names that no sync has covered.
    pub fn unsynced(&self) -> usize {
        let of_node = |node: &Node| match node {
            Node::File(file) => file.unsynced(),
            Node::Directory => 0,
        };
        self.nodes.values().map(of_node).sum::<usize>() + self.names.unsynced()
    }

    fn is_directory(&self, ino: Ino) -> Result<(), DiskError> {
        match self.attributes(ino)?.is_directory {
            true => Ok(()),
            false => Err(DiskError::WrongKind),
        }
    }

    // --------------------------------------------------------------------------------------------------- changing

    /// Makes a file or a directory.
    ///
    /// # Errors
    /// The name is taken, the directory is none, or the disk fails.
    pub fn create(&mut self, directory: Ino, name: &OsStr, is_directory: bool) -> Result<Ino, DiskError> {
        self.is_directory(directory)?;
        self.faults.counted()?;
        if self.names.get(directory, name).is_some() {
            return Err(DiskError::Exists);
        }
        let ino = self.next;
        self.next += 1;
        self.nodes.insert(ino, if is_directory { Node::Directory } else { Node::File(File::default()) });
        self.names.change(vec![(directory, name.to_owned(), Some(ino))]);
        Ok(ino)
    }

    /// Removes a name.
    ///
    /// # Errors
    /// It is not there, is a directory with entries, or the disk fails.
    pub fn remove(&mut self, directory: Ino, name: &OsStr, is_directory: bool) -> Result<(), DiskError> {
        let ino = self.lookup(directory, name)?;
        if self.attributes(ino)?.is_directory != is_directory {
            return Err(DiskError::WrongKind);
        }
        if is_directory && !self.names.list(ino).is_empty() {
            return Err(DiskError::NotEmpty);
        }
        self.faults.counted()?;
        self.names.change(vec![(directory, name.to_owned(), None)]);
        Ok(())
    }

    /// Renames, over a file that may be there.
    ///
    /// # Errors
    /// It is not there, or the disk fails.
    pub fn rename(&mut self, (from, name): (Ino, &OsStr), (to, new_name): (Ino, &OsStr)) -> Result<(), DiskError> {
        let ino = self.lookup(from, name)?;
        self.is_directory(to)?;
        self.faults.counted()?;
        self.names.change(vec![(from, name.to_owned(), None), (to, new_name.to_owned(), Some(ino))]);
        Ok(())
    }

    /// Writes.
    ///
    /// # Errors
    /// An armed fault, or the space is used up; nothing of it is written then.
    pub fn write(&mut self, ino: Ino, at: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.faults.write()?;
        let used_bytes = self.faults.space_bytes.map(|space_bytes| (space_bytes, self.used_bytes()));
        let file = self.file(ino)?;
        if used_bytes.is_some_and(|(space, used)| used + file.now().needed_bytes(at, bytes.len()) > space) {
            self.faults.fired.push(Fired::Write);
            return Err(DiskError::NoSpace);
        }
        file.write(at, bytes);
        Ok(())
    }

    /// Sets the length.
    ///
    /// # Errors
    /// It is no file, or the power is gone.
    pub fn set_len(&mut self, ino: Ino, len: u64) -> Result<(), DiskError> {
        self.faults.counted()?;
        self.file(ino)?.set_len(len);
        Ok(())
    }

    /// Makes a file's data durable, or a directory's names.
    ///
    /// # Errors
    /// An armed fault: then it is not known what of the data is durable. Or one that was told to another descriptor.
    pub fn sync(&mut self, ino: Ino, through: Option<Descriptor>) -> Result<(), DiskError> {
        if self.attributes(ino)?.is_directory {
            self.faults.counted()?;
            self.names.sync(ino);
            self.forget_unreachable();
            return Ok(());
        }
        let names = &self.names;
        if let Err(error) = self.faults.sync(|| names.name_of(ino).unwrap_or_default()) {
            let mut rng = self.rng.fork();
            if !self.faults.is_dead {
                self.file(ino)?.sync_fails(&mut rng);
                let others = self.open.iter_mut().filter(|&(&descriptor, &mut (of, _))| of == ino && Some(descriptor) != through);
                others.for_each(|(_, (_, owes))| *owes = true);
            }
            return Err(error);
        }
        self.file(ino)?.sync();
        let descriptor = through.and_then(|descriptor| self.open.get_mut(&descriptor));
        match descriptor.is_some_and(|(_, owes)| std::mem::take(owes)) {
            true => Err(DiskError::Io),
            false => Ok(()),
        }
    }

    fn file(&mut self, ino: Ino) -> Result<&mut File, DiskError> {
        match self.nodes.get_mut(&ino) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory) => Err(DiskError::WrongKind),
            None => Err(DiskError::NotFound),
        }
    }

    /// A file is open: it stays although its name goes.
    pub fn opened(&mut self, ino: Ino) -> Descriptor {
        let descriptor = self.next;
        self.next += 1;
        self.open.insert(descriptor, (ino, false));
        descriptor
    }

    /// A file is closed.
    pub fn closed(&mut self, descriptor: Descriptor) {
        self.open.remove(&descriptor);
    }

    /// Drops files that nothing can ever show again.
    fn forget_unreachable(&mut self) {
        let mut kept: BTreeSet<Ino> = self.names.reachable();
        kept.extend(self.names.reachable_after_loss());
        kept.extend(self.open.values().map(|(ino, _)| ino));
        self.nodes.retain(|ino, _| kept.contains(ino));
    }

    // ------------------------------------------------------------------------------------------------------ power

    /// From here on nothing works and nothing changes: the moment at which the power goes.
    pub fn cut_power(&mut self) {
        self.faults.is_dead = true;
    }

    /// What the machine finds when it comes up again. No fault is armed any more.
    pub fn power_up(&mut self) {
        self.names.lose_power(&mut self.rng);
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.lose_power(&mut self.rng);
            }
        }
        self.open.clear();
        self.forget_unreachable();
        self.faults = Faults { space_bytes: self.faults.space_bytes, ..Faults::default() };
    }
}

#[cfg(test)]
mod tests;
