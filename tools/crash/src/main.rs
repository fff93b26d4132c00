//! Kills a Campanile server, takes its power, breaks its disk, and checks that nothing acknowledged is lost.
//!
//! ```text
//!   controller (run/) --starts, kills--> server (process.rs) --files--> a real directory, or
//!        |                                 ^        ^                   the disk model (disk/) behind FUSE (faulty/)
//!        |--starts--> publisher (publisher/)        |
//!        |              |  clients do what plan.rs says, and log every send and answer (entry.rs)
//!        |              v                           |
//!        |            log file                      |
//!        |              |                       reads back (read_back.rs)
//!        |              v                           v
//!        +----------> checker/ : history of operations + what is read back -> violations
//! ```

mod checker;
mod disk;
mod entry;
mod faulty;
mod options;
mod plan;
mod process;
mod publisher;
mod read_back;
mod run;

use std::process::ExitCode;

use clap::Parser;

use options::{Cli, Part};
use plan::Shape;
use run::{Failure, Run};

/// Something did not hold.
const VIOLATED: u8 = 1;
/// The run could not be made.
const FAILED: u8 = 3;
/// The machine cannot do what was asked for.
const NO_FUSE: u8 = 77;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Part::Publisher(asked)) = cli.part {
        return publish(asked);
    }
    match Run::new(cli.options).and_then(Run::make) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(VIOLATED),
        Err(failure) => {
            eprintln!("campanile-crash: {failure}");
            ExitCode::from(if matches!(failure, Failure::NoFuse(_)) { NO_FUSE } else { FAILED })
        }
    }
}

fn publish(asked: options::Publisher) -> ExitCode {
    let shape = Shape { seed: asked.seed, clients: asked.clients, steps: asked.steps };
    let task = publisher::Task { target: asked.target, shape, cycle: asked.cycle, signal_after: asked.signal_after };
    match publisher::run(task, &asked.log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("campanile-crash publisher: {why}");
            ExitCode::from(FAILED)
        }
    }
}
