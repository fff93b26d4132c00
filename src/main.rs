//! The server binary: settings, then the probe of the machine, then the server.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use campanile::config::{self, Action, Command, Config, ConfigError, Settled};
use campanile::offline::{self, Task};
use campanile::{doctor, probe, server};
use tracing_subscriber::EnvFilter;

/// What to log, in the syntax of `tracing_subscriber::EnvFilter`.
const LOG_VARIABLE: &str = "CAMPANILE_LOG";

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
    let action = match action {
        // Neither processors nor addresses matter to it.
        Action::Offline(task) => return Ok(look_after(task, &settled)),
        action => action,
    };
    let config = settled.resolve()?;
    Ok(match action {
        Action::Serve => serve(config),
        Action::Doctor => {
            let (report, can_start) = doctor::run(&config);
            say(&report);
            if can_start { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Action::Offline(_) => unreachable!("it was done above"),
        Action::PrintConfig => {
            say(&config::print(&settled, &config));
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

/// Runs the server until it is told to stop.
fn serve(mut config: Config) -> ExitCode {
    if let Err(error) = log_to_stderr("info") {
        return fail(&error);
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
