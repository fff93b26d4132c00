//! Campanile in the terminal: a small chat, and commands for scripts.
//!
//! `args` is the command line; without a command `chat` runs (`line` understands what is typed, `terminal` owns the screen), with one
//! `oneshot` or `listen`. `show`, `json` and `explain` turn values into lines.

mod args;
mod chat;
mod explain;
mod json;
mod line;
mod listen;
mod oneshot;
mod receipts;
mod show;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use campanile::id::check_id;
use campanile_client::{Client, Conversation, Options};
use clap::Parser;

use crate::args::{Cli, Command, bare};
use crate::listen::Listen;

/// Why the program does not end well.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense: exit code 2.
    Usage(String),
    /// The server refused, or cannot be reached: exit code 1.
    Failed(String),
    /// Nobody reads standard output any more: a quiet end.
    NobodyReads,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return fail(1, &format!("The system gives no event loop: {why}.")),
    };
    let outcome = runtime.block_on(run(cli));
    // A thread may still wait for a line of standard input; the end of the process is its end.
    runtime.shutdown_background();
    match outcome {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(Failure::Usage(why)) => fail(2, &why),
        Err(Failure::Failed(why)) => fail(1, &why),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("campanile-cli: {why}");
    ExitCode::from(code)
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let options = options(&cli)?;
    match cli.command {
        None => {
            let (client, events) = connect(options).await?;
            chat::run(client, events, &cli.target).await
        }
        Some(command) => match listen_to(&command, cli.device.is_some()) {
            Some(listen) => {
                let (client, events) = connect(options).await?;
                listen::run(&client, events, listen).await
            }
            None => one_command(options, command, cli.timeout).await,
        },
    }
}

/// Who logs in, and as which device. A chat has a device of its own; every command one that nobody else uses, so that it does not
/// take the place of a chat that runs.
fn options(cli: &Cli) -> Result<Options, Failure> {
    let token = match (&cli.token, &cli.user) {
        (Some(token), _) => token.clone(),
        (None, Some(user)) => {
            check_id(user).map_err(|why| Failure::Usage(format!("'{user}' is no user: {why}.")))?;
            format!("dev:{user}")
        }
        (None, None) => return Err(Failure::Usage("Say who you are: campanile-cli --user alice. --help shows more.".into())),
    };
    let own_device = || if cli.command.is_none() { "terminal".to_owned() } else { format!("cli-{}", std::process::id()) };
    let device = cli.device.clone().unwrap_or_else(own_device);
    check_id(&device).map_err(|why| Failure::Usage(format!("'{device}' is no device: {why}.")))?;
    Ok(Options { connect_timeout: cli.timeout, ..Options::new(&cli.target, token, device) })
}

async fn connect(options: Options) -> Result<(Client, campanile_client::Events), Failure> {
    Client::connect(options).await.map_err(|why| Failure::Failed(explain::ended(&why)))
}

/// Asks one thing within the time limit.
async fn one_command(options: Options, command: Command, limit: std::time::Duration) -> Result<(), Failure> {
    let ask = async {
        let (client, events) = connect(options).await?;
        drop(events);
        let outcome = oneshot::run(&client, command).await;
        client.close().await;
        outcome
    };
    let late =
        || Failure::Failed(format!("No answer within {limit:?}; whether it was done is not known. --timeout waits longer."));
    tokio::time::timeout(limit, ask).await.unwrap_or_else(|_| Err(late()))
}

/// What to listen to, if the command is to listen.
fn listen_to(command: &Command, remember: bool) -> Option<Listen> {
    match command {
        Command::Listen { addresses, tags, how } => {
            Some(Listen { addresses: addresses.clone(), tags: tags.clone(), how: *how, remember })
        }
        Command::Subscribe { topics, tags, how } => {
            let addresses = topics.iter().map(|id| Conversation::Topic(bare("topic", id).to_owned())).collect();
            Some(Listen { addresses, tags: tags.clone(), how: *how, remember })
        }
        _ => None,
    }
}

/// Prints a line of data.
pub fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|_| Failure::NobodyReads)
}
