//! One user: his sessions, his conversations, and who watches him.

use std::collections::BTreeMap;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::conversation::{Key, Kind, Name};
use crate::mesh::{Publish, SessionKey};
use crate::rate::Bucket;
use crate::slot::{ShardId, Slots};

/// A user is known here while he has sessions, conversations or watchers.
pub(super) struct User {
    pub(super) name: Name,
    /// Indexes of his sessions.
    pub(super) sessions: SmallVec<[u32; 2]>,
    pub(super) bucket: Bucket,
    pub(super) last_seen_ms: u64,
    /// When he will be seen to be gone, in monotonic time, if his last session left.
    pub(super) gone_at_ms: u64,
    /// Others see him as present; a little longer than he has sessions.
    pub(super) online: bool,
    pub(super) list: Option<Box<List>>,
    /// Sessions that want to know whether he is there, each with the conversation that lets it, hashed: that must stay in his list.
    pub(super) watchers: BTreeMap<(ShardId, SessionKey), u64>,
}

impl User {
    pub(super) fn new(name: Name) -> User {
        User {
            name,
            sessions: SmallVec::new(),
            bucket: Bucket::default(),
            last_seen_ms: 0,
            gone_at_ms: 0,
            online: false,
            list: None,
            watchers: BTreeMap::new(),
        }
    }

    /// Whether nothing is lost by forgetting him.
    pub(super) fn is_forgettable(&self, now_ms: u64) -> bool {
        let listed = self.list.as_ref().is_some_and(|list| !list.is_empty());
        self.sessions.is_empty() && self.watchers.is_empty() && !listed && !self.online && self.bucket.is_full(now_ms)
    }

    /// His list, made if need be.
    pub(super) fn list(&mut self, slots: Slots) -> &mut List {
        self.list.get_or_insert_with(|| List::new(slots))
    }

    pub(super) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.list.as_ref()?.entry(key)
    }

    pub(super) fn entry_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.list.as_mut()?.entry_mut(key)
    }
}

/// A user's conversations (direct and group), in the order in which he came to them. Hints: the truth about a group is its own log.
pub(super) struct List {
    /// Places have secret hashes, so that nobody can fill another's list with keys that collide.
    slots: Slots,
    entries: HashTable<Entry>,
    order: BTreeMap<u32, Key>,
    last_number: u32,
}

/// What the user's home knows of one conversation.
pub(super) struct Entry {
    pub(super) key: Key,
    /// Its place in the order.
    number: u32,
    pub(super) epoch: u64,
    /// Direct conversations: the last seq; its home offers every message, so this is exact.
    pub(super) committed: u64,
    /// The user has read up to here.
    pub(super) read: u64,
    /// His devices have received up to here, as far as they said so.
    pub(super) devices: Vec<(Box<str>, u64)>,
    pub(super) hint: HintState,
    /// Groups: epoch and seq of the record that made him a member, as far as it has been told.
    pub(super) joined: (u64, u64),
}

/// Whether the other side's list knows of a direct conversation, so that messages may be written to it.
pub(super) enum HintState {
    /// It does. Groups are always ready: they are hinted before they are entered.
    Ready,
    /// Nobody asked yet.
    Unknown,
    /// On its way; these wait, in order.
    Asked(Vec<Publish>),
}

impl List {
    fn new(slots: Slots) -> Box<List> {
        Box::new(List { slots, entries: HashTable::new(), order: BTreeMap::new(), last_number: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.order.values().filter_map(|key| self.entry(key))
    }

    /// Those after a number, in order, each with its number.
    pub(super) fn after(&self, number: u32) -> impl Iterator<Item = (u32, &Entry)> {
        self.order.range(number.saturating_add(1)..).filter_map(|(&number, key)| Some((number, self.entry(key)?)))
    }

    pub(super) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.find(self.slots.hash(key.bytes()), |entry| entry.key == *key)
    }

    pub(super) fn entry_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.find_mut(self.slots.hash(key.bytes()), |entry| entry.key == *key)
    }

    /// The entry, made if need be. `None`: the list is full of groups.
    pub(super) fn insert(&mut self, key: &Key, entries_max: usize) -> Option<&mut Entry> {
        if self.entry(key).is_none() {
            if self.entries.len() >= entries_max && !(key.kind() == Kind::Direct && self.drop_oldest_direct()) {
                return None;
            }
            self.last_number += 1;
            self.order.insert(self.last_number, key.clone());
            let hint = if key.kind() == Kind::Direct { HintState::Unknown } else { HintState::Ready };
            let (key, number) = (key.clone(), self.last_number);
            let entry = Entry { key, number, epoch: 0, committed: 0, read: 0, devices: Vec::new(), hint, joined: (0, 0) };
            let slots = self.slots;
            let hash = |entry: &Entry| slots.hash(entry.key.bytes());
            self.entries.insert_unique(hash(&entry), entry, hash);
        }
        self.entry_mut(key)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Ok(place) = self.entries.find_entry(self.slots.hash(key.bytes()), |entry| entry.key == *key) {
            let (entry, _) = place.remove();
            self.order.remove(&entry.number);
        }
    }

    fn drop_oldest_direct(&mut self) -> bool {
        let idle = |e: &Entry| e.key.kind() == Kind::Direct && !matches!(e.hint, HintState::Asked(_));
        let oldest = self.iter().find(|entry| idle(entry)).map(|entry| entry.key.clone());
        oldest.map(|key| self.remove(&key)).is_some()
    }
}

impl Entry {
    /// The user has become a member by this record. What is known of an earlier group of the same id is void.
    pub(super) fn joined(&mut self, place: (u64, u64)) {
        if self.epoch != place.0 {
            (self.epoch, self.read) = (place.0, 0);
            self.devices.clear();
        }
        self.joined = self.joined.max(place);
    }

    /// Where a device stands: what it said, or else (a new one) what the user has read.
    pub(super) fn cursor_of(&self, device: &str) -> u64 {
        self.devices.iter().find(|(name, _)| &**name == device).map_or(self.read, |&(_, seq)| seq)
    }

    /// A device says that it has everything up to `seq`. Devices beyond `devices_max` push out the one that is furthest behind.
    pub(super) fn delivered(&mut self, device: &str, seq: u64, devices_max: usize) {
        match self.devices.iter_mut().find(|(name, _)| &**name == device) {
            Some((_, known)) => *known = seq.max(*known),
            None => {
                if self.devices.len() >= devices_max
                    && let Some(behind) = (0..self.devices.len()).min_by_key(|&i| self.devices[i].1)
                {
                    self.devices.swap_remove(behind);
                }
                self.devices.push((device.into(), seq));
            }
        }
    }
}
