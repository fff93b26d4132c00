//! What the clients of a cycle do. It follows from the seed alone; what comes of it depends on the moment of the kill.

use fastrand::Rng;

use crate::entry::Change;

/// Cycles that share their users and groups: long enough for old conversations to go on, short enough that reading everything back after
/// each cycle does not take longer and longer.
pub const CYCLES_PER_GENERATION: u64 = 8;
/// Owner, admin and member, as the schema numbers them.
const ROLES: [u8; 3] = [1, 2, 3];
/// Most bodies are small. Conversations must stay below what a server keeps of each, 1 MiB unless told otherwise.
const BODY_BYTES_MAX: usize = 300;
/// Some are longer than a page of the disk, so that they can tear.
const LARGE_BODY_BYTES: usize = 5000;

/// Something that a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Publishes a message.
    Publish {
        /// Where.
        room: String,
        /// The idempotency key.
        client_id: String,
        /// The body, in bytes of text.
        body: String,
    },
    /// Publishes something again that was acknowledged; the number chooses.
    Again(u64),
    /// Changes a group.
    Change {
        /// Which.
        room: String,
        /// How.
        change: Change,
    },
    /// Says how far it has come in a conversation; the number chooses.
    Receipt {
        /// Which of those that it knows.
        choice: u64,
        /// Read, or delivered.
        is_read: bool,
    },
}

/// The size of a run.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Everything follows from it.
    pub seed: u64,
    /// Clients, each a user of his own.
    pub clients: u64,
    /// Steps of all clients in a cycle.
    pub steps: u64,
}

/// The users of a cycle.
pub fn users(shape: Shape, cycle: u64) -> Vec<String> {
    (0..shape.clients).map(|client| user(cycle, client)).collect()
}

fn user(cycle: u64, client: u64) -> String {
    format!("u{}-{client}", cycle / CYCLES_PER_GENERATION)
}

/// Draws that belong to one purpose of one cycle only.
pub fn rng(seed: u64, cycle: u64, purpose: u64) -> Rng {
    Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ cycle.wrapping_mul(0xD1B5_4A32_D192_ED03) ^ purpose)
}

/// Whether a client gives up what is on the way when its connection breaks, instead of sending it again.
pub fn gives_up(shape: Shape, cycle: u64, client: u64) -> bool {
    rng(shape.seed, cycle, 2000 + client).u8(..4) == 0
}

/// What a client does in a cycle, in order.
pub fn steps(shape: Shape, cycle: u64, client: u64) -> Vec<Step> {
    let mut planner = Planner { rng: rng(shape.seed, cycle, 1000 + client), shape, cycle, client, messages: 0 };
    let found = planner.found();
    let count = shape.steps / shape.clients.max(1);
    std::iter::once(found).chain((1..count).map(|_| planner.step())).collect()
}

struct Planner {
    rng: Rng,
    shape: Shape,
    cycle: u64,
    client: u64,
    messages: u64,
}

impl Planner {
    /// The client's own group of this cycle.
    fn found(&mut self) -> Step {
        let others = (0..self.shape.clients).filter(|&client| client != self.client);
        let members = others.filter(|_| self.rng.bool()).map(|client| user(self.cycle, client)).collect();
        let (open, whole_history) = (self.rng.bool(), self.rng.u8(..4) == 0);
        Step::Change { room: group(self.cycle, self.client), change: Change::Create { members, open, whole_history } }
    }

    fn step(&mut self) -> Step {
        match self.rng.u8(..100) {
            0..70 => self.publish(),
            70..75 => Step::Again(self.rng.u64(..)),
            75..88 => self.change(),
            _ => Step::Receipt { choice: self.rng.u64(..), is_read: self.rng.bool() },
        }
    }

    fn publish(&mut self) -> Step {
        let room = match self.rng.u8(..10) {
            0..4 if self.shape.clients > 1 => {
                let (me, other) = (user(self.cycle, self.client), self.other());
                crate::entry::room(&me, &campanile_client::Conversation::Direct(other))
            }
            0..9 => self.any_group(),
            _ => "broadcast".to_owned(),
        };
        self.messages += 1;
        let client_id = format!("c{}-{}-{}", self.cycle, self.client, self.messages);
        let length = if self.rng.u8(..50) == 0 { LARGE_BODY_BYTES } else { self.rng.usize(..BODY_BYTES_MAX) };
        let mut body = client_id.clone();
        body.extend(std::iter::repeat_with(|| self.rng.alphanumeric()).take(length));
        Step::Publish { room, client_id, body }
    }

