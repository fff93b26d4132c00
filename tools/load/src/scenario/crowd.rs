//! `crowd`: as many sessions as there may be, of whom few speak: a sample writes to each other, one speaks to all, and many drop at once.

use clap::Args;

use super::traffic::{Leaving, Shape, Traffic};

/// Classes of conversations.
const CLASSES: &[&str] = &["sample", "broadcast"];
/// Direct messages between the sessions of the sample.
pub const SAMPLE: u8 = 0;
/// What one says to all.
pub const BROADCAST: u8 = 1;
/// Who speaks to all: he never drops.
const SPEAKER: u32 = 0;

/// What is done with the sessions.
#[derive(Clone, Copy, Debug, Args)]
pub struct CrowdOptions {
    /// Sessions that write to each other in pairs, at equal distances among all [default: 1000, or as many as there are].
    #[arg(long, value_name = "N")]
    pub sample: Option<u32>,
    /// Messages that each of them sends, each time that it is their turn: before the others drop and after they are back.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub messages: u32,
    /// Messages to all, one after the other: before some drop, and again after they are back. One more is sent while they are away.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub broadcasts: u32,
    /// Seconds for which nothing is done, while the server's CPU is measured.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub rest: f64,
    /// Share of the sessions that drop at once, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    pub drop: u32,
    /// Times and CPU are left out: this machine is emulated, and they would mean nothing.
    #[arg(long)]
    pub untimed: bool,
}

impl CrowdOptions {
    fn sample(&self, connections: u32) -> u32 {
        self.sample.unwrap_or(1000).min(connections) / 2 * 2
    }

    fn check(&self, connections: u32) -> Result<(), String> {
        if connections < 3 {
            return Err(format!("--connections {connections}: at least 3"));
        }
        if self.sample(connections) == 0 {
            return Err("--sample: at least 2".to_owned());
        }
        for (name, value) in [("--messages", self.messages), ("--broadcasts", self.broadcasts)] {
            if value == 0 || value > 1_000_000 {
                return Err(format!("{name} {value}: 1 to 1000000"));
            }
        }
        if !(0.0..=86_400.0).contains(&self.rest) {
            return Err(format!("--rest {}: 0 to 86400 seconds", self.rest));
        }
        if self.drop == 0 || self.drop > 99 {
            return Err(format!("--drop {}: 1 to 99 percent", self.drop));
        }
        Ok(())
    }
}

/// Pairs of the sample, then one conversation of all. The last ones drop.
///
/// # Errors
/// What is wrong with the options.
pub fn crowd(connections: u32, options: &CrowdOptions) -> Result<Traffic, String> {
    options.check(connections)?;
    let sample = options.sample(connections);
    let mut traffic = Traffic::of(connections, CLASSES);
    let at = |number: u32| (u64::from(number) * u64::from(connections) / u64::from(sample)) as u32;
    for number in 0..sample / 2 {
        // From the first and the last half, so that some of those who drop are in pairs with some who stay.
        traffic.direct(SAMPLE, [at(number), at(number + sample / 2)], 1.0);
    }
    traffic.add(BROADCAST, Shape::Broadcast, &[SPEAKER], 1.0);
    let dropped = (u64::from(connections) * u64::from(options.drop) / 100).max(1) as u32;
    traffic.leaving = Leaving::Together { who: connections - dropped..connections, away_ns: 0 };
    Ok(traffic)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: CrowdOptions =
        CrowdOptions { sample: Some(100), messages: 10, broadcasts: 1, rest: 0.0, drop: 20, untimed: false };

    #[test]
    fn the_sample_is_spread_over_all_and_some_of_it_drops() {
        let traffic = crowd(1000, &OPTIONS).unwrap();
        let mut sampled: Vec<u32> = traffic.speakers.iter().filter(|s| s.channel < 50).map(|s| s.connection).collect();
        sampled.sort_unstable();
        assert_eq!(sampled, (0..100).map(|number| number * 10).collect::<Vec<_>>());
        assert_eq!(traffic.leaves_together(), 800..1000);
        let is_mixed = |pair: [u32; 2]| pair[0] < 800 && pair[1] >= 800;
        assert!(traffic.channels.iter().any(|channel| matches!(channel.shape, Shape::Direct(pair) if is_mixed(pair))));
    }

    #[test]
    fn everyone_but_the_speaker_receives_what_is_said_to_all() {
        let traffic = crowd(31, &OPTIONS).unwrap();
        let channel = traffic.channels.len() as u32 - 1;
        assert_eq!((traffic.channels[channel as usize].class, traffic.fan_out(channel, 0)), (BROADCAST, 30));
        assert_eq!((traffic.beginnings(), channel), (31, 15), "all but one of an odd number are in pairs");
        assert!(!traffic.leaves_together().contains(&SPEAKER));
    }

    #[test]
    fn a_million_share_few_conversations() {
        let traffic = crowd(1_000_000, &CrowdOptions { sample: None, ..OPTIONS }).unwrap();
        assert_eq!((traffic.channels.len(), traffic.speakers.len(), traffic.leaves_together().len()), (501, 1001, 200_000));
    }

    #[test]
    fn options_without_sense_are_refused() {
        for wrong in [
            CrowdOptions { sample: Some(1), ..OPTIONS },
            CrowdOptions { messages: 0, ..OPTIONS },
            CrowdOptions { broadcasts: 0, ..OPTIONS },
            CrowdOptions { rest: -1.0, ..OPTIONS },
            CrowdOptions { drop: 0, ..OPTIONS },
            CrowdOptions { drop: 100, ..OPTIONS },
        ] {
            assert!(crowd(1000, &wrong).is_err(), "{wrong:?}");
        }
        assert!(crowd(2, &OPTIONS).is_err());
        assert_eq!(crowd(3, &OPTIONS).unwrap().leaves_together(), 2..3);
    }
}
