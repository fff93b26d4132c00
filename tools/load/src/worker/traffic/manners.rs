//! What people do besides talking: they say what they have read, and watch who is there.

use campanile::wire::conversation;
use campanile::wire::schema::{Cursor, PresenceWatch, PresenceWatchArgs, Receipt, ReceiptArgs, ReceiptKind};

use super::super::Worker;
use super::asks::Verb;
use crate::scenario::Shape;

/// Of so many members who get a message, one says that he has read it.
const GROUP_RECEIPTS: u64 = 10;

impl Worker<'_> {
    /// A message came: its receiver says so, as soon as what he said before was answered. Of a group's message every tenth does.
    pub(super) fn has_read(&mut self, local: u32, channel: u32, number: u64) {
        let Some(traffic) = self.crew.plan.traffic().filter(|traffic| traffic.receipts) else { return };
        let says_so = match traffic.channels[channel as usize].shape {
            Shape::Direct(_) => true,
            Shape::Group(_) => (u64::from(self.connections[local as usize].index) + number).is_multiple_of(GROUP_RECEIPTS),
            Shape::Topic(_) | Shape::Broadcast => false,
        };
        if !says_so {
            return;
        }
        let attendance = self.attendance(local);
        if !attendance.unread.contains(&channel) {
            attendance.unread.push_back(channel);
        }
        self.next_receipt(local);
    }

    pub(super) fn next_receipt(&mut self, local: u32) {
        let connection = &mut self.connections[local as usize];
        if !connection.is_logged_in() {
            return;
        }
        let attendance = connection.attendance.as_mut().expect("all connections of traffic have one");
        if attendance.receipt_under_way {
            return;
        }
        let Some(channel) = attendance.unread.pop_front() else { return };
        let Some((epoch, seq)) = attendance.room(channel).and_then(|room| room.cursor()) else { return };
        attendance.receipt_under_way = true;
        let address = self.crew.plan.channel_address(channel, connection.index, &mut self.name);
        self.outgoing.frame(connection, local, Verb::Receipt.reference(channel), |b| {
            let (conversation, cursor) = (Some(conversation(b, address)), Cursor::new(epoch, seq));
            Receipt::create(b, &ReceiptArgs { conversation, kind: ReceiptKind::read, cursor: Some(&cursor) })
        });
    }

    /// A receipt was answered or refused.
    pub(super) fn receipt_is_done(&mut self, local: u32, is_taken: bool) {
        self.attendance(local).receipt_under_way = false;
        self.tally.traffic.receipts += u64::from(is_taken);
        self.next_receipt(local);
    }

    /// Whether a session is to watch somebody.
    pub(super) fn watches_somebody(&mut self, local: u32) -> bool {
        let Some(traffic) = self.crew.plan.traffic().filter(|traffic| traffic.watches > 0) else { return false };
        let connection = &mut self.connections[local as usize];
        let rooms = connection.attendance.as_mut().map(|attendance| attendance.rooms().iter().map(|room| room.channel));
        rooms.is_some_and(|rooms| !traffic.watched(connection.index, rooms).is_empty())
    }

    /// Watches some of the others in the groups of a session.
    pub(super) fn watch(&mut self, local: u32) {
        let plan = &self.crew.plan;
        let Some(traffic) = plan.traffic() else { return };
        let connection = &mut self.connections[local as usize];
        let attendance = connection.attendance.as_mut().expect("all connections of traffic have one");
        let users = traffic.watched(connection.index, attendance.rooms().iter().map(|room| room.channel));
        self.outgoing.frame(connection, local, Verb::Watch.reference(0), |b| {
            let names: Vec<_> = users.iter().map(|user| b.create_string(&plan.user(*user))).collect();
            let users = Some(b.create_vector(&names));
            PresenceWatch::create(b, &PresenceWatchArgs { users })
        });
    }
}
