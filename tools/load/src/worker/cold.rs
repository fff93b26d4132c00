//! Reading the newest messages of random conversations that were filled, a few at a time.

use campanile::wire::conversation;
use campanile::wire::schema::{Cursor, Direction, Page, Sync, SyncArgs};

use super::Worker;
use super::connection::State;
use crate::account::Header;
use crate::scenario::Kind;

/// The `ref` of requests for pages; those of publishes are far above.
pub(super) const COLD_REF: u64 = 4;

/// What a worker reads.
#[derive(Debug, Default)]
pub(super) struct ColdReads {
    begun: bool,
    /// To be asked for.
    left: u64,
    /// Answered.
    pub(super) done: u64,
    /// Connections that the server asked to wait, and until when.
    later: Vec<(u32, u64)>,
    random: fastrand::Rng,
}

/// What is asked for on a connection.
#[derive(Clone, Copy, Debug)]
pub struct ColdRead {
    peer: u32,
    since_ns: u64,
}

impl Worker<'_> {
    /// Begins to read; what follows is asked for when a page has come.
    pub(super) fn read_cold(&mut self) {
        let Kind::Cold { reads, readers, .. } = self.crew.plan.kind else { return };
        if std::mem::replace(&mut self.cold.begun, true) || self.publishers.is_empty() {
            return self.ask_again();
        }
        let plan = &self.crew.plan;
        // Only as many workers read as there are readers: the others have no part of the reads either.
        let (id, active) = (u64::from(self.id), u64::from(plan.workers.min(readers)));
        let share = |all: u64| if id < active { all / active + u64::from(id < all % active) } else { 0 };
        self.cold.left = share(reads);
        self.cold.random = fastrand::Rng::with_seed(u64::from(plan.run) << 8 | u64::from(self.id));
        for _ in 0..share(readers.into()) {
            self.next_cold();
        }
    }

    /// Asks a random connection that asks for nothing for one of its conversations.
    fn next_cold(&mut self) {
        let free = |worker: &Worker<'_>, local: u32| {
            let connection = &worker.connections[local as usize];
            connection.cold.is_none() && connection.state == State::Ready
        };
        let count = self.publishers.len();
        let start = self.cold.random.usize(0..count);
        let local = (0..count).map(|i| self.publishers[(start + i) % count]).find(|local| free(self, *local));
        let Some(local) = local.filter(|_| self.cold.left > 0) else { return };
        let plan = &self.crew.plan;
        let publisher = self.connections[local as usize].index;
        let peers = plan.stock().map_or(0, |stock| stock.peers_of(publisher, plan.publishers()));
        let peer = self.cold.random.u32(0..peers.max(1));
        self.cold.left -= 1;
        self.connections[local as usize].cold = Some(ColdRead { peer, since_ns: self.crew.stage.now_ns() });
        self.ask_cold(local);
    }

    fn ask_cold(&mut self, local: u32) {
        let connection = &mut self.connections[local as usize];
        let (Kind::Cold { page, .. }, Some(ColdRead { peer, .. })) = (&self.crew.plan.kind, connection.cold) else { return };
        self.name.clear();
        self.crew.plan.write_peer(peer, &mut self.name);
        self.outgoing.frame(connection, local, COLD_REF, |b| {
            let conversation = Some(conversation(b, self.crew.plan.address(&self.name)));
            let cursor = Cursor::new(0, 0);
            Sync::create(b, &SyncArgs { conversation, cursor: Some(&cursor), limit: *page, direction: Direction::backward })
        });
    }

    /// A page came.
    pub(super) fn cold_page(&mut self, local: u32, page: Page<'_>, now_ns: u64) {
        let connection = &mut self.connections[local as usize];
        let Some(ColdRead { peer, since_ns }) = connection.cold.take() else {
            self.tally.unexpected += 1;
            return;
        };
        let publisher = connection.index;
        self.tally.reads.saturating_record(now_ns.saturating_sub(since_ns));
        self.tally.wrong_pages += u64::from(!self.is_right(publisher, peer, page));
        self.cold.done += 1;
        self.next_cold();
    }

    /// Whether a page holds the newest messages of that conversation, in their order.
    fn is_right(&self, publisher: u32, peer: u32, page: Page<'_>) -> bool {
        let plan = &self.crew.plan;
        let (Kind::Cold { page: limit, .. }, Some(stock)) = (&plan.kind, plan.stock()) else { return false };
        let messages = stock.messages_to(publisher, plan.publishers(), peer);
        let wanted = messages.min(u64::from(*limit));
        let orders: Option<Vec<(u64, u64)>> = page
            .messages()
            .into_iter()
            .flatten()
            .map(|message| {
                let header = Header::read(message.body()?.bytes(), plan.run).filter(|header| header.publisher == publisher)?;
                Some((header.seq, message.seq()))
            })
            .collect();
        // A message that was refused at first has a higher number than its place says, but never a lower one.
        let goes_up =
            |orders: &Vec<(u64, u64)>| orders.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 + 1 == pair[1].1);
        orders.is_some_and(|orders| {
            orders.len() as u64 == wanted
                && goes_up(&orders)
                && page.committed() == messages
                && orders.last().is_none_or(|(_, seq)| *seq == messages)
        })
    }

    /// Those that were asked to wait have waited.
    fn ask_again(&mut self) {
        let now = self.crew.stage.now_ns();
        let due: Vec<(u32, u64)> = self.cold.later.extract_if(.., |(_, at)| *at <= now).collect();
        due.into_iter().for_each(|(local, _)| self.ask_cold(local));
    }

    /// A page was refused: for now, which counts as waiting, or for good.
    pub(super) fn cold_refused(&mut self, local: u32, again_ns: Option<u64>) {
        if let Some(at) = again_ns {
            return self.cold.later.push((local, at));
        }
        if self.connections[local as usize].cold.take().is_some() {
            self.tally.wrong_pages += 1;
            self.cold.done += 1;
            self.next_cold();
        }
    }
}
