//! Whether the server is alive, and whether it wants clients.
//!
//! Alive (`/healthz`) asks whether a restart would help: every shard sleeps or turns. Ready (`/readyz`) asks whether to send clients
//! here: the server has started, does not stop, and accepts. [`Watch`] decides both from samples of the shards' own numbers, so no
//! shard does anything for it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::metrics::{Partitions, ShardMetrics};

/// A shard that is awake and has not finished a turn for this long is stuck; a turn takes well under a millisecond.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// For this long after it could not accept, a shard is not ready: balancers ask every few seconds.
const BACKOFF_SHOWN_FOR: Duration = Duration::from_secs(10);

/// Where the server stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Shards are being made.
    Starting,
    /// Clients are served.
    Ready,
    /// Clients are told to go; what was acknowledged is finished.
    Stopping,
    /// The shards have ended; the control thread ends too.
    Stopped,
}

/// The server's phase, written by the thread that starts and stops it, read by the control thread.
#[derive(Debug)]
pub struct Health {
    phase: AtomicU8,
    stopped: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Self { phase: AtomicU8::new(Phase::Starting as u8), stopped: Notify::new() }
    }
}

impl Health {
    /// Enters a phase. [`Phase::Stopped`] ends the control thread.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        if phase == Phase::Stopped {
            self.stopped.notify_one();
        }
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Stopping,
            _ => Phase::Stopped,
        }
    }

    /// Waits for [`Phase::Stopped`]; the control thread alone does that.
    pub(super) async fn stopped(&self) {
        self.stopped.notified().await;
    }
}

/// What one look at a shard's numbers tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    turns: u64,
    asleep: bool,
    accept_backoffs: u64,
}

impl From<&ShardMetrics> for Sample {
    fn from(metrics: &ShardMetrics) -> Self {
        Self { turns: metrics.turns.get(), asleep: metrics.asleep.get() != 0, accept_backoffs: metrics.accept_backoffs.get() }
    }
}

/// What is known of one shard.
#[derive(Debug)]
struct Seen {
    last: Sample,
    turned_at: Instant,
    backed_off_at: Option<Instant>,
}

/// Samples of all shards over time.
#[derive(Debug)]
pub(super) struct Watch(Vec<Seen>);

impl Watch {
    /// Begins with a first look.
    pub(super) fn new(samples: impl Iterator<Item = Sample>, now: Instant) -> Self {
        Self(samples.map(|last| Seen { last, turned_at: now, backed_off_at: None }).collect())
    }

    /// Takes another look; often enough against the times above.
    pub(super) fn look(&mut self, samples: impl Iterator<Item = Sample>, now: Instant) {
        for (seen, sample) in self.0.iter_mut().zip(samples) {
            if sample.asleep || sample.turns != seen.last.turns {
                seen.turned_at = now;
            }
            if sample.accept_backoffs != seen.last.accept_backoffs {
                seen.backed_off_at = Some(now);
            }
            seen.last = sample;
        }
    }

    /// Why the server is not alive. Before it has started and after it has stopped, shards need not turn.
    pub(super) fn not_alive(&self, phase: Phase, now: Instant) -> Option<String> {
        if !matches!(phase, Phase::Ready | Phase::Stopping) {
            return None;
        }
        let stuck = |seen: &Seen| now.duration_since(seen.turned_at) >= STUCK_AFTER;
        let shard = self.0.iter().position(stuck)?;
        let for_s = now.duration_since(self.0[shard].turned_at).as_secs();
        Some(format!("shard {shard} is awake and has not finished a turn for {for_s} s"))
    }

    /// Why no clients should come.
    pub(super) fn not_ready(&self, phase: Phase, now: Instant) -> Option<String> {
        match phase {
            Phase::Starting => return Some("starting".into()),
            Phase::Stopping | Phase::Stopped => return Some("stopping".into()),
            Phase::Ready => {}
        }
        let backed_off = |seen: &Seen| seen.backed_off_at.is_some_and(|at| now.duration_since(at) < BACKOFF_SHOWN_FOR);
        let no_descriptors = || {
            let shard = self.0.iter().position(backed_off)?;
            Some(format!("shard {shard} cannot accept: no file descriptor is left; see campanile doctor"))
        };
        self.not_alive(phase, now).or_else(no_descriptors)
    }
}

