//! The command line, and what is made of it.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use campanile::ring::SLOTS_MAX;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::account::{HEADER_BYTES, Pace, WINDOW_MAX};
use crate::conduct::{Half, Ladder, Ramping};
use crate::dress::{Dress, Target};
use crate::error::Failure;
use crate::machine;
use crate::nats::NatsOptions;
use crate::peers::Peer;
use crate::scenario::{BroadcastOptions, ChurnOptions, CrowdOptions, GroupsOptions, MixedOptions, StormOptions, TopicOptions};

/// Messages that each publisher has outstanding while it lays them in store.
const FILL_WINDOW: u32 = 64;
/// Logins under way at once.
const LOGINS: u32 = 256;
/// More threads than any machine has use for.
const WORKERS_MAX: u32 = 1024;
/// Four billion connections have room in these.
const ADDRESSES_MAX: u32 = 65_536;

const EXAMPLES: &str = "\
Examples (a server that has core 0 alone: campanile serve --shards 1 --cpus 0):
  campanile-load group --members 1000 --payload 128 --window 1 --cpus 1 --server-cpus 0 --server-pid $PID --json group.json
  campanile-load direct --connections 1000 --payload 64 --window 1 --cpus 1 --server-cpus 0 --server-pid $PID
  campanile-load direct --connections 1000 --rate 50000 --cpus 1
  campanile-load direct --connections 256 --window 64 --peers random --seconds 60 --cpus 1
  campanile-load idle --connections 15000 --start-connections 5000 --server-pid $PID
  campanile-load idle --connections 15000 --start-connections 5000 --attach 20 --server-pid $PID
  campanile-load direct --connections 256 --window 64 --verify
  campanile-load group --members 1000 --target ws://127.0.0.1:7401 --encoding json --cpus 1 --server-cpus 0
  campanile-load backlog --users 10000 --messages 100 --pings --cpus 1
  campanile-load cold --conversations 100000 --messages 1000000 --rest 90 --server-pid $PID
  campanile-load floor --members 1000 --payload 128 --window 1 --server-cpus 0 --cpus 1
  campanile-load group --target redis://127.0.0.1:6379 --members 1000 --server-pid $REDIS --cpus 1
  campanile-load idle --connections 15000 --heartbeat 900 --server-pid $PID --cpus 1
  campanile-load storm --connections 10000 --drop 5000 --rate 2000 --pings --cpus 1 --server-pid $PID
  campanile-load ramp --p99-ms 5 --from 5000 direct --connections 1000 --duration 5 --cpus 1 --server-cpus 0
  campanile-load mixed --connections 10000 --rate 5000 --duration 60 --pings --cpus 1 --server-pid $PID
  campanile-load groups --connections 5000 --groups 1000 --largest 1000 --rate 2000 --cpus 1
  campanile-load broadcast --connections 15000 --rate 5 --pings --cpus 1
  campanile-load group --members 15000 --pings --cpus 1
  campanile-load topic --connections 5000 --topics 100 --tags 16 --filtered 80 --rate 1000 --cpus 1
  campanile-load churn --connections 2000 --groups 100 --moves 200 --reconnects 20 --rate 1000 --cpus 1

What is counted: `sent`, `acked`, `delivered`, `expected` and all latencies are of messages that were meant to be sent between the end of
the warm-up and the end of the duration. `lost`, `duplicated` and `out_of_order` are of the whole run, from the sequence numbers in the
payloads. Deliveries per second and CPU per delivery are over what was read in the duration. After the duration all that is outstanding is
read, until --drain seconds pass without progress.
Server CPU: --server-cpus counts all that those cores did, so nothing else should run there: the time less idle, iowait and steal of
/proc/stat. --server-pid counts the process alone; interrupts are in it only as far as they ran on its time.

Exit status: 0 if nothing was lost, duplicated, out of order or disconnected; 1 if something was; 2 if there is no result.";

/// Measures what a Campanile server can do, and what the machine could do at best.
#[derive(Debug, Parser)]
#[command(name = "campanile-load", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to play.
    #[command(subcommand)]
    pub command: Command,
}

