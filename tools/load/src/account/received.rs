//! What one receiver got, from one publisher or from many.

use ahash::AHashMap;

use super::{Arrival, Tracker};
use crate::scenario::Source;

/// A tracker for each publisher from whom something came.
#[derive(Debug)]
pub enum Received {
    /// From this connection alone, as [`Source::One`]; nothing is looked up.
    One(u32, Tracker),
    /// From whomever the connection may receive.
    Many(Source, AHashMap<u32, Tracker>),
}

impl Received {
    /// Nothing yet.
    pub fn from(source: Source) -> Received {
        match source {
            Source::One(publisher) => Received::One(publisher, Tracker::default()),
            source => Received::Many(source, AHashMap::new()),
        }
    }

    /// Takes a publisher's number. None: nothing of that publisher was meant for this receiver.
    pub fn take(&mut self, publisher: u32, seq: u64) -> Option<Arrival> {
        match self {
            Received::One(source, tracker) => (*source == publisher).then(|| tracker.take(seq)),
            Received::Many(source, trackers) => {
                source.includes(publisher).then(|| trackers.entry(publisher).or_default().take(seq))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_publisher_counts_by_himself() {
        let mut received = Received::from(Source::Below { end: 3, except: 1 });
        for (publisher, seq, arrival) in [
            (0, 0, Some(Arrival::InOrder)),
            (2, 0, Some(Arrival::InOrder)),
            (0, 0, Some(Arrival::Duplicate)),
            (2, 1, Some(Arrival::InOrder)),
            (1, 0, None),
            (3, 0, None),
        ] {
            assert_eq!(received.take(publisher, seq), arrival, "{publisher} {seq}");
        }
        let mut received = Received::from(Source::One(5));
        assert_eq!((received.take(5, 0), received.take(4, 1)), (Some(Arrival::InOrder), None));
        assert_eq!(Received::from(Source::Nobody).take(0, 0), None);
    }
}
