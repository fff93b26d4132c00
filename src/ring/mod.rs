//! One io_uring: everything of the kernel that a shard uses, in safe terms. All `unsafe` of the crate is in this folder.
//!
//! A ring owns whatever the kernel may touch: received bytes ([`Ring::received`]), bytes that are being sent ([`Segment`]s, held until
//! their completion), the listener, the doorbell. Sockets are **direct descriptors**: slots in the ring's own table, never in the
//! process's. What was asked for comes back as [`Completion`]s, in the order in which the kernel finished it.
//!
//! The shape (`SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG`, kernel 6.1): completions are made only inside [`Ring::enter`], on the
//! thread that calls it, so nothing changes between two calls.
#![allow(unsafe_code)]

mod batch;
mod buffers;
mod sends;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

pub use batch::{BATCH_BYTES, OpenBatch, Segment};
pub use buffers::BufferId;
use buffers::Buffers;
use sends::{InFlight, Sends};
pub use sends::{SEGMENTS_MAX, Segments};

/// Submission entries: a longer turn submits more than once.
const SUBMISSIONS: u32 = 1024;
/// `IORING_MSG_RING_CQE_SKIP`: the target of a hand-off learns of it by its lane, not by a completion (kernel 6.0).
const MSG_RING_CQE_SKIP: u32 = 1;

/// Direct descriptors that the kernel allows a ring (IORING_MAX_FIXED_FILES), whatever RLIMIT_NOFILE says.
pub const SLOTS_MAX: u32 = 1 << 20;

/// A direct descriptor: the index of a socket in the ring's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// Names a listening socket of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(pub u32);

/// How large a ring is made.
#[derive(Clone, Copy, Debug)]
pub struct RingSize {
    /// Direct descriptors; bounded by RLIMIT_NOFILE, and by [`SLOTS_MAX`].
    pub slots: u32,
    /// Provided receive buffers, a power of two, at most 32768.
    pub buffers: u16,
    /// Bytes of each.
    pub buffer_bytes: usize,
    /// Completion entries. One that is too small ends multishot requests, which are armed again.
    pub completions: u32,
}

/// What the kernel finished. The fields are explained with their variant.
#[allow(missing_docs)]
#[derive(Debug)]
pub enum Completion {
    /// A connection was accepted into a slot, or accepting failed. `more`: still armed.
    Accepted { listener: ListenerId, result: io::Result<Slot>, more: bool },
    /// Bytes arrived in a buffer (to be given back), or the stream ended (`Ok(None)`). `more`: still armed.
    Received { slot: Slot, result: io::Result<Option<(BufferId, usize)>>, more: bool },
    /// A send ended: how many bytes of its segments the kernel took.
    Sent { slot: Slot, segments: Segments, result: io::Result<usize> },
    /// The socket was shut down (a failure means that it already was).
    ShutDown { slot: Slot },
    /// The slot is free.
    Closed { slot: Slot },
    /// The socket is also in another ring's table, at this slot; ours is still open.
    HandedOff { slot: Slot, result: io::Result<Slot> },
    /// A descriptor of the process for the socket, to ask it things that a direct descriptor cannot be asked.
    Installed { slot: Slot, result: io::Result<OwnedFd> },
    /// The doorbell rang. It is armed again.
    Rung,
}

/// Names a ring to other threads, as the target of a hand-off.
#[derive(Clone, Debug)]
pub struct RingHandle(Arc<OwnedFd>);

/// An io_uring and all that the kernel may touch on its behalf.
///
/// Fields are dropped in this order: the ring first. From then on nobody enters it, and with `DEFER_TASKRUN` the kernel touches the
/// memory of the others only inside [`Ring::enter`]; what is still armed is cancelled, not retried.
pub struct Ring {
    io: IoUring,
    buffers: Buffers,
    sends: Sends,
    /// Quiet sends whose end is not known yet.
    quiet: Vec<u32>,
    listeners: Vec<OwnedFd>,
    bell: Option<OwnedFd>,
    bell_count: Box<u64>,
    handle: RingHandle,
    /// Hand-offs keep their target's ring alive until they complete.
    targets: Vec<RingHandle>,
}

#[repr(u8)]
#[derive(Clone, Copy)]
enum Op {
    Accept = 1,
    Receive = 2,
    Send = 3,
    ShutDown = 4,
    Close = 5,
    HandOff = 6,
    Install = 7,
    Bell = 8,
}

const fn tag(op: Op, index: u32) -> u64 {
    (op as u64) << 56 | index as u64
}

