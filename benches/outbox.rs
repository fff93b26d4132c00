//! What waits for one connection: pushed, taken for a send, sent. With a reader who keeps up, and one whose send is in flight meanwhile.
//! The floor is a copy of the same bytes.

mod support;

use std::hint::black_box;

use campanile::effects::Weight;
use campanile::net::Outbox;
use campanile::ring::{OpenBatch, Segment};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const FRAME_BYTES: usize = 200;
const OUTBOX_BYTES: usize = 262_144;

fn frames(open: &mut OpenBatch, count: usize) -> Vec<Segment> {
    let frames = (0..count).map(|_| open.append(&[7; FRAME_BYTES])).collect();
    open.seal();
    frames
}

fn outbox(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbox");
    for count in [1, 16] {
        let mut open = OpenBatch::default();
        let segments = frames(&mut open, count);
        let bytes = count * FRAME_BYTES;
        group.throughput(Throughput::Elements(count as u64));
        let (from, mut to) = (vec![1_u8; bytes], vec![0_u8; bytes]);
        group.bench_function(BenchmarkId::new("floor: copy", count), |b| {
            b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
        let mut outbox = Outbox::default();
        group.bench_function(BenchmarkId::new("push, take, sent", count), |b| {
            b.iter(|| {
                for segment in &segments {
                    black_box(outbox.push(segment.clone(), Weight::Data, OUTBOX_BYTES));
                }
                let sending = outbox.take(&open).expect("something waits");
                outbox.sent(black_box(sending), bytes);
            });
        });
        let first = frames(&mut open, 1).remove(0);
        group.bench_function(BenchmarkId::new("behind a send in flight", count), |b| {
            b.iter(|| {
                outbox.push(first.clone(), Weight::Data, OUTBOX_BYTES);
                let sending = outbox.take(&open).expect("something waits");
                for segment in &segments {
                    black_box(outbox.push(segment.clone(), Weight::Data, OUTBOX_BYTES));
                }
                outbox.sent(sending, FRAME_BYTES);
                let sending = outbox.take(&open).expect("something waits");
                outbox.sent(black_box(sending), bytes);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = outbox
}
criterion_main!(benches);
