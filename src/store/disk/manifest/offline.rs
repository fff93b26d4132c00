//! Data directories without a server.

use std::fs;
use std::path::Path;

use super::{Facts, MANIFEST, Manifest, file, lock, prepare};
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
}
