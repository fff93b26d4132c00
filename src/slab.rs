//! Storage for many things of one kind that come and go, and tables to find them. Both grow in small steps: no turn ever waits for the
//! copying of a million entries.

use hashbrown::HashTable;

/// A chunk is a little less than this, which is a size that the allocator gives out without rounding it up.
pub const CHUNK_BYTES: usize = 28 * 1024;

/// Things by index. Grows by chunks, which never move.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Box<[Place<T>]>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Places in a chunk.
    const CHUNK: usize = CHUNK_BYTES / size_of::<Place<T>>();

    /// Puts a thing into a free place, of which it gives index and generation.
    pub fn insert(&mut self, value: T) -> (u32, u32) {
        if self.free.is_empty() {
            let first = (self.chunks.len() * Self::CHUNK) as u32;
            self.chunks.push((0..Self::CHUNK).map(|_| Place { generation: 0, value: None }).collect());
            self.free.extend((first..first + Self::CHUNK as u32).rev());
        }
        let index = self.free.pop().expect("there is a free place");
        let place = self.place_mut(index);
        place.value = Some(value);
        let generation = place.generation;
        self.len += 1;
        (index, generation)
    }

    /// Takes a thing out; its index is used again, with another generation.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let place = self.place_mut(index);
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        self.len -= 1;
        Some(value)
    }

    /// The thing at an index.
    pub fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get(index as usize / Self::CHUNK)?[index as usize % Self::CHUNK].value.as_ref()
    }

    /// See [`Self::get`].
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.chunks.get_mut(index as usize / Self::CHUNK)?[index as usize % Self::CHUNK].value.as_mut()
    }

    /// How often the place had been used before what is in it now.
    pub fn generation(&self, index: u32) -> Option<u32> {
        let place = &self.chunks.get(index as usize / Self::CHUNK)?[index as usize % Self::CHUNK];
        place.value.as_ref().map(|_| place.generation)
    }

    /// How many places there are, free or not: all indexes are below this.
    pub fn places(&self) -> usize {
        self.chunks.len() * Self::CHUNK
    }

    /// How many things there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All things, each with its index, in the order of indexes.
    #[cfg(test)]
    pub fn entries(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = self.chunks.iter().flatten().zip(0..);
        places.filter_map(|(place, index)| Some((index, place.value.as_ref()?)))
    }

    /// All things.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries().map(|(_, value)| value)
    }

    fn place_mut(&mut self, index: u32) -> &mut Place<T> {
        &mut self.chunks[index as usize / Self::CHUNK][index as usize % Self::CHUNK]
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        self.get(index).expect("an index that is kept is that of a living thing")
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("an index that is kept is that of a living thing")
    }
}

/// A list in pages, which never move once they are full: a long one grows without copying, and leaves nothing behind.
#[derive(Debug)]
pub struct Pages<T> {
    /// All but the last are full.
    pages: Vec<Vec<T>>,
}

/// Things on a page. The first one grows to this by doubling, since most lists are short.
const PAGE: usize = 1024;

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Pages { pages: Vec::new() }
    }
}

impl<T> Pages<T> {
    /// Adds a thing at the end.
    pub fn push(&mut self, value: T) {
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => page.push(value),
            Some(_) => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(value);
                self.pages.push(page);
            }
            None => self.pages.push(vec![value]),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The thing at a place.
    pub fn get(&self, place: usize) -> Option<&T> {
        self.pages.get(place / PAGE)?.get(place % PAGE)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// Those at a place and behind it, in order.
    pub fn iter_mut_from(&mut self, place: usize) -> impl Iterator<Item = &mut T> {
        let (page, within) = (place / PAGE, place % PAGE);
        let (first, others) = match self.pages.get_mut(page..).and_then(<[_]>::split_first_mut) {
            Some((first, others)) => (&mut first[within..], others),
            None => (&mut [][..], &mut [][..]),
        };
        first.iter_mut().chain(others.iter_mut().flatten())
    }

    /// Exchanges two things.
    ///
    /// # Panics
    /// When one of the places is none.
    pub fn swap(&mut self, a: usize, b: usize) {
        if a / PAGE == b / PAGE {
            return self.pages[a / PAGE].swap(a % PAGE, b % PAGE);
        }
        let (low, high) = (a.min(b), a.max(b));
        let (before, after) = self.pages.split_at_mut(high / PAGE);
        std::mem::swap(&mut before[low / PAGE][low % PAGE], &mut after[0][high % PAGE]);
    }

    /// Takes a thing out; the last one takes its place.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn swap_remove(&mut self, place: usize) -> T {
        self.swap(place, self.len() - 1);
        let last = self.pages.last_mut().expect("there is one");
        let removed = last.pop().expect("no page is empty");
        if last.is_empty() {
            self.pages.pop();
        }
        removed
    }
}

