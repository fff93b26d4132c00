//! The bare server: one thread, epoll, and for every published message a plain loop of blocking `send()` calls, one per member.
//!
//! It speaks just enough of the protocol for the client to log in, make its group and publish. There is one group; whoever joins is in it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use campanile::id::Address;
use campanile::wire::schema::{
    Ack, AckArgs, Body, Frame, GroupCreated, GroupCreatedArgs, Message, MessageArgs, Pong, PongArgs, Welcome, WelcomeArgs,
};
use campanile::wire::{Encoder, Split, address, conversation, read, split};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use socket2::{Domain, Socket, Type};

use crate::error::Failure;
use crate::machine;

/// Largest frame, without its prefix.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;
/// What `epoll_wait` says about standard input and the listener; connections have their number.
const STDIN: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

struct Peer {
    stream: Rc<TcpStream>,
    user: String,
    input: Vec<u8>,
}

struct Floor {
    listener: TcpListener,
    epoll: rustix::fd::OwnedFd,
    peers: BTreeMap<u64, Peer>,
    next: u64,
    /// Those who have joined, in a list of their own: the loop over it is all that is measured.
    members: Vec<Rc<TcpStream>>,
    seq: u64,
    encoder: Encoder,
}

/// Serves until standard input ends.
///
/// # Errors
/// The kernel refused what every program may do.
pub fn serve(cpu: Option<usize>) -> Result<(), Failure> {
    cpu.map_or(Ok(()), machine::pin)?;
    machine::raise_descriptors();
    Floor::listen().and_then(Floor::run).map_err(Failure::Floor)
}

impl Floor {
    fn listen() -> io::Result<Floor> {
        let listener = listen()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        epoll::add(&epoll, io::stdin().as_fd(), epoll::EventData::new_u64(STDIN), epoll::EventFlags::IN)?;
        println!("{}", listener.local_addr()?);
        io::stdout().flush()?;
        Ok(Floor { listener, epoll, peers: BTreeMap::new(), next: 0, members: Vec::new(), seq: 0, encoder: Encoder::default() })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(256);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            for event in &events {
                match event.data.u64() {
                    STDIN => return Ok(()),
                    LISTENER => self.accept()?,
                    number => self.readable(number),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => Rc::new(stream),
            // Connections of a run that has ended are still to be closed; this one waits in the backlog for their descriptors.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        epoll::add(&self.epoll, &*stream, epoll::EventData::new_u64(self.next), epoll::EventFlags::IN)?;
        self.peers.insert(self.next, Peer { stream, user: String::new(), input: Vec::new() });
        self.next += 1;
        Ok(())
    }

    /// Reads once, answers every whole frame. A peer that fails is forgotten; the client will notice.
    fn readable(&mut self, number: u64) {
        let Some(mut peer) = self.peers.remove(&number) else { return };
        if self.answer_all(&mut peer).is_ok() {
            self.peers.insert(number, peer);
        }
    }

    fn answer_all(&mut self, peer: &mut Peer) -> io::Result<()> {
        let start = peer.input.len();
        peer.input.resize(start + READ_BYTES, 0);
        let got = (&*peer.stream).read(&mut peer.input[start..]);
        peer.input.truncate(start + *got.as_ref().unwrap_or(&0));
        if got? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let input = std::mem::take(&mut peer.input);
        let mut used = 0;
        while let Split::Whole(length) = split(&input[used..], FRAME_BYTES_MAX) {
            let frame = read(&input[used..used + length]).map_err(|_| io::ErrorKind::InvalidData)?;
            self.answer(peer, frame)?;
            used += length;
        }
        peer.input.extend_from_slice(&input[used..]);
        Ok(())
    }

    fn answer(&mut self, peer: &mut Peer, frame: Frame<'_>) -> io::Result<()> {
        let reference = frame.ref_();
        match frame.body_type() {
            Body::Publish => self.fan_out(peer, frame),
            Body::Connect => {
                let token = frame.body_as_connect().and_then(|c| c.token()).unwrap_or("");
                peer.user = token.trim_start_matches("dev:").to_owned();
                let welcome =
                    WelcomeArgs { heartbeat_ms: 30_000, idle_timeout_ms: 90_000, window: u32::MAX, ..WelcomeArgs::default() };
                (&*peer.stream).write_all(self.encoder.frame(reference, |b| Welcome::create(b, &welcome)))
            }
            Body::GroupCreate => {
                let created = GroupCreatedArgs { epoch: 1, ..GroupCreatedArgs::default() };
                (&*peer.stream).write_all(self.encoder.frame(reference, |b| GroupCreated::create(b, &created)))
            }
            Body::GroupJoin => {
                self.members.push(peer.stream.clone());
                self.ack(peer, reference)
            }
            Body::Ping => {
                let pong = PongArgs { server_time_ms: now_ms() };
                (&*peer.stream).write_all(self.encoder.frame(reference, |b| Pong::create(b, &pong)))
            }
            _ => Ok(()),
        }
    }

    /// What is measured: one message, one `send()` per member, one ack.
    fn fan_out(&mut self, peer: &Peer, frame: Frame<'_>) -> io::Result<()> {
        let publish = frame.body_as_publish().ok_or(io::ErrorKind::InvalidData)?;
        let group = address(publish.conversation()).unwrap_or(Address::Broadcast);
        self.seq += 1;
        let seq = self.seq;
        let message = self.encoder.frame(0, |b| {
            let conversation = Some(conversation(b, group));
            let sender = Some(b.create_string(&peer.user));
            let body = publish.body().map(|body| b.create_vector(body.bytes()));
            Message::create(
                b,
                &MessageArgs { conversation, epoch: 1, seq, time_ms: now_ms(), sender, body, ..Default::default() },
            )
        });
        for member in &self.members {
            (&**member).write_all(message)?;
        }
        self.ack(peer, frame.ref_())
    }

    fn ack(&mut self, peer: &Peer, reference: u64) -> io::Result<()> {
        let ack = AckArgs { epoch: 1, seq: self.seq, time_ms: now_ms(), duplicate: false };
        (&*peer.stream).write_all(self.encoder.frame(reference, |b| Ack::create(b, &ack)))
    }
}

/// A listener on a free port. The standard library's backlog of 128 is less than the logins that the client has under way, and what
/// overflows it is tried again only after a second.
pub(super) fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
