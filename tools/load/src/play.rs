//! The scenarios of traffic: from options to a plan, a run and a report.

use std::time::Duration;

use clap::Args;

use crate::error::Failure;
use crate::options::{Common, Played, Settings};
use crate::scenario::{
    self, BroadcastOptions, ChurnOptions, GroupsOptions, MixedOptions, Plan, StormOptions, TopicOptions, Traffic,
};
use crate::{CONNECTIONS, measure, run_number, watched};

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

/// `traffic` is given the run's number and how many connections there are.
fn play<O: Args>(
    scenario: &'static str,
    Played { common, server, pings, .. }: &Played<O>,
    rate_per_s: f64,
    traffic: impl FnOnce(u32, u32) -> Result<Traffic, String>,
    with: impl FnOnce(Settings) -> Settings,
) -> Result<bool, Failure> {
    let settings = with(Settings { pings: *pings, ..Settings::from(common)?.open(common, rate_per_s)? });
    let run = run_number();
    let traffic = traffic(run, connections(common)).map_err(Failure::Option)?;
    let plan = Plan::of_traffic(run, traffic, settings.cpus.len() as u32);
    measure(scenario, plan, &settings, common, watched(server)?, None)
}

fn connections(common: &Common) -> u32 {
    common.connections.unwrap_or(CONNECTIONS)
}
