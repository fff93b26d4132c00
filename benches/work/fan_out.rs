//! The plan of a fan-out: one record for a group whose members are all here, from the home's event to the list of what is to be sent.

use std::sync::Arc;

use campanile::conversation::{Content, Key, Policies, Record};
use campanile::effects::{Effects, Weight};
use campanile::id::Address;
use campanile::limits::Limits;
use campanile::mesh::{Event, Head, Request};
use campanile::ring::Slot;
use campanile::session::{Users, credentials};
use campanile::slot::Slots;
use campanile::wire::schema::{Connect, ConnectArgs};
use campanile::wire::{Encoder, read};

use super::shards::BEGIN;

const EPOCH: u64 = 1;

/// A shard of users who all receive the group.
pub struct FanOut {
    users: Users,
    fx: Effects,
    key: Key,
    members: u32,
    seq: u64,
}

impl FanOut {
    pub fn new(members: u32) -> FanOut {
        let limits = Arc::new(Limits { fan_out_slice: 1_000_000, ..Limits::default() });
        let users = Users::new(0, Slots::new(7, 1), limits, Policies::in_memory(), 1);
        let mut fan_out = FanOut { users, fx: Effects::default(), key: Key::new("", Address::Group("team")), members, seq: 1 };
        let mut encoder = Encoder::default();
        for i in 0..members {
            let frame = encoder.frame(1, |b| {
                let (token, device) = (Some(b.create_string(&format!("dev:user{i}"))), Some(b.create_string("d")));
                Connect::create(b, &ConnectArgs { token, device, ..Default::default() })
            });
            let credentials = credentials(read(frame).expect("sound")).expect("credentials");
            let FanOut { users, fx, key, .. } = &mut fan_out;
            users.login(Slot(i), credentials, 1, BEGIN, fx).expect("a session");
            let user = format!("user{i}").as_str().into();
            users.event(0, Event::MemberAdded { key: key.clone(), user, place: (EPOCH, 1), publisher: None }, fx);
            fan_out.answer();
            clear(&mut fan_out.fx);
        }
        fan_out
    }

    /// So many records that came together.
    pub fn run(&mut self, messages: usize) {
        for _ in 0..messages {
            self.seq += 1;
            let content = Content::message(vec![b'x'; 128]);
            let record =
                Arc::new(Record { epoch: EPOCH, seq: self.seq, time_ms: BEGIN.wall_ms, sender: "user1".into(), content });
            self.users.event(0, Event::Delivered { key: self.key.clone(), record, publisher: None }, &mut self.fx);
        }
        while self.users.has_work() {
            self.users.work(usize::MAX, BEGIN, &mut self.fx);
        }
        assert!(self.fx.sends.len() >= self.members as usize, "everyone gets it");
        clear(&mut self.fx);
    }

    /// The home says yes to every attach.
    fn answer(&mut self) {
        while !self.fx.requests.is_empty() {
            for (_, request) in std::mem::take(&mut self.fx.requests) {
                match request {
                    Request::Attach { key, session, .. } => {
                        let head = Head { epoch: EPOCH, first: 1, committed: 1, visible_from: 2 };
                        self.users.event(0, Event::Attached { key, session, result: Ok(head) }, &mut self.fx);
                    }
                    other => panic!("{other:?} was not expected"),
                }
            }
        }
    }
}

/// The floor: the same list from a vector of receivers, with nothing decided.
pub struct List {
    receivers: Vec<Slot>,
    fx: Effects,
}

impl List {
    pub fn new(members: u32) -> List {
        List { receivers: (0..members).map(Slot).collect(), fx: Effects::default() }
    }

    pub fn run(&mut self) -> usize {
        let frame = self.fx.open.append(&[7; 200]);
        for &receiver in std::hint::black_box(&self.receivers) {
            self.fx.send(receiver, frame.clone(), Weight::Data);
        }
        let sends = self.fx.sends.len();
        clear(&mut self.fx);
        sends
    }
}

fn clear(fx: &mut Effects) {
    fx.sends.clear();
    fx.events.clear();
    fx.watch_drained.clear();
    fx.open.seal();
}
