//! Where an id lives: hash, slot, home. The floor is a copy of the id.

mod support;

use std::hint::black_box;

use campanile::slot::Slots;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn home(c: &mut Criterion) {
    let slots = Slots::new(0x5eed, 7);
    let mut group = c.benchmark_group("slot");
    for length in [8, 32, 64] {
        let id = "x".repeat(length);
        let mut copy = vec![0_u8; length];
        group.bench_function(BenchmarkId::new("floor: copy", length), |b| {
            b.iter(|| black_box(&mut copy).copy_from_slice(black_box(id.as_bytes())));
        });
        group.bench_function(BenchmarkId::new("home", length), |b| b.iter(|| slots.home(black_box(id.as_bytes()))));
        group.bench_function(BenchmarkId::new("fingerprint", length), |b| {
            b.iter(|| slots.fingerprint(black_box(id.as_bytes())));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = home
}
criterion_main!(benches);
