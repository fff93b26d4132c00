//! Where a run keeps what it makes: `data` (the server's), logs of the publishers, what the server says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::{Event, Failure};
use crate::disk::Disk;
use crate::faulty::{Mounted, keep_mounts_private};
use crate::options::Options;

/// See the module.
pub struct Place {
    /// Logs.
    pub directory: PathBuf,
    /// The server's data.
    pub data_dir: PathBuf,
}

impl Place {
    /// Makes the directories.
    ///
    /// # Errors
    /// They cannot be made, or there is something in the data directory.
    pub fn new(options: &Options) -> Result<Place, Failure> {
        let directory = match &options.data_dir {
            Some(data_dir) => with_suffix(data_dir, ".logs"),
            None => std::env::temp_dir().join(format!("campanile-crash-{}-{}", options.seed, std::process::id())),
        };
        let data_dir = options.data_dir.clone().unwrap_or_else(|| directory.join("data"));
        for path in [&directory, &data_dir] {
            fs::create_dir_all(path).map_err(|error| Failure::Operator(format!("cannot make {}: {error}", path.display())))?;
        }
        let is_empty = fs::read_dir(&data_dir).is_ok_and(|mut entries| entries.next().is_none());
        if !is_empty {
            let sentence =
                format!("{} is not empty, and nothing is known of what is in it; name another --data-dir", data_dir.display());
            return Err(Failure::Operator(sentence));
        }
        Ok(Place { directory, data_dir })
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Mounts a disk over the data directory, for this process and those that it starts.
    ///
    /// # Errors
    /// [`Failure::NoFuse`].
    pub fn mount(&self, seed: u64, events: Sender<Event>) -> Result<Mounted, Failure> {
        // Nobody listens any more when the run is over.
        keep_mounts_private().map_err(|error| Failure::NoFuse(error.to_string()))?;
        let tell = Arc::new(move |fired| drop(events.send(Event::Fired(fired))));
        Mounted::new(Disk::new(seed), &self.data_dir, tell).map_err(|error| Failure::NoFuse(error.to_string()))
    }

    /// The end of a file, for people.
    pub fn last_lines(&self, name: &str, count: usize) -> String {
        let text = fs::read(self.file(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Bytes of a file so far.
    pub fn length(&self, name: &str) -> u64 {
        fs::metadata(self.file(name)).map_or(0, |metadata| metadata.len())
    }

    /// Removes everything, unless it is to be kept.
    pub fn finish(&self, keep: bool) {
        if keep {
            println!("kept: {}", self.directory.display());
            return;
        }
        let _ = fs::remove_dir_all(&self.data_dir);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
