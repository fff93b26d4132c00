//! `nats-floor`: how many messages per second a NATS JetStream file stream acknowledges, from the same number of connections with the same
//! bodies and as many outstanding as a run of `direct`.
//!
//! The server does less than Campanile in that run: it stores and acknowledges, and delivers to nobody. One thread for each of this program's
//! CPUs, a plain epoll loop over its connections.

mod stream;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use serde::Serialize;

use crate::account::Latencies;
use crate::conduct::{Meters, Minutes, Spent};
use crate::error::Failure;
use crate::machine::{self, Facts};
use crate::peers::nats::{Said, is_stored, next, publish};
use crate::report::{Latency, Table, latency};
use crate::stage::Stage;
pub use stream::{Storage, make_stream};
use stream::{hello, nonsense};

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;
/// Longest sleep of a thread, so that it sees the end of the run.
const SLEEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The options.
#[derive(Clone, Debug, Args)]
pub struct NatsOptions {
    /// Where nats-server listens, with JetStream.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
    pub target: String,
    /// Connections that publish.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub connections: u32,
    /// Messages that each has outstanding.
    #[arg(long, value_name = "W", default_value_t = 64)]
    pub window: u32,
    /// Body of each message, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub payload: usize,
    /// Subjects of the stream, to which messages go in turn; 1 is the cheapest for the server.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub subjects: u32,
    /// Seconds that are measured.
    #[arg(long, visible_alias = "duration", value_name = "S", default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds before that, at the same load, that are not.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub warmup: f64,
    /// CPUs of this program, one pinned thread each.
    #[arg(long, value_name = "LIST", default_value = "0")]
    pub cpus: String,
    /// The server's process, for its CPU.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Writes all figures to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<std::path::PathBuf>,
}

/// What a run gave.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct NatsFigures {
    pub scenario: &'static str,
    pub connections: u32,
    pub window: u32,
    pub payload_bytes: usize,
    pub subjects: u32,
    pub duration_s: f64,
    pub acked: u64,
    pub refused: u64,
    pub acks_per_s: f64,
    pub acks_per_s_by_minute: Vec<f64>,
    pub longest_stall_ms: f64,
    pub ack_latency_us: Latency,
    /// CPU time of the server's process, as a share of one core.
    pub server_process_cpu: Option<f64>,
    pub client_cpu_busy: f64,
    pub machine: Facts,
    pub command: Vec<String>,
}

