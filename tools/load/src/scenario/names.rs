//! The names of users and conversations in traffic, and what a name on the wire stands for.

use std::fmt::Write;

use campanile::id::Address;

use super::{Plan, Shape};

/// What a name on the wire stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The conversation with the user of this connection.
    With(u32),
    /// The conversation of this number.
    Channel(u32),
}

impl Plan {
    /// A conversation of the traffic as the user of a connection writes it. `name` holds its id meanwhile.
    pub fn channel_address<'a>(&self, channel: u32, viewer: u32, name: &'a mut String) -> Address<'a> {
        let traffic = self.traffic().expect("channels are of traffic");
        name.clear();
        match &traffic.channels[channel as usize].shape {
            Shape::Direct([a, b]) => {
                self.write_user(if *a == viewer { *b } else { *a }, name);
                Address::Direct(name)
            }
            Shape::Group(_) => {
                write!(name, "load-{:08x}-g{channel}", self.run).expect("a string takes all text");
                Address::Group(name)
            }
            Shape::Topic(_) => {
                write!(name, "load-{:08x}-t{channel}", self.run).expect("a string takes all text");
                Address::Topic(name)
            }
            Shape::Broadcast => Address::Broadcast,
        }
    }

    /// What an address stands for. None: it is none of this run.
    pub fn named(&self, address: Address<'_>) -> Option<Named> {
        let traffic = self.traffic()?;
        let number = |id: &str, mark: &str| {
            let (run, number) = id.strip_prefix("load-")?.split_once('-')?;
            let run = u32::from_str_radix(run, 16).ok().filter(|run| *run == self.run);
            run.and(number.strip_prefix(mark)?.parse::<u32>().ok())
        };
        let is = |channel: &u32, wanted: fn(&Shape) -> bool| {
            traffic.channels.get(*channel as usize).is_some_and(|channel| wanted(&channel.shape))
        };
        match address {
            Address::Direct(user) => number(user, "").filter(|user| *user < self.connections).map(Named::With),
            Address::Group(id) => {
                number(id, "g").filter(|channel| is(channel, |shape| matches!(shape, Shape::Group(_)))).map(Named::Channel)
            }
            Address::Topic(id) => {
                number(id, "t").filter(|channel| is(channel, |shape| matches!(shape, Shape::Topic(_)))).map(Named::Channel)
            }
            Address::Broadcast => {
                let at = traffic.channels.iter().position(|channel| channel.shape == Shape::Broadcast);
                at.map(|channel| Named::Channel(channel as u32))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Traffic;

    fn plan() -> Plan {
        let mut traffic = Traffic::of(20, &["all"]);
        traffic.direct(0, [3, 17], 1.0);
        traffic.add(0, Shape::Group([1, 2].into()), &[1], 1.0);
        traffic.add(0, Shape::Topic([(4, None)].into()), &[1], 1.0);
        traffic.add(0, Shape::Broadcast, &[1], 1.0);
        Plan::of_traffic(0xABC, traffic, 1)
    }

    #[test]
    fn what_is_written_is_understood() {
        let (plan, mut name) = (plan(), String::new());
        let mut there_and_back = |channel, viewer| {
            let address = plan.channel_address(channel, viewer, &mut name);
            plan.named(address)
        };
        assert_eq!((there_and_back(0, 3), there_and_back(0, 17)), (Some(Named::With(17)), Some(Named::With(3))));
        for channel in 1..4 {
            assert_eq!(there_and_back(channel, 1), Some(Named::Channel(channel)));
        }
    }

    #[test]
    fn what_is_of_another_run_or_kind_is_not() {
        let plan = plan();
        for address in [
            Address::Direct("load-00000abd-3"),
            Address::Direct("load-00000abc-20"),
            Address::Direct("load-00000abc-g1"),
            Address::Direct("alice"),
            Address::Group("load-00000abc-g2"),
            Address::Group("load-00000abc-g9"),
            Address::Group("load-00000abc"),
            Address::Topic("load-00000abc-g1"),
        ] {
            assert_eq!(plan.named(address), None, "{address:?}");
        }
    }
}
