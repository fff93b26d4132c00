//! `topic`: a few publish to topics, many subscribe, some of them to one tag only.

use clap::Args;

use super::traffic::{Shape, Traffic, members, zipf};

/// Topics, who publishes, who subscribes to what.
#[derive(Clone, Copy, Debug, Args)]
pub struct TopicOptions {
    /// Topics; the busiest gets most of the messages, the next half of that, then a third ...
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub topics: u32,
    /// Users who publish, each to all topics; they do not subscribe. The other connections do.
    #[arg(long, value_name = "P", default_value_t = 10)]
    pub publishers: u32,
    /// Topics that each of the others subscribes to.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub subscriptions: u32,
    /// Tags, which messages carry in turn; 0: none.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub tags: u32,
    /// Percent of the subscriptions that want one tag only.
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    pub filtered: u32,
}

/// Topics with subscribers, of whom some want one tag.
///
/// # Errors
/// What is wrong with the options.
pub fn topic(run: u32, connections: u32, options: &TopicOptions) -> Result<Traffic, String> {
    let TopicOptions { topics, publishers, subscriptions, tags, filtered } = *options;
    if topics == 0 || topics > 100_000 {
        return Err(format!("--topics {topics}: 1 to 100000"));
    }
    if publishers == 0 || publishers >= connections {
        return Err(format!("--publishers {publishers}: at least 1, and fewer than the {connections} connections"));
    }
    if subscriptions == 0 || subscriptions > topics.min(1000) {
        return Err(format!("--subscriptions {subscriptions}: 1 to {}, which is one for each topic, or 1000", topics.min(1000)));
    }
    if tags > 1000 || filtered > 100 {
        return Err(format!("--tags {tags}, --filtered {filtered}: at most 1000 tags and 100 percent"));
    }
    let mut random = fastrand::Rng::with_seed(run.into());
    let mut subscribers = vec![Vec::new(); topics as usize];
    for subscriber in publishers..connections {
        for topic in members(topics, subscriptions, &mut random) {
            let is_filtered = tags > 0 && random.u32(0..100) < filtered;
            subscribers[topic as usize].push((subscriber, is_filtered.then(|| random.u32(0..tags))));
        }
    }
    let mut traffic = Traffic { tags, ..Traffic::of(connections, &["topics"]) };
    let publishers: Vec<u32> = (0..publishers).collect();
    for (subscribers, weight) in subscribers.into_iter().zip(zipf(1.0, 0.0, 1.0)) {
        traffic.add(0, Shape::Topic(subscribers.into()), &publishers, weight);
    }
    Ok(traffic)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: TopicOptions = TopicOptions { topics: 5, publishers: 2, subscriptions: 3, tags: 4, filtered: 50 };

    #[test]
    fn everyone_else_subscribes_and_about_half_want_one_tag() {
        let traffic = topic(7, 1002, &OPTIONS).unwrap();
        assert_eq!((traffic.channels.len(), traffic.joins(), traffic.speakers.len()), (5, 3000, 10));
        let all: Vec<_> = traffic
            .channels
            .iter()
            .flat_map(|channel| if let Shape::Topic(subscribers) = &channel.shape { subscribers.to_vec() } else { Vec::new() })
            .collect();
        let filtered = all.iter().filter(|(_, tag)| tag.is_some()).count();
        assert!((1300..1700).contains(&filtered), "{filtered}");
        assert!(all.iter().all(|(subscriber, tag)| *subscriber >= 2 && tag.is_none_or(|tag| tag < 4)));
    }

    #[test]
    fn a_message_reaches_those_who_want_its_tag() {
        let traffic = topic(7, 100, &OPTIONS).unwrap();
        for seq in 0..8 {
            let wants = |connection: &u32| traffic.is_for(*connection, 0, traffic.tag(seq));
            assert_eq!(traffic.fan_out(0, seq), (0..100).filter(wants).count() as u32);
        }
        let without = topic(7, 100, &TopicOptions { tags: 0, ..OPTIONS }).unwrap();
        assert_eq!(without.fan_out(0, 3), (0..100).filter(|c| without.is_for(*c, 0, None)).count() as u32);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            TopicOptions { topics: 0, ..OPTIONS },
            TopicOptions { publishers: 100, ..OPTIONS },
            TopicOptions { subscriptions: 6, ..OPTIONS },
            TopicOptions { filtered: 101, ..OPTIONS },
        ] {
            assert!(topic(7, 100, &wrong).is_err(), "{wrong:?}");
        }
    }
}
