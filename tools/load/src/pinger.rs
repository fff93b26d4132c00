//! A session that has nothing to do with what goes on, and pings: what others notice of a load.
//!
//! It is a thread and a blocking socket of its own, so that it does not wait behind the work of this program's workers, except for a processor.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use campanile::wire::schema::{Body, Connect, ConnectArgs, Ping, PingArgs};
use campanile::wire::{Encoder, Fbb, PROTOCOL_VERSION, Verb};
use flatbuffers::WIPOffset;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

use crate::account::Latencies;
use crate::dress::{Answer, Arrived, Dress, Inbound, Outbound, Target, What};
use crate::error::Failure;

/// A ping is meant to leave this often; one that has to wait for the one before it counts from when it was meant to leave.
const EVERY: Duration = Duration::from_millis(10);
/// A server that does not answer for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What makes the key of its request for a WebSocket.
const KEY_SEED: u64 = 1;

const BEFORE: u8 = 0;
const DURING: u8 = 1;
const END: u8 = 2;

/// Round trips, intended send to pong read.
#[derive(Default)]
pub struct Pings {
    /// While nothing else went on.
    pub before: Latencies,
    /// While it did.
    pub during: Latencies,
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
    pub fn start(target: &Target, user: &str) -> Result<Pinger, Failure> {
        let unreachable = |cause| Failure::Connect { target: target.address, cause };
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

/// Real-time priority: a ping is not to wait for the workers of this program, which are busy on the same processors. Only the superuser may;
/// others measure some of this program's own time as well.
fn go_before_others() {
    let first_in_first_out = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, first_in_first_out);
}

struct Session {
    stream: TcpStream,
    encoder: Encoder,
    outbound: Outbound,
    inbound: Inbound,
    dress: Dress,
    input: Vec<u8>,
}

impl Session {
    fn log_in(target: &Target, user: &str) -> io::Result<Session> {
        let stream = TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let dress = target.dress;
        let (outbound, inbound) = (Outbound::new(dress, KEY_SEED), Inbound::new(dress));
        let mut session = Session { stream, encoder: Encoder::default(), outbound, inbound, dress, input: Vec::new() };
        if let Some(request) = target.request(KEY_SEED) {
            session.upgrade(target, &request)?;
        }
        let token = format!("dev:{user}");
        session.send(1, |b| {
            let (token, device) = (Some(b.create_string(&token)), Some(b.create_string("pinger")));
            Connect::create(b, &ConnectArgs { version: PROTOCOL_VERSION, token, device, ..Default::default() })
        })?;
        session.read_until(Body::Welcome, 1)?;
        Ok(session)
    }

    fn upgrade(&mut self, target: &Target, request: &str) -> io::Result<()> {
        self.stream.write_all(request.as_bytes())?;
        loop {
            match target.answer(&self.input, KEY_SEED) {
                Answer::More => self.receive()?,
                Answer::Upgraded(length) => {
                    self.input.drain(..length);
                    return Ok(());
                }
                Answer::Later => return Err(io::Error::other("the server has no WebSocket to spare")),
                Answer::Refused(answer) => return Err(io::Error::other(answer)),
            }
        }
    }

    fn send<V: Verb>(&mut self, reference: u64, build: impl FnOnce(&mut Fbb) -> WIPOffset<V>) -> io::Result<()> {
        self.stream.write_all(self.outbound.frame(self.encoder.frame(reference, build)))
    }

    fn ping(mut self, phase: &AtomicU8) -> io::Result<Pings> {
        go_before_others();
        let mut pings = Pings::default();
        let mut intended = Instant::now();
        for number in 2.. {
            intended += EVERY;
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            let into = match phase.load(Ordering::Relaxed) {
                BEFORE => &mut pings.before,
                DURING => &mut pings.during,
                _ => break,
            };
            self.send(number, |b| Ping::create(b, &PingArgs {}))?;
            self.read_until(Body::Pong, number)?;
            into.saturating_record(intended.elapsed().as_nanos() as u64);
        }
        Ok(pings)
    }

    /// Reads frames until the answer comes; what else comes is of no concern.
    fn read_until(&mut self, body: Body, reference: u64) -> io::Result<()> {
        loop {
            match self.dress.front(&self.input) {
                Arrived::More => self.receive()?,
                Arrived::Wrong => return Err(io::ErrorKind::InvalidData.into()),
                Arrived::Whole(what, range) => {
                    let rest = self.input.split_off(range.end);
                    let whole = std::mem::replace(&mut self.input, rest);
                    let payload = &whole[range];
                    match what {
                        What::Message => {
                            let frame = self.inbound.read(payload).map_err(|_| io::ErrorKind::InvalidData)?;
                            if frame.body_type() == body && frame.ref_() == reference {
                                return Ok(());
                            }
                        }
                        What::Ping => self.stream.write_all(self.outbound.pong(payload))?,
                        What::Pong | What::Close => {}
                    }
                }
            }
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let got = self.stream.read(&mut buffer)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&buffer[..got]);
        Ok(())
    }
}
