//! Requests other than publishes: founding groups, joining them, subscribing to topics. So many at once, and again where the server asks to wait.

use std::collections::VecDeque;

use campanile::wire::schema::{
    GroupCreate, GroupCreateArgs, GroupJoin, GroupJoinArgs, GroupLeave, GroupLeaveArgs, Subscribe, SubscribeArgs,
};
use campanile::wire::{Fbb, conversation};

use super::super::Worker;
use crate::error::Failure;
use crate::scenario::{FOUNDERS_MAX, Plan, Shape};

/// Told from publishes by the highest bit of the `ref`.
const ASK: u64 = 1 << 63;
/// Under way at once, for each worker: below the window of a session, because all may be of one.
const UNDER_WAY_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// Creates a group, with its first members.
    Found = 1,
    /// Joins one.
    Join = 2,
    /// Subscribes to a topic.
    Subscribe = 3,
    /// Watches who is there.
    Watch = 4,
    /// Says what was read.
    Receipt = 5,
    /// Joins a group while the run goes on.
    Enter = 6,
    /// Leaves it.
    Leave = 7,
}

const VERBS: [Verb; 7] = [Verb::Found, Verb::Join, Verb::Subscribe, Verb::Watch, Verb::Receipt, Verb::Enter, Verb::Leave];

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Found => "GroupCreate",
            Verb::Join | Verb::Enter => "GroupJoin",
            Verb::Subscribe => "Subscribe",
            Verb::Watch => "PresenceWatch",
            Verb::Receipt => "Receipt",
            Verb::Leave => "GroupLeave",
        }
    }

    /// The `ref` of a request about a channel.
    pub fn reference(self, channel: u32) -> u64 {
        ASK | (self as u64) << 32 | u64::from(channel)
    }

    /// What a `ref` is of, unless it is a publish.
    pub fn of(reference: u64) -> Option<(Verb, u32)> {
        let number = (reference & !ASK) >> 32;
        let verb = VERBS.into_iter().find(|verb| *verb as u64 == number)?;
        (reference & ASK != 0).then_some((verb, reference as u32))
    }
}

/// What is to be asked, in its order.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Connection, verb, channel.
    waiting: VecDeque<(u32, Verb, u32)>,
    /// Those that the server asked to wait, and until when.
    later: Vec<(u64, (u32, Verb, u32))>,
    under_way: usize,
    /// What [`Verb::Found`] was answered.
    pub(super) founded: u64,
    /// And the others.
    pub(super) joined: u64,
    founding_begun: bool,
    joining_begun: bool,
}

