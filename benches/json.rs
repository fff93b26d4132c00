//! A text from outside made a frame; a message on its way out made a text. The floor is a copy of the same bytes.

mod support;

use std::hint::black_box;

use campanile::id::Address;
use campanile::json::{self, Reader};
use campanile::wire::schema::{Message, MessageArgs};
use campanile::wire::{Encoder, conversation, read};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 2] = [128, 16_384];

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("json");
    for size in SIZES {
        let body = "x".repeat(size);
        let text =
            format!(r#"{{"type":"publish","ref":7,"conversation":"group:team","client_id":"c-0123456789","body":"{body}"}}"#);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let mut copy = vec![0_u8; text.len()];
        group.bench_function(BenchmarkId::new("floor: copy of a publish", size), |b| {
            b.iter(|| black_box(&mut copy).copy_from_slice(black_box(text.as_bytes())));
        });
        let mut reader = Reader::new();
        group.bench_function(BenchmarkId::new("read a publish", size), |b| {
            b.iter(|| reader.read(black_box(text.as_bytes()), Some("alice")).expect("a publish").len());
        });
    }
    group.finish();
}

fn writing(c: &mut Criterion) {
    let mut group = c.benchmark_group("json");
    for size in SIZES {
        let frame = message(&vec![b'x'; size]);
        let frame = read(&frame).expect("sound");
        let mut out = Vec::new();
        json::write(frame, &mut out);
        group.throughput(Throughput::Bytes(out.len() as u64));
        let (from, mut to) = (out.clone(), out.clone());
        group.bench_function(BenchmarkId::new("floor: copy of a message", size), |b| {
            b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
        group.bench_function(BenchmarkId::new("write a message", size), |b| {
            b.iter(|| {
                out.clear();
                json::write(black_box(frame), &mut out);
                out.len()
            });
        });
    }
    group.finish();
}

fn message(body: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let frame = encoder.frame(0, |b| {
        let conversation = Some(conversation(b, Address::Group("team")));
        let (sender, client_id) = (Some(b.create_string("alice")), Some(b.create_string("c-0123456789")));
        let body = Some(b.create_vector(body));
        let (epoch, seq, time_ms) = (1_700_000_000_000_000, 42, 1_700_000_000_000);
        Message::create(b, &MessageArgs { conversation, epoch, seq, time_ms, sender, client_id, body, ..Default::default() })
    });
    frame.to_vec()
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = reading, writing
}
criterion_main!(benches);
