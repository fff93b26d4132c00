//! The task that owns the socket: it carries bytes, requests and events between the socket, the machine and the application, and
//! decides nothing.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use campanile::wire::{Encoder, PREFIX_BYTES, Split, split};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::error::{Disconnect, Ended, RequestError};
use crate::event::Event;
use crate::machine::{Machine, Outgoing, Phase};
use crate::request::{Answer, Request};
use crate::values::Welcome;
use crate::{decode, encode};

/// Largest frame that is taken from a server, in bytes without its prefix: what the verifier lets through.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes that one read asks for.
const READ_BYTES: usize = 64 << 10;
/// Bytes of frames that are built ahead of the socket.
const OUTBOX_BYTES_MAX: usize = 256 << 10;

/// How long time alone changes nothing while that is full: the socket does.
const OUTBOX_FULL_PAUSE: Duration = Duration::from_millis(100);

pub(crate) type Reply = oneshot::Sender<Result<Answer, RequestError>>;

/// What the handle asks of the task.
pub(crate) enum Command {
    Request(Request, Reply),
    Close,
}

/// The ends of the channels that the task holds.
pub(crate) struct Ends {
    pub commands: mpsc::Receiver<Command>,
    pub events: mpsc::Sender<Event>,
    /// Told once: the first welcome, or why there is none.
    pub ready: oneshot::Sender<Result<Welcome, Ended>>,
    /// Why the client has ended; written before the command channel closes.
    pub ended: Arc<OnceLock<Ended>>,
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// See the module.
pub(crate) struct Connection {
    machine: Machine,
    host_and_port: String,
    started: Instant,
    encoder: Encoder,
    commands: mpsc::Receiver<Command>,
    /// False when all handles are gone.
    commands_open: bool,
    events: mpsc::Sender<Event>,
    ready: Option<oneshot::Sender<Result<Welcome, Ended>>>,
    ended: Arc<OnceLock<Ended>>,
    replies: HashMap<u64, Reply>,
    attempt: Option<Attempt>,
    reader: Option<OwnedReadHalf>,
    /// None also when writing has failed: then only what the server still had to say is read.
    writer: Option<OwnedWriteHalf>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// What one wait brought.
enum Happened {
    Connected(io::Result<TcpStream>),
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Commanded(Option<Command>),
    /// An event was given to the application, or nobody takes events any more.
    Told,
    Timeout,
}

impl Connection {
    pub fn new(machine: Machine, host_and_port: String, ends: Ends) -> Connection {
        Connection {
            machine,
            host_and_port,
            started: Instant::now(),
            encoder: Encoder::default(),
            commands: ends.commands,
            commands_open: true,
            events: ends.events,
            ready: Some(ends.ready),
            ended: ends.ended,
            replies: HashMap::new(),
            attempt: None,
            reader: None,
            writer: None,
            inbox: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Runs until the client has ended and the application knows.
    pub async fn run(mut self) {
        loop {
            self.follow_phase();
            self.fill_outbox();
            self.reply();
            if let Phase::Ended(why) = self.machine.phase() {
                let why = why.clone();
                return self.finish(why).await;
            }
            let happened = self.wait().await;
            self.handle(happened);
        }
    }

    fn now_ms(&self) -> u64 {
        crate::machine::millis(self.started.elapsed())
    }

    /// Makes and drops connections as the machine's phase says.
    fn follow_phase(&mut self) {
        match self.machine.phase() {
            Phase::Waiting { .. } | Phase::Ended(_) => self.disconnect(),
            Phase::Connecting { .. } if self.attempt.is_none() => {
                self.attempt = Some(Box::pin(TcpStream::connect(self.host_and_port.clone())));
            }
            Phase::Up { .. } => {
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send(Ok(self.machine.welcome().clone()));
                }
                if !self.machine.wants_bytes() {
                    // A peer that is not being read cannot be heard.
                    self.machine.handle_heard(self.now_ms());
                }
            }
            Phase::Connecting { .. } | Phase::LoggingIn { .. } => {}
        }
    }

    fn disconnect(&mut self) {
        self.attempt = None;
        self.reader = None;
        self.writer = None;
        self.inbox.clear();
        self.outbox.clear();
    }

    fn fill_outbox(&mut self) {
        let now_ms = self.now_ms();
        while self.outbox.len() < OUTBOX_BYTES_MAX
            && let Some(outgoing) = self.machine.poll_transmit(now_ms)
        {
            let frame = encode::frame(&mut self.encoder, &outgoing);
            match outgoing {
                Outgoing::Request { reference, .. } if frame.len() - PREFIX_BYTES > self.machine.frame_bytes_max() => {
                    self.machine.handle_too_large(reference, frame.len() - PREFIX_BYTES);
                }
                _ => self.outbox.extend_from_slice(frame),
            }
        }
    }

    fn reply(&mut self) {
        while let Some((reference, outcome)) = self.machine.poll_outcome() {
            if let Some(reply) = self.replies.remove(&reference) {
                let _ = reply.send(outcome);
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self) -> Happened {
        let mut timeout = self.machine.poll_timeout_ms().map(|at_ms| self.started + Duration::from_millis(at_ms));
        if self.outbox.len() >= OUTBOX_BYTES_MAX {
            // Requests that may go but have no room must not make this a busy loop.
            timeout = timeout.map(|at| at.max(Instant::now() + OUTBOX_FULL_PAUSE));
        }
        let wants_bytes = self.machine.wants_bytes() && self.reader.is_some();
        let wants_commands = self.machine.wants_requests() && self.commands_open;
        let has_event = self.machine.has_event();
        let (can_write, can_connect) = (self.writer.is_some() && !self.outbox.is_empty(), self.attempt.is_some());
        if wants_bytes {
            self.inbox.reserve(READ_BYTES);
        }
        tokio::select! {
            stream = connect(self.attempt.as_mut()), if can_connect => Happened::Connected(stream),
            bytes = read(self.reader.as_mut(), &mut self.inbox), if wants_bytes => Happened::Read(bytes),
            bytes = write(self.writer.as_mut(), &self.outbox), if can_write => Happened::Wrote(bytes),
            command = self.commands.recv(), if wants_commands => Happened::Commanded(command),
            permit = self.events.reserve(), if has_event => {
                if let (Ok(permit), Some(event)) = (permit, self.machine.poll_event()) {
                    permit.send(event);
                }
                Happened::Told
            }
            () = self.events.closed(), if !self.commands_open => Happened::Commanded(Some(Command::Close)),
            () = sleep_until(timeout) => Happened::Timeout,
        }
    }

    fn handle(&mut self, happened: Happened) {
        let now_ms = self.now_ms();
        match happened {
            Happened::Connected(Ok(stream)) => self.connected(now_ms, stream),
            Happened::Connected(Err(why)) => self.lost(now_ms, Disconnect::Unreachable(why.to_string())),
            Happened::Read(Ok(0)) => self.lost(now_ms, Disconnect::ClosedByServer),
            Happened::Read(Ok(_)) => self.take_frames(now_ms),
            Happened::Read(Err(why)) => self.lost(now_ms, Disconnect::Io(why.to_string())),
            Happened::Wrote(Ok(bytes)) => drop(self.outbox.drain(..bytes)),
            Happened::Wrote(Err(_)) => self.writer = None,
            Happened::Commanded(Some(Command::Request(request, reply))) => {
                let reference = self.machine.handle_request(request);
                self.replies.insert(reference, reply);
            }
            Happened::Commanded(Some(Command::Close)) => self.machine.handle_close(),
            Happened::Commanded(None) => self.commands_open = false,
            // An application that has dropped its events wants none.
            Happened::Told if self.events.is_closed() => while self.machine.poll_event().is_some() {},
            Happened::Told => {}
            Happened::Timeout => self.machine.handle_timeout(now_ms, random()),
        }
    }

    fn connected(&mut self, now_ms: u64, stream: TcpStream) {
        self.attempt = None;
        // Without it small frames would wait for the acknowledgement of those before; a failure only makes them slower.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        self.reader = Some(reader);
        self.writer = Some(writer);
        self.machine.handle_connected(now_ms);
    }

    fn lost(&mut self, now_ms: u64, reason: Disconnect) {
        self.machine.handle_lost(now_ms, reason, random());
    }

    /// Gives every whole frame of the inbox to the machine.
    fn take_frames(&mut self, now_ms: u64) {
        let mut start = 0;
        self.machine.handle_heard(now_ms);
        loop {
            let frame = match split(&self.inbox[start..], FRAME_BYTES_MAX) {
                Split::More(_) => break,
                Split::Whole(bytes) => &self.inbox[start..start + bytes],
                Split::TooLarge => return self.lost(now_ms, Disconnect::Malformed),
            };
            start += frame.len();
            match decode::frame(frame) {
                Ok(Some(incoming)) => self.machine.handle_frame(now_ms, incoming, random()),
                Ok(None) => {}
                Err(_) => return self.lost(now_ms, Disconnect::Malformed),
            }
        }
        self.inbox.drain(..start);
    }

    /// Tells everyone why it is over.
    async fn finish(mut self, why: Ended) {
        self.disconnect();
        let _ = self.ended.set(why.clone());
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Err(why.clone()));
        }
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            if let Command::Request(_, reply) = command {
                let _ = reply.send(Err(RequestError::Ended(why.clone())));
            }
        }
        while let Some(event) = self.machine.poll_event() {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }
}

async fn connect(attempt: Option<&mut Attempt>) -> io::Result<TcpStream> {
    match attempt {
        Some(attempt) => attempt.await,
        None => pending().await,
    }
}

async fn read(reader: Option<&mut OwnedReadHalf>, inbox: &mut Vec<u8>) -> io::Result<usize> {
    match reader {
        Some(reader) => reader.read_buf(inbox).await,
        None => pending().await,
    }
}

async fn write(writer: Option<&mut OwnedWriteHalf>, outbox: &[u8]) -> io::Result<usize> {
    match writer {
        Some(writer) => writer.write(outbox).await,
        None => pending().await,
    }
}

async fn sleep_until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}

/// 64 random bits of the system. Jitter is all they are for, so a system without any gets a constant.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX / 2)
}