/// Why no clients should come, as far as the store is concerned. A commit that takes longer than `stall` stands still.
pub(super) fn store_not_ready(partitions: &Partitions, stall: Duration, now: Instant) -> Option<String> {
    let of_one = |(partition, metrics): (usize, &super::metrics::PartitionMetrics)| {
        if let Some(time) = metrics.committing_for(now).filter(|time| *time >= stall) {
            return Some(format!("partition {partition} of the store has been writing one batch for {} ms", time.as_millis()));
        }
        let free = metrics.disk_free_bytes.get();
        (metrics.disk_full.get() != 0)
            .then(|| format!("partition {partition} stores nothing new: the disk has {free} bytes free"))
    };
    partitions.iter().map(|metrics| &**metrics).enumerate().find_map(of_one)
}

#[cfg(test)]
mod tests {
    use super::super::metrics::for_partitions;
    use super::*;

    const AWAKE: Sample = Sample { turns: 5, asleep: false, accept_backoffs: 0 };

    fn watch(first: Sample) -> (Watch, Instant) {
        let start = Instant::now();
        (Watch::new([AWAKE, first].into_iter(), start), start)
    }

    fn turning(n: u64) -> Sample {
        Sample { turns: n, ..AWAKE }
    }

    #[test]
    fn a_shard_that_sleeps_is_healthy_and_one_that_hangs_is_not() {
        let asleep = Sample { asleep: true, ..AWAKE };
        let (mut watch, start) = watch(asleep);
        let mut now = start;
        for second in 1..=60 {
            now = start + Duration::from_secs(second);
            watch.look([turning(second), asleep].into_iter(), now);
            assert_eq!(watch.not_alive(Phase::Ready, now), None);
        }
        let hang = now + STUCK_AFTER;
        watch.look([turning(61), AWAKE].into_iter(), hang);
        assert!(watch.not_alive(Phase::Ready, hang).unwrap().contains("shard 1"));
        assert!(watch.not_ready(Phase::Ready, hang).unwrap().contains("shard 1"));
        watch.look([turning(62), asleep].into_iter(), hang);
        assert_eq!(watch.not_alive(Phase::Ready, hang), None);
    }

    #[test]
    fn readiness_follows_the_phase() {
        let (watch, now) = watch(AWAKE);
        assert_eq!(watch.not_ready(Phase::Starting, now).as_deref(), Some("starting"));
        assert_eq!(watch.not_ready(Phase::Ready, now), None);
        assert_eq!(watch.not_ready(Phase::Stopping, now).as_deref(), Some("stopping"));
        let much_later = now + STUCK_AFTER * 2;
        assert_eq!(watch.not_alive(Phase::Starting, much_later), None);
    }

    #[test]
    fn a_shard_without_descriptors_is_not_ready_for_a_while() {
        let (mut watch, now) = watch(AWAKE);
        watch.look([AWAKE, Sample { accept_backoffs: 1, ..AWAKE }].into_iter(), now);
        assert!(watch.not_ready(Phase::Ready, now).unwrap().contains("shard 1 cannot accept"));
        assert_eq!(watch.not_alive(Phase::Ready, now), None);
        let later = now + BACKOFF_SHOWN_FOR;
        watch.look([turning(6), Sample { accept_backoffs: 1, ..turning(6) }].into_iter(), later);
        assert_eq!(watch.not_ready(Phase::Ready, later), None);
    }

    #[test]
    fn a_commit_that_takes_long_or_a_full_disk_is_told() {
        let partitions = for_partitions(2);
        let stall = Duration::from_secs(5);
        let now = Instant::now();
        assert_eq!(store_not_ready(&partitions, stall, now), None);
        partitions[1].commit_begins();
        assert_eq!(store_not_ready(&partitions, stall, now + Duration::from_secs(4)), None);
        let stalled = store_not_ready(&partitions, stall, now + Duration::from_secs(6)).unwrap();
        assert!(stalled.starts_with("partition 1 "), "{stalled}");
        partitions[1].commit_ends();
        partitions[0].disk_full.set(1);
        partitions[0].disk_free_bytes.set(77);
        let full = store_not_ready(&partitions, stall, now + Duration::from_secs(6)).unwrap();
        assert!(full.contains("partition 0") && full.contains("77 bytes"), "{full}");
    }

    #[test]
    fn phases_are_kept() {
        let health = Health::default();
        for phase in [Phase::Starting, Phase::Ready, Phase::Stopping, Phase::Stopped] {
            health.set(phase);
            assert_eq!(health.phase(), phase);
        }
    }
}
