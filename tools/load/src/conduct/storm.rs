//! What traffic needs before the run, and the return of those who dropped together.

use std::thread;
use std::time::{Duration, Instant};

use super::{Conductor, LOOK};
use crate::error::Failure;
use crate::stage::{Step, Totals};

/// Groups are set up when no record about their members has come for so long.
const QUIET: Duration = Duration::from_millis(300);

/// How sessions that dropped together came back.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Who dropped.
    pub dropped: u32,
    /// When, in ns of the stage.
    pub at_ns: u64,
    /// Who came back.
    pub returned: u64,
    /// From the moment at which they dropped until the last one was back; those who never came leave it out.
    pub took: Duration,
}

impl Conductor<'_, '_> {
    /// Founds groups, lets the others join and subscribe, and waits until everyone is told that he receives what he should.
    pub(super) fn set_up_traffic(&mut self) -> Result<(), Failure> {
        let Some(traffic) = self.crew.plan.traffic() else { return Ok(()) };
        self.crew.stage.go_to(Step::Create);
        self.wait("creating groups", traffic.groups(), |t| t.created)?;
        self.crew.stage.go_to(Step::Join);
        self.wait_while_moving("joining groups", traffic.joins() + traffic.watchers(), |t| t.joined, |t| t.records)?;
        self.wait_while_moving("receiving conversations", traffic.beginnings(), |t| t.begun, |t| t.records)?;
        self.wait_for_quiet(|t| t.records);
        Ok(())
    }

    fn wait_for_quiet(&mut self, count: impl Fn(&Totals) -> u64) {
        let mut last = (Instant::now(), count(&self.crew.stage.totals()));
        while last.0.elapsed() < QUIET && !self.a_worker_ended() {
            thread::sleep(LOOK);
            let now = count(&self.crew.stage.totals());
            if now != last.1 {
                last = (Instant::now(), now);
            }
        }
    }

    /// Waits until all who dropped are back, or none came back for as long as draining may take.
    pub(super) fn wait_for_returns(&mut self) -> Storm {
        let crew = self.crew;
        let stage = &crew.stage;
        let dropped = self.crew.plan.traffic().map_or(0..0, |traffic| traffic.leaves_together()).len() as u32;
        let patience =
            self.crew.plan.traffic().map_or(0, |traffic| traffic.away_ns()) + self.crew.settings.drain.as_nanos() as u64;
        let mut last = (stage.storm_from_ns(), 0);
        while last.1 < u64::from(dropped) && !self.a_worker_ended() {
            let (now, returned) = (stage.now_ns(), stage.totals().returned);
            if returned != last.1 {
                last = (now, returned);
            }
            if now.saturating_sub(last.0) > patience {
                break;
            }
            self.sample();
            self.show(|totals, rates| format!("coming back: {} of {dropped}, {:.0} deliveries/s", totals.returned, rates[1]));
            thread::sleep(LOOK);
        }
        stage.storm_ended(stage.now_ns());
        let took = Duration::from_nanos(stage.last_return_ns().saturating_sub(stage.storm_from_ns()));
        Storm { dropped, at_ns: stage.storm_from_ns(), returned: last.1, took }
    }
}
