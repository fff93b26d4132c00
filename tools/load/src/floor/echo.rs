//! The floor of heartbeats: one thread, one ring, and whatever arrives is sent back. It knows of no connection more than its slot.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::thread;

use campanile::ring::{Completion, OpenBatch, Ring, RingSize, Segments, Slot};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;

use super::server::listen;
use crate::error::Failure;
use crate::machine;

/// Most connections.
const SLOTS_MAX: u64 = 1 << 20;
/// As a shard's ring has them, so that the two differ in what they do with a completion alone.
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 2048;
const COMPLETIONS: u32 = 32 * 1024;

/// Serves until standard input ends.
///
/// # Errors
/// The kernel refused what every program may do.
pub fn serve(cpu: Option<usize>) -> Result<(), Failure> {
    cpu.map_or(Ok(()), machine::pin)?;
    let slots = machine::raise_descriptors().saturating_sub(32).min(SLOTS_MAX) as u32;
    let size = RingSize { slots, buffers: BUFFERS, buffer_bytes: BUFFER_BYTES, completions: COMPLETIONS };
    let mut ring = Ring::new(size).map_err(|e| Failure::Kernel("io_uring cannot be set up", e))?;
    begin(&mut ring).map_err(Failure::Floor)?;
    Echo::default().turns(&mut ring).map_err(Failure::Floor)
}

fn begin(ring: &mut Ring) -> io::Result<()> {
    let listener = listen()?;
    // Connections inherit it.
    set_tcp_nodelay(listener.as_fd(), true)?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    let listener = ring.listen(listener);
    ring.accept(listener);
    thread::spawn(|| {
        // Whatever ends the reading, whoever wanted this server is gone.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    Ok(())
}

#[derive(Default)]
struct Echo {
    batch: OpenBatch,
    /// What goes back in this turn.
    back: Vec<(Slot, Segments)>,
}

impl Echo {
    fn turns(mut self, ring: &mut Ring) -> io::Result<()> {
        let mut completions = Vec::new();
        loop {
            ring.enter(Some(std::time::Duration::from_secs(1)))?;
            ring.drain(&mut completions);
            completions.drain(..).for_each(|completion| self.completed(ring, completion));
            self.batch.seal();
            self.back.drain(..).for_each(|(slot, segments)| ring.send(slot, segments));
        }
    }

    fn completed(&mut self, ring: &mut Ring, completion: Completion) {
        match completion {
            Completion::Accepted { result, more, listener } => {
                if let Ok(slot) = result {
                    ring.receive(slot);
                }
                if !more {
                    ring.accept(listener);
                }
            }
            Completion::Received { slot, result, more } => {
                let goes_on = match result {
                    // Two sends may be under way on a connection whose pings came together; their bytes are the same.
                    Ok(Some((id, length))) => {
                        let segment = self.batch.append(ring.received(id, length));
                        self.back.push((slot, [segment].into_iter().collect()));
                        ring.give_back(id);
                        true
                    }
                    Ok(None) => false,
                    Err(error) => error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()),
                };
                match (goes_on, more) {
                    (true, false) => ring.receive(slot),
                    (false, false) => ring.close(slot),
                    (_, true) => {}
                }
            }
            // What cannot be sent back is noticed by who waits for it.
            _ => {}
        }
    }
}
