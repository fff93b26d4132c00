//! A list that mostly has one thing, or none.

use std::ops::{Deref, DerefMut};

/// A list in 16 bytes, as long as a thing takes at most 12: the first needs no memory of its own, more stand in a box.
#[derive(Clone, Debug, Default)]
pub enum Few<T> {
    /// Nothing.
    #[default]
    None,
    /// One thing.
    One(T),
    /// More; or fewer, when some have gone.
    #[allow(clippy::box_collection, reason = "a vector in place is what this saves")]
    Many(Box<Vec<T>>),
}

/// Room for so many more is made at a time, at least.
const MORE: usize = 4;

/// Adds a thing to a list that is one of very many: doubling would leave half of their room empty.
pub fn push_tightly<T>(list: &mut Vec<T>, value: T) {
    insert_tightly(list, list.len(), value);
}

/// The same at a place of the list, see [`Vec::insert`].
///
/// # Panics
/// When the place is beyond the end.
pub fn insert_tightly<T>(list: &mut Vec<T>, at: usize, value: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(MORE.max(list.len() / 4));
    }
    list.insert(at, value);
}

impl<T> Few<T> {
    /// Adds a thing at the end.
    pub fn push(&mut self, value: T) {
        match std::mem::take(self) {
            Few::None => *self = Few::One(value),
            Few::One(first) => {
                let mut all = Vec::with_capacity(MORE);
                all.extend([first, value]);
                *self = Few::Many(Box::new(all));
            }
            Few::Many(mut all) => {
                push_tightly(&mut all, value);
                *self = Few::Many(all);
            }
        }
    }

    /// Takes a thing out; the last one takes its place.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn swap_remove(&mut self, place: usize) -> T {
        match std::mem::take(self) {
            Few::One(only) if place == 0 => only,
            Few::Many(mut all) => {
                let removed = all.swap_remove(place);
                if !all.is_empty() {
                    *self = Few::Many(all);
                }
                removed
            }
            _ => panic!("no place {place} in a list that is shorter"),
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(only) => std::slice::from_ref(only),
            Few::Many(all) => all,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(only) => std::slice::from_mut(only),
            Few::Many(all) => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list() {
        let (mut few, mut list) = (Few::default(), Vec::new());
        for i in 0..20_u32 {
            few.push(i);
            list.push(i);
            assert_eq!(*few, *list);
        }
        few[3] = 100;
        list[3] = 100;
        for place in [0, 18, 5, 3, 15] {
            assert_eq!(few.swap_remove(place), list.swap_remove(place));
            assert_eq!(*few, *list);
        }
        while let Some(last) = list.pop() {
            assert_eq!(few.swap_remove(list.len()), last);
        }
        assert!(matches!(few, Few::None), "an empty one has no memory");
        few.push(7);
        assert_eq!((few.swap_remove(0), few.len()), (7, 0));
        assert_eq!(size_of::<Few<u64>>(), 16);
    }
}