impl Ring {
    /// Makes a ring that the calling thread alone may use.
    ///
    /// # Errors
    /// ENOSYS, EPERM: io_uring is missing or disabled. EINVAL: the kernel is older than 6.1. EMFILE: more slots than RLIMIT_NOFILE or [`SLOTS_MAX`].
    pub fn new(size: RingSize) -> io::Result<Ring> {
        let io = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(size.completions)
            .build(SUBMISSIONS)?;
        io.submitter().register_files_sparse(size.slots)?;
        let buffers = Buffers::register(&io, size.buffers, size.buffer_bytes)?;
        // SAFETY: the descriptor belongs to `io`, which is alive; it is only duplicated here.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(io.as_raw_fd()) }.try_clone_to_owned()?;
        Ok(Ring {
            io,
            buffers,
            sends: Sends::default(),
            quiet: Vec::new(),
            listeners: Vec::new(),
            bell: None,
            bell_count: Box::new(0),
            handle: RingHandle(Arc::new(fd)),
            targets: Vec::new(),
        })
    }

    /// What other threads need to hand connections to this ring.
    pub fn handle(&self) -> RingHandle {
        self.handle.clone()
    }

    // ---- asking

    /// Takes over a listening socket; [`Self::accept`] arms it.
    pub fn listen(&mut self, listener: impl Into<OwnedFd>) -> ListenerId {
        self.listeners.push(listener.into());
        ListenerId(self.listeners.len() as u32 - 1)
    }

    /// Arms a multishot accept into slots that the kernel picks.
    pub fn accept(&mut self, listener: ListenerId) {
        if let Some(socket) = self.listeners.get(listener.0 as usize) {
            let entry = opcode::AcceptMulti::new(Fd(socket.as_raw_fd())).allocate_file_index(true).build();
            self.push(entry.user_data(tag(Op::Accept, listener.0)));
        }
    }

    /// Stops listening: the armed accepts end and the ports are free for another process.
    pub fn stop_listening(&mut self) {
        for index in 0..std::mem::take(&mut self.listeners).len() {
            self.push(opcode::AsyncCancel::new(tag(Op::Accept, index as u32)).build().user_data(0));
        }
    }

    /// Arms a receive that goes on until it says otherwise.
    pub fn receive(&mut self, slot: Slot) {
        let entry = opcode::RecvMulti::new(Fixed(slot.0), buffers::GROUP).build();
        self.push(entry.user_data(tag(Op::Receive, slot.0)));
    }

    /// Arms a receive for one buffer.
    pub fn receive_once(&mut self, slot: Slot) {
        let entry = opcode::Recv::new(Fixed(slot.0), std::ptr::null_mut(), 0).buf_group(buffers::GROUP).build();
        self.push(entry.flags(squeue::Flags::BUFFER_SELECT).user_data(tag(Op::Receive, slot.0)));
    }

    /// Ends an armed receive; it completes once more, without `more`.
    pub fn stop_receiving(&mut self, slot: Slot) {
        self.push(opcode::AsyncCancel::new(tag(Op::Receive, slot.0)).build().user_data(0));
    }

    /// The bytes of a completion.
    pub fn received(&self, id: BufferId, length: usize) -> &[u8] {
        self.buffers.bytes(id, length)
    }

    /// The same, to be changed where it lies.
    pub fn received_mut(&mut self, id: BufferId, length: usize) -> &mut [u8] {
        self.buffers.bytes_mut(id, length)
    }

    /// Gives a buffer back to the kernel.
    pub fn give_back(&mut self, id: BufferId) {
        self.buffers.give_back(id);
    }

    /// Sends sealed segments, all of them unless the socket fails (MSG_WAITALL). At most one send per slot may be in flight.
    pub fn send(&mut self, slot: Slot, segments: Segments) {
        self.submit_send(InFlight::new(slot, segments));
    }

    /// As [`Self::send`], but its end wakes nobody: when the kernel takes all of it while it is submitted, as it does unless the peer reads slowly, the next
    /// [`Self::drain`] after that tells, whatever it was that ended the sleep. Saves a completion, and a turn of its own for it, where nothing waits for the
    /// end of a send.
    pub fn send_quietly(&mut self, slot: Slot, segments: Segments) {
        self.submit_send(InFlight::quiet(slot, segments));
    }

    fn submit_send(&mut self, send: InFlight) {
        let (slot, is_quiet) = (send.slot, send.is_quiet);
        // Without waiting it has ended when it is submitted; an end without success, or before all is taken, is always told (kernel 5.19).
        let wait = if is_quiet { libc::MSG_DONTWAIT } else { 0 };
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL | wait;
        let (id, send) = self.sends.insert(send);
        let entry = match (send.single(), send.header()) {
            (Some((pointer, length)), _) => opcode::Send::new(Fixed(slot.0), pointer, length).flags(flags).build(),
            (None, Some(header)) => opcode::SendMsg::new(Fixed(slot.0), header).flags(flags as u32).build(),
            (None, None) => unreachable!("a send has one segment or a header"),
        };
        let entry = if is_quiet { entry.flags(squeue::Flags::SKIP_SUCCESS) } else { entry };
        self.push(entry.user_data(tag(Op::Send, id)));
        if is_quiet {
            self.quiet.push(id);
        }
    }

