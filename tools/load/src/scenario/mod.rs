//! Who connects, who publishes to whom. A plan is pure: workers carry it out, the report counts by it.

mod broadcast;
mod churn;
mod crowd;
mod direct;
mod fill;
mod group;
mod groups;
mod idle;
mod mixed;
mod names;
mod storm;
mod topic;
mod traffic;

use std::fmt::Write;

use campanile::id::Address;

use crate::account::Log;

pub use broadcast::{BroadcastOptions, broadcast};
pub use churn::{ChurnOptions, churn};
pub use crowd::{BROADCAST, CrowdOptions, SAMPLE, crowd};
pub use fill::{Fill, Stock};
pub use groups::{GroupsOptions, groups};
pub use mixed::{MixedOptions, mixed};
pub use names::Named;
pub use storm::{StormOptions, storm};
pub use topic::{TopicOptions, topic};
pub use traffic::{Draw, FOUNDERS_MAX, Leaving, Moves, Shape, Traffic};

/// What a connection does once it is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    Idle,
    /// Publishes to the user of this other connection, and receives from it.
    Pair(u32),
    /// Publishes each message to the user of a random other connection, and receives from all of them.
    Anyone,
    /// Creates the group and publishes to it.
    Owner,
    /// Joins the group and receives what its owner publishes.
    Member,
    /// Lays messages in store for users who are not there.
    Filler,
    /// Comes later and receives what was laid in store for its user.
    Late,
    /// Speaks, receives, comes and goes as the [`Traffic`] says.
    Talker,
}

/// Whose messages a connection receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody's.
    Nobody,
    /// Those of this connection.
    One(u32),
    /// Those of all connections below `end` but one.
    #[allow(missing_docs)]
    Below { end: u32, except: u32 },
}

impl Source {
    /// Whether it receives the messages of that connection.
    pub fn includes(self, publisher: u32) -> bool {
        match self {
            Source::Nobody => false,
            Source::One(one) => one == publisher,
            Source::Below { end, except } => publisher < end && publisher != except,
        }
    }
}

/// Which of the scenarios.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Sessions that do nothing, attached to so many topics each.
    #[allow(missing_docs)]
    Idle { attach: u32 },
    /// Random pairs. User number of each connection; neighbours are a pair.
    Direct(Vec<u32>),
    /// Everyone to everyone.
    Random,
    /// So many messages are laid in store for each of so many users by so many publishers; then all of them log in.
    #[allow(missing_docs)]
    Backlog { publishers: u32, users: u32, messages: u32 },
    /// So many messages are laid in store in so many direct conversations of so many publishers, who then read the last `page` of random ones:
    /// `reads` times, `readers` at once.
    #[allow(missing_docs)]
    Cold { publishers: u32, conversations: u32, messages: u64, page: u32, reads: u64, readers: u32 },
    /// One publisher and so many members; what connections are left over do nothing.
    Group(u32),
    /// Conversations of all kinds.
    Traffic(Box<Traffic>),
}

/// All that is fixed before the first connection.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of the run: part of every name, so that runs do not meet.
    pub run: u32,
    /// What is played.
    pub kind: Kind,
    /// Connections in all.
    pub connections: u32,
    /// Threads that carry them.
    pub workers: u32,
}

impl Plan {
    /// Sessions that do nothing, attached to so many topics each.
    pub fn idle(run: u32, connections: u32, attach: u32, workers: u32) -> Plan {
        Plan { run, kind: Kind::Idle { attach }, connections, workers }
    }

    /// Random pairs; `connections` is even.
    pub fn direct(run: u32, connections: u32, workers: u32) -> Plan {
        Plan { run, kind: Kind::Direct(direct::shuffled(run, connections)), connections, workers }
    }

    /// Everyone to random others; `connections` is at least 2.
    pub fn random(run: u32, connections: u32, workers: u32) -> Plan {
        Plan { run, kind: Kind::Random, connections, workers }
    }

    /// One publisher and `members`, below `connections`.
    pub fn group(run: u32, members: u32, connections: u32, workers: u32) -> Plan {
        Plan { run, kind: Kind::Group(members), connections, workers }
    }

