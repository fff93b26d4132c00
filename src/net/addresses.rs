//! How often an address may connect.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::limits::Limits;
use crate::rate::{Bucket, Rate};

/// Addresses that are remembered before those with full buckets are forgotten.
const REMEMBERED: usize = 4096;

/// A bucket for each address that connected lately.
#[derive(Debug)]
pub struct AddressLimits {
    rate: Rate,
    buckets: HashMap<IpAddr, Bucket, ahash::RandomState>,
    forget_at: usize,
}

impl AddressLimits {
    /// `None` when there is no limit. The kernel spreads the connections of an address over all shards, so each has its share of the rate.
    pub fn new(limits: &Limits, shards: u16, hash_seed: u64) -> Option<AddressLimits> {
        let share = |whole: u32| if whole == 0 { 0 } else { whole.div_ceil(shards.into()) };
        let rate = Rate::new(share(limits.connect_rate_per_address), share(limits.connect_burst_per_address))?;
        let buckets = HashMap::with_hasher(ahash::RandomState::with_seeds(hash_seed, 4, 5, 6));
        Some(AddressLimits { rate, buckets, forget_at: REMEMBERED })
    }

    /// One more connection from this address.
    ///
    /// # Errors
    /// When to come back, in ms.
    pub fn connect(&mut self, address: IpAddr, now_ms: u64) -> Result<(), u32> {
        if self.buckets.len() >= self.forget_at {
            self.buckets.retain(|_, bucket| !bucket.is_full(now_ms));
            self.forget_at = REMEMBERED.max(2 * self.buckets.len());
        }
        self.buckets.entry(address).or_default().take(self.rate, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_bucket() {
        let limits = Limits { connect_rate_per_address: 10, connect_burst_per_address: 2, ..Limits::default() };
        let mut addresses = AddressLimits::new(&limits, 1, 1).unwrap();
        let (a, b) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        assert_eq!([addresses.connect(a, 1000), addresses.connect(a, 1000)], [Ok(()), Ok(())]);
        assert_eq!(addresses.connect(a, 1000), Err(100));
        assert_eq!(addresses.connect(b, 1000), Ok(()));
        assert!(AddressLimits::new(&Limits::default(), 1, 1).is_none());
    }

    #[test]
    fn addresses_are_forgotten() {
        let limits = Limits { connect_rate_per_address: 1000, connect_burst_per_address: 1, ..Limits::default() };
        let mut addresses = AddressLimits::new(&limits, 1, 1).unwrap();
        for i in 0..20_000_u32 {
            assert_eq!(addresses.connect(IpAddr::from(i.to_be_bytes()), 1000 + u64::from(i)), Ok(()));
        }
        assert!(addresses.buckets.len() <= REMEMBERED);
    }
}
