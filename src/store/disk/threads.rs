//! Opening and closing the store: one writer thread and one reader thread per partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;

use super::backup::Snapshots;
use super::database::{Database, Recovered};
use super::error::OpenError;
use super::fault::Acknowledge;
use super::lanes::{self, PartitionLanes, ShardStore};
use super::manifest::Manifest;
use super::options::StoreOptions;
use super::reader::{AWAY_WAIT, Reader};
use super::shared::SharedRows;
use super::space::Space;
use super::writer::Writer;
use crate::clock::Clock;
use crate::control::metrics::Partitions;
use crate::mesh::lanes::Doorbell;
use crate::slot::PartitionId;
use crate::store::partition::{Partition, Settings};
use crate::store::removal::Removal;

/// Logs of a partition whose end is remembered.
const LOGS_CACHED: usize = 100_000;
/// How often a long recovery says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// What the process ends with when the disk has failed: EX_IOERR.
const EXIT_CODE: i32 = 74;

/// The open store. The shards' sides are [`ShardStore`]s.
pub struct Stores {
    manifest: Manifest,
    threads: Vec<JoinHandle<()>>,
    /// Each partition's, in order.
    rows: Vec<Arc<SharedRows>>,
}

/// Everything that the store is opened with.
pub struct Opening<'a> {
    /// The data directory.
    pub manifest: Manifest,
    /// What the operator wants.
    pub options: &'a StoreOptions,
    /// Counters, one block per partition.
    pub metrics: &'a Partitions,
    /// The shards' bells; there are as many shards.
    pub bells: &'a Arc<[Doorbell]>,
    /// Processors for all threads of the store; none: they run where they may.
    pub cpus: &'a [usize],
}

/// What the writer's thread is started with.
struct Start {
    partition: PartitionId,
    shared: Arc<SharedRows>,
    options: StoreOptions,
    metrics: Partitions,
    os_generation: u64,
    lanes: PartitionLanes,
    cpus: Option<CpuSet>,
    end: fn(&str),
}

/// A writer's thread that opens its database.
struct Starting {
    handle: JoinHandle<()>,
    /// Bytes of journals that have been read.
    progress: Arc<AtomicU64>,
    /// To go on when all are open. Dropped: another one could not be opened.
    go: Sender<()>,
}

type Opened = (PartitionId, Result<(Recovered, JoinHandle<()>), OpenError>);

impl Stores {
    /// Opens all partitions at once, and makes those that are new. Gives one handle per shard.
    ///
    /// # Errors
    /// A partition cannot be opened; none is open then.
    pub fn open(opening: Opening<'_>) -> Result<(Stores, Vec<ShardStore>), OpenError> {
        Stores::open_with(opening, end_process)
    }

    /// The same, with another end of the process.
    pub(super) fn open_with(opening: Opening<'_>, end: fn(&str)) -> Result<(Stores, Vec<ShardStore>), OpenError> {
        let Opening { manifest, options, metrics, bells, cpus } = opening;
        let began = Instant::now();
        let (mut shards, lanes) = lanes::connect(manifest.partitions(), options.lane_capacity, bells);
        let manifest = Arc::new(manifest);
        let (tell, told) = mpsc::channel();
        let rows: Vec<Arc<SharedRows>> = (0..manifest.partitions()).map(|_| Arc::default()).collect();
        let mut starting = Vec::new();
        for (partition, lanes) in (0..).zip(lanes) {
            let start = Start {
                partition,
                shared: rows[usize::from(partition)].clone(),
                options: options.clone(),
                metrics: metrics.clone(),
                os_generation: manifest.os_generation(),
                lanes,
                cpus: cpu_set(cpus),
                end,
            };
            starting.push(begin(start, manifest.clone(), tell.clone())?);
        }
        drop(tell);
        let (readers, failed) = wait_for_all(&told, &starting, metrics, PROGRESS_EVERY);
        if let Some(error) = failed {
            drop(shards);
            close_all(starting, readers);
            return Err(error);
        }
        let mut manifest = Arc::into_inner(manifest).expect("the threads have let it go");
        if !manifest.is_complete() {
            manifest.set_complete()?;
        }
        let threads: Vec<(Thread, Thread)> = starting
            .iter()
            .zip(&readers)
            .map(|(writer, reader)| (writer.handle.thread().clone(), reader.thread().clone()))
            .collect();
        lanes::introduce(&mut shards, &threads);
        let took_ms = began.elapsed().as_millis() as u64;
        tracing::info!(partitions = manifest.partitions(), took_ms, dir = %manifest.dir().display(), "the store is open");
        let writers = starting.into_iter().map(|starting| {
            // A thread that has ended says so when it is joined.
            let _ = starting.go.send(());
            starting.handle
        });
        let threads = writers.chain(readers).collect();
        Ok((Stores { manifest, threads, rows }, shards))
    }