impl Worker<'_> {
    /// Those who found groups do.
    pub(in super::super) fn found_groups(&mut self) {
        if !std::mem::replace(&mut self.traffic.asks.founding_begun, true) {
            self.each_own(|shape, asks, founder_or_other| {
                if let (Shape::Group(_), (0, local, channel)) = (shape, founder_or_other) {
                    asks.push_back((local, Verb::Found, channel));
                }
            });
        }
        self.ask();
    }

    /// The members that no founder named join, and subscribers subscribe.
    pub(in super::super) fn join_all(&mut self) {
        if !std::mem::replace(&mut self.traffic.asks.joining_begun, true) {
            self.each_own(|shape, asks, (at, local, channel)| match shape {
                Shape::Group(_) if at > FOUNDERS_MAX => asks.push_back((local, Verb::Join, channel)),
                Shape::Topic(_) => asks.push_back((local, Verb::Subscribe, channel)),
                _ => {}
            });
            for local in 0..self.connections.len() as u32 {
                if self.watches_somebody(local) {
                    self.traffic.asks.waiting.push_back((local, Verb::Watch, 0));
                }
            }
        }
        self.ask();
    }

    /// Goes over those of this worker in all groups and topics: their place in the list, their number here, the channel.
    fn each_own(&mut self, mut add: impl FnMut(&Shape, &mut VecDeque<(u32, Verb, u32)>, (usize, u32, u32))) {
        let plan: &Plan = &self.crew.plan;
        let Some(traffic) = plan.traffic() else { return };
        let asks = &mut self.traffic.asks.waiting;
        for (channel, data) in (0..).zip(&traffic.channels) {
            let mut tell = |at: usize, connection: u32| {
                let (worker, local) = plan.place(connection);
                if worker == self.id {
                    add(&data.shape, asks, (at, local, channel));
                }
            };
            match &data.shape {
                Shape::Group(members) => members.iter().enumerate().for_each(|(at, member)| tell(at, *member)),
                Shape::Topic(subscribers) => {
                    subscribers.iter().enumerate().for_each(|(at, (subscriber, _))| tell(at, *subscriber));
                }
                Shape::Direct(_) | Shape::Broadcast => {}
            }
        }
    }

    /// Asks for what waits, as far as that may be under way at once.
    pub(super) fn ask(&mut self) {
        let now = self.crew.stage.now_ns();
        let asks = &mut self.traffic.asks;
        let due = asks.later.extract_if(.., |(at, _)| *at <= now);
        due.for_each(|(_, ask)| asks.waiting.push_front(ask));
        while self.traffic.asks.under_way < UNDER_WAY_MAX
            && let Some((local, verb, channel)) = self.traffic.asks.waiting.pop_front()
        {
            self.ask_for(local, verb, channel);
        }
    }

    pub(super) fn ask_for(&mut self, local: u32, verb: Verb, channel: u32) {
        if !self.connections[local as usize].is_logged_in() {
            return;
        }
        self.traffic.asks.under_way += 1;
        self.attendance(local).asked += 1;
        if verb == Verb::Watch {
            return self.watch(local);
        }
        let (plan, reference) = (&self.crew.plan, verb.reference(channel));
        let connection = &mut self.connections[local as usize];
        let viewer = connection.index;
        let address = plan.channel_address(channel, viewer, &mut self.name);
        match verb {
            Verb::Found => self.outgoing.frame(connection, local, reference, |b| {
                let names: Vec<_> = founders(plan, channel).iter().map(|user| b.create_string(user)).collect();
                let (id, members) = (Some(b.create_string(address.id())), Some(b.create_vector(&names)));
                GroupCreate::create(b, &GroupCreateArgs { id, open: true, members, ..Default::default() })
            }),
            Verb::Join | Verb::Enter => self.outgoing.frame(connection, local, reference, |b| {
                let id = Some(b.create_string(address.id()));
                GroupJoin::create(b, &GroupJoinArgs { id })
            }),
            Verb::Leave => self.outgoing.frame(connection, local, reference, |b| {
                let id = Some(b.create_string(address.id()));
                GroupLeave::create(b, &GroupLeaveArgs { id })
            }),
            Verb::Watch | Verb::Receipt => unreachable!("these are sent elsewhere"),
            Verb::Subscribe => self.outgoing.frame(connection, local, reference, |b| {
                let tags = tags(plan, viewer, channel, b);
                let conversation = Some(conversation(b, address));
                Subscribe::create(b, &SubscribeArgs { conversation, tags, cursor: None })
            }),
        }
    }

    /// One was answered, or refused.
    pub(super) fn answered(&mut self, local: u32, verb: Verb, channel: u32, refused: Option<(Option<u64>, String)>) {
        let attendance = self.attendance(local);
        attendance.asked = attendance.asked.saturating_sub(1);
        let asks = &mut self.traffic.asks;
        asks.under_way -= 1;
        match refused {
            None if verb == Verb::Found => asks.founded += 1,
            None if matches!(verb, Verb::Enter | Verb::Leave) => {}
            None => asks.joined += 1,
            Some((Some(again_ns), _)) => asks.later.push((again_ns, (local, verb, channel))),
            Some((None, answer)) => self.failure = Some(Failure::Refused { request: verb.name(), answer }),
        }
    }

    /// A connection ended: what it had asked for is not answered any more.
    pub(super) fn nothing_is_answered(&mut self, local: u32) {
        let asked = std::mem::take(&mut self.attendance(local).asked);
        self.traffic.asks.under_way -= asked as usize;
    }
}

/// Users whom the founder of a group names.
fn founders(plan: &Plan, channel: u32) -> Vec<String> {
    let members = match plan.traffic().map(|traffic| &traffic.channels[channel as usize].shape) {
        Some(Shape::Group(members)) => members,
        _ => unreachable!("groups are founded"),
    };
    members.iter().skip(1).take(FOUNDERS_MAX).map(|member| plan.user(*member)).collect()
}

/// The filter of a subscriber.
pub(super) fn tags<'a>(
    plan: &Plan,
    viewer: u32,
    channel: u32,
    b: &mut Fbb,
) -> Option<flatbuffers::WIPOffset<flatbuffers::Vector<'a, flatbuffers::ForwardsUOffset<&'a str>>>> {
    let tag = plan.traffic()?.wanted_tag(viewer, channel)?;
    let tag = b.create_string(&tag_name(tag));
    Some(b.create_vector(&[tag]))
}

/// A tag as it is written.
pub(super) fn tag_name(tag: u32) -> String {
    format!("tag-{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Attempt;

    #[test]
    fn references_say_what_they_are_of() {
        for verb in VERBS {
            assert_eq!(Verb::of(verb.reference(u32::MAX)), Some((verb, u32::MAX)));
        }
        assert_eq!(Verb::of(1), None, "a Connect");
        assert_eq!(Verb::of(ASK), None);
        let last = Attempt { place: 0xFFFF, seq: (1 << 46) - 1, channel: 0, intended_ns: 0 };
        assert_eq!(Verb::of(last.reference()), None);
    }
}
