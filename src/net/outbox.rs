//! What waits to be sent to one connection, bounded in bytes.
//!
//! As long as the peer reads, the outbox holds references to shared bytes, for less than a turn. When a send does not complete at once, what
//! comes after it is copied, so that a slow reader pins its own bytes and no one else's.

use crate::effects::Weight;
use crate::ring::{OpenBatch, SEGMENTS_MAX, Segment, Segments};

/// Frames of at least this many bytes are shared even with a slow reader: they fill most of what they pin.
const SHARED_BYTES: usize = 16 * 1024;

/// What waits for a reader who keeps up is put together up to this many bytes: copying them costs less than a list of addresses that the
/// kernel must import.
const TOGETHER_BYTES: usize = 2048;

/// The frames of one connection that the kernel does not have yet. Nearly always there are none: what waits stands in a box, which the allocator
/// gives to the next connection of the turn while it is in cache.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Absent when nothing waits.
    waiting: Option<Box<Waiting>>,
    /// Bytes that wait and that are in flight.
    bytes: u32,
    in_flight: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    shared: Segments,
    /// Comes after `shared`.
    copied: Vec<u8>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits to be sent.
    Queued,
    /// An ephemeral one that had no room.
    Dropped,
    /// A message that had no room: this reader is too slow.
    Overflow,
}

impl Outbox {
    /// Adds a sealed frame. `bytes_max` bounds messages; control frames always fit, since their number is bounded elsewhere.
    pub fn push(&mut self, frame: Segment, weight: Weight, bytes_max: usize) -> Pushed {
        let bytes = self.bytes as usize + frame.len();
        match weight {
            Weight::Data if bytes > bytes_max => return Pushed::Overflow,
            Weight::Ephemeral if bytes > bytes_max / 2 => return Pushed::Dropped,
            _ => {}
        }
        self.bytes = bytes as u32;
        let copy = self.in_flight && frame.len() < SHARED_BYTES;
        self.waiting.get_or_insert_default().push(frame, copy);
        Pushed::Queued
    }

    /// Everything that one send can carry, if none is in flight and anything waits.
    pub fn take(&mut self, open: &OpenBatch) -> Option<Segments> {
        if self.in_flight {
            return None;
        }
        let mut waiting = self.waiting.take()?;
        let segments = waiting.take(open);
        if !waiting.is_empty() {
            self.waiting = Some(waiting);
        }
        self.in_flight = true;
        Some(segments)
    }

    /// A send ended. What it did not carry goes first in the next.
    pub fn sent(&mut self, mut segments: Segments, mut bytes: usize) {
        self.in_flight = false;
        self.bytes -= bytes as u32;
        segments.retain(|segment| {
            let taken = bytes.min(segment.len());
            bytes -= taken;
            segment.advance(taken);
            !segment.is_empty()
        });
        if !segments.is_empty() {
            let waiting = self.waiting.get_or_insert_default();
            segments.append(&mut waiting.shared);
            waiting.shared = segments;
        }
    }

    /// Forgets what is not in flight.
    pub fn clear(&mut self) {
        self.bytes -= self.waiting.take().map_or(0, |waiting| waiting.bytes()) as u32;
    }

    /// Whether nothing waits (something may be in flight).
    pub fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.is_empty() && !self.in_flight
    }

    /// Whether a send is in flight.
    pub fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// Bytes that only this outbox holds.
    pub fn copied_bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.copied.len())
    }

    /// Bytes that wait and that are in flight.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

impl Waiting {
    fn push(&mut self, frame: Segment, copy: bool) {
        if copy || !self.copied.is_empty() {
            self.copied.extend_from_slice(frame.bytes());
        } else if !self.shared.last_mut().is_some_and(|last| last.merge(&frame)) {
            self.push_apart(frame);
        }
    }

    /// A frame that does not follow the last one in memory.
    fn push_apart(&mut self, frame: Segment) {
        let is_small = self.shared.len() == 1 && self.shared[0].len() + frame.len() <= TOGETHER_BYTES;
        if is_small {
            self.copied.reserve_exact(self.shared[0].len() + frame.len());
            self.copied.extend_from_slice(self.shared[0].bytes());
            self.copied.extend_from_slice(frame.bytes());
            self.shared.clear();
        } else {
            self.shared.push(frame);
        }
    }

