//! A run of `crowd`: all log in; a sample writes to each other; one speaks to all; rest; many drop at once and come back; and again.

use std::thread;
use std::time::Duration;

use super::run::{LEAD_NS, NEVER_NS, Run};
use super::{Conductor, REST, Sample, Series, Spent, Watched, with_crew};
use crate::account::Tally;
use crate::dress::Dress;
use crate::error::Failure;
use crate::machine;
use crate::memory::KernelMemory;
use crate::options::Settings;
use crate::scenario::{BROADCAST, CrowdOptions, Plan, SAMPLE};
use crate::stage::Step;

/// Nobody knows how long a run takes; it is sampled as if it were so long.
const RUN_NS: u64 = 120_000_000_000;

/// Memory at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Footprint {
    /// Resident memory of the server's process, if it is known.
    pub server: Option<u64>,
    /// Of this process.
    pub client: u64,
    /// What the kernel uses for both, and for all else.
    pub kernel: KernelMemory,
}

impl Footprint {
    fn read(conductor: &Conductor<'_, '_>) -> Result<Footprint, Failure> {
        Ok(Footprint { server: conductor.rss()?, client: machine::rss_bytes(std::process::id())?, kernel: KernelMemory::read()? })
    }
}

/// One turn of speakers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// Deliveries that were waited for.
    pub wanted: u64,
    /// From the first message to the last of those deliveries; what never came leaves it out.
    pub took: Duration,
}

/// What a crowd gave.
pub struct Crowd {
    /// What was played.
    pub plan: Plan,
    /// How frames travelled.
    pub over: Dress,
    /// Of all workers.
    pub tally: Tally,
    /// What was seen meanwhile.
    pub seen: Seen,
}

/// What was seen while it went on.
pub struct Seen {
    /// Sessions logged in per second.
    pub logins_per_s: f64,
    /// Before the first connection, with all sessions, and at the end.
    pub memory: [Footprint; 3],
    /// In the rest.
    pub rest: Spent,
    /// The sample's turns: before and after others dropped.
    pub samples: Vec<Turn>,
    /// What was said to all, in its order: before, while they were away, and after they were back.
    pub broadcasts: [Vec<Turn>; 3],
    /// Who dropped, and who of them came back.
    pub dropped: [u64; 2],
    /// From when they might come back until the last one had all that he had missed.
    pub all_back: Duration,
    /// The server is on this machine, as far as its address tells: the kernel's memory has both ends of each connection.
    pub is_local: bool,
    /// Draining ended because nothing came any more.
    pub drain_gave_up: bool,
    /// From the last login on.
    pub series: Vec<Sample>,
}

/// Plays a plan of [`crate::scenario::crowd`].
///
/// # Errors
/// What kept it from having a result.
pub fn crowd(plan: Plan, settings: &Settings, server: Watched, options: &CrowdOptions) -> Result<Crowd, Failure> {
    let mut play = Play { options: *options, round: 0 };
    let (seen, tally, crew) = with_crew(plan, settings, server, |conductor| play.play(conductor))?;
    Ok(Crowd { plan: crew.plan, over: crew.target.dress, tally, seen })
}

struct Play {
    options: CrowdOptions,
    round: u32,
}

impl Play {
    fn play(&mut self, conductor: &mut Conductor<'_, '_>) -> Result<Seen, Failure> {
        let CrowdOptions { messages, broadcasts, rest, .. } = self.options;
        let mut run = Run::default();
        let start = Footprint::read(conductor)?;
        let logins_per_s = run.log_in(conductor, None)?;
        Run::set_up(conductor)?;
        thread::sleep(REST);
        let all = Footprint::read(conductor)?;
        let sessions = conductor.crew.plan.connections;
        let of_server = all.server.map(|rss| format!("; server {} B for each", rss / u64::from(sessions))).unwrap_or_default();
        conductor.say(&format!("{sessions} sessions are there{of_server}"));
        begin(conductor)?;

        let sample = self.turn(conductor, "direct messages", SAMPLE, messages, 0);
        let before = self.broadcast(conductor, broadcasts, 0);
        let first = conductor.meters()?;
        let until_ns = conductor.crew.stage.now_ns() + (rest * 1e9) as u64;
        run.sleep_until(conductor, until_ns, "at rest");
        let rest = conductor.meters()?.since(&first);

        let dropped = drop_many(conductor);
        let meanwhile = self.broadcast(conductor, 1, dropped);
        let (returned, all_back) = take_back(conductor, dropped);
        let after = self.broadcast(conductor, broadcasts, dropped - returned);
        let again = self.turn(conductor, "direct messages", SAMPLE, messages, 0);
        let drain_gave_up = Run::drain(conductor)?;
        let end = Footprint::read(conductor)?;
        Ok(Seen {
            logins_per_s,
            memory: [start, all, end],
            rest,
            samples: vec![sample, again],
            broadcasts: [before, meanwhile, after],
            dropped: [dropped, returned],
            all_back,
            is_local: conductor.crew.target.address.ip().is_loopback() || conductor.pid.is_some(),
            drain_gave_up,
            series: std::mem::take(&mut conductor.series).samples(),
        })
    }

