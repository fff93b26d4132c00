//! Sends over real sockets: what is told of them, and when.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};

use super::*;

const SLOT: Slot = Slot(3);

/// A ring, in whose slot 3 is one end of a connection; the other end.
fn connected() -> (Ring, TcpStream) {
    let size = RingSize { slots: 8, buffers: 8, buffer_bytes: 4096, completions: 2 * SUBMISSIONS };
    let mut ring = Ring::new(size).expect("a ring");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let ours = TcpStream::connect(listener.local_addr().expect("it has one")).expect("a connection");
    let (theirs, _) = listener.accept().expect("it comes");
    ring.adopt(SLOT, ours).expect("the slot is free");
    (ring, theirs)
}

fn segments(bytes: &[u8], cuts: usize) -> Segments {
    let open = OpenBatch::default();
    bytes.chunks(bytes.len().div_ceil(cuts)).map(|part| open.seal_apart(part.to_vec())).collect()
}

/// Enters the ring, for at most so long, and gives what became of sends.
fn sent(ring: &mut Ring, wait_ms: u64) -> Vec<io::Result<usize>> {
    ring.enter(Some(Duration::from_millis(wait_ms))).expect("the ring works");
    let mut all = Vec::new();
    ring.drain(&mut all);
    all.into_iter()
        .filter_map(|completion| match completion {
            Completion::Sent { slot, result, .. } => {
                assert_eq!(slot, SLOT);
                Some(result)
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_send_that_is_taken_at_once_ends_the_sleep_and_a_quiet_one_does_not() {
    let (mut ring, mut peer) = connected();
    ring.send(SLOT, segments(b"hello", 1));
    assert_eq!(sent(&mut ring, 60_000).into_iter().map(Result::unwrap).collect::<Vec<_>>(), [5]);
    for cuts in [1, 3] {
        ring.send_quietly(SLOT, segments(b" quietly", cuts));
        let began = std::time::Instant::now();
        assert_eq!(sent(&mut ring, 30).into_iter().map(Result::unwrap).collect::<Vec<_>>(), [8]);
        assert!(began.elapsed() >= Duration::from_millis(30), "nothing woke it");
        assert!(ring.sends.is_empty() && ring.quiet.is_empty());
    }
    let mut bytes = [0; 21];
    peer.read_exact(&mut bytes).expect("they are there");
    assert_eq!(&bytes, b"hello quietly quietly");
}

#[test]
fn a_quiet_send_without_room_waits_for_it_and_is_told_once_with_all_its_bytes() {
    for cuts in [1, 5] {
        let (mut ring, mut peer) = connected();
        let bytes: Vec<u8> = (0..16 << 20).map(|i: u32| (i / 7) as u8).collect();
        ring.send_quietly(SLOT, segments(&bytes, cuts));
        assert!(sent(&mut ring, 20).is_empty(), "nobody reads");
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            peer.read_to_end(&mut read).map(|_| read)
        });
        let mut told = Vec::new();
        while told.is_empty() {
            told = sent(&mut ring, 60_000);
        }
        assert_eq!(told.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [bytes.len()]);
        ring.shut_down(SLOT, Shutdown::Both);
        assert!(sent(&mut ring, 1000).is_empty());
        assert!(reader.join().expect("it reads").expect("to the end") == bytes);
    }
}

#[test]
fn a_quiet_send_that_fails_is_told() {
    let (mut ring, _peer) = connected();
    ring.shut_down(SLOT, Shutdown::Both);
    assert!(sent(&mut ring, 1000).is_empty());
    ring.send_quietly(SLOT, segments(b"too late", 1));
    let told = sent(&mut ring, 60_000);
    assert_eq!(told.into_iter().map(|r| r.unwrap_err().raw_os_error()).collect::<Vec<_>>(), [Some(libc::EPIPE)]);
    assert!(ring.sends.is_empty());
}

#[test]
fn more_quiet_sends_than_entries_of_a_queue_are_told_once_each() {
    let (mut ring, mut peer) = connected();
    let count = 3 * SUBMISSIONS as usize;
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        peer.read_to_end(&mut read).map(|_| read.len())
    });
    let mut told = 0;
    // The contract is one send for a slot at a time; that they come together is about the queue alone.
    (0..count).for_each(|_| ring.send_quietly(SLOT, segments(b"x", 1)));
    while told < count {
        told += sent(&mut ring, 100).into_iter().map(Result::unwrap).sum::<usize>();
    }
    assert!(ring.sends.is_empty() && ring.quiet.is_empty());
    ring.shut_down(SLOT, Shutdown::Both);
    sent(&mut ring, 1000);
    assert_eq!(reader.join().expect("it reads").expect("to the end"), count);
}
