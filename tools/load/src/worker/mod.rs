//! A worker: one pinned thread, one ring, its share of the connections.
//!
//! One turn, like the server's: take what the kernel finished, read the frames in place, let the books decide what may be sent, one
//! send for each connection with something to send, sleep until there is more.

mod cold;
mod connection;
mod fill;
mod intake;
mod own;
mod peer;
mod publish;
mod recent;
mod rounds;
mod schedule;
mod setup;
mod socket;
mod traffic;
mod verify;

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use campanile::ring::{Completion, Ring, RingSize, SEGMENTS_MAX, Segments, Slot};
use campanile::wire::schema::{Ping, PingArgs};
use rustix::io::Errno;

use crate::account::{Board, Ledger, RandomPeers, Supply, Tally, Timeline};
use crate::dress::{Dress, Inbound, Target};
use crate::error::Failure;
use crate::machine;
use crate::options::Settings;
use crate::scenario::{Fill, Plan, Role};
use crate::stage::{Stage, Step};
use cold::ColdReads;
use connection::{Connection, Outgoing, State};
use fill::Receipts;
use own::OwnWatch;
use recent::Recent;
use schedule::Schedule;
use verify::ReadBack;

/// Receive buffers of a ring. The kernel runs few receives at a time, so a small, cache-hot pool is enough; when it runs out, the
/// receives that ended are armed again.
const BUFFERS: u16 = 512;
/// Bytes of each: sixteen messages of the usual size.
const BUFFER_BYTES: usize = 4096;
/// Completions that may wait in a ring.
const COMPLETIONS: u32 = 16 * 1024;
/// Longest sleep: the steps of the run and the pings are looked at this often.
const SLEEP_MAX_NS: u64 = 5_000_000;
/// A part of the connections is looked at for pings this often, so a second sees them all. Small parts: those that logged in together ping together, and what a
/// server does with a thousand pings at once is felt by all others.
const SWEEP_NS: u64 = SLEEP_MAX_NS;
const SWEEPS: usize = (1_000_000_000 / SWEEP_NS) as usize;

/// What all workers share.
pub struct Crew {
    /// Who does what.
    pub plan: Plan,
    /// The options.
    pub settings: Settings,
    /// The server.
    pub target: Target,
    /// Steps and progress.
    pub stage: Stage,
    /// What is outstanding.
    pub board: Board,
    /// What each worker measured in the round that has just ended.
    pub rounds: Mutex<Vec<Tally>>,
    /// What was acknowledged, handed in by each worker for `--verify`.
    pub ledgers: Mutex<Vec<Ledger>>,
    /// The same put together.
    pub ledger: OnceLock<Ledger>,
    /// How to tell a worker that a message of its publisher is finished.
    pub posts: Vec<Post>,
}

impl Crew {
    /// What makes the key of a connection's request for a WebSocket.
    fn key_seed(&self, index: u32) -> u64 {
        u64::from(self.plan.run) << 32 | u64::from(index)
    }
}

/// A way to a worker: needed once per message whose last delivery was read by another worker.
pub struct Post {
    /// The message.
    pub letters: Sender<Finished>,
    /// Wakes the worker.
    pub bell: OwnedFd,
}

/// A message all of whose deliveries were read.
pub struct Finished {
    /// The publishing connection, by the worker's own number.
    pub local: u32,
    /// Its place in the window.
    pub place: u32,
}

/// The thread's state; the ring stands beside it, so that received bytes can be read while this changes.
pub struct Worker<'a> {
    crew: &'a Crew,
    id: u32,
    letters: Receiver<Finished>,
    connections: Vec<Connection>,
    outgoing: Outgoing,
    inbound: Inbound,
    /// Body of the next publish; the front is the header.
    body: Vec<u8>,
    /// Id of the conversation that it goes to, where each goes elsewhere.
    name: String,
    recent: Recent,
    tally: Tally,
    /// Known from [`Step::Run`] on.
    measured: Range<u64>,

    /// To be made, in the order of their numbers.
    to_make: VecDeque<u32>,
    /// To be made again, or to ask again, when their time has come.
    again: Vec<u32>,
    /// Members that have not asked to join.
    to_join: VecDeque<u32>,
    /// Logins or joins under way.
    under_way: usize,
    logged_in: u64,
    created: u64,
    joined: u64,

    /// Connections that publish.
    publishers: Vec<u32>,
    /// Those that may have something to send.
    ready: Vec<u32>,
    /// Those that the server asked to wait.
    held: Vec<u32>,
    schedule: Option<Schedule>,
    /// When sessions ping, if that is measured.
    beats: Option<Schedule>,
    publishing: Publishing,

    fill_begun: bool,
    receipts_begun: bool,
    receipts: HashMap<u32, Receipts>,
    receipts_done: u64,
    cold: ColdReads,
    traffic: traffic::Traffic,
    caught_up: u64,

    /// For `--verify`, until it is handed in.
    ledger: Option<Ledger>,
    handed_in: u64,
    read_back: ReadBack,
    own: OwnWatch,
    /// The round in which it publishes, and how many it has handed in.
    round: u32,
    rounds: u32,
    /// Acks at the end of the last turn.
    noted_acks: u64,
    heartbeat_ms: u64,
    sweep_at_ns: u64,
    sweep_next: usize,
    failure: Option<Failure>,
}