/// The scenarios.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log in sessions and hold them: memory per session, CPU of doing nothing.
    Idle {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        server: Server,
        /// Sessions after which memory is read for the first time; growth per session counts from there to --connections.
        #[arg(long, value_name = "N")]
        start_connections: Option<u32>,
        /// Topics that each session is attached to from its login on, each with 999 others; nobody speaks in them. Not for servers of another kind.
        #[arg(long, value_name = "N", default_value_t = 0)]
        attach: u32,
        #[command(flatten)]
        heartbeat: Heartbeat,
    },
    /// Direct messages between users who are all online.
    Direct {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        verify: Verify,
        /// Who writes to whom.
        #[arg(long, value_name = "HOW", default_value = "pairs")]
        peers: Peers,
        #[command(flatten)]
        pinging: Pinging,
    },
    /// One publisher and a group of members, each on a connection of his own.
    Group {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        verify: Verify,
        /// Members who receive; the publisher is one more.
        #[arg(long, value_name = "M", default_value_t = 1000)]
        members: u32,
        #[command(flatten)]
        pinging: Pinging,
    },
    /// Users for whom messages wait log in all at once: how long until each has all of his.
    ///
    /// First some publishers lay the messages in store, each user's spread over all of them, with --window outstanding each. Then all users
    /// connect, without a cursor. Each must get each of his messages once, in order within its conversation.
    Backlog {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        backlog: BacklogOptions,
    },
    /// Reads the newest messages of random direct conversations that nobody has used for a while.
    ///
    /// First some publishers lay messages in store, in all conversations in turn. To read from a server that was started anew meanwhile, fill with
    /// --only fill, and then read with --only read --run and the number that the report of the first run names, and the same options otherwise.
    Cold {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        cold: ColdOptions,
    },
    /// The yardstick: `group` against a bare server that this program starts itself: one thread, one send() per member and message.
    Floor {
        #[command(flatten)]
        common: Common,
        /// Members who receive; the publisher is one more.
        #[arg(long, value_name = "M", default_value_t = 1000)]
        members: u32,
    },
    /// Many sessions drop at the same moment and come back with their cursors, while others go on writing, also to those who are away.
    ///
    /// Half of the messages are direct ones among those who stay: what they feel is told before, during and after. A quarter are direct ones between
    /// one who stays and one who drops, a quarter go to groups of one who stays and nine who drop. The load runs for --duration, then the sessions
    /// drop, and it goes on until all are back, and for --aftermath. A session is back when it has, in every conversation, all that was there when it
    /// came. What it had sent without an answer it sends again, under the same client_id. Every message must come once.
    Storm(Played<StormOptions>),
    /// A chat service's day: direct messages, groups of all sizes, receipts, presence, and sessions that come and go.
    ///
    /// 80 % of the messages are direct, between users of whom each has 10 contacts; the others go to groups of 5 to 500 members, of which a user is in 3.
    /// Sizes and rates of groups follow Zipf. Who gets a direct message says that he has read it, of a group's message one in ten does, as soon as the server has answered what he said
    /// before. Each user watches whether 10 members of his groups are there. 1 % of the sessions drop each minute and come back with their cursors, in turn after
    /// 0.2 s, which nobody sees, and after 8 s, which those who watch are told.
    Mixed(Played<MixedOptions>),
    /// Many groups: a few large ones and many small ones, a few busy ones and many quiet ones (both by Zipf).
    Groups(Played<GroupsOptions>),
    /// What one says reaches every session.
    ///
    /// The server sends it to all sessions that it has, also to those of others: run it alone. The rate is 10 per second unless --rate says otherwise.
    Broadcast(Played<BroadcastOptions>),
    /// Publishers and subscribers of topics, where some want all and some want one tag.
    ///
    /// What a filter passes over is announced (`skip`), which is counted as filtered; everything else must come once.
    Topic(Played<TopicOptions>),
    /// As many sessions as there may be, up to millions: what they cost at rest, and that nothing is lost.
    ///
    /// All log in as fast as the server takes them; a sample writes to each other, and one speaks to all. After a rest a share drops at once, is spoken of
    /// while away, and comes back; it must have everything then, by its cursors, and so must all others, once. Tells the server's memory per session,
    /// and the kernel's. Run it alone: --rate, --duration and --warmup have no meaning here.
    Crowd {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        crowd: CrowdOptions,
    },
    /// Users join groups and leave them, sessions drop and come back, while the groups talk on.
    ///
    /// Those who stay must get every message once. One who joins and leaves must get what is numbered between the two, in order, without a hole, and
    /// nothing else; what he would still have got, had he not left before he had caught up, is counted as cut off.
    Churn(Played<ChurnOptions>),
    /// Raises the rate of a load, over the same sessions, until its latency passes a bound: finds the knee.
    ///
    /// Each step settles for --warmup, is measured for --duration, and drained. A rate holds if the p99 of its deliveries, from when each message was
    /// meant to be sent, is at most --p99-ms, and at least 99 % of what was meant to be sent was acknowledged and all of that delivered.
    Ramp {
        #[command(flatten)]
        ramp: RampOptions,
        #[command(subcommand)]
        load: RampLoad,
    },
    /// Another yardstick: publishes to a file stream of a nats-server with JetStream, and counts its acks.
    NatsFloor {
        #[command(flatten)]
        options: NatsOptions,
    },
    /// The yardstick of `idle --heartbeat`: as many heartbeats against a bare ring that sends back whatever arrives, and that this program starts
    /// itself.
    EchoFloor {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        heartbeat: Heartbeat,
    },
    /// The bare server of a floor; it ends with its standard input.
    #[command(hide = true)]
    FloorServer {
        /// What it does.
        yardstick: Yardstick,
        /// The core of its only thread.
        #[arg(long)]
        cpu: Option<usize>,
    },
}

