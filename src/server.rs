//! The running server: which threads there are, who tells them to stop.
//!
//! [`serve`] binds the addresses, starts a shard on each of its cores and the control thread, says what listens where, and waits for a
//! signal. SIGTERM or SIGINT stops gracefully, a second one at once.

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::Config;
use crate::control::metrics::{self, Metrics};
use crate::control::{self, Backups, Health, Phase};
use crate::conversation::{Durability, Policies};
use crate::mesh::lanes::{Doorbell, Lanes};
use crate::net::PROTOCOLS;
use crate::probe::slots_per_shard;
use crate::ring::RingHandle;
use crate::shard::{self, Blueprint, Hosted, Stop};
use crate::slot::{ShardId, Slots};
use crate::store::disk::{Manifest, OpenError, Opening, ShardStore, StoreOptions, Stores};
use crate::ws::Rules;

/// Connections that the kernel completes before the server accepts them: as many as it allows (net.core.somaxconn), for when all clients come at once.
const BACKLOG: i32 = 65_535;
/// How long a start waits for an address that is taken, and how often it looks.
const ADDRESS_WAIT: Duration = Duration::from_millis(500);
/// See [`ADDRESS_WAIT`].
const ADDRESS_LOOK: Duration = Duration::from_millis(20);
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
    /// The data directory cannot be used.
    Store(OpenError),
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
            StartError::Store(error) => error.fmt(f),
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
    let listeners = once_free(|| listeners_on(config.tcp, config.shards)).map_err(listen("tcp", config.tcp))?;
    let ops = once_free(|| TcpListener::bind(config.ops)).map_err(listen("ops", config.ops))?;
    let tcp_address = listeners[0].local_addr().map_err(listen("tcp", config.tcp))?;
    let ops_address = ops.local_addr().map_err(listen("ops", config.ops))?;
    let (ws, ws_address): (Vec<_>, _) = match config.ws {
        None => ((0..config.shards).map(|_| None).collect(), None),
        Some(address) => {
            let sockets = once_free(|| listeners_on(address, config.shards)).map_err(listen("ws", address))?;
            let bound = sockets[0].local_addr().map_err(listen("ws", address))?;
            (sockets.into_iter().map(Some).collect(), Some(bound))
        }
    };

    let manifest = config.policies.any_on_disk().then(|| open_directory(&config)).transpose().map_err(StartError::Store)?;
    let placement = Placement::of(&config, manifest.as_ref())?;
    let bells: io::Result<Vec<Doorbell>> = (0..config.shards).map(|_| Doorbell::new()).collect();
    let bells: Arc<[Doorbell]> = bells.map_err(|error| StartError::Thread { what: "the doorbells", error })?.into();

    let health = Arc::new(Health::default());
    let metrics = metrics::for_shards(config.shards);
    let partitions = metrics::for_partitions(manifest.as_ref().map_or(0, |manifest| manifest.partitions().into()));
    let commit_stall = Duration::from_millis(config.limits.commit_stall_ms.into());
    let backups =
        Arc::new(Backups::new(config.backup_dir.clone(), config.policies.any_on_disk(), config.limits.disk_free_bytes_min));
    let others = config.other_cpus();
    let sources = control::Sources {
        metrics: metrics.clone(),
        partitions: partitions.clone(),
        commit_stall,
        health: health.clone(),
        backups: backups.clone(),
        ws: ws_address,
    };
    let control =
        control::spawn(ops, sources, &others).map_err(|error| StartError::Thread { what: "the control thread", error })?;
    let kept = manifest.as_ref().map(|manifest| manifest.dir().to_owned());
    let (stores, disks) = match manifest {
        None => (None, (0..config.shards).map(|_| None).collect()),
        Some(manifest) => {
            let (options, cpus) = (store_options(&config), config.other_cpus());
            let opening = Opening { manifest, options: &options, metrics: &partitions, bells: &bells, cpus: &cpus };
            let (stores, disks) = Stores::open(opening).map_err(StartError::Store)?;
            backups.set_store(stores.snapshots());
            (Some(stores), disks.into_iter().map(Some).collect())
        }
    };
    let stop = Arc::new(Stop::default());
    let doors = Doors { of_shards: listeners.into_iter().zip(ws).collect(), rules: upgrade_rules(&config, ops_address) };
    let shards = start_shards(&config, placement, doors, disks, &bells, &metrics, &stop)?;

    health.set(Phase::Ready);
    announce(&config, kept.as_deref(), tcp_address, ws_address, ops_address);
    let waiter = stop_on_signal(signals, stop, bells, health.clone(), config.limits.stop_grace_ms);
    let result = shards.into_iter().try_for_each(|shard| shard.join().map_err(StartError::Shard));
    backups.stop();
    // The shards are gone: what they sent to the store is committed, and the directory is marked as left in order.
    let closed = stores.map_or(Ok(()), Stores::close).map_err(StartError::Store);
    end(control, waiter, &health);
    result.and(closed)
}

