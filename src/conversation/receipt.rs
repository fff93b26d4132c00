//! Receipts, which are remembered and passed on, and ephemeral events, which are only passed on.

use bytes::Bytes;

use super::{Conversation, Conversations, Key, Kind, Name};
use crate::effects::Effects;
use crate::mesh::{Event, Refusal, Reply};
use crate::slot::ShardId;
use crate::wire::schema::{ErrorCode, ReceiptKind};

impl Conversations {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn receipt(
        &mut self,
        from: ShardId,
        key: Key,
        user: Name,
        reply: Reply,
        kind: ReceiptKind,
        (epoch, seq): (u64, u64),
        fx: &mut Effects,
    ) {
        let (slots, members_max) = (self.slots, self.limits.receipts_group_members_max as usize);
        let result = self.readable(&key, &user).and_then(|conversation| {
            if epoch != conversation.epoch || seq > conversation.committed {
                return Err(Refusal::new(ErrorCode::bad_request));
            }
            let advanced = conversation.advance_receipt(&user, kind, seq);
            let told = advanced && conversation.group.as_ref().is_none_or(|group| group.len() <= members_max);
            if told {
                conversation.tell(&slots, fx, |shard| Event::Receipted {
                    key: key.clone(),
                    user: user.clone(),
                    kind,
                    cursor: (epoch, seq),
                    origin: (shard == from).then_some(reply.session),
                });
            }
            Ok(())
        });
        fx.event(from, Event::Noted { key, reply, kind, cursor: (epoch, seq), result });
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn ephemeral(
        &mut self,
        from: ShardId,
        key: Key,
        sender: Name,
        reply: Reply,
        name: Box<str>,
        body: Bytes,
        fx: &mut Effects,
    ) {
        let slots = self.slots;
        let result = match self.readable(&key, &sender) {
            Ok(conversation) => {
                conversation.tell(&slots, fx, |_| Event::Ephemeral {
                    key: key.clone(),
                    sender: sender.clone(),
                    name: name.clone(),
                    body: body.clone(),
                });
                Ok(())
            }
            Err(refusal) => Err(refusal),
        };
        fx.event(from, Event::Done { reply, result });
    }
}

impl Conversation {
    /// Receipts never go back. Says whether this one went on. Topics and broadcast keep none.
    fn advance_receipt(&mut self, user: &Name, kind: ReceiptKind, seq: u64) -> bool {
        let side = if self.key.kind() == Kind::Direct { self.side(user) } else { 0 };
        let place = match (&mut self.group, self.key.kind()) {
            (Some(group), _) => match group.member_mut(user) {
                Some(member) if kind == ReceiptKind::read => &mut member.read,
                Some(member) => &mut member.delivered,
                None => return false,
            },
            (None, Kind::Direct) if kind == ReceiptKind::read => &mut self.receipts[side].1,
            (None, Kind::Direct) => &mut self.receipts[side].0,
            _ => return false,
        };
        let advanced = seq > *place;
        *place = seq.max(*place);
        advanced
    }
}
