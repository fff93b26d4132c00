//! What sessions do: from the frame of a client to the frames for all who get something of it.

use campanile::id::Address;
use campanile::limits::Limits;
use campanile::wire::schema::{Connect, ConnectArgs};
use campanile::wire::{Encoder, conversation};
use campanile::{conversation::Key, slot::ShardId};

use super::frames;
use super::shards::{Client, Shards};

/// So many users have a session besides.
const OTHERS: usize = 1000;

/// Limits that a bench does not run into.
pub fn unlimited() -> Limits {
    Limits { publish_rate_per_user: 0, fan_out_slice: 1_000_000, ..Limits::default() }
}

fn crowd(shards: &mut Shards) {
    for i in 0..OTHERS {
        shards.login(&format!("other{i}"));
    }
}

/// Somebody connects, is welcomed, receives `broadcast` from now on, and goes.
pub struct Login {
    shards: Shards,
    connect: Vec<u8>,
}

impl Login {
    pub fn new() -> Login {
        let mut shards = Shards::new(1, unlimited());
        crowd(&mut shards);
        shards.settle();
        let mut encoder = Encoder::default();
        let connect = encoder.frame(1, |b| {
            let (token, device) = (Some(b.create_string("dev:alice")), Some(b.create_string("phone")));
            Connect::create(b, &ConnectArgs { token, device, ..Default::default() })
        });
        let connect = connect.to_vec();
        Login { shards, connect }
    }

    pub fn run(&mut self) {
        let now = self.shards.now;
        self.shards.all[0].login(&self.connect, now).expect("a session");
        self.shards.settle();
        self.shards.all[0].leave(now);
        self.shards.settle();
    }
}

/// A direct message, delivered and acknowledged.
pub struct Direct {
    shards: Shards,
    alice: Client,
    publish: Vec<u8>,
}

impl Direct {
    /// On one shard; or on two, where the peer and the conversation are at home on the other one.
    pub fn new(shards: ShardId, body_bytes: usize) -> Direct {
        let mut shards = Shards::new(shards, unlimited());
        let home = |shards: &Shards, id: &str| shards.slots.home(id.as_bytes());
        let far = shards.all.len() as ShardId - 1;
        let names = || (0..).map(|i| format!("user{i}"));
        let alice = names().find(|name| home(&shards, name) == 0).expect("half of all");
        let is_far = |bob: &String| {
            *bob != alice && home(&shards, bob) == far && shards.slots.home(Key::direct(&alice, bob).bytes()) == far
        };
        let bob = names().find(is_far).expect("a quarter of all");
        crowd(&mut shards);
        let client = shards.login(&alice);
        shards.login(&bob);
        shards.settle();
        let publish = frames::publish(&mut Encoder::default(), Address::Direct(&bob), None, &vec![b'x'; body_bytes]);
        Direct { shards, alice: client, publish }
    }

    pub fn run(&mut self) -> u64 {
        self.shards.frame(self.alice, &self.publish);
        self.shards.settle();
        self.shards.sum(|counts| counts.deliveries)
    }
}

/// A heartbeat.
pub struct Ping {
    shards: Shards,
    alice: Client,
    ping: Vec<u8>,
}

impl Ping {
    pub fn new() -> Ping {
        use campanile::wire::schema::{Ping as Frame, PingArgs};
        let mut shards = Shards::new(1, unlimited());
        let alice = shards.login("alice");
        shards.settle();
        let ping = Encoder::default().frame(7, |b| Frame::create(b, &PingArgs {})).to_vec();
        Ping { shards, alice, ping }
    }

    pub fn run(&mut self) {
        self.shards.frame(self.alice, &self.ping);
        self.shards.settle();
    }
}

/// A session subscribes to a topic and leaves it.
pub struct Subscription {
    shards: Shards,
    alice: Client,
    frames: [Vec<u8>; 2],
}

impl Subscription {
    pub fn new() -> Subscription {
        use campanile::wire::schema::{Subscribe, SubscribeArgs, Unsubscribe, UnsubscribeArgs};
        let mut shards = Shards::new(1, unlimited());
        let (alice, bob) = (shards.login("alice"), shards.login("bob"));
        shards.settle();
        // The topic stays when she leaves it.
        shards.subscribe(bob, "news");
        shards.settle();
        let mut encoder = Encoder::default();
        let subscribe = encoder.frame(7, |b| {
            let conversation = Some(conversation(b, Address::Topic("news")));
            Subscribe::create(b, &SubscribeArgs { conversation, cursor: None, tags: None })
        });
        let subscribe = subscribe.to_vec();
        let unsubscribe = encoder.frame(8, |b| {
            let conversation = Some(conversation(b, Address::Topic("news")));
            Unsubscribe::create(b, &UnsubscribeArgs { conversation })
        });
        let frames = [subscribe, unsubscribe.to_vec()];
        Subscription { shards, alice, frames }
    }

    pub fn run(&mut self) {
        for frame in &self.frames {
            self.shards.frame(self.alice, frame);
            self.shards.settle();
        }
    }
}