    /// For copies of what the store holds while it runs.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.manifest.facts().clone(), self.rows.clone())
    }

    /// Waits until everything that the shards sent is on the disk, and writes down that nothing is missing. All [`ShardStore`]s must be gone.
    ///
    /// # Errors
    /// It cannot be written down; the next start takes it for a crash.
    ///
    /// # Panics
    /// A thread of the store has panicked.
    pub fn close(self) -> Result<(), OpenError> {
        for thread in self.threads {
            thread.join().expect("a thread of the store has failed");
        }
        self.manifest.close()
    }
}

#[cfg(test)]
impl Stores {
    /// The writer of a partition alone.
    pub(super) fn threads_for_test(mut self, partition: usize) -> JoinHandle<()> {
        self.threads.swap_remove(partition)
    }
}

/// One partition could not be opened, so none is.
fn close_all(starting: Vec<Starting>, readers: Vec<JoinHandle<()>>) {
    let (writers, go): (Vec<JoinHandle<()>>, Vec<Sender<()>>) = starting.into_iter().map(|s| (s.handle, s.go)).unzip();
    drop(go);
    readers.iter().for_each(|reader| reader.thread().unpark());
    for thread in writers.into_iter().chain(readers) {
        // If it has panicked, that has been told.
        let _ = thread.join();
    }
}

fn cpu_set(cpus: &[usize]) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    (!cpus.is_empty()).then_some(set)
}

/// Starts a partition's writer thread, which opens the database first.
fn begin(start: Start, manifest: Arc<Manifest>, tell: Sender<Opened>) -> Result<Starting, OpenError> {
    let progress = Arc::<AtomicU64>::default();
    let (go, wait_for_go) = mpsc::channel();
    let name = format!("store-{}-writer", start.partition);
    let its_progress = progress.clone();
    let work = move || {
        if let Some(cpus) = &start.cpus {
            stay_on(cpus);
        }
        let partition = start.partition;
        match open(start, &manifest, &its_progress) {
            Err(error) => {
                drop(manifest);
                let _ = tell.send((partition, Err(error)));
            }
            Ok((writer, recovered, reader)) => {
                drop(manifest);
                let _ = tell.send((partition, Ok((recovered, reader))));
                drop(tell);
                if wait_for_go.recv().is_ok() {
                    writer.run();
                }
            }
        }
    };
    let handle = thread::Builder::new().name(name).spawn(work).map_err(OpenError::Thread)?;
    Ok(Starting { handle, progress, go })
}

/// Opens the database and starts the reader.
fn open(start: Start, manifest: &Manifest, progress: &AtomicU64) -> Result<(Writer, Recovered, JoinHandle<()>), OpenError> {
    let Start { partition, shared, options, metrics, os_generation, lanes, end, .. } = start;
    let mut space = Space::new(manifest.dir().to_owned(), options.disk_free_bytes_min);
    space.look(0);
    let (database, recovered) = Database::open(manifest, partition, &options, progress).inspect_err(|_| {
        let free = space.free_bytes();
        tracing::error!(partition, free, "a partition does not open; the disk may be full if little is free");
    })?;
    let dir = manifest.partition_dir(partition);
    let rows = database.rows().map_err(|error| OpenError::Database { partition, path: dir.clone(), error })?;
    shared.give(rows.clone());
    let reader = Reader {
        partition,
        lanes: lanes.reader,
        shared: shared.clone(),
        metrics: metrics.clone(),
        os_generation,
        patience: AWAY_WAIT,
    };
    let name = format!("store-{partition}-reader");
    let reader = thread::Builder::new().name(name).spawn(move || reader.run()).map_err(OpenError::Thread)?;
    let writer = Writer {
        partition,
        lanes: lanes.writer,
        database,
        logic: Partition::new(Settings { os_generation, logs_cached: LOGS_CACHED }),
        removal: Removal::new(options.removal_grace_ms),
        shared,
        reader: reader.thread().clone(),
        metrics,
        data_dir: manifest.dir().to_owned(),
        space: Space::new(dir, options.disk_free_bytes_min),
        options,
        clock: Clock::start(),
        acknowledge: Acknowledge::from_environment(),
        end,
        next_from: 0,
        swept_at_ms: 0,
        synced_at_ms: 0,
    };
    Ok((writer, recovered, reader))
}