    /// Messages wait for users who then log in at once.
    pub fn backlog(run: u32, publishers: u32, users: u32, messages: u32, workers: u32) -> Plan {
        Plan { run, kind: Kind::Backlog { publishers, users, messages }, connections: publishers + users, workers }
    }

    /// Conversations are laid in store and read.
    pub fn cold(run: u32, publishers: u32, stock: (u32, u64), page: u32, reads: (u64, u32), workers: u32) -> Plan {
        let ((conversations, messages), (reads, readers)) = (stock, reads);
        let kind = Kind::Cold { publishers, conversations, messages, page, reads, readers };
        Plan { run, kind, connections: publishers, workers }
    }

    /// Conversations of all kinds.
    pub fn of_traffic(run: u32, traffic: Traffic, workers: u32) -> Plan {
        Plan { run, connections: traffic.connections, kind: Kind::Traffic(Box::new(traffic)), workers }
    }

    /// The traffic, where it is one.
    pub fn traffic(&self) -> Option<&Traffic> {
        if let Kind::Traffic(traffic) = &self.kind { Some(traffic) } else { None }
    }

    /// What a connection does.
    pub fn role(&self, index: u32) -> Role {
        match &self.kind {
            Kind::Idle { .. } => idle::role(),
            Kind::Direct(_) => direct::role(index),
            Kind::Random => Role::Anyone,
            Kind::Backlog { publishers, .. } if index >= *publishers => Role::Late,
            Kind::Backlog { .. } | Kind::Cold { .. } => Role::Filler,
            Kind::Group(members) => group::role(index, *members),
            Kind::Traffic(_) => Role::Talker,
        }
    }

    /// Whose messages a connection receives.
    pub fn source(&self, index: u32) -> Source {
        match self.role(index) {
            Role::Pair(peer) => Source::One(peer),
            Role::Anyone => Source::Below { end: self.connections, except: index },
            Role::Member => Source::One(group::OWNER),
            Role::Late => Source::Below { end: self.publishers(), except: index },
            Role::Idle | Role::Owner | Role::Filler | Role::Talker => Source::Nobody,
        }
    }

    /// Whether a connection publishes. Publishers have the lowest indices.
    pub fn publishes(&self, index: u32) -> bool {
        index < self.publishers()
    }

    /// Connections that publish.
    pub fn publishers(&self) -> u32 {
        match self.kind {
            Kind::Idle { .. } => 0,
            Kind::Direct(_) | Kind::Random | Kind::Traffic(_) => self.connections,
            Kind::Backlog { publishers, .. } | Kind::Cold { publishers, .. } => publishers,
            Kind::Group(_) => 1,
        }
    }

    /// What the publishers lay in store, if they do.
    pub fn stock(&self) -> Option<Stock> {
        match self.kind {
            Kind::Backlog { users, messages, .. } => Some(Stock::PerUser { users, messages }),
            Kind::Cold { conversations, messages, .. } => Some(Stock::Conversations { conversations, messages }),
            Kind::Idle { .. } | Kind::Direct(_) | Kind::Random | Kind::Group(_) | Kind::Traffic(_) => None,
        }
    }

    /// Pages that are to be read.
    pub fn reads(&self) -> u64 {
        if let Kind::Cold { reads, .. } = self.kind { reads } else { 0 }
    }

    /// Receivers of each message who are there when it is published, where that is always the same.
    pub fn fan_out(&self) -> u32 {
        match self.kind {
            Kind::Idle { .. } | Kind::Backlog { .. } | Kind::Cold { .. } | Kind::Traffic(_) => 0,
            Kind::Direct(_) | Kind::Random => 1,
            Kind::Group(members) => members,
        }
    }

    /// Members that have to join before the run.
    pub fn joins(&self) -> u32 {
        if let Kind::Group(members) = self.kind { members } else { 0 }
    }

    /// The user who logs in on a connection.
    pub fn user(&self, index: u32) -> String {
        let mut name = String::new();
        self.write_user(index, &mut name);
        name
    }

    /// The same, behind what stands in `name`.
    pub fn write_user(&self, index: u32, name: &mut String) {
        let number = match &self.kind {
            Kind::Direct(users) => users[index as usize],
            _ => index,
        };
        write!(name, "load-{:08x}-{number}", self.run).expect("a string takes all text");
    }

