//! The subcommands: what they say, and how they exit.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

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
            Task::Fsck { dir, cut } => check(fsck::run(
                &dir_of(dir),
                cut,
                settled.limits.values.removal_grace_ms.into(),
                &mut Progress::new("fsck"),
            )),
        }
    }
}

fn check(looked: Result<fsck::Looked, impl Display>) -> ExitCode {
    match looked {
        Err(error) => refuse(&error),
        Ok(fsck::Looked { report, done }) => {
            done.iter().for_each(|line| say(&format!("done: {line}\n")));
            say(&report.text());
            let verdict = if report.is_sound() { "sound" } else { "damaged; restore a backup, or give up what is lost with campanile fsck --cut" };
            say(&format!("{verdict}\n"));
            if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) }
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
