//! The ring over real sockets of loopback: 200 bytes sent and received in a provided buffer, for one pair of sockets and for 64 at once. The floor is the
//! same with a `send` and a `recv` for each, on other sockets.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use campanile::ring::{Completion, OpenBatch, Ring, RingSize, Segments, Slot};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const FRAME: [u8; 200] = [7; 200];

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let ours = TcpStream::connect(listener.local_addr().expect("it has one")).expect("a connection");
    let (theirs, _) = listener.accept().expect("it comes");
    for socket in [&ours, &theirs] {
        socket.set_nodelay(true).expect("it is a TCP socket");
    }
    (ours, theirs)
}

/// Pairs of sockets in one ring: the first half of the slots sends, each to its like in the second half.
struct Pairs {
    ring: Ring,
    open: OpenBatch,
    completions: Vec<Completion>,
    count: u32,
}

impl Pairs {
    fn new(count: u32) -> Pairs {
        let size = RingSize { slots: 2 * count, buffers: 256, buffer_bytes: 4096, completions: 4096 };
        let mut ring = Ring::new(size).expect("a ring");
        for i in 0..count {
            let (ours, theirs) = pair();
            ring.adopt(Slot(i), ours).expect("the slot is free");
            ring.adopt(Slot(count + i), theirs).expect("the slot is free");
            ring.receive(Slot(count + i));
        }
        Pairs { ring, open: OpenBatch::default(), completions: Vec::new(), count }
    }

    /// All send, and all has been received and given back.
    fn run(&mut self, send: impl Fn(&mut Ring, Slot, Segments)) {
        let segments: Vec<Segments> = (0..self.count).map(|_| Segments::from_iter([self.open.append(&FRAME)])).collect();
        self.open.seal();
        for (i, segments) in segments.into_iter().enumerate() {
            send(&mut self.ring, Slot(i as u32), segments);
        }
        let mut received = 0;
        while received < self.count as usize * FRAME.len() {
            self.ring.enter(Some(Duration::from_secs(1))).expect("the ring works");
            self.ring.drain(&mut self.completions);
            for completion in self.completions.drain(..) {
                match completion {
                    Completion::Received { result: Ok(Some((buffer, length))), slot, more } => {
                        received += length;
                        self.ring.give_back(buffer);
                        if !more {
                            self.ring.receive(slot);
                        }
                    }
                    Completion::Sent { result, .. } => assert_eq!(result.expect("it is sent"), FRAME.len()),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

fn ring(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    for count in [1, 64] {
        group.throughput(Throughput::Elements(count.into()));
        let mut plain: Vec<_> = (0..count).map(|_| pair()).collect();
        group.bench_function(BenchmarkId::new("floor: send, recv", count), |b| {
            b.iter(|| {
                let mut buffer = [0; FRAME.len()];
                plain.iter_mut().for_each(|(from, _)| from.write_all(&FRAME).expect("there is room"));
                plain.iter_mut().for_each(|(_, to)| to.read_exact(&mut buffer).expect("it is there"));
            });
        });
        let mut pairs = Pairs::new(count);
        group.bench_function(BenchmarkId::new("sent with a completion", count), |b| b.iter(|| pairs.run(Ring::send)));
        group.bench_function(BenchmarkId::new("sent quietly", count), |b| b.iter(|| pairs.run(Ring::send_quietly)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = ring
}
criterion_main!(benches);
