//! Sizes and members of groups.

use std::collections::BTreeSet;

/// Zipf: `largest`, `largest / 2^exponent`, `largest / 3^exponent` ..., never below `smallest`.
pub fn zipf(largest: f64, smallest: f64, exponent: f64) -> impl Iterator<Item = f64> {
    (1..).map(move |rank| (largest / f64::from(rank).powf(exponent)).max(smallest))
}

/// So many different ones below `users`, in ascending order.
pub fn members(users: u32, count: u32, random: &mut fastrand::Rng) -> Vec<u32> {
    let count = count.min(users) as usize;
    if count * 2 > users as usize {
        let mut members = random.choose_multiple(0..users, count);
        members.sort_unstable();
        return members;
    }
    let mut members = BTreeSet::new();
    while members.len() < count {
        members.insert(random.u32(0..users));
    }
    members.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_by_their_rank() {
        assert_eq!(zipf(100.0, 20.0, 1.0).take(7).collect::<Vec<_>>(), [100.0, 50.0, 100.0 / 3.0, 25.0, 20.0, 20.0, 20.0]);
        assert_eq!(zipf(8.0, 1.0, 0.0).take(3).collect::<Vec<_>>(), [8.0; 3]);
        assert_eq!(zipf(8.0, 1.0, 2.0).nth(1), Some(2.0));
    }

    #[test]
    fn members_are_different_and_sorted() {
        let mut random = fastrand::Rng::with_seed(3);
        for (users, count, wanted) in [(10, 3, 3), (10, 9, 9), (10, 10, 10), (3, 5, 3), (1000, 100, 100)] {
            let members = members(users, count, &mut random);
            assert_eq!(members.len(), wanted);
            assert!(members.windows(2).all(|pair| pair[0] < pair[1]) && members.iter().all(|m| *m < users));
        }
    }
}
