//! The main thread of a run: it starts the workers, leads them through the steps, and reads the server's meters in between.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::account::{Board, Pace, Tally, Verified};
use crate::error::Failure;
use crate::machine;
use crate::minutes::Minutes;
use crate::options::{Settings, check_descriptors};
use crate::scenario::{Kind, Plan};
use crate::stage::{PATIENCE, Stage, Step, Totals};
use crate::worker::{self, Crew, Post};

/// How often a step is looked at to see whether it is over.
const LOOK: Duration = Duration::from_millis(5);
/// Rest before memory is read, so that the server has finished what logins leave behind.
const REST: Duration = Duration::from_secs(1);
/// Between telling the workers when to begin and that time.
const LEAD_NS: u64 = 20_000_000;

/// The server's meters at one moment. CPU in seconds since some moment before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meters {
    /// When, in ns of the stage.
    pub at_ns: u64,
    /// Busy time of the server's cores.
    pub server_cores_s: Option<f64>,
    /// CPU of the server's process.
    pub server_process_s: Option<f64>,
    /// Busy time of this program's cores.
    pub own_cores_s: f64,
    /// Deliveries read so far.
    pub read: u64,
    /// Acks so far.
    pub acked: u64,
}

/// Memory of the server's process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Before the first connection.
    pub start: Option<u64>,
    /// With the first sessions logged in, and how many they were. Only where asked for.
    pub part: Option<(u32, u64)>,
    /// With all sessions logged in.
    pub all: Option<u64>,
    /// At the end of the measured time.
    pub end: Option<u64>,
}

/// What a run gave.
pub struct Outcome {
    /// What was played.
    pub plan: Plan,
    /// Of all workers.
    pub tally: Tally,
    /// At the beginning and at the end of the measured time.
    pub meters: [Meters; 2],
    /// Of the server.
    pub memory: Memory,
    /// What reading back found, if that was wanted.
    pub verified: Option<Verified>,
    /// Acks per second in each minute of the measured time; the last one may be shorter.
    pub acks_per_s_by_minute: Vec<f64>,
    /// Longest part of the measured time without any ack.
    pub stall_ns: u64,
    /// Sessions logged in per second.
    pub logins_per_s: f64,
    /// Whether draining ended because nothing came any more.
    pub drain_gave_up: bool,
}

/// What is watched of the server.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Where it is.
    pub target: SocketAddr,
    /// Its process.
    pub pid: Option<u32>,
}

/// Plays a plan. `start_connections`: memory is read there too.
///
/// # Errors
/// What kept it from having a result.
pub fn conduct(plan: Plan, settings: &Settings, server: Watched, start_connections: Option<u32>) -> Result<Outcome, Failure> {
    check_descriptors(plan.connections, plan.workers)?;
    if let Some(cpu) = settings.cpus.first() {
        machine::pin(*cpu)?;
    }
    let (crew, letters) = crew(plan, settings, server.target)?;
    let crew = &crew;
    thread::scope(|scope| {
        let mut conductor = Conductor {
            crew,
            server,
            workers: Vec::new(),
            memory: Memory::default(),
            minutes: Minutes::default(),
            stall_ns: 0,
            shown: Shown::default(),
        };
        conductor.memory.start = conductor.rss()?;
        for (id, letters) in letters.into_iter().enumerate() {
            conductor.workers.push(scope.spawn(move || worker::run(crew, id as u32, letters)));
        }
        let result = conductor.play(start_connections);
        crew.stage.go_to(Step::Stop);
        let tally = conductor.gather()?;
        let (meters, logins_per_s, drain_gave_up) = result?;
        let verified = crew.ledger.get().map(|ledger| Verified {
            acked: ledger.acked(),
            unchecked: ledger.unchecked,
            same_place: ledger.same_place,
            ..tally.verified.clone()
        });
        Ok(Outcome {
            plan: crew.plan.clone(),
            verified,
            meters,
            memory: conductor.memory,
            acks_per_s_by_minute: conductor.minutes.rates(),
            stall_ns: tally.stall_ns.max(conductor.stall_ns),
            logins_per_s,
            drain_gave_up,
            tally,
        })
    })
}

type Letters = Vec<mpsc::Receiver<worker::Finished>>;

fn crew(plan: Plan, settings: &Settings, target: SocketAddr) -> Result<(Crew, Letters), Failure> {
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
    let (ledgers, ledger) = (Mutex::default(), OnceLock::new());
    Ok((Crew { plan, settings: settings.clone(), target, stage, board, ledgers, ledger, posts }, all_letters))
}

struct Conductor<'scope, 'a> {
    crew: &'a Crew,
    server: Watched,
    workers: Vec<ScopedJoinHandle<'scope, Result<Tally, Failure>>>,
    memory: Memory,
    minutes: Minutes,
    /// Without an ack at the end of the measured time.
    stall_ns: u64,
    shown: Shown,
}

/// What the last progress line showed.
#[derive(Default)]
struct Shown {
    at: Option<Instant>,
    totals: Totals,
    terminal: bool,
}

