//! `storm`: many sessions drop at the same moment and come back with their cursors, while others go on writing, also to those who are away.

use clap::Args;

use super::traffic::{Leaving, Shape, Traffic};

/// Members of a group: one who stays and some who drop.
const GROUP_SIZE: usize = 10;
/// Classes of conversations: among those who stay, and with those who drop.
pub const CLASSES: &[&str] = &["others", "returning"];
const OTHERS: u8 = 0;
const RETURNING: u8 = 1;

/// Who drops and for how long.
#[derive(Clone, Copy, Debug, Args)]
pub struct StormOptions {
    /// Sessions that drop all at once; the others stay [default: half of the connections].
    #[arg(long, value_name = "N")]
    pub drop: Option<u32>,
    /// Seconds that they stay away. What is written to them meanwhile waits for them.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub away: f64,
    /// Seconds of load after all are back.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub aftermath: f64,
}

impl StormOptions {
    /// Those who drop.
    ///
    /// # Errors
    /// What is wrong with the options.
    fn drop(&self, connections: u32) -> Result<u32, String> {
        let drop = self.drop.unwrap_or(connections / 2);
        if drop == 0 || drop.saturating_add(2) > connections {
            return Err(format!("--drop {drop}: at least 1, and 2 of the {connections} connections must stay"));
        }
        for (name, seconds) in [("--away", self.away), ("--aftermath", self.aftermath)] {
            if !(0.0..=3600.0).contains(&seconds) {
                return Err(format!("{name} {seconds}: 0 to 3600 seconds"));
            }
        }
        Ok(drop)
    }
}

/// Half of the messages are direct ones among those who stay; a quarter between one who stays and one who drops; and a quarter in groups of
/// one who stays and nine who drop, where one of each speaks.
///
/// # Errors
/// What is wrong with the options.
pub fn storm(connections: u32, options: &StormOptions) -> Result<Traffic, String> {
    let others = connections - options.drop(connections)?;
    let mut traffic = Traffic::of(connections, CLASSES);
    let pairs = others / 2;
    for pair in 0..pairs {
        traffic.direct(OTHERS, [2 * pair, 2 * pair + 1], 0.5 / f64::from(pairs));
    }
    let dropping: Vec<u32> = (others..connections).collect();
    for dropped in &dropping {
        traffic.direct(RETURNING, [dropped % others, *dropped], 0.25 / dropping.len() as f64);
    }
    let groups = dropping.chunks(GROUP_SIZE - 1);
    let weight = 0.25 / groups.len() as f64;
    for (stays, dropped) in (0..others).cycle().zip(groups) {
        let members: Box<[u32]> = [stays].into_iter().chain(dropped.iter().copied()).collect();
        let speakers = [members[0], members[1]];
        traffic.add(RETURNING, Shape::Group(members), &speakers, weight);
    }
    traffic.leaving = Leaving::Together { who: others..connections, away_ns: (options.away * 1e9) as u64 };
    Ok(traffic)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: StormOptions = StormOptions { drop: Some(20), away: 1.0, aftermath: 2.0 };

    #[test]
    fn everyone_who_drops_is_written_to_and_has_a_group() {
        let traffic = storm(27, &OPTIONS).unwrap();
        assert_eq!(traffic.leaves_together(), 7..27);
        let of = |class: u8| traffic.channels.iter().filter(|c| c.class == class).count();
        assert_eq!((of(OTHERS), of(RETURNING)), (3, 20 + 3));
        let mut rooms = [0; 27];
        traffic.each_receiver(|connection, _| rooms[connection as usize] += 1);
        assert!(rooms[7..].iter().all(|rooms| *rooms == 2), "{rooms:?}");
        let share = |class| {
            let of_class = traffic.speakers.iter().filter(|s| traffic.channels[s.channel as usize].class == class);
            of_class.map(|s| s.weight).sum::<f64>()
        };
        assert!((share(OTHERS) - 0.5).abs() < 1e-9 && (share(RETURNING) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn those_who_stay_are_never_in_the_classes_of_those_who_drop_alone() {
        let traffic = storm(100, &StormOptions { drop: None, ..OPTIONS }).unwrap();
        let dropped = traffic.leaves_together();
        assert_eq!(dropped, 50..100);
        for (channel, data) in (0..).zip(&traffic.channels) {
            let has_dropped = dropped.clone().any(|connection| traffic.is_for(connection, channel, None));
            assert_eq!(has_dropped, data.class == RETURNING);
        }
    }

    #[test]
    fn somebody_must_stay() {
        for (connections, drop) in [(10, 9), (10, 0), (1, 1)] {
            assert!(storm(connections, &StormOptions { drop: Some(drop), ..OPTIONS }).is_err());
        }
        assert!(storm(10, &StormOptions { drop: Some(8), ..OPTIONS }).is_ok());
        assert!(storm(10, &StormOptions { drop: Some(5), away: -1.0, ..OPTIONS }).is_err());
    }
}
