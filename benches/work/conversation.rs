//! What the home of a conversation does: number, remember, store in memory, tell.

use std::sync::Arc;

use campanile::conversation::{Content, Conversations, Key, Policies, Record};
use campanile::effects::Effects;
use campanile::id::Address;
use campanile::limits::Limits;
use campanile::mesh::{Change, GroupChange, Publish, Reply, Request, SessionKey};
use campanile::slot::{ShardId, Slots};
use campanile::store::{Memory, Outcome};

use super::shards::BEGIN;

const REPLY: Reply = Reply { session: SessionKey { index: 1, generation: 0 }, reference: 7 };

/// The home of conversations, with its store.
pub struct Home {
    conversations: Conversations,
    memory: Memory,
    fx: Effects,
    done: Vec<Outcome>,
    key: Key,
    /// Of the next message.
    number: u64,
    body: bytes::Bytes,
}

impl Home {
    /// A direct conversation, and so many others.
    pub fn direct(others: usize) -> Home {
        let mut home = Home::new(1, Key::direct("alice", "bob"));
        for i in 0..others {
            home.key = Key::direct("alice", &format!("user{i}"));
            home.publish(None);
        }
        home.key = Key::direct("alice", "bob");
        home
    }

    /// A group with a member on each of so many shards.
    pub fn group(shards: ShardId) -> Home {
        let key = Key::new("", Address::Group("team"));
        let mut home = Home::new(shards, key.clone());
        let names: Vec<String> = (0..shards).map(|i| format!("user{i}")).collect();
        let members = names.iter().map(|name| name.as_str().into()).collect();
        let create = Change::Create { title: bytes::Bytes::new(), open: true, whole_history: false, members };
        home.ask(
            Request::Change(Box::new(GroupChange {
                key: key.clone(),
                actor: "alice".into(),
                reply: REPLY,
                change: create,
                hints: Vec::new(),
            })),
            0,
        );
        for (from, name) in (0..).zip(&names) {
            home.ask(Request::Attach { key: key.clone(), user: name.as_str().into(), session: REPLY.session }, from);
        }
        home
    }

    fn new(shards: ShardId, key: Key) -> Home {
        let (limits, policies) = (Arc::new(Limits::default()), Policies::in_memory());
        let memory = Memory::new(&limits, &policies);
        let conversations = Conversations::new(Slots::new(7, shards), limits, policies, 1);
        let body = vec![b'x'; 128].into();
        Home { conversations, memory, fx: Effects::default(), done: Vec::new(), key, number: 0, body }
    }

    /// The next message: numbered, stored, acknowledged, told. Gives what was said to shards.
    pub fn next(&mut self) -> usize {
        self.publish(None)
    }

    /// The same with a client id that was not seen before.
    pub fn next_with_id(&mut self) -> usize {
        self.number += 1;
        let id = format!("c-{:016}", self.number);
        self.publish(Some(&id))
    }

    /// A message that was published before.
    pub fn repetition(&mut self) -> usize {
        self.publish(Some("c-again"))
    }

    fn publish(&mut self, client_id: Option<&str>) -> usize {
        let mut content = Content::message(self.body.clone());
        content.client_id = client_id.map(Into::into);
        let publish = Publish { key: self.key.clone(), sender: "alice".into(), reply: REPLY, content };
        self.ask(Request::Publish(Box::new(publish)), 0)
    }

    fn ask(&mut self, request: Request, from: ShardId) -> usize {
        self.conversations.request(from, request, BEGIN, &mut self.fx);
        while !self.fx.commands.is_empty() {
            for command in self.fx.commands.drain(..) {
                self.memory.execute(command, &mut self.done);
            }
            for outcome in self.done.drain(..) {
                self.conversations.outcome(outcome, BEGIN, &mut self.fx);
            }
        }
        let said = self.fx.events.len();
        self.fx.events.clear();
        said
    }
}

/// The floor: a record made, numbered and kept, the oldest dropped.
pub struct Log {
    records: std::collections::VecDeque<Arc<Record>>,
    body: bytes::Bytes,
    seq: u64,
}

impl Log {
    pub fn new() -> Log {
        Log { records: std::collections::VecDeque::new(), body: vec![b'x'; 128].into(), seq: 0 }
    }

    pub fn next(&mut self) -> usize {
        self.seq += 1;
        let content = Content::message(self.body.clone());
        self.records.push_back(Arc::new(Record {
            epoch: 1,
            seq: self.seq,
            time_ms: BEGIN.wall_ms,
            sender: "alice".into(),
            content,
        }));
        if self.records.len() > 1000 {
            self.records.pop_front();
        }
        self.records.len()
    }
}
