//! The subcommands: what they say, and how they exit.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::export::{self, ExportError};
use super::format::Totals;
use super::import::{self, Import};
use super::{Progress, fsck};
use crate::config::Settled;

/// What is to be done with a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Check it; with `cut`, give up what is lost.
    Fsck {
        /// Which; `None`: that of the settings.
        dir: Option<PathBuf>,
        /// Repair it.
        cut: bool,
    },
    /// Write what is in it.
    Export {
        /// Which; `None`: that of the settings.
        dir: Option<PathBuf>,
        /// Only these; empty: all.
        conversations: Vec<String>,
        /// Where to; `None`: standard output.
        out: Option<PathBuf>,
    },
    /// Put an export into it.
    Import {
        /// Which; `None`: that of the settings.
        dir: Option<PathBuf>,
        /// Where from; `None`: standard input.
        from: Option<PathBuf>,
    },
}

/// It is done, but something is wrong with the data.
const DAMAGED: u8 = 1;
/// It could not be done.
pub const NOT_DONE: u8 = 2;

impl Task {
    /// Does it.
    pub fn run(self, settled: &Settled) -> ExitCode {
        let dir_of = |dir: Option<PathBuf>| dir.unwrap_or_else(|| settled.base.values.data_dir.clone());
        match self {
            Task::Fsck { dir, cut } => {
                check(fsck::run(&dir_of(dir), cut, settled.limits.values.removal_grace_ms.into(), &mut Progress::new("fsck")))
            }
            Task::Export { dir, conversations, out } => export(&dir_of(dir), &conversations, out.as_deref()),
            Task::Import { dir, from } => {
                let partitions = settled.base.values.partitions as u16;
                let import = Import { dir: dir_of(dir), from, partitions, policies: settled.policies() };
                tell("imported", import::run(&import, &mut Progress::new("import")))
            }
        }
    }
}

fn check(looked: Result<fsck::Looked, impl Display>) -> ExitCode {
    match looked {
        Err(error) => refuse(&error),
        Ok(fsck::Looked { report, done }) => {
            done.iter().for_each(|line| say(&format!("done: {line}\n")));
            say(&report.text());
            let verdict = if report.is_sound() {
                "sound"
            } else {
                "damaged; restore a backup, or give up what is lost with campanile fsck --cut"
            };
            say(&format!("{verdict}\n"));
            if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) }
        }
    }
}

fn export(dir: &Path, conversations: &[String], out: Option<&Path>) -> ExitCode {
    let mut progress = Progress::new("export");
    let exported = match out {
        None => export::run(dir, conversations, &mut BufWriter::new(io::stdout().lock()), &mut progress),
        // Who may read the messages is for the operator to say.
        Some(path) => match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) => return refuse(&format!("{} cannot be made: {error}; choose a new file with --out", path.display())),
            Ok(file) => {
                let exported = export::run(dir, conversations, &mut BufWriter::new(&file), &mut progress);
                exported.and_then(|totals| file.sync_all().map(|()| totals).map_err(ExportError::Write))
            }
        },
    };
    tell("exported", exported)
}

/// How much it was, on stderr: stdout may be the export.
fn tell(done: &str, totals: Result<Totals, impl Display>) -> ExitCode {
    match totals {
        Err(error) => refuse(&error),
        Ok(Totals { listed, conversations, records }) => {
            eprintln!("{done} {conversations} conversations, {records} records, {listed} entries of lists");
            ExitCode::SUCCESS
        }
    }
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// One sentence with cause and cure.
fn refuse(error: &dyn Display) -> ExitCode {
    eprintln!("campanile: {error}");
    ExitCode::from(NOT_DONE)
}
