//! A run of `idle`, `direct`, `group` or `floor`: logging in, warming up, measuring, draining, reading back.

use std::thread;
use std::time::{Duration, Instant};

use super::minutes::Minutes;
use super::storm::Storm;
use super::{CALM, Conductor, LOOK, Meters, REST, Sample, Series, Watched, with_crew};
use crate::account::{Tally, Verified};
use crate::dress::Dress;
use crate::error::Failure;
use crate::options::Settings;
use crate::pinger::{Pinger, Pings};
use crate::scenario::{Kind, Plan};
use crate::stage::Step;

/// Between telling the workers when to begin and that time.
pub(super) const LEAD_NS: u64 = 20_000_000;
/// Later than any run.
pub(super) const NEVER_NS: u64 = u64::MAX / 2;

/// Memory of the server's process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Before the first connection.
    pub start: Option<u64>,
    /// With the first sessions logged in, and how many they were. Only where asked for.
    pub part: Option<(u32, u64)>,
    /// With all sessions logged in.
    pub all: Option<u64>,
    /// At the end of the measured time.
    pub end: Option<u64>,
}

/// What a run gave.
pub struct Outcome {
    /// What was played.
    pub plan: Plan,
    /// How frames travelled.
    pub over: Dress,
    /// Of all workers.
    pub tally: Tally,
    /// At the beginning and at the end of the measured time.
    pub meters: [Meters; 2],
    /// Of the server.
    pub memory: Memory,
    /// What reading back found, if that was wanted.
    pub verified: Option<Verified>,
    /// Acks per second in each minute of the measured time; the last one may be shorter.
    pub acks_per_s_by_minute: Vec<f64>,
    /// Longest part of the measured time without any ack.
    pub stall_ns: u64,
    /// Sessions logged in per second.
    pub logins_per_s: f64,
    /// Whether draining ended because nothing came any more.
    pub drain_gave_up: bool,
    /// Round trips of a session that has nothing to do with it, if that was wanted.
    pub pings: Option<Pings>,
    /// The measured time over time.
    pub series: Vec<Sample>,
    /// How those came back who had dropped together.
    pub storm: Option<Storm>,
}

/// Plays a plan. `start_connections`: memory is read there too.
///
/// # Errors
/// What kept it from having a result.
pub fn conduct(plan: Plan, settings: &Settings, server: Watched, start_connections: Option<u32>) -> Result<Outcome, Failure> {
    let mut run = Run::default();
    let (result, tally, crew) = with_crew(plan, settings, server, |conductor| run.play(conductor, start_connections))?;
    let (meters, logins_per_s, drain_gave_up) = result;
    let verified = crew.ledger.get().map(|ledger| Verified {
        acked: ledger.acked(),
        unchecked: ledger.unchecked,
        same_place: ledger.same_place,
        ..tally.verified.clone()
    });
    Ok(Outcome {
        plan: crew.plan,
        over: crew.target.dress,
        verified,
        meters,
        memory: run.memory,
        acks_per_s_by_minute: run.minutes.rates(),
        stall_ns: tally.stall_ns.max(run.stall_ns),
        logins_per_s,
        drain_gave_up,
        pings: run.pings,
        series: run.series,
        storm: run.storm,
        tally,
    })
}

/// What is read while it goes on.
#[derive(Default)]
pub(super) struct Run {
    memory: Memory,
    minutes: Minutes,
    /// Without an ack at the end of the measured time.
    stall_ns: u64,
    pings: Option<Pings>,
    series: Vec<Sample>,
    storm: Option<Storm>,
}

impl Run {
    fn play(
        &mut self,
        conductor: &mut Conductor<'_, '_>,
        start_connections: Option<u32>,
    ) -> Result<([Meters; 2], f64, bool), Failure> {
        self.memory.start = conductor.rss()?;
        let logins_per_s = self.log_in(conductor, start_connections)?;
        Run::set_up(conductor)?;
        let meters = self.measure(conductor)?;
        let drain_gave_up = Run::drain(conductor)?;
        if conductor.crew.settings.verify_places.is_some() {
            Run::read_back(conductor)?;
        }
        Ok((meters, logins_per_s, drain_gave_up))
    }

    pub(super) fn log_in(&mut self, conductor: &mut Conductor<'_, '_>, start_connections: Option<u32>) -> Result<f64, Failure> {
        let all = conductor.crew.plan.connections;
        let mut logged_in = 0;
        let mut took = Duration::ZERO;
        for until in start_connections.into_iter().chain([all]) {
            let begin = Instant::now();
            conductor.crew.stage.allow_log_in_until(until);
            conductor.wait("logging in", u64::from(until), |t| t.logged_in)?;
            took += begin.elapsed();
            logged_in += until - logged_in;
            if conductor.pid.is_some() {
                thread::sleep(REST);
            }
            let rss = conductor.rss()?;
            if until < all {
                self.memory.part = rss.map(|bytes| (until, bytes));
            } else {
                self.memory.all = rss;
            }
        }
        Ok(f64::from(logged_in) / took.as_secs_f64())
    }

