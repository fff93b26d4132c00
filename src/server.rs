//! The running server: which threads there are, who tells them to stop.
//!
//! [`serve`] binds the addresses, starts a shard on each of its cores and the control thread, says what listens where, and waits for a
//! signal. SIGTERM or SIGINT stops gracefully, a second one at once.

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::Config;
use crate::control::metrics::{self, Metrics};
use crate::control::{self, Health, Phase};
use crate::mesh::lanes::{Doorbell, Lanes};
use crate::ring::RingHandle;
use crate::shard::{self, Blueprint, Hosted, Stop};
use crate::slot::{ShardId, Slots};

/// Connections that the kernel completes before the server accepts them (bounded by net.core.somaxconn).
const BACKLOG: i32 = 4096;
/// Epochs of one run come from a range that begins with the time of its start: 2^20 for each millisecond.
const EPOCHS_PER_MS: u64 = 1 << 20;

/// Why the server did not start, or ended by itself.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    #[allow(missing_docs)]
    Listen { what: &'static str, address: SocketAddr, error: io::Error },
    /// A shard has no ring.
    Ring(io::Error),
    /// A thread could not be started, or a descriptor or signal handler is missing.
    #[allow(missing_docs)]
    Thread { what: &'static str, error: io::Error },
    /// A shard ended by itself.
    Shard(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { what, address, error } if error.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "{address} is taken, so there is no {what} port; stop what listens there, or choose another with --{what}"
                )
            }
            StartError::Listen { what, address, error } => {
                write!(f, "cannot listen on {address}: {error}; choose another address with --{what}")
            }
            StartError::Ring(error) => {
                write!(f, "cannot make an io_uring: {error}; `campanile doctor` says what is missing")
            }
            StartError::Thread { what, error } => {
                write!(f, "cannot start {what}: {error}; `campanile doctor` says what is missing")
            }
            StartError::Shard(error) => write!(f, "a shard ended: {error}; this is a bug, please report it"),
        }
    }
}

impl std::error::Error for StartError {}

/// Runs the server until it is told to stop.
///
/// # Errors
/// What kept it from starting, or ended it.
pub fn serve(config: Config) -> Result<(), StartError> {
    let signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| StartError::Thread { what: "signal handling", error })?;
    let listen = |what, address| move |error| StartError::Listen { what, address, error };
    let listeners = listeners(config.tcp, config.shards).map_err(listen("tcp", config.tcp))?;
    let ops = TcpListener::bind(config.ops).map_err(listen("ops", config.ops))?;
    let tcp_address = listeners[0].local_addr().map_err(listen("tcp", config.tcp))?;
    let ops_address = ops.local_addr().map_err(listen("ops", config.ops))?;

    let health = Arc::new(Health::default());
    let metrics = metrics::for_shards(config.shards);
    let (partitions, commit_stall) = (metrics::for_partitions(0), Duration::MAX);
    let control = control::spawn(ops, metrics.clone(), partitions, commit_stall, health.clone(), &config.other_cpus())
        .map_err(|error| StartError::Thread { what: "the control thread", error })?;
    let stop = Arc::new(Stop::default());
    let (shards, bells) = start_shards(&config, listeners, &metrics, &stop)?;

    health.set(Phase::Ready);
    announce(&config, tcp_address, ops_address);
    let waiter = stop_on_signal(signals, stop, bells, health.clone(), config.limits.stop_grace_ms);
    let result = shards.into_iter().try_for_each(|shard| shard.join().map_err(StartError::Shard));
    end(control, waiter, &health);
    result
}

fn end(control: JoinHandle<()>, waiter: signal_hook::iterator::Handle, health: &Health) {
    waiter.close();
    health.set(Phase::Stopped);
    let _ = control.join();
    tracing::info!("stopped");
}

/// One listener for each shard, on the same address. It is bound once without SO_REUSEPORT, so that a second server there is refused.
fn listeners(address: SocketAddr, shards: usize) -> io::Result<Vec<TcpListener>> {
    let first = listener(address, false)?;
    let address = TcpListener::from(first.try_clone()?).local_addr()?;
    drop(first);
    (0..shards).map(|_| listener(address, true).map(TcpListener::from)).collect()
}

