//! The floor of the store: rows of messages written into the same database with the same options, one batch after another, a sync for each,
//! by a bare loop. Below it the same rows as appends through a shard's handle, with so many under way: what lanes, threads and the writer's
//! decisions cost above the floor.
//!
//! ```sh
//! cargo bench --bench store_floor            # in the directory for temporary files: set TMPDIR to a directory on the disk that counts
//! cargo bench --bench store_floor -- 20      # so many seconds for each batch size; 5 if nothing is said
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use campanile::control::metrics;
use campanile::conversation::{Content, Durability, Key, Record};
use campanile::id::Address;
use campanile::mesh::lanes::Doorbell;
use campanile::slot::RowId;
use campanile::store::disk::database::Database;
use campanile::store::disk::{Manifest, Opening, StoreOptions, Stores};
use campanile::store::engine::{Change, WriteRows};
use campanile::store::{Append, Command, LogPlace, Outcome, TERM, rows};
use rustix::time::{ClockId, clock_gettime};

const BATCHES: [usize; 7] = [1, 10, 100, 250, 1000, 2000, 4000];
const UNDER_WAY: [usize; 4] = [1, 100, 1000, 10_000];
const CONVERSATIONS: u64 = 100_000;
const BODY_BYTES: usize = 128;
const SECONDS: u64 = 5;

fn main() {
    // `cargo bench` itself adds `--bench`; `cargo test --benches` runs it once, shortly.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS);
    let time = if is_bench { Duration::from_secs(seconds) } else { Duration::from_millis(20) };
    println!("{:>10} {:>12} {:>14} {:>14} {:>12}", "batch", "rows/s", "CPU us/row", "its writer's", "ms/batch");
    let mut best = (0, 0.0);
    for batch in BATCHES {
        let measured = measure(batch, time);
        let Measured { rows_per_s, cpu_us, thread_us, batch_ms } = measured;
        println!("{batch:>10} {rows_per_s:>12.0} {cpu_us:>14.2} {thread_us:>14.2} {batch_ms:>12.2}");
        if rows_per_s > best.1 {
            best = (batch, rows_per_s);
        }
    }
    println!("best: {:.0} rows/s in batches of {}", best.1, best.0);
    println!("\n{:>10} {:>12} {:>14} {:>14} {:>12}", "under way", "appends/s", "CPU us/append", "its shard's", "per batch");
    for under_way in UNDER_WAY {
        let Through { appends_per_s, cpu_us, shard_us, per_batch } = through_threads(under_way, time);
        println!("{under_way:>10} {appends_per_s:>12.0} {cpu_us:>14.2} {shard_us:>14.2} {per_batch:>12.1}");
    }
}

struct Through {
    appends_per_s: f64,
    /// Of the whole process.
    cpu_us: f64,
    /// Of the thread that stands for a shard.
    shard_us: f64,
    /// Appends that shared a sync.
    per_batch: f64,
}

