//! A town of users who talk: contacts, groups of 5 to 500 members, topics. Drawn from a number, the same each time.

use campanile::id::Address;
use campanile::limits::Limits;
use campanile::slot::ShardId;
use campanile::wire::Encoder;
use fastrand::Rng;

use super::frames;
use super::shards::{Client, Shards};

/// Users that each user writes to.
const CONTACTS: usize = 10;
/// Groups that each user is in, on average.
const GROUPS: usize = 3;
const GROUP_MIN: usize = 5;
const GROUP_MAX: usize = 500;
/// Members that a group is founded with; the others join.
const FOUNDERS: usize = 100;
/// Topics that each user receives.
const TOPICS: usize = 2;
/// Receivers of a topic, on average.
const AUDIENCE: usize = 50;
const BODY_BYTES: usize = 128;

/// What is said, in percent of all messages.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub direct: u32,
    pub group: u32,
    pub topic: u32,
}

/// Everybody who lives there, logged in.
pub struct Town {
    pub shards: Shards,
    clients: Vec<Client>,
    contacts: Vec<[usize; CONTACTS]>,
    groups: Vec<usize>,
    of_user: Vec<Vec<usize>>,
    topics: Vec<Vec<usize>>,
    rng: Rng,
    encoder: Encoder,
}

/// One message: from whom, as it comes from his connection, and how many others get it.
pub struct Said {
    pub by: Client,
    pub frame: Vec<u8>,
    pub receivers: u64,
}

impl Town {
    /// So many users, on so many shards: who knows whom does not depend on the shards.
    pub fn new(shards: ShardId, users: usize, seed: u64) -> Town {
        let mut rng = Rng::with_seed(seed);
        let mut town = Town {
            shards: Shards::new(shards, Limits { publish_rate_per_user: 0, ..Limits::default() }),
            clients: Vec::new(),
            contacts: (0..users).map(|me| std::array::from_fn(|_| (me + rng.usize(1..users)) % users)).collect(),
            groups: Vec::new(),
            of_user: vec![Vec::new(); users],
            topics: (0..users.div_ceil(AUDIENCE / TOPICS)).map(|_| Vec::new()).collect(),
            rng,
            encoder: Encoder::default(),
        };
        for user in 0..users {
            let client = town.shards.login(&name(user));
            town.clients.push(client);
        }
        town.shards.settle();
        town.found_groups(users);
        town.subscribe(users);
        town.meet();
        town.shards.reset();
        town
    }

    /// Sizes by Zipf: as many members in all groups of one size as in those of another.
    fn found_groups(&mut self, users: usize) {
        let largest = GROUP_MAX.min(users / 2);
        let mut memberships = 0;
        while memberships < GROUPS * users {
            let ratio = largest as f64 / GROUP_MIN as f64;
            let size = (GROUP_MIN as f64 * ratio.powf(self.rng.f64())) as usize;
            let members = self.rng.choose_multiple(0..users, size);
            let (id, group) = (group_name(self.groups.len()), self.groups.len());
            let names: Vec<String> = members[1..size.min(FOUNDERS)].iter().map(|&user| name(user)).collect();
            self.shards.found_group(self.clients[members[0]], &id, &names);
            self.shards.settle();
            for &user in members.iter().skip(FOUNDERS) {
                self.shards.join(self.clients[user], &id);
            }
            self.shards.settle();
            members.iter().for_each(|&user| self.of_user[user].push(group));
            self.groups.push(size);
            memberships += size;
        }
    }

    fn subscribe(&mut self, users: usize) {
        for user in 0..users {
            for topic in self.rng.choose_multiple(0..self.topics.len(), TOPICS) {
                self.topics[topic].push(user);
                self.shards.subscribe(self.clients[user], &topic_name(topic));
            }
        }
        self.shards.settle();
    }

    /// Everybody has written to his contacts: a first message asks more homes than those that follow.
    fn meet(&mut self) {
        for (user, contacts) in self.contacts.iter().enumerate() {
            for &peer in contacts {
                let frame = frames::publish(&mut self.encoder, Address::Direct(&name(peer)), None, b"hi");
                self.shards.frame(self.clients[user], &frame);
            }
            self.shards.settle();
        }
    }

    /// Somebody says something.
    pub fn say(&mut self, mix: Mix) -> Said {
        let user = self.rng.usize(0..self.clients.len());
        let drawn = self.rng.u32(0..mix.direct + mix.group + mix.topic);
        let body = [b'x'; BODY_BYTES];
        let encoder = &mut self.encoder;
        let (frame, receivers) = if drawn < mix.group && !self.of_user[user].is_empty() {
            let groups = &self.of_user[user];
            let group = groups[self.rng.usize(0..groups.len())];
            (frames::publish(encoder, Address::Group(&group_name(group)), None, &body), self.groups[group] - 1)
        } else if drawn < mix.group + mix.topic {
            let topic = self.rng.usize(0..self.topics.len());
            let others = self.topics[topic].iter().filter(|&&receiver| receiver != user).count();
            (frames::publish(encoder, Address::Topic(&topic_name(topic)), None, &body), others)
        } else {
            let peer = self.contacts[user][self.rng.usize(0..CONTACTS)];
            (frames::publish(encoder, Address::Direct(&name(peer)), None, &body), 1)
        };
        Said { by: self.clients[user], frame, receivers: receivers as u64 }
    }

    /// How long until somebody says something again, where it is this long on average.
    pub fn pause_ns(&mut self, mean_ns: f64) -> u64 {
        (-mean_ns * (1.0 - self.rng.f64()).ln()) as u64
    }
}

fn name(user: usize) -> String {
    format!("user{user}")
}

fn group_name(group: usize) -> String {
    format!("group{group}")
}

fn topic_name(topic: usize) -> String {
    format!("topic{topic}")
}
