//! The main thread of a run: it starts the workers, leads them through the steps, and reads the server's meters in between.

mod crowd;
mod ladder;
mod meters;
mod minutes;
mod ramp;
mod run;
mod series;
mod stock;
mod storm;

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::account::{Board, Pace, Tally};
use crate::dress::Target;
use crate::error::Failure;
use crate::machine;
use crate::options::{Settings, check_descriptors};
use crate::scenario::Plan;
use crate::stage::{PATIENCE, Stage, Step, Totals};
use crate::worker::{self, Crew, Post};

pub use crowd::{Crowd, Footprint, Turn, crowd};
pub use ladder::Ladder;
pub use meters::{Meters, Spent};
pub use minutes::Minutes;
pub use ramp::{Ramp, RampStep, Ramping, ramp};
pub use run::{Memory, Outcome, conduct};
pub use series::{Sample, Series};
pub use stock::{Backlog, ColdReads, Half, backlog, cold};

/// How often a step is looked at to see whether it is over.
const LOOK: Duration = Duration::from_millis(5);
/// Pings while nothing goes on.
const CALM: Duration = Duration::from_secs(2);
/// Rest before memory is read, so that the server has finished what logins leave behind.
const REST: Duration = Duration::from_secs(1);

/// What is watched of the server.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Where it is.
    pub target: Target,
    /// Its process.
    pub pid: Option<u32>,
}

/// Starts the workers, lets `play` lead them through the steps of a plan, and ends them. Gives what it gave and what all workers counted.
///
/// # Errors
/// What kept it from having a result.
fn with_crew<R>(
    plan: Plan,
    settings: &Settings,
    server: Watched,
    play: impl FnOnce(&mut Conductor<'_, '_>) -> Result<R, Failure>,
) -> Result<(R, Tally, Crew), Failure> {
    check_descriptors(plan.connections, plan.workers)?;
    if let Some(cpu) = settings.cpus.first() {
        machine::pin(*cpu)?;
    }
    let Watched { target, pid } = server;
    let (crew, letters) = crew(plan, settings, target)?;
    let (result, tally) = thread::scope(|scope| {
        let crew = &crew;
        let shown = Shown { terminal: std::io::stderr().is_terminal(), ..Shown::default() };
        let mut conductor = Conductor { crew, pid, workers: Vec::new(), shown, series: Series::default() };
        for (id, letters) in letters.into_iter().enumerate() {
            conductor.workers.push(scope.spawn(move || worker::run(crew, id as u32, letters)));
        }
        let result = play(&mut conductor);
        crew.stage.go_to(Step::Stop);
        if conductor.shown.terminal {
            eprintln!();
        }
        let tally = conductor.gather()?;
        Ok((result?, tally))
    })?;
    Ok((result, tally, crew))
}

type Letters = Vec<mpsc::Receiver<worker::Finished>>;

fn crew(plan: Plan, settings: &Settings, target: Target) -> Result<(Crew, Letters), Failure> {
    let mut posts = Vec::new();
    let mut all_letters = Vec::new();
    for _ in 0..plan.workers {
        let (sender, receiver) = mpsc::channel();
        let bell = eventfd(0, EventfdFlags::CLOEXEC).map_err(|e| Failure::Kernel("eventfd", e.into()))?;
        posts.push(Post { letters: sender, bell });
        all_letters.push(receiver);
    }
    let window = if let Pace::Window(window) = settings.pace { window } else { 0 };
    let board = Board::new(plan.publishers(), window);
    let stage = Stage::new(plan.workers);
    let (rounds, ledgers, ledger) = (Mutex::default(), Mutex::default(), OnceLock::new());
    Ok((Crew { plan, settings: settings.clone(), target, stage, board, rounds, ledgers, ledger, posts }, all_letters))
}

struct Conductor<'scope, 'a> {
    crew: &'a Crew,
    /// The server's process.
    pid: Option<u32>,
    workers: Vec<ScopedJoinHandle<'scope, Result<Tally, Failure>>>,
    shown: Shown,
    series: Series,
}

/// What the last progress line showed.
#[derive(Default)]
struct Shown {
    at: Option<Instant>,
    totals: Totals,
    terminal: bool,
}

impl Conductor<'_, '_> {
    /// Waits until `done` has come to `wanted`; fails when it does not move any more.
    fn wait(&mut self, step: &'static str, wanted: u64, done: impl Fn(&Totals) -> u64) -> Result<(), Failure> {
        self.wait_while_moving(step, wanted, done, |_| 0)
    }