    fn change(&mut self) -> Step {
        if self.rng.u8(..3) == 0 {
            let change = if self.rng.bool() { Change::Join } else { Change::Leave };
            let room = self.any_group();
            if founder(&room) != Some(user(self.cycle, self.client)) {
                return Step::Change { room, change };
            }
        }
        let room = if self.rng.u8(..4) == 0 { self.any_group() } else { group(self.cycle, self.client) };
        // Founders stay owners of their groups: they can always read everything back.
        let founder = room.rsplit('-').next().and_then(|client| client.parse().ok()).unwrap_or(self.client);
        let mut other = self.rng.u64(..self.shape.clients);
        if other == founder {
            other = (other + 1) % self.shape.clients;
        }
        let user = user(self.cycle, other);
        let change = match self.rng.u8(..8) {
            _ if other == founder => Change::Title { title: format!("title {}", self.rng.u32(..)) },
            0..3 => Change::Add { user, role: ROLES[self.rng.usize(..3)] },
            3..5 => Change::Remove { user },
            5..7 => Change::Role { user, role: ROLES[self.rng.usize(..3)] },
            _ => Change::Title { title: format!("title {}", self.rng.u32(..)) },
        };
        Step::Change { room, change }
    }

    fn other(&mut self) -> String {
        let step = self.rng.u64(1..self.shape.clients);
        user(self.cycle, (self.client + step) % self.shape.clients)
    }

    /// A group of this generation, mostly of this cycle.
    fn any_group(&mut self) -> String {
        let first = self.cycle - self.cycle % CYCLES_PER_GENERATION;
        let cycle = if self.rng.u8(..3) == 0 { self.rng.u64(first..=self.cycle) } else { self.cycle };
        group(cycle, self.rng.u64(..self.shape.clients))
    }
}

fn group(cycle: u64, client: u64) -> String {
    format!("group:g{cycle}-{client}")
}

/// The founder of a group, whose name says it.
pub fn founder(room: &str) -> Option<String> {
    let (cycle, client) = room.strip_prefix("group:g")?.split_once('-')?;
    Some(user(cycle.parse().ok()?, client.parse().ok()?))
}

/// The users who have to do with a room; those of `cycle` for broadcast.
pub fn users_of(shape: Shape, room: &str, cycle: u64) -> Vec<String> {
    let number = |prefix: &str| room.strip_prefix(prefix)?.split_once('-')?.0.parse::<u64>().ok();
    let of_group = number("group:g");
    let of_direct = number("direct:u").map(|generation| generation * CYCLES_PER_GENERATION);
    users(shape, of_group.or(of_direct).unwrap_or(cycle))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { seed: 7, clients: 4, steps: 400 };

    #[test]
    fn plans_follow_from_the_seed() {
        assert_eq!(steps(SHAPE, 3, 1), steps(SHAPE, 3, 1));
        assert_ne!(steps(SHAPE, 3, 1), steps(Shape { seed: 8, ..SHAPE }, 3, 1));
        assert_ne!(steps(SHAPE, 3, 1)[1..], steps(SHAPE, 4, 1)[1..]);
        assert_eq!(steps(SHAPE, 3, 1).len(), 100);
    }

    #[test]
    fn every_kind_of_step_comes_up_and_founders_are_left_alone() {
        let all: Vec<Step> = (0..4).flat_map(|client| steps(SHAPE, 9, client)).collect();
        let has = |wanted: fn(&Step) -> bool| all.iter().any(wanted);
        assert!(has(|step| matches!(step, Step::Publish { room, .. } if room == "broadcast")));
        assert!(has(|step| matches!(step, Step::Publish { room, .. } if room.starts_with("direct:"))));
        assert!(has(|step| matches!(step, Step::Publish { room, .. } if room.starts_with("group:g8-"))));
        assert!(has(|step| matches!(step, Step::Again(_))));
        assert!(has(|step| matches!(step, Step::Receipt { is_read: true, .. })));
        for step in &all {
            if let Step::Change { room, change: Change::Remove { user } | Change::Role { user, .. } } = step {
                assert_ne!(founder(room).as_ref(), Some(user));
            }
        }
        for (client, user) in (0..).zip(users(SHAPE, 9)) {
            let leaves = |step: &Step| matches!(step, Step::Change { room, change: Change::Leave } if founder(room).as_ref() == Some(&user));
            assert!(!steps(SHAPE, 9, client).iter().any(leaves));
        }
    }

    #[test]
    fn client_ids_are_never_used_twice() {
        let mut seen = std::collections::HashSet::new();
        for (cycle, client) in (0..20).flat_map(|cycle| (0..4).map(move |client| (cycle, client))) {
            for step in steps(SHAPE, cycle, client) {
                if let Step::Publish { client_id, .. } = step {
                    assert!(seen.insert(client_id));
                }
            }
        }
    }

    #[test]
    fn a_room_says_whose_it_is() {
        let users_of = |room: &str| users_of(SHAPE, room, 80)[0].clone();
        assert_eq!(users_of("group:g17-2"), "u2-0");
        assert_eq!(users_of("direct:u3-0|u3-1"), "u3-0");
        assert_eq!(users_of("broadcast"), "u10-0");
        assert_eq!(founder("group:g17-2").as_deref(), Some("u2-2"));
        assert_eq!(founder("broadcast"), None);
    }

    #[test]
    fn one_client_alone_has_something_to_do() {
        let alone = Shape { clients: 1, ..SHAPE };
        assert_eq!(steps(alone, 0, 0).len(), 400);
    }
}