/// How often sessions ping.
#[derive(Clone, Copy, Debug, Args)]
pub struct Heartbeat {
    /// Each session pings this often in the measured time, at equal distances over all of them; every ping must be answered
    /// [default: half of what the server says, and not counted].
    #[arg(long, value_name = "MS")]
    pub heartbeat: Option<u32>,
}

/// What somebody else notices.
#[derive(Clone, Copy, Debug, Args)]
pub struct Pinging {
    /// Also pings from a session that has nothing to do with it, every 10 ms, before and while it goes on. Not for servers of another kind.
    #[arg(long)]
    pub pings: bool,
}

/// What a floor's server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Yardstick {
    /// One `send()` per member and message
    Sends,
    /// What arrives is sent back
    Echoes,
}

impl Yardstick {
    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Yardstick::Sends => "sends",
            Yardstick::Echoes => "echoes",
        }
    }
}

/// A scenario of traffic: an open loop over many conversations.
#[derive(Debug, Args)]
pub struct Played<O: Args> {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: Server,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub options: O,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pinging: Pinging,
}

/// How the rate is raised.
#[derive(Clone, Copy, Debug, Args)]
pub struct RampOptions {
    /// The first rate, in messages per second.
    #[arg(long, value_name = "R", default_value_t = 1000.0)]
    pub from: f64,
    /// The highest rate that is tried.
    #[arg(long, value_name = "R", default_value_t = 10_000_000.0)]
    pub to: f64,
    /// Each rate is so many times the one before.
    #[arg(long, value_name = "F", default_value_t = 1.5)]
    pub factor: f64,
    /// Rates between the last that held and the first that did not, each in the middle of what is left.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub refine: u32,
    /// A rate holds if the p99 of a delivery is at most this.
    #[arg(long, value_name = "MS", default_value_t = 10.0)]
    pub p99_ms: f64,
    /// A rate that does not hold is tried so often: on a machine with other work on it, one bad moment is no knee.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub tries: u32,
}

/// What is ramped.
#[derive(Debug, Subcommand)]
pub enum RampLoad {
    /// Direct messages between users who are all online.
    Direct {
        #[command(flatten)]
        #[allow(missing_docs)]
        common: Common,
        #[command(flatten)]
        #[allow(missing_docs)]
        server: Server,
        /// Who writes to whom.
        #[arg(long, value_name = "HOW", default_value = "pairs")]
        peers: Peers,
    },
    /// A chat service's day.
    Mixed(Played<MixedOptions>),
    /// Many groups.
    Groups(Played<GroupsOptions>),
    /// What one says reaches every session.
    Broadcast(Played<BroadcastOptions>),
    /// Publishers and subscribers of topics.
    Topic(Played<TopicOptions>),
}

