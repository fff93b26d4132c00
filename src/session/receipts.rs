//! Receipts: a session says how far its device has received, or its user has read. The home of the conversation judges, remembers and tells others.

use super::{Outcome, Users, address, bad_request};
use crate::conversation::Key;
use crate::effects::{Effects, Weight};
use crate::id::Address;
use crate::mesh::{Refusal, Reply, Request, SessionKey};
use crate::wire::conversation;
use crate::wire::schema::{self as s, ReceiptKind};

impl Users {
    pub(super) fn receipt(&mut self, reply: Reply, body: s::Receipt<'_>, fx: &mut Effects) -> Outcome {
        let key = self.key_of(reply.session, address(body.conversation())?);
        let cursor = body.cursor().ok_or_else(|| bad_request("cursor is missing"))?;
        let cursor = (cursor.epoch(), cursor.seq());
        let user = self.user_of(reply.session).name.clone();
        let home = self.home_of(&key);
        // A kind of a newer protocol says at least that it arrived.
        let kind = if body.kind() == ReceiptKind::read { ReceiptKind::read } else { ReceiptKind::delivered };
        self.ask(reply.session, home, Request::Receipt { key, user, reply, kind, cursor }, fx)
    }

    /// The home has taken a receipt, or not. Only what it has taken moves the cursors that are stored here.
    pub(super) fn noted(
        &mut self,
        key: &Key,
        reply: Reply,
        kind: ReceiptKind,
        (epoch, seq): (u64, u64),
        result: Result<(), Refusal>,
        fx: &mut Effects,
    ) {
        let on_disk = self.policies.is_on_disk(key.kind());
        let devices_max = self.limits.sessions_per_user_max as usize;
        let known = self.session(reply.session).map(|session| (session.user, session.device.clone()));
        if let (Some((user, _)), Ok(())) = (&known, result)
            && self.is_starting(*user)
            && let Some(number) = self.users[*user].entry(key).map(|entry| entry.number)
        {
            self.start_ahead(*user, number, key, fx);
        }
        if let (Some((user, device)), Ok(())) = (known, result)
            && let Some(entry) = self.users[user].entry_mut(key)
            && (entry.epoch == 0 || entry.epoch == epoch || on_disk)
        {
            let is_new_epoch = entry.epoch != epoch;
            if is_new_epoch && entry.epoch != 0 {
                // The log was repaired: where everyone stood in the former one is no place in this.
                (entry.read, entry.devices) = (0, Box::default());
            }
            entry.epoch = epoch;
            let has_moved = match kind {
                ReceiptKind::read => entry.has_read(seq),
                _ => entry.delivered(&device, seq, devices_max),
            };
            if on_disk {
                return self.cursors_moved(user, key, has_moved || is_new_epoch, reply, fx);
            }
        }
        self.done(reply, result, fx);
    }

    pub(super) fn receipted(
        &mut self,
        key: &Key,
        user: &str,
        kind: ReceiptKind,
        (epoch, seq): (u64, u64),
        origin: Option<SessionKey>,
        fx: &mut Effects,
    ) {
        let mut last: Option<(u32, crate::ring::Segment)> = None;
        for index in self.receivers(key) {
            if origin == Some(self.key_of_index(index)) {
                continue;
            }
            let session = &self.sessions[index];
            let address = key.address(&self.users[session.user].name);
            // In a direct conversation each side sees another name for it; in others one frame serves all.
            let frame = match &last {
                Some((user, frame)) if *user == session.user || !matches!(address, Address::Direct(_)) => frame.clone(),
                _ => fx.frame(0, |b| {
                    let conversation = Some(conversation(b, address));
                    let user = Some(b.create_string(user));
                    s::ReceiptEvent::create(b, &s::ReceiptEventArgs { conversation, user, kind, epoch, seq })
                }),
            };
            fx.send(session.connection, frame.clone(), Weight::Data);
            last = Some((session.user, frame));
        }
    }
}
