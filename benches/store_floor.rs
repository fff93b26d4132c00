//! The floor of the store: rows of messages written into the same database with the same options, one batch after another, a sync for each,
//! by a bare loop. What the server needs for a message on disk above this is its own.
//!
//! ```sh
//! cargo bench --bench store_floor            # in the directory for temporary files: set TMPDIR to a directory on the disk that counts
//! cargo bench --bench store_floor -- 20      # so many seconds for each batch size; 5 if nothing is said
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use campanile::conversation::{Content, Record};
use campanile::slot::RowId;
use campanile::store::disk::database::Database;
use campanile::store::disk::{Manifest, StoreOptions};
use campanile::store::engine::{Change, WriteRows};
use campanile::store::{LogPlace, rows};
use rustix::time::{ClockId, clock_gettime};

const BATCHES: [usize; 7] = [1, 10, 100, 250, 1000, 2000, 4000];
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
    let record = Arc::new(Record { epoch: 1, seq: *seq, time_ms: 1_700_000_000_000, sender: "somebody".into(), content });
    Change { key: rows::log_key(place, *seq).to_vec(), value: Some(rows::record_value(&record)) }
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
