//! Lists: a user's conversations, the members of one. What several homes know is gathered here.

use smallvec::SmallVec;

use super::{Outcome, Users, address, check_id, frames};
use crate::conversation::{Key, Kind};
use crate::effects::Effects;
use crate::mesh::{Description, MemberLine, Part, Refusal, Reply, Request};
use crate::slot::ShardId;
use crate::wire::schema::{self as s, ErrorCode};

/// Conversations in one page of the list; each is asked for at its home.
const CONVERSATIONS_PAGE_MAX: u32 = 100;

/// Answers that are being collected for one request.
pub(super) struct Gather {
    pub(super) reply: Reply,
    pub(super) left: usize,
    pub(super) what: Gathered,
}

pub(super) enum Gathered {
    Conversations { lines: Vec<(Key, u64, Option<Box<Description>>)>, next: u32, has_more: bool },
    Presence { users: Vec<(crate::conversation::Name, bool, u64)> },
    Receivers { sessions: u64 },
}

impl Users {
    pub(super) fn members(&mut self, reply: Reply, body: s::Members<'_>, fx: &mut Effects) -> Outcome {
        let key = self.key_of(reply.session, address(body.conversation())?);
        let after = body.after().map(|id| check_id("after", Some(id))).transpose()?.map(Into::into);
        let user = self.user_of(reply.session).name.clone();
        let limit = if body.limit() == 0 { self.limits.page_messages_max } else { body.limit() };
        let home = self.home_of(&key);
        self.ask(reply.session, home, Request::Members { key, user, reply, after, limit }, fx)
    }

    pub(super) fn members_listed(
        &mut self,
        key: &Key,
        reply: Reply,
        result: Result<(Vec<MemberLine>, bool), Refusal>,
        fx: &mut Effects,
    ) {
        let Some(connection) = self.answered(reply) else { return };
        let viewer = self.user_of(reply.session).name.clone();
        match result {
            Ok((lines, more)) => {
                fx.answer(connection, reply.reference, |b| frames::members(b, key.address(&viewer), &lines, more));
            }
            Err(refusal) => self.refuse(reply, refusal, fx),
        }
    }

    pub(super) fn conversations(&mut self, reply: Reply, body: s::Conversations<'_>, fx: &mut Effects) -> Outcome {
        self.has_window(reply.session)?;
        let limit = if body.limit() == 0 { CONVERSATIONS_PAGE_MAX } else { body.limit().min(CONVERSATIONS_PAGE_MAX) };
        let mut lines = Vec::new();
        let (mut next, mut has_more) = (body.after(), false);
        if let Some(list) = &self.user_of(reply.session).list {
            let mut rest = list.after(body.after());
            for (number, entry) in rest.by_ref().take(limit as usize) {
                lines.push((entry.key.clone(), entry.read, None));
                next = number;
            }
            has_more = rest.next().is_some();
        }
        let keys: Vec<Key> = lines.iter().map(|(key, ..)| key.clone()).collect();
        let user = self.user_of(reply.session).name.clone();
        let gather = self.gather(reply, keys.len(), Gathered::Conversations { lines, next, has_more }, fx);
        for (index, key) in (0..).zip(keys) {
            let (home, part) = (self.home_of(&key), Part { gather, index });
            self.credits.send(home, Request::Describe { key, user: user.clone(), part }, fx);
        }
        Ok(())
    }

    /// Begins to collect `count` answers for a request.
    pub(super) fn gather(&mut self, reply: Reply, count: usize, what: Gathered, fx: &mut Effects) -> u32 {
        self.sessions[reply.session.index].outstanding += 1;
        let (gather, _) = self.gathers.insert(Gather { reply, left: count, what });
        if count == 0 {
            self.finish_gather(gather, fx);
        }
        gather
    }

    /// One more answer is in.
    pub(super) fn gathered(&mut self, gather: u32, fx: &mut Effects) {
        self.gathers[gather].left -= 1;
        if self.gathers[gather].left == 0 {
            self.finish_gather(gather, fx);
        }
    }

    fn finish_gather(&mut self, gather: u32, fx: &mut Effects) {
        let Some(Gather { reply, what, .. }) = self.gathers.remove(gather) else { return };
        let Some(connection) = self.answered(reply) else { return };
        let viewer = self.user_of(reply.session).name.clone();
        match what {
            Gathered::Conversations { lines, next, has_more } => {
                fx.answer(connection, reply.reference, |b| {
                    let items: Vec<_> = lines
                        .iter()
                        .filter_map(|(key, read, description)| Some((key, read, description.as_ref()?)))
                        .map(|(key, read, description)| frames::conversation_info(b, key.address(&viewer), description, *read))
                        .collect();
                    let items = Some(b.create_vector(&items));
                    s::ConversationsPage::create(b, &s::ConversationsPageArgs { items, next, has_more })
                });
            }
            Gathered::Presence { users } => self.answer_presence(connection, reply.reference, &users, fx),
            Gathered::Receivers { sessions } => fx.answer(connection, reply.reference, |b| {
                s::PresenceAnswer::create(b, &s::PresenceAnswerArgs { users: None, sessions })
            }),
        }
    }

    pub(super) fn described(&mut self, part: Part, description: Result<Box<Description>, Refusal>, fx: &mut Effects) {
        let Gather { reply, what, .. } = &mut self.gathers[part.gather];
        if let Gathered::Conversations { lines, .. } = what {
            let (session, line) = (reply.session, &mut lines[part.index as usize]);
            let is_gone = description.as_ref().is_err_and(|refusal| refusal.code == ErrorCode::unknown_conversation);
            let key = (is_gone && line.0.kind() == Kind::Group).then(|| line.0.clone());
            line.2 = description.ok();
            // Its home says that he is no member: the list was only a hint.
            if let (Some(key), Some(user)) = (key, self.session(session).map(|s| s.user)) {
                self.strike_from_list(user, &key, fx);
            }
        }
        self.gathered(part.gather, fx);
    }

    pub(super) fn receivers_known(
        &mut self,
        key: &Key,
        part: Part,
        result: Result<SmallVec<[ShardId; 8]>, Refusal>,
        fx: &mut Effects,
    ) {
        match result {
            Err(refusal) => {
                if let Some(Gather { reply, .. }) = self.gathers.remove(part.gather)
                    && self.answered(reply).is_some()
                {
                    self.refuse(reply, refusal, fx);
                }
            }
            Ok(shards) => {
                self.gathers[part.gather].left += shards.len();
                for shard in shards {
                    self.credits.send(shard, Request::CountReceivers { key: key.clone(), part }, fx);
                }
                self.gathered(part.gather, fx);
            }
        }
    }

    pub(super) fn counted(&mut self, part: Part, sessions: u64, fx: &mut Effects) {
        if let Gathered::Receivers { sessions: sum } = &mut self.gathers[part.gather].what {
            *sum += sessions;
        }
        self.gathered(part.gather, fx);
    }
}
