//! From the frame of a client to the frames for all who get something of it, without sockets: login, heartbeat, subscription, direct message.
//! The floor encodes the same frames, and decides nothing.

mod support;
mod work;

use std::hint::black_box;

use campanile::effects::{Effects, Weight};
use campanile::ring::Slot;
use campanile::wire::schema::{Ack, AckArgs};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use work::frames;
use work::session::{Direct, Login, Ping, Subscription};

const BODY_BYTES: usize = 128;

fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    let (mut fx, record) = (Effects::default(), frames::record(BODY_BYTES));
    group.bench_function("floor: a message and an ack encoded", |b| {
        b.iter(|| {
            let message = fx
                .frame(0, |b| campanile::session::frames::message(b, campanile::id::Address::Group("team"), black_box(&record)));
            fx.send(Slot(1), message, Weight::Data);
            fx.answer(Slot(0), 7, |b| Ack::create(b, &AckArgs { epoch: 1, seq: 42, ..Default::default() }));
            let sends = fx.sends.len();
            fx.sends.clear();
            fx.open.seal();
            sends
        });
    });
    for shards in [1, 2] {
        let mut direct = Direct::new(shards, BODY_BYTES);
        group.bench_function(BenchmarkId::new("direct message, shards", shards), |b| b.iter(|| direct.run()));
    }
    let mut login = Login::new();
    group.bench_function("login and leave", |b| b.iter(|| login.run()));
    let mut ping = Ping::new();
    group.bench_function("ping", |b| b.iter(|| ping.run()));
    let mut subscription = Subscription::new();
    group.bench_function("subscribe and unsubscribe", |b| b.iter(|| subscription.run()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = session
}
criterion_main!(benches);
