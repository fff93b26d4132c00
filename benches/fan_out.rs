//! The plan of a fan-out for a group of 10,000 members that are all here: see `work/fan_out.rs`. No sockets. The floor makes the same list from
//! a vector of receivers, and decides nothing.

mod support;
mod work;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use work::fan_out::{FanOut, List};

const MEMBERS: u32 = 10_000;

fn fan_out(c: &mut Criterion) {
    let (mut shard, mut list) = (FanOut::new(MEMBERS), List::new(MEMBERS));
    let mut group = c.benchmark_group("fan-out");
    for messages in [1_usize, 16] {
        group.throughput(Throughput::Elements(u64::from(MEMBERS) * messages as u64));
        group.bench_function(BenchmarkId::new("floor: a list of sends", messages), |b| b.iter(|| black_box(list.run())));
        group.bench_function(BenchmarkId::new("plan for 10,000 members", messages), |b| b.iter(|| shard.run(messages)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = fan_out
}
criterion_main!(benches);