    /// The same where `moves` shows that something is going on.
    fn wait_while_moving(
        &mut self,
        step: &'static str,
        wanted: u64,
        done: impl Fn(&Totals) -> u64,
        moves: impl Fn(&Totals) -> u64,
    ) -> Result<(), Failure> {
        let mut last = (Instant::now(), 0);
        loop {
            let totals = self.crew.stage.totals();
            let now_done = done(&totals);
            if now_done >= wanted {
                return Ok(());
            }
            let moved = now_done + moves(&totals);
            if moved > last.1 {
                last = (Instant::now(), moved);
            }
            self.show(|_, _| format!("{step}: {now_done} of {wanted}"));
            if last.0.elapsed() > PATIENCE.max(self.crew.settings.drain) || self.a_worker_ended() {
                return Err(Failure::Stuck { step, done: now_done, wanted });
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until `done` has come to `wanted`, or nothing has moved for as long as draining may take.
    fn wait_or_give_up(&mut self, step: &'static str, wanted: u64, done: impl Fn(&Totals) -> u64) {
        let mut last = (Instant::now(), Totals::default());
        while !self.a_worker_ended() {
            let totals = self.crew.stage.totals();
            if done(&totals) >= wanted || last.0.elapsed() > self.crew.settings.drain {
                return;
            }
            if totals != last.1 {
                last = (Instant::now(), totals);
            }
            self.sample();
            self.show(|totals, rates| format!("{step}: {} of {wanted}, {:.0} deliveries/s", done(totals), rates[1]));
            thread::sleep(LOOK);
        }
    }

    fn a_worker_ended(&self) -> bool {
        self.workers.iter().any(ScopedJoinHandle::is_finished)
    }

    fn gather(&mut self) -> Result<Tally, Failure> {
        let mut sum = Tally::default();
        for worker in self.workers.drain(..) {
            // A worker that panics ends the process in release builds; elsewhere its message has been printed.
            let tally = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            sum.add(&tally);
        }
        Ok(sum)
    }

    fn rss(&self) -> Result<Option<u64>, Failure> {
        self.pid.map(machine::rss_bytes).transpose()
    }

    fn meters(&self) -> Result<Meters, Failure> {
        let settings = &self.crew.settings;
        let server_cpus = Some(&settings.server_cpus).filter(|cpus| !cpus.is_empty());
        let totals = self.crew.stage.totals();
        let at_ns = self.crew.stage.now_ns();
        let at_s = at_ns as f64 / 1e9;
        Ok(Meters {
            at_ns,
            server_cores_s: server_cpus.map(|cpus| machine::busy_s(cpus, at_s)).transpose()?,
            server_process_s: self.pid.map(machine::process_s).transpose()?,
            own_cores_s: machine::busy_s(&settings.cpus, at_s)?,
            read: totals.read,
            acked: totals.acked,
            pongs: totals.pongs,
        })
    }

    /// Takes a sample, if it is time for one. One that cannot be taken is missing.
    fn sample(&mut self) {
        if !self.series.is_due(self.crew.stage.now_ns()) {
            return;
        }
        let settings = &self.crew.settings;
        if let (Ok(meters), Ok(rss)) = (self.meters(), self.rss()) {
            self.series.take(meters, rss, settings.server_cpus.len(), settings.cpus.len());
        }
    }

    /// Says at once what was done. Progress goes on below it.
    fn say(&mut self, line: &str) {
        let seconds = self.crew.stage.now_ns() as f64 / 1e9;
        let clear = if self.shown.terminal { "\r\x1b[K" } else { "" };
        // As for progress: what cannot be shown is no reason to end a run.
        let _ = writeln!(std::io::stderr(), "{clear}[{seconds:.0} s] {line}");
    }

    /// A progress line, once per second. The text is given the totals, and acks and deliveries per second.
    fn show(&mut self, text: impl FnOnce(&Totals, [f64; 2]) -> String) {
        let since = *self.shown.at.get_or_insert_with(Instant::now);
        let elapsed_s = since.elapsed().as_secs_f64();
        if elapsed_s < 1.0 {
            return;
        }
        let totals = self.crew.stage.totals();
        let rate = |now: u64, before: u64| (now - before) as f64 / elapsed_s;
        let rates = [rate(totals.acked, self.shown.totals.acked), rate(totals.read, self.shown.totals.read)];
        let line = text(&totals, rates);
        let mut stderr = std::io::stderr();
        // Progress that cannot be shown is no reason to end a run.
        let _ = if self.shown.terminal { write!(stderr, "\r\x1b[K{line}") } else { writeln!(stderr, "{line}") };
        self.shown.at = Some(Instant::now());
        self.shown.totals = totals;
    }
}