/// Where users and conversations live, and which epochs this run may give out.
struct Placement {
    slots: Slots,
    first_epoch: u64,
    seed: u64,
}

impl Placement {
    /// What is on disk says where everything lives; without a disk it is drawn anew.
    fn of(config: &Config, manifest: Option<&Manifest>) -> Result<Placement, StartError> {
        let random = || {
            let failed = |error: getrandom::Error| io::Error::other(error.to_string());
            getrandom::u64().map_err(|error| StartError::Thread { what: "the random numbers", error: failed(error) })
        };
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let by_clock = since_1970.as_millis() as u64 * EPOCHS_PER_MS;
        let seed = random()?;
        let shards = config.shards as ShardId;
        Ok(match manifest {
            None => Placement { slots: Slots::new(seed, shards), first_epoch: by_clock, seed },
            Some(manifest) => Placement {
                slots: Slots::with_partitions(manifest.slot_seed(), shards, manifest.partitions()),
                first_epoch: manifest.first_epoch(),
                seed,
            },
        })
    }
}

fn open_directory(config: &Config) -> Result<Manifest, OpenError> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wanted = if config.partitions_are_wanted { config.partitions as u16 } else { 0 };
    let mut manifest = Manifest::open_or_create(&config.data_dir, wanted, config.shards as u16)?;
    manifest.take_epochs(since_1970.as_millis() as u64 * EPOCHS_PER_MS)?;
    if wanted != 0 && manifest.partitions() != wanted {
        let there = manifest.partitions();
        tracing::warn!(
            wanted,
            there,
            "the number of partitions is fixed when the data directory is made; this one keeps its own"
        );
    }
    Ok(manifest)
}

fn store_options(config: &Config) -> StoreOptions {
    let limits = &config.limits;
    StoreOptions {
        cache_bytes: limits.store_cache_bytes,
        memtable_bytes: limits.store_memtable_bytes,
        batch_rows_max: limits.batch_messages_max as usize,
        batch_bytes_max: limits.batch_bytes_max as usize,
        batch_age_us_max: limits.batch_age_us_max.into(),
        disk_free_bytes_min: limits.disk_free_bytes_min,
        removal_grace_ms: limits.removal_grace_ms.into(),
        commit_stall_ms: limits.commit_stall_ms.into(),
        ..StoreOptions::default()
    }
}

fn end(control: JoinHandle<()>, waiter: signal_hook::iterator::Handle, health: &Health) {
    waiter.close();
    health.set(Phase::Stopped);
    let _ = control.join();
    tracing::info!("stopped");
}

/// Tries again for a moment while an address is taken: the sockets of a server that was killed are closed a little after it is gone.
fn once_free<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + ADDRESS_WAIT;
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => std::thread::sleep(ADDRESS_LOOK),
            result => return result,
        }
    }
}

