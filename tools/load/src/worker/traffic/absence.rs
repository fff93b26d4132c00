//! Sessions that drop, and come back with their cursors.

use std::cmp::Reverse;

use campanile::id::Address;
use campanile::ring::Ring;
use campanile::wire::Fbb;
use campanile::wire::conversation;
use campanile::wire::schema::{Cursor, Resume, ResumeArgs};
use flatbuffers::{ForwardsUOffset, Vector, WIPOffset};

use super::super::connection::State;
use super::super::schedule::Schedule;
use super::super::setup::PAUSE_NS;
use super::super::{Publishing, Worker};
use super::asks::{Verb, tags};
use super::attendance::{Absence, Attendance};
use crate::scenario::{Leaving, Plan};

/// Those of a worker who drop one after the other.
#[derive(Debug, Default)]
pub(super) struct Leavers {
    locals: Vec<u32>,
    next: usize,
    schedule: Option<Schedule>,
}

impl Worker<'_> {
    /// The run begins.
    pub(super) fn begin_to_leave(&mut self, from_ns: u64) {
        let Some(Leaving::InTurn { who, per_s, .. }) = self.crew.plan.traffic().map(|traffic| &traffic.leaving) else { return };
        let own = |local: &u32| who.contains(&self.connections[*local as usize].index);
        let locals: Vec<u32> = (0..self.connections.len() as u32).filter(own).collect();
        let schedule = Schedule::new(from_ns, *per_s, locals.len() as u64, who.len() as u64);
        self.traffic.leavers = Leavers { schedule: (!locals.is_empty()).then_some(schedule), locals, next: 0 };
    }

    /// Those whose turn it is drop.
    pub(super) fn leave_in_turn(&mut self, ring: &mut Ring, now_ns: u64) {
        let Some(Leaving::InTurn { away_ns, .. }) = self.crew.plan.traffic().map(|traffic| &traffic.leaving) else { return };
        while let Some((_, intended_ns)) = self.traffic.leavers.schedule.as_mut().and_then(|schedule| schedule.take(now_ns)) {
            let leavers = &mut self.traffic.leavers;
            let (turn, count) = (leavers.next, leavers.locals.len());
            leavers.next += 1;
            // A step that has no divisor in common with most counts: neighbours, who talk to each other, do not leave together.
            let local = leavers.locals[turn.wrapping_mul(7919) % count];
            self.leave(ring, local, intended_ns + away_ns[turn % 2]);
        }
    }

    pub(super) fn leave_and_return(&mut self, ring: &mut Ring, now: u64) {
        if let Some(Leaving::Together { who, away_ns }) = self.crew.plan.traffic().map(|traffic| &traffic.leaving)
            && now >= self.crew.stage.storm_from_ns()
            && !std::mem::replace(&mut self.traffic.has_left, true)
        {
            let due_ns = self.crew.stage.storm_from_ns() + away_ns;
            for local in 0..self.connections.len() as u32 {
                if who.contains(&self.connections[local as usize].index) {
                    self.leave(ring, local, due_ns);
                }
            }
        }
        let from_ns = self.crew.stage.return_from_ns();
        while let Some(Reverse((at_ns, local))) = self.traffic.returning.peek().copied()
            && at_ns.max(from_ns) <= now
        {
            self.traffic.returning.pop();
            self.attendance(local).absence.iter_mut().for_each(|absence| absence.due_ns = absence.due_ns.max(from_ns));
            self.to_make.push_back(local);
        }
        if !self.to_make.is_empty() {
            self.log_in(ring);
        }
    }

    /// Drops a session that is there; it comes back at that time.
    pub(super) fn leave(&mut self, ring: &mut Ring, local: u32, due_ns: u64) {
        let connection = &mut self.connections[local as usize];
        if !connection.is_logged_in() {
            return;
        }
        let attendance = connection.attendance.as_mut().expect("all connections of traffic have one");
        if attendance.absence.is_some() {
            // It has hardly come back.
            return;
        }
        attendance.is_leaving = true;
        self.traffic.away += 1;
        attendance.absence = Some(Absence { due_ns, next_ns: due_ns, behind: 0 });
        self.tally.traffic.dropped += 1;
        self.end(ring, local);
    }

    /// A connection has ended, on purpose or not. Says whether it is one that comes back.
    pub(in super::super) fn is_away(&mut self, local: u32, before: State) -> bool {
        let now = self.crew.stage.now_ns();
        let was_in = !matches!(before, State::Upgrading | State::LoggingIn);
        let connection = &mut self.connections[local as usize];
        let Some(attendance) = connection.attendance.as_mut().filter(|a| was_in || a.absence.is_some()) else { return false };
        if !std::mem::take(&mut attendance.is_leaving) {
            let next_ns = connection.again_ns.take().unwrap_or(now + PAUSE_NS);
            self.traffic.away += u64::from(attendance.absence.is_none());
            let absence = attendance.absence.get_or_insert(Absence { due_ns: now, next_ns, behind: 0 });
            absence.next_ns = next_ns;
            self.tally.disconnects += u64::from(was_in);
        }
        connection.again_ns = None;
        if was_in {
            self.logged_in -= 1;
            connection.publisher.iter_mut().for_each(|publisher| publisher.disconnected());
        } else {
            self.under_way -= 1;
        }
        attendance.receipt_under_way = false;
        self.nothing_moves(local);
        self.nothing_is_answered(local);
        true
    }

    /// The slot of one that comes back is free.
    pub(in super::super) fn may_come_back(&mut self, local: u32) -> bool {
        let connection = &mut self.connections[local as usize];
        let Some(absence) = connection.attendance.as_ref().and_then(|attendance| attendance.absence) else { return false };
        connection.state = State::None;
        self.traffic.returning.push(Reverse((absence.next_ns, local)));
        true
    }

    /// A session that comes back could not even begin to connect: it tries again. False: it is not one of these.
    pub(in super::super) fn comes_back_later(&mut self, local: u32) -> bool {
        let again_ns = self.crew.stage.now_ns() + PAUSE_NS;
        let attendance = self.connections[local as usize].attendance.as_ref();
        let is_away = attendance.is_some_and(|attendance| attendance.absence.is_some());
        if is_away {
            self.traffic.returning.push(Reverse((again_ns, local)));
        }
        is_away
    }

    /// Welcome came.
    pub(super) fn has_come(&mut self, local: u32, now_ns: u64) {
        let Some(Absence { due_ns, behind, .. }) = self.attendance(local).absence else { return };
        self.tally.traffic.relogins.saturating_record(now_ns.saturating_sub(due_ns));
        if behind == 0 {
            self.is_back(local);
        }
    }

    /// A session has all that was there when it came.
    pub(super) fn is_back(&mut self, local: u32) {
        let Some(Absence { due_ns, .. }) = self.attendance(local).absence.take() else { return };
        let now = self.crew.stage.now_ns();
        self.traffic.away -= 1;
        self.tally.traffic.returned += 1;
        self.tally.traffic.returns.saturating_record(now.saturating_sub(due_ns));
        self.crew.stage.came_back(now);
        // Who was watched is forgotten with the session.
        if self.watches_somebody(local) {
            self.ask_for(local, Verb::Watch, 0);
        }
    }

    /// When time alone brings something.
    pub(in super::super) fn traffic_due_ns(&self) -> Option<u64> {
        let returning = self.traffic.returning.peek().map(|Reverse((at_ns, _))| (*at_ns).max(self.crew.stage.return_from_ns()));
        let storm =
            Some(self.crew.stage.storm_from_ns()).filter(|_| !self.traffic.has_left && self.crew.plan.traffic().is_some());
        let going = Some(()).filter(|()| self.publishing == Publishing::Going);
        let leaving = going.and(self.traffic.leavers.schedule.as_ref()).map(Schedule::next_ns);
        returning.into_iter().chain(storm).chain(leaving).chain(going.and(self.next_move_ns())).min()
    }
}

