//! A message from one shard to another: staged, published, taken. Both ends on one thread, so that what is measured is the work and not how
//! the machine wakes threads; and there and back between two threads that spin, which is the distance between two cores.

mod support;
mod work;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use campanile::mesh::Event;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use work::mesh::{Hop, pair};

fn one_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("mesh");
    for batch in [1_usize, 16, 256] {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("floor: vector of events", batch), |b| {
            let mut events = Vec::with_capacity(batch);
            b.iter(|| {
                (0..batch).for_each(|_| events.push(black_box(Event::Detached)));
                events.drain(..).for_each(|event| drop(black_box(event)));
            });
        });
        let mut hop = Hop::new();
        group.bench_function(BenchmarkId::new("hop, both ends here", batch), |b| b.iter(|| black_box(hop.run(batch))));
    }
    group.finish();
}

fn two_threads(c: &mut Criterion) {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return eprintln!("mesh/there and back: left out, it needs two processors");
    }
    let (mut near, mut far) = pair();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let echo = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let mut any = false;
            while let Some(event) = far.next_event(0) {
                far.event(0, event);
                any = true;
            }
            if any {
                far.publish();
            }
            std::hint::spin_loop();
        }
    });
    let mut group = c.benchmark_group("mesh");
    group.throughput(Throughput::Elements(1));
    group.bench_function("there and back, two threads", |b| {
        b.iter(|| {
            near.event(1, Event::Detached);
            near.publish();
            while near.next_event(1).is_none() {
                std::hint::spin_loop();
            }
        });
    });
    group.finish();
    stop.store(true, Ordering::Relaxed);
    echo.join().expect("the other thread ends");
}

criterion_group! {
    name = benches;
    config = support::short();
    targets = one_thread, two_threads
}
criterion_main!(benches);
