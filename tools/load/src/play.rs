//! The scenarios of traffic: from options to a plan, a run and a report.

use std::time::Duration;

use clap::Args;

use crate::conduct::{self, Ramping};
use crate::error::Failure;
use crate::options::{Common, Played, RampLoad, RampOptions, Server, Settings};
use crate::report::{CrowdFigures, RampFigures};
use crate::scenario::{
    self, BroadcastOptions, ChurnOptions, CrowdOptions, GroupsOptions, MixedOptions, Plan, StormOptions, TopicOptions, Traffic,
};
use crate::{CONNECTIONS, direct_plan, measure, prepared, run_number, show, watched};

/// Messages per second, unless it is said how many.
const RATE_PER_S: f64 = 1000.0;
/// The same for a broadcast, where each reaches everyone.
const BROADCASTS_PER_S: f64 = 10.0;

/// Plays `storm`.
///
/// # Errors
/// What kept it from having a result.
pub fn storm(played: &Played<StormOptions>) -> Result<bool, Failure> {
    let traffic = |_, connections| scenario::storm(connections, &played.options);
    let aftermath = Duration::from_secs_f64(played.options.aftermath.clamp(0.0, 3600.0));
    play("storm", played, RATE_PER_S, traffic, |settings| Settings { aftermath, ..settings })
}

/// Plays `mixed`.
///
/// # Errors
/// What kept it from having a result.
pub fn mixed(played: &Played<MixedOptions>) -> Result<bool, Failure> {
    play("mixed", played, RATE_PER_S, |run, connections| scenario::mixed(run, connections, &played.options), |s| s)
}

/// Plays `groups`.
///
/// # Errors
/// What kept it from having a result.
pub fn groups(played: &Played<GroupsOptions>) -> Result<bool, Failure> {
    play("groups", played, RATE_PER_S, |run, connections| scenario::groups(run, connections, &played.options), |s| s)
}

/// Plays `broadcast`.
///
/// # Errors
/// What kept it from having a result.
pub fn broadcast(played: &Played<BroadcastOptions>) -> Result<bool, Failure> {
    play("broadcast", played, BROADCASTS_PER_S, |_, connections| scenario::broadcast(connections, &played.options), |s| s)
}

/// Plays `topic`.
///
/// # Errors
/// What kept it from having a result.
pub fn topic(played: &Played<TopicOptions>) -> Result<bool, Failure> {
    play("topic", played, RATE_PER_S, |run, connections| scenario::topic(run, connections, &played.options), |s| s)
}

/// Plays `churn`.
///
/// # Errors
/// What kept it from having a result.
pub fn churn(played: &Played<ChurnOptions>) -> Result<bool, Failure> {
    play("churn", played, RATE_PER_S, |run, connections| scenario::churn(run, connections, &played.options), |s| s)
}

/// Plays `crowd`.
///
/// # Errors
/// What kept it from having a result.
pub fn crowd(common: &Common, server: &Server, options: &CrowdOptions) -> Result<bool, Failure> {
    let settings = Settings::from(common)?.open(common, RATE_PER_S)?;
    // As many come back at once as logged in at once: as fast as the server takes them, and no faster.
    let settings = Settings { returns_per_worker: settings.logins_per_worker, ..settings };
    let plan = plan(common, &settings, |_, connections| scenario::crowd(connections, options))?;
    let server = prepared(watched(server)?, &plan, &settings)?;
    let outcome = conduct::crowd(plan, &settings, server, options)?;
    show(common, &CrowdFigures::from(&common.durability, &settings, options, &outcome))
}

/// Plays `ramp`.
///
/// # Errors
/// What kept it from having a result.
pub fn ramp(options: &RampOptions, load: &RampLoad) -> Result<bool, Failure> {
    let ramping = options.ramping()?;
    match load {
        RampLoad::Direct { common, server, peers } => {
            let settings = Settings::from(common)?.open(common, ramping.from_per_s)?;
            let plan = direct_plan(common, &settings, *peers)?;
            climb("direct", plan, &settings, (common, server), &ramping)
        }
        RampLoad::Mixed(played) => ramp_traffic("mixed", played, &ramping, |run, n| scenario::mixed(run, n, &played.options)),
        RampLoad::Groups(played) => ramp_traffic("groups", played, &ramping, |run, n| scenario::groups(run, n, &played.options)),
        RampLoad::Broadcast(played) => {
            ramp_traffic("broadcast", played, &ramping, |_, n| scenario::broadcast(n, &played.options))
        }
        RampLoad::Topic(played) => ramp_traffic("topic", played, &ramping, |run, n| scenario::topic(run, n, &played.options)),
    }
}

fn ramp_traffic<O: Args>(
    load: &'static str,
    Played { common, server, pinging, .. }: &Played<O>,
    ramping: &Ramping,
    traffic: impl FnOnce(u32, u32) -> Result<Traffic, String>,
) -> Result<bool, Failure> {
    if pinging.pings {
        return Err(Failure::Option("--pings: not while the rate is raised".to_owned()));
    }
    let settings = Settings::from(common)?.open(common, ramping.from_per_s)?;
    let plan = plan(common, &settings, traffic)?;
    climb(load, plan, &settings, (common, server), ramping)
}

fn climb(
    load: &'static str,
    plan: Plan,
    settings: &Settings,
    (common, server): (&Common, &Server),
    ramping: &Ramping,
) -> Result<bool, Failure> {
    if common.rate.is_some() {
        return Err(Failure::Option("--rate: the rates are those of the ramp; see --from and --to".to_owned()));
    }
    let server = prepared(watched(server)?, &plan, settings)?;
    let outcome = conduct::ramp(plan, settings, server, ramping)?;
    let figures = RampFigures::from(load, ramping.p99_ns, &common.durability, settings, &outcome);
    show(common, &figures)
}

fn play<O: Args>(
    scenario: &'static str,
    Played { common, server, pinging, .. }: &Played<O>,
    rate_per_s: f64,
    traffic: impl FnOnce(u32, u32) -> Result<Traffic, String>,
    with: impl FnOnce(Settings) -> Settings,
) -> Result<bool, Failure> {
    let watched = watched(server)?;
    let settings = with(Settings::from(common)?.open(common, rate_per_s)?.pinged(*pinging, &watched.target)?);
    let plan = plan(common, &settings, traffic)?;
    measure(scenario, plan, &settings, common, watched, None)
}

/// `traffic` is given the run's number and how many connections there are.
fn plan(
    common: &Common,
    settings: &Settings,
    traffic: impl FnOnce(u32, u32) -> Result<Traffic, String>,
) -> Result<Plan, Failure> {
    let run = run_number();
    let traffic = traffic(run, common.connections.unwrap_or(CONNECTIONS)).map_err(Failure::Option)?;
    Ok(Plan::of_traffic(run, traffic, settings.workers))
}
