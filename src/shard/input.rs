//! What the kernel finished: connections accepted, bytes received, sends and closes completed.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::Shard;
use crate::net::{Connection, Dress, Parsed, Phase};
use crate::ring::{BufferId, Completion, ListenerId, Slot};
use crate::wire::{self, schema::CloseCode};

/// How long accepting rests when the kernel has no descriptor left.
const ACCEPT_BACKOFF_MS: u64 = 100;
/// The first listener of a shard; a second is for WebSocket.
const FRAMES: ListenerId = ListenerId(0);

impl Shard {
    pub(super) fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { listener, result, more } => self.accepted(listener, result, more),
            Completion::Received { slot, result, more } => self.received(slot, result, more),
            Completion::Sent { slot, segments, result } => self.sent(slot, segments, result),
            Completion::ShutDown { slot } => self.answered(slot),
            Completion::Closed { slot } => self.closed(slot),
            Completion::HandedOff { slot, result } => self.handed_off(slot, result),
            Completion::Installed { slot, result } => self.installed(slot, result),
            Completion::Rung => {}
        }
    }

    fn accepted(&mut self, listener: ListenerId, result: io::Result<Slot>, more: bool) {
        match result {
            Ok(slot) => self.welcome(slot, if listener == FRAMES { Dress::Tcp } else { Dress::Upgrade }),
            Err(error) => match error.raw_os_error() {
                Some(libc::ECANCELED) => return,
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => {
                    self.metrics().accept_backoffs.inc();
                    self.accept_at_ms = Some(self.now.mono_ms + ACCEPT_BACKOFF_MS);
                    self.resting.push(listener);
                    return;
                }
                // The peer went before it was accepted; the next one is another matter.
                _ => {}
            },
        }
        if !more {
            self.ring.accept(listener);
        }
    }

    fn welcome(&mut self, slot: Slot, dress: Dress) {
        self.metrics().accepts.inc();
        let all: u64 = self.metrics.iter().map(|shard| shard.connections.get()).sum();
        let is_full = all >= u64::from(self.limits.connections_max);
        let deadline_ms = self.now.mono_ms + u64::from(self.limits.login_timeout_ms);
        let asks_address = self.addresses.is_some() && !is_full;
        let connection = self.add_connection(slot, dress, deadline_ms);
        if asks_address {
            connection.asked += 1;
            self.ring.install(slot);
            return;
        }
        if is_full {
            let after_ms = 1000 + self.random_below(4000);
            self.goodbye(slot, CloseCode::too_many_connections, after_ms);
        } else {
            self.knock(slot);
        }
    }

    /// The kernel lent a descriptor of the process for a socket: enough to ask for the peer's address.
    fn installed(&mut self, slot: Slot, result: io::Result<OwnedFd>) {
        self.answered(slot);
        let now_ms = self.now.mono_ms;
        let name = result.ok().and_then(|fd| rustix::net::getpeername(&fd).ok().flatten());
        let address = name.and_then(|name| SocketAddr::try_from(name).ok());
        let allowed = match (&mut self.addresses, address) {
            (Some(limits), Some(address)) => limits.connect(address.ip(), now_ms),
            _ => Ok(()),
        };
        if let Err(after_ms) = allowed {
            self.goodbye(slot, CloseCode::connect_rate_limited, after_ms);
        } else {
            self.knock(slot);
        }
    }

    /// Arms the receive that the connection's phase wants, unless one is armed.
    pub(super) fn receive(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let wants = match connection.phase {
            Phase::Login { .. } | Phase::Goodbye { .. } => true,
            Phase::Active { .. } => !connection.is_paused,
            Phase::Moving { .. } | Phase::Loading { .. } | Phase::Closing | Phase::Closed => false,
        };
        if !wants || connection.receiving {
            return;
        }
        connection.receiving = true;
        // Nothing may be armed when a connection moves, so until login each receive is for one buffer.
        if matches!(connection.phase, Phase::Login { .. }) { self.ring.receive_once(slot) } else { self.ring.receive(slot) }
    }

    fn received(&mut self, slot: Slot, result: io::Result<Option<(BufferId, usize)>>, more: bool) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.receiving = more;
        match result {
            Ok(Some((buffer, length))) => {
                self.metrics().bytes_in.add(length as u64);
                self.take_bytes(slot, buffer, length);
                self.receive(slot);
            }
            Ok(None) => self.peer_gone(slot),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => {
                    self.metrics().recv_enobufs.inc();
                    self.starved.push(slot);
                }
                // Reading was paused; it may have been resumed before this came.
                Some(libc::ECANCELED) => self.receive(slot),
                _ => self.peer_gone(slot),
            },
        }
        self.close_if_quiet(slot);
    }

    fn take_bytes(&mut self, slot: Slot, buffer: BufferId, length: usize) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.heard(now);
        match connection.phase {
            Phase::Active { .. } => self.read_frames(slot, Some((buffer, length))),
            Phase::Login { .. } => {
                let incoming = connection.take_incoming();
                let mut bytes = connection.take_partial();
                bytes.extend_from_slice(self.ring.received(buffer, length));
                connection.keep_unread(incoming, bytes, true, 0, now);
            }
            Phase::Moving { .. } | Phase::Loading { .. } | Phase::Goodbye { .. } | Phase::Closing | Phase::Closed => {}
        }
        self.ring.give_back(buffer);
        self.log_in(slot, length);
    }

    /// Reads all whole frames, in place where they arrived in one piece. What is left of a frame is kept.
    pub(super) fn read_frames(&mut self, slot: Slot, received: Option<(BufferId, usize)>) {
        match self.connections.get_mut(slot) {
            None | Some(Connection { is_leaving: true, .. }) => return,
            Some(connection) if connection.dress.is_websocket() => return self.read_messages(slot, received),
            Some(_) => {}
        }
        let Shard { ring, connections, users, fx, limits, now, metrics, id, .. } = self;
        let metrics = &metrics[*id as usize];
        let Some(connection) = connections.get_mut(slot) else { return };
        let Some(session) = connection.session() else { return };
        let new = received.map_or(&[][..], |(buffer, length)| ring.received(buffer, length));
        let (had_partial, began_ms) = (connection.has_partial(), connection.partial_began_ms());
        let whole;
        let mut rest = new;
        if had_partial {
            let mut bytes = connection.take_partial();
            bytes.extend_from_slice(new);
            whole = bytes;
            rest = &whole;
        }
        let mut frames = 0;
        let has_room = connection.outbox.bytes() <= limits.outbox_bytes_max as usize;
        while has_room && !rest.is_empty() {
            if let Some((reference, length)) = wire::ping(rest) {
                frames += 1;
                users.ping(session, reference, *now, fx);
                rest = &rest[length..];
                continue;
            }
            match Connection::parse(rest, limits) {
                Parsed::Frame(frame, length) => {
                    frames += 1;
                    users.frame(session, frame, *now, fx);
                    rest = &rest[length..];
                }
                Parsed::Partial => break,
                Parsed::Broken(code) => {
                    fx.closes.push((slot, code, 0));
                    connection.is_leaving = true;
                    rest = &[];
                }
            }
        }
        metrics.frames_in.add(frames);
        let is_new_frame = !had_partial || frames > 0;
        connection.keep_partial(rest.to_vec(), is_new_frame, began_ms, *now);
        if !has_room && !std::mem::replace(&mut connection.is_paused, true) {
            ring.stop_receiving(slot);
        }
    }

    /// The peer has closed its side, or the socket failed.
    pub(super) fn peer_gone(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if !matches!(connection.phase, Phase::Goodbye { .. } | Phase::Closing | Phase::Closed) {
            match (connection.session(), connection.login()) {
                (Some(session), _) => self.users.closed(session, self.now, &mut self.fx),
                (None, Some(login)) => self.users.login_given_up(login),
                (None, None) => {}
            }
            self.metrics().closed_by_peer();
        }
        self.begin_close(slot);
    }

    /// The kernel has done one of the things that it was asked about a connection.
    fn answered(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.asked -= 1;
        }
        self.close_if_quiet(slot);
    }
}
