//! The publisher: a process of its own with several clients, so that what was acknowledged is known whatever happens to the server.
//!
//! It connects, does what the plan says, writes every send and answer to its log, and says on stdout: "signal" when as many
//! requests have got their answer as was asked for (the moment of the kill), "refused" when the server puts a
//! request off, and "done" when all have their answer. Then it waits for its stdin to end.

mod client;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use campanile_client::{Backoff, Client, Options};
use tokio::task::LocalSet;

use crate::entry::{Entry, Log};
use crate::plan::{self, Shape};

/// What one publisher does.
#[derive(Clone, Debug)]
pub struct Task {
    /// The server, `tcp://HOST:PORT`.
    pub target: String,
    /// What the plan follows from.
    pub shape: Shape,
    /// Which cycle.
    pub cycle: u64,
    /// Requests that have got their answer when "signal" is said.
    pub signal_after: u64,
}

/// What all clients of the publisher share.
struct Shared {
    log: RefCell<Log>,
    ops: Cell<u64>,
    answers: Cell<u64>,
    signal_after: u64,
    /// Acknowledged messages: user, room, `client_id`, body.
    acked: RefCell<Vec<(String, String, String, String)>>,
    /// How far each user knows each room: epoch, seq.
    known: RefCell<BTreeMap<(String, String), (u64, u64)>>,
}

impl Shared {
    /// # Panics
    /// When the log cannot be written: without it nothing can be checked.
    fn log(&self, entry: &Entry) {
        self.log.borrow_mut().write(entry).expect("the log is written");
    }

    fn next_op(&self) -> u64 {
        self.ops.set(self.ops.get() + 1);
        self.ops.get()
    }

    /// A request has its answer, whatever it is.
    fn answered(&self, entry: &Entry) {
        self.log(entry);
        self.answers.set(self.answers.get() + 1);
        if matches!(entry, Entry::Refused { code: 200..300, .. }) {
            say("refused");
        }
        if self.answers.get() == self.signal_after {
            say("signal");
        }
    }

    fn knows(&self, user: &str, room: &str, (epoch, seq): (u64, u64)) {
        let mut known = self.known.borrow_mut();
        let place = known.entry((user.to_owned(), room.to_owned())).or_default();
        *place = (epoch, seq).max(*place);
    }
}

/// The controller listens until it ends this process's stdin.
fn say(word: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{word}").and_then(|()| stdout.flush());
}

/// Runs until everything of the plan has its answer and stdin ends.
///
/// # Errors
/// The log cannot be opened, or a client is refused for good.
pub fn run(task: Task, log: &Path) -> Result<(), String> {
    let log = Log::open(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let shared = Rc::new(Shared {
        log: RefCell::new(log),
        ops: Cell::new(task.cycle * 1_000_000),
        answers: Cell::new(0),
        signal_after: task.signal_after,
        acked: RefCell::default(),
        known: RefCell::default(),
    });
    LocalSet::new().block_on(&runtime, work(&task, &shared))?;
    if shared.answers.get() < shared.signal_after {
        // The plan had less in it than was asked for: then the server dies while nothing is under way, which is a moment like any other.
        say("signal");
    }
    say("done");
    // What comes after the end of the plan is of no interest; stdin tells when the controller has seen the words.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}

async fn work(task: &Task, shared: &Rc<Shared>) -> Result<(), String> {
    let mut clients = Vec::new();
    for (number, user) in (0..).zip(plan::users(task.shape, task.cycle)) {
        let gives_up = plan::gives_up(task.shape, task.cycle, number);
        let (client, events) =
            Client::connect(options(task, &user, gives_up)).await.map_err(|ended| format!("{user}: {ended}"))?;
        tokio::task::spawn_local(client::watch(shared.clone(), user.clone(), events));
        clients.push((number, user, client));
    }
    let mut working = Vec::new();
    for (number, user, client) in clients {
        let steps = plan::steps(task.shape, task.cycle, number);
        working.push(tokio::task::spawn_local(client::work(shared.clone(), user, client, steps)));
    }
    for client in working {
        client.await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A server that starts takes connections at once, so waiting between attempts is short.
fn options(task: &Task, user: &str, gives_up: bool) -> Options {
    let mut options = Options::new(task.target.clone(), format!("dev:{user}"), format!("p{}", task.cycle));
    options.backoff = Backoff { base: Duration::from_millis(5), max: Duration::from_millis(100) };
    options.keep_trying = true;
    // A disk may be full for as long as a cycle takes.
    options.publish_retries = 1;
    if gives_up {
        options.resend_within = Duration::ZERO;
    }
    options
}
