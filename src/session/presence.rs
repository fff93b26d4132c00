//! Presence: a user is there from his first session until a little after his last. Those who share a conversation with him may know.

use std::sync::Arc;

use flatbuffers::{ForwardsUOffset, Vector};

use super::lists::Gathered;
use super::{Failure, Outcome, Users, address, bad_request, invalid_id};
use crate::clock::Now;
use crate::conversation::{Key, Kind, Name};
use crate::effects::{Effects, Weight};
use crate::mesh::{Event, Part, Reply, Request, SessionKey};
use crate::ring::Slot;
use crate::slot::ShardId;
use crate::wire::schema::{self as s, ErrorCode};

/// An answer that nobody waits for.
const NOBODY: Part = Part { gather: u32::MAX, index: 0 };

impl Users {
    // ---- those who ask

    pub(super) fn presence_query(&mut self, reply: Reply, body: s::PresenceQuery<'_>, fx: &mut Effects) -> Outcome {
        if body.conversation().is_some() {
            return self.count_sessions(reply, body, fx);
        }
        let users = self.users_named(body.users())?;
        self.ask_presence(reply, users, None, fx)
    }

    fn count_sessions(&mut self, reply: Reply, body: s::PresenceQuery<'_>, fx: &mut Effects) -> Outcome {
        let key = self.key_of(reply.session, address(body.conversation())?);
        self.has_window(reply.session)?;
        let user = self.user_of(reply.session).name.clone();
        let gather = self.gather(reply, 1, Gathered::Receivers { sessions: 0 }, fx);
        let home = self.home_of(&key);
        self.credits.send(home, Request::Receivers { key, user, part: Part { gather, index: 0 } }, fx);
        Ok(())
    }

    pub(super) fn presence_watch(&mut self, reply: Reply, body: s::PresenceWatch<'_>, fx: &mut Effects) -> Outcome {
        let users = self.users_named(body.users())?;
        let watching = &mut self.sessions[reply.session.index].more.get_or_insert_default().watching;
        let new: Vec<Name> = users.iter().filter(|user| !watching.contains(user)).cloned().collect();
        if watching.len() + new.len() > self.limits.presence_watch_max as usize {
            self.tidy(reply.session);
            return Err(ErrorCode::too_many_items.into());
        }
        watching.extend(new);
        self.ask_presence(reply, users, Some(reply.session), fx)
    }

    pub(super) fn presence_unwatch(&mut self, reply: Reply, body: s::PresenceUnwatch<'_>, fx: &mut Effects) -> Outcome {
        for user in self.users_named(body.users())? {
            if let Some(more) = &mut self.sessions[reply.session.index].more
                && let Some(at) = more.watching.iter().position(|name| *name == user)
            {
                more.watching.swap_remove(at);
                let home = self.slots.home(user.as_bytes());
                self.credits.send(home, Request::Unwatch { user, session: reply.session }, fx);
            }
        }
        self.tidy(reply.session);
        self.say_done(reply, fx);
        Ok(())
    }

    fn users_named(&self, list: Option<Vector<'_, ForwardsUOffset<&str>>>) -> Result<Vec<Name>, Failure> {
        let list = list.ok_or_else(|| bad_request("users is missing"))?;
        if list.len() > self.limits.presence_watch_max as usize {
            return Err(ErrorCode::too_many_items.into());
        }
        let mut users: Vec<Name> = Vec::with_capacity(list.len());
        for name in list.iter() {
            users.push(crate::id::check_id(name).map_err(|e| invalid_id("users", e))?.into());
        }
        users.sort_unstable();
        users.dedup();
        Ok(users)
    }

    fn ask_presence(&mut self, reply: Reply, users: Vec<Name>, watch: Option<SessionKey>, fx: &mut Effects) -> Outcome {
        self.has_window(reply.session)?;
        let answers = users.iter().map(|user| (user.clone(), false, 0)).collect();
        let gather = self.gather(reply, users.len(), Gathered::Presence { users: answers }, fx);
        let (asker, shared) = self.what_he_shares(self.sessions[reply.session.index].user);
        for (index, user) in (0..).zip(users) {
            let home = self.slots.home(user.as_bytes());
            let (asker, shared, part) = (asker.clone(), shared.clone(), Part { gather, index });
            self.credits.send(home, Request::Presence { user, asker, shared, watch, part }, fx);
        }
        Ok(())
    }

    /// The user's groups, hashed: enough for another home to see whether it has one of them too, and for nothing else.
    fn what_he_shares(&self, user: u32) -> (Name, Arc<[u64]>) {
        let user = &self.users[user];
        let entries = user.list.iter().flat_map(|list| list.iter());
        let groups = entries.filter(|e| e.key.kind() == Kind::Group);
        (user.name.clone(), groups.map(|e| self.slots.hash(e.key.bytes())).collect())
    }

    pub(super) fn presence_is(&mut self, part: Part, online: bool, last_seen_ms: u64, fx: &mut Effects) {
        if part == NOBODY {
            return;
        }
        if let Gathered::Presence { users } = &mut self.gathers[part.gather].what {
            let line = &mut users[part.index as usize];
            (line.1, line.2) = (online, last_seen_ms);
        }
        self.gathered(part.gather, fx);
    }

    pub(super) fn answer_presence(&mut self, to: Slot, reference: u64, users: &[(Name, bool, u64)], fx: &mut Effects) {
        fx.answer(to, reference, |b| {
            let lines: Vec<_> = users
                .iter()
                .map(|(user, online, last_seen_ms)| {
                    let user = Some(b.create_string(user));
                    s::UserPresence::create(b, &s::UserPresenceArgs { user, online: *online, last_seen_ms: *last_seen_ms })
                })
                .collect();
            let users = Some(b.create_vector(&lines));
            s::PresenceAnswer::create(b, &s::PresenceAnswerArgs { users, sessions: 0 })
        });
    }

