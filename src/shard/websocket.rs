//! WebSockets: the request that they begin with, and what they say.

use super::Shard;
use crate::net::{Dress, Leave, Pongs, whole_frame};
use crate::ring::{BufferId, Slot};
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

    /// The frame in the first message of a WebSocket, and the bytes behind that message.
    pub(super) fn first_message(&mut self, slot: Slot) -> Option<Vec<u8>> {
        let now = self.now;
        let connection = self.connections.get_mut(slot)?;
        let bytes_max = connection.dress.message_bytes_max(self.limits.frame_bytes_max);
        let mut pongs = Pongs::behind(connection.outbox.bytes());
        let mut incoming = connection.take_incoming();
        let mut bytes = connection.take_partial();
        let mut rest = &mut bytes[..];
        let first = loop {
            match incoming.next(&mut rest, bytes_max) {
                Ok(None) => break Ok(None),
                Ok(Some(event)) => match connection.dress.message(event, &mut pongs) {
                    Ok(None) => {}
                    Ok(Some(message)) => break whole_frame(message).map(|_| Some(message.to_vec())),
                    Err(leave) => break Err(leave),
                },
                Err(fault) => break Err(Leave::Fault(fault)),
            }
        };
        let first = match first {
            Ok(None) => {
                connection.keep_unread(incoming, Vec::new(), true, 0, now);
                None
            }
            Ok(Some(mut first)) => {
                first.extend_from_slice(rest);
                Some(first)
            }
            Err(leave) => {
                self.leave(slot, leave);
                None
            }
        };
        self.pong(slot, pongs);
        first
    }

    /// Reads all whole messages, in place where they arrived in one piece and one frame. What is left of one is kept.
    pub(super) fn read_messages(&mut self, slot: Slot, received: Option<(BufferId, usize)>) {
        let Shard { ring, connections, users, fx, limits, now, metrics, id, leaving, .. } = self;
        let metrics = &metrics[*id as usize];
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
        let mut end = None;
        while has_room && end.is_none() {
            match incoming.next(&mut rest, bytes_max) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    match dress.message(event, &mut pongs).and_then(|message| message.map(whole_frame).transpose()) {
                        Ok(None) => {}
                        Ok(Some(frame)) => {
                            frames += 1;
                            users.frame(session, frame, *now, fx);
                        }
                        Err(leave) => end = Some(leave),
                    }
                }
                Err(fault) => end = Some(Leave::Fault(fault)),
            }
        }
        metrics.frames_in.add(frames);
        match end {
            Some(leave) => leaving.push((slot, leave)),
            None => connection.keep_unread(incoming, rest.to_vec(), !had_partial || frames > 0, began_ms, *now),
        }
        if !has_room && !std::mem::replace(&mut connection.is_paused, true) {
            ring.stop_receiving(slot);
        }
        self.pong(slot, pongs);
    }

    fn pong(&mut self, slot: Slot, pongs: Pongs) {
        let bytes = pongs.into_bytes();
        if !bytes.is_empty() {
            self.say(slot, bytes);
        }
    }
}
