//! Requests that wait for their turn, and requests that wait for their answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Conversation;
use crate::request::Request;
use crate::values::{Cursor, Message};

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The application waits for the answer.
    Application,
    /// The library, to hear something.
    Heartbeat,
    /// The library, after a reconnect.
    Restore,
}

/// One request until it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub request: Arc<Request>,
    pub owner: Owner,
    /// How often the server has said "later".
    pub refusals: u32,
    /// Not to be sent before this time.
    pub not_before_ms: u64,
    /// When it was last sent.
    sent_ms: u64,
    /// Since when it is not known whether the server did it: it was under way when a connection broke.
    pub uncertain_since_ms: Option<u64>,
    /// The record of a group change that looks like the one that this request writes, and the cursor behind it. It came before the ack
    /// and is kept back until the answer says whether it is.
    pub echo: Option<(Message, Cursor)>,
}

impl Pending {
    fn is_publish(&self) -> bool {
        matches!(*self.request, Request::Publish(_))
    }

    fn publishes(&self, client_id: &str) -> bool {
        matches!(&*self.request, Request::Publish(publish) if publish.client_id.as_deref() == Some(client_id))
    }
}

/// Requests by their `ref`, which counts up in the order in which they were asked.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    waiting: BTreeMap<u64, Pending>,
    outstanding: BTreeMap<u64, Pending>,
    last_reference: u64,
    /// No `ref` above this one was under way when a connection broke.
    uncertain_up_to: u64,
    /// No publish goes out before this time: one was told "later", and those behind it must not pass.
    publishes_held_until_ms: u64,
}

impl Requests {
    /// Requests of all kinds that have no answer yet.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.outstanding.len()
    }

    /// Whether the application waits for an answer that is under way.
    pub fn application_waits(&self) -> bool {
        self.outstanding.values().any(|pending| pending.owner == Owner::Application)
    }

    /// Queues a request and gives its `ref`.
    pub fn ask(&mut self, owner: Owner, request: Request) -> u64 {
        let reference = self.reference();
        let request = Arc::new(request);
        let pending = Pending { request, owner, refusals: 0, not_before_ms: 0, sent_ms: 0, uncertain_since_ms: None, echo: None };
        self.waiting.insert(reference, pending);
        reference
    }

    fn reference(&mut self) -> u64 {
        self.last_reference += 1;
        self.last_reference
    }

    /// Takes the next request that may be sent now.
    pub fn next(&mut self, now_ms: u64, window: usize) -> Option<(u64, Arc<Request>)> {
        if self.outstanding.len() >= window {
            return None;
        }
        let (&reference, _) = self.waiting.iter().find(|(_, pending)| self.ready_at(pending) <= now_ms)?;
        let pending = self.waiting.remove(&reference)?;
        Some((reference, self.sent(now_ms, reference, pending)))
    }

    /// A ping that goes out at once, over the window. While one has no answer (nothing may be read just now) the next ask for none, so
    /// that they cannot pile up.
    pub fn heartbeat(&mut self, now_ms: u64) -> (u64, Arc<Request>) {
        if self.outstanding.values().any(|pending| pending.owner == Owner::Heartbeat) {
            return (0, Arc::new(Request::Ping));
        }
        let reference = self.ask(Owner::Heartbeat, Request::Ping);
        let pending = self.waiting.remove(&reference).expect("it was just put there");
        (reference, self.sent(now_ms, reference, pending))
    }

    fn sent(&mut self, now_ms: u64, reference: u64, mut pending: Pending) -> Arc<Request> {
        pending.sent_ms = now_ms;
        let request = pending.request.clone();
        self.outstanding.insert(reference, pending);
        request
    }

    fn ready_at(&self, pending: &Pending) -> u64 {
        let held = if pending.is_publish() { self.publishes_held_until_ms } else { 0 };
        pending.not_before_ms.max(held)
    }

    /// When the next request may be sent for which time alone is missing.
    pub fn ready_at_ms(&self, window: usize) -> Option<u64> {
        if self.outstanding.len() >= window {
            return None;
        }
        self.waiting.values().map(|pending| self.ready_at(pending)).min()
    }

    /// The request of an answer.
    pub fn answered(&mut self, reference: u64) -> Option<Pending> {
        self.outstanding.remove(&reference)
    }

    /// Puts back a request that was told "later". A publish holds back those behind it.
    pub fn again(&mut self, reference: u64, mut pending: Pending, at_ms: u64) {
        pending.refusals += 1;
        if pending.is_publish() {
            self.publishes_held_until_ms = self.publishes_held_until_ms.max(at_ms);
        } else {
            pending.not_before_ms = at_ms;
        }
        self.waiting.insert(reference, pending);
    }

    /// The connection broke: what may be sent again waits, in its old place; the rest of the application's requests is given back.
    /// The library's own requests are forgotten.
    pub fn connection_lost(&mut self) -> Vec<(u64, Pending)> {
        self.waiting.retain(|_, pending| pending.owner == Owner::Application);
        self.publishes_held_until_ms = 0;
        let mut lost = Vec::new();
        for (reference, mut pending) in std::mem::take(&mut self.outstanding) {
            if pending.owner != Owner::Application {
                continue;
            }
            if pending.request.repeatable() {
                pending.uncertain_since_ms.get_or_insert(pending.sent_ms);
                self.uncertain_up_to = self.uncertain_up_to.max(reference);
                self.waiting.insert(reference, pending);
            } else {
                lost.push((reference, pending));
            }
        }
        lost
    }

    /// Takes a publish whose fate has been unknown since before `before_ms`, if one waits.
    pub fn too_old(&mut self, before_ms: u64) -> Option<u64> {
        let old = |p: &Pending| p.is_publish() && p.uncertain_since_ms.is_some_and(|since| since < before_ms);
        let mut uncertain = self.waiting.range(..=self.uncertain_up_to);
        let (&reference, _) = uncertain.find(|(_, pending)| old(pending))?;
        self.waiting.remove(&reference).map(|_| reference)
    }

    /// Takes everything; gives the application's.
    pub fn end(&mut self) -> Vec<u64> {
        let all = std::mem::take(&mut self.waiting).into_iter().chain(std::mem::take(&mut self.outstanding));
        all.filter(|(_, pending)| pending.owner == Owner::Application).map(|(reference, _)| reference).collect()
    }

    /// Whether a record that this session writes to `conversation` is under way, so that an ack may still come.
    pub fn writes_to(&self, conversation: &Conversation) -> bool {
        self.outstanding.values().any(|pending| pending.request.writes_to().as_ref() == Some(conversation))
    }

    /// Whether the stream of `conversation` is asked for anew, so that what is missing may still come.
    pub fn subscribes(&self, conversation: &Conversation) -> bool {
        let is = |p: &Pending| matches!(&*p.request, Request::Subscribe { conversation: c, .. } if c == conversation);
        self.outstanding.values().chain(self.waiting.values()).any(is)
    }

    /// The group change under way that may have written `record`, which the same user did.
    pub fn changing(&mut self, record: &Message) -> Option<&mut Pending> {
        self.outstanding.values_mut().find(|pending| pending.echo.is_none() && pending.request.may_write(record))
    }

    /// Whether a publish of this `client_id` has no answer yet.
    pub fn publishing(&self, client_id: &str) -> bool {
        self.outstanding.values().chain(self.waiting.values()).any(|pending| pending.publishes(client_id))
    }
}
