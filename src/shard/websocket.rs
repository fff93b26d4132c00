//! WebSockets: the request that they begin with, and what they say.

use super::Shard;
use crate::json::JsonError;
use crate::mesh::Refusal;
use crate::net::{Dress, Leave, Misread, Pongs};
use crate::ring::{BufferId, Slot};
use crate::session::frames;
use crate::wire::schema::CloseCode;
use crate::ws::{answer, upgrade};

impl Shard {
    /// Answers the request that a WebSocket begins with, once it is whole. `received`: how many of its bytes are new.
    pub(super) fn upgrade(&mut self, slot: Slot, received: usize) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let bytes = connection.take_partial();
        match upgrade::read(&bytes, bytes.len() - received, &self.rules) {
            Ok(None) => connection.keep_partial(bytes, true, 0, now),
            Ok(Some(agreed)) => {
                connection.dress = Dress::agreed(agreed.protocol);
                self.wardrobe.websockets += 1;
                self.metrics().upgrades.inc();
                self.say(slot, answer::agree(&agreed, &self.rules));
            }
            Err(refusal) => self.leave(slot, Leave::Refused(refusal)),
        }
    }

    /// The frame of the first message of a WebSocket, and the bytes behind that message, once it is whole.
    pub(super) fn first_message(&mut self, slot: Slot) -> Option<Vec<u8>> {
        let now = self.now;
        let Shard { connections, json, limits, .. } = self;
        let connection = connections.get_mut(slot)?;
        let dress = connection.dress;
        let bytes_max = dress.message_bytes_max(limits.frame_bytes_max);
        let mut pongs = Pongs::behind(connection.outbox.bytes());
        let mut incoming = connection.take_incoming();
        let mut bytes = connection.take_partial();
        let mut rest = &mut bytes[..];
        let first = loop {
            let event = match incoming.next(&mut rest, bytes_max) {
                Ok(Some(event)) => event,
                Ok(None) => break Ok(None),
                Err(fault) => break Err(Misread::Leave(fault.into())),
            };
            match dress.message(event, &mut pongs) {
                Ok(Some(message)) => break dress.frame(message, json, None, limits.frame_bytes_max).map(Some),
                Ok(None) => {}
                Err(leave) => break Err(Misread::Leave(leave)),
            }
        };
        let first = first.map(|first| first.map(|(_, frame)| [frame, rest].concat()));
        if let Ok(None) = first {
            connection.keep_unread(incoming, Vec::new(), true, 0, now);
        }
        self.pong(slot, pongs);
        first.unwrap_or_else(|misread| {
            self.misread(slot, dress, misread);
            None
        })
    }

    /// A first message that is no frame ends the connection; whoever types JSON is told before what is wrong with it.
    fn misread(&mut self, slot: Slot, dress: Dress, misread: Misread) {
        match misread {
            Misread::Leave(leave) => self.leave(slot, leave),
            Misread::Json(JsonError { reference, code, message }) => {
                let mut bytes = Vec::new();
                let error = self.fx.frame_apart(reference, |b| frames::error(b, Refusal::new(code), &message, None));
                dress.write(error, &mut bytes);
                self.say(slot, bytes);
                self.goodbye(slot, CloseCode::malformed_frame, 0);
            }
        }
    }

    /// Reads all whole messages, in place where they arrived in one piece and one frame. What is left of one is kept.
    pub(super) fn read_messages(&mut self, slot: Slot, received: Option<(BufferId, usize)>) {
        let Shard { ring, connections, users, fx, json, limits, now, metrics, id, leaving, .. } = self;
        let Some(connection) = connections.get_mut(slot) else { return };
        let Some(session) = connection.session() else { return };
        let (had_partial, began_ms) = (connection.has_partial(), connection.partial_began_ms());
        let dress = connection.dress;
        let bytes_max = dress.message_bytes_max(limits.frame_bytes_max);
        let has_room = connection.outbox.bytes() <= dress.outbox_bytes_max(limits.outbox_bytes_max);
        let mut pongs = Pongs::behind(connection.outbox.bytes());
        let mut incoming = connection.take_incoming();
        let mut waiting = connection.take_partial();
        let mut rest = match received {
            Some((buffer, length)) if waiting.is_empty() => ring.received_mut(buffer, length),
            Some((buffer, length)) => {
                waiting.extend_from_slice(ring.received(buffer, length));
                &mut waiting[..]
            }
            None => &mut waiting[..],
        };
        let mut frames = 0;
        let read = loop {
            if !has_room {
                break Ok(());
            }
            let event = match incoming.next(&mut rest, bytes_max) {
                Ok(Some(event)) => event,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault.into()),
            };
            let message = match dress.message(event, &mut pongs) {
                Ok(Some(message)) => message,
                Ok(None) => continue,
                Err(leave) => break Err(leave),
            };
            frames += 1;
            match dress.frame(message, json, users.user_name(session), limits.frame_bytes_max) {
                Ok((frame, _)) => users.frame(session, frame, *now, fx),
                Err(Misread::Json(error)) => fx.error(slot, error.reference, Refusal::new(error.code), &error.message),
                Err(Misread::Leave(leave)) => break Err(leave),
            }
        };
        metrics[*id as usize].frames_in.add(frames);
        match read {
            Ok(()) => connection.keep_unread(incoming, rest.to_vec(), !had_partial || frames > 0, began_ms, *now),
            Err(leave) => {
                connection.is_leaving = true;
                leaving.push((slot, leave));
            }
        }
        if !has_room && !std::mem::replace(&mut connection.is_paused, true) {
            ring.stop_receiving(slot);
        }
        self.pong(slot, pongs);
    }

    fn pong(&mut self, slot: Slot, mut pongs: Pongs) {
        if let Some(bytes) = pongs.take() {
            self.say(slot, bytes);
        }
    }
}
