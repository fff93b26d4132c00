//! Where an id lives: hash, slot, home. The floor is a copy of the id.

use std::hint::black_box;
use std::time::Duration;

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
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .nresamples(5000)
        .without_plots();
    targets = home
}
criterion_main!(benches);
