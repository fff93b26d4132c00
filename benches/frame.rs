//! A frame from outside: verified and read in place; a message on its way out: encoded. The floor is a copy of the same bytes.

mod support;

use std::hint::black_box;

use campanile::id::Address;
use campanile::wire::schema::{Publish, PublishArgs, RecordKind};
use campanile::wire::{Encoder, conversation, read};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn publish(encoder: &mut Encoder, body: &[u8]) -> Vec<u8> {
    let frame = encoder.frame(7, |b| {
        let conversation = Some(conversation(b, Address::Group("team")));
        let (client_id, body) = (Some(b.create_string("c-0123456789")), Some(b.create_vector(body)));
        Publish::create(b, &PublishArgs { conversation, client_id, body, ..Default::default() })
    });
    frame.to_vec()
}

fn verify_and_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    for size in [64, 1024, 16_384] {
        let bytes = publish(&mut Encoder::default(), &vec![b'x'; size]);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut copy = vec![0_u8; bytes.len()];
        group.bench_function(BenchmarkId::new("floor: copy", size), |b| {
            b.iter(|| black_box(&mut copy).copy_from_slice(black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("verify and read", size), |b| {
            b.iter(|| {
                let publish = read(black_box(&bytes)).expect("sound").body_as_publish().expect("a publish");
                let address = campanile::wire::address(publish.conversation()).expect("a conversation");
                (address.id().len(), publish.client_id().map(str::len), publish.body().map(|body| body.len()))
            });
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for size in [64, 1024, 16_384] {
        let record = record(size);
        let mut encoder = Encoder::default();
        let length = encode_message(&mut encoder, &record).len();
        group.throughput(Throughput::Bytes(length as u64));
        let (from, mut to) = (vec![1_u8; length], vec![0_u8; length]);
        group.bench_function(BenchmarkId::new("floor: copy", size), |b| {
            b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
        group.bench_function(BenchmarkId::new("message", size), |b| {
            b.iter(|| encode_message(&mut encoder, black_box(&record)).len());
        });
    }
    group.finish();
}

fn record(size: usize) -> campanile::conversation::Record {
    let mut content = campanile::conversation::Content::message(vec![b'x'; size]);
    content.client_id = Some("c-0123456789".into());
    assert_eq!(content.kind, RecordKind::message);
    campanile::conversation::Record { epoch: 1, seq: 42, time_ms: 1_700_000_000_000, sender: "alice".into(), content }
}

fn encode_message<'a>(encoder: &'a mut Encoder, record: &campanile::conversation::Record) -> &'a [u8] {
    encoder.frame(0, |b| campanile::session::frames::message(b, Address::Group("team"), record))
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = verify_and_read, encode
}
criterion_main!(benches);
