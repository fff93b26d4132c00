//! Traffic: conversations of all kinds, who is in them, how often who speaks in which, and who comes and goes. Scenarios in which messages
//! have different receivers are made of it; it is pure, and follows from the run's number and the options alone.

mod draw;
mod sample;

use std::ops::Range;

pub use draw::Draw;
pub use sample::{members, zipf};

/// Members that a group is founded with; the others join. As many as a server takes in one request.
pub const FOUNDERS_MAX: usize = 100;
/// Members of a group who speak in it.
const SPEAKERS_MAX: usize = 8;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Connections, which are users at the same time.
    pub connections: u32,
    /// By their numbers.
    pub channels: Vec<Channel>,
    /// Who speaks where, how often beside the others.
    pub speakers: Vec<Speaker>,
    /// What the figures tell apart: names for [`Channel::class`].
    pub classes: &'static [&'static str],
    /// Messages of topics have so many tags in turn; 0: none. Set before the first topic is added.
    pub tags: u32,
    /// Who drops his connection and comes back.
    pub leaving: Leaving,
    /// Who joins groups and leaves them.
    pub moves: Option<Moves>,
    /// Receivers say what they have read.
    pub receipts: bool,
    /// Members of his groups whose presence each user watches, at most.
    pub watches: u32,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// See [`Traffic::classes`].
    pub class: u8,
    /// What it is and who is in it.
    pub shape: Shape,
    /// Receivers of a message; in topics by its tag, where there are tags.
    fan_out: Box<[u32]>,
}

/// Conversations by kind. Lists are in ascending order.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// These two.
    Direct([u32; 2]),
    /// The members; the first one founds it.
    Group(Box<[u32]>),
    /// The subscribers, each with the tag that he wants if he does not want all.
    Topic(Box<[(u32, Option<u32>)]>),
    /// Everyone.
    Broadcast,
}

/// One who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speaker {
    /// Who.
    pub connection: u32,
    /// Where.
    pub channel: u32,
    /// How often, beside the other speakers.
    pub weight: f64,
}

/// Who drops his connection and comes back with his cursors.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Leaving {
    /// Nobody.
    #[default]
    Nobody,
    /// All of these at the same moment, for so long.
    #[allow(missing_docs)]
    Together { who: Range<u32>, away_ns: u64 },
    /// One after the other, so many per second; every other time for the second span.
    #[allow(missing_docs)]
    InTurn { who: Range<u32>, per_s: f64, away_ns: [u64; 2] },
}

/// Users who join a group, stay for a while, and leave it. They are in addition to the members that the plan gives to a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Moves {
    /// Who.
    pub who: Range<u32>,
    /// Joins and leaves per second.
    pub per_s: f64,
}

impl Traffic {
    /// So many users without a conversation.
    pub fn of(connections: u32, classes: &'static [&'static str]) -> Traffic {
        Traffic { connections, classes, ..Traffic::default() }
    }

    /// Adds a direct conversation in which both speak.
    pub fn direct(&mut self, class: u8, pair: [u32; 2], weight: f64) {
        let pair = [pair[0].min(pair[1]), pair[0].max(pair[1])];
        self.add(class, Shape::Direct(pair), &pair, weight);
    }

    /// Adds a group in which a few random members speak.
    pub fn group(&mut self, class: u8, members: Vec<u32>, weight: f64, random: &mut fastrand::Rng) {
        let speakers = random.choose_multiple(members.iter().copied(), SPEAKERS_MAX);
        self.add(class, Shape::Group(members.into()), &speakers, weight);
    }

    /// Adds a conversation whose speakers share its weight.
    pub fn add(&mut self, class: u8, shape: Shape, speakers: &[u32], weight: f64) {
        let channel = self.channels.len() as u32;
        let fan_out = self.receivers(&shape);
        self.channels.push(Channel { class, shape, fan_out });
        let weight = weight / speakers.len() as f64;
        self.speakers.extend(speakers.iter().map(|connection| Speaker { connection: *connection, channel, weight }));
    }

    fn receivers(&self, shape: &Shape) -> Box<[u32]> {
        match shape {
            Shape::Direct(_) => [1].into(),
            Shape::Group(members) => [members.len() as u32 - 1].into(),
            Shape::Topic(subscribers) => {
                let tags = (0..u64::from(self.tags.max(1))).map(|seq| self.tag(seq));
                tags.map(|tag| subscribers.iter().filter(|(_, wanted)| wants(*wanted, tag)).count() as u32).collect()
            }
            Shape::Broadcast => [self.connections - 1].into(),
        }
    }

    /// Receivers of a message with this number of its speaker.
    pub fn fan_out(&self, channel: u32, seq: u64) -> u32 {
        let by_tag = &self.channels[channel as usize].fan_out;
        by_tag[(seq % by_tag.len() as u64) as usize]
    }

    /// The tag of a speaker's message with this number, in topics.
    pub fn tag(&self, seq: u64) -> Option<u32> {
        (self.tags > 0).then(|| (seq % u64::from(self.tags)) as u32)
    }

    /// Whether a message of this number, of a speaker who is somebody else, is meant for this connection.
    pub fn is_for(&self, connection: u32, channel: u32, tag: Option<u32>) -> bool {
        let Some(Channel { shape, .. }) = self.channels.get(channel as usize) else { return false };
        match shape {
            Shape::Direct(pair) => pair.contains(&connection),
            Shape::Group(members) => members.binary_search(&connection).is_ok(),
            Shape::Topic(subscribers) => {
                let at = subscribers.binary_search_by_key(&connection, |(subscriber, _)| *subscriber);
                at.is_ok_and(|at| wants(subscribers[at].1, tag))
            }
            Shape::Broadcast => connection < self.connections,
        }
    }

    /// The tag that a subscriber of a topic wants, if he does not want all.
    pub fn wanted_tag(&self, connection: u32, channel: u32) -> Option<u32> {
        let Shape::Topic(subscribers) = &self.channels[channel as usize].shape else { return None };
        let at = subscribers.binary_search_by_key(&connection, |(subscriber, _)| *subscriber).ok()?;
        subscribers[at].1
    }

    /// Tells who receives what, channel by channel.
    pub fn each_receiver(&self, mut tell: impl FnMut(u32, u32)) {
        for (channel, Channel { shape, .. }) in (0..).zip(&self.channels) {
            match shape {
                Shape::Direct(pair) => pair.iter().for_each(|connection| tell(*connection, channel)),
                Shape::Group(members) => members.iter().for_each(|connection| tell(*connection, channel)),
                Shape::Topic(subscribers) => subscribers.iter().for_each(|(connection, _)| tell(*connection, channel)),
                Shape::Broadcast => (0..self.connections).for_each(|connection| tell(connection, channel)),
            }
        }
    }

    /// Groups that are to be founded.
    pub fn groups(&self) -> u64 {
        self.channels.iter().filter(|channel| matches!(channel.shape, Shape::Group(_))).count() as u64
    }

    /// Members who join after that, and subscriptions.
    pub fn joins(&self) -> u64 {
        let joins = |channel: &Channel| match &channel.shape {
            Shape::Group(members) => members.len().saturating_sub(FOUNDERS_MAX + 1),
            Shape::Topic(subscribers) => subscribers.len(),
            Shape::Direct(_) | Shape::Broadcast => 0,
        };
        self.channels.iter().map(joins).sum::<usize>() as u64
    }

    /// How often a session is told that it receives something, before the run: once for each that it is in, except direct ones.
    pub fn beginnings(&self) -> u64 {
        let beginnings = |channel: &Channel| match &channel.shape {
            Shape::Direct(_) => 0,
            Shape::Group(members) => members.len(),
            Shape::Topic(subscribers) => subscribers.len(),
            Shape::Broadcast => self.connections as usize,
        };
        self.channels.iter().map(beginnings).sum::<usize>() as u64
    }

    /// Connections that leave all together.
    pub fn leaves_together(&self) -> Range<u32> {
        if let Leaving::Together { who, .. } = &self.leaving { who.clone() } else { 0..0 }
    }

    /// For how long they stay away.
    pub fn away_ns(&self) -> u64 {
        if let Leaving::Together { away_ns, .. } = self.leaving { away_ns } else { 0 }
    }

    /// Whether sessions come back, and so must be able to ask for a message a second time.
    pub fn has_returns(&self) -> bool {
        self.leaving != Leaving::Nobody
    }
}

