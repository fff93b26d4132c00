//! A user's list of conversations, as far as it is in memory.

use std::collections::BTreeMap;

use hashbrown::HashTable;

use super::cursors::Unsaved;
use crate::conversation::{Key, Kind};
use crate::mesh::Publish;
use crate::slot::Slots;
use crate::store::StoredEntry;

/// Where some lists are on disk, conversations that are not have their places from here on, so that they never collide with those that the store gives.
pub(super) const FIRST_IN_MEMORY: u32 = 1 << 31;

/// A user's conversations (direct and group), in the order in which he came to them. Hints: the truth about a group is its own log.
pub(super) struct List {
    /// Places have secret hashes, so that nobody can fill another's list with keys that collide.
    slots: Slots,
    entries: HashTable<Entry>,
    order: BTreeMap<u32, Key>,
    /// The last place that was given here; the store gives those of conversations on disk.
    last_number: u32,
}

/// What the user's home knows of one conversation.
pub(super) struct Entry {
    pub(super) key: Key,
    /// Its place in the order.
    pub(super) number: u32,
    /// Of the cursors; 0: there are none.
    pub(super) epoch: u64,
    /// Direct conversations: epoch and last seq of the log; its home offers every message, so this is exact. `None`: it has not been heard of.
    pub(super) log: Option<(u64, u64)>,
    /// The user has read up to here.
    pub(super) read: u64,
    /// His devices have received up to here, as far as they said so.
    pub(super) devices: Vec<(Box<str>, u64)>,
    pub(super) hint: HintState,
    /// Groups: epoch and seq of the record that made him a member, as far as it has been told.
    pub(super) joined: (u64, u64),
    /// The cursors are further than those on disk.
    pub(super) unsaved: Option<Box<Unsaved>>,
}

/// Whether the other side's list knows of a direct conversation, so that messages may be written to it.
pub(super) enum HintState {
    /// It does. Groups are always ready: they are hinted before they are entered.
    Ready,
    /// Nobody asked yet.
    Unknown,
    /// On its way; these wait, in order. (Of those on disk, in [`super::hints::Opening`].)
    Asked(Vec<Publish>),
}

impl List {
    /// `first_number`: the first place that is given here.
    pub(super) fn new(slots: Slots, first_number: u32) -> Box<List> {
        Box::new(List { slots, entries: HashTable::new(), order: BTreeMap::new(), last_number: first_number.saturating_sub(1) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.order.values().filter_map(|key| self.entry(key))
    }

    /// Those after a number, in order, each with its number.
    pub(super) fn after(&self, number: u32) -> impl Iterator<Item = (u32, &Entry)> {
        self.order.range(number.saturating_add(1)..).filter_map(|(&number, key)| Some((number, self.entry(key)?)))
    }

    /// The last places that are taken: below [`FIRST_IN_MEMORY`], and from there on.
    pub(super) fn last_numbers(&self) -> [u32; 2] {
        let last =
            |range: (std::ops::Bound<u32>, std::ops::Bound<u32>)| self.order.range(range).next_back().map_or(0, |(&n, _)| n);
        use std::ops::Bound::{Excluded, Included, Unbounded};
        [last((Unbounded, Excluded(FIRST_IN_MEMORY))), last((Included(FIRST_IN_MEMORY), Unbounded))]
    }

    pub(super) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.find(self.slots.hash(key.bytes()), |entry| entry.key == *key)
    }

    pub(super) fn entry_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.find_mut(self.slots.hash(key.bytes()), |entry| entry.key == *key)
    }

    /// The entry of a conversation in memory, made if need be. `None`: the list is full of groups.
    pub(super) fn insert(&mut self, key: &Key, entries_max: usize) -> Option<&mut Entry> {
        if self.entry(key).is_none() {
            if self.entries.len() >= entries_max && !(key.kind() == Kind::Direct && self.drop_oldest_direct()) {
                return None;
            }
            self.last_number += 1;
            self.place(Entry::new(key.clone(), self.last_number));
        }
        self.entry_mut(key)
    }

    /// The entry of a conversation on disk has this place.
    pub(super) fn put(&mut self, key: &Key, number: u32) {
        match self.entry_mut(key).map(|entry| std::mem::replace(&mut entry.number, number)) {
            Some(former) if former == number => {}
            Some(former) => {
                self.order.remove(&former);
                self.order.insert(number, key.clone());
            }
            None => self.place(Entry::new(key.clone(), number)),
        }
    }

    /// An entry as it was read from disk; what memory knows already is newer.
    pub(super) fn put_stored(&mut self, stored: StoredEntry) {
        let StoredEntry { key, number, epoch, read, devices } = stored;
        match self.entry_mut(&key) {
            Some(entry) if entry.epoch == 0 => (entry.epoch, entry.read, entry.devices) = (epoch, read, devices),
            Some(_) => {}
            None => self.place(Entry { epoch, read, devices, ..Entry::new(key, number) }),
        }
    }

    fn place(&mut self, entry: Entry) {
        self.order.insert(entry.number, entry.key.clone());
        let slots = self.slots;
        let hash = |entry: &Entry| slots.hash(entry.key.bytes());
        self.entries.insert_unique(hash(&entry), entry, hash);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        let place = self.entries.find_entry(self.slots.hash(key.bytes()), |entry| entry.key == *key).ok()?;
        let (entry, _) = place.remove();
        self.order.remove(&entry.number);
        Some(entry)
    }

    /// Forgets what is on disk as well.
    pub(super) fn unload(&mut self) {
        let kept = self.order.split_off(&FIRST_IN_MEMORY);
        for key in std::mem::replace(&mut self.order, kept).into_values() {
            if let Ok(place) = self.entries.find_entry(self.slots.hash(key.bytes()), |entry| entry.key == key) {
                place.remove();
            }
        }
    }

    fn drop_oldest_direct(&mut self) -> bool {
        let idle = |e: &Entry| e.key.kind() == Kind::Direct && !matches!(e.hint, HintState::Asked(_));
        let oldest = self.iter().find(|entry| idle(entry)).map(|entry| entry.key.clone());
        oldest.and_then(|key| self.remove(&key)).is_some()
    }
}

impl Entry {
    fn new(key: Key, number: u32) -> Entry {
        let hint = if key.kind() == Kind::Direct { HintState::Unknown } else { HintState::Ready };
        let (epoch, log, read, devices) = (0, None, 0, Vec::new());
        Entry { key, number, epoch, log, read, devices, hint, joined: (0, 0), unsaved: None }
    }

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

    /// The user has read everything up to `seq`. Says whether that is news.
    pub(super) fn has_read(&mut self, seq: u64) -> bool {
        let is_news = seq > self.read;
        self.read = self.read.max(seq);
        is_news
    }

    /// A device says that it has everything up to `seq`. Devices beyond `devices_max` push out the one that is furthest behind. Says whether that is news.
    pub(super) fn delivered(&mut self, device: &str, seq: u64, devices_max: usize) -> bool {
        if let Some((_, known)) = self.devices.iter_mut().find(|(name, _)| &**name == device) {
            let is_news = seq > *known;
            *known = seq.max(*known);
            return is_news;
        }
        if self.devices.len() >= devices_max
            && let Some(behind) = (0..self.devices.len()).min_by_key(|&i| self.devices[i].1)
        {
            self.devices.swap_remove(behind);
        }
        self.devices.push((device.into(), seq));
        true
    }
}
