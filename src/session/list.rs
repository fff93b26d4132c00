//! A user's list of conversations, as far as it is in memory.

use hashbrown::HashTable;

use super::cursors::Unsaved;
use crate::conversation::{Key, Kind};
use crate::few::insert_tightly;
use crate::mesh::Publish;
use crate::slot::Slots;
use crate::store::StoredEntry;

/// Where some lists are on disk, conversations that are not have their places from here on, so that they never collide with those that the store gives.
pub(super) const FIRST_IN_MEMORY: u32 = 1 << 31;

/// More entries than this are looked up by an index: among fewer, going through their hashes is as fast.
const SCANNED_MAX: usize = 24;

/// A user's conversations (direct and group), in the order in which he came to them. Hints: the truth about a group is its own log. Most users have a handful,
/// and there are very many users: so entries lie side by side, with no room to spare.
pub(super) struct List {
    /// Places have secret hashes, so that nobody can fill another's list with keys that collide.
    slots: Slots,
    /// In the order of their numbers.
    entries: Vec<Entry>,
    /// Hash and number of each entry, if there are many.
    index: Option<Box<HashTable<(u32, u32)>>>,
    /// The last place that was given here; the store gives those of conversations on disk.
    last_number: u32,
}

/// What the user's home knows of one conversation.
pub(super) struct Entry {
    pub(super) key: Key,
    /// Its place in the order.
    pub(super) number: u32,
    /// Of the key.
    hash: u32,
    /// Of the cursors; 0: there are none.
    pub(super) epoch: u64,
    /// The user has read up to here.
    pub(super) read: u64,
    /// An epoch and a seq in it. Direct conversations: the last record of the log; its home offers every message, so this is exact. Groups: the record that
    /// made him a member. (0, 0): it has not been told.
    place: (u64, u64),
    /// His devices have received up to here, as far as they said so.
    pub(super) devices: Box<[(Box<str>, u64)]>,
    pub(super) hint: HintState,
    /// The cursors are further than those on disk.
    pub(super) unsaved: Option<Box<Unsaved>>,
}

const _: () = assert!(size_of::<Entry>() <= 96, "a million users have many of these each");

/// Whether the other side's list knows of a direct conversation, so that messages may be written to it.
pub(super) enum HintState {
    /// It does. Groups are always ready: they are hinted before they are entered.
    Ready,
    /// Nobody asked yet.
    Unknown,
    /// On its way; these wait, in order. (Of those on disk, in [`super::hints::Opening`].)
    #[allow(clippy::box_collection, reason = "one in very many has it, and all have its room")]
    Asked(Box<Vec<Publish>>),
}

