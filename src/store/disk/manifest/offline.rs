//! Data directories without a server: those that are looked at, and copies.

use std::fs;
use std::path::Path;

use super::{BOOT_ID, Facts, MANIFEST, Manifest, file, lock, prepare};
use crate::store::disk::OpenError;

impl Manifest {
    /// Opens a data directory that is there, for work without a server. What the next start must know of the last one stays as it is.
    ///
    /// # Errors
    /// There is none, a server has it, or it cannot be read.
    pub fn open_existing(dir: &Path) -> Result<Manifest, OpenError> {
        let path = dir.join(MANIFEST);
        if !path.exists() {
            return Err(OpenError::NoData { path: dir.to_owned() });
        }
        prepare(dir)?;
        let dir = &fs::canonicalize(dir).map_err(file(dir))?;
        let (lock, path) = (lock(dir)?, dir.join(MANIFEST));
        let text = fs::read_to_string(&path).map_err(file(&path))?;
        Ok(Manifest { dir: dir.to_owned(), facts: Facts::parse(&text, &path)?, _lock: lock })
    }

    /// Makes a data directory for the rows of this one, with the same seed and data id. It is complete when [`Manifest::set_complete`] says so.
    ///
    /// # Errors
    /// It cannot be made, or is not empty.
    pub fn create_salvage(&self, dir: &Path) -> Result<Manifest, OpenError> {
        prepare(dir)?;
        let dir = &fs::canonicalize(dir).map_err(file(dir))?;
        let lock = lock(dir)?;
        if dir.join(MANIFEST).exists() {
            return Err(OpenError::NotEmpty { path: dir.to_owned() });
        }
        let boot_id = fs::read_to_string(BOOT_ID).map_err(file(Path::new(BOOT_ID)))?;
        // For the check that nothing else is there.
        Facts::new(dir, 1, 1, boot_id.trim())?;
        let facts = Facts { boot_id: boot_id.trim().to_owned(), clean: true, complete: false, ..self.facts.clone() };
        let manifest = Manifest { dir: dir.to_owned(), facts, _lock: lock };
        manifest.write()?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Manifest::open_existing(dir.path()), Err(OpenError::NoData { .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made where nothing is");
        for stop in [false, true] {
            let manifest = Manifest::open_in_boot(dir.path(), 0, 3, "x").unwrap();
            if stop {
                manifest.close().unwrap();
            } else {
                drop(manifest);
            }
            let before = fs::read_to_string(dir.path().join(MANIFEST)).unwrap();
            let looked = Manifest::open_existing(dir.path()).unwrap();
            assert_eq!(looked.partitions(), 3);
            assert!(matches!(Manifest::open_existing(dir.path()), Err(OpenError::Taken { .. })));
            drop(looked);
            assert_eq!(fs::read_to_string(dir.path().join(MANIFEST)).unwrap(), before);
        }
    }

    #[test]
    fn a_copy_has_the_same_secrets() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let original = Manifest::open_in_boot(dirs[0].path(), 5, 1, "x").unwrap();
        let mut copy = original.create_salvage(dirs[1].path()).unwrap();
        assert_eq!((copy.data_id(), copy.slot_seed(), copy.partitions()), (original.data_id(), original.slot_seed(), 5));
        assert!(!copy.is_complete());
        copy.set_complete().unwrap();
        drop(copy);
        assert!(matches!(original.create_salvage(dirs[1].path()), Err(OpenError::NotEmpty { .. })));
        assert!(Manifest::open_existing(dirs[1].path()).unwrap().facts.clean);
    }
}
