//! What waits for one connection: pushed, taken for a send, sent.

use campanile::effects::Weight;
use campanile::net::Outbox;
use campanile::ring::{OpenBatch, Segment};

/// Bytes of each frame.
pub const FRAME_BYTES: usize = 200;
const OUTBOX_BYTES: usize = 262_144;

/// A connection and the frames for it.
pub struct Waiting {
    outbox: Outbox,
    open: OpenBatch,
    segments: Vec<Segment>,
}

impl Waiting {
    pub fn new(frames: usize) -> Waiting {
        let mut open = OpenBatch::default();
        let segments = (0..frames).map(|_| open.append(&[7; FRAME_BYTES])).collect();
        open.seal();
        Waiting { outbox: Outbox::default(), open, segments }
    }

    /// The reader keeps up.
    pub fn run(&mut self) {
        self.push();
        self.send(self.segments.len());
    }

    /// They come while the first is being sent.
    pub fn run_behind(&mut self) {
        self.outbox.push(self.segments[0].clone(), Weight::Data, OUTBOX_BYTES);
        let sending = self.outbox.take(&self.open).expect("something waits");
        self.push();
        self.outbox.sent(sending, FRAME_BYTES);
        self.send(self.segments.len());
    }

    fn push(&mut self) {
        for segment in &self.segments {
            self.outbox.push(segment.clone(), Weight::Data, OUTBOX_BYTES);
        }
    }

    fn send(&mut self, frames: usize) {
        let sending = self.outbox.take(&self.open).expect("something waits");
        self.outbox.sent(std::hint::black_box(sending), frames * FRAME_BYTES);
    }
}
