//! Storage for many things of one kind that come and go, and tables to find them. Both grow in small steps: no turn ever waits for the
//! copying of a million entries.

use hashbrown::HashTable;

const CHUNK: usize = 256;

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
    /// Puts a thing into a free place, of which it gives index and generation.
    pub fn insert(&mut self, value: T) -> (u32, u32) {
        if self.free.is_empty() {
            let first = (self.chunks.len() * CHUNK) as u32;
            self.chunks.push((0..CHUNK).map(|_| Place { generation: 0, value: None }).collect());
            self.free.extend((first..first + CHUNK as u32).rev());
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
        self.chunks.get(index as usize / CHUNK)?[index as usize % CHUNK].value.as_ref()
    }

    /// See [`Self::get`].
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.chunks.get_mut(index as usize / CHUNK)?[index as usize % CHUNK].value.as_mut()
    }

    /// How often the place had been used before what is in it now.
    pub fn generation(&self, index: u32) -> Option<u32> {
        let place = &self.chunks.get(index as usize / CHUNK)?[index as usize % CHUNK];
        place.value.as_ref().map(|_| place.generation)
    }

    /// How many places there are, free or not: all indexes are below this.
    pub fn places(&self) -> usize {
        self.chunks.len() * CHUNK
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
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
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