fn listener(address: SocketAddr, share_port: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if share_port {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    // Accepted sockets inherit it: every send is a whole turn's output, so there is nothing to wait for.
    sockopt::set_tcp_nodelay(&fd, true)?;
    bind(&fd, &address)?;
    if share_port {
        listen(&fd, BACKLOG)?;
    }
    Ok(fd)
}

fn start_shards(
    config: &Config,
    listeners: Vec<TcpListener>,
    metrics: &Metrics,
    stop: &Arc<Stop>,
) -> Result<(Vec<Hosted>, Arc<[Doorbell]>), StartError> {
    let thread = |what| move |error| StartError::Thread { what, error };
    let bells: io::Result<Vec<Doorbell>> = (0..config.shards).map(|_| Doorbell::new()).collect();
    let bells: Arc<[Doorbell]> = bells.map_err(thread("the doorbells"))?.into();
    let lanes = Lanes::mesh(config.limits.lane_capacity as usize, &bells);
    let seed = getrandom::u64()
        .map_err(|error| StartError::Thread { what: "the random numbers", error: io::Error::other(error.to_string()) })?;
    let limits = Arc::new(config.limits.clone());
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first_epoch = since_1970.as_millis() as u64 * EPOCHS_PER_MS;

    let mut shards = Vec::new();
    let mut starting = Vec::new();
    for ((id, listener), lanes) in (0..).zip(listeners).zip(lanes) {
        let blueprint = Blueprint {
            id,
            cpu: config.shard_cpus[id as usize],
            listener,
            lanes,
            slots: Slots::new(seed, config.shards as ShardId),
            limits: limits.clone(),
            policies: config.policies,
            metrics: metrics.clone(),
            stop: stop.clone(),
            ring_slots: ring_slots(config),
            first_epoch,
            seed: seed.rotate_left(u32::from(id) + 1),
        };
        let ((ready, is_ready), (rings, wait_for_rings)) = (channel(), channel());
        shards.push(shard::spawn(blueprint, ready, wait_for_rings).map_err(thread("a shard"))?);
        starting.push((is_ready, rings));
    }
    let handles: Result<Vec<RingHandle>, StartError> = starting
        .iter()
        .map(|(is_ready, _)| is_ready.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())).map_err(StartError::Ring))
        .collect();
    let handles = handles?;
    for (_, rings) in &starting {
        // A shard that is gone says so when it is joined.
        let _ = rings.send(handles.clone());
    }
    Ok((shards, bells))
}

/// Room for the connections that may be there, for those that are told that the server is full, and for those that are closing.
fn ring_slots(config: &Config) -> u32 {
    const SPARE: u32 = 64;
    let nofile = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let may = u32::try_from(nofile).unwrap_or(u32::MAX);
    config.limits.connections_max.saturating_add(SPARE).min(may)
}

/// Says what listens where, and what to do next.
fn announce(config: &Config, tcp: SocketAddr, ops: SocketAddr) {
    let cpus = config.shard_cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let (name, limits) = (env!("CARGO_PKG_VERSION"), &config.limits);
    let text = format!(
        "campanile {name} is ready\n  \
         clients    tcp://{tcp}\n  \
         operators  http://{ops}  (/healthz /readyz /metrics)\n  \
         shards     {} on cpu {cpus}, {} connections at most\n  \
         messages   kept in memory only, the newest {} of each conversation\n  \
         identity   development: whoever says dev:alice is alice. Do not let strangers reach this port.\n  \
         try        cargo run --release -p campanile-cli -- --user alice --target tcp://{tcp}\n",
        config.shards, limits.connections_max, limits.history_messages_max
    );
    // Whoever started the server may read no more of it.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn stop_on_signal(
    mut signals: Signals,
    stop: Arc<Stop>,
    bells: Arc<[Doorbell]>,
    health: Arc<Health>,
    grace_ms: u32,
) -> signal_hook::iterator::Handle {
    let handle = signals.handle();
    let wait = move || {
        let mut signals = signals.forever();
        if signals.next().is_none() {
            return;
        }
        tracing::info!(grace_ms, "stopping; a second signal ends at once");
        health.set(Phase::Stopping);
        stop.ask(grace_ms);
        bells.iter().for_each(Doorbell::ring);
        if signals.next().is_some() {
            tracing::warn!("ended by a second signal");
            std::process::exit(1);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("signals".into()).spawn(wait) {
        tracing::warn!(%error, "no thread waits for signals: they end the server at once");
    }
    handle
}
