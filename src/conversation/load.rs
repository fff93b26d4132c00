//! From disk into memory and back. A conversation whose kind is on disk is loaded when somebody asks for it; what he asked waits, in order.
//! One that nobody uses leaves memory: its log stays.

use super::dedupe::Dedupe;
use super::publish::fingerprint;
use super::{Conversation, Conversations, Group, Key, Kind, Member, Name, WAITING_MAX};
use crate::clock::Now;
use crate::effects::Effects;
use crate::mesh::{Event, Refusal, Request};
use crate::slot::ShardId;
use crate::store::{Command, Load, LogId, NotRead, StoredConversation};
use crate::wire::schema::ErrorCode;

/// Whether a request can be taken up at once.
pub(super) enum Held {
    /// It can.
    Free(Request),
    /// It waits with its conversation.
    Waits,
    /// Too many wait.
    Full(Request),
}

impl Conversations {
    /// Lets a request wait where it must.
    pub(super) fn hold(&mut self, from: ShardId, request: Request, now: Now, fx: &mut Effects) -> Held {
        let Some(key) = request.conversation() else { return Held::Free(request) };
        let is_on_disk = self.policies.is_on_disk(key.kind());
        if !is_on_disk && key.kind() != Kind::Group {
            // There is nothing that it could wait for.
            return Held::Free(request);
        }
        let log = match self.index_of(key) {
            Some(log) => log,
            // Whoever goes has nothing to load.
            None if !is_on_disk || matches!(request, Request::Detach { .. }) => {
                return Held::Free(request);
            }
            None => match self.begin_load(key.clone(), now, fx) {
                Some(log) => log,
                None => return Held::Full(request),
            },
        };
        let conversation = &mut self.all[log];
        conversation.used_ms = now.mono_ms;
        if !conversation.must_wait(&request) {
            return Held::Free(request);
        }
        if conversation.waiting.len() >= WAITING_MAX {
            return Held::Full(request);
        }
        conversation.waiting.push_back((from, request));
        Held::Waits
    }

    fn begin_load(&mut self, key: Key, now: Now, fx: &mut Effects) -> Option<LogId> {
        let policy = *self.policies.of(key.kind());
        let (recent_max, dedupe_ms) = (self.limits.dedupe_messages_max, u64::from(self.limits.dedupe_ms));
        let conversation = self.create(key).ok()?;
        conversation.is_loading = true;
        let log = conversation.log;
        fx.commands.push(Command::Load(Box::new(Load {
            log,
            key: conversation.key.clone(),
            row: conversation.place.row,
            durability: policy.durability,
            recent_after_ms: now.wall_ms.saturating_sub(dedupe_ms),
            recent_max,
            sizes_up_to: policy.history_bytes_max,
        })));
        Some(log)
    }

    /// Some members of a group have come from disk.
    pub(super) fn members_loaded(&mut self, log: LogId, members: Vec<(Name, Member)>) {
        let Some(conversation) = self.all.get_mut(log) else { return };
        let group = conversation.group.get_or_insert_default();
        members.into_iter().for_each(|(user, member)| group.restore(user, member));
    }

    /// All that the disk knows of a conversation has come; what waited for it can go on.
    pub(super) fn loaded(
        &mut self,
        log: LogId,
        result: Result<Option<Box<StoredConversation>>, NotRead>,
        now: Now,
        fx: &mut Effects,
    ) {
        let slots = self.slots;
        let Some(conversation) = self.all.get_mut(log) else { return };
        conversation.is_loading = false;
        match result {
            Ok(None) => {}
            Ok(Some(stored)) => {
                let has_epoch = stored.epoch != 0;
                conversation.restore(*stored, |sender, client_id| fingerprint(&slots, sender, client_id));
                if !has_epoch {
                    // It keeps the new one that it was created with.
                    conversation.is_head_due = true;
                }
                conversation.retain();
            }
            Err(NotRead) => {
                let waiting = std::mem::take(&mut conversation.waiting);
                self.remove(log, fx);
                for (from, request) in waiting {
                    let mut refused = Effects::default();
                    refuse(from, request, Refusal::new(ErrorCode::internal), &mut refused);
                    self.late.append(&mut refused.events.into());
                }
                return;
            }
        }
        conversation.used_ms = now.mono_ms;
        self.make_ready(log);
    }

    /// Something may be taken up in this conversation.
    pub(super) fn make_ready(&mut self, log: LogId) {
        let conversation = &mut self.all[log];
        if !conversation.waiting.is_empty() && !std::mem::replace(&mut conversation.is_ready, true) {
            self.ready.push_back(log);
        }
    }

