//! The end of a connection: told to go, shut down, closed when the kernel has nothing of it left.

use std::net::Shutdown;

use super::{Look, Shard};
use crate::net::{Leave, Phase};
use crate::ring::Slot;
use crate::session::frames;
use crate::wire::schema::CloseCode;

impl Shard {
    /// Sends GoAway and ends the session.
    pub(super) fn goodbye(&mut self, slot: Slot, code: CloseCode, reconnect_after_ms: u32) {
        self.leave(slot, Leave::Told { code, reconnect_after_ms });
    }

    /// Says the last word and ends the session. The peer has a second to read it and close; then it is closed.
    pub(super) fn leave(&mut self, slot: Slot, leave: Leave) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if matches!(connection.phase, Phase::Goodbye { .. } | Phase::Closing | Phase::Closed) {
            return;
        }
        let (session, login) = (connection.session(), connection.login());
        let reads_slowly = matches!(leave, Leave::Told { code: CloseCode::slow_consumer, .. });
        connection.begin_goodbye(reads_slowly, now);
        let (dress, stamp, at_ms) = (connection.dress, connection.stamp, connection.look_again_ms(now, &self.limits));
        if reads_slowly {
            // He has a backlog that he will get again when he resumes.
            let copied = connection.outbox.copied_bytes();
            connection.outbox.clear();
            self.copied_bytes -= copied;
        }
        if let Some(session) = session {
            self.users.closed(session, now, &mut self.fx);
        }
        if let Some(login) = login {
            self.users.login_given_up(login);
        }
        let go_away = match leave {
            Leave::Told { code, reconnect_after_ms } => self.fx.frame_apart(0, |b| frames::go_away(b, code, reconnect_after_ms)),
            _ => &[],
        };
        let farewell = leave.farewell(dress, go_away, &self.rules);
        self.count(leave);
        self.say(slot, farewell);
        self.timers.arm(at_ms, Look { slot, stamp });
        self.receive(slot);
    }

    fn count(&self, leave: Leave) {
        match leave {
            Leave::Told { code, .. } => self.metrics().closed(code),
            Leave::Refused(refusal) => self.metrics().upgrade_refused(refusal),
            Leave::Fault(fault) => self.metrics().websocket_fault(fault),
            Leave::Closed(_) => self.metrics().closed_by_peer(),
        }
    }

    /// The last word has left: no more will be sent. The peer reads to the end and closes.
    pub(super) fn finish_goodbye(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if matches!(connection.phase, Phase::Goodbye { .. }) && !std::mem::replace(&mut connection.is_shut, true) {
            connection.asked += 1;
            self.ring.shut_down(slot, Shutdown::Write);
        }
    }

    /// Ends whatever the kernel still does for a connection.
    pub(super) fn begin_close(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if matches!(connection.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        connection.phase = Phase::Closing;
        let copied = connection.outbox.copied_bytes();
        connection.outbox.clear();
        self.copied_bytes -= copied;
        if connection.receiving || connection.outbox.is_in_flight() {
            connection.asked += 1;
            self.ring.shut_down(slot, Shutdown::Both);
        }
        self.close_if_quiet(slot);
    }

    /// Frees the slot once the kernel has completed everything that was asked of it.
    pub(super) fn close_if_quiet(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.phase == Phase::Closing && connection.is_quiet() {
            connection.phase = Phase::Closed;
            self.ring.close(slot);
        }
    }

    pub(super) fn closed(&mut self, slot: Slot) {
        // Another ring may have put a socket there already, and its message may have come before this.
        if self.connections.get_mut(slot).is_some_and(|connection| connection.phase == Phase::Closed) {
            let connection = self.connections.remove(slot);
            self.wardrobe.websockets -= usize::from(connection.is_some_and(|connection| connection.dress.is_websocket()));
        }
        if self.accept_at_ms.is_some() {
            // A descriptor is free: whoever waits to be accepted need not wait longer.
            self.accept_at_ms = Some(self.now.mono_ms);
        }
    }
}
