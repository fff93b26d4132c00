//! The scenarios of traffic: from options to a plan, a run and a report.

use clap::Args;

use crate::error::Failure;
use crate::options::{Common, Played, Settings};
use crate::scenario::{Plan, StormOptions, Traffic, storm as storm_of};
use crate::{CONNECTIONS, measure, run_number, watched};

/// Messages per second, unless it is said how many.
const RATE_PER_S: f64 = 1000.0;

/// Plays `storm`.
///
/// # Errors
/// What kept it from having a result.
pub fn storm(played: &Played<StormOptions>) -> Result<bool, Failure> {
    let settings = settings(played)?;
    let settings =
        Settings { aftermath: std::time::Duration::from_secs_f64(played.options.aftermath.clamp(0.0, 3600.0)), ..settings };
    play("storm", played, &settings, storm_of(connections(&played.common), &played.options))
}

fn connections(common: &Common) -> u32 {
    common.connections.unwrap_or(CONNECTIONS)
}

fn settings<O: Args>(played: &Played<O>) -> Result<Settings, Failure> {
    Ok(Settings { pings: played.pings, ..Settings::from(&played.common)?.open(&played.common, RATE_PER_S)? })
}

fn play<O: Args>(
    scenario: &'static str,
    Played { common, server, .. }: &Played<O>,
    settings: &Settings,
    traffic: Result<Traffic, String>,
) -> Result<bool, Failure> {
    let plan = Plan::of_traffic(run_number(), traffic.map_err(Failure::Option)?, settings.cpus.len() as u32);
    measure(scenario, plan, settings, common, watched(server)?, None)
}
