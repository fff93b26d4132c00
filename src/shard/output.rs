//! Output: what the state machines want done, and one send for each connection that has something to say.

use std::io;

use super::Shard;
use crate::control::metrics::DropReason;
use crate::effects::{Send, Weight};
use crate::net::{Connection, Phase, Pushed};
use crate::ring::{Segments, Slot};
use crate::wire::schema as s;
use crate::wire::schema::CloseCode;

impl Shard {
    /// Does what the turn's steps wanted, besides messages to other shards.
    pub(super) fn act(&mut self) {
        self.finish_logins();
        self.fx.open.seal();
        self.dress();
        let mut sends = std::mem::take(&mut self.fx.sends);
        sends.drain(..).for_each(|send| self.queue(send));
        self.fx.sends = sends;
        let deliveries = std::mem::take(&mut self.fx.deliveries);
        self.metrics().deliveries.add(deliveries);
        let messages_in = std::mem::take(&mut self.fx.messages_in);
        self.metrics().messages_in.add(messages_in);
        for code in std::mem::take(&mut self.fx.errors) {
            self.metrics().answered_error(code);
        }
        for (slot, code, after_ms) in std::mem::take(&mut self.fx.closes) {
            self.goodbye(slot, code, after_ms);
        }
        for (slot, leave) in std::mem::take(&mut self.leaving) {
            self.leave(slot, leave);
        }
        for slot in std::mem::take(&mut self.fx.watch_drained) {
            self.tell_when_drained(slot);
        }
        self.bound_pool();
    }

    fn queue(&mut self, send: Send) {
        let Send { to: slot, frame, weight } = send;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let bytes_max = connection.dress.outbox_bytes_max(self.limits.outbox_bytes_max);
        if !matches!(connection.phase, Phase::Active { .. }) {
            return;
        }
        let copied = connection.outbox.copied_bytes();
        let pushed = connection.outbox.push(frame, weight, bytes_max);
        self.copied_bytes += connection.outbox.copied_bytes() - copied;
        match pushed {
            Pushed::Queued => self.mark_dirty(slot),
            Pushed::Dropped => {
                connection.tell_drained = true;
                if let Some(session) = connection.session() {
                    self.users.ephemeral_dropped(session);
                }
                self.metrics().dropped(DropReason::EphemeralOutbox, 1);
            }
            Pushed::Overflow => self.goodbye(slot, CloseCode::slow_consumer, 0),
        }
    }

    /// Queues bytes of this connection alone, in whatever phase it is.
    pub(super) fn say(&mut self, slot: Slot, bytes: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let copied = connection.outbox.copied_bytes();
        connection.outbox.push(self.fx.open.seal_apart(bytes), Weight::Control, 0);
        self.copied_bytes += connection.outbox.copied_bytes() - copied;
        self.mark_dirty(slot);
    }

    pub(super) fn mark_dirty(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !std::mem::replace(&mut connection.is_dirty, true)
        {
            self.dirty.push(slot);
        }
    }

    fn tell_when_drained(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.tell_drained = true;
        if connection.outbox.is_idle() {
            self.drained(slot);
        }
    }

    /// One send for each connection that has something to say and none in flight.
    pub(super) fn flush(&mut self) -> usize {
        let mut sends = 0;
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            sends += usize::from(self.send(slot));
        }
        self.dirty = dirty;
        sends
    }

    fn send(&mut self, slot: Slot) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else { return false };
        connection.is_dirty = false;
        let copied = connection.outbox.copied_bytes();
        let Some(segments) = connection.outbox.take(&self.fx.open) else {
            if connection.outbox.is_in_flight() && !std::mem::replace(&mut connection.is_stalled, true) {
                self.stalled.push_back((slot, connection.stamp));
            }
            return false;
        };
        self.copied_bytes -= copied - connection.outbox.copied_bytes();
        connection.send_began(self.now);
        // Nearly always nobody waits for the end of a send; else see `drained`.
        let is_active = matches!(connection.phase, Phase::Active { .. });
        let is_awaited = !is_active || connection.tell_drained || connection.is_paused || !connection.outbox.is_empty();
        if is_awaited {
            self.ring.send(slot, segments)
        } else {
            self.ring.send_quietly(slot, segments)
        }
        true
    }

    pub(super) fn sent(&mut self, slot: Slot, segments: Segments, result: io::Result<usize>) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.is_stalled = false;
        match result {
            Ok(bytes) => {
                connection.outbox.sent(segments, bytes);
                let is_idle = connection.outbox.is_idle();
                self.metrics().bytes_out.add(bytes as u64);
                if is_idle { self.drained(slot) } else { self.mark_dirty(slot) }
            }
            Err(_) => {
                connection.outbox.sent(segments, 0);
                self.peer_gone(slot);
            }
        }
        self.close_if_quiet(slot);
    }

    /// Everything that was queued for a connection has been taken by the kernel.
    fn drained(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let session = connection.session();
        if std::mem::take(&mut connection.tell_drained)
            && let Some(session) = session
        {
            self.users.drained(session, &mut self.fx);
        }
        self.finish_goodbye(slot);
        self.move_over(slot);
        self.resume_reading(slot);
    }

    /// Reading had stopped because answers had no room: first what was received meanwhile, then the socket.
    fn resume_reading(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.session().is_some() && std::mem::take(&mut connection.is_paused) {
            self.read_frames(slot, None);
            self.receive(slot);
        }
    }

    pub(super) fn ping(&mut self, slot: Slot) {
        self.fx.answer(slot, 0, |b| s::Ping::create(b, &s::PingArgs {}));
    }

    /// What all outboxes hold together; shared bytes count once.
    pub(super) fn pool_bytes(&self) -> usize {
        self.fx.open.live_bytes() + self.copied_bytes
    }

    /// Over the pool's limit, the connections that have not read for longest go.
    fn bound_pool(&mut self) {
        while self.pool_bytes() as u64 > self.limits.outbox_pool_bytes_max {
            let Some((slot, stamp)) = self.stalled.pop_front() else { return };
            let is_it = |c: &&mut Connection| c.stamp == stamp && c.is_stalled;
            if self.connections.get_mut(slot).filter(is_it).is_some() {
                self.goodbye(slot, CloseCode::slow_consumer, 0);
                // What is in flight is held by the kernel until the socket is shut.
                self.begin_close(slot);
            }
        }
    }
}
