//! Which seeds a simulation runs: so many by default, `CAMPANILE_SEEDS=n` n of them, `CAMPANILE_SEED=n` the one that is n, and both together as many from
//! there on.

use std::ops::Range;

pub(crate) fn seeds(by_default: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number")));
    match (number("CAMPANILE_SEED"), number("CAMPANILE_SEEDS")) {
        (None, count) => 0..count.unwrap_or(by_default),
        (Some(first), count) => first..first + count.unwrap_or(1),
    }
}
