//! Login, and the way of a connection to its user's home: into a slot of the other ring, then a message in the lane, then the own
//! slot is closed. If the other ring has no slot, the connection is still ours, and is told to come back. While the store reads its user's list, nothing is
//! read from the connection: who sends more waits.

use std::io;

use super::Shard;
use crate::mesh::{Event, HandedOver};
use crate::net::{Connection, Dress, Parsed, Phase};
use crate::ring::Slot;
use crate::session::{LoggedIn, Login, LoginKey, credentials};
use crate::slot::ShardId;
use crate::wire::schema::CloseCode;

/// When a connection that could not move should try again.
const RECONNECT_MS: u32 = 500;

enum Judged {
    Wait,
    Here {
        frame_bytes: usize,
    },
    /// The user's list is being read.
    Waits {
        login: LoginKey,
        frame_bytes: usize,
    },
    Elsewhere(ShardId),
    Refused(CloseCode),
}

impl Shard {
    /// Looks whether the first frame of a connection has come. `received`: how many of its bytes are new.
    pub(super) fn log_in(&mut self, slot: Slot, received: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if !matches!(connection.phase, Phase::Login { .. }) {
            return;
        }
        match connection.dress {
            Dress::Tcp => {
                let bytes = connection.take_partial();
                self.admit(slot, bytes);
            }
            Dress::Upgrade => self.upgrade(slot, received),
            Dress::Binary | Dress::Json => {
                if let Some(bytes) = self.first_message(slot) {
                    self.admit(slot, bytes);
                }
            }
        }
    }

    /// Goes on with the connect frame and what was sent behind it, if that frame is whole.
    fn admit(&mut self, slot: Slot, bytes: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let Phase::Login { deadline } = connection.phase else { return };
        match self.judge(slot, &bytes) {
            Judged::Wait => self.keep(slot, bytes),
            Judged::Refused(code) => self.goodbye(slot, code, 0),
            Judged::Elsewhere(to) => {
                self.keep(slot, bytes);
                if let Some(connection) = self.connections.get_mut(slot) {
                    connection.phase = Phase::Moving { to, deadline };
                }
                self.move_over(slot);
            }
            Judged::Waits { login, frame_bytes } => {
                self.keep(slot, bytes[frame_bytes..].to_vec());
                if let Some(connection) = self.connections.get_mut(slot) {
                    connection.phase = Phase::Loading { login, deadline };
                }
            }
            Judged::Here { frame_bytes } => {
                self.keep(slot, bytes[frame_bytes..].to_vec());
                self.read_frames(slot, None);
                self.receive(slot);
            }
        }
    }

    /// Sends a connection to its user's home, once nothing is in flight on it: the answer to an upgrade, or a pong, may be.
    pub(super) fn move_over(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let Phase::Moving { to, .. } = connection.phase else { return };
        if connection.asked > 0 || !connection.outbox.is_idle() {
            return;
        }
        if self.lanes.event_room() <= self.moving {
            return self.goodbye(slot, CloseCode::overloaded, RECONNECT_MS);
        }
        connection.asked += 1;
        self.moving += 1;
        self.ring.hand_off(slot, &self.rings[to as usize]);
    }

    /// The lists that logins waited for have been read: they go on with what was received meanwhile.
    pub(super) fn finish_logins(&mut self) {
        for LoggedIn { connection: slot, login, result } in std::mem::take(&mut self.fx.logins) {
            let Some(connection) = self.connections.get_mut(slot).filter(|c| c.login() == Some(login)) else { continue };
            match result {
                Ok(session) => {
                    connection.phase = Phase::Active { session };
                    connection.heard(self.now);
                    self.read_frames(slot, None);
                    self.receive(slot);
                }
                Err((code, reconnect_after_ms)) => self.goodbye(slot, code, reconnect_after_ms),
            }
        }
    }

    fn keep(&mut self, slot: Slot, bytes: Vec<u8>) {
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.keep_partial(bytes, true, now.mono_ms, now);
        }
    }

    /// Reads the first frame; opens the session if this is the home of its user.
    fn judge(&mut self, slot: Slot, bytes: &[u8]) -> Judged {
        let (frame, frame_bytes) = match Connection::parse(bytes, &self.limits) {
            Parsed::Partial => return Judged::Wait,
            Parsed::Broken(code) => return Judged::Refused(code),
            Parsed::Frame(frame, length) => (frame, length),
        };
        let credentials = match credentials(frame) {
            Ok(credentials) => credentials,
            Err(code) => return Judged::Refused(code),
        };
        let home = self.slots.home(credentials.user.as_bytes());
        if home != self.id {
            return Judged::Elsewhere(home);
        }
        match self.users.login(slot, credentials, frame.ref_(), self.now, &mut self.fx) {
            Err(code) => Judged::Refused(code),
            Ok(Login::Waits(login)) => Judged::Waits { login, frame_bytes },
            Ok(Login::Done(session)) => {
                if let Some(connection) = self.connections.get_mut(slot) {
                    connection.phase = Phase::Active { session };
                }
                Judged::Here { frame_bytes }
            }
        }
    }

    /// The socket is in the other ring's table, or it found no place there.
    pub(super) fn handed_off(&mut self, slot: Slot, result: io::Result<Slot>) {
        self.moving -= 1;
        let now = self.now;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.asked -= 1;
        let Phase::Moving { to, deadline } = connection.phase else { return self.close_if_quiet(slot) };
        match result {
            Ok(there) => {
                let (dress, bytes) = (connection.dress, connection.take_partial());
                let login_left_ms = deadline.mono_ms(now).saturating_sub(now.mono_ms);
                let message = HandedOver { slot: there, dress, bytes, login_left_ms };
                self.lanes.event(to, Event::HandedOver(Box::new(message)));
                self.metrics().handoffs.inc();
                self.begin_close(slot);
            }
            Err(_) => self.goodbye(slot, CloseCode::overloaded, RECONNECT_MS),
        }
    }

    /// A connection has come to its user's home.
    pub(super) fn taken_over(&mut self, message: HandedOver) {
        let HandedOver { slot, dress, bytes, login_left_ms } = message;
        // The kernel has given out the slot again; that its last use is over may still be on its way to us.
        self.closed(slot);
        self.add_connection(slot, dress, self.now.mono_ms + login_left_ms);
        self.wardrobe.websockets += usize::from(dress.is_websocket());
        self.admit(slot, bytes);
        self.receive(slot);
    }
}