/// One listener for each shard, on the same address. It is bound once without SO_REUSEPORT, so that a second server there is refused.
fn listeners_on(address: SocketAddr, shards: usize) -> io::Result<Vec<TcpListener>> {
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

/// Where clients come in.
struct Doors {
    /// Each shard's own listeners: for TCP, and for WebSockets.
    of_shards: Vec<(TcpListener, Option<TcpListener>)>,
    /// Who may come through the second.
    rules: Rules,
}

fn start_shards(
    config: &Config,
    placement: Placement,
    doors: Doors,
    disks: Vec<Option<ShardStore>>,
    bells: &Arc<[Doorbell]>,
    metrics: &Metrics,
    stop: &Arc<Stop>,
) -> Result<Vec<Hosted>, StartError> {
    let thread = |what| move |error| StartError::Thread { what, error };
    let lanes = Lanes::mesh(config.limits.lane_places(config.shards) as usize, bells);
    let (limits, rules) = (Arc::new(config.limits.clone()), Arc::new(doors.rules));
    let Placement { slots, first_epoch, seed } = placement;

    let mut shards = Vec::new();
    let mut starting = Vec::new();
    for (((id, (listener, ws)), lanes), disk) in (0..).zip(doors.of_shards).zip(lanes).zip(disks) {
        let blueprint = Blueprint {
            id,
            cpu: config.shard_cpus[id as usize],
            listener,
            ws,
            rules: rules.clone(),
            lanes,
            slots,
            limits: limits.clone(),
            policies: config.policies,
            disk,
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
    Ok(shards)
}

/// Who may connect by WebSocket, and where those find the page who came with a browser.
fn upgrade_rules(config: &Config, ops: SocketAddr) -> Rules {
    Rules {
        hosts: config.ws_hosts.clone(),
        origins: config.ws_origins.clone(),
        addresses: config.ws.is_some_and(|ws| !ws.ip().is_loopback()),
        head_bytes_max: config.limits.upgrade_bytes_max as usize,
        protocols: PROTOCOLS,
        page: format!("http://{ops}/"),
    }
}

/// Room for the connections that may be there, for those that are told that the server is full, and for those that are closing; no more than the
/// kernel gives a ring.
fn ring_slots(config: &Config) -> u32 {
    const SPARE: u32 = 64;
    let nofile = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    config.limits.connections_max.saturating_add(SPARE).min(slots_per_shard(nofile))
}

/// Says what listens where, and what to do next.
fn announce(config: &Config, dir: Option<&Path>, tcp: SocketAddr, ws: Option<SocketAddr>, ops: SocketAddr) {
    let cpus = config.shard_cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let (name, limits) = (env!("CARGO_PKG_VERSION"), &config.limits);
    let text = format!(
        "campanile {name} is ready\n  \
         clients    tcp://{tcp}\n  \
         websocket  {}\n  \
         operators  http://{ops}  (/healthz /readyz /metrics /backup)\n  \
         shards     {} on cpu {cpus}, {} connections at most\n  \
         messages   {}\n  \
         identity   development: whoever says dev:alice is alice. Do not let strangers reach this port.\n  \
         try        open http://{ops}/ in a browser, or cargo run --release -p campanile-cli -- --user alice --target tcp://{tcp}\n",
        ws.map_or("off".into(), |ws| format!("ws://{ws}  ({})", PROTOCOLS.join(", "))),
        config.shards,
        limits.connections_max,
        where_messages_are(config, dir)
    );
    // Whoever started the server may read no more of it.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Which kinds of conversation are on disk, and what an acknowledgement means.
fn where_messages_are(config: &Config, dir: Option<&Path>) -> String {
    let named = |wanted: Durability| -> Vec<&str> {
        let Policies { direct, group, topic, broadcast } = &config.policies;
        let kinds = [("direct", direct), ("group", group), ("topic", topic), ("broadcast", broadcast)];
        kinds.into_iter().filter(|(_, policy)| policy.durability == wanted).map(|(name, _)| name).collect()
    };
    let say = |wanted, what: &str| {
        Some(named(wanted)).filter(|kinds| !kinds.is_empty()).map(|kinds| format!("{} {what}", kinds.join(", ")))
    };
    let parts = [
        say(Durability::Fsync, "on disk before they are acknowledged"),
        say(Durability::Os, "with the operating system before they are acknowledged"),
        say(Durability::Memory, "in memory only"),
    ];
    let place = dir.map_or(String::new(), |dir| format!(" (in {})", dir.display()));
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ") + &place
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
