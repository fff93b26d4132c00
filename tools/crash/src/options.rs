//! What can be asked for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Kills a Campanile server, takes its power, breaks its disk, and checks that nothing acknowledged is lost.
///
/// Exit status: 0 everything held, 1 something did not (the data directory is kept), 2 bad usage, 3 the run could not be made, 77 the
/// machine cannot mount a FUSE file system (needs /dev/fuse and root).
#[derive(Parser, Debug)]
#[command(name = "campanile-crash", version)]
pub struct Cli {
    /// What the program is in a process that it starts itself.
    #[command(subcommand)]
    pub part: Option<Part>,
    /// The run.
    #[command(flatten)]
    pub options: Options,
}

/// Parts of the program that it starts itself.
#[derive(Subcommand, Debug)]
pub enum Part {
    /// Publishes and logs.
    #[command(hide = true)]
    Publisher(Publisher),
}

/// What the controller tells the publisher.
#[derive(Args, Debug)]
pub struct Publisher {
    /// The server.
    #[arg(long)]
    pub target: String,
    /// The log.
    #[arg(long)]
    pub log: PathBuf,
    /// Of the whole run.
    #[arg(long)]
    pub seed: u64,
    /// Which one.
    #[arg(long)]
    pub cycle: u64,
    /// Clients.
    #[arg(long)]
    pub clients: u64,
    /// Steps of all clients.
    #[arg(long)]
    pub steps: u64,
    /// Answers until "signal".
    #[arg(long)]
    pub signal_after: u64,
}

/// What the disk does wrong besides losing power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FaultMode {
    /// Nothing: in each cycle the power goes.
    None,
    /// An fsync fails: the server has to end by itself. Where the file vouches for nothing acknowledged, it may go on as after a failed write.
    Sync,
    /// Writes fail: the server has to come back by itself.
    Write,
    /// The disk is full for a while: the server has to come back by itself.
    Full,
    /// All of it, by chance.
    Mix,
}

/// On which lie a debug build of the server is to be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AckFault {
    /// It acknowledges before the append.
    BeforeAppend,
    /// It acknowledges before the sync.
    BeforeSync,
}

/// A run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How often the server is started, loaded, killed and checked.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub cycles: u64,
    /// What clients do, when the kill comes and what a disk loses follow from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The server's binary. Default: `campanile` beside this program.
    #[arg(long)]
    pub server: Option<PathBuf>,
    /// The server's data directory; it must be empty or absent. Default: one below the system's temporary directory.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Shards of the server.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub shards: u64,
    /// Clients, each a user of his own.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub clients: u64,
    /// Requests of all clients in a cycle.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub steps: u64,
    /// Put a file system under the data directory that loses what was not synced.
    #[arg(long)]
    pub power_loss: bool,
    /// What else the disk does wrong.
    #[arg(long, value_enum, default_value = "none", requires = "power_loss")]
    pub faults: FaultMode,
    /// Ask the server to lie (a debug build; a release refuses).
    #[arg(long, value_enum)]
    pub ack_fault: Option<AckFault>,
    /// Further options of the server, e.g. --server-option=--partitions=2.
    #[arg(long = "server-option", allow_hyphen_values = true)]
    pub server_options: Vec<String>,
    /// Keep the data directory and the logs also when everything held.
    #[arg(long)]
    pub keep: bool,
    /// Do not kill the server: to try the tool itself.
    #[arg(long, hide = true)]
    pub no_kill: bool,
}

impl Options {
    /// The command that does the same again.
    pub fn replay(&self) -> String {
        let mut command = format!(
            "campanile-crash --seed {} --cycles {} --shards {} --clients {} --steps {}",
            self.seed, self.cycles, self.shards, self.clients, self.steps
        );
        if let Some(server) = &self.server {
            command += &format!(" --server {}", server.display());
        }
        if self.power_loss {
            let faults = self.faults.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            command += &format!(" --power-loss --faults {faults}");
        }
        if let Some(fault) = self.ack_fault.and_then(|fault| fault.to_possible_value()) {
            command += &format!(" --ack-fault {}", fault.get_name());
        }
        self.server_options.iter().for_each(|option| command += &format!(" --server-option={option}"));
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replay_command_means_the_same() {
        let words = [
            "campanile-crash",
            "--seed",
            "7",
            "--power-loss",
            "--faults",
            "mix",
            "--ack-fault",
            "before-sync",
            "--server-option=--a=1",
        ];
        let first = Cli::parse_from(words).options;
        let again = Cli::parse_from(first.replay().split(' ')).options;
        assert_eq!(first.replay(), again.replay());
        assert_eq!((again.seed, again.faults, again.ack_fault), (7, FaultMode::Mix, Some(AckFault::BeforeSync)));
        assert_eq!(again.server_options, ["--a=1"]);
    }
}
