//! `mixed`: what a chat service's day is made of.

use std::collections::BTreeSet;

use clap::Args;

use super::groups::{add_groups, exponent_is_sound};
use super::traffic::{Leaving, Traffic, zipf};

/// Classes of conversations.
const CLASSES: &[&str] = &["direct", "groups"];
const DIRECT: u8 = 0;
const GROUPS: u8 = 1;
/// Members of the smallest and of the largest group.
const SIZES: [u32; 2] = [5, 500];
/// How long who reconnects is away, in turn: a change of network, and long enough to be seen leaving.
const AWAY_NS: [u64; 2] = [200_000_000, 8_000_000_000];

/// How the day is mixed.
#[derive(Clone, Copy, Debug, Args)]
pub struct MixedOptions {
    /// Percent of the messages that are direct; the others go to groups.
    #[arg(long, value_name = "PERCENT", default_value_t = 80.0)]
    pub direct: f64,
    /// Direct conversations of a user, on average.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub contacts: u32,
    /// Groups of a user, on average. They have 5 to 500 members.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub groups: u32,
    /// Zipf's exponent of the sizes and of the rates of groups.
    #[arg(long, value_name = "E", default_value_t = 1.0)]
    pub exponent: f64,
    /// Members of his groups whose presence each user watches.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub watch: u32,
    /// Percent of the sessions that drop and come back each minute, every other one after 8 s.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    pub reconnecting: f64,
    /// No receipts.
    #[arg(long)]
    pub no_receipts: bool,
}

/// Direct conversations with random contacts, groups of all sizes, receipts, presence, and sessions that come and go.
///
/// # Errors
/// What is wrong with the options.
pub fn mixed(run: u32, connections: u32, options: &MixedOptions) -> Result<Traffic, String> {
    let MixedOptions { direct, contacts, groups, exponent, watch, reconnecting, no_receipts } = *options;
    if connections < SIZES[0] {
        return Err(format!("--connections {connections}: at least {}", SIZES[0]));
    }
    for (name, percent) in [("--direct", direct), ("--reconnecting", reconnecting)] {
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("{name} {percent}: 0 to 100 percent"));
        }
    }
    if contacts == 0 || contacts >= connections || contacts > 500 || groups > 500 || watch > 1000 {
        return Err(format!(
            "--contacts {contacts}, --groups {groups}, --watch {watch}: 1 to 500 contacts, fewer than there are connections; at most 500 groups; \
             at most 1000 to watch"
        ));
    }
    exponent_is_sound("--exponent", exponent)?;
    let mut random = fastrand::Rng::with_seed(run.into());
    let mut traffic = Traffic::of(connections, CLASSES);
    let pairs = pairs(connections, contacts, &mut random);
    let sizes = sizes(connections, groups, exponent);
    let share = if sizes.is_empty() { 1.0 } else { direct / 100.0 };
    for pair in &pairs {
        traffic.direct(DIRECT, *pair, share / pairs.len() as f64);
    }
    add_groups(&mut traffic, GROUPS, &sizes, 1.0 - share, exponent, &mut random);
    if reconnecting > 0.0 {
        let per_s = f64::from(connections) * reconnecting / 100.0 / 60.0;
        traffic.leaving = Leaving::InTurn { who: 0..connections, per_s, away_ns: AWAY_NS };
    }
    traffic.receipts = !no_receipts;
    traffic.watches = watch;
    Ok(traffic)
}

/// Different pairs of different users, so that each has `contacts` on average.
fn pairs(users: u32, contacts: u32, random: &mut fastrand::Rng) -> BTreeSet<[u32; 2]> {
    let possible = u64::from(users) * u64::from(users - 1) / 2;
    let wanted = (u64::from(users) * u64::from(contacts) / 2).clamp(1, possible);
    if wanted * 2 > possible {
        let all = (0..users).flat_map(|a| (a + 1..users).map(move |b| [a, b]));
        return random.choose_multiple(all, wanted as usize).into_iter().collect();
    }
    let mut pairs = BTreeSet::new();
    while (pairs.len() as u64) < wanted {
        let (a, b) = (random.u32(0..users), random.u32(0..users));
        if a != b {
            pairs.insert([a.min(b), a.max(b)]);
        }
    }
    pairs
}

/// As many groups as make a user a member of so many on average.
fn sizes(users: u32, groups: u32, exponent: f64) -> Vec<f64> {
    let wanted = f64::from(users) * f64::from(groups);
    let largest = f64::from(SIZES[1].min(users));
    let before = |sum: &mut f64, size: f64| Some((std::mem::replace(sum, *sum + size), size));
    let sizes = zipf(largest, SIZES[0].into(), exponent).scan(0.0, before);
    sizes.take_while(|(before, _)| *before < wanted).map(|(_, size)| size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Shape;

    const OPTIONS: MixedOptions =
        MixedOptions { direct: 80.0, contacts: 10, groups: 3, exponent: 1.0, watch: 10, reconnecting: 1.0, no_receipts: false };

    #[test]
    fn the_mix_is_as_documented() {
        let traffic = mixed(7, 1200, &OPTIONS).unwrap();
        let weight = |class: u8| {
            let of_class = traffic.speakers.iter().filter(|s| traffic.channels[s.channel as usize].class == class);
            of_class.map(|s| s.weight).sum::<f64>()
        };
        assert!((weight(DIRECT) - 0.8).abs() < 1e-9 && (weight(GROUPS) - 0.2).abs() < 1e-9);
        let directs = traffic.channels.iter().filter(|channel| matches!(channel.shape, Shape::Direct(_))).count();
        assert_eq!(directs, 6000);
        let sizes: Vec<usize> = traffic
            .channels
            .iter()
            .filter_map(|channel| if let Shape::Group(members) = &channel.shape { Some(members.len()) } else { None })
            .collect();
        assert_eq!((sizes.iter().max(), sizes.iter().min()), (Some(&500), Some(&5)));
        assert!((3600..4100).contains(&sizes.iter().sum::<usize>()), "{sizes:?}");
        assert_eq!(traffic.leaving, Leaving::InTurn { who: 0..1200, per_s: 0.2, away_ns: AWAY_NS });
        assert!(traffic.receipts && traffic.watches == 10);
    }

    #[test]
    fn few_users_have_as_many_contacts_as_there_are() {
        let random = &mut fastrand::Rng::with_seed(1);
        assert_eq!(pairs(5, 4, random).len(), 10);
        assert_eq!(pairs(5, 1, random).len(), 2);
        assert_eq!(pairs(2, 1, random).len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (connections, wrong) in [
            (4, OPTIONS),
            (10, OPTIONS),
            (100, MixedOptions { direct: 101.0, ..OPTIONS }),
            (100, MixedOptions { contacts: 0, ..OPTIONS }),
            (100, MixedOptions { exponent: f64::NAN, ..OPTIONS }),
        ] {
            assert!(mixed(7, connections, &wrong).is_err(), "{wrong:?}");
        }
        let direct_only = mixed(7, 100, &MixedOptions { groups: 0, ..OPTIONS }).unwrap();
        assert!((direct_only.speakers.iter().map(|s| s.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
