//! The run: cycle after cycle a server is loaded, killed, started again and read back.

mod blow;
mod place;
mod report;

use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::checker::{self, History, Rule, Violation};
use crate::disk::Fired;
use crate::entry::{Entry, read_log};
use crate::faulty::Mounted;
use crate::options::Options;
use crate::plan::{self, Shape};
use crate::process::{Publisher, Server, ServerSetup, Start};
use crate::read_back::Reader;
use blow::Blow;
use place::Place;
pub use report::Report;

/// How long a server may take to start, recovery included.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a publisher may take until all its requests have an answer.
const PUBLISHER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a server may take to end by itself after a failed fsync.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a server may take to store again after its disk works again.
const BACK_TIMEOUT: Duration = Duration::from_secs(30);
/// So often everything is read back, not only what has changed; and at the end.
const CYCLES_PER_FULL_CHECK: u64 = 64;

/// Why a run could not be made. It says nothing about the server.
#[derive(Debug)]
pub enum Failure {
    /// The operator's: a sentence with the cure.
    Operator(String),
    /// This machine cannot mount.
    NoFuse(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Operator(sentence) => f.write_str(sentence),
            Failure::NoFuse(why) => {
                write!(
                    f,
                    "cannot mount a FUSE file system: {why}; --power-loss needs /dev/fuse and CAP_SYS_ADMIN (run it as root)"
                )
            }
        }
    }
}

/// How a cycle went.
enum End {
    /// Everything that had to hold did, as far as the processes show.
    Fine,
    /// Something did not.
    Violated(Violation),
}

/// What the controller waits for.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Said(String),
    Fired(Fired),
}

/// See the module.
pub struct Run {
    options: Options,
    shape: Shape,
    place: Place,
    setup: ServerSetup,
    history: History,
    /// What this process itself sent in the cycle, after the publisher was done.
    probed: Vec<Entry>,
    report: Report,
    disk: Option<Mounted>,
    server: Option<Server>,
    /// Where the server listens, from its first start on.
    target: String,
    events: Receiver<Event>,
    sender: Sender<Event>,
}

