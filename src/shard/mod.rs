//! A shard: one pinned thread, one ring, its connections, its users, its conversations. Nothing of it is touched by another thread.
//!
//! [`turn`] is the loop; [`input`] takes what the kernel finished, [`output`] sends; [`websocket`] and [`dress`] do both for
//! WebSocket; [`hand_off`] moves a connection to its user's home;
//! [`goodbye`] ends one; [`stopping`] ends all; [`host`] runs the loop inside a glommio executor, with [`background`] tasks between turns.

mod background;
mod door;
mod dress;
mod gather;
mod goodbye;
mod hand_off;
mod host;
mod input;
mod keep;
mod output;
mod stopping;
mod turn;
mod websocket;

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

pub use host::{Hosted, spawn};
pub use stopping::Stop;

use crate::clock::{Clock, Now};
use crate::control::metrics::{Metrics, ShardMetrics};
use crate::conversation::{Conversations, Policies};
use crate::effects::Effects;
use crate::json;
use crate::limits::Limits;
use crate::mesh::lanes::Lanes;
use crate::net::{AddressLimits, Connection, Dress, Leave, Table};
use crate::ring::{Completion, ListenerId, Ring, RingHandle, RingSize, Slot};
use crate::session::Users;
use crate::slot::{ShardId, Slots};
use crate::store::Memory;
use crate::store::disk::ShardStore;
use crate::timer::Wheel;
use crate::ws::Rules;
use door::Door;
use dress::Wardrobe;
use gather::Gather;
use keep::Keep;
use stopping::Stopping;

/// Everything that a shard is made from.
pub struct Blueprint {
    /// Which one this is.
    pub id: ShardId,
    /// Where it runs.
    pub cpu: usize,
    /// Its own listening socket (SO_REUSEPORT).
    pub listener: TcpListener,
    /// The same for WebSocket, where there is one.
    pub ws: Option<TcpListener>,
    /// By which upgrades to WebSocket are judged, the same for all.
    pub rules: Arc<Rules>,
    /// Its ends of the mesh.
    pub lanes: Lanes,
    /// Placement, the same for all.
    pub slots: Slots,
    /// Limits, the same for all.
    pub limits: Arc<Limits>,
    /// What is kept of each kind of conversation.
    pub policies: Policies,
    /// Its ends of the queues to the store on disk; absent where nothing is on disk.
    pub disk: Option<ShardStore>,
    /// Counters of all shards; it writes its own.
    pub metrics: Metrics,
    /// How it is told to stop.
    pub stop: Arc<Stop>,
    /// Direct descriptors that its ring may have.
    pub ring_slots: u32,
    /// Larger than any epoch of an earlier run.
    pub first_epoch: u64,
    /// Secret and random.
    pub seed: u64,
}

/// A running shard.
pub struct Shard {
    id: ShardId,
    clock: Clock,
    /// The moment at which this turn began.
    now: Now,
    limits: Arc<Limits>,
    rules: Arc<Rules>,
    slots: Slots,
    metrics: Metrics,
    ring: Ring,
    /// The rings of all shards, for hand-offs.
    rings: Vec<RingHandle>,
    lanes: Lanes,
    connections: Table,
    users: Users,
    conversations: Conversations,
    keep: Keep,
    fx: Effects,
    json: json::Reader,
    timers: Wheel<Look>,
    addresses: Option<AddressLimits>,
    /// Connections with something to send.
    dirty: Vec<Slot>,
    gather: Gather,
    /// WebSockets that are to be left when the turn's frames are queued.
    leaving: Vec<(Slot, Leave)>,
    wardrobe: Wardrobe,
    /// Connections whose reader is slow, the slowest first.
    stalled: VecDeque<(Slot, u32)>,
    /// Bytes in outboxes that are not shared.
    copied_bytes: usize,
    /// Connections that must be received from again, when buffers are back.
    starved: Vec<Slot>,
    /// Those whom nobody has heard yet.
    door: Door,
    /// Listeners that rest since the kernel had no descriptor left.
    resting: Vec<ListenerId>,
    /// When accepting goes on.
    accept_at_ms: Option<u64>,
    /// Hand-offs whose message still needs its place in a lane.
    moving: usize,
    next_stamp: u32,
    next_from: ShardId,
    random: u64,
    stopping: Stopping,
    /// Kept between turns for their memory.
    completions: Vec<Completion>,
    due: Vec<Look>,
}

