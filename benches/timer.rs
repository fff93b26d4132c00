//! The timers of idle connections: one step of the wheel, in which some are looked at and armed again. The floor moves as many from one vector to
//! another and back.

mod support;
mod work;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use work::timer::{Timers, moved};

fn timer(c: &mut Criterion) {
    let mut group = c.benchmark_group("timer");
    for connections in [3_000, 300_000] {
        let mut timers = Timers::new(connections);
        group.throughput(Throughput::Elements(timers.each as u64));
        let (mut from, mut to) = (vec![(0, 0); timers.each], Vec::new());
        group.bench_function(BenchmarkId::new("floor: there and back", connections), |b| {
            b.iter(|| black_box(moved(&mut from, &mut to)))
        });
        group.bench_function(BenchmarkId::new("a step of the wheel", connections), |b| b.iter(|| black_box(timers.run())));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = timer
}
criterion_main!(benches);
