//! A text from outside made a frame; a message on its way out, verified and made a text. The floor is a copy of the same bytes.

mod support;
mod work;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use work::json::{Reading, Writing};

const SIZES: [usize; 2] = [128, 16_384];

fn json(c: &mut Criterion) {
    let mut group = c.benchmark_group("json");
    for size in SIZES {
        let (mut reading, mut writing) = (Reading::new(size), Writing::new(size));
        let copies = [("a publish", reading.bytes().len()), ("a message", writing.run())];
        for (name, bytes) in copies {
            group.throughput(Throughput::Bytes(bytes as u64));
            let (from, mut to) = (vec![b'x'; bytes], vec![0_u8; bytes]);
            group.bench_function(BenchmarkId::new(format!("floor: copy of {name}"), size), |b| {
                b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
            });
        }
        group.bench_function(BenchmarkId::new("read a publish", size), |b| b.iter(|| reading.run()));
        group.bench_function(BenchmarkId::new("verify and write a message", size), |b| b.iter(|| writing.run()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = json
}
criterion_main!(benches);
