//! After the run: what was acknowledged is read back by the users concerned and compared.
//!
//! Every worker hands in its ledger; when all are put together, each asks for the logs that its connections are to read, one at a time on each
//! connection, page by page from the beginning.

use std::collections::HashMap;

use campanile::wire::conversation;
use campanile::wire::schema::{Cursor, Direction, Message, Page, RecordKind, Sync, SyncArgs};

use super::Worker;
use crate::account::{Found, FoundMessage, Header, Ledger, Log, Reading, mark};
use crate::scenario::Plan;

/// The `ref` of requests for pages; those of publishes are far above.
pub(super) const PAGE_REF: u64 = 2;
/// Pages that a worker asks for at once.
const PAGES_MAX: usize = 64;

/// What a worker has to read.
#[derive(Debug, Default)]
pub(super) struct ReadBack {
    handed_in: bool,
    begun: bool,
    /// Logs that each connection is still to read.
    jobs: HashMap<u32, Vec<Log>>,
    /// Connections that may begin with their next one.
    next: Vec<u32>,
    /// What they are reading.
    reading: HashMap<u32, Reading>,
    /// Those that the server asked to wait, and until when.
    later: Vec<(u32, u64)>,
    /// Messages compared so far.
    pub(super) messages: u64,
}

impl Worker<'_> {
    /// A message was acknowledged and is to be found again.
    pub(super) fn note_for_verify(&mut self, local: u32, header: Header, peer: u32, place: (u64, u64)) {
        let Some(ledger) = &mut self.ledger else { return };
        let connection = &self.connections[local as usize];
        header.write(&mut self.body);
        let log = if self.crew.plan.joins() > 0 { Log::Group } else { Log::direct(connection.index, peer) };
        ledger.note(log, place.0, place.1, mark(connection.index, &self.body));
    }

    /// Gives the ledger to all.
    pub(super) fn hand_in(&mut self) {
        if !std::mem::replace(&mut self.read_back.handed_in, true) {
            let ledger = self.ledger.take().unwrap_or_default();
            self.crew.ledgers.lock().expect("no worker panics while it holds this").push(ledger);
            self.handed_in = 1;
        }
    }

    /// Asks for what is next.
    pub(super) fn read_back(&mut self) {
        let Some(ledger) = self.crew.ledger.get() else { return };
        if !std::mem::replace(&mut self.read_back.begun, true) {
            self.begin_reading(ledger);
        }
        self.take_up_later();
        while self.read_back.reading.len() < PAGES_MAX
            && let Some(local) = self.read_back.next.pop()
        {
            let Some(log) = self.read_back.jobs.get_mut(&local).and_then(Vec::pop) else { continue };
            self.read_back.reading.insert(local, Reading::of(log, ledger));
            self.ask_for_page(local);
        }
    }

    fn begin_reading(&mut self, ledger: &Ledger) {
        let plan = &self.crew.plan;
        for log in ledger.logs() {
            for reader in plan.readers(log) {
                let (worker, local) = plan.place(reader);
                if worker == self.id {
                    self.read_back.jobs.entry(local).or_default().push(log);
                }
            }
        }
        self.read_back.next = self.read_back.jobs.keys().copied().collect();
    }

    fn take_up_later(&mut self) {
        let now = self.crew.stage.now_ns();
        let due: Vec<(u32, u64)> = self.read_back.later.extract_if(.., |(_, at)| *at <= now).collect();
        due.into_iter().for_each(|(local, _)| self.ask_for_page(local));
    }

    fn ask_for_page(&mut self, local: u32) {
        let Some(reading) = self.read_back.reading.get(&local) else { return };
        let connection = &mut self.connections[local as usize];
        if !connection.is_logged_in() {
            return self.end_reading(local, None);
        }
        let id = self.crew.plan.log_id(connection.index, reading.log);
        let cursor = Cursor::new(reading.cursor.0, reading.cursor.1);
        self.outgoing.frame(connection, local, PAGE_REF, |b| {
            let conversation = Some(conversation(b, self.crew.plan.address(&id)));
            Sync::create(b, &SyncArgs { conversation, cursor: Some(&cursor), limit: 0, direction: Direction::forward })
        });
    }

    /// A page came.
    pub(super) fn page(&mut self, local: u32, page: Page<'_>) {
        let (Some(ledger), Some(reading)) = (self.crew.ledger.get(), self.read_back.reading.get_mut(&local)) else {
            self.tally.unexpected += 1;
            return;
        };
        if page.gap().is_some() {
            reading.goes_on_at(page.first());
        }
        let mut skips: Vec<(u64, u64)> = page.skips().into_iter().flatten().map(|skip| (skip.from(), skip.to())).collect();
        skips.reverse();
        for message in page.messages().into_iter().flatten() {
            while let Some((_, to)) = skips.pop_if(|(from, _)| *from < message.seq()) {
                reading.goes_on_at(to + 1);
            }
            reading.take(found(message, &self.crew.plan, &mut self.name), ledger);
            self.read_back.messages += 1;
        }
        skips.into_iter().for_each(|(_, to)| reading.goes_on_at(to + 1));
        match page.next().filter(|_| page.has_more()) {
            Some(next) => {
                reading.cursor = (next.epoch(), next.seq());
                self.ask_for_page(local);
            }
            None => self.end_reading(local, Some(page.committed())),
        }
    }

    /// A page was refused: later, or never.
    pub(super) fn page_refused(&mut self, local: u32, again_ns: Option<u64>) {
        match again_ns {
            Some(at) => self.read_back.later.push((local, at)),
            None => self.end_reading(local, None),
        }
    }

    /// The log was read to its end, or cannot be read: what was not found by then is missing.
    pub(super) fn end_reading(&mut self, local: u32, committed: Option<u64>) {
        if let Some(reading) = self.read_back.reading.remove(&local) {
            reading.end(committed, &mut self.tally.verified);
            self.read_back.next.push(local);
        }
    }
}

/// A record of a page. Its mark is that of its body only if it was sent by the user of whom the body speaks.
fn found(message: Message<'_>, plan: &Plan, name: &mut String) -> Found {
    let body = message.body().map_or(&[][..], |body| body.bytes());
    let header = Header::read(body, plan.run).filter(|header| plan.publishes(header.publisher));
    let is_of_sender = header.is_some_and(|header| {
        name.clear();
        plan.write_user(header.publisher, name);
        message.sender() == Some(name.as_str())
    });
    let mark = header.filter(|_| is_of_sender).map_or(0, |header| mark(header.publisher, body));
    let is_message = message.kind() == RecordKind::message;
    Found { epoch: message.epoch(), seq: message.seq(), message: is_message.then_some(FoundMessage { mark, header }) }
}
