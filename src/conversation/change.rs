//! Changes of groups: decided against the members as they are, written as records, true when committed.

use smallvec::SmallVec;

use super::publish::InFlight;
use super::{Content, Conversation, Conversations, Group, IN_FLIGHT_MAX, Record, flags};
use crate::clock::Now;
use crate::effects::Effects;
use crate::mesh::{Change, Event, GroupChange, Refusal, Reply};
use crate::slot::{ShardId, Slots};
use crate::store::LogId;
use crate::wire::schema::{ErrorCode, RecordKind, Role};

impl Conversations {
    pub(super) fn change(&mut self, from: ShardId, change: GroupChange, now: Now, fx: &mut Effects) {
        let (key, reply) = (change.key.clone(), change.reply);
        if let Err(refusal) = self.try_change(from, change, now, fx) {
            fx.event(from, Event::Changed { key, reply, created: false, result: Err(refusal) });
        }
    }

    fn try_change(&mut self, from: ShardId, change: GroupChange, now: Now, fx: &mut Effects) -> Result<(), Refusal> {
        let members_max = self.limits.group_members_max as usize;
        let log = self.index_of(&change.key);
        let Some(log) = log.filter(|&log| self.all[log].group.is_some()) else {
            return match change.change {
                Change::Create { .. } => self.found(from, change, log, now, fx),
                _ => Err(Refusal::new(ErrorCode::unknown_conversation)),
            };
        };
        if self.all[log].in_flight.len() >= IN_FLIGHT_MAX || !self.has_room_to_append(self.all[log].place.row) {
            return Err(Refusal::busy());
        }
        let conversation = &mut self.all[log];
        let group = conversation.group.as_ref().expect("there is one");
        let mut content = group.decide(&change.actor, &change.change, members_max).map_err(Refusal::new)?;
        if group.len() > self.limits.member_changes_told_max as usize {
            content = content.quiet();
        }
        let GroupChange { actor, reply, .. } = change;
        conversation.append(actor, content, |record| InFlight::of(record, from, reply), now, fx);
        self.count_appends(log, 1);
        Ok(())
    }

    /// `log`: its place, if it has one because the disk was asked whether there is such a group.
    fn found(
        &mut self,
        from: ShardId,
        change: GroupChange,
        log: Option<LogId>,
        now: Now,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let GroupChange { key, actor, reply, change, .. } = change;
        let Change::Create { title, open, whole_history, members } = change else {
            unreachable!("a group is founded by creating it")
        };
        let log = match log {
            Some(log) => log,
            None => self.create(key)?.log,
        };
        if !self.has_room_to_append(self.all[log].place.row) {
            return Err(Refusal::busy());
        }
        let conversation = &mut self.all[log];
        conversation.group = Some(Box::new(Group::new(open, whole_history)));
        let flags = if open { flags::OPEN } else { 0 } | if whole_history { flags::WHOLE_HISTORY } else { 0 };
        let created = Content { flags, ..Content::change(RecordKind::created, None, Role::owner, title) };
        conversation.append(actor.clone(), created, |record| InFlight::of(record, from, reply), now, fx);
        for member in members {
            let added = Content::change(RecordKind::added, Some(member), Role::member, bytes::Bytes::new());
            let in_flight = |record| InFlight { record, replies: SmallVec::new(), publisher: None };
            conversation.append(actor.clone(), added, in_flight, now, fx);
        }
        let records = conversation.in_flight.len();
        self.count_appends(log, records);
        Ok(())
    }
}

impl Conversation {
    /// A record about members has been committed, and told to all who listened before it.
    pub(super) fn apply_change(&mut self, record: &Record, publisher: Option<(ShardId, Reply)>, slots: &Slots, fx: &mut Effects) {
        let Some(group) = &mut self.group else { return };
        group.apply(record);
        let new_member = match record.content.kind {
            RecordKind::created => Some(&record.sender),
            RecordKind::added | RecordKind::joined => record.content.subject.as_ref(),
            _ => None,
        };
        if let Some(user) = new_member {
            let home = slots.home(user.as_bytes());
            let publisher = publisher.filter(|&(from, _)| from == home).map(|(_, reply)| reply.session);
            let place = (record.epoch, record.seq);
            fx.event(home, Event::MemberAdded { key: self.key.clone(), user: user.clone(), place, publisher });
        }
    }
}