impl Conductor<'_, '_> {
    fn play(&mut self, start_connections: Option<u32>) -> Result<([Meters; 2], f64, bool), Failure> {
        self.shown.terminal = std::io::stderr().is_terminal();
        let logins_per_s = self.log_in(start_connections)?;
        self.set_up_group()?;
        let meters = self.measure()?;
        let drain_gave_up = self.drain()?;
        if self.crew.settings.verify_places.is_some() {
            self.read_back()?;
        }
        if self.shown.terminal {
            eprintln!();
        }
        Ok((meters, logins_per_s, drain_gave_up))
    }

    fn log_in(&mut self, start_connections: Option<u32>) -> Result<f64, Failure> {
        let all = self.crew.plan.connections;
        let mut logged_in = 0;
        let mut took = Duration::ZERO;
        for until in start_connections.into_iter().chain([all]) {
            let begin = Instant::now();
            self.crew.stage.allow_log_in_until(until);
            self.wait("logging in", u64::from(until), |t| t.logged_in)?;
            took += begin.elapsed();
            logged_in += until - logged_in;
            if self.server.pid.is_some() {
                thread::sleep(REST);
            }
            let rss = self.rss()?;
            if until < all {
                self.memory.part = rss.map(|bytes| (until, bytes));
            } else {
                self.memory.all = rss;
            }
        }
        Ok(f64::from(logged_in) / took.as_secs_f64())
    }

    fn set_up_group(&mut self) -> Result<(), Failure> {
        if let Kind::Group(_) = self.crew.plan.kind {
            self.crew.stage.go_to(Step::Create);
            self.wait("creating the group", 1, |t| t.created)?;
            self.crew.stage.go_to(Step::Join);
            self.wait("joining the group", u64::from(self.crew.plan.joins()), |t| t.joined)?;
        }
        Ok(())
    }

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
            if last.0.elapsed() > PATIENCE || self.a_worker_ended() {
                return Err(Failure::Stuck { step, done: now_done, wanted });
            }
            thread::sleep(LOOK);
        }
    }

    fn measure(&mut self) -> Result<[Meters; 2], Failure> {
        let stage = &self.crew.stage;
        let settings = &self.crew.settings;
        let from = stage.now_ns() + LEAD_NS;
        let begin = from + settings.warmup.as_nanos() as u64;
        let end = begin + settings.duration.as_nanos() as u64;
        stage.schedule(from, begin..end);
        stage.go_to(Step::Run);
        self.sleep_until(begin, "warming up");
        let first = self.meters()?;
        self.minutes = Minutes::from(begin, first.acked);
        self.sleep_until(end, "measuring");
        let last = self.meters()?;
        self.minutes.end(last.at_ns, last.acked);
        self.stall_ns = self.crew.stage.without_ack_ns();
        self.memory.end = self.rss()?;
        Ok([first, last])
    }

    fn sleep_until(&mut self, until_ns: u64, step: &'static str) {
        while !self.a_worker_ended() {
            let left = until_ns.saturating_sub(self.crew.stage.now_ns());
            if left == 0 {
                return;
            }
            thread::sleep(Duration::from_nanos(left).min(Duration::from_millis(100)));
            self.minutes.look(self.crew.stage.now_ns(), self.crew.stage.totals().acked);
            let left_s = Duration::from_nanos(left).as_secs_f64();
            self.show(|totals, rates| {
                format!(
                    "{step}, {left_s:.0} s left: {:.0} acks/s, {:.0} deliveries/s, {} troubles",
                    rates[0], rates[1], totals.troubles
                )
            });
        }
    }

    /// Waits until all is read. True if it gave up.
    fn drain(&mut self) -> Result<bool, Failure> {
        self.crew.stage.go_to(Step::Drain);
        // Each worker takes a turn within its longest sleep and sees that the time is over; only then do the totals stand still.
        thread::sleep(4 * LOOK);
        let fan_out = u64::from(self.crew.plan.fan_out());
        let mut last = (Instant::now(), self.crew.stage.totals());
        while !self.a_worker_ended() {
            let totals = self.crew.stage.totals();
            if totals.is_settled(fan_out) {
                return Ok(false);
            }
            if totals != last.1 {
                last = (Instant::now(), totals);
            }
            if last.0.elapsed() > self.crew.settings.drain {
                return Ok(true);
            }
            self.show(|_, _| "draining".to_owned());
            thread::sleep(LOOK);
        }
        Ok(true)
    }

    /// What was acknowledged is looked for.
    fn read_back(&mut self) -> Result<(), Failure> {
        let (stage, plan) = (&self.crew.stage, &self.crew.plan);
        stage.go_to(Step::HandIn);
        self.wait("handing in what was acknowledged", u64::from(plan.workers), |t| t.handed_in)?;
        let ledgers = std::mem::take(&mut *self.crew.ledgers.lock().expect("workers have handed in"));
        let ledger = ledgers.into_iter().reduce(|mut sum, ledger| {
            sum.merge(ledger);
            sum
        });
        let ledger = self.crew.ledger.get_or_init(|| ledger.unwrap_or_default());
        let readings: usize = ledger.logs().into_iter().map(|log| plan.readers(log).len()).sum();
        stage.go_to(Step::ReadBack);
        self.wait_while_moving("reading back", readings as u64, |t| t.readings, |t| t.read_back)
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
        self.server.pid.map(machine::rss_bytes).transpose()
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
            server_process_s: self.server.pid.map(machine::process_s).transpose()?,
            own_cores_s: machine::busy_s(&settings.cpus, at_s)?,
            read: totals.read,
            acked: totals.acked,
        })
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