    /// Sends a part of what was received where it lies, and gives the buffer back when the kernel has read it; it must not be touched meanwhile. Else as
    /// [`Self::send`], and completes with no segments.
    pub fn send_received(&mut self, slot: Slot, id: BufferId, part: std::ops::Range<usize>) {
        let bytes = &self.buffers.bytes(id, part.end)[part];
        let (pointer, length) = (bytes.as_ptr(), bytes.len() as u32);
        let (send, _) = self.sends.insert(InFlight::of_buffer(slot, id));
        let entry = opcode::Send::new(Fixed(slot.0), pointer, length).flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL).build();
        self.push(entry.user_data(tag(Op::Send, send)));
    }

    /// Shuts down the sending half, or both: whatever is armed on the socket ends. The kernel leaves it to a thread of its own, which looks into the slot when
    /// its turn comes (`io_shutdown_prep` asks for it by `REQ_F_FORCE_ASYNC`): close only after [`Completion::ShutDown`], or the next socket there is shut down.
    pub fn shut_down(&mut self, slot: Slot, how: std::net::Shutdown) {
        let how = match how {
            std::net::Shutdown::Read => libc::SHUT_RD,
            std::net::Shutdown::Write => libc::SHUT_WR,
            std::net::Shutdown::Both => libc::SHUT_RDWR,
        };
        self.push(opcode::Shutdown::new(Fixed(slot.0), how).build().user_data(tag(Op::ShutDown, slot.0)));
    }

    /// Frees a slot. Nothing may be in flight on it.
    pub fn close(&mut self, slot: Slot) {
        self.push(opcode::Close::new(Fixed(slot.0)).build().user_data(tag(Op::Close, slot.0)));
    }

    /// Puts the socket into a slot of another ring as well (`IORING_MSG_SEND_FD`, kernel 6.0). Nothing may be armed on it.
    pub fn hand_off(&mut self, slot: Slot, target: &RingHandle) {
        let fd = Fd(target.0.as_raw_fd());
        let entry = opcode::MsgRingSendFd::new(fd, Fixed(slot.0), DestinationSlot::auto_target(), 0)
            .opcode_flags(MSG_RING_CQE_SKIP)
            .build();
        if !self.targets.iter().any(|t| Arc::ptr_eq(&t.0, &target.0)) {
            self.targets.push(target.clone());
        }
        self.push(entry.user_data(tag(Op::HandOff, slot.0)));
    }

    /// Asks for a descriptor of the process for a slot's socket (kernel 6.8).
    pub fn install(&mut self, slot: Slot) {
        self.push(opcode::FixedFdInstall::new(Fixed(slot.0), 0).build().user_data(tag(Op::Install, slot.0)));
    }

    /// Puts a connected socket into a slot, for programs that connect. The caller picks slots that are free and never accepts.
    ///
    /// # Errors
    /// EINVAL: the slot is outside the table.
    pub fn adopt(&mut self, slot: Slot, socket: impl Into<OwnedFd>) -> io::Result<()> {
        let socket: OwnedFd = socket.into();
        self.io.submitter().register_files_update(slot.0, &[socket.as_raw_fd()]).map(drop)
    }

    /// Arms the doorbell: an eventfd that other threads write to wake this one.
    pub fn listen_to_bell(&mut self, bell: impl AsFd) -> io::Result<()> {
        self.bell = Some(bell.as_fd().try_clone_to_owned()?);
        self.arm_bell();
        Ok(())
    }

    fn arm_bell(&mut self) {
        let Some(bell) = &self.bell else { return };
        let count: *mut u64 = &raw mut *self.bell_count;
        let entry = opcode::Read::new(Fd(bell.as_raw_fd()), count.cast(), size_of::<u64>() as u32).build();
        self.push(entry.user_data(tag(Op::Bell, 0)));
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: every entry made in this file points only to memory that `self` owns and keeps until the completion: sends in
        // `sends`, buffers in `buffers` (one that is sent is given back by its completion), the bell's count in its box. Slots and descriptors are numbers, checked by the kernel.
        while unsafe { self.io.submission().push(&entry) }.is_err() {
            // The queue is full: let the kernel take what is there. Completions wait in their own queue.
            if let Err(error) = self.io.submit()
                && !is_passing(&error)
            {
                panic!("the kernel refuses submissions of a ring that it made: {error}");
            }
        }
    }

    // ---- taking

    /// Submits what was asked for and lets the kernel run what is due. With `wait`, sleeps until there is a completion, the time
    /// (of at most this length) is over, or a signal arrived.
    ///
    /// # Errors
    /// Only such as mean that the ring is unusable.
    pub fn enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let outcome = match wait {
            None => self.io.submit_and_wait(0),
            Some(time) => {
                let time = Timespec::from(time);
                self.io.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        match outcome {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether [`Self::enter`] has anything to do without waiting.
    pub fn has_work(&mut self) -> bool {
        let submissions = self.io.submission();
        !submissions.is_empty() || submissions.taskrun() || submissions.cq_overflow()
    }

    /// Moves all completions that are there to the end of `into`, those of quiet sends first.
    pub fn drain(&mut self, into: &mut Vec<Completion>) {
        // Else a quiet send may not have been submitted, or what the kernel has to say of it waits where it cannot be seen.
        let submissions = self.io.submission();
        let all_is_told = submissions.is_empty() && !submissions.cq_overflow();
        drop(submissions);
        let (first, mut rang) = (into.len(), false);
        let mut without_room = Vec::new();
        for entry in self.io.completion() {
            match completion(&entry, &mut self.sends, &mut self.buffers) {
                Some(Ended::Completion(completion)) => into.push(completion),
                Some(Ended::WithoutRoom(send)) => without_room.push(send),
                None => {}
            }
            rang |= entry.user_data() >> 56 == Op::Bell as u64;
        }
        if all_is_told {
            let told = into.len();
            for id in self.quiet.drain(..) {
                if let Some(send) = self.sends.remove_quiet(id) {
                    let result = Ok(send.bytes());
                    into.push(Completion::Sent { slot: send.slot, segments: send.segments, result });
                }
            }
            into[first..].rotate_left(told - first);
        }
        without_room.into_iter().for_each(|send| self.submit_send(send));
        if rang {
            self.arm_bell();
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("fd", &self.io.as_raw_fd()).field("idle", &self.sends.is_empty()).finish()
    }
}

/// Interrupted, timed out, or asked to come back once completions were taken: none of them loses anything.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN))
}

/// What an entry of the completion queue means.
enum Ended {
    Completion(Completion),
    /// A quiet send that found no room for all of it: this is what is left, to be sent when there is.
    WithoutRoom(InFlight),
}

fn completion(entry: &cqueue::Entry, sends: &mut Sends, buffers: &mut Buffers) -> Option<Ended> {
    let (op, index) = (entry.user_data() >> 56, entry.user_data() as u32);
    let slot = Slot(index);
    let more = cqueue::more(entry.flags());
    let result = result_of(entry.result());
    Some(Ended::Completion(match op {
        op if op == Op::Accept as u64 => Completion::Accepted { listener: ListenerId(index), result: result.map(Slot), more },
        op if op == Op::Receive as u64 => Completion::Received { slot, result: received(entry, result, buffers), more },
        op if op == Op::Send as u64 => {
            let send = sends.remove(index);
            match &result {
                Ok(taken) if send.is_quiet && (*taken as usize) < send.bytes() => {
                    return Some(Ended::WithoutRoom(send.waiting(*taken as usize)));
                }
                Err(error) if send.is_quiet && error.raw_os_error() == Some(libc::EAGAIN) => {
                    return Some(Ended::WithoutRoom(send.waiting(0)));
                }
                _ => {}
            }
            if let Some(buffer) = send.buffer {
                buffers.give_back(buffer);
            }
            let result = send.outcome(result);
            Completion::Sent { slot: send.slot, segments: send.segments, result }
        }
        op if op == Op::ShutDown as u64 => Completion::ShutDown { slot },
        op if op == Op::Close as u64 => Completion::Closed { slot },
        op if op == Op::HandOff as u64 => Completion::HandedOff { slot, result: result.map(Slot) },
        op if op == Op::Install as u64 => Completion::Installed { slot, result: result.map(|fd| owned(fd as RawFd)) },
        op if op == Op::Bell as u64 => Completion::Rung,
        _ => return None,
    }))
}

fn received(entry: &cqueue::Entry, result: io::Result<u32>, buffers: &mut Buffers) -> io::Result<Option<(BufferId, usize)>> {
    let buffer = cqueue::buffer_select(entry.flags()).map(BufferId);
    let length = *result.as_ref().unwrap_or(&0) as usize;
    match buffer {
        Some(id) if length > 0 => Ok(Some((id, length))),
        Some(id) => {
            // The stream ended or failed with a buffer in hand.
            buffers.give_back(id);
            result.map(|_| None)
        }
        None => result.map(|_| None),
    }
}

fn result_of(result: i32) -> io::Result<u32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result as u32) }
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
