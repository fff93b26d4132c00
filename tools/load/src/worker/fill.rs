//! Laying messages in store for users who are not there, and saying that their sender has read them.

use campanile::wire::conversation;
use campanile::wire::schema::{Cursor, Receipt, ReceiptArgs, ReceiptKind};

use super::Worker;

/// The `ref` of receipts; those of publishes are far above.
pub(super) const RECEIPT_REF: u64 = 3;
/// Receipts that one connection has under way.
const RECEIPTS_MAX: usize = 32;

/// Receipts of one connection.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// Peers and places, to be sent.
    waiting: Vec<(u32, (u64, u64))>,
    under_way: usize,
}

impl Worker<'_> {
    /// Sends what the fill still has to send.
    pub(super) fn fill(&mut self) {
        if !std::mem::replace(&mut self.fill_begun, true) {
            self.ready.extend_from_slice(&self.publishers);
        }
        self.take_held(self.crew.stage.now_ns());
        while let Some(local) = self.ready.pop() {
            self.pump(local);
        }
    }

    /// Says of every conversation that was filled that its sender has read it, so that his next session begins behind it.
    pub(super) fn send_receipts(&mut self) {
        if std::mem::replace(&mut self.receipts_begun, true) {
            return;
        }
        for local in self.publishers.clone() {
            let connection = &mut self.connections[local as usize];
            let waiting = connection.supply.as_mut().map(|supply| supply.take_places()).unwrap_or_default();
            self.receipts.insert(local, Receipts { waiting, under_way: 0 });
            self.next_receipts(local);
        }
    }

    fn next_receipts(&mut self, local: u32) {
        let connection = &mut self.connections[local as usize];
        let Some(receipts) = self.receipts.get_mut(&local).filter(|_| connection.is_open()) else { return };
        while receipts.under_way < RECEIPTS_MAX
            && let Some((peer, (epoch, seq))) = receipts.waiting.pop()
        {
            receipts.under_way += 1;
            self.name.clear();
            self.crew.plan.write_peer(peer, &mut self.name);
            let (name, cursor) = (&self.name, Cursor::new(epoch, seq));
            self.outgoing.frame(connection, local, RECEIPT_REF, |b| {
                let conversation = Some(conversation(b, self.crew.plan.address(name)));
                Receipt::create(b, &ReceiptArgs { conversation, kind: ReceiptKind::read, cursor: Some(&cursor) })
            });
        }
    }

    /// A receipt was answered, or refused: then its conversation is read again from its beginning, which does no harm.
    pub(super) fn receipt_answered(&mut self, local: u32) {
        if let Some(receipts) = self.receipts.get_mut(&local) {
            receipts.under_way -= 1;
            self.receipts_done += 1;
            self.next_receipts(local);
        }
    }
}
