//! A record's row on disk: key and value made, and read back. The floor is a copy of the value.

mod support;
mod work;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use work::rows::Row;

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    for size in [128, 16_384] {
        let row = Row::new(size);
        group.throughput(Throughput::Bytes(row.bytes().len() as u64));
        group.bench_function(BenchmarkId::new("floor: copy", size), |b| b.iter(|| black_box(row.bytes()).to_vec()));
        group.bench_function(BenchmarkId::new("encode", size), |b| b.iter(|| black_box(&row).encode()));
        group.bench_function(BenchmarkId::new("decode", size), |b| b.iter(|| black_box(&row).decode()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = rows
}
criterion_main!(benches);
