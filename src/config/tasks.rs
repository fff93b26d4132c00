//! The subcommands that work on a data directory, as they stand on the command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::offline::Task;

/// All of them. Settings are options of each, as of the server.
pub(super) fn subcommands() -> [Command; 1] {
    [fsck()]
}

fn fsck() -> Command {
    let cut = Arg::new("cut").long("cut").action(ArgAction::SetTrue).help(
        "Give up what is lost, so that a server starts: what stands behind damage in a journal is cut off, what cannot be read is left out, and \
         every conversation of that partition begins a new epoch",
    );
    Command::new("fsck")
        .about("Check a data directory while no server runs: journals, every row, and whether rows agree")
        .after_help("Exit status: 0 it is sound, 1 damage was found (with --cut: is left), 2 it could not be looked at.")
        .args([directory(), cut])
}

fn directory() -> Arg {
    Arg::new("dir").value_name("DIR").help("The data directory [that of the settings: --data-dir]")
}

/// What a subcommand is to do. `None`: it is none of these.
pub(super) fn task(subcommand: Option<&str>, matches: &ArgMatches) -> Option<Task> {
    let dir = || matches.get_one::<String>("dir").map(PathBuf::from);
    match subcommand? {
        "fsck" => Some(Task::Fsck { dir: dir(), cut: matches.get_flag("cut") }),
        _ => None,
    }
}
