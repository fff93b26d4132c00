//! From what the operator wrote to what the server runs with.
//!
//! Settings come from four sources; the first that has one wins: command line, environment (`CAMPANILE_*`), file (`--config`),
//! default. [`sources`] finds them, [`settle`](sources::settle) merges them [`Section`] by section, [`Config::resolve`] turns them into what the threads
//! need: which processor carries which shard. Whatever cannot be is an error here, before anything listens.

mod conversations;
mod error;
mod file;
mod placement;
mod print;
mod section;
pub(crate) mod setting;
mod sources;
mod span;
mod tasks;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use conversations::KindSettings;
pub use error::{ConfigError, WrongValue};
pub use placement::{CpuList, allowed_cpus};
pub use print::print;
pub use section::Section;
pub use setting::grouped;
pub use sources::{Action, Command, Origin, Settled, command_line};
pub use span::Span;

use crate::conversation::Policies;
use crate::limits::Limits;
use crate::ws::Names;
use setting::settings;

/// Partitions of the store at most: each is a database with threads and buffers of its own.
const PARTITIONS_MAX: usize = 16;

settings! {
    /// The settings that are not limits.
    pub struct Base {
        /// Where clients connect: frames over TCP.
        tcp: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7400)); "address"
        /// Where browsers and scripts connect: WebSocket, with frames in binary messages or JSON in text. Empty: nowhere.
        ws: Option<SocketAddr> = Some(SocketAddr::from(([127, 0, 0, 1], 7401))); "address"
        /// Names by which WebSocket clients may call this server, with commas between them, whatever the port; others are answered 421, so that no page
        /// can reach it by a name of its own (DNS rebinding). *: any. Where `ws` is not a loopback address, every address will do.
        ws_hosts: Names = Names::of("localhost,127.0.0.1,[::1]"); "names"
        /// Origins like https://chat.example.org whose pages may connect, besides pages from the host that they connect to, whatever the port; others are
        /// answered 403. Clients that are no browsers send no origin, and are let in. *: any.
        ws_origins: Names = Names::default(); "origins"
        /// Where operators look: health, readiness and metrics over HTTP.
        ops: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7402)); "address"
        /// Threads that carry users and conversations. 0: one per processor in `cpus`; above four processors one in eight is left to
        /// the other threads.
        shards: u32 = 0, in 0..=256; "threads"
        /// Processors that the whole server may use, like 0-3,8; empty: all that the process may run on.
        cpus: CpuList = CpuList::default(); "processors"
        /// Where everything is kept that survives the server; made at the first start. One server at a time.
        data_dir: PathBuf = PathBuf::from("./campanile-data"); "path"
        /// Under it `campanile backup` lets the server make a new directory for each backup; empty: it makes none.
        backup_dir: Option<PathBuf> = None; "path"
        /// Databases in the data directory, each with a writer of its own. 0: one per shard, at most 16. Fixed when the directory is made; after that
        /// only the same number is taken, or 0.
        partitions: u32 = 0, in 0..=16; "databases"
        /// Listen on addresses that others can reach, though in development identity anyone can log in as anyone.
        insecure: bool = false; "true or false"
    }
}

/// What the server runs with: checked, and resolved for this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub tcp: SocketAddr,
    /// Where browsers and scripts connect, if they may.
    pub ws: Option<SocketAddr>,
    /// See [`Base`].
    pub ws_hosts: Names,
    /// See [`Base`].
    pub ws_origins: Names,
    /// Where operators look.
    pub ops: SocketAddr,
    /// How many shards there are; at least 1.
    pub shards: usize,
    /// Processors that the whole server may use; at least one.
    pub cpus: Vec<usize>,
    /// The processor of each shard. One stands twice where there are more shards than processors.
    pub shard_cpus: Vec<usize>,
    /// Where everything is kept that survives the server.
    pub data_dir: PathBuf,
    /// Where backups go, if there are any.
    pub backup_dir: Option<PathBuf>,
    /// Databases in a data directory that is made now; at least 1.
    pub partitions: usize,
    /// Whether somebody asked for just so many: then a directory with another number is refused.
    pub partitions_are_wanted: bool,
    /// What is kept of each kind of conversation.
    pub policies: Policies,
    /// Whether others may reach a server in which anyone can be anyone.
    pub insecure: bool,
    /// What a peer, a user or a conversation may make grow, and how far.
    pub limits: Limits,
}

