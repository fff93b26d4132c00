//! A run of `ramp`: the same load at one rate after the other, over the same sessions, until its latency passes a bound.

use std::thread;

use super::ladder::Ladder;
use super::run::{LEAD_NS, Run};
use super::{Conductor, LOOK, Spent, Watched, with_crew};
use crate::account::Tally;
use crate::dress::Dress;
use crate::error::Failure;
use crate::options::Settings;
use crate::scenario::Plan;
use crate::stage::Step;

/// How the rate is raised.
#[derive(Clone, Copy, Debug)]
pub struct Ramping {
    /// The first rate, per second.
    pub from_per_s: f64,
    /// See [`Ladder`].
    pub ladder: Ladder,
    /// A step holds if the p99 of its deliveries is at most this, in ns ...
    pub p99_ns: u64,
    /// ... in one of so many tries.
    pub tries: u32,
}

/// One rate.
pub struct RampStep {
    /// Messages per second that were meant to be sent.
    pub rate_per_s: f64,
    /// What was measured.
    pub tally: Tally,
    /// In the measured time.
    pub spent: Spent,
    /// Whether the server bore it.
    pub has_held: bool,
}

/// What a ramp gave.
pub struct Ramp {
    /// What was played.
    pub plan: Plan,
    /// How frames travelled.
    pub over: Dress,
    /// All workers and steps: what is measured stands in the steps.
    pub tally: Tally,
    /// In the order in which they were tried.
    pub steps: Vec<RampStep>,
    /// The highest rate that held, per second.
    pub knee_per_s: Option<f64>,
}

/// Plays a plan at rising rates.
///
/// # Errors
/// What kept it from having a result.
pub fn ramp(plan: Plan, settings: &Settings, server: Watched, ramping: &Ramping) -> Result<Ramp, Failure> {
    let play = |conductor: &mut Conductor<'_, '_>| {
        Run::default().log_in(conductor, None)?;
        Run::set_up(conductor)?;
        let mut ladder = ramping.ladder;
        let mut steps: Vec<RampStep> = Vec::new();
        let mut next = Some(ramping.from_per_s);
        while let Some(rate_per_s) = next {
            let mut has_held = false;
            for _ in 0..ramping.tries {
                let step = conductor.ramp_step(rate_per_s, steps.len() as u32 + 1, ramping.p99_ns)?;
                has_held = step.has_held;
                steps.push(step);
                if has_held {
                    break;
                }
            }
            next = ladder.next(rate_per_s, has_held);
        }
        Ok((steps, ladder.knee()))
    };
    let ((steps, knee_per_s), tally, crew) = with_crew(plan, settings, server, play)?;
    Ok(Ramp { plan: crew.plan, over: crew.target.dress, tally, steps, knee_per_s })
}

impl Conductor<'_, '_> {
    fn ramp_step(&mut self, rate_per_s: f64, round: u32, p99_ns: u64) -> Result<RampStep, Failure> {
        let (stage, settings) = (&self.crew.stage, &self.crew.settings);
        let from = stage.now_ns() + LEAD_NS;
        let begin = from + settings.warmup.as_nanos() as u64;
        let end = begin + settings.duration.as_nanos() as u64;
        stage.schedule(from, begin..end);
        stage.begin_round(round, rate_per_s);
        stage.go_to(Step::Run);
        let mut run = Run::default();
        run.sleep_until(self, begin, "settling");
        let first = self.meters()?;
        run.sleep_until(self, end, &format!("step {round}, {rate_per_s:.0} messages/s"));
        let spent = self.meters()?.since(&first);
        let drain_gave_up = Run::drain(self)?;
        self.crew.stage.go_to(Step::Count);
        let workers = u64::from(self.crew.plan.workers);
        self.wait("counting", workers * u64::from(round), |t| t.rounds)?;
        let mut tally = Tally::default();
        for part in self.crew.rounds.lock().expect("no worker panics while it holds this").drain(..) {
            tally.add(&part);
        }
        let intended = rate_per_s * self.crew.settings.duration.as_secs_f64();
        let is_all_there = tally.delivered_measured >= tally.expected_measured && tally.acked_measured as f64 >= 0.99 * intended;
        let has_held = !drain_gave_up && is_all_there && tally.latency.value_at_quantile(0.99) <= p99_ns;
        thread::sleep(LOOK);
        Ok(RampStep { rate_per_s, tally, spent, has_held })
    }
}
