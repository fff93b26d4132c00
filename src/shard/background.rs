//! What may take its time: glommio tasks that run between turns, a slice at a time, when there are any.
//!
//! Each second the shard sends [`Job::Sweep`] to its background task, which walks over all conversations and forgets what ran out: dedupe
//! windows, and topics that nobody receives and that keep nothing. Nothing waits for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use glommio::channels::local_channel::{LocalReceiver, LocalSender, new_bounded};

use super::Shard;

/// Conversations that are looked at before the loop has its next turn.
const SLICE: usize = 512;
/// Between two sweeps.
const SWEEP_EVERY_MS: u64 = 1000;

/// Work for the background task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Look at all conversations once.
    Sweep,
}

/// The loop's side: it knows whether a task has something to do.
pub(super) struct Background {
    jobs: LocalSender<Job>,
    left: Rc<Cell<usize>>,
    sweep_at_ms: u64,
}

impl Background {
    /// Starts the task on this thread's executor.
    pub(super) fn start(shard: Rc<RefCell<Shard>>) -> Background {
        let (jobs, inbox) = new_bounded(1);
        let left = Rc::new(Cell::new(0));
        glommio::spawn_local(work(inbox, shard, left.clone())).detach();
        Background { jobs, left, sweep_at_ms: 0 }
    }

    /// Whether the loop should let glommio run.
    pub(super) fn has_work(&self) -> bool {
        self.left.get() > 0
    }

    /// Hands out what is due.
    pub(super) fn tick(&mut self, now_ms: u64) {
        if now_ms >= self.sweep_at_ms && self.jobs.try_send(Job::Sweep).is_ok() {
            self.sweep_at_ms = now_ms + SWEEP_EVERY_MS;
            self.left.set(self.left.get() + 1);
        }
    }
}

async fn work(inbox: LocalReceiver<Job>, shard: Rc<RefCell<Shard>>, left: Rc<Cell<usize>>) {
    while let Some(Job::Sweep) = inbox.recv().await {
        let mut next = Some(0);
        while let Some(from) = next {
            // The shard is borrowed for one slice and given back before the loop has its turn.
            next = shard.borrow_mut().sweep(from, SLICE);
            glommio::executor().yield_task_queue_now().await;
        }
        left.set(left.get() - 1);
    }
}

impl Shard {
    /// Looks at some conversations; says where to go on.
    fn sweep(&mut self, from: usize, count: usize) -> Option<usize> {
        let next = self.conversations.sweep(from, count, self.now, &mut self.fx);
        self.run_store();
        next
    }
}
