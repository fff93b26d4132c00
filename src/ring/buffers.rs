//! The provided buffer ring: one small pool of buffers that all connections of a shard receive into, so that an idle connection
//! owns none (kernel 5.19, `io_uring_register_buf_ring(3)`).

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The group id of the only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

const PAGE_BYTES: usize = 4096;

/// Names a buffer that the kernel has filled and that has not been given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId(pub(super) u16);

/// The entries (shared with the kernel) and the buffers that they point to.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// A power of two.
    count: u16,
    buffer_bytes: usize,
    tail: u16,
}

impl Buffers {
    /// Registers `count` buffers (a power of two, at most 32768) of `buffer_bytes` with `ring`.
    pub(super) fn register(ring: &IoUring, count: u16, buffer_bytes: usize) -> io::Result<Buffers> {
        assert!(count.is_power_of_two() && count <= 1 << 15 && buffer_bytes > 0);
        let entries = allocate(entries_layout(count)).cast::<BufRingEntry>();
        let memory = allocate(memory_layout(count, buffer_bytes));
        // SAFETY: `entries` is page-aligned, zeroed, holds `count` entries, and is freed only in `drop`. The owner (`Ring`) drops
        // its `IoUring`, and with it the kernel's use of this memory, before it drops this.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries.as_ptr() as u64, count, GROUP, 0) }?;
        let mut buffers = Buffers { entries, memory, count, buffer_bytes, tail: 0 };
        (0..count).for_each(|id| buffers.give_back(BufferId(id)));
        Ok(buffers)
    }

    /// What the kernel received into a buffer.
    pub(super) fn bytes(&self, id: BufferId, length: usize) -> &[u8] {
        assert!(id.0 < self.count && length <= self.buffer_bytes);
        // SAFETY: the id came from a completion, so the kernel has filled the buffer and will not touch it until `give_back`, which
        // needs `&mut self` and so cannot happen while this borrow lives. The memory was zeroed, so every byte is initialized.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(id.0 as usize * self.buffer_bytes), length) }
    }

    /// The same, to be changed where it lies.
    pub(super) fn bytes_mut(&mut self, id: BufferId, length: usize) -> &mut [u8] {
        assert!(id.0 < self.count && length <= self.buffer_bytes);
        // SAFETY: as in `bytes`; and since `self` is borrowed mutably, nobody else looks at any buffer while this borrow lives.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().add(id.0 as usize * self.buffer_bytes), length) }
    }

    /// Lets the kernel use a buffer (again).
    pub(super) fn give_back(&mut self, id: BufferId) {
        assert!(id.0 < self.count);
        let index = (self.tail & (self.count - 1)) as usize;
        // SAFETY: `index` is below `count`, so the entry lies in the allocation; the kernel reads an entry only after the tail has
        // passed it, and the tail is published below. `BufRingEntry::tail` is given the first entry, as it asks; the tail shares
        // its place with a reserved field of entry 0, which is written through the atomic only.
        unsafe {
            let entry = &mut *self.entries.as_ptr().add(index);
            entry.set_addr(self.memory.as_ptr().add(id.0 as usize * self.buffer_bytes) as u64);
            entry.set_len(self.buffer_bytes as u32);
            entry.set_bid(id.0);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were allocated with these layouts, and the kernel's ring is gone (see `register`).
        unsafe {
            dealloc(self.entries.as_ptr().cast(), entries_layout(self.count));
            dealloc(self.memory.as_ptr(), memory_layout(self.count, self.buffer_bytes));
        }
    }
}

fn entries_layout(count: u16) -> Layout {
    Layout::from_size_align(count as usize * size_of::<BufRingEntry>(), PAGE_BYTES).expect("32768 entries at most")
}

fn memory_layout(count: u16, buffer_bytes: usize) -> Layout {
    Layout::from_size_align(count as usize * buffer_bytes, PAGE_BYTES).expect("buffers fit the address space")
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout here has size zero: counts and sizes are positive.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}
