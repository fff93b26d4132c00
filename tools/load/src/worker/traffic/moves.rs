//! Users who join a group, stay for a while, and leave it.

use super::super::Worker;
use super::super::schedule::Schedule;
use super::asks::Verb;
use crate::account::{Visited, Visits};
use crate::scenario::Moves;

/// One who moves.
#[derive(Debug, Default)]
pub struct Mover {
    /// What his memberships bring.
    pub visits: Visits,
    /// The group that he is in.
    within: Option<u32>,
    /// When the move under way was meant to begin.
    moving_since_ns: Option<u64>,
}

/// The movers of a worker, in turn.
#[derive(Debug, Default)]
pub(super) struct Movers {
    locals: Vec<u32>,
    next: usize,
    schedule: Option<Schedule>,
    random: Option<fastrand::Rng>,
    /// Moves without an answer.
    pub(super) under_way: u64,
}

impl Worker<'_> {
    /// The run begins.
    pub(super) fn begin_moves(&mut self, from_ns: u64) {
        let plan = &self.crew.plan;
        let Some(Moves { who, per_s }) = plan.traffic().and_then(|traffic| traffic.moves.as_ref()) else { return };
        let own = |local: &u32| who.contains(&self.connections[*local as usize].index);
        let locals: Vec<u32> = (0..self.connections.len() as u32).filter(own).collect();
        let schedule = Schedule::new(from_ns, *per_s, locals.len() as u64, who.len() as u64);
        let random = fastrand::Rng::with_seed(u64::from(plan.run) << 8 | u64::from(self.id));
        self.traffic.movers =
            Movers { schedule: (!locals.is_empty()).then_some(schedule), locals, random: Some(random), ..Movers::default() };
    }

    /// When the next move is due.
    pub(super) fn next_move_ns(&self) -> Option<u64> {
        self.traffic.movers.schedule.as_ref().map(Schedule::next_ns)
    }

    /// Moves fall due.
    pub(super) fn move_on(&mut self, now_ns: u64) {
        while let Some((_, intended_ns)) = self.traffic.movers.schedule.as_mut().and_then(|schedule| schedule.take(now_ns)) {
            self.next_mover(intended_ns);
        }
    }

    fn next_mover(&mut self, intended_ns: u64) {
        let movers = &mut self.traffic.movers;
        let count = movers.locals.len();
        let start = movers.next;
        movers.next = (start + 1) % count;
        let free = |local: &u32| {
            let connection = &self.connections[*local as usize];
            let mover = connection.attendance.as_ref().and_then(|attendance| attendance.mover.as_ref());
            connection.is_logged_in() && mover.is_none_or(|mover| mover.moving_since_ns.is_none())
        };
        // All are on their way: the server answers more slowly than they move.
        let Some(local) = (0..count).map(|i| movers.locals[(start + i) % count]).find(free) else {
            self.tally.traffic.moves_left_out += 1;
            return;
        };
        let channels = self.crew.plan.traffic().map_or(1, |traffic| traffic.channels.len() as u32);
        let random = movers.random.as_mut().map_or(0, |random| random.u32(0..channels));
        movers.under_way += 1;
        let mover = self.attendance(local).mover.get_or_insert_default();
        mover.moving_since_ns = Some(intended_ns);
        match mover.within {
            Some(channel) => self.ask_for(local, Verb::Leave, channel),
            None => self.ask_for(local, Verb::Enter, random),
        }
    }

    /// A move was answered, with the place of its record.
    pub(super) fn moved(&mut self, local: u32, verb: Verb, channel: u32, (epoch, seq): (u64, u64), now_ns: u64) {
        let Some(mover) = &mut self.attendance(local).mover else { return };
        let since_ns = mover.moving_since_ns.take();
        let is_right = match verb {
            Verb::Leave => {
                mover.within = None;
                mover.visits.ends(channel, epoch, seq)
            }
            _ => {
                mover.within = Some(channel);
                mover.visits.begins(channel, epoch, seq + 1);
                true
            }
        };
        self.traffic.movers.under_way -= 1;
        self.tally.unexpected += u64::from(!is_right);
        self.tally.traffic.moves.saturating_record(now_ns.saturating_sub(since_ns.unwrap_or(now_ns)));
    }

    /// A connection ended: its move is not answered any more.
    pub(super) fn nothing_moves(&mut self, local: u32) {
        let mover = self.attendance(local).mover.as_mut();
        let was_moving = mover.is_some_and(|mover| mover.moving_since_ns.take().is_some());
        self.traffic.movers.under_way -= u64::from(was_moving);
    }

    /// Something came through a group to one who moves. None: he does not.
    pub(super) fn visited(&mut self, local: u32, channel: u32, epoch: u64, seq: u64) -> Option<Visited> {
        let mover = self.attendance(local).mover.as_mut()?;
        Some(mover.visits.take(channel, epoch, seq))
    }
}