    pub(super) fn presence_changed(
        &mut self,
        session: SessionKey,
        user: &str,
        online: bool,
        last_seen_ms: u64,
        fx: &mut Effects,
    ) {
        let Some(connection) = self.session(session).map(|s| s.connection) else { return };
        let frame = fx.frame(0, |b| {
            let user = Some(b.create_string(user));
            s::PresenceEvent::create(b, &s::PresenceEventArgs { user, online, last_seen_ms })
        });
        fx.send(connection, frame, Weight::Data);
    }

    // ---- the home of the one who is asked about

    #[allow(clippy::too_many_arguments)]
    pub(super) fn presence(
        &mut self,
        from: ShardId,
        name: &str,
        asker: Name,
        shared: &Arc<[u64]>,
        watch: Option<SessionKey>,
        part: Part,
        fx: &mut Effects,
    ) {
        if self.lists_on_disk && self.find_user(name).is_none_or(|user| !self.users[user].is_loaded) {
            if let Some(session) = watch {
                self.watch_unloaded(name, (from, session), asker, shared.clone());
            }
            return fx.event(from, Event::PresenceIs { part, online: false, last_seen_ms: 0 });
        }
        let reason = self.find_user(name).and_then(|user| Some((user, self.shared_with(user, &asker, shared)?)));
        let (mut online, mut last_seen_ms) = (false, 0);
        if let Some((user, reason)) = reason {
            let user = &mut self.users[user];
            (online, last_seen_ms) = (user.online, user.last_seen_ms);
            if let Some(session) = watch {
                user.watch((from, session), reason);
            }
        } else if let (Some(user), Some(session)) = (self.find_user(name), watch) {
            self.users[user].unwatch((from, session));
        }
        fx.event(from, Event::PresenceIs { part, online, last_seen_ms });
    }

    /// Hash of a conversation that both are in.
    fn shared_with(&self, user: u32, asker: &str, shared: &[u64]) -> Option<u64> {
        let user = &self.users[user];
        let direct = Key::direct(&user.name, asker);
        if *user.name == *asker || user.entry(&direct).is_some() {
            return Some(self.slots.hash(direct.bytes()));
        }
        let entries = user.list.as_ref()?.iter();
        entries.filter(|e| e.key.kind() == Kind::Group).map(|e| self.slots.hash(e.key.bytes())).find(|hash| shared.contains(hash))
    }

    /// He is not here, so he is offline; whether the asker may be told when he comes is seen when his list is.
    fn watch_unloaded(&mut self, name: &str, watcher: (ShardId, SessionKey), asker: Name, shared: Arc<[u64]>) {
        if self.find_user(name).is_none() && self.is_full() {
            return;
        }
        let user = self.find_or_add_user(name);
        self.users[user].unwatch(watcher);
        self.users[user].pending().unjudged.insert(watcher, (asker, shared));
    }

    /// His list is loaded: it tells who may watch him.
    pub(super) fn judge_watchers(&mut self, user: u32) {
        let unjudged = std::mem::take(&mut self.users[user].pending().unjudged);
        for (watcher, (asker, shared)) in unjudged {
            if let Some(reason) = self.shared_with(user, &asker, &shared) {
                self.users[user].watch(watcher, reason);
            }
        }
    }

    pub(super) fn unwatch(&mut self, from: ShardId, user: &str, session: SessionKey, now: Now, fx: &mut Effects) {
        if let Some(user) = self.find_user(user) {
            let known = &mut self.users[user];
            known.unwatch((from, session));
            self.forget_if_empty(user, now);
        }
        fx.event(from, Event::Unwatched);
    }

    /// The first session of a user.
    pub(super) fn came(&mut self, user: u32) {
        if !std::mem::replace(&mut self.users[user].online, true) {
            self.tell_watchers(user);
        }
    }

    /// His last session left, a while ago.
    pub(super) fn went_away(&mut self, user: u32) {
        if std::mem::replace(&mut self.users[user].online, false) {
            self.tell_watchers(user);
        }
    }

    fn tell_watchers(&mut self, user: u32) {
        let known = &self.users[user];
        self.news.extend(known.watchers().map(|(shard, session)| {
            let (user, online, last_seen_ms) = (known.name.clone(), known.online, known.last_seen_ms);
            (shard, Event::PresenceChanged { session, user, online, last_seen_ms })
        }));
    }

    /// A user is no longer in a conversation: who watched him because of it is told that he is gone, and asked again for other
    /// reasons by nobody; whom his own sessions watch is judged anew.
    pub(super) fn recheck_presence(&mut self, user: u32, key: &Key, fx: &mut Effects) {
        let reason = self.slots.hash(key.bytes());
        let known = &mut self.users[user];
        let (name, sessions) = (known.name.clone(), known.sessions.to_vec());
        known.keep_watchers(|(shard, session), shared| {
            let stays = shared != reason;
            if !stays {
                let user = name.clone();
                self.news.push_back((shard, Event::PresenceChanged { session, user, online: false, last_seen_ms: 0 }));
            }
            stays
        });
        let (asker, shared) = self.what_he_shares(user);
        for index in sessions {
            let session = self.key_of_index(index);
            let watching = self.sessions[index].more.as_ref().map(|more| more.watching.clone()).unwrap_or_default();
            for user in watching {
                let home = self.slots.home(user.as_bytes());
                let (asker, shared) = (asker.clone(), shared.clone());
                self.credits.send(home, Request::Presence { user, asker, shared, watch: Some(session), part: NOBODY }, fx);
            }
        }
    }
}
