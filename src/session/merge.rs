//! Delayed merge: where a kind of conversation allows it, a mirror lets records wait for others, so that all of them leave with one send for each
//! receiver. The first that waits sets the time; count and bytes end the wait sooner. Acks never wait for this.

use crate::conversation::Merge;

/// What of a mirror's queue waits for more.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    messages: u32,
    bytes: usize,
    /// Since when the first of them waits; `None`: nobody has looked yet.
    since_ms: Option<u64>,
    /// Something of it must not wait.
    is_urgent: bool,
}

impl Waiting {
    /// One more waits. `is_urgent`: changes of a group take effect when they are seen, and so do those before them.
    pub(super) fn add(&mut self, bytes: usize, is_urgent: bool) {
        self.messages += 1;
        self.bytes += bytes;
        self.is_urgent |= is_urgent;
    }

    /// A round has taken as much as one can; what is `left` has waited long enough.
    pub(super) fn taken(&mut self, left: usize) {
        *self = Waiting { is_urgent: left > 0, ..Waiting::default() };
    }

    /// Until when it waits for more; `None`: no longer.
    pub(super) fn until(&mut self, merge: Merge, now_ms: u64) -> Option<u64> {
        if self.is_urgent || self.messages >= merge.messages || self.bytes >= merge.bytes as usize {
            return None;
        }
        let until_ms = self.since_ms.get_or_insert(now_ms).saturating_add(merge.ms.into());
        (now_ms < until_ms).then_some(until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MERGE: Merge = Merge { ms: 5, messages: 3, bytes: 100 };

    #[test]
    fn the_first_that_waits_sets_the_time() {
        let mut waiting = Waiting::default();
        waiting.add(10, false);
        assert_eq!(waiting.until(MERGE, 1000), Some(1005));
        waiting.add(10, false);
        assert_eq!(waiting.until(MERGE, 1004), Some(1005));
        assert_eq!(waiting.until(MERGE, 1005), None);
        waiting.taken(0);
        waiting.add(10, false);
        assert_eq!(waiting.until(MERGE, 2000), Some(2005), "the next begin anew");
    }

    #[test]
    fn count_bytes_and_what_is_urgent_end_the_wait() {
        let after = |items: &[(usize, bool)]| {
            let mut waiting = Waiting::default();
            items.iter().for_each(|&(bytes, is_urgent)| waiting.add(bytes, is_urgent));
            waiting.until(MERGE, 1000)
        };
        assert_eq!(after(&[(10, false), (10, false)]), Some(1005));
        assert_eq!(after(&[(10, false), (10, false), (10, false)]), None);
        assert_eq!(after(&[(50, false), (50, false)]), None);
        assert_eq!(after(&[(10, false), (0, true)]), None);
    }

    #[test]
    fn what_a_round_could_not_take_goes_with_the_next() {
        let mut waiting = Waiting::default();
        waiting.add(99, false);
        waiting.taken(1);
        waiting.add(1, false);
        assert_eq!(waiting.until(MERGE, 1000), None);
    }
}
