//! The home of a conversation: a publish numbered, stored in memory, acknowledged and told to every shard that listens; the same with a client id,
//! new and known. The floor makes the record, numbers it, and keeps it.

mod support;
mod work;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use work::conversation::{Home, Log};

/// Direct conversations that are there besides.
const OTHERS: usize = 10_000;

fn conversation(c: &mut Criterion) {
    let mut group = c.benchmark_group("conversation");
    let mut log = Log::new();
    group.bench_function("floor: a record kept", |b| b.iter(|| log.next()));
    let mut direct = Home::direct(OTHERS);
    group.bench_function("direct, without a client id", |b| b.iter(|| direct.next()));
    group.bench_function("direct, with a client id", |b| b.iter(|| direct.next_with_id()));
    direct.repetition();
    group.bench_function("direct, a repetition", |b| b.iter(|| direct.repetition()));
    for shards in [1, 8, 64] {
        let mut team = Home::group(shards);
        group.bench_function(BenchmarkId::new("group, listening shards", shards), |b| b.iter(|| team.next()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = conversation
}
criterion_main!(benches);
