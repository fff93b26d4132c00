//! A frame from outside: verified and read in place; a message on its way out: encoded. The floor is a copy of the same bytes.

mod support;
mod work;

use std::hint::black_box;

use campanile::id::Address;
use campanile::wire::Encoder;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use work::frames::{message, publish, read_publish, record};

fn verify_and_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    for size in [64, 1024, 16_384] {
        let bytes = publish(&mut Encoder::default(), Address::Group("team"), Some("c-0123456789"), &vec![b'x'; size]);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut copy = vec![0_u8; bytes.len()];
        group.bench_function(BenchmarkId::new("floor: copy", size), |b| {
            b.iter(|| black_box(&mut copy).copy_from_slice(black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("verify and read", size), |b| {
            b.iter(|| read_publish(black_box(&bytes)));
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for size in [64, 1024, 16_384] {
        let record = record(size);
        let mut encoder = Encoder::default();
        let length = message(&mut encoder, &record).len();
        group.throughput(Throughput::Bytes(length as u64));
        let (from, mut to) = (vec![1_u8; length], vec![0_u8; length]);
        group.bench_function(BenchmarkId::new("floor: copy", size), |b| {
            b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
        group.bench_function(BenchmarkId::new("message", size), |b| {
            b.iter(|| message(&mut encoder, black_box(&record)).len());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = verify_and_read, encode
}
criterion_main!(benches);
