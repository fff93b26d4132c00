//! `campanile-load`: what a Campanile server can do, counted and not assumed.
//!
//! ```text
//!   main thread (conduct): leads through the steps, reads /proc, shows progress, makes the report
//!        |  stage: steps and times, one block of counters per worker (atomics)
//!   +----v-----------+   +----------------+
//!   | worker 0       |   | worker 1       |  ... one per CPU in --cpus, pinned
//!   |  own io_uring  |   |                |
//!   |  connections   |<->|                |  board: what is outstanding (atomics); post: "the last delivery was read"
//!   +----------------+   +----------------+
//! ```
//!
//! A worker owns its connections and their books (`account`), as the plan (`scenario`) gave them to it. `floor` starts a bare server
//! as a child process and measures it with the same workers.

mod account;
mod conduct;
mod dress;
mod error;
mod floor;
mod machine;
mod memory;
mod nats;
mod options;
mod peers;
mod pinger;
mod play;
mod report;
mod scenario;
mod stage;
mod worker;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;

use conduct::Watched;
use dress::{Dress, Target};
use error::Failure;
use floor::FloorServer;
use options::{
    BacklogOptions, Cli, ColdOptions, Command, Common, Heartbeat, Peers, Pinging, Server, Settings, Verify, Yardstick,
};
use peers::Peer;
use report::{BacklogFigures, ColdFigures, Figures, Report};
use scenario::Plan;

/// Something was lost, duplicated, out of order or disconnected.
const EXIT_UNCLEAN: u8 = 1;
/// There is no result.
const EXIT_FAILED: u8 = 2;

const CONNECTIONS: u32 = 1000;
/// Conversations that a login may name.
const ATTACH_MAX: u32 = 1000;

