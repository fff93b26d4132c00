//! The server binary: settings, then the probe of the machine, then the server.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use campanile::config::{self, Action, Command, Config, ConfigError, Settled};
use campanile::control::ask;
use campanile::offline::{self, Task};
use campanile::{doctor, probe, server};
use tracing_subscriber::EnvFilter;

/// Messages are made by one thread and freed by another, all the time: the allocator of the C library takes twice as long for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What to log, in the syntax of `tracing_subscriber::EnvFilter`.
const LOG_VARIABLE: &str = "CAMPANILE_LOG";
/// What is logged if nobody says otherwise. The database tells of each file that it opens; only its troubles are news.
const LOG_DEFAULT: &str = "info,fjall=warn,lsm_tree=warn";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error @ ConfigError::NotDone(_)) => {
            fail(&error);
            ExitCode::from(offline::NOT_DONE)
        }
        Err(error) => fail(&error),
    }
}

/// Does what the command line says.
fn run() -> Result<ExitCode, ConfigError> {
    let Command { action, settled } = config::command_line()?;
    Ok(match action {
        Action::Serve => serve(settled.resolve()?),
        Action::Doctor => {
            let (report, can_start) = doctor::run(&settled.resolve()?);
            say(&report);
            if can_start { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        // Whether this machine could carry the server does not matter to these.
        Action::Backup => back_up(settled.ops()),
        Action::Offline(task) => look_after(task, &settled),
        Action::PrintConfig => {
            say(&config::print(&settled, &settled.resolve()?));
            ExitCode::SUCCESS
        }
    })
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Works on a data directory.
fn look_after(task: Task, settled: &Settled) -> ExitCode {
    match log_to_stderr("warn") {
        Ok(()) => task.run(settled),
        Err(error) => {
            fail(&error);
            ExitCode::from(offline::NOT_DONE)
        }
    }
}

/// Lets a running server make a backup.
fn back_up(ops: SocketAddr) -> ExitCode {
    match ask::backup(ops, |how_far| eprintln!("campanile: {how_far}")) {
        Ok(where_it_is) => {
            say(&where_it_is);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// Runs the server until it is told to stop.
fn serve(mut config: Config) -> ExitCode {
    if let Err(error) = log_to_stderr(LOG_DEFAULT) {
        return fail(&error);
    }
    // A page of 2 MiB for a few objects: memory is taken for what is used. Without it nothing gets slower.
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on; the server takes more memory");
    }
    match probe::run(&config) {
        // Who comes when the machine is full is told so, which a full table of sockets could not do.
        Ok(probed) => config.limits.connections_max = probed.connections_max,
        Err(error) => return fail(&error),
    }
    match server::serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// One sentence with cause and cure.
fn fail(error: &dyn Display) -> ExitCode {
    eprintln!("campanile: {error}");
    ExitCode::FAILURE
}

/// Compact lines on stderr, in colour only on a terminal.
fn log_to_stderr(default: &str) -> Result<(), String> {
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| default.into());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| {
        format!("{LOG_VARIABLE} = {wanted:?} is no filter: {error}; write info, debug, or campanile=debug,info")
    })?;
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().compact().with_ansi(is_terminal).with_writer(std::io::stderr).with_env_filter(filter).init();
    Ok(())
}
