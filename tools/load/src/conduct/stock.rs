//! Laying messages in store, for the scenarios that measure what is done with them.

use std::thread;
use std::time::{Duration, Instant};

use super::{CALM, Conductor, REST, Sample, Series, Spent, Watched, with_crew};
use crate::account::Tally;
use crate::dress::Dress;
use crate::error::Failure;
use crate::options::Settings;
use crate::pinger::{Pinger, Pings};
use crate::scenario::{Plan, Stock};
use crate::stage::Step;

/// Nobody knows how long catching up takes; it is sampled as if it were so long.
const BACKLOG_NS: u64 = 60_000_000_000;
/// After the last message of a backlog, whatever comes again would come soon.
const AFTERMATH: Duration = Duration::from_millis(500);

/// What laying in store took.
#[derive(Clone, Copy, Debug)]
pub struct Filled {
    /// Messages acknowledged.
    pub messages: u64,
    /// From the first one to the last ack.
    pub took: Duration,
    /// Memory of the server before the first connection, in bytes.
    pub rss_before: Option<u64>,
    /// And afterwards.
    pub rss_after: Option<u64>,
}

/// What a backlog gave.
pub struct Backlog {
    /// What was played.
    pub plan: Plan,
    /// How frames travelled.
    pub over: Dress,
    /// Of all workers.
    pub tally: Tally,
    /// How it was laid in store.
    pub filled: Filled,
    /// Users who have all their messages.
    pub caught_up: u64,
    /// From the first login to the moment at which all had them, or at which it was given up.
    pub took: Duration,
    /// In that time.
    pub spent: Spent,
    /// Memory of the server at its end, in bytes.
    pub rss_end: Option<u64>,
    /// Of a session that has nothing to do with it, if that was wanted.
    pub pings: Option<Pings>,
    /// While all caught up.
    pub series: Vec<Sample>,
}

/// Lays messages in store and lets all users log in at once.
///
/// # Errors
/// What kept it from having a result.
pub fn backlog(plan: Plan, settings: &Settings, server: Watched, with_pings: bool) -> Result<Backlog, Failure> {
    let play = |conductor: &mut Conductor<'_, '_>| {
        let filled = fill(conductor)?;
        let plan = &conductor.crew.plan;
        let pinger =
            with_pings.then(|| Pinger::start(&conductor.crew.target, &format!("{}-pinger", plan.group_id()))).transpose()?;
        thread::sleep(if with_pings { CALM } else { Duration::ZERO });
        let first = conductor.meters()?;
        conductor.series = Series::begin(first, BACKLOG_NS);
        pinger.iter().for_each(Pinger::load_begins);
        let begin = Instant::now();
        let stage = &conductor.crew.stage;
        stage.schedule(stage.now_ns(), u64::MAX..u64::MAX);
        stage.allow_log_in_until(plan.connections);
        stage.go_to(Step::LogIn);
        let users = u64::from(plan.connections - plan.publishers());
        conductor.wait_or_give_up("catching up", users, |t| t.caught_up);
        let (took, spent) = (begin.elapsed(), conductor.meters()?.since(&first));
        let series = std::mem::take(&mut conductor.series).samples();
        let pings = pinger.map(Pinger::end).transpose()?;
        thread::sleep(AFTERMATH);
        let caught_up = conductor.crew.stage.totals().caught_up;
        Ok((filled, took, spent, conductor.rss()?, (pings, series), caught_up))
    };
    let ((filled, took, spent, rss_end, (pings, series), caught_up), tally, crew) = with_crew(plan, settings, server, play)?;
    Ok(Backlog { plan: crew.plan, over: crew.target.dress, tally, filled, caught_up, took, spent, rss_end, pings, series })
}

/// What reading cold conversations gave.
pub struct ColdReads {
    /// What was played.
    pub plan: Plan,
    /// How frames travelled.
    pub over: Dress,
    /// Of all workers.
    pub tally: Tally,
    /// How the conversations were laid in store, if this run did it.
    pub filled: Option<Filled>,
    /// Pages read.
    pub pages: u64,
    /// How long that took.
    pub took: Duration,
    /// Memory of the server before and after reading, in bytes.
    pub rss: [Option<u64>; 2],
}

/// Which half of a run of `cold` is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Laying in store.
    Fill,
    /// Reading.
    Read,
    /// One after the other.
    Both,
}

/// Lays conversations in store, and reads the newest messages of random ones after a rest.
///
/// # Errors
/// What kept it from having a result.
pub fn cold(plan: Plan, settings: &Settings, server: Watched, half: Half, rest: Duration) -> Result<ColdReads, Failure> {
    let play = |conductor: &mut Conductor<'_, '_>| {
        let filled = if half == Half::Read {
            log_in(conductor)?;
            None
        } else {
            let filled = fill(conductor)?;
            let (plan, stage) = (&conductor.crew.plan, &conductor.crew.stage);
            let conversations = plan.stock().map_or(0, |stock| stock.conversations(plan.publishers()));
            stage.go_to(Step::Receipts);
            conductor.wait("saying what was read", conversations, |t| t.receipts)?;
            Some(filled)
        };
        if half != Half::Fill {
            thread::sleep(rest);
        }
        let before = conductor.rss()?;
        let begin = Instant::now();
        if half != Half::Fill {
            conductor.crew.stage.go_to(Step::Read);
            let reads = conductor.crew.plan.reads();
            conductor.wait("reading", reads, |t| t.pages)?;
        }
        let took = begin.elapsed();
        Ok((filled, took, [before, conductor.rss()?], conductor.crew.stage.totals().pages))
    };
    let ((filled, took, rss, pages), tally, crew) = with_crew(plan, settings, server, play)?;
    Ok(ColdReads { plan: crew.plan, over: crew.target.dress, tally, filled, pages, took, rss })
}

fn log_in(conductor: &mut Conductor<'_, '_>) -> Result<(), Failure> {
    let publishers = conductor.crew.plan.publishers();
    conductor.crew.stage.allow_log_in_until(publishers);
    conductor.wait("logging in", u64::from(publishers), |t| t.logged_in)
}

fn fill(conductor: &mut Conductor<'_, '_>) -> Result<Filled, Failure> {
    let rss_before = conductor.rss()?;
    log_in(conductor)?;
    let wanted = conductor.crew.plan.stock().map_or(0, Stock::messages);
    let begin = Instant::now();
    conductor.crew.stage.go_to(Step::Fill);
    conductor.wait("laying in store", wanted, |t| t.acked)?;
    let took = begin.elapsed();
    if conductor.pid.is_some() {
        thread::sleep(REST);
    }
    Ok(Filled { messages: wanted, took, rss_before, rss_after: conductor.rss()? })
}