impl RampOptions {
    /// How it is done.
    ///
    /// # Errors
    /// The first option that has no sense.
    pub fn ramping(&self) -> Result<Ramping, Failure> {
        let RampOptions { from, to, factor, refine, p99_ms, tries } = *self;
        let no = |sentence: String| Err(Failure::Option(sentence));
        if !(from > 0.0 && from <= to && to <= 1e8) {
            return no(format!("--from {from}, --to {to}: more than 0, at most 100000000, and not the other way round"));
        }
        if !(factor > 1.0 && factor <= 100.0) {
            return no(format!("--factor {factor}: more than 1 and at most 100"));
        }
        if !(p99_ms > 0.0 && p99_ms <= 3_600_000.0) || tries == 0 {
            return no(format!("--p99-ms {p99_ms}, --tries {tries}: more than 0"));
        }
        Ok(Ramping { from_per_s: from, ladder: Ladder::new(factor, to, refine), p99_ns: (p99_ms * 1e6) as u64, tries })
    }
}

/// Who writes to whom in `direct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peers {
    /// Random pairs, each sends to the other: half as many conversations as users
    Pairs,
    /// Each message goes to a random one of the others: about as many conversations as there are pairs of users
    Random,
}

/// What frames are in the messages of a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// Frames as they are, in binary messages
    Binary,
    /// JSON in text messages, which this program writes and reads as well: watch its CPU
    Json,
}

/// Which server.
#[derive(Debug, Args)]
pub struct Server {
    /// Where it listens.
    ///
    /// Other servers take part in `idle`, `direct` and `group`: redis://, nats://, jetstream:// (a stream in memory acknowledges), mqtt://,
    /// and broker:// for those that tools/compare builds.
    #[arg(long, value_name = "tcp://HOST:PORT | ws://HOST:PORT", default_value = "tcp://127.0.0.1:7400")]
    pub target: String,
    /// What frames are in the messages of a WebSocket.
    #[arg(long, value_name = "NAME", default_value = "binary")]
    pub encoding: Encoding,
    /// Its process: CPU of all its threads (a cross-check of --server-cpus) and memory.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
}

/// What waits for whom.
#[derive(Clone, Copy, Debug, Args)]
pub struct BacklogOptions {
    /// Users who log in at once.
    #[arg(long, value_name = "U", default_value_t = 1000)]
    pub users: u32,
    /// Messages that wait for each of them.
    #[arg(long, value_name = "B", default_value_t = 100)]
    pub messages: u32,
    /// Who send them.
    #[arg(long, value_name = "P", default_value_t = 4)]
    pub publishers: u32,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pinging: Pinging,
}

/// What is laid in store and how it is read.
#[derive(Clone, Copy, Debug, Args)]
pub struct ColdOptions {
    /// Direct conversations.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub conversations: u32,
    /// Messages in all of them together.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub messages: u64,
    /// Users who send them, to others who are never there.
    #[arg(long, value_name = "P", default_value_t = 100)]
    pub publishers: u32,
    /// Newest messages that are wanted of a conversation.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub page: u32,
    /// Pages that are read.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub reads: u64,
    /// Reads that are under way at once.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub readers: u32,
    /// Seconds of rest before reading. After filling: more than `conversation_idle_ms` of the server, for conversations to leave its memory; after
    /// a start of the server: for the readers' sessions to be up to date.
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    pub rest: f64,
    /// Only fill, or only read.
    #[arg(long, value_name = "HALF")]
    pub only: Option<OnlyHalf>,
    /// Number of the run that filled, for --only read.
    #[arg(long, value_name = "HEX")]
    pub run: Option<RunNumber>,
}

/// Half of `cold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnlyHalf {
    /// Lay in store
    Fill,
    /// Read what another run laid in store
    Read,
}

/// The number of a run, as reports write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunNumber(pub u32);

impl FromStr for RunNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        u32::from_str_radix(text, 16)
            .map(RunNumber)
            .map_err(|_| "write the number that the report names, such as 1a2b3c4d".to_owned())
    }
}

impl ColdOptions {
    /// What is to be played.
    pub fn half(&self) -> Half {
        match self.only {
            Some(OnlyHalf::Fill) => Half::Fill,
            Some(OnlyHalf::Read) => Half::Read,
            None => Half::Both,
        }
    }

    /// The rest before reading.
    pub fn rest(&self) -> Duration {
        Duration::from_secs_f64(self.rest.clamp(0.0, 86_400.0))
    }
}