/// How far publishing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publishing {
    NotYet,
    Going,
    Over,
}

/// Runs worker `id` on its CPU until the conductor stops it.
///
/// # Errors
/// What ends the run.
pub fn run(crew: &Crew, id: u32, letters: Receiver<Finished>) -> Result<Tally, Failure> {
    let cpus = &crew.settings.cpus;
    machine::pin(cpus[id as usize % cpus.len()])?;
    // A message of the open loop leaves when it is due, not when it is convenient. Refused, it leaves up to 50 us later.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut worker = Worker::new(crew, id, letters);
    let size = RingSize {
        slots: worker.connections.len().max(1) as u32,
        buffers: BUFFERS,
        buffer_bytes: BUFFER_BYTES,
        completions: COMPLETIONS,
    };
    let mut ring = Ring::new(size).map_err(|e| Failure::Kernel("io_uring cannot be set up", e))?;
    ring.listen_to_bell(&crew.posts[id as usize].bell).map_err(|e| Failure::Kernel("the doorbell cannot be duplicated", e))?;
    worker.turns(&mut ring)
}

impl<'a> Worker<'a> {
    fn new(crew: &'a Crew, id: u32, letters: Receiver<Finished>) -> Worker<'a> {
        let plan = &crew.plan;
        let mut connections: Vec<Connection> = plan.carried_by(id).into_iter().map(|index| connection(plan, index)).collect();
        traffic::attend(plan, id, &mut connections);
        let locals = 0..connections.len() as u32;
        Worker {
            crew,
            id,
            letters,
            outgoing: Outgoing::new(crew.target.dress, u64::from(plan.run) << 16 | u64::from(id)),
            inbound: Inbound::new(crew.target.dress),
            body: vec![0x2e; crew.settings.payload_bytes],
            name: String::new(),
            recent: Recent::default(),
            tally: Tally { timeline: Timeline::new(crew.settings.slice_ns()), ..Tally::default() },
            measured: u64::MAX..u64::MAX,
            to_make: locals.clone().collect(),
            again: Vec::new(),
            to_join: locals.clone().filter(|l| connections[*l as usize].role == Role::Member).collect(),
            under_way: 0,
            logged_in: 0,
            created: 0,
            joined: 0,
            publishers: locals.filter(|l| plan.publishes(connections[*l as usize].index)).collect(),
            ready: Vec::new(),
            held: Vec::new(),
            schedule: None,
            beats: None,
            publishing: Publishing::NotYet,
            fill_begun: false,
            receipts_begun: false,
            receipts: HashMap::new(),
            receipts_done: 0,
            cold: ColdReads::default(),
            traffic: traffic::Traffic::new(plan, id),
            caught_up: 0,
            ledger: crew.settings.verify_places.map(|places| Ledger::new(places / plan.workers as usize)),
            handed_in: 0,
            read_back: ReadBack::default(),
            own: OwnWatch::default(),
            round: 0,
            rounds: 0,
            noted_acks: 0,
            heartbeat_ms: u64::MAX,
            sweep_at_ns: 0,
            sweep_next: 0,
            failure: None,
            connections,
        }
    }

    fn turns(&mut self, ring: &mut Ring) -> Result<Tally, Failure> {
        let mut completions = Vec::new();
        loop {
            ring.enter(self.sleep()).map_err(|e| Failure::Kernel("io_uring_enter", e))?;
            if self.publishing == Publishing::NotYet {
                // Before anything is read: another worker may have published already.
                self.measured = self.crew.stage.measured();
            }
            ring.drain(&mut completions);
            for completion in completions.drain(..) {
                self.completed(ring, completion);
            }
            self.take_letters();
            if self.step(ring) == Step::Stop {
                return Ok(std::mem::take(&mut self.tally));
            }
            self.keep_alive();
            self.flush(ring);
            self.note_acks();
            if self.publishing != Publishing::NotYet
                && let Some(own) = self.own.look(self.crew.stage.now_ns(), &self.measured)
            {
                self.tally.own = self.tally.own.max(own);
            }
            self.tell();
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
        }
    }

    /// How long to wait for the kernel; not at all if something is due.
    fn sleep(&self) -> Option<Duration> {
        let now = self.crew.stage.now_ns();
        if self.may_make() {
            return None;
        }
        let due = self.publishing_due_ns(now).into_iter().chain(self.traffic_due_ns()).min().unwrap_or(u64::MAX);
        let sleep_ns = due.saturating_sub(now).min(SLEEP_MAX_NS);
        (sleep_ns > 0).then(|| Duration::from_nanos(sleep_ns))
    }

    fn step(&mut self, ring: &mut Ring) -> Step {
        let step = self.crew.stage.step();
        let is_traffic = self.crew.plan.traffic().is_some();
        match step {
            Step::LogIn => self.log_in(ring),
            Step::Create if is_traffic => self.found_groups(),
            Step::Create => self.create(),
            Step::Join if is_traffic => self.join_all(),
            Step::Join => self.join(),
            Step::Run | Step::Drain if is_traffic => self.converse(ring),
            Step::Run | Step::Drain => self.publish(),
            Step::Fill => self.fill(),
            Step::Receipts => self.send_receipts(),
            Step::Read => self.read_cold(),
            Step::Count => self.count_round(),
            Step::HandIn => self.hand_in(),
            Step::ReadBack => self.read_back(),
            Step::Stop => {
                self.tally.unsent = self.unsent();
                self.tally.traffic.holes = self.holes();
                [self.tally.traffic.visits_missing, self.tally.traffic.visits_cut_off] = self.visits_missing();
                self.tally.traffic.away = self.traffic.away;
            }
        }
        step
    }

    fn completed(&mut self, ring: &mut Ring, completion: Completion) {
        match completion {
            Completion::Received { slot, result, more } => {
                match result {
                    Ok(Some((id, length))) => {
                        // What came for one that was dropped meanwhile is lost.
                        if self.connections[slot.0 as usize].is_open() {
                            self.take_bytes(slot.0, ring.received(id, length));
                        }
                        ring.give_back(id);
                    }
                    Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {}
                    Ok(None) | Err(_) => self.end(ring, slot.0),
                }
                if !more {
                    self.receive_ended(ring, slot);
                }
            }
            Completion::Sent { slot, segments, result } => self.sent(ring, slot, &segments, result.ok()),
            Completion::Closed { slot } => self.closed(slot.0),
            Completion::ShutDown { slot } => {
                self.connections[slot.0 as usize].shutting = false;
                self.close_if_quiet(ring, slot.0);
            }
            // Accepting, handing off and installing are the server's business.
            _ => {}
        }
    }

    fn receive_ended(&mut self, ring: &mut Ring, slot: Slot) {
        let connection = &mut self.connections[slot.0 as usize];
        connection.receiving = connection.is_open();
        if connection.receiving {
            ring.receive(slot);
        } else {
            self.close_if_quiet(ring, slot.0);
        }
    }

    fn sent(&mut self, ring: &mut Ring, slot: Slot, segments: &Segments, bytes: Option<usize>) {
        let connection = &mut self.connections[slot.0 as usize];
        connection.sending = false;
        let wanted: usize = segments.iter().map(|s| s.len()).sum();
        if bytes != Some(wanted) {
            self.end(ring, slot.0);
        } else if connection.is_open() && !connection.queue.is_empty() {
            self.outgoing.mark(connection, slot.0);
        }
        self.close_if_quiet(ring, slot.0);
    }

    /// Ends a connection, from whichever side it came.
    fn end(&mut self, ring: &mut Ring, local: u32) {
        let connection = &mut self.connections[local as usize];
        if !connection.is_open() {
            return;
        }
        let before = std::mem::replace(&mut connection.state, State::Ending);
        connection.queue.clear();
        connection.partial = Vec::new();
        connection.shutting = true;
        ring.shut_down(Slot(local), std::net::Shutdown::Both);
        self.ended_in(local, before);
    }

    /// Frees the slot once the kernel has nothing more to say about it.
    fn close_if_quiet(&mut self, ring: &mut Ring, local: u32) {
        let connection = &mut self.connections[local as usize];
        if connection.state == State::Ending && !connection.sending && !connection.receiving && !connection.shutting {
            connection.state = State::Ended;
            ring.close(Slot(local));
        }
    }

    /// Sends pings where nothing else was sent for half the heartbeat. Where pings are measured, they keep alive as well.
    fn keep_alive(&mut self) {
        let now = self.crew.stage.now_ns();
        if now < self.sweep_at_ns || self.beats.is_some() {
            return;
        }
        self.sweep_at_ns = now + SWEEP_NS;
        let now_ms = now / 1_000_000;
        for _ in 0..self.connections.len().div_ceil(SWEEPS) {
            let local = self.sweep_next;
            self.sweep_next = (self.sweep_next + 1) % self.connections.len();
            if now_ms.saturating_sub(self.connections[local].last_sent_ms) >= self.heartbeat_ms / 2 {
                self.ping(local as u32);
            }
        }
    }

    /// Sends a ping, if there is a session to keep alive.
    fn ping(&mut self, local: u32) {
        let connection = &mut self.connections[local as usize];
        if !connection.is_logged_in() {
            return;
        }
        self.tally.pings += 1;
        match self.crew.target.dress {
            Dress::Peer(peer) => self.ping_peer(local, peer),
            _ => self.outgoing.frame(connection, local, 0, |b| Ping::create(b, &PingArgs {})),
        }
    }

    fn flush(&mut self, ring: &mut Ring) {
        let dirty = self.outgoing.seal();
        if dirty.is_empty() {
            return;
        }
        let now_ms = self.crew.stage.now_ns() / 1_000_000;
        for local in &dirty {
            let connection = &mut self.connections[*local as usize];
            connection.dirty = false;
            if connection.sending || !connection.is_open() || connection.queue.is_empty() {
                continue;
            }
            let count = connection.queue.len().min(SEGMENTS_MAX);
            ring.send(Slot(*local), connection.queue.drain(..count).collect());
            connection.sending = true;
            connection.last_sent_ms = now_ms;
        }
        self.outgoing.recycle(dirty);
    }

    /// For the longest time without any ack.
    fn note_acks(&mut self) {
        let acked = self.tally.acked;
        if std::mem::replace(&mut self.noted_acks, acked) != acked {
            let stage = &self.crew.stage;
            self.tally.stall_ns = self.tally.stall_ns.max(stage.acks_read(stage.now_ns()));
        }
    }

    /// Shows the others how far this worker is.
    fn tell(&self) {
        let block = &self.crew.stage.blocks[self.id as usize];
        let tally = &self.tally;
        block.logged_in.store(self.logged_in, Relaxed);
        let [founded, joined] = self.traffic.answered();
        block.created.store(self.created + founded, Relaxed);
        block.joined.store(self.joined + joined, Relaxed);
        block.begun.store(self.traffic.begun, Relaxed);
        block.records.store(tally.records, Relaxed);
        block.returned.store(tally.traffic.returned, Relaxed);
        block.pending.store(self.traffic.pending(), Relaxed);
        block.attempts.store(tally.attempts, Relaxed);
        block.refused.store(tally.refused, Relaxed);
        block.acked.store(tally.acked, Relaxed);
        if block.read.load(Relaxed) != tally.read {
            // The time first: who sees the number sees when it was.
            block.read_at_ns.store(self.crew.stage.now_ns(), Relaxed);
            block.read.store(tally.read, Release);
        }
        // Those that only keep sessions alive are no progress.
        if self.crew.settings.heartbeat.is_some() {
            block.pings.store(tally.pings, Relaxed);
            block.pongs.store(tally.pongs, Relaxed);
        }
        block.expected.store(tally.expected, Relaxed);
        block.receipts.store(self.receipts_done, Relaxed);
        block.pages.store(self.cold.done, Relaxed);
        block.caught_up.store(self.caught_up, Relaxed);
        block.rounds.store(u64::from(self.rounds), Relaxed);
        block.handed_in.store(self.handed_in, Relaxed);
        block.readings.store(tally.verified.readings, Relaxed);
        block.read_back.store(self.read_back.messages, Relaxed);
        let troubles = tally.disconnects + tally.errors.values().sum::<u64>() + tally.goaways.values().sum::<u64>();
        block.troubles.store(troubles, Relaxed);
    }
}

fn connection(plan: &Plan, index: u32) -> Connection {
    let conversation = plan.conversation_id(index).map(Into::into);
    let mut connection = Connection::new(index, plan.role(index), plan.source(index), conversation);
    if connection.role == Role::Anyone {
        connection.peers = Some(Box::new(RandomPeers::new(plan.run, index, plan.connections)));
    }
    if let Some(stock) = plan.stock().filter(|_| connection.role == Role::Filler) {
        connection.supply = Some(Box::new(Supply::new(Fill::new(stock, index, plan.publishers()))));
    }
    connection
}
