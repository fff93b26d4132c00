//! One user: his sessions, his conversations, and who watches him.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::hints::Opening;
use super::list::{Entry, List};
use super::loading::Loading;
use crate::conversation::{Key, Name};
use crate::few::Few;
use crate::mesh::SessionKey;
use crate::rate::Bucket;
use crate::slot::{ShardId, Slots};

/// A user is known here while he has sessions, watchers, conversations that only this memory knows, or something under way; and a while longer.
pub(super) struct User {
    pub(super) name: Name,
    /// Indexes of his sessions.
    pub(super) sessions: Few<u32>,
    pub(super) bucket: Bucket,
    pub(super) last_seen_ms: u64,
    /// How often his last session has left.
    pub(super) absences: u32,
    /// Others see him as present; a little longer than he has sessions.
    pub(super) online: bool,
    /// Everything that is on disk of his list is in `list`. Always so if no list is on disk. Whoever has sessions is loaded.
    pub(super) is_loaded: bool,
    pub(super) list: Option<Box<List>>,
    /// Since when he rests, if he does: see [`super::resting`].
    pub(super) resting: Option<NonZeroU64>,
    pub(super) pending: Option<Box<Pending>>,
}

/// A user who asks, and his groups, hashed.
pub(super) type Asker = (Name, Arc<[u64]>);

/// What most users do not have: who watches him, and, if his list is on disk, what is under way.
#[derive(Default)]
pub(super) struct Pending {
    /// His list is being loaded.
    pub(super) loading: Option<Loading>,
    /// Direct conversations that wait until the lists of both know them.
    pub(super) openings: Vec<Opening>,
    /// Writes of cursors that are to come, or are not completed.
    pub(super) writes: u32,
    /// Sessions that want to know whether he is there, and what they share: judged when his list is loaded.
    pub(super) unjudged: BTreeMap<(ShardId, SessionKey), Asker>,
    /// Sessions that are told when he comes and goes, each with the conversation that lets it, hashed: that must stay in his list.
    watchers: BTreeMap<(ShardId, SessionKey), u64>,
}

impl Pending {
    fn is_over(&self) -> bool {
        !self.is_busy() && self.unjudged.is_empty() && self.watchers.is_empty()
    }

    /// Whether something is on its way that needs his list.
    fn is_busy(&self) -> bool {
        self.loading.is_some() || !self.openings.is_empty() || self.writes > 0
    }
}

impl User {
    pub(super) fn new(name: Name, is_loaded: bool) -> User {
        User {
            name,
            sessions: Few::default(),
            bucket: Bucket::default(),
            last_seen_ms: 0,
            absences: 0,
            online: false,
            is_loaded,
            list: None,
            resting: None,
            pending: None,
        }
    }

    /// Whether nothing is lost by forgetting him.
    pub(super) fn is_forgettable(&self, now_ms: u64) -> bool {
        let listed = self.list.as_ref().is_some_and(|list| !list.is_empty());
        let awaited = self.pending.is_some() || self.resting.is_some();
        self.sessions.is_empty() && !awaited && !listed && !self.online && self.bucket.is_full(now_ms)
    }

    /// Whether his list must stay.
    pub(super) fn is_busy(&self) -> bool {
        !self.sessions.is_empty() || self.online || self.pending.as_ref().is_some_and(|pending| pending.is_busy())
    }

    /// His list, made if need be.
    pub(super) fn list(&mut self, slots: Slots, first_number: u32) -> &mut List {
        self.list.get_or_insert_with(|| List::new(slots, first_number))
    }

    pub(super) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.list.as_ref()?.entry(key)
    }

    pub(super) fn entry_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.list.as_mut()?.entry_mut(key)
    }

    pub(super) fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Whether something that he published waits until the lists of both users know of the conversation.
    pub(super) fn is_opening(&self, key: &Key) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.openings.iter().any(|opening| opening.is_of(key)))
    }

    /// A session is told when he comes and goes, because of a conversation (hashed) that both are in.
    pub(super) fn watch(&mut self, watcher: (ShardId, SessionKey), reason: u64) {
        self.pending().watchers.insert(watcher, reason);
    }

    pub(super) fn unwatch(&mut self, watcher: (ShardId, SessionKey)) {
        if let Some(pending) = &mut self.pending {
            pending.watchers.remove(&watcher);
            pending.unjudged.remove(&watcher);
            self.tidy();
        }
    }

    /// Keeps those watchers, each with his reason, of whom `stays` says so.
    pub(super) fn keep_watchers(&mut self, mut stays: impl FnMut((ShardId, SessionKey), u64) -> bool) {
        if let Some(pending) = &mut self.pending {
            pending.watchers.retain(|&watcher, &mut reason| stays(watcher, reason));
            self.tidy();
        }
    }

    pub(super) fn watchers(&self) -> impl Iterator<Item = (ShardId, SessionKey)> {
        self.pending.iter().flat_map(|pending| pending.watchers.keys().copied())
    }

    /// Something that was under way is over.
    pub(super) fn tidy(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| pending.is_over()) {
            self.pending = None;
        }
    }
}