/// Whether what was acknowledged is looked for afterwards.
#[derive(Clone, Copy, Debug, Args)]
pub struct Verify {
    /// After the run each log is read back by the users concerned (of a group: its owner and the last member), and every message that was
    /// acknowledged is looked for: at its epoch and seq, with its sender and body, and nowhere else.
    #[arg(long)]
    pub verify: bool,
    /// Places of logs that are remembered for that, 8 bytes each (twice as much while the workers' are put together); what is acknowledged
    /// beyond them is counted and not checked.
    #[arg(long, value_name = "N", default_value_t = 32_000_000, requires = "verify")]
    pub verify_places: usize,
}

/// What every scenario has.
#[derive(Debug, Args)]
pub struct Common {
    /// Connections in all [default: 1000; group and floor: members + 1, what is above that logs in and does nothing].
    #[arg(long, value_name = "N")]
    pub connections: Option<u32>,
    /// Body of each message, in bytes; at least 32, which carry the sequence number and the time.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub payload: usize,
    /// Seconds that are measured.
    #[arg(long, visible_alias = "seconds", value_name = "S", default_value_t = 10.0)]
    pub duration: f64,
    /// Seconds before that, at the same load, that are not.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub warmup: f64,
    /// CPUs of this program, one pinned worker each, such as 1 or 2-3,6 [default: all that are not in --server-cpus].
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// Threads of this program, each with a ring, a table of sockets and connections of its own, on the --cpus in turn [default: one for each]. More than
    /// one for a CPU only make room for more sockets: RLIMIT_NOFILE bounds each table.
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Closed loop: messages that each publisher has outstanding; one is outstanding until its ack and all its deliveries were read
    /// [default: 1; backlog and cold: 64].
    #[arg(long, value_name = "W", conflicts_with = "rate")]
    pub window: Option<u32>,
    /// Open loop: messages per second, over all publishers [default: 1000 where a scenario has no closed loop]. Latency counts from when a message was meant to be sent.
    #[arg(long, value_name = "R")]
    pub rate: Option<f64>,
    /// CPUs of the server, whose busy time is counted as its cost.
    #[arg(long, value_name = "LIST")]
    pub server_cpus: Option<String>,
    /// Writes all figures to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes a page with charts to this file: one HTML file that holds everything.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Label for the report: the durability that the server was configured with.
    #[arg(long, value_name = "NAME", default_value = "not told")]
    pub durability: String,
    /// Seconds without progress after which what is outstanding at the end counts as lost.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub drain: f64,
    /// Where connections come from, in turn, such as 127.0.1.1-127.0.1.40 or 10.0.0.5,10.0.0.7: each address has its own ports towards the server, 64,512
    /// at most [default: addresses of loopback where the server is there, else what the kernel chooses].
    #[arg(long, value_name = "LIST")]
    pub source_addresses: Option<String>,
    /// Connections from each source address 127.a.b.c, when the target is loopback. The kernel has about 28,000 ports for each and hands out every other
    /// one in turn; once it is through it searches long for a free one, at every connect. Sessions that drop and come back take a second port.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub per_address: u32,
    /// Logins under way at once, over all workers [default: 256; backlog: all].
    #[arg(long, value_name = "N")]
    pub logins: Option<u32>,
}

/// The options of a run, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Body of each message.
    pub payload_bytes: usize,
    /// Measured.
    pub duration: Duration,
    /// Not measured.
    pub warmup: Duration,
    /// One worker each.
    pub cpus: Vec<usize>,
    /// How publishers decide to send.
    pub pace: Pace,
    /// Messages per second, over all publishers, where the pace is a rate.
    pub rate_per_s: Option<f64>,
    /// Cores whose busy time is the server's.
    pub server_cpus: Vec<usize>,
    /// Without progress for so long at the end, what is outstanding is lost.
    pub drain: Duration,
    /// Threads.
    pub workers: u32,
    /// Connections from each source address of loopback.
    pub per_address: u32,
    /// Source addresses, unless they are those.
    pub sources: Vec<Ipv4Addr>,
    /// Logins under way at once, for each worker.
    pub logins_per_worker: usize,
    /// The same for sessions that come back.
    pub returns_per_worker: usize,
    /// Places that are remembered for reading back, if that is wanted.
    pub verify_places: Option<usize>,
    /// How often each session pings in the measured time.
    pub heartbeat: Option<Duration>,
    /// A session that has nothing to do with the load pings meanwhile.
    pub pings: bool,
    /// Load after all who dropped are back.
    pub aftermath: Duration,
}