    /// Takes up one thing that waits. Says whether there was one. The conversations take turns.
    pub(super) fn take_up_next(&mut self, now: Now, fx: &mut Effects) -> bool {
        while let Some(log) = self.ready.pop_front() {
            let Some(conversation) = self.all.get_mut(log) else { continue };
            conversation.is_ready = false;
            let may = conversation.waiting.front().is_some_and(|(_, request)| !conversation.is_held_by(request));
            if !may {
                continue;
            }
            let Some((from, request)) = conversation.waiting.pop_front() else { continue };
            self.take_up(from, request, now, fx);
            if self.all.get(log).is_some() {
                self.make_ready(log);
                self.leave_if_vacant(log, fx);
            }
            return true;
        }
        false
    }

    /// A group that there is not is not kept.
    fn leave_if_vacant(&mut self, log: LogId, fx: &mut Effects) {
        let conversation = &self.all[log];
        if conversation.key.kind() == Kind::Group && conversation.group.is_none() && conversation.is_at_rest() {
            self.remove(log, fx);
        }
    }
}

impl Conversation {
    fn must_wait(&self, request: &Request) -> bool {
        // What waits goes first.
        self.is_held_by(request) || !self.waiting.is_empty() && !matches!(request, Request::Detach { .. })
    }

    fn is_held_by(&self, request: &Request) -> bool {
        let is_judged_by_members = matches!(request, Request::Publish(_) | Request::Change(_));
        self.is_loading || (is_judged_by_members && self.changes_in_flight > 0)
    }

    fn restore(&mut self, stored: StoredConversation, fingerprint: impl Fn(&str, &str) -> u128) {
        let StoredConversation { incarnation, epoch, first, committed, last_time_ms, title, flags, receipts, recent, sizes } =
            stored;
        self.place.incarnation = incarnation;
        if epoch != 0 {
            self.epoch = epoch;
        }
        (self.first, self.committed, self.last_seq, self.last_time_ms) = (first, committed, committed, last_time_ms);
        if self.key.kind() == Kind::Group {
            self.group.get_or_insert_default().describe(title, flags);
        }
        for (user, delivered, read) in receipts {
            if self.key.kind() == Kind::Direct && self.key.users().contains(&&*user) {
                let side = self.side(&user);
                self.receipts[side] = (delivered, read);
            }
        }
        self.dedupe = Dedupe::default();
        for publish in recent {
            self.dedupe.insert(fingerprint(&publish.sender, &publish.client_id), publish.seq, publish.time_ms);
        }
        self.sizes_sum = sizes.iter().map(|&(_, bytes)| u64::from(bytes)).sum();
        self.sizes = sizes.into();
        if let Some(&(oldest, _)) = self.sizes.front() {
            // The disk counted back as far as the policy goes.
            self.first = self.first.max(oldest);
        }
    }

    /// Nobody has used it since, and all that is known of it is on disk.
    pub(super) fn is_idle(&self, before_ms: u64) -> bool {
        let is_unused = self.used_ms < before_ms && self.interest.is_empty() && self.is_at_rest();
        self.policy.durability.is_on_disk() && is_unused && !self.is_head_due
    }
}

impl Group {
    /// What its head says.
    fn describe(&mut self, title: bytes::Bytes, flags: u8) {
        use super::flags::{OPEN, WHOLE_HISTORY};
        (self.title, self.open, self.whole_history) = (title, flags & OPEN != 0, flags & WHOLE_HISTORY != 0);
    }
}

/// The one answer to a request that cannot even wait.
pub(super) fn refuse(to: ShardId, request: Request, refusal: Refusal, fx: &mut Effects) {
    let result = Err(refusal);
    let event = match request {
        Request::Publish(publish) => Event::Placed { reply: publish.reply, result: Err(refusal) },
        Request::Change(change) => Event::Changed { key: change.key, reply: change.reply, created: false, result: Err(refusal) },
        Request::Attach { key, session, .. } => Event::Attached { key, session, result: Err(refusal) },
        Request::Read(read) => super::retract::refused(*read, refusal),
        Request::Members { key, reply, .. } => Event::Members { key, reply, result: Err(refusal) },
        Request::Receipt { key, reply, kind, cursor, .. } => Event::Noted { key, reply, kind, cursor, result },
        Request::Ephemeral { reply, .. } => Event::Done { reply, result },
        Request::Receivers { key, part, .. } => Event::Receivers { key, part, result: Err(refusal) },
        Request::Describe { part, .. } => Event::Described { part, description: Err(refusal) },
        Request::Detach { .. } => Event::Detached,
        Request::CountReceivers { .. } | Request::Hint { .. } | Request::Presence { .. } | Request::Unwatch { .. } => {
            unreachable!("this request goes to the home of users")
        }
    };
    fx.event(to, event);
}