impl Run {
    /// Prepares a run; nothing is started yet.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(options: Options) -> Result<Run, Failure> {
        let program = server_program(&options)?;
        let place = Place::new(&options)?;
        let (sender, events) = channel();
        let disk = match options.power_loss {
            true => Some(place.mount(options.seed, sender.clone()).inspect_err(|_| place.finish(false))?),
            false => None,
        };
        let setup = ServerSetup {
            program,
            data_dir: place.data_dir.clone(),
            stderr: place.file("server.stderr"),
            shards: options.shards,
            options: options.server_options.clone(),
            ack_fault: options.ack_fault,
        };
        let shape = Shape { seed: options.seed, clients: options.clients, steps: options.steps };
        let report = Report::new(&options);
        let history = History::default();
        Ok(Run {
            options,
            shape,
            place,
            setup,
            history,
            probed: Vec::new(),
            report,
            disk,
            server: None,
            target: String::new(),
            events,
            sender,
        })
    }

    /// Makes the run and prints what comes of it. True: everything held.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn make(mut self) -> Result<bool, Failure> {
        println!("data directory {}, logs {}", self.place.data_dir.display(), self.place.directory.display());
        let mut violations = Vec::new();
        for cycle in 0..self.options.cycles {
            violations = self.cycle(cycle)?;
            if !violations.is_empty() {
                break;
            }
        }
        self.server = None;
        self.report.counts = self.history.counts;
        self.report.print(violations.is_empty());
        if violations.is_empty() {
            self.disk = None;
            self.place.finish(self.options.keep);
            return Ok(true);
        }
        self.tell(&violations);
        Ok(false)
    }

    fn tell(&self, violations: &[Violation]) {
        const SHOWN_MAX: usize = 20;
        for violation in violations.iter().take(SHOWN_MAX) {
            println!("{violation}");
        }
        if violations.len() > SHOWN_MAX {
            println!("... and {} more", violations.len() - SHOWN_MAX);
        }
        println!("the server's last words:");
        println!("{}", self.place.last_lines("server.stderr", 15));
        match &self.disk {
            None => println!("kept: {}", self.place.directory.display()),
            Some(disk) => {
                let image = self.place.file("image");
                match disk.export(&image) {
                    Ok(()) => println!("kept: {} (what the disk had: {})", self.place.directory.display(), image.display()),
                    Err(error) => println!("the disk's content could not be kept: {error}"),
                }
            }
        }
        println!("to replay: {}", self.options.replay());
    }

    /// One cycle; what it found wrong.
    fn cycle(&mut self, cycle: u64) -> Result<Vec<Violation>, Failure> {
        if self.server.is_none()
            && let End::Violated(violation) = self.start()?
        {
            return Ok(vec![violation]);
        }
        // What the last cycle's processes said is over.
        while self.events.try_recv().is_ok() {}
        let mut rng = plan::rng(self.shape.seed, cycle, 1);
        let blow = Blow::choose(&self.options, &mut rng);
        let signal_after = rng.u64(1..=blow.latest(self.shape.steps));
        let log = self.place.file(&format!("cycle-{cycle}.log"));
        let said = self.words();
        let publisher = Publisher::spawn(&self.target, &log, self.shape, cycle, signal_after, said)
            .map_err(|error| Failure::Operator(format!("cannot start the publisher: {error}")))?;

        let mut violations = Vec::new();
        match self.load_and_strike(blow, &mut rng, cycle) {
            Ok(End::Fine) => {}
            Ok(End::Violated(violation)) => violations.push(violation),
            Err(failure) => return Err(failure),
        }
        if violations.is_empty()
            && let Err(error) = publisher.finish()
        {
            violations.push(of_server("every client gets on with the server", error.to_string()));
        }
        self.learn(&log)?;
        violations.extend(self.history.take_found());
        let is_full = (cycle + 1).is_multiple_of(CYCLES_PER_FULL_CHECK) || cycle + 1 == self.options.cycles;
        if self.server.is_some() && !violations.iter().any(|violation| violation.rule == Rule::Server) {
            violations.extend(self.check(cycle, is_full, rng.u32(1..=100)));
        }
        violations.sort_by_key(|violation| violation.rule);
        self.report.cycle(cycle, blow, signal_after, &self.history.counts, violations.len());
        if violations.is_empty() && !self.options.keep {
            let _ = std::fs::remove_file(&log);
        }
        Ok(violations)
    }

    /// Waits for the moment, strikes, brings the server up again, and waits until the publisher has all its answers.
    fn load_and_strike(&mut self, blow: Blow, rng: &mut fastrand::Rng, cycle: u64) -> Result<End, Failure> {
        if let Err(violation) = self.wait_for_word("signal") {
            return Ok(End::Violated(violation));
        }
        if let End::Violated(violation) = self.strike(blow, rng, cycle)? {
            return Ok(End::Violated(violation));
        }
        Ok(End::Fine)
    }

    /// Starts the server where it listened before.
    fn start(&mut self) -> Result<End, Failure> {
        let mut server = self.spawn()?;
        match server.ready(START_TIMEOUT) {
            Start::Ready(target, took) => {
                self.report.recovered(took);
                self.target = target;
                self.server = Some(server);
                Ok(End::Fine)
            }
            Start::Ended if self.target.is_empty() => {
                let (program, words) = (self.setup.program.display(), self.place.last_lines("server.stderr", 5));
                Err(Failure::Operator(format!("{program} does not start; it says:\n{words}")))
            }
            Start::Ended => {
                let status = server.ends(END_TIMEOUT).map_or_else(|| "not quite".to_owned(), |status| status.to_string());
                Ok(End::Violated(of_server("it starts on the data that it left", format!("it ended: {status}"))))
            }
            Start::NotYet => {
                let seen = format!("no word from it within {START_TIMEOUT:?}");
                Ok(End::Violated(of_server("it starts on the data that it left", seen)))
            }
        }
    }

    fn spawn(&self) -> Result<Server, Failure> {
        let port = self.target.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
        await_free(port);
        let cannot = |error| Failure::Operator(format!("cannot run {}: {error}", self.setup.program.display()));
        Server::spawn(&self.setup, port).map_err(cannot)
    }

    /// The sender for a publisher's words.
    fn words(&self) -> Sender<String> {
        let (said, words) = channel();
        let events = self.sender.clone();
        std::thread::spawn(move || words.into_iter().for_each(|word| drop(events.send(Event::Said(word)))));
        said
    }

    /// Waits for a word of the publisher.
    fn wait_for_word(&self, word: &str) -> Result<(), Violation> {
        let deadline = Instant::now() + PUBLISHER_TIMEOUT;
        let seen = loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Said(said)) if said == word => return Ok(()),
                Ok(Event::Said(said)) if said == "ended" => break "the publisher ended".to_owned(),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    break format!("not within {PUBLISHER_TIMEOUT:?}");
                }
            }
        };
        Err(of_server(&format!("every request gets an answer (\"{word}\")"), seen))
    }

    fn learn(&mut self, log: &std::path::Path) -> Result<(), Failure> {
        self.history.begin();
        let entries = read_log(log).map_err(|error| Failure::Operator(format!("the log {}: {error}", log.display())))?;
        entries.into_iter().chain(std::mem::take(&mut self.probed)).for_each(|entry| self.history.apply(entry));
        Ok(())
    }

    /// Reads back and checks: what has changed, or everything.
    fn check(&mut self, cycle: u64, is_full: bool, page_messages: u32) -> Vec<Violation> {
        let rooms = if is_full { self.history.rooms.keys().cloned().collect() } else { self.history.touched() };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return vec![of_server("it can be read", error.to_string())],
        };
        let mut violations = Vec::new();
        let target = self.target.clone();
        let (history, shape, report) = (&self.history, self.shape, &mut self.report);
        runtime.block_on(async {
            let mut reader = Reader::new(&target, cycle);
            for name in rooms {
                let users = plan::users_of(shape, &name, cycle);
                match reader.room(&name, &users, page_messages).await {
                    Ok(read) => {
                        report.read(&read);
                        violations.extend(checker::check(&name, &history.rooms[&name], &read));
                    }
                    Err(why) => {
                        violations.push(Violation { room: name, ..of_server("it can be read back", why) });
                        break;
                    }
                }
            }
            reader.close().await;
        });
        self.history.checked();
        violations
    }
}

/// Waits until nobody listens on a port. The kernel closes the sockets of a killed server's rings a moment after the process is gone.
fn await_free(port: u16) {
    let deadline = Instant::now() + END_TIMEOUT;
    while port != 0 && std::net::TcpListener::bind(("127.0.0.1", port)).is_err() && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

fn of_server(expected: &str, seen: String) -> Violation {
    Violation { room: "the server".into(), seq: None, rule: Rule::Server, expected: expected.into(), seen }
}

/// The binary that was named, or the one beside this program (or beside the directory of a test binary).
fn server_program(options: &Options) -> Result<PathBuf, Failure> {
    if let Some(program) = &options.server {
        return Ok(program.clone());
    }
    let own = std::env::current_exe().map_err(|error| Failure::Operator(format!("where is this program? {error}")))?;
    let beside = own.with_file_name("campanile");
    let above = own.parent().and_then(|parent| parent.parent()).map(|parent| parent.join("campanile"));
    let found = [Some(beside.clone()), above].into_iter().flatten().find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::Operator(format!("{} is not there; build the server (cargo build) or name it with --server", beside.display()))
    })
}