/// Runs it and prints the report. Says whether every answer said "stored".
///
/// # Errors
/// The server cannot be reached, or refused the stream.
pub fn run(options: &NatsOptions) -> Result<bool, Failure> {
    let cpus = crate::options::cpu_list(&options.cpus)?;
    check(options)?;
    let target = crate::options::address(&options.target)
        .map_err(|why| Failure::Option(format!("--target {}: {why}; write HOST:PORT", options.target)))?;
    let broken = move |cause| Failure::Connect { target, cause };
    make_stream(target, "floor.*", Storage::File).map_err(broken)?;
    let stage = Arc::new(Stage::new(cpus.len() as u32));
    let mut threads = Vec::new();
    for (number, cpu) in cpus.iter().copied().enumerate() {
        let own = (0..options.connections).filter(|c| *c as usize % cpus.len() == number);
        let connections: io::Result<Vec<Peer>> = own.map(|id| Peer::connect(target, id, options)).collect();
        let publisher = Publisher::new(connections.map_err(broken)?, stage.clone(), number, options).map_err(broken)?;
        threads.push(thread::spawn(move || machine::pin(cpu).and_then(|()| publisher.run().map_err(broken))));
    }
    let began = stage.now_ns();
    let begin = began + (options.warmup * 1e9) as u64;
    stage.schedule(began, begin..begin + (options.seconds * 1e9) as u64);
    let outcome = watch(&stage, &cpus, options.server_pid)?;
    let mut sum = Counts::default();
    for thread in threads {
        sum.add(&thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    let figures = figures(options, &stage, outcome, &sum, cpus.len());
    print!("{}", table(&figures).text());
    options.json.as_ref().map_or(Ok(()), |path| crate::report::write_json(&figures, path))?;
    Ok(sum.refused == 0 && figures.acked > 0)
}

fn check(options: &NatsOptions) -> Result<(), Failure> {
    let no = |sentence: &str| Err(Failure::Option(sentence.to_owned()));
    match options {
        NatsOptions { connections: 0, .. } => no("--connections: at least 1"),
        NatsOptions { window: 0, .. } => no("--window: at least 1"),
        NatsOptions { subjects: 0, .. } => no("--subjects: at least 1"),
        o if !(o.seconds > 0.0 && o.seconds <= 86_400.0) => no("--seconds: more than 0 and at most 86400"),
        o if !(o.warmup >= 0.0 && o.warmup <= 3600.0) => no("--warmup: 0 to 3600"),
        _ => Ok(()),
    }
}

/// Waits until the measured time is over and looks at the meters at both of its ends.
fn watch(stage: &Stage, cpus: &[usize], server: Option<u32>) -> Result<(Minutes, Spent), Failure> {
    let sleep_until = |at: u64| thread::sleep(Duration::from_nanos(at.saturating_sub(stage.now_ns())));
    let meters = || -> Result<Meters, Failure> {
        let at_ns = stage.now_ns();
        let own_cores_s = machine::busy_s(cpus, at_ns as f64 / 1e9)?;
        let server_process_s = server.map(machine::process_s).transpose()?;
        Ok(Meters { at_ns, acked: stage.totals().acked, server_process_s, own_cores_s, ..Meters::default() })
    };
    sleep_until(stage.measured().start);
    let first = meters()?;
    let mut minutes = Minutes::from(first.at_ns, first.acked);
    while stage.now_ns() < stage.measured().end {
        minutes.look(stage.now_ns(), stage.totals().acked);
        sleep_until(stage.measured().end.min(stage.now_ns() + 100_000_000));
    }
    let last = meters()?;
    minutes.end(last.at_ns, last.acked);
    Ok((minutes, last.since(&first)))
}

fn figures(options: &NatsOptions, stage: &Stage, (minutes, spent): (Minutes, Spent), sum: &Counts, cpus: usize) -> NatsFigures {
    NatsFigures {
        scenario: "nats-floor",
        connections: options.connections,
        window: options.window,
        payload_bytes: options.payload,
        subjects: options.subjects,
        duration_s: spent.seconds,
        acked: spent.acked,
        refused: sum.refused,
        acks_per_s: spent.per_s(spent.acked),
        acks_per_s_by_minute: minutes.rates(),
        longest_stall_ms: sum.stall_ns.max(stage.without_ack_ns()) as f64 / 1e6,
        ack_latency_us: Latency::from(&sum.latency),
        server_process_cpu: spent.server_process_s.map(|s| spent.share(s, 1)),
        client_cpu_busy: spent.share(spent.own_cores_s, cpus),
        machine: machine::facts(),
        command: std::env::args().collect(),
    }
}

fn table(f: &NatsFigures) -> Table {
    let mut t = Table::default();
    let load = format!("{} connections, window {}, {} bytes, {} subjects", f.connections, f.window, f.payload_bytes, f.subjects);
    t.row("scenario", &format!("nats-floor: {load}, {:.1} s", f.duration_s));
    t.row("acked", &format!("{}   ({:.0} acks per second)", f.acked, f.acks_per_s));
    t.row("ack latency, us", &latency(&f.ack_latency_us));
    t.row("longest without an ack", &format!("{:.1} ms", f.longest_stall_ms));
    t.optional("server process", f.server_process_cpu.map(|share| format!("{:.1} % of a core", share * 100.0)));
    t.row("client CPU", &format!("{:.0} %", f.client_cpu_busy * 100.0));
    t.minutes(&f.acks_per_s_by_minute);
    t.counts(&[("not stored", f.refused)]);
    t
}

/// What a thread counted.
#[derive(Default)]
struct Counts {
    acked: u64,
    refused: u64,
    stall_ns: u64,
    /// Publish to ack, of what was published in the measured time.
    latency: Latencies,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.acked += other.acked;
        self.refused += other.refused;
        self.stall_ns = self.stall_ns.max(other.stall_ns);
        self.latency.add(&other.latency);
    }
}

/// One connection.
struct Peer {
    stream: TcpStream,
    id: u32,
    input: Vec<u8>,
    output: Vec<u8>,
    /// When the message in each place of the window was published; 0: the place is free.
    places: Vec<u64>,
    free: Vec<u32>,
    next_subject: u32,
    /// The kernel takes no more just now.
    is_full: bool,
}

impl Peer {
    fn connect(target: SocketAddr, id: u32, options: &NatsOptions) -> io::Result<Peer> {
        let stream = hello(target)?;
        (&stream).write_all(format!("SUB _INBOX.{id}.* 1\r\n").as_bytes())?;
        stream.set_nonblocking(true)?;
        let places = vec![0; options.window as usize];
        let free = (0..options.window).rev().collect();
        let next_subject = id % options.subjects;
        Ok(Peer { stream, id, input: Vec::new(), output: Vec::new(), places, free, next_subject, is_full: false })
    }
}

/// One thread with its connections.
struct Publisher {
    peers: Vec<Peer>,
    epoll: rustix::fd::OwnedFd,
    stage: Arc<Stage>,
    number: usize,
    subjects: u32,
    body: Vec<u8>,
    counts: Counts,
}

impl Publisher {
    fn new(peers: Vec<Peer>, stage: Arc<Stage>, number: usize, options: &NatsOptions) -> io::Result<Publisher> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (at, peer) in (0..).zip(&peers) {
            epoll::add(&epoll, &peer.stream, epoll::EventData::new_u64(at), epoll::EventFlags::IN)?;
        }
        let body = vec![0x2e; options.payload];
        Ok(Publisher { peers, epoll, stage, number, subjects: options.subjects, body, counts: Counts::default() })
    }

    /// Publishes until the measured time is over. What is outstanding then is nobody's.
    fn run(mut self) -> io::Result<Counts> {
        let mut events = Vec::with_capacity(256);
        (0..self.peers.len()).try_for_each(|at| self.publish(at))?;
        while self.stage.now_ns() < self.stage.measured().end {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&SLEEP)) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let before = self.counts.acked;
            for event in &events {
                let (at, flags) = (event.data.u64() as usize, event.flags);
                if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    self.take(at)?;
                }
                self.publish(at)?;
            }
            if self.counts.acked != before {
                self.counts.stall_ns = self.counts.stall_ns.max(self.stage.acks_read(self.stage.now_ns()));
                self.stage.blocks[self.number].acked.store(self.counts.acked, std::sync::atomic::Ordering::Relaxed);
            }
        }
        Ok(self.counts)
    }

    /// Reads what there is, once.
    fn take(&mut self, at: usize) -> io::Result<()> {
        let peer = &mut self.peers[at];
        let start = peer.input.len();
        peer.input.resize(start + READ_BYTES, 0);
        let got = peer.stream.read(&mut peer.input[start..]);
        peer.input.truncate(start + *got.as_ref().unwrap_or(&0));
        match got {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            other => other?,
        };
        let (now, measured) = (self.stage.now_ns(), self.stage.measured());
        let input = std::mem::take(&mut peer.input);
        let mut used = 0;
        while let Some((said, length)) = next(&input[used..]).map_err(nonsense)? {
            used += length;
            match said {
                Said::Message { subject, payload, .. } => {
                    let place = subject.rsplit('.').next().and_then(|place| place.parse::<usize>().ok());
                    let Some(place) = place.filter(|place| peer.places.get(*place).is_some_and(|at| *at != 0)) else { continue };
                    let sent = std::mem::take(&mut peer.places[place]);
                    peer.free.push(place as u32);
                    if !is_stored(payload) {
                        self.counts.refused += 1;
                        continue;
                    }
                    self.counts.acked += 1;
                    if measured.contains(&sent) {
                        self.counts.latency.saturating_record(now - sent);
                    }
                }
                Said::Ping => peer.output.extend_from_slice(b"PONG\r\n"),
                Said::Error(what) => return Err(io::Error::other(what.to_owned())),
                Said::Pong | Said::Other => {}
            }
        }
        peer.input = input;
        peer.input.drain(..used);
        Ok(())
    }

    /// Fills the window, and writes as much as the kernel takes.
    fn publish(&mut self, at: usize) -> io::Result<()> {
        let peer = &mut self.peers[at];
        let now = self.stage.now_ns().max(1);
        while let Some(place) = peer.free.pop() {
            let (subject, reply) = (format!("floor.{}", peer.next_subject), format!("_INBOX.{}.{place}", peer.id));
            peer.next_subject = (peer.next_subject + 1) % self.subjects;
            peer.places[place as usize] = now;
            publish(&subject, Some(&reply), &self.body, &mut peer.output);
        }
        while !peer.output.is_empty() {
            match peer.stream.write(&peer.output) {
                Ok(written) => drop(peer.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let is_full = !peer.output.is_empty();
        if is_full != std::mem::replace(&mut peer.is_full, is_full) {
            let out = if is_full { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(at as u64);
            epoll::modify(&self.epoll, &peer.stream, data, epoll::EventFlags::IN | out)?;
        }
        Ok(())
    }
}
