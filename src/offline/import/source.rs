//! The lines of an export, which are read twice.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Import, ImportError, shown};
use crate::offline::format::Thing;

/// A line may be so long, in bytes: a body of the greatest length as base64, and all else.
const LINE_BYTES_MAX: u64 = 32 << 20;

/// A file that can be read again from its beginning.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
}

/// Why reading stopped.
#[derive(Debug)]
pub enum Stopped<E> {
    /// The one who takes the lines wants no more after this one.
    By(u64, E),
    /// A line is none, or cannot be read.
    Read(ImportError),
}

impl Source {
    /// Opens the export. What comes through a pipe is put into a file first, beside the data directory; that has no name and goes by itself.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(import: &Import) -> Result<Source, ImportError> {
        let path = shown(import.from.as_deref());
        let open = || match &import.from {
            Some(path) if path.is_file() => File::open(path),
            Some(path) => spool(&mut File::open(path)?, &import.dir),
            None => spool(&mut io::stdin().lock(), &import.dir),
        };
        let file = open().map_err(|error| ImportError::Read(path.clone(), error))?;
        Ok(Source { file, path })
    }

    /// Gives each line with its number, from 1.
    ///
    /// # Errors
    /// Why it stopped.
    pub fn each<E>(&mut self, take: &mut dyn FnMut(u64, Thing) -> Result<(), (u64, E)>) -> Result<(), Stopped<E>> {
        let failed = |error| Stopped::Read(ImportError::Read(self.path.clone(), error));
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text).map_err(failed)? == 0 {
                break;
            }
            let wrong = |what: String| Stopped::Read(ImportError::Line(line, what));
            if text.len() as u64 == LINE_BYTES_MAX {
                return Err(wrong(format!("it has more than {LINE_BYTES_MAX} bytes")));
            }
            let text = std::str::from_utf8(&text).map_err(|_| wrong("it is not UTF-8".into()))?;
            if text.trim().is_empty() {
                continue;
            }
            let thing = Thing::parse(text).map_err(wrong)?;
            take(line, thing).map_err(|(line, error)| Stopped::By(line, error))?;
        }
        Ok(())
    }
}

fn spool(from: &mut dyn Read, dir: &Path) -> io::Result<File> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = parent.join(format!(".campanile-import-{}", std::process::id()));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    io::copy(from, &mut file)?;
    Ok(file)
}