impl Settings {
    /// Slices in which latencies are shown over time, in ns.
    pub fn slice_ns(&self) -> u64 {
        (self.duration.as_nanos() as u64 / 80).clamp(100_000_000, 60_000_000_000)
    }

    /// Checks what can be checked without a server.
    ///
    /// # Errors
    /// The first option that has no sense, with what is expected.
    pub fn from(common: &Common) -> Result<Settings, Failure> {
        check(common)?;
        let server_cpus = common.server_cpus.as_deref().map_or(Ok(Vec::new()), cpu_list)?;
        let cpus = match &common.cpus {
            Some(list) => cpu_list(list)?,
            None => own_cpus(&server_cpus),
        };
        let workers = common.workers.unwrap_or(cpus.len() as u32);
        let sources = common.source_addresses.as_deref().map_or(Ok(Vec::new()), address_list)?;
        Ok(Settings {
            payload_bytes: common.payload,
            duration: Duration::from_secs_f64(common.duration),
            warmup: Duration::from_secs_f64(common.warmup),
            pace: if common.rate.is_some() { Pace::Rate } else { Pace::Window(common.window.unwrap_or(1)) },
            rate_per_s: common.rate,
            server_cpus,
            drain: Duration::from_secs_f64(common.drain),
            workers,
            per_address: common.per_address,
            sources,
            logins_per_worker: (common.logins.unwrap_or(LOGINS) as usize / workers as usize).max(1),
            returns_per_worker: common.logins.map_or(usize::MAX, |logins| (logins as usize / workers as usize).max(1)),
            cpus,
            verify_places: None,
            heartbeat: None,
            pings: false,
            aftermath: Duration::ZERO,
        })
    }

    /// The same for laying in store, which has a window that keeps a server busy, unless it was said which.
    ///
    /// # Errors
    /// A rate was asked for.
    pub fn filling(self, common: &Common) -> Result<Settings, Failure> {
        if common.rate.is_some() {
            return Err(Failure::Option("--rate: this scenario sends as fast as --window allows".to_owned()));
        }
        Ok(Settings { pace: Pace::Window(common.window.unwrap_or(FILL_WINDOW)), ..self })
    }

    /// The same, and sessions ping.
    ///
    /// # Errors
    /// More often than anything can be sent.
    pub fn beating(self, heartbeat: Heartbeat) -> Result<Settings, Failure> {
        if heartbeat.heartbeat == Some(0) {
            return Err(Failure::Option("--heartbeat: at least 1 ms".to_owned()));
        }
        Ok(Settings { heartbeat: heartbeat.heartbeat.map(|ms| Duration::from_millis(u64::from(ms))), ..self })
    }

    /// The same for traffic, which always is an open loop.
    ///
    /// # Errors
    /// A window was asked for.
    pub fn open(self, common: &Common, rate_per_s: f64) -> Result<Settings, Failure> {
        if common.window.is_some() {
            return Err(Failure::Option("--window: this scenario sends at a --rate".to_owned()));
        }
        Ok(Settings { pace: Pace::Rate, rate_per_s: Some(common.rate.unwrap_or(rate_per_s)), ..self })
    }

    /// The same, with as many logins at once as there are, unless it was said how many.
    #[must_use]
    pub fn all_at_once(self, common: &Common) -> Settings {
        if common.logins.is_some() { self } else { Settings { logins_per_worker: usize::MAX, ..self } }
    }

    /// The same, and what was acknowledged is read back.
    #[must_use]
    pub fn with(self, verify: Verify) -> Settings {
        Settings { verify_places: verify.verify.then_some(verify.verify_places), ..self }
    }

    /// The same, and somebody else pings.
    ///
    /// # Errors
    /// It is a server of another kind, whose protocol the one who pings does not speak.
    pub fn pinged(self, Pinging { pings }: Pinging, target: &Target) -> Result<Settings, Failure> {
        match target.dress {
            Dress::Peer(peer) if pings => Err(Failure::Option(format!("--pings: not for {}", peer.name()))),
            _ => Ok(Settings { pings, ..self }),
        }
    }
}