/// The topics that a session of `idle` is attached to, for its Connect.
pub(in super::super) fn attached<'a>(
    plan: &Plan,
    index: u32,
    name: &mut String,
    b: &mut Fbb,
) -> Option<WIPOffset<Vector<'a, ForwardsUOffset<Resume<'a>>>>> {
    let count = plan.attached();
    let mut list = Vec::with_capacity(count as usize);
    for nth in 0..count {
        name.clear();
        plan.write_attached(index, nth, name);
        let conversation = Some(conversation(b, Address::Topic(name)));
        list.push(Resume::create(b, &ResumeArgs { conversation, ..ResumeArgs::default() }));
    }
    (count > 0).then(|| b.create_vector(&list))
}

/// Where a session that comes back stands, in all conversations of which it knows. Says how many they are in its absence.
pub(in super::super) fn resume<'a>(
    plan: &Plan,
    index: u32,
    attendance: &mut Attendance,
    name: &mut String,
    b: &mut Fbb,
) -> Option<WIPOffset<Vector<'a, ForwardsUOffset<Resume<'a>>>>> {
    attendance.absence?;
    let mut list = Vec::new();
    for room in attendance.rooms() {
        let Some((epoch, seq)) = room.present() else { continue };
        let tags = tags(plan, index, room.channel, b);
        let conversation = Some(conversation(b, plan.channel_address(room.channel, index, name)));
        let cursor = Cursor::new(epoch, seq);
        list.push(Resume::create(b, &ResumeArgs { conversation, cursor: Some(&cursor), tags }));
    }
    attendance.absence.iter_mut().for_each(|absence| absence.behind = list.len() as u32);
    Some(b.create_vector(&list))
}
