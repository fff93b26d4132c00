//! The subcommands that work on a data directory, as they stand on the command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::offline::Task;

/// All of them. Settings are options of each, as of the server.
pub(super) fn subcommands() -> [Command; 3] {
    [fsck(), export(), import()]
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

fn export() -> Command {
    let conversation = Arg::new("conversation")
        .long("conversation")
        .value_name("ADDRESS")
        .action(ArgAction::Append)
        .help("Only this one, like direct:alice+bob, group:team, topic:news or broadcast; may be given several times [all]");
    let out = Arg::new("out").long("out").value_name("FILE").help("A new file, that only its owner can read [standard output]");
    Command::new("export")
        .about("Write what is in a data directory as lines of JSON, while no server runs")
        .after_help("Exit status: 0 it is whole, 2 it is not; without its last line (thing: end) an export is cut off.")
        .args([directory(), conversation, out])
}

fn import() -> Command {
    let from = Arg::new("in").long("in").value_name("FILE").help("The export [standard input]");
    Command::new("import")
        .about("Put an export into a data directory while no server runs; a new one is made with --partitions")
        .after_help(
            "Seqs and times stay, epochs are new. A conversation that exists is never overwritten. Exit status: 0 all is imported, 2 it is not, and why.",
        )
        .args([directory(), from])
}

fn directory() -> Arg {
    Arg::new("dir").value_name("DIR").help("The data directory [that of the settings: --data-dir]")
}

/// What a subcommand is to do. `None`: it is none of these.
pub(super) fn task(subcommand: Option<&str>, matches: &ArgMatches) -> Option<Task> {
    let dir = || matches.get_one::<String>("dir").map(PathBuf::from);
    match subcommand? {
        "fsck" => Some(Task::Fsck { dir: dir(), cut: matches.get_flag("cut") }),
        "export" => Some(Task::Export {
            dir: dir(),
            conversations: matches.get_many::<String>("conversation").unwrap_or_default().cloned().collect(),
            out: matches.get_one::<String>("out").map(PathBuf::from),
        }),
        "import" => Some(Task::Import { dir: dir(), from: matches.get_one::<String>("in").map(PathBuf::from) }),
        _ => None,
    }
}
