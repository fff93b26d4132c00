//! The host: a glommio executor that is pinned to the shard's core and runs its loop.
//!
//! What glommio does in a turn: nothing, unless a background task has work. Our ring is the thread's only sleeper; the loop never awaits
//! anything that glommio would have to wake. Only when [`Background::has_work`] says so, it yields once, and glommio polls its own rings
//! and runs what is ready. `a_turn_costs_glommio_nothing` below holds it to that.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::background::Background;
use super::{Blueprint, Shard};
use crate::ring::RingHandle;

/// The executor's own rings are hardly used: this is as small as they get.
const RING_DEPTH: usize = 16;
/// Memory that glommio sets apart for its own I/O, which there is none of. Bytes.
const IO_MEMORY: usize = 64 * 1024;

/// A shard's thread.
pub struct Hosted(ExecutorJoinHandle<io::Result<()>>);

impl Hosted {
    /// Waits for its end.
    ///
    /// # Errors
    /// What ended it, if it was not asked to stop.
    pub fn join(self) -> io::Result<()> {
        self.0.join().map_err(|error| io::Error::other(error.to_string()))?
    }
}

/// Starts a shard's thread. It makes its ring, tells its handle (or why it has none), waits for those of all shards, and runs.
///
/// # Errors
/// Why glommio has no executor for it: memlock, descriptors, a processor that does not exist.
pub fn spawn(
    blueprint: Blueprint,
    ready: Sender<io::Result<RingHandle>>,
    rings: Receiver<Vec<RingHandle>>,
) -> io::Result<Hosted> {
    let builder = LocalExecutorBuilder::new(Placement::Fixed(blueprint.cpu))
        .name(&format!("shard-{}", blueprint.id))
        .ring_depth(RING_DEPTH)
        .io_memory(IO_MEMORY);
    let executor = builder.spawn(move || run(blueprint, ready, rings));
    executor.map(Hosted).map_err(|error| io::Error::other(error.to_string()))
}

async fn run(blueprint: Blueprint, ready: Sender<io::Result<RingHandle>>, rings: Receiver<Vec<RingHandle>>) -> io::Result<()> {
    let ring = match Shard::ring(&blueprint) {
        Ok(ring) => ring,
        Err(error) => {
            let _ = ready.send(Err(error));
            return Ok(());
        }
    };
    let _ = ready.send(Ok(ring.handle()));
    // Whoever started us gives up when another shard could not start.
    let Ok(rings) = rings.recv() else { return Ok(()) };
    let shard = Rc::new(RefCell::new(Shard::start(blueprint, ring, rings)?));
    let mut background = Background::start(shard.clone());
    loop {
        let now_ms = {
            let mut shard = shard.borrow_mut();
            if !shard.turn()? {
                // The executor may keep the background task, and so the shard, for longer than this thread runs.
                shard.keep.close();
                return Ok(());
            }
            shard.now.mono_ms
        };
        background.tick(now_ms);
        if background.has_work() {
            shard.borrow().metrics().glommio_yields.inc();
            glommio::executor().yield_task_queue_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::TcpListener;
    use std::rc::Rc;
    use std::sync::Arc;

    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;
    use crate::control::metrics;
    use crate::conversation::Policies;
    use crate::limits::Limits;
    use crate::mesh::lanes::{Doorbell, Lanes};
    use crate::shard::Stop;
    use crate::slot::Slots;
    use crate::ws::Rules;

    /// A shard that is alone, and its bell, which keeps it from sleeping.
    fn shard() -> (Shard, Arc<[Doorbell]>) {
        let bells: Arc<[Doorbell]> = Arc::from([Doorbell::new().expect("a descriptor")]);
        let blueprint = Blueprint {
            id: 0,
            cpu: 0,
            listener: TcpListener::bind("127.0.0.1:0").expect("a port"),
            ws: None,
            rules: Arc::new(Rules::default()),
            lanes: Lanes::mesh(1024, &bells).remove(0),
            slots: Slots::new(1, 1),
            limits: Arc::new(Limits::default()),
            policies: Policies::in_memory(),
            disk: None,
            metrics: metrics::for_shards(1),
            stop: Arc::new(Stop::default()),
            ring_slots: 16,
            first_epoch: 1,
            seed: 1,
        };
        let ring = Shard::ring(&blueprint).expect("a ring");
        let rings = vec![ring.handle()];
        (Shard::start(blueprint, ring, rings).expect("a shard"), bells)
    }

    #[test]
    fn a_turn_costs_glommio_nothing() {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).ring_depth(RING_DEPTH).io_memory(IO_MEMORY);
        let executor = builder.make().expect("glommio has an executor");
        executor.run(async {
            let (mut shard, bells) = shard();
            let ran = Rc::new(Cell::new(0));
            let task_ran = ran.clone();
            glommio::spawn_local(async move {
                loop {
                    task_ran.set(task_ran.get() + 1);
                    glommio::executor().yield_task_queue_now().await;
                }
            })
            .detach();
            // It may have begun already, as far as its first yield; from there on it is always ready.
            let begun = ran.get();
            // Statistics count from the last time that they were asked for.
            glommio::executor().executor_stats();
            for _ in 0..1000 {
                bells[0].ring();
                assert!(shard.turn().expect("a turn"));
            }
            assert_eq!(shard.metrics().turns.get(), 1000);
            assert_eq!(ran.get(), begun, "a task that is ready does not run between turns");
            assert_eq!(glommio::executor().executor_stats().scheduler_runs(), 0, "glommio was not even asked");
            glommio::executor().yield_task_queue_now().await;
            assert_eq!(ran.get(), begun + 1, "one yield is one run of what is ready");
        });
    }
}
