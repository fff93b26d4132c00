//! Sends in flight: what the kernel reads stays here, untouched, until it says that it is done.

use std::io;

use smallvec::SmallVec;

use super::Slot;
use super::batch::Segment;
use super::buffers::BufferId;

/// What one send carries. One segment is the common case and needs no memory of its own.
pub type Segments = SmallVec<[Segment; 1]>;

/// Most segments that leave with one send (the kernel's `UIO_MAXIOV` is 1024).
pub const SEGMENTS_MAX: usize = 256;

/// A send that the kernel works on, with the `msghdr` that it was given where there is more than one segment.
pub(super) struct InFlight {
    pub(super) slot: Slot,
    /// Empty where it is a received buffer that is sent.
    pub(super) segments: Segments,
    pub(super) buffer: Option<BufferId>,
    message: Option<Box<Message>>,
    /// The kernel says nothing if it takes all of it at once.
    pub(super) is_quiet: bool,
    /// What of the segments had been taken before this send, which carries the rest of them.
    taken: usize,
    rest: Segments,
}

struct Message {
    header: libc::msghdr,
    vectors: Vec<libc::iovec>,
}

impl InFlight {
    pub(super) fn new(slot: Slot, segments: Segments) -> InFlight {
        assert!(!segments.is_empty() && segments.len() <= SEGMENTS_MAX);
        let message = (segments.len() > 1).then(|| Box::new(Message::over(&segments)));
        InFlight { slot, segments, buffer: None, message, is_quiet: false, taken: 0, rest: Segments::new() }
    }

    /// The same, of which the kernel says nothing if it takes all of it at once.
    pub(super) fn quiet(slot: Slot, segments: Segments) -> InFlight {
        InFlight { is_quiet: true, ..InFlight::new(slot, segments) }
    }

    /// What a quiet send left when there was no room for more.
    pub(super) fn waiting(self, taken: usize) -> InFlight {
        let (mut rest, mut passed) = (self.segments.clone(), taken);
        rest.retain(|segment| {
            let here = passed.min(segment.len());
            passed -= here;
            segment.advance(here);
            !segment.is_empty()
        });
        let message = (rest.len() > 1).then(|| Box::new(Message::over(&rest)));
        InFlight { message, is_quiet: false, taken, rest, ..self }
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> usize {
        self.segments.iter().map(Segment::len).sum()
    }

    /// What became of the segments, if this send ended with this result.
    pub(super) fn outcome(&self, result: io::Result<u32>) -> io::Result<usize> {
        result.map(|bytes| self.taken + bytes as usize)
    }

    /// Of bytes that lie in a receive buffer.
    pub(super) fn of_buffer(slot: Slot, buffer: BufferId) -> InFlight {
        let (segments, rest) = (Segments::new(), Segments::new());
        InFlight { slot, segments, buffer: Some(buffer), message: None, is_quiet: false, taken: 0, rest }
    }

    /// The single segment, or nothing when [`Self::header`] is to be used.
    pub(super) fn single(&self) -> Option<(*const u8, u32)> {
        self.message.is_none().then(|| {
            let bytes = self.rest.first().unwrap_or(&self.segments[0]).bytes();
            (bytes.as_ptr(), bytes.len() as u32)
        })
    }

    /// The message header over all segments. The box keeps its address while the entry lives.
    pub(super) fn header(&self) -> Option<*const libc::msghdr> {
        self.message.as_ref().map(|m| &raw const m.header)
    }
}

impl Message {
    fn over(segments: &[Segment]) -> Message {
        let mut vectors: Vec<libc::iovec> =
            segments.iter().map(|s| libc::iovec { iov_base: s.bytes().as_ptr().cast_mut().cast(), iov_len: s.len() }).collect();
        // SAFETY: a msghdr of zeros is a valid one with no address, no control data and no vectors.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len();
        Message { header, vectors }
    }
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let vectors = self.message.as_ref().map_or(1, |m| m.vectors.len());
        write!(f, "send of {vectors} segments on {:?}", self.slot)
    }
}

/// All sends in flight of a ring, named by a number that travels through the kernel.
#[derive(Debug, Default)]
pub(super) struct Sends {
    entries: Vec<Option<InFlight>>,
    free: Vec<u32>,
}

impl Sends {
    pub(super) fn insert(&mut self, send: InFlight) -> (u32, &InFlight) {
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        (id, self.entries[id as usize].insert(send))
    }

    pub(super) fn remove(&mut self, id: u32) -> InFlight {
        self.free.push(id);
        self.entries[id as usize].take().expect("the kernel completes a send once")
    }

    /// A quiet send that has not been heard of: see [`super::Ring::send_quietly`].
    pub(super) fn remove_quiet(&mut self, id: u32) -> Option<InFlight> {
        let is_quiet = self.entries[id as usize].as_ref().is_some_and(|send| send.is_quiet);
        is_quiet.then(|| self.remove(id))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.entries.len()
    }
}