impl<T> std::ops::Index<usize> for Pages<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        &self.pages[place / PAGE][place % PAGE]
    }
}

impl<T> std::ops::IndexMut<usize> for Pages<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut self.pages[place / PAGE][place % PAGE]
    }
}

/// Finds indexes by hash. Split into parts that grow one by one.
#[derive(Debug)]
pub struct Index {
    parts: Box<[HashTable<u32>]>,
}

const PARTS: usize = 256;

impl Default for Index {
    fn default() -> Self {
        Index { parts: (0..PARTS).map(|_| HashTable::new()).collect() }
    }
}

impl Index {
    /// The index whose thing has this hash and is the one meant.
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.parts[part(hash)].find(hash, |&index| is_it(index)).copied()
    }

    /// Adds an index. `hash_of` gives the hash of those already in.
    pub fn insert(&mut self, hash: u64, index: u32, hash_of: impl Fn(u32) -> u64) {
        self.parts[part(hash)].insert_unique(hash, index, |&index| hash_of(index));
    }

    /// Removes an index.
    pub fn remove(&mut self, hash: u64, index: u32) {
        if let Ok(entry) = self.parts[part(hash)].find_entry(hash, |&i| i == index) {
            entry.remove();
        }
    }
}

/// The table takes its own bits from both ends of the hash; these are from the middle.
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_with_another_generation() {
        let mut slab = Slab::default();
        let (a, generation) = slab.insert("a");
        assert_eq!((slab.get(a), slab.generation(a)), (Some(&"a"), Some(generation)));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        assert_eq!((slab.get(a), slab.generation(a)), (None, None));
        assert_eq!(slab.insert("b"), (a, generation + 1));
        for _ in 0..1000 {
            slab.insert("x");
        }
        assert_eq!((slab.len(), slab[a], slab.get(5000)), (1001, "b", None));
    }

    #[test]
    fn pages_are_a_list() {
        let (mut pages, mut list) = (Pages::default(), Vec::new());
        assert_eq!((pages.len(), pages.is_empty(), pages.get(0)), (0, true, None));
        assert_eq!(pages.iter_mut_from(0).count(), 0);
        for i in 0..3 * PAGE + 7 {
            pages.push(i);
            list.push(i);
        }
        for place in [0, PAGE - 1, PAGE, 2 * PAGE + 5, 3, 3 * PAGE, 3 * PAGE - 1] {
            assert_eq!(pages.swap_remove(place), list.swap_remove(place));
        }
        pages.swap(5, 2 * PAGE);
        list.swap(5, 2 * PAGE);
        assert_eq!(pages.iter().copied().collect::<Vec<_>>(), list);
        assert_eq!((pages.len(), pages.get(list.len()), pages[PAGE]), (list.len(), None, list[PAGE]));
        for from in [0, 1, PAGE, PAGE + 1, list.len() - 1, list.len()] {
            assert_eq!(pages.iter_mut_from(from).map(|i| *i).collect::<Vec<_>>(), list[from..]);
        }
        while let Some(last) = list.pop() {
            assert_eq!(pages.swap_remove(list.len()), last);
            assert_eq!(pages.len(), list.len());
        }
        assert!(pages.is_empty());
    }

    #[test]
    fn an_index_finds_what_was_put_in() {
        let names: Vec<String> = (0..5000).map(|i| format!("user{i}")).collect();
        let hash = |i: u32| xxhash_rust::xxh3::xxh3_64(names[i as usize].as_bytes());
        let mut index = Index::default();
        (0..5000).for_each(|i| index.insert(hash(i), i, hash));
        assert!((0..5000).all(|i| index.find(hash(i), |j| names[j as usize] == names[i as usize]) == Some(i)));
        index.remove(hash(7), 7);
        assert_eq!(index.find(hash(7), |j| j == 7), None);
        assert_eq!(index.find(hash(8), |j| j == 8), Some(8));
    }
}
