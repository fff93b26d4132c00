//! The journals of an open database as files of our own, to sync them.
//!
//! fjall syncs a journal from several threads through one descriptor. Linux tells each descriptor once that something could not be written
//! back (fsync(2)): when a thread of fjall has been told, whoever syncs through the same descriptor after it hears that all is well. A
//! descriptor of our own misses nothing, whoever was told before.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use super::journal_check::numbered;
use super::manifest::sync_dir;

/// See the module. A journal is here from when it was seen first until it was synced after its successor had been seen.
#[derive(Debug)]
pub(super) struct Journals {
    dir: PathBuf,
    files: Vec<(u64, File)>,
}

impl Journals {
    /// Those in the directory of a database; none are opened yet.
    pub fn new(dir: &Path) -> Journals {
        Journals { dir: dir.to_owned(), files: Vec::new() }
    }

    /// Everything that fjall has given to the operating system is on the disk when this returns.
    ///
    /// # Errors
    /// Something that was given to it since the last time, by whomever, may not be on the disk, and no later sync will tell.
    pub fn sync(&mut self) -> io::Result<()> {
        self.find()?;
        self.files.iter().try_for_each(|(_, file)| file.sync_data())?;
        // fjall writes to the newest only.
        self.files.drain(..self.files.len().saturating_sub(1));
        Ok(())
    }

    /// Whether a descriptor is one of these.
    pub fn has(&self, descriptor: RawFd) -> bool {
        self.files.iter().any(|(_, file)| file.as_raw_fd() == descriptor)
    }

    /// Opens those that are new. fjall numbers them one after the other.
    fn find(&mut self) -> io::Result<()> {
        let Some((last, _)) = self.files.last() else {
            let all = numbered(&self.dir)?.into_iter();
            self.files = all.map(|(number, path)| Ok((number, File::open(path)?))).collect::<io::Result<_>>()?;
            return Ok(());
        };
        let mut next = last + 1;
        loop {
            match File::open(self.dir.join(format!("{next}.jnl"))) {
                Ok(file) => self.files.push((next, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
            // Its name too: fjall may have failed to sync it, and not have said so yet.
            sync_dir(&self.dir)?;
            next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_are_held_until_they_are_synced_after_the_next_one_came() {
        let dir = tempfile::tempdir().unwrap();
        let make = |number: u64| std::fs::write(dir.path().join(format!("{number}.jnl")), b"x").unwrap();
        let held = |journals: &Journals| journals.files.iter().map(|(number, _)| *number).collect::<Vec<_>>();
        let mut journals = Journals::new(dir.path());
        journals.sync().unwrap();
        assert_eq!(held(&journals), [0; 0]);
        [9, 10].into_iter().for_each(make);
        journals.sync().unwrap();
        assert_eq!(held(&journals), [10]);
        std::fs::remove_file(dir.path().join("9.jnl")).unwrap();
        [11, 12].into_iter().for_each(make);
        journals.find().unwrap();
        assert_eq!(held(&journals), [10, 11, 12]);
        assert!(journals.has(journals.files[0].1.as_raw_fd()));
        journals.sync().unwrap();
        assert_eq!(held(&journals), [12]);
    }
}