fn wants(wanted: Option<u32>, tag: Option<u32>) -> bool {
    wanted.is_none() || wanted == tag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_kinds() -> Traffic {
        let mut traffic = Traffic { tags: 2, ..Traffic::of(5, &["all"]) };
        traffic.direct(0, [3, 1], 1.0);
        traffic.group(0, vec![0, 2, 4], 6.0, &mut fastrand::Rng::with_seed(1));
        traffic.add(0, Shape::Topic([(1, None), (2, Some(0)), (3, Some(1)), (4, Some(1))].into()), &[0], 2.0);
        traffic.add(0, Shape::Broadcast, &[2], 1.0);
        traffic
    }

    #[test]
    fn receivers_are_counted_as_they_are_named() {
        let traffic = all_kinds();
        for Speaker { connection: speaker, channel, .. } in traffic.speakers.clone() {
            for seq in 0..4 {
                let meant = |connection: &u32| *connection != speaker && traffic.is_for(*connection, channel, traffic.tag(seq));
                let count = (0..5).filter(meant).count() as u32;
                assert_eq!(traffic.fan_out(channel, seq), count, "{channel} {seq}");
            }
        }
        assert_eq!([traffic.fan_out(0, 0), traffic.fan_out(1, 0), traffic.fan_out(2, 0), traffic.fan_out(2, 1)], [1, 2, 2, 3]);
        assert_eq!((traffic.wanted_tag(2, 2), traffic.wanted_tag(1, 2), traffic.wanted_tag(0, 2)), (Some(0), None, None));
        assert!(!traffic.is_for(0, 9, None));
    }

    #[test]
    fn weights_are_shared_by_the_speakers() {
        let traffic = all_kinds();
        let of = |channel| traffic.speakers.iter().filter(|s| s.channel == channel).map(|s| s.weight).collect::<Vec<_>>();
        assert_eq!((of(0), of(1), of(2)), (vec![0.5; 2], vec![2.0; 3], vec![2.0]));
    }

    #[test]
    fn what_is_to_be_set_up_is_known() {
        let mut traffic = all_kinds();
        assert_eq!((traffic.groups(), traffic.joins(), traffic.beginnings()), (1, 4, 3 + 4 + 5));
        traffic.connections = 500;
        traffic.group(0, (0..500).collect(), 1.0, &mut fastrand::Rng::with_seed(1));
        assert_eq!((traffic.groups(), traffic.joins()), (2, 4 + 399));
        let mut receivers = 0;
        traffic.each_receiver(|connection, channel| receivers += u32::from(traffic.is_for(connection, channel, None)));
        assert_eq!(receivers, 2 + 3 + 1 + 500 + 500, "filtered subscribers do not want what has no tag");
    }
}
