//! `groups`: many groups, a few large and busy, most of them small and quiet.

use clap::Args;

use super::traffic::{Traffic, members, zipf};

/// How many groups, how large, how busy.
#[derive(Clone, Copy, Debug, Args)]
pub struct GroupsOptions {
    /// Groups.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub groups: u32,
    /// Members of the largest group; the next has 1/2^exponent of that, then 1/3^exponent ... [default: half of the connections, at most 1000].
    #[arg(long, value_name = "M")]
    pub largest: Option<u32>,
    /// Members of a group at least.
    #[arg(long, value_name = "M", default_value_t = 3)]
    pub smallest: u32,
    /// Zipf's exponent of the sizes.
    #[arg(long, value_name = "E", default_value_t = 1.0)]
    pub exponent: f64,
    /// Zipf's exponent of the rates: the busiest group gets the most messages, the next 1/2^exponent of that ... Which group is busy has nothing to do
    /// with its size. 0: all alike.
    #[arg(long, value_name = "E", default_value_t = 1.0)]
    pub rate_exponent: f64,
}

/// Groups whose members are random users; in each a few of them speak.
///
/// # Errors
/// What is wrong with the options.
pub fn groups(run: u32, connections: u32, options: &GroupsOptions) -> Result<Traffic, String> {
    let largest = options.largest.unwrap_or((connections / 2).clamp(2, 1000));
    if options.groups == 0 || options.groups > 1_000_000 {
        return Err(format!("--groups {}: 1 to 1000000", options.groups));
    }
    if options.smallest < 2 || options.smallest > largest || largest > connections {
        return Err(format!(
            "--smallest {}, --largest {largest}: at least 2 members, and no more than the {connections} connections",
            options.smallest
        ));
    }
    for (name, exponent) in [("--exponent", options.exponent), ("--rate-exponent", options.rate_exponent)] {
        exponent_is_sound(name, exponent)?;
    }
    let mut traffic = Traffic::of(connections, &["groups"]);
    let mut random = fastrand::Rng::with_seed(run.into());
    let sizes = zipf(largest.into(), options.smallest.into(), options.exponent).take(options.groups as usize);
    add_groups(&mut traffic, 0, &sizes.collect::<Vec<_>>(), 1.0, options.rate_exponent, &mut random);
    Ok(traffic)
}

/// Adds groups of these sizes, which share `weight` by Zipf in an order of their own.
pub(super) fn add_groups(
    traffic: &mut Traffic,
    class: u8,
    sizes: &[f64],
    weight: f64,
    rate_exponent: f64,
    random: &mut fastrand::Rng,
) {
    let mut weights: Vec<f64> = zipf(1.0, 0.0, rate_exponent).take(sizes.len()).collect();
    let sum: f64 = weights.iter().sum();
    random.shuffle(&mut weights);
    for (size, share) in sizes.iter().zip(weights) {
        let members = members(traffic.connections, size.round() as u32, random);
        traffic.group(class, members, weight * share / sum, random);
    }
}

pub(super) fn exponent_is_sound(name: &str, exponent: f64) -> Result<(), String> {
    if (0.0..=10.0).contains(&exponent) { Ok(()) } else { Err(format!("{name} {exponent}: 0 to 10")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Shape;

    const OPTIONS: GroupsOptions =
        GroupsOptions { groups: 50, largest: Some(60), smallest: 3, exponent: 1.0, rate_exponent: 1.0 };

    #[test]
    fn sizes_and_rates_fall_by_rank() {
        let traffic = groups(7, 100, &OPTIONS).unwrap();
        let sizes: Vec<usize> = traffic
            .channels
            .iter()
            .map(|channel| if let Shape::Group(members) = &channel.shape { members.len() } else { 0 })
            .collect();
        assert_eq!((sizes.len(), &sizes[..4], sizes[49]), (50, &[60, 30, 20, 15][..], 3));
        let mut rates: Vec<f64> =
            (0..50).map(|channel| traffic.speakers.iter().filter(|s| s.channel == channel).map(|s| s.weight).sum()).collect();
        let busiest_first = rates.clone();
        rates.sort_by(|a, b| b.total_cmp(a));
        assert!((rates.iter().sum::<f64>() - 1.0).abs() < 1e-9 && (rates[0] / rates[1] - 2.0).abs() < 1e-9);
        assert_ne!(rates, busiest_first, "the largest is not the busiest for that");
    }

    #[test]
    fn speakers_are_members() {
        let traffic = groups(7, 100, &OPTIONS).unwrap();
        assert!(traffic.speakers.iter().all(|s| traffic.is_for(s.connection, s.channel, None)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            GroupsOptions { groups: 0, ..OPTIONS },
            GroupsOptions { smallest: 1, ..OPTIONS },
            GroupsOptions { largest: Some(2), ..OPTIONS },
            GroupsOptions { largest: Some(101), ..OPTIONS },
            GroupsOptions { exponent: -1.0, ..OPTIONS },
        ] {
            assert!(groups(7, 100, &wrong).is_err(), "{wrong:?}");
        }
        assert!(groups(7, 1000, &GroupsOptions { largest: None, ..OPTIONS }).is_ok());
    }
}
