//! Traffic: connections that speak and receive in many conversations, drop, and come back.

mod absence;
mod asks;
mod attendance;
mod hear;
mod known;
mod manners;
mod moves;
mod speak;
mod told;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Worker;
use crate::scenario::{Draw, Plan};
use absence::Leavers;
pub(super) use absence::{attached, resume};
use asks::Asks;
pub use attendance::Attendance;
use known::Known;
use moves::Movers;

/// What a worker keeps for traffic, besides its connections.
pub(super) struct Traffic {
    draw: Draw,
    known: Known,
    asks: Asks,
    /// When who tries to come back.
    returning: BinaryHeap<Reverse<(u64, u32)>>,
    /// Those who leave together have left.
    has_left: bool,
    leavers: Leavers,
    movers: Movers,
    /// Sessions that are.
    pub(super) away: u64,
    /// How often one of the sessions was told that it receives something that it had not.
    pub(super) begun: u64,
}

impl Traffic {
    /// For worker `id`.
    pub(super) fn new(plan: &Plan, id: u32) -> Traffic {
        let speakers = plan.traffic().map_or(&[][..], |traffic| &traffic.speakers);
        let own = speakers.iter().copied().filter(|speaker| plan.place(speaker.connection).0 == id);
        Traffic {
            draw: Draw::new(own, u64::from(plan.run) << 8 | u64::from(id)),
            known: Known::default(),
            asks: Asks::default(),
            returning: BinaryHeap::new(),
            has_left: false,
            leavers: Leavers::default(),
            movers: Movers::default(),
            away: 0,
            begun: 0,
        }
    }

    /// What must come to an end before the run does.
    pub(super) fn pending(&self) -> u64 {
        self.away + self.movers.under_way
    }

    /// Requests other than publishes that were answered.
    pub(super) fn answered(&self) -> [u64; 2] {
        [self.asks.founded, self.asks.joined]
    }
}

/// Gives each connection of a worker the conversations that it receives.
pub(super) fn attend(plan: &Plan, id: u32, connections: &mut [super::Connection]) {
    let Some(traffic) = plan.traffic() else { return };
    for connection in connections.iter_mut() {
        connection.attendance = Some(Box::default());
    }
    traffic.each_receiver(|connection, channel| {
        let (worker, local) = plan.place(connection);
        if worker == id
            && let Some(attendance) = &mut connections[local as usize].attendance
        {
            attendance.receives(channel);
        }
    });
    for speaker in &traffic.speakers {
        let (worker, local) = plan.place(speaker.connection);
        if worker == id
            && let Some(attendance) = &mut connections[local as usize].attendance
        {
            attendance.speaks = true;
        }
    }
}

impl Worker<'_> {
    fn attendance(&mut self, local: u32) -> &mut Attendance {
        self.connections[local as usize].attendance.as_mut().expect("all connections of traffic have one")
    }
}