    /// As much as one send can carry.
    fn take(&mut self, open: &OpenBatch) -> Segments {
        let mut segments = if self.shared.len() > SEGMENTS_MAX {
            self.shared.drain(..SEGMENTS_MAX).collect()
        } else {
            std::mem::take(&mut self.shared)
        };
        if self.shared.is_empty() && !self.copied.is_empty() && segments.len() < SEGMENTS_MAX {
            segments.push(open.seal_apart(std::mem::take(&mut self.copied)));
        }
        segments
    }

    fn bytes(&self) -> usize {
        self.shared.iter().map(Segment::len).sum::<usize>() + self.copied.len()
    }

    fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.copied.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1000;

    fn frames(open: &mut OpenBatch, texts: &[&str]) -> Vec<Segment> {
        let frames = texts.iter().map(|t| open.append(t.as_bytes())).collect();
        open.seal();
        frames
    }

    fn text(segments: &Segments) -> String {
        segments.iter().map(|s| std::str::from_utf8(s.bytes()).unwrap()).collect()
    }

    #[test]
    fn one_send_carries_all_that_waits_and_only_one_is_in_flight() {
        let (mut open, mut outbox) = (OpenBatch::default(), Outbox::default());
        for frame in frames(&mut open, &["a", "b", "c"]) {
            assert_eq!(outbox.push(frame, Weight::Data, MAX), Pushed::Queued);
        }
        let first = outbox.take(&open).unwrap();
        assert_eq!((first.len(), text(&first).as_str()), (1, "abc"));
        let late = frames(&mut open, &["d"]).remove(0);
        outbox.push(late, Weight::Data, MAX);
        assert!(outbox.take(&open).is_none());
        outbox.sent(first, 3);
        let second = outbox.take(&open).unwrap();
        assert_eq!(text(&second), "d");
        outbox.sent(second, 1);
        assert!(outbox.is_idle() && outbox.bytes() == 0);
    }

    #[test]
    fn a_short_send_goes_on_where_it_stopped() {
        let (mut open, mut outbox) = (OpenBatch::default(), Outbox::default());
        let long = "l".repeat(TOGETHER_BYTES);
        let mut all = frames(&mut open, &[&long, "x", "two"]);
        all.remove(1);
        for frame in all {
            outbox.push(frame, Weight::Data, 5000);
        }
        let segments = outbox.take(&open).unwrap();
        assert_eq!(segments.len(), 2);
        let late = frames(&mut open, &["three"]).remove(0);
        outbox.push(late, Weight::Data, 5000);
        outbox.sent(segments, TOGETHER_BYTES + 1);
        assert_eq!(text(&outbox.take(&open).unwrap()), "wothree");
        assert_eq!(outbox.bytes(), 7);
    }

    #[test]
    fn a_slow_reader_pins_only_what_it_was_sent() {
        let (mut open, mut outbox) = (OpenBatch::default(), Outbox::default());
        outbox.push(frames(&mut open, &["first"]).remove(0), Weight::Data, MAX);
        let in_flight = outbox.take(&open).unwrap();
        for _ in 0..10 {
            outbox.push(frames(&mut open, &["0123456789"]).remove(0), Weight::Data, MAX);
        }
        assert_eq!(open.live_bytes(), 5);
        outbox.sent(in_flight, 5);
        assert_eq!(outbox.take(&open).unwrap().len(), 1);
    }

    #[test]
    fn each_weight_has_its_bound() {
        let (mut open, mut outbox) = (OpenBatch::default(), Outbox::default());
        let big = |open: &mut OpenBatch| frames(open, &[&"x".repeat(600)]).remove(0);
        assert_eq!(outbox.push(big(&mut open), Weight::Ephemeral, MAX), Pushed::Dropped);
        assert_eq!(outbox.push(big(&mut open), Weight::Data, MAX), Pushed::Queued);
        assert_eq!(outbox.push(big(&mut open), Weight::Data, MAX), Pushed::Overflow);
        assert_eq!(outbox.push(big(&mut open), Weight::Control, MAX), Pushed::Queued);
        assert_eq!(outbox.bytes(), 1200);
        outbox.clear();
        assert!(outbox.is_idle() && outbox.bytes() == 0);
    }
}