fn main() -> ExitCode {
    match play(Cli::parse().command) {
        Ok(clean) => ExitCode::from(if clean { 0 } else { EXIT_UNCLEAN }),
        Err(failure) => {
            eprintln!("campanile-load: {failure}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn play(command: Command) -> Result<bool, Failure> {
    match command {
        Command::Idle { common, server, start_connections, attach, heartbeat } => {
            idle(&common, &server, start_connections, attach, heartbeat)
        }
        Command::Direct { common, server, verify, peers, pinging } => direct(&common, &server, verify, peers, pinging),
        Command::Group { common, server, verify, members, pinging } => group(&common, &server, verify, members, pinging),
        Command::Backlog { common, server, backlog } => self::backlog(&common, &server, &backlog),
        Command::Cold { common, server, cold } => self::cold(&common, &server, &cold),
        Command::Ramp { ramp, load } => play::ramp(&ramp, &load),
        Command::Storm(played) => play::storm(&played),
        Command::Mixed(played) => play::mixed(&played),
        Command::Groups(played) => play::groups(&played),
        Command::Broadcast(played) => play::broadcast(&played),
        Command::Topic(played) => play::topic(&played),
        Command::Crowd { common, server, crowd } => play::crowd(&common, &server, &crowd),
        Command::Churn(played) => play::churn(&played),
        Command::Floor { common, members } => floor(&common, members),
        Command::NatsFloor { options } => nats::run(&options),
        Command::EchoFloor { common, heartbeat } => echo_floor(&common, heartbeat),
        Command::FloorServer { yardstick, cpu } => floor::serve(yardstick, cpu).map(|()| true),
    }
}

fn idle(common: &Common, server: &Server, start: Option<u32>, attach: u32, heartbeat: Heartbeat) -> Result<bool, Failure> {
    let settings = Settings::from(common)?.beating(heartbeat)?;
    let connections = common.connections.unwrap_or(CONNECTIONS);
    if start.is_some_and(|start| start == 0 || start >= connections) {
        return Err(Failure::Option("--start-connections: more than 0 and less than --connections".to_owned()));
    }
    if attach > ATTACH_MAX {
        return Err(Failure::Option(format!("--attach: at most {ATTACH_MAX}, which is what a login may name")));
    }
    let plan = Plan::idle(run_number(), at_least(connections, 1)?, attach, settings.workers);
    measure("idle", plan, &settings, common, watched(server)?, start)
}

fn direct(common: &Common, server: &Server, verify: Verify, peers: Peers, pinging: Pinging) -> Result<bool, Failure> {
    let watched = watched(server)?;
    let settings = Settings::from(common)?.with(verify).pinged(pinging, &watched.target)?;
    let plan = direct_plan(common, &settings, peers)?;
    measure("direct", plan, &settings, common, watched, None)
}

fn direct_plan(common: &Common, settings: &Settings, peers: Peers) -> Result<Plan, Failure> {
    let connections = at_least(common.connections.unwrap_or(CONNECTIONS), 2)?;
    let workers = settings.workers;
    match peers {
        Peers::Pairs if connections % 2 == 1 => {
            Err(Failure::Option(format!("--connections {connections}: pairs need an even number")))
        }
        Peers::Pairs => Ok(Plan::direct(run_number(), connections, workers)),
        Peers::Random => Ok(Plan::random(run_number(), connections, workers)),
    }
}

fn group(common: &Common, server: &Server, verify: Verify, members: u32, pinging: Pinging) -> Result<bool, Failure> {
    let watched = watched(server)?;
    let settings = Settings::from(common)?.with(verify).pinged(pinging, &watched.target)?;
    let plan = group_plan(common, &settings, members)?;
    measure("group", plan, &settings, common, watched, None)
}

fn backlog(common: &Common, server: &Server, options: &BacklogOptions) -> Result<bool, Failure> {
    let settings = Settings::from(common)?.filling(common)?.all_at_once(common);
    let BacklogOptions { users, messages, publishers, pinging: Pinging { pings } } = *options;
    for (name, value) in [("--users", users), ("--messages", messages), ("--publishers", publishers)] {
        positive(name, u64::from(value))?;
    }
    let plan = Plan::backlog(run_number(), publishers, users, messages, settings.workers);
    let outcome = conduct::backlog(plan, &settings, own(watched(server)?)?, pings)?;
    let figures = BacklogFigures::from(&common.durability, &settings, &outcome);
    show(common, &figures)
}

fn cold(common: &Common, server: &Server, options: &ColdOptions) -> Result<bool, Failure> {
    let settings = Settings::from(common)?.filling(common)?;
    let ColdOptions { conversations, messages, publishers, page, reads, readers, .. } = *options;
    for (name, value) in
        [("--conversations", conversations), ("--publishers", publishers), ("--page", page), ("--readers", readers)]
    {
        positive(name, u64::from(value))?;
    }
    positive("--messages", messages)?;
    let run = options.run.map_or_else(run_number, |run| run.0);
    let workers = settings.workers;
    let plan = Plan::cold(run, publishers.min(conversations), (conversations, messages), page, (reads, readers), workers);
    let outcome = conduct::cold(plan, &settings, own(watched(server)?)?, options.half(), options.rest())?;
    let figures = ColdFigures::from(&common.durability, &settings, &outcome);
    show(common, &figures)
}

fn positive(name: &str, value: u64) -> Result<(), Failure> {
    if value == 0 { Err(Failure::Option(format!("{name}: at least 1"))) } else { Ok(()) }
}

fn floor(common: &Common, members: u32) -> Result<bool, Failure> {
    let settings = Settings::from(common)?;
    let plan = group_plan(common, &settings, members)?;
    let server = FloorServer::start(Yardstick::Sends, settings.server_cpus.first().copied())?;
    let watched = Watched { target: Target::tcp(server.address), pid: Some(server.pid()) };
    measure("floor", plan, &settings, common, watched, None)
}

fn echo_floor(common: &Common, heartbeat: Heartbeat) -> Result<bool, Failure> {
    let settings = Settings::from(common)?.beating(heartbeat)?;
    let connections = at_least(common.connections.unwrap_or(CONNECTIONS), 1)?;
    let plan = Plan::idle(run_number(), connections, 0, settings.workers);
    let server = FloorServer::start(Yardstick::Echoes, settings.server_cpus.first().copied())?;
    let target = Target { dress: Dress::Peer(Peer::Echo), ..Target::tcp(server.address) };
    measure("echo-floor", plan, &settings, common, Watched { target, pid: Some(server.pid()) }, None)
}

fn group_plan(common: &Common, settings: &Settings, members: u32) -> Result<Plan, Failure> {
    let members = if members == 0 { Err(Failure::Option("--members: at least 1".to_owned())) } else { Ok(members) }?;
    let connections = at_least(common.connections.unwrap_or(members.saturating_add(1)), members.saturating_add(1))?;
    Ok(Plan::group(run_number(), members, connections, settings.workers))
}

fn at_least(connections: u32, least: u32) -> Result<u32, Failure> {
    if connections < least {
        return Err(Failure::Option(format!("--connections {connections}: this scenario needs at least {least}")));
    }
    Ok(connections)
}

fn watched(server: &Server) -> Result<Watched, Failure> {
    Ok(Watched { target: options::target(&server.target, server.encoding)?, pid: server.server_pid })
}

/// A server that can play this, with what it needs for it.
fn prepared(server: Watched, plan: &Plan, settings: &Settings) -> Result<Watched, Failure> {
    if server.target.dress == Dress::Peer(Peer::JetStream) {
        let target = server.target.address;
        nats::make_stream(target, peers::nats::SUBJECTS, nats::Storage::Memory)
            .map_err(|cause| Failure::Connect { target, cause })?;
    }
    if settings.verify_places.is_some() || plan.traffic().is_some() { own(server) } else { Ok(server) }
}

/// Refuses other servers, for what only Campanile can be asked.
fn own(watched: Watched) -> Result<Watched, Failure> {
    match watched.target.dress {
        Dress::Peer(peer) => {
            Err(Failure::Option(format!("--target {}://: {}", peer.name(), "this can only be asked of Campanile")))
        }
        Dress::Tcp | Dress::Binary | Dress::Json => Ok(watched),
    }
}

fn measure(
    scenario: &'static str,
    plan: Plan,
    settings: &Settings,
    common: &Common,
    server: Watched,
    start_connections: Option<u32>,
) -> Result<bool, Failure> {
    let server = prepared(server, &plan, settings)?;
    let outcome = conduct::conduct(plan, settings, server, start_connections)?;
    let figures = Figures::from(scenario, &common.durability, settings, &outcome);
    show(common, &figures)
}

/// The report: a table, and files where they are wanted. Says whether the run was clean.
fn show(common: &Common, figures: &impl Report) -> Result<bool, Failure> {
    report::show(figures, common.json.as_deref(), common.report.as_deref())
}

/// A number that no other run of today has.
fn run_number() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_millis() as u32).wrapping_mul(0x9E37_79B1) ^ std::process::id()
}