/// One thread is the shard: it appends as long as fewer than `under_way` are under way, and sleeps as a shard does.
fn through_threads(under_way: usize, time: Duration) -> Through {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = Manifest::open_or_create(dir.path(), 1, 1).expect("a new data directory");
    let bells: Arc<[Doorbell]> = [Doorbell::new().expect("a descriptor")].into_iter().collect();
    let metrics = metrics::for_partitions(1);
    let options = StoreOptions { disk_free_bytes_min: 0, ..StoreOptions::default() };
    let opening = Opening { manifest, options: &options, metrics: &metrics, bells: &bells, cpus: &[] };
    let (stores, mut shards) = Stores::open(opening).expect("a new store");
    let mut shard = shards.pop().expect("one shard");
    let (mut next_seq, mut random) = (vec![0; CONVERSATIONS as usize], 0x9e37_79b9_7f4a_7c15_u64);
    let (began, cpu, thread) = (Instant::now(), clock(ClockId::ProcessCPUTime), clock(ClockId::ThreadCPUTime));
    let mut appended = 0_u64;
    while began.elapsed() < time {
        while shard.outstanding(0) < under_way {
            shard.send(0, Command::Append(append(&mut next_seq, &mut random))).expect("it has a place");
        }
        shard.publish();
        bells[0].sleep().announce();
        if !shard.has_outcomes() {
            rustix::io::read(bells[0].eventfd(), &mut [0; 8]).expect("it is rung");
        }
        bells[0].sleep().wake();
        while let Some(outcome) = shard.next() {
            assert!(matches!(outcome, Outcome::Appended { result: Ok(()), .. }));
            appended += 1;
        }
    }
    let took = began.elapsed();
    let appends = appended as f64;
    let result = Through {
        appends_per_s: appends / took.as_secs_f64(),
        cpu_us: (clock(ClockId::ProcessCPUTime) - cpu).as_secs_f64() * 1e6 / appends,
        shard_us: (clock(ClockId::ThreadCPUTime) - thread).as_secs_f64() * 1e6 / appends,
        per_batch: appends / metrics[0].batches.get() as f64,
    };
    drop(shard);
    stores.close().expect("it is closed");
    result
}

struct Measured {
    rows_per_s: f64,
    /// Of the whole process: flushes and compactions too.
    cpu_us: f64,
    /// Of the thread that writes.
    thread_us: f64,
    batch_ms: f64,
}

fn measure(batch: usize, time: Duration) -> Measured {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = Manifest::open_or_create(dir.path(), 1, 1).expect("a new data directory");
    let (mut database, _) =
        Database::open(&manifest, 0, &StoreOptions::default(), &AtomicU64::default()).expect("a new database");
    let mut next_seq = vec![0; CONVERSATIONS as usize];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (began, cpu, thread) = (Instant::now(), clock(ClockId::ProcessCPUTime), clock(ClockId::ThreadCPUTime));
    let mut written = 0_u64;
    while began.elapsed() < time {
        let changes = (0..batch).map(|_| row(&mut next_seq, &mut random)).collect();
        database.write(changes).expect("it is written");
        database.sync().expect("it is synced");
        written += batch as u64;
    }
    let took = began.elapsed();
    let rows = written as f64;
    Measured {
        rows_per_s: rows / took.as_secs_f64(),
        cpu_us: (clock(ClockId::ProcessCPUTime) - cpu).as_secs_f64() * 1e6 / rows,
        thread_us: (clock(ClockId::ThreadCPUTime) - thread).as_secs_f64() * 1e6 / rows,
        batch_ms: took.as_secs_f64() * 1e3 * batch as f64 / rows,
    }
}

/// The next record of a random conversation, as the server writes it.
fn row(next_seq: &mut [u64], random: &mut u64) -> Change {
    let (place, record) = next(next_seq, random);
    Change { key: rows::log_key(place, record.seq).to_vec(), value: Some(rows::record_value(&record)) }
}

/// The same as a home sends it.
fn append(next_seq: &mut [u64], random: &mut u64) -> Append {
    let (place, record) = next(next_seq, random);
    let conversation = place.row.fingerprint as u32;
    let key = Key::new("", Address::Topic(&format!("topic {conversation}")));
    Append { log: conversation, attempt: 0, place, durability: Durability::Fsync, term: TERM, key, record, expires_ms: 0 }
}

fn next(next_seq: &mut [u64], random: &mut u64) -> (LogPlace, Arc<Record>) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let conversation = *random % CONVERSATIONS;
    let seq = &mut next_seq[conversation as usize];
    *seq += 1;
    let fingerprint = u128::from(conversation).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let place = LogPlace { row: RowId { slot: (conversation % 4096) as u16, fingerprint }, incarnation: 1 << 60 };
    let mut content = Content::message(vec![b'x'; BODY_BYTES]);
    content.client_id = Some(format!("{random:016x}").into());
    (place, Arc::new(Record { epoch: 1, seq: *seq, time_ms: 1_700_000_000_000, sender: "somebody".into(), content }))
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
