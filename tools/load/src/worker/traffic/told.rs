//! What the server says besides messages: answers, and where conversations begin.

use campanile::wire::schema::{Ack, Body, Error, Frame, Gap, GoAway, Skip, SkipReason, Subscribed, Welcome};

use super::super::Worker;
use super::super::intake::{again_ns, in_words};
use super::super::setup::PAUSE_NS;
use super::asks::Verb;
use crate::account::Heard;

impl Worker<'_> {
    pub(super) fn told(&mut self, local: u32, frame: Frame<'_>, now_ns: u64) {
        let reference = frame.ref_();
        match frame.body_type() {
            Body::Ack => frame.body_as_ack().into_iter().for_each(|ack| self.acked(local, reference, ack, now_ns)),
            Body::Error => frame.body_as_error().into_iter().for_each(|error| self.refused(local, reference, error, now_ns)),
            Body::Welcome => frame.body_as_welcome().into_iter().for_each(|welcome| self.let_in(local, welcome, now_ns)),
            Body::Subscribed => frame.body_as_subscribed().into_iter().for_each(|said| self.begins(local, reference, said)),
            Body::Gap => frame.body_as_gap().into_iter().for_each(|gap| self.gap(local, gap)),
            Body::Skip => frame.body_as_skip().into_iter().for_each(|skip| self.skip(local, skip)),
            Body::GoAway => frame.body_as_go_away().into_iter().for_each(|goaway| self.sent_away(local, goaway, now_ns)),
            Body::GroupCreated | Body::PresenceAnswer => self.answer_of(local, reference),
            Body::Done if matches!(Verb::of(reference), Some((Verb::Receipt, _))) => self.receipt_is_done(local, true),
            Body::ReceiptEvent => self.tally.traffic.receipt_events += 1,
            Body::PresenceEvent => self.tally.traffic.presence_events += 1,
            _ => self.take_frame(local, frame, now_ns),
        }
    }

    fn answer_of(&mut self, local: u32, reference: u64) {
        match Verb::of(reference) {
            Some((verb, channel)) => self.answered(local, verb, channel, None),
            None => self.tally.unexpected += 1,
        }
    }

    fn acked(&mut self, local: u32, reference: u64, ack: Ack<'_>, now_ns: u64) {
        if let Some((verb, channel)) = Verb::of(reference) {
            if matches!(verb, Verb::Enter | Verb::Leave) {
                self.moved(local, verb, channel, (ack.epoch(), ack.seq()), now_ns);
            }
            return self.answer_of(local, reference);
        }
        let connection = &mut self.connections[local as usize];
        let Some(attempt) = connection.publisher.as_mut().and_then(|publisher| publisher.acked(reference)) else {
            self.tally.unexpected += 1;
            return;
        };
        self.tally.traffic.had_been_taken += u64::from(ack.duplicate());
        self.tally.acked(attempt, now_ns, &self.measured);
        let room = self.attendance(local).room_to_speak_in(attempt.channel);
        // Who does not receive a topic has no place in it.
        let is_right = !room.receives || room.take(ack.epoch(), ack.seq()) != Heard::OtherEpoch;
        self.ready.push(local);
        self.judge(local, Some(attempt.channel), is_right);
    }

    fn refused(&mut self, local: u32, reference: u64, error: Error<'_>, now_ns: u64) {
        self.tally.error(error.code().0);
        let again_ns = again_ns(error, now_ns);
        if let Some((Verb::Receipt, _)) = Verb::of(reference) {
            return self.receipt_is_done(local, false);
        }
        if let Some((verb, channel)) = Verb::of(reference) {
            return self.answered(local, verb, channel, Some((again_ns, in_words(error))));
        }
        if reference == 0 {
            return self.not_resumed(local, error);
        }
        if let Some(attempt) = self.publish_refused(local, reference, again_ns, now_ns) {
            self.tally.refused(attempt, self.receivers_of(local, attempt), &self.measured);
        }
    }

    /// An entry of the list with which a session came back.
    fn not_resumed(&mut self, local: u32, error: Error<'_>) {
        self.tally.traffic.not_resumed += 1;
        let channel = self.channel_of(local, error.conversation());
        let attendance = self.attendance(local);
        let room = channel.and_then(|channel| attendance.room(channel));
        if room.is_some_and(|room| room.is_refused()) && attendance.caught_up() {
            self.is_back(local);
        }
    }

    fn let_in(&mut self, local: u32, welcome: Welcome<'_>, now_ns: u64) {
        self.welcome(local, welcome);
        self.ready.push(local);
        self.has_come(local, now_ns);
        self.next_receipt(local);
    }

    fn begins(&mut self, local: u32, reference: u64, said: Subscribed<'_>) {
        if reference != 0 {
            self.answer_of(local, reference);
        }
        // Broadcast begins for everyone, whoever plays it.
        let Some(channel) = self.channel_of(local, said.conversation()) else { return };
        let attendance = self.attendance(local);
        if attendance.mover.is_some() {
            // The ack says where his membership begins.
            return;
        }
        let Some(room) = attendance.room(channel) else {
            self.tally.unexpected += 1;
            return;
        };
        let heard = room.begins(said.epoch(), said.next(), said.committed());
        let is_direct = matches!(
            self.crew.plan.traffic().map(|t| &t.channels[channel as usize].shape),
            Some(crate::scenario::Shape::Direct(_))
        );
        self.traffic.begun += u64::from(heard == Heard::New && !is_direct);
        // Another epoch is announced by a gap, which follows.
        self.judge(local, Some(channel), true);
    }

    fn gap(&mut self, local: u32, gap: Gap<'_>) {
        self.tally.gaps += 1;
        let channel = self.channel_of(local, gap.conversation());
        if let Some(room) = channel.and_then(|channel| self.attendance(local).room(channel)) {
            room.begins_anew(gap.epoch(), gap.first());
        }
        self.judge(local, channel, true);
    }

    fn skip(&mut self, local: u32, skip: Skip<'_>) {
        let seqs = skip.from()..skip.to().saturating_add(1);
        match skip.why() {
            SkipReason::filtered => self.tally.traffic.filtered += seqs.end.saturating_sub(seqs.start),
            SkipReason::members_changed => {}
            _ => self.tally.gaps += 1,
        }
        let channel = self.channel_of(local, skip.conversation());
        let room = channel.and_then(|channel| self.attendance(local).room(channel));
        let heard = room.map(|room| room.skip(skip.epoch(), seqs));
        self.judge(local, channel, heard == Some(Heard::New));
    }

    fn sent_away(&mut self, local: u32, goaway: GoAway<'_>, now_ns: u64) {
        self.go_away(local, goaway, now_ns);
        let connection = &mut self.connections[local as usize];
        if connection.is_logged_in() {
            connection.again_ns = Some(now_ns + u64::from(goaway.reconnect_after_ms()).max(PAUSE_NS / 1_000_000) * 1_000_000);
        }
    }
}