    /// Messages to all, each when the one before has come to everyone who is there.
    fn broadcast(&mut self, conductor: &mut Conductor<'_, '_>, times: u32, absent: u64) -> Vec<Turn> {
        (0..times).map(|_| self.turn(conductor, "a message to all", BROADCAST, 1, absent)).collect()
    }

    /// The speakers of a class speak so often, and all who are there receive it. `absent`: receivers of each message who are not.
    fn turn(&mut self, conductor: &mut Conductor<'_, '_>, what: &'static str, class: u8, times: u32, absent: u64) -> Turn {
        let (stage, plan) = (&conductor.crew.stage, &conductor.crew.plan);
        let traffic = plan.traffic().expect("a crowd is traffic");
        let speakers = traffic.speakers.iter().filter(|s| traffic.channels[s.channel as usize].class == class);
        let receivers: u64 = speakers.map(|s| u64::from(traffic.fan_out(s.channel, 0)) - absent).sum();
        let wanted = receivers * u64::from(times);
        let before = stage.totals().read;
        self.round += 1;
        stage.begin_turn(self.round, class, times);
        conductor.wait_or_give_up(what, wanted, |totals| totals.read - before);
        let totals = stage.totals();
        let took = Duration::from_nanos(totals.read_at_ns.saturating_sub(stage.spoke_ns()));
        conductor.say(&format!("{what}: {} of {wanted} deliveries", totals.read - before));
        Turn { wanted, took }
    }
}

/// From here on messages are measured, until the end.
fn begin(conductor: &mut Conductor<'_, '_>) -> Result<(), Failure> {
    let stage = &conductor.crew.stage;
    let from_ns = stage.now_ns() + LEAD_NS;
    stage.schedule(from_ns, from_ns..NEVER_NS);
    conductor.series = Series::begin(conductor.meters()?, RUN_NS);
    stage.go_to(Step::Run);
    Ok(())
}

/// Many drop at once, and stay away until they are let in.
fn drop_many(conductor: &mut Conductor<'_, '_>) -> u64 {
    let (stage, plan) = (&conductor.crew.stage, &conductor.crew.plan);
    let dropped = plan.traffic().map_or(0, |traffic| traffic.leaves_together().len() as u64);
    stage.return_from(NEVER_NS);
    stage.storm_begins(stage.now_ns());
    conductor.wait_or_give_up("dropping", dropped, |totals| totals.pending);
    thread::sleep(REST);
    conductor.say(&format!("{dropped} dropped at once"));
    dropped
}

/// They come back. Says how many did, and how long it took from the moment at which they might until the last one had all.
fn take_back(conductor: &mut Conductor<'_, '_>, dropped: u64) -> (u64, Duration) {
    let stage = &conductor.crew.stage;
    let (from_ns, before) = (stage.now_ns(), stage.totals().returned);
    stage.return_from(from_ns);
    conductor.wait_or_give_up("coming back", dropped, |totals| totals.returned - before);
    stage.storm_ended(stage.now_ns());
    let returned = (stage.totals().returned - before).min(dropped);
    conductor.say(&format!("{returned} of {dropped} came back"));
    (returned, Duration::from_nanos(stage.last_return_ns().saturating_sub(from_ns)))
}