fn check(common: &Common) -> Result<(), Failure> {
    let no = |sentence: String| Err(Failure::Option(sentence));
    if common.payload < HEADER_BYTES {
        return no(format!("--payload {}: at least {HEADER_BYTES} bytes, which carry the sequence number", common.payload));
    }
    if !(common.duration > 0.0 && common.duration <= 86_400.0) {
        return no(format!("--duration {}: more than 0 and at most 86400 seconds", common.duration));
    }
    if !(common.warmup >= 0.0 && common.warmup <= 3_600.0) {
        return no(format!("--warmup {}: 0 to 3600 seconds", common.warmup));
    }
    if !(common.drain > 0.0 && common.drain <= 3_600.0) {
        return no(format!("--drain {}: more than 0 and at most 3600 seconds", common.drain));
    }
    if let Some(rate) = common.rate
        && !(rate > 0.0 && rate <= 1e8)
    {
        return no(format!("--rate {rate}: more than 0 and at most 100000000 messages per second"));
    }
    if common.window.is_some_and(|w| w == 0 || w >= WINDOW_MAX) {
        return no(format!("--window: 1 to {}", WINDOW_MAX - 1));
    }
    if common.workers.is_some_and(|workers| workers == 0 || workers > WORKERS_MAX) {
        return no(format!("--workers: 1 to {WORKERS_MAX}"));
    }
    if common.per_address == 0 || common.per_address > 60_000 {
        return no(format!("--per-address {}: 1 to 60000", common.per_address));
    }
    Ok(())
}

/// Reads a list such as `0,2-3`.
///
/// # Errors
/// What is expected.
pub fn cpu_list(text: &str) -> Result<Vec<usize>, Failure> {
    let wrong = || Failure::Option(format!("'{text}' is no list of CPUs; write for example 0 or 1,4-7"));
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.trim().parse::<usize>().ok().zip(last.trim().parse::<usize>().ok());
        let (first, last) = range.filter(|(first, last)| first <= last && *last < 4096).ok_or_else(wrong)?;
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

/// Reads a list such as `127.0.1.1-127.0.1.40,10.0.0.5`.
///
/// # Errors
/// What is expected.
fn address_list(text: &str) -> Result<Vec<Ipv4Addr>, Failure> {
    let wrong = || {
        Failure::Option(format!(
            "--source-addresses {text}: write for example 127.0.1.1-127.0.1.40 or 10.0.0.5,10.0.0.7; at most {ADDRESSES_MAX} of IPv4"
        ))
    };
    let mut addresses = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let address = |text: &str| text.trim().parse::<Ipv4Addr>().ok().map(u32::from);
        let (first, last) = address(first).zip(address(last)).filter(|(first, last)| first <= last).ok_or_else(wrong)?;
        if last - first >= ADDRESSES_MAX || addresses.len() as u32 + (last - first) >= ADDRESSES_MAX {
            return Err(wrong());
        }
        addresses.extend((first..=last).map(Ipv4Addr::from));
    }
    Ok(addresses)
}

fn own_cpus(server_cpus: &[usize]) -> Vec<usize> {
    let all: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let own: Vec<usize> = all.iter().copied().filter(|cpu| !server_cpus.contains(cpu)).collect();
    if own.is_empty() { all } else { own }
}

/// Reads a target such as `tcp://127.0.0.1:7400` or `ws://localhost:7401`.
///
/// # Errors
/// What is expected, or that the name is not known.
pub fn target(text: &str, encoding: Encoding) -> Result<Target, Failure> {
    let wrong = |why: String| Failure::Option(format!("--target {text}: {why}; write tcp://HOST:PORT or ws://HOST:PORT"));
    let (dress, rest) = match (text.split_once("://"), encoding) {
        (Some(("tcp", _)), Encoding::Json) => return Err(wrong("there is no JSON over TCP".to_owned())),
        (Some(("tcp", rest)), Encoding::Binary) => (Dress::Tcp, rest),
        (Some(("ws", rest)), Encoding::Binary) => (Dress::Binary, rest),
        (Some(("ws", rest)), Encoding::Json) => (Dress::Json, rest),
        (Some((scheme, rest)), Encoding::Binary) if let Some(peer) = Peer::of_scheme(scheme) => (Dress::Peer(peer), rest),
        _ => return Err(wrong("only tcp and ws are spoken".to_owned())),
    };
    let (host, path) = match rest.find('/').filter(|_| dress != Dress::Tcp) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    Ok(Target { address: address(host).map_err(wrong)?, host: host.to_owned(), path: path.to_owned(), dress })
}

