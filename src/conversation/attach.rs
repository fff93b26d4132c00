//! Attach: who receives a conversation, and questions about it.

use smallvec::SmallVec;

use super::{Conversations, Key, Kind, Name};
use crate::effects::Effects;
use crate::mesh::{Description, Event, Head, MemberLine, Part, Refusal, Reply, SessionKey};
use crate::slot::ShardId;
use crate::wire::schema::Role;

impl Conversations {
    pub(super) fn attach(&mut self, from: ShardId, key: Key, user: &Name, session: SessionKey, fx: &mut Effects) {
        let result = self.try_attach(from, &key, user);
        fx.event(from, Event::Attached { key, session, result });
    }

    fn try_attach(&mut self, from: ShardId, key: &Key, user: &Name) -> Result<Head, Refusal> {
        // What needs no founding begins with whoever comes first, also if he comes with a cursor of an earlier run.
        if key.kind() != Kind::Group {
            self.find_or_create(key)?;
        }
        let conversation = self.readable(key, user)?;
        if key.kind() != Kind::Direct {
            match conversation.interest.iter_mut().find(|(shard, _)| *shard == from) {
                Some((_, attachments)) => *attachments += 1,
                None => conversation.interest.push((from, 1)),
            }
        }
        Ok(conversation.head(user))
    }

    pub(super) fn detach(&mut self, from: ShardId, key: &Key, epoch: u64, attachments: u32, fx: &mut Effects) {
        if let Some(conversation) = self.find(key).filter(|c| c.epoch == epoch)
            && let Some(at) = conversation.interest.iter().position(|(shard, _)| *shard == from)
        {
            let left = conversation.interest[at].1.saturating_sub(attachments);
            conversation.interest[at].1 = left;
            if left == 0 {
                conversation.interest.swap_remove(at);
            }
        }
        fx.event(from, Event::Detached);
    }

    pub(super) fn receivers(&mut self, from: ShardId, key: Key, user: &Name, part: Part, fx: &mut Effects) {
        let slots = self.slots;
        let result = self.readable(&key, user).map(|c| c.listeners(&slots));
        fx.event(from, Event::Receivers { key, part, result });
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn members(
        &mut self,
        from: ShardId,
        key: Key,
        user: &Name,
        reply: Reply,
        after: Option<Name>,
        limit: u32,
        fx: &mut Effects,
    ) {
        let limit = limit.clamp(1, self.limits.page_messages_max) as usize;
        let result = self.readable(&key, user).map(|c| c.member_lines(after.as_deref(), limit));
        fx.event(from, Event::Members { key, reply, result });
    }

    pub(super) fn describe(&mut self, from: ShardId, key: &Key, user: &Name, part: Part, fx: &mut Effects) {
        let description = self.readable(key, user).map(|c| {
            let member = c.group.as_ref().and_then(|g| g.member(user));
            let title = c.group.as_ref().map(|g| g.title.clone()).unwrap_or_default();
            let read = member.map_or_else(|| c.receipt_of(user).1, |m| m.read);
            Box::new(Description { head: c.head(user), title, role: member.map_or(Role::none, |m| m.role), read })
        });
        fx.event(from, Event::Described { part, description });
    }
}

impl super::Conversation {
    fn member_lines(&self, after: Option<&str>, limit: usize) -> (Vec<MemberLine>, bool) {
        if let Some(group) = &self.group {
            let mut members = group.after(after);
            let lines = members.by_ref().take(limit).map(|(user, m)| MemberLine {
                user: user.clone(),
                role: m.role,
                joined: m.joined,
                delivered: m.delivered,
                read: m.read,
            });
            return (lines.collect(), members.next().is_some());
        }
        if self.key.kind() != Kind::Direct {
            return (Vec::new(), false);
        }
        let mut users: SmallVec<[&str; 2]> = self.key.users().into();
        users.dedup();
        let lines = users.into_iter().filter(|user| after.is_none_or(|a| *user > a)).map(|user| {
            let (delivered, read) = self.receipt_of(user);
            MemberLine { user: user.into(), role: Role::none, joined: 0, delivered, read }
        });
        (lines.collect(), false)
    }

    pub(super) fn receipt_of(&self, user: &str) -> (u64, u64) {
        match self.key.kind() {
            Kind::Direct => self.receipts[self.side(user)],
            _ => (0, 0),
        }
    }

    /// 0 or 1: which of the two users of a direct conversation this is.
    pub(super) fn side(&self, user: &str) -> usize {
        usize::from(self.key.users()[0] != user)
    }
}
