//! Whom a publisher's messages go to, where that is somebody else each time.

use ahash::AHashMap;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Connection, or number of the user.
    pub peer: u32,
    /// 0, 1, 2 ... in the order in which this publisher sends to that peer. A refused message leaves a hole.
    pub order: u64,
}

/// Picks a random one of all others for each message, and counts what each was sent. At most one number for each peer is kept.
#[derive(Debug)]
pub struct RandomPeers {
    me: u32,
    all: u32,
    random: fastrand::Rng,
    sent: AHashMap<u32, u64>,
}

impl RandomPeers {
    /// For connection `me` of `all`, which are at least 2. The choice depends on the run's number alone.
    pub fn new(run: u32, me: u32, all: u32) -> RandomPeers {
        let random = fastrand::Rng::with_seed(u64::from(run) << 32 | u64::from(me));
        RandomPeers { me, all, random, sent: AHashMap::new() }
    }

    /// The next one.
    pub fn next(&mut self) -> Destination {
        let other = self.random.u32(0..self.all - 1);
        let peer = other + u32::from(other >= self.me);
        let sent = self.sent.entry(peer).or_default();
        *sent += 1;
        Destination { peer, order: *sent - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_else_is_picked_about_as_often_and_counted_by_himself() {
        let mut peers = RandomPeers::new(7, 3, 11);
        let mut counts = [0; 11];
        for _ in 0..10_000 {
            let Destination { peer, order } = peers.next();
            assert_eq!(order, counts[peer as usize]);
            counts[peer as usize] += 1;
        }
        assert_eq!(counts[3], 0);
        assert!(counts.iter().enumerate().all(|(peer, count)| peer == 3 || (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn two_have_only_each_other() {
        assert_eq!(RandomPeers::new(1, 0, 2).next().peer, 1);
        assert_eq!(RandomPeers::new(1, 1, 2).next().peer, 0);
    }
}
