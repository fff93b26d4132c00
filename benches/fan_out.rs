//! The plan of a fan-out: one record for a group of 10,000 members that are all here, from the home's event to the list of what is to be
//! sent. No sockets. The floor makes the same list from a vector of receivers, and decides nothing.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use campanile::clock::Now;
use campanile::conversation::{Content, Key, Policies, Record};
use campanile::effects::{Effects, Weight};
use campanile::id::Address;
use campanile::limits::Limits;
use campanile::mesh::{Event, Head, Request};
use campanile::ring::Slot;
use campanile::session::{Users, credentials};
use campanile::slot::Slots;
use campanile::wire::schema::{Connect, ConnectArgs};
use campanile::wire::{Encoder, read};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const MEMBERS: u32 = 10_000;
const EPOCH: u64 = 1;
const NOW: Now = Now { mono_ms: 1, wall_ms: 1_700_000_000_000 };

/// A shard of users who all receive the group.
fn shard(key: &Key) -> (Users, Effects) {
    let limits = Arc::new(Limits { fan_out_slice: 1_000_000, ..Limits::default() });
    let (mut users, mut fx) = (Users::new(0, Slots::new(7, 1), limits, Policies::in_memory(), 1), Effects::default());
    let mut encoder = Encoder::default();
    for i in 0..MEMBERS {
        let frame = encoder.frame(1, |b| {
            let (token, device) = (Some(b.create_string(&format!("dev:user{i}"))), Some(b.create_string("d")));
            Connect::create(b, &ConnectArgs { token, device, ..Default::default() })
        });
        let frame = read(frame).expect("sound");
        users.login(Slot(i), credentials(frame).expect("credentials"), 1, NOW, &mut fx).expect("a session");
        let place = (EPOCH, 1);
        let user = format!("user{i}").as_str().into();
        users.event(0, Event::MemberAdded { key: key.clone(), user, place, publisher: None }, &mut fx);
        answer(&mut users, &mut fx);
        clear(&mut fx);
    }
    (users, fx)
}

/// The home says yes to every attach.
fn answer(users: &mut Users, fx: &mut Effects) {
    while !fx.requests.is_empty() {
        for (_, request) in std::mem::take(&mut fx.requests) {
            match request {
                Request::Attach { key, session, .. } => {
                    let head = Head { epoch: EPOCH, first: 1, committed: 1, visible_from: 2 };
                    users.event(0, Event::Attached { key, session, result: Ok(head) }, fx);
                }
                other => panic!("{other:?} was not expected"),
            }
        }
    }
}

fn clear(fx: &mut Effects) {
    fx.sends.clear();
    fx.events.clear();
    fx.watch_drained.clear();
    fx.open.seal();
}

fn fan_out(c: &mut Criterion) {
    let key = Key::new("", Address::Group("team"));
    let (mut users, mut fx) = shard(&key);
    let mut seq = 1;
    let mut next = |body: &[u8]| {
        seq += 1;
        let content = Content::message(body.to_vec());
        Arc::new(Record { epoch: EPOCH, seq, time_ms: NOW.wall_ms, sender: "user1".into(), content })
    };
    let mut group = c.benchmark_group("fan-out");
    for messages in [1_usize, 16] {
        group.throughput(Throughput::Elements(u64::from(MEMBERS) * messages as u64));
        let mut floor = Effects::default();
        let receivers: Vec<Slot> = (0..MEMBERS).map(Slot).collect();
        group.bench_function(BenchmarkId::new("floor: a list of sends", messages), |b| {
            b.iter(|| {
                let frame = floor.open.append(&[7; 200]);
                for &receiver in black_box(&receivers) {
                    floor.send(receiver, frame.clone(), Weight::Data);
                }
                black_box(floor.sends.len());
                clear(&mut floor);
            });
        });
        group.bench_function(BenchmarkId::new("plan for 10,000 members", messages), |b| {
            b.iter(|| {
                for _ in 0..messages {
                    let record = next(&[b'x'; 128]);
                    users.event(0, Event::Delivered { key: key.clone(), record, publisher: None }, &mut fx);
                }
                while users.has_work() {
                    users.work(usize::MAX, NOW, &mut fx);
                }
                assert!(fx.sends.len() >= MEMBERS as usize, "everyone gets it");
                clear(&mut fx);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = fan_out
}
criterion_main!(benches);