/// Waits for every partition, says how far they are, and counts what they found. Gives the readers' threads of those that are open, in order, and why
/// the first one that is not could not be opened.
fn wait_for_all(
    told: &Receiver<Opened>,
    starting: &[Starting],
    metrics: &Partitions,
    progress_every: Duration,
) -> (Vec<JoinHandle<()>>, Option<OpenError>) {
    let mut readers: Vec<Option<JoinHandle<()>>> = starting.iter().map(|_| None).collect();
    let mut failed = None;
    for _ in 0..starting.len() {
        let (partition, opened) = loop {
            match told.recv_timeout(progress_every) {
                Ok(opened) => break opened,
                Err(RecvTimeoutError::Timeout) => say_progress(starting, &readers),
                Err(RecvTimeoutError::Disconnected) => {
                    let ended = std::io::Error::other("it ended while it opened a partition");
                    return (readers.into_iter().flatten().collect(), Some(failed.unwrap_or(OpenError::Thread(ended))));
                }
            }
        };
        match opened {
            Ok((Recovered { number, torn_bytes }, reader)) => {
                tracing::debug!(partition, batches = number, torn_bytes, "a partition is open");
                metrics[usize::from(partition)].dropped_tail_bytes.add(torn_bytes);
                readers[usize::from(partition)] = Some(reader);
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    (readers.into_iter().flatten().collect(), failed)
}

fn say_progress(starting: &[Starting], readers: &[Option<JoinHandle<()>>]) {
    for (partition, (starting, _)) in starting.iter().zip(readers).enumerate().filter(|(_, (_, reader))| reader.is_none()) {
        let bytes = starting.progress.load(Ordering::Relaxed);
        tracing::info!(partition, journal_bytes = bytes, "a partition is being opened");
    }
}

/// Binds this thread, and those that it starts, to processors. If that fails, it runs where it may, which costs speed and nothing else.
fn stay_on(set: &CpuSet) {
    if let Err(error) = rustix::thread::sched_setaffinity(None, set) {
        tracing::warn!(%error, "a thread of the store could not be bound to its processors");
    }
}

/// The disk has failed in a way after which nothing may be acknowledged any more.
fn end_process(why: &str) {
    tracing::error!("{why}");
    eprintln!("campanile: {why}");
    std::process::exit(EXIT_CODE);
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;

    use super::*;
    use crate::control::metrics;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl Said {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_recovery_that_takes_long_says_how_far_it_is() {
        let said = Said::default();
        let writer = said.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let (tell, told) = mpsc::channel();
        let progress: [Arc<AtomicU64>; 2] = Default::default();
        let starting = progress.clone().map(|progress| {
            let (go, _) = mpsc::channel();
            Starting { handle: thread::spawn(|| {}), progress, go }
        });
        let its_said = said.clone();
        let teller = thread::spawn(move || {
            let wait_for = |text: &str| {
                while !its_said.text().contains(text) {
                    thread::yield_now();
                }
            };
            progress[1].store(1234, Ordering::Relaxed);
            wait_for("partition=1 journal_bytes=1234");
            wait_for("partition=0 journal_bytes=0");
            let recovered = Recovered { number: 1, torn_bytes: 7 };
            tell.send((0, Ok((recovered, thread::spawn(|| {}))))).unwrap();
            progress[1].store(5678, Ordering::Relaxed);
            wait_for("partition=1 journal_bytes=5678");
            let error = OpenError::NoData { path: "there".into() };
            tell.send((1, Err(error))).unwrap();
        });
        let metrics = metrics::for_partitions(2);
        let wait = || wait_for_all(&told, &starting, &metrics, Duration::from_millis(1));
        let (readers, failed) = tracing::subscriber::with_default(log, wait);
        teller.join().unwrap();
        assert_eq!((readers.len(), metrics[0].dropped_tail_bytes.get()), (1, 7));
        assert!(matches!(failed, Some(OpenError::NoData { .. })));
        starting.into_iter().for_each(|starting| starting.handle.join().unwrap());
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    }
}