    pub(super) fn set_up(conductor: &mut Conductor<'_, '_>) -> Result<(), Failure> {
        if conductor.crew.plan.traffic().is_some() {
            return conductor.set_up_traffic();
        }
        if let Kind::Group(_) = conductor.crew.plan.kind {
            conductor.crew.stage.go_to(Step::Create);
            conductor.wait("creating the group", 1, |t| t.created)?;
            conductor.crew.stage.go_to(Step::Join);
            conductor.wait("joining the group", u64::from(conductor.crew.plan.joins()), |t| t.joined)?;
        }
        Ok(())
    }

    fn measure(&mut self, conductor: &mut Conductor<'_, '_>) -> Result<[Meters; 2], Failure> {
        let stage = &conductor.crew.stage;
        let settings = &conductor.crew.settings;
        let pinger_name = format!("{}-pinger", conductor.crew.plan.group_id());
        let pinger = settings.pings.then(|| Pinger::start(&conductor.crew.target, &pinger_name)).transpose()?;
        let has_storm = conductor.crew.plan.traffic().is_some_and(|traffic| !traffic.leaves_together().is_empty());
        if pinger.is_some() && !has_storm {
            thread::sleep(CALM);
            pinger.iter().for_each(Pinger::load_begins);
        }
        let from = stage.now_ns() + LEAD_NS;
        let begin = from + settings.warmup.as_nanos() as u64;
        let end = begin + settings.duration.as_nanos() as u64;
        stage.schedule(from, begin..if has_storm { NEVER_NS } else { end });
        stage.go_to(Step::Run);
        self.sleep_until(conductor, begin, "warming up");
        let first = conductor.meters()?;
        self.minutes = Minutes::from(begin, first.acked);
        conductor.series = Series::begin(first, end - begin);
        if has_storm {
            conductor.crew.stage.storm_begins(end);
            self.sleep_until(conductor, end, "before the storm");
            pinger.iter().for_each(Pinger::load_begins);
            self.storm = Some(conductor.wait_for_returns());
            self.pings = pinger.map(Pinger::end).transpose()?;
            let end = conductor.crew.stage.now_ns() + conductor.crew.settings.aftermath.as_nanos() as u64;
            conductor.crew.stage.schedule(from, begin..end);
            self.sleep_until(conductor, end, "after the storm");
        } else {
            self.sleep_until(conductor, end, "measuring");
            self.pings = pinger.map(Pinger::end).transpose()?;
        }
        let last = conductor.meters()?;
        self.series = std::mem::take(&mut conductor.series).samples();
        self.minutes.end(last.at_ns, last.acked);
        self.stall_ns = conductor.crew.stage.without_ack_ns();
        self.memory.end = conductor.rss()?;
        Ok([first, last])
    }

    pub(super) fn sleep_until(&mut self, conductor: &mut Conductor<'_, '_>, until_ns: u64, step: &str) {
        while !conductor.a_worker_ended() {
            let left = until_ns.saturating_sub(conductor.crew.stage.now_ns());
            if left == 0 {
                return;
            }
            thread::sleep(Duration::from_nanos(left).min(Duration::from_millis(100)));
            conductor.sample();
            self.minutes.look(conductor.crew.stage.now_ns(), conductor.crew.stage.totals().acked);
            let left_s = Duration::from_nanos(left).as_secs_f64();
            conductor.show(|totals, rates| {
                format!(
                    "{step}, {left_s:.0} s left: {:.0} acks/s, {:.0} deliveries/s, {} troubles",
                    rates[0], rates[1], totals.troubles
                )
            });
        }
    }

    /// Waits until all is read. True if it gave up.
    pub(super) fn drain(conductor: &mut Conductor<'_, '_>) -> Result<bool, Failure> {
        conductor.crew.stage.go_to(Step::Drain);
        // Each worker takes a turn within its longest sleep and sees that the time is over; only then do the totals stand still.
        thread::sleep(4 * LOOK);
        let away = Duration::from_nanos(conductor.crew.plan.traffic().map_or(0, |traffic| traffic.away_ns()));
        let mut last = (Instant::now(), conductor.crew.stage.totals());
        while !conductor.a_worker_ended() {
            let totals = conductor.crew.stage.totals();
            if totals.is_settled() {
                return Ok(false);
            }
            if totals != last.1 {
                last = (Instant::now(), totals);
            }
            if last.0.elapsed() > conductor.crew.settings.drain + away {
                return Ok(true);
            }
            conductor.show(|_, _| "draining".to_owned());
            thread::sleep(LOOK);
        }
        Ok(true)
    }

    /// What was acknowledged is looked for.
    fn read_back(conductor: &mut Conductor<'_, '_>) -> Result<(), Failure> {
        let (stage, plan) = (&conductor.crew.stage, &conductor.crew.plan);
        stage.go_to(Step::HandIn);
        conductor.wait("handing in what was acknowledged", u64::from(plan.workers), |t| t.handed_in)?;
        let ledgers = std::mem::take(&mut *conductor.crew.ledgers.lock().expect("workers have handed in"));
        let ledger = ledgers.into_iter().reduce(|mut sum, ledger| {
            sum.merge(ledger);
            sum
        });
        let ledger = conductor.crew.ledger.get_or_init(|| ledger.unwrap_or_default());
        let readings: usize = ledger.logs().into_iter().map(|log| plan.readers(log).len()).sum();
        stage.go_to(Step::ReadBack);
        conductor.wait_while_moving("reading back", readings as u64, |t| t.readings, |t| t.read_back)
    }
}