impl List {
    /// `first_number`: the first place that is given here.
    pub(super) fn new(slots: Slots, first_number: u32) -> Box<List> {
        Box::new(List { slots, entries: Vec::new(), index: None, last_number: first_number.saturating_sub(1) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Those after a number, in order, each with its number.
    pub(super) fn after(&self, number: u32) -> impl Iterator<Item = (u32, &Entry)> {
        let first = self.entries.partition_point(|entry| entry.number <= number);
        self.entries[first..].iter().map(|entry| (entry.number, entry))
    }

    /// The last places that are taken: below [`FIRST_IN_MEMORY`], and from there on.
    pub(super) fn last_numbers(&self) -> [u32; 2] {
        let (on_disk, in_memory) = self.entries.split_at(self.on_disk());
        [on_disk, in_memory].map(|entries| entries.last().map_or(0, |entry| entry.number))
    }

    /// How many are on disk: they stand first.
    fn on_disk(&self) -> usize {
        self.entries.partition_point(|entry| entry.number < FIRST_IN_MEMORY)
    }

    pub(super) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.find(key).map(|at| &self.entries[at])
    }

    pub(super) fn entry_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.find(key).map(|at| &mut self.entries[at])
    }

    fn hash(&self, key: &Key) -> u32 {
        self.slots.hash(key.bytes()) as u32
    }

    fn find(&self, key: &Key) -> Option<usize> {
        let hash = self.hash(key);
        let is_it = |at: usize| self.entries[at].hash == hash && self.entries[at].key == *key;
        let Some(index) = &self.index else { return (0..self.entries.len()).find(|&at| is_it(at)) };
        let place = |number: u32| self.entries.binary_search_by_key(&number, |entry| entry.number).ok();
        let found = index.find(spread(hash), |&(of, number)| of == hash && place(number).is_some_and(is_it));
        found.and_then(|&(_, number)| place(number))
    }

    /// The entry of a conversation in memory, made if need be. `None`: the list is full of groups.
    pub(super) fn insert(&mut self, key: &Key, entries_max: usize) -> Option<&mut Entry> {
        if self.find(key).is_none() {
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
        match self.find(key) {
            Some(at) if self.entries[at].number == number => {}
            Some(at) => {
                let entry = Entry { number, ..self.take(at) };
                self.place(entry);
            }
            None => self.place(Entry::new(key.clone(), number)),
        }
    }

    /// An entry as it was read from disk; what memory knows already is newer.
    pub(super) fn put_stored(&mut self, stored: StoredEntry) {
        let StoredEntry { key, number, epoch, read, devices } = stored;
        let devices = devices.into_boxed_slice();
        match self.entry_mut(&key) {
            Some(entry) if entry.epoch == 0 => (entry.epoch, entry.read, entry.devices) = (epoch, read, devices),
            Some(_) => {}
            None => self.place(Entry { epoch, read, devices, ..Entry::new(key, number) }),
        }
    }

    fn place(&mut self, mut entry: Entry) {
        entry.hash = self.hash(&entry.key);
        if let Some(index) = &mut self.index {
            index.insert_unique(spread(entry.hash), (entry.hash, entry.number), |&(hash, _)| spread(hash));
        }
        let at = self.entries.partition_point(|before| before.number < entry.number);
        insert_tightly(&mut self.entries, at, entry);
        if self.index.is_none() && self.entries.len() > SCANNED_MAX {
            self.make_index();
        }
    }

    fn make_index(&mut self) {
        self.index = (self.entries.len() > SCANNED_MAX).then(|| {
            let mut index = HashTable::with_capacity(self.entries.len());
            for &Entry { hash, number, .. } in &self.entries {
                index.insert_unique(spread(hash), (hash, number), |&(hash, _)| spread(hash));
            }
            Box::new(index)
        });
    }

    fn take(&mut self, at: usize) -> Entry {
        let entry = self.entries.remove(at);
        if let Some(index) = &mut self.index
            && let Ok(place) = index.find_entry(spread(entry.hash), |&(_, number)| number == entry.number)
        {
            place.remove();
        }
        entry
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.find(key).map(|at| self.take(at));
        self.give_back();
        entry
    }

    /// Forgets what is on disk as well.
    pub(super) fn unload(&mut self) {
        self.entries.drain(..self.on_disk());
        self.make_index();
        self.give_back();
    }

    /// Room that most likely will not be needed again.
    fn give_back(&mut self) {
        if self.entries.len() < self.entries.capacity() / 2 {
            self.entries.shrink_to_fit();
        }
        if self.entries.len() < SCANNED_MAX / 2 {
            self.index = None;
        }
    }

    fn drop_oldest_direct(&mut self) -> bool {
        let idle = |e: &Entry| e.key.kind() == Kind::Direct && !matches!(e.hint, HintState::Asked(_));
        let oldest = self.entries.iter().position(idle);
        oldest.map(|at| self.take(at)).is_some()
    }
}

/// A hash of an index, whose table looks at the lowest bits and the highest.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Entry {
    fn new(key: Key, number: u32) -> Entry {
        let hint = if key.kind() == Kind::Direct { HintState::Unknown } else { HintState::Ready };
        let (hash, epoch, read, place) = (0, 0, 0, (0, 0));
        Entry { key, number, hash, epoch, read, place, devices: Box::default(), hint, unsaved: None }
    }

    /// Direct conversations: epoch and last seq of the log. `None`: it has not been heard of.
    pub(super) fn log(&self) -> Option<(u64, u64)> {
        Some(self.place).filter(|&(epoch, _)| epoch != 0 && self.key.kind() == Kind::Direct)
    }

    /// See [`Self::log`].
    pub(super) fn set_log(&mut self, log: (u64, u64)) {
        debug_assert!(self.key.kind() == Kind::Direct && log.0 != 0, "groups have another use for it, and no log has epoch 0");
        self.place = log;
    }

    /// Groups: epoch and seq of the record that made him a member, as far as it has been told; else zeros.
    pub(super) fn joined_at(&self) -> (u64, u64) {
        if self.key.kind() == Kind::Direct { (0, 0) } else { self.place }
    }

    /// The user has become a member by this record. What is known of an earlier group of the same id is void.
    pub(super) fn joined(&mut self, place: (u64, u64)) {
        if self.epoch != place.0 {
            (self.epoch, self.read, self.devices) = (place.0, 0, Box::default());
        }
        self.place = self.place.max(place);
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
        let mut devices = std::mem::take(&mut self.devices).into_vec();
        if devices.len() >= devices_max
            && let Some(behind) = (0..devices.len()).min_by_key(|&i| devices[i].1)
        {
            devices.swap_remove(behind);
        }
        devices.push((device.into(), seq));
        self.devices = devices.into_boxed_slice();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::id::Address;

    fn group(number: u32) -> Key {
        Key::new("ann", Address::Group(&format!("a group with a name of some length {number}")))
    }

    fn list(first_number: u32) -> Box<List> {
        List::new(Slots::new(1, 7), first_number)
    }

    /// Against a map, from nothing to several times what is scanned and back: places come from the store in any order, and from here.
    #[test]
    fn it_is_an_ordered_map_however_long() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut list = list(FIRST_IN_MEMORY);
        let mut model: BTreeMap<u32, Key> = BTreeMap::new();
        let number_of =
            |model: &BTreeMap<u32, Key>, key: &Key| model.iter().find(|(_, of)| *of == key).map(|(&number, _)| number);
        let mut last = FIRST_IN_MEMORY - 1;
        for step in 0..4000 {
            let key = group(random.u32(0..100));
            let grows = step / 1000 % 2 == 0;
            match number_of(&model, &key) {
                None if grows && random.bool() => {
                    let number = random.u32(1..1 << 20);
                    list.put(&key, number);
                    model.insert(number, key.clone());
                }
                None if grows => {
                    last += 1;
                    assert_eq!(list.insert(&key, 1000).map(|entry| entry.number), Some(last));
                    model.insert(last, key.clone());
                }
                Some(former) if random.u8(0..4) == 0 => {
                    let number = random.u32(1..1 << 20);
                    list.put(&key, number);
                    model.remove(&former);
                    model.insert(number, key.clone());
                }
                Some(former) if !grows => {
                    assert_eq!(list.remove(&key).map(|entry| entry.number), Some(former));
                    model.remove(&former);
                }
                _ => assert!(list.remove(&group(1000)).is_none()),
            }
            assert_eq!(list.entry(&key).map(|entry| entry.number), number_of(&model, &key), "step {step}");
            assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
            let middle = random.u32(1..1 << 20);
            let after: Vec<(u32, &Key)> = list.after(middle).map(|(number, entry)| (number, &entry.key)).collect();
            assert!(after.into_iter().eq(model.range(middle + 1..).map(|(&number, key)| (number, key))), "step {step}");
            let most = |range: std::ops::Range<u32>| model.range(range).next_back().map_or(0, |(&number, _)| number);
            assert_eq!(list.last_numbers(), [most(0..FIRST_IN_MEMORY), most(FIRST_IN_MEMORY..u32::MAX)]);
            assert!(list.entries.capacity() <= 2 * list.len() + 8, "{} for {}", list.entries.capacity(), list.len());
            if step == 2500 {
                list.unload();
                model.retain(|&number, _| number >= FIRST_IN_MEMORY);
                assert!(list.iter().map(|entry| &entry.key).eq(model.values()));
            }
        }
    }

    #[test]
    fn a_full_list_lets_an_idle_direct_conversation_go_for_another_but_no_group() {
        let mut list = list(1);
        let direct = |peer: &str| Key::new("ann", Address::Direct(peer));
        let [bob, cat, dan] = ["bob", "cat", "dan"].map(direct);
        list.insert(&group(1), 3).unwrap();
        list.insert(&bob, 3).unwrap().hint = HintState::Asked(Box::default());
        list.insert(&cat, 3).unwrap();
        assert!(list.insert(&group(2), 3).is_none());
        list.insert(&dan, 3).unwrap();
        assert!(list.iter().map(|entry| &entry.key).eq([&group(1), &bob, &dan]), "bob's is under way");
    }

    #[test]
    fn devices_are_few_and_the_one_furthest_behind_goes() {
        let mut entry = Entry::new(group(1), 1);
        assert!(entry.delivered("phone", 5, 2) && entry.delivered("desk", 3, 2));
        assert!(!entry.delivered("phone", 4, 2), "no news");
        assert!(entry.delivered("watch", 4, 2));
        assert!(entry.has_read(2));
        assert_eq!(["phone", "desk", "watch"].map(|device| entry.cursor_of(device)), [5, 2, 4]);
        entry.joined((9, 1));
        assert_eq!(
            (entry.joined_at(), entry.read, entry.devices.len(), entry.log()),
            ((9, 1), 0, 0, None),
            "another group of the same id"
        );
    }
}