/// Reads a place such as `127.0.0.1:7400`.
///
/// # Errors
/// What is wrong with it.
pub fn address(host: &str) -> Result<SocketAddr, String> {
    let mut found = host.to_socket_addrs().map_err(|e| e.to_string())?;
    found.next().ok_or_else(|| "the name has no address".to_owned())
}

/// Fails if a worker's connections do not fit its table of direct descriptors, which RLIMIT_NOFILE and the kernel bound.
///
/// # Errors
/// [`Failure::Descriptors`], or that there must be more workers.
pub fn check_descriptors(connections: u32, workers: u32) -> Result<(), Failure> {
    /// Rings, logs, a socket that is not in the table yet.
    const OTHERS: u64 = 32;
    let needed = u64::from(connections.div_ceil(workers)) + 1;
    let hard = machine::raise_descriptors();
    if needed > u64::from(SLOTS_MAX) {
        return Err(Failure::Option(format!("--workers: the kernel gives each {SLOTS_MAX} sockets at most; more are needed")));
    }
    if needed + OTHERS > hard { Err(Failure::Descriptors { needed: needed + OTHERS, hard }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_numbers_and_ranges() {
        assert_eq!(cpu_list("0,2-4,3").unwrap(), [0, 2, 3, 4]);
        for wrong in ["", "a", "3-1", "1,", "-2", "99999"] {
            assert!(cpu_list(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn targets_are_tcp_or_websockets() {
        let target = |text| target(text, Encoding::Binary);
        let address = SocketAddr::from(([127, 0, 0, 1], 7400));
        assert_eq!(target("tcp://127.0.0.1:7400").unwrap(), Target::tcp(address));
        let websocket = |host: &str, path: &str| Target { address, host: host.into(), path: path.into(), dress: Dress::Binary };
        assert_eq!(target("ws://127.0.0.1:7400").unwrap(), websocket("127.0.0.1:7400", "/"));
        assert_eq!(target("ws://127.0.0.1:7400/chat/x").unwrap(), websocket("127.0.0.1:7400", "/chat/x"));
        for wrong in ["127.0.0.1:7400", "wss://127.0.0.1:1", "tcp://127.0.0.1:1/", "tcp://127.0.0.1", "ws://", "tcp://"] {
            assert!(target(wrong).is_err(), "{wrong:?}");
        }
        let json = |text| super::target(text, Encoding::Json);
        assert_eq!(json("ws://127.0.0.1:7400").unwrap(), Target { dress: Dress::Json, ..websocket("127.0.0.1:7400", "/") });
        assert!(json("tcp://127.0.0.1:7400").is_err());
    }

    fn settings(line: &str) -> Result<Settings, Failure> {
        let cli = Cli::try_parse_from(line.split_ascii_whitespace()).map_err(|e| Failure::Option(e.to_string()))?;
        let Command::Floor { common, .. } = cli.command else { panic!("the test asks for floor") };
        Settings::from(&common)
    }

    #[test]
    fn source_addresses_are_lists_and_ranges() {
        let addresses = address_list("127.0.1.254-127.0.2.1, 10.0.0.5").unwrap();
        let written: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
        assert_eq!(written, ["127.0.1.254", "127.0.1.255", "127.0.2.0", "127.0.2.1", "10.0.0.5"]);
        for wrong in ["", "127.0.0.1-", "127.0.0.2-127.0.0.1", "::1", "1.0.0.0-9.0.0.0", "127.0.0.1,x"] {
            assert!(address_list(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn workers_are_as_many_as_cpus_unless_it_is_said_how_many() {
        let workers = |line| settings(line).map(|settings| settings.workers).ok();
        assert_eq!((workers("x floor --cpus 1,2,3"), workers("x floor --cpus 1 --workers 4")), (Some(3), Some(4)));
        assert_eq!(workers("x floor --workers 0"), None);
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn options_without_sense_are_refused() {
        let s = settings("x floor --cpus 1 --window 16").unwrap();
        assert_eq!((s.pace, s.cpus, s.payload_bytes), (Pace::Window(16), vec![1], 128));
        assert_eq!(settings("x floor --rate 100").unwrap().pace, Pace::Rate);
        for wrong in ["--payload 31", "--window 0", "--rate 0", "--window 1 --rate 5", "--duration 0", "--warmup -1", "--cpus x"]
        {
            assert!(settings(&format!("x floor {wrong}")).is_err(), "{wrong}");
        }
    }
}