    /// The user for whom messages are laid in store, by his number.
    pub fn write_peer(&self, peer: u32, name: &mut String) {
        self.write_user(self.publishers() + peer, name);
    }

    /// The id of the group.
    pub fn group_id(&self) -> String {
        format!("load-{:08x}", self.run)
    }

    /// The id in the conversation that a connection publishes to, if that is always the same; see [`Plan::address`].
    pub fn conversation_id(&self, index: u32) -> Option<String> {
        match self.role(index) {
            Role::Pair(peer) => Some(self.user(peer)),
            Role::Owner => Some(self.group_id()),
            _ => None,
        }
    }

    /// The connection that gets what this one publishes, if that is always one and the same.
    pub fn fixed_peer(&self, index: u32) -> u32 {
        if let Role::Pair(peer) = self.role(index) { peer } else { index }
    }

    /// Who reads a log back: both users of a direct conversation; of a group its owner and the last member.
    pub fn readers(&self, log: Log) -> [u32; 2] {
        match log {
            Log::Direct(a, b) => [a, b],
            Log::Group => [group::OWNER, self.joins()],
        }
    }

    /// The id in a log's conversation as the user of a connection writes it.
    pub fn log_id(&self, index: u32, log: Log) -> String {
        match log {
            Log::Direct(a, b) => self.user(if a == index { b } else { a }),
            Log::Group => self.group_id(),
        }
    }

    /// The conversation that a connection publishes to, over its id.
    pub fn address<'a>(&self, id: &'a str) -> Address<'a> {
        if let Kind::Group(_) = self.kind { Address::Group(id) } else { Address::Direct(id) }
    }

    /// Connections that stay together on a worker: pairs do, so that a direct message needs no other thread.
    fn bundle(&self) -> u32 {
        if let Kind::Direct(_) = self.kind { 2 } else { 1 }
    }

    /// Which worker carries a connection, and as which of its own.
    pub fn place(&self, index: u32) -> (u32, u32) {
        let bundle = index / self.bundle();
        (bundle % self.workers, bundle / self.workers * self.bundle() + index % self.bundle())
    }

    /// The connections of a worker, in the order of its own numbers for them.
    pub fn carried_by(&self, worker: u32) -> Vec<u32> {
        (0..self.connections).filter(|index| self.place(*index).0 == worker).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_one_place() {
        for plan in [
            Plan::idle(1, 11, 0, 3),
            Plan::direct(1, 12, 5),
            Plan::group(1, 9, 10, 4),
            Plan::direct(1, 2, 1),
            Plan::random(1, 7, 2),
            Plan::backlog(1, 2, 9, 5, 3),
        ] {
            for worker in 0..plan.workers {
                for (local, index) in plan.carried_by(worker).into_iter().enumerate() {
                    assert_eq!(plan.place(index), (worker, local as u32));
                }
            }
            assert_eq!((0..plan.workers).map(|w| plan.carried_by(w).len()).sum::<usize>(), plan.connections as usize);
        }
    }

    #[test]
    fn pairs_know_each_other_and_share_a_worker() {
        let plan = Plan::direct(77, 100, 3);
        for index in 0..100 {
            let Role::Pair(peer) = plan.role(index) else { panic!("no pair") };
            assert_eq!((plan.role(peer), plan.source(index)), (Role::Pair(index), Source::One(peer)));
            assert_eq!(plan.place(index).0, plan.place(peer).0);
            assert_eq!(plan.conversation_id(index), Some(plan.user(peer)));
        }
    }

    #[test]
    fn users_are_shuffled_but_all_there() {
        let Kind::Direct(mut users) = Plan::direct(5, 1000, 1).kind else { panic!("no pairs") };
        assert_ne!(users, (0..1000).collect::<Vec<_>>());
        users.sort_unstable();
        assert_eq!(users, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_group_has_an_owner_members_and_perhaps_idle_ones() {
        let plan = Plan::group(1, 3, 6, 2);
        let roles: Vec<_> = (0..6).map(|i| plan.role(i)).collect();
        assert_eq!(roles, [Role::Owner, Role::Member, Role::Member, Role::Member, Role::Idle, Role::Idle]);
        assert_eq!((plan.publishers(), plan.fan_out(), plan.source(0), plan.source(3)), (1, 3, Source::Nobody, Source::One(0)));
    }
}
