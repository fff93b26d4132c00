//! What waits for one connection: see `work/outbox.rs`. With a reader who keeps up, and one whose send is in flight meanwhile. The floor is a copy
//! of the same bytes.

mod support;
mod work;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use work::outbox::{FRAME_BYTES, Waiting};

fn outbox(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbox");
    for count in [1, 16] {
        let bytes = count * FRAME_BYTES;
        group.throughput(Throughput::Elements(count as u64));
        let (from, mut to) = (vec![1_u8; bytes], vec![0_u8; bytes]);
        group.bench_function(BenchmarkId::new("floor: copy", count), |b| {
            b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
        let mut waiting = Waiting::new(count);
        group.bench_function(BenchmarkId::new("push, take, sent", count), |b| b.iter(|| waiting.run()));
        group.bench_function(BenchmarkId::new("behind a send in flight", count), |b| b.iter(|| waiting.run_behind()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = outbox
}
criterion_main!(benches);