/// A timer: a connection is to be looked at. If its slot has been used again since, this is void.
#[derive(Clone, Copy, Debug)]
struct Look {
    slot: Slot,
    stamp: u32,
}

impl Shard {
    /// Makes the ring. To be called on the shard's own thread.
    ///
    /// # Errors
    /// Those of [`Ring::new`].
    pub fn ring(blueprint: &Blueprint) -> io::Result<Ring> {
        let limits = &blueprint.limits;
        Ring::new(RingSize {
            slots: blueprint.ring_slots,
            buffers: limits.recv_buffers as u16,
            buffer_bytes: limits.recv_buffer_bytes as usize,
            completions: (4 * limits.fan_out_slice.max(limits.fan_out_whole)).clamp(8192, 32_768).next_power_of_two(),
        })
    }

    /// Puts everything together and begins to accept.
    ///
    /// # Errors
    /// EMFILE: no descriptor for the doorbell.
    pub fn start(blueprint: Blueprint, mut ring: Ring, rings: Vec<RingHandle>) -> io::Result<Shard> {
        let Blueprint { id, listener, ws, rules, lanes, slots, limits, .. } = blueprint;
        let Blueprint { policies, disk, metrics, stop, first_epoch, seed, .. } = blueprint;
        let clock = Clock::start();
        let now = clock.now();
        ring.listen_to_bell(lanes.bell().eventfd())?;
        for socket in [Some(listener), ws].into_iter().flatten() {
            let listener = ring.listen(socket);
            ring.accept(listener);
        }
        Ok(Shard {
            id,
            clock,
            now,
            slots,
            ring,
            rings,
            connections: Table::default(),
            users: Users::new(id, slots, limits.clone(), policies, seed),
            conversations: Conversations::new(slots, limits.clone(), policies, first_epoch + u64::from(id)),
            keep: Keep::new(Memory::new(&limits, &policies), disk, slots),
            fx: Effects::default(),
            json: json::Reader::new(),
            timers: Wheel::new(now.mono_ms),
            addresses: AddressLimits::new(&limits, slots.shards(), seed),
            dirty: Vec::new(),
            gather: Gather::default(),
            leaving: Vec::new(),
            wardrobe: Wardrobe::default(),
            stalled: VecDeque::new(),
            copied_bytes: 0,
            starved: Vec::new(),
            door: Door::default(),
            resting: Vec::new(),
            accept_at_ms: None,
            moving: 0,
            next_stamp: 0,
            next_from: 0,
            random: seed | 1,
            stopping: Stopping::new(stop),
            completions: Vec::new(),
            due: Vec::new(),
            lanes,
            limits,
            rules,
            metrics,
        })
    }

    fn metrics(&self) -> &ShardMetrics {
        &self.metrics[self.id as usize]
    }

    /// A new connection in a slot, with its timer.
    fn add_connection(&mut self, slot: Slot, dress: Dress, deadline_ms: u64) -> &mut Connection {
        self.next_stamp = self.next_stamp.wrapping_add(1);
        let stamp = self.next_stamp;
        // Once logged in it is looked at for what may be due before the login would have been.
        let Limits { heartbeat_ms, frame_timeout_ms, send_stall_timeout_ms, .. } = *self.limits;
        let within_ms = heartbeat_ms.min(frame_timeout_ms).min(send_stall_timeout_ms);
        let look_ms = deadline_ms.min(self.now.mono_ms + u64::from(within_ms));
        self.timers.arm(look_ms, Look { slot, stamp });
        self.metrics[self.id as usize].connections.set(self.connections.len() as u64 + 1);
        self.connections.insert(slot, Connection::new(stamp, dress, self.now, deadline_ms))
    }

    /// A random number below `bound`, good enough to spread things (xorshift64).
    fn random_below(&mut self, bound: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if bound == 0 { 0 } else { (self.random >> 32) as u32 % bound }
    }
}
