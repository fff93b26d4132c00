//! A session that has nothing to do with what goes on, and pings: what others notice of a load.
//!
//! It is a thread and a blocking socket of its own, so that it does not wait behind the work of this program's workers, except for a processor.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use campanile::wire::schema::{Body, Connect, ConnectArgs, Ping, PingArgs};
use campanile::wire::{Encoder, PROTOCOL_VERSION, Split, read, split};
use hdrhistogram::Histogram;

use crate::error::Failure;

/// A ping is meant to leave this often; one that has to wait for the one before it counts from when it was meant to leave.
const EVERY: Duration = Duration::from_millis(10);
/// A server that does not answer for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest frame that is believed, without its prefix.
const FRAME_BYTES_MAX: usize = 4 << 20;

const BEFORE: u8 = 0;
const DURING: u8 = 1;
const END: u8 = 2;

/// Round trips in ns, intended send to pong read.
pub struct Pings {
    /// While nothing else went on.
    pub before: Histogram<u64>,
    /// While it did.
    pub during: Histogram<u64>,
}

/// The session. It ends with [`Pinger::end`].
pub struct Pinger {
    phase: Arc<AtomicU8>,
    thread: JoinHandle<io::Result<Pings>>,
}

impl Pinger {
    /// Logs in as this user and begins.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub fn start(target: SocketAddr, user: &str) -> Result<Pinger, Failure> {
        let unreachable = |cause| Failure::Connect { target, cause };
        let session = Session::log_in(target, user).map_err(unreachable)?;
        let phase = Arc::new(AtomicU8::new(BEFORE));
        let of_thread = phase.clone();
        let thread = std::thread::Builder::new().name("pinger".into()).spawn(move || session.ping(&of_thread));
        Ok(Pinger { phase, thread: thread.map_err(unreachable)? })
    }

    /// From now on something goes on.
    pub fn load_begins(&self) {
        self.phase.store(DURING, Ordering::Relaxed);
    }

    /// Ends it and gives what it measured.
    ///
    /// # Errors
    /// The connection broke, or the server did not answer.
    pub fn end(self) -> Result<Pings, Failure> {
        self.phase.store(END, Ordering::Relaxed);
        let result = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map_err(|cause| Failure::Refused { request: "Ping", answer: cause.to_string() })
    }
}

struct Session {
    stream: TcpStream,
    encoder: Encoder,
    input: Vec<u8>,
}

impl Session {
    fn log_in(target: SocketAddr, user: &str) -> io::Result<Session> {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Session { stream, encoder: Encoder::default(), input: Vec::new() };
        let token = format!("dev:{user}");
        let frame = session.encoder.frame(1, |b| {
            let (token, device) = (Some(b.create_string(&token)), Some(b.create_string("pinger")));
            Connect::create(b, &ConnectArgs { version: PROTOCOL_VERSION, token, device, ..Default::default() })
        });
        session.stream.write_all(frame)?;
        session.read_until(Body::Welcome, 1)?;
        Ok(session)
    }

    fn ping(mut self, phase: &AtomicU8) -> io::Result<Pings> {
        // Before the workers of this program, which are busy on the same processors. Only the superuser may; others measure a little more.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), -10);
        let histogram = || Histogram::new_with_max(3_600_000_000_000, 3).expect("one hour in ns with 3 digits is allowed");
        let mut pings = Pings { before: histogram(), during: histogram() };
        let mut intended = Instant::now();
        for number in 2.. {
            intended += EVERY;
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            let into = match phase.load(Ordering::Relaxed) {
                BEFORE => &mut pings.before,
                DURING => &mut pings.during,
                _ => break,
            };
            self.stream.write_all(self.encoder.frame(number, |b| Ping::create(b, &PingArgs {})))?;
            self.read_until(Body::Pong, number)?;
            into.saturating_record(intended.elapsed().as_nanos() as u64);
        }
        Ok(pings)
    }

    /// Reads frames until the answer comes; what else comes is of no concern.
    fn read_until(&mut self, body: Body, reference: u64) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            while let Split::Whole(length) = split(&self.input, FRAME_BYTES_MAX) {
                let bytes: Vec<u8> = self.input.drain(..length).collect();
                let frame = read(&bytes).map_err(|_| io::ErrorKind::InvalidData)?;
                if frame.body_type() == body && frame.ref_() == reference {
                    return Ok(());
                }
            }
            let got = self.stream.read(&mut buffer)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&buffer[..got]);
        }
    }
}