impl Config {
    /// Checks what was settled and fits it to the processors that this process may run on.
    ///
    /// # Errors
    /// Settings that contradict each other, the machine, or the development identity.
    pub fn resolve(base: &Base, limits: &Limits, policies: Policies, allowed: &[usize]) -> Result<Self, ConfigError> {
        limits.check()?;
        policies.check()?;
        let listeners: Vec<_> = [("tcp", Some(base.tcp)), ("ws", base.ws), ("ops", Some(base.ops))]
            .into_iter()
            .filter_map(|(name, a)| Some((name, a?)))
            .collect();
        for (index, &(name, address)) in listeners.iter().enumerate() {
            if !address.ip().is_loopback() && !base.insecure {
                return Err(ConfigError::Reachable { name, address });
            }
            if let Some(&(other, _)) = listeners[..index].iter().find(|(_, other)| *other == address && address.port() != 0) {
                return Err(ConfigError::SameAddress { names: [other, name], address });
            }
        }
        let cpus = placement::usable(&base.cpus, allowed)?;
        let shards = match base.shards {
            0 => placement::shards_for(cpus.len()),
            wanted => wanted as usize,
        };
        let shard_cpus = placement::shard_cpus(&cpus, shards);
        let partitions = match base.partitions {
            0 => shards.min(PARTITIONS_MAX),
            wanted => wanted as usize,
        };
        Ok(Self {
            tcp: base.tcp,
            ws: base.ws,
            ws_hosts: base.ws_hosts.clone(),
            ws_origins: base.ws_origins.clone(),
            ops: base.ops,
            shards,
            cpus,
            shard_cpus,
            data_dir: base.data_dir.clone(),
            backup_dir: base.backup_dir.clone(),
            partitions,
            partitions_are_wanted: base.partitions != 0,
            policies,
            insecure: base.insecure,
            limits: limits.clone(),
        })
    }

    /// The processors for threads that are not shards: those that carry none, or all if every one carries one.
    #[must_use]
    pub fn other_cpus(&self) -> Vec<usize> {
        let free: Vec<usize> = self.cpus.iter().copied().filter(|cpu| !self.shard_cpus.contains(cpu)).collect();
        if free.is_empty() { self.cpus.clone() } else { free }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(base: Base) -> Result<Config, ConfigError> {
        Config::resolve(&base, &Limits::default(), Policies::default(), &[0, 1])
    }

    #[test]
    fn the_defaults_make_a_server_on_loopback() {
        let config = resolve(Base::default()).unwrap();
        assert_eq!((config.shards, config.cpus, config.shard_cpus), (2, vec![0, 1], vec![0, 1]));
        assert!(config.tcp.ip().is_loopback() && config.ops.ip().is_loopback());
    }

    #[test]
    fn what_others_can_reach_needs_insecure() {
        for address in ["0.0.0.0:7400", "[::]:7400", "192.0.2.1:7400"] {
            let base = Base { tcp: address.parse().unwrap(), ..Base::default() };
            let wrong = resolve(base.clone()).unwrap_err().to_string();
            assert!(wrong.contains("tcp") && wrong.contains(address) && wrong.contains("--insecure"), "{wrong}");
            assert!(resolve(Base { insecure: true, ..base }).is_ok());
        }
        let ops = Base { ops: "0.0.0.0:1".parse().unwrap(), ..Base::default() };
        assert!(resolve(ops).unwrap_err().to_string().contains("ops"));
        let ws = Base { ws: "0.0.0.0:1".parse().ok(), ..Base::default() };
        assert!(resolve(ws).unwrap_err().to_string().contains("ws = 0.0.0.0:1"));
    }

    #[test]
    fn one_address_cannot_serve_twice() {
        let default = Base::default();
        for base in [
            Base { ops: default.tcp, ..default.clone() },
            Base { ws: Some(default.tcp), ..default.clone() },
            Base { ops: default.ws.unwrap(), ..default.clone() },
        ] {
            assert!(matches!(resolve(base), Err(ConfigError::SameAddress { .. })));
        }
        let any = "127.0.0.1:0".parse().unwrap();
        assert!(resolve(Base { tcp: any, ws: Some(any), ops: any, ..default }).is_ok());
    }

    #[test]
    fn more_shards_than_processors_share_them() {
        let config = resolve(Base { shards: 3, ..Base::default() }).unwrap();
        assert_eq!(config.shard_cpus, [0, 1, 0]);
        assert_eq!(config.other_cpus(), [0, 1]);
    }

    #[test]
    fn each_shard_has_a_partition_up_to_sixteen() {
        let of = |shards, partitions| {
            let config = resolve(Base { shards, partitions, ..Base::default() }).unwrap();
            (config.partitions, config.partitions_are_wanted)
        };
        assert_eq!((of(0, 0), of(17, 0), of(1, 4)), ((2, false), (16, false), (4, true)));
    }

    #[test]
    fn other_threads_get_the_processors_without_a_shard() {
        let config = resolve(Base { shards: 1, ..Base::default() }).unwrap();
        assert_eq!(config.other_cpus(), [1]);
    }
}
