//! A WebSocket's messages: from a client, unmasked in place and, as text, checked to be UTF-8; to a client, in their dress; and the request that it
//! begins with. The floor is a copy of the same bytes.

mod support;
mod work;

use std::hint::black_box;

use campanile::net::Dress;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use work::ws::{Dressing, Message, Upgrade};

const SIZES: [usize; 2] = [128, 16_384];
/// Frames of a message that comes in pieces.
const FRAGMENTS: usize = 16;

fn floor(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, bytes: usize) {
    let (from, mut to) = (vec![1_u8; bytes], vec![0_u8; bytes]);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(BenchmarkId::new(format!("floor: copy of {name}"), bytes), |b| {
        b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    });
}

fn incoming(c: &mut Criterion) {
    let mut group = c.benchmark_group("ws");
    for size in SIZES {
        let messages = [
            ("binary", Message::binary(size, 1)),
            ("binary in 16 fragments", Message::binary(size, FRAGMENTS)),
            ("text", Message::text(size)),
        ];
        floor(&mut group, "a message", messages[0].1.len());
        for (name, mut message) in messages {
            group.throughput(Throughput::Bytes(message.len() as u64));
            group.bench_function(BenchmarkId::new(name, size), |b| b.iter(|| message.run()));
        }
    }
    let upgrade = Upgrade::new();
    floor(&mut group, "a request", upgrade.bytes().len());
    group.bench_function("upgrade", |b| b.iter(|| upgrade.run()));
    group.finish();
}

fn outgoing(c: &mut Criterion) {
    let mut group = c.benchmark_group("dress");
    for size in SIZES {
        let (mut binary, mut json) = (Dressing::new(Dress::Binary, size), Dressing::new(Dress::Json, size));
        floor(&mut group, "a frame", binary.run());
        group.bench_function(BenchmarkId::new("binary", size), |b| b.iter(|| binary.run()));
        group.bench_function(BenchmarkId::new("json", size), |b| b.iter(|| json.run()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = incoming, outgoing
}
criterion_main!(benches);
