//! What hits the server in a cycle, and how it must stand it.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use campanile_client::{Client, Options as ClientOptions, Publish};
use fastrand::Rng;

use super::{BACK_TIMEOUT, END_TIMEOUT, End, Event, Failure, PUBLISHER_TIMEOUT, Run, of_server};
use crate::disk::{BLOCK_BYTES, DiskError, Faults, Fired};
use crate::entry::{Entry, fingerprint};
use crate::options::{FaultMode, Options};
use crate::process::Start;

/// How long an operation of the disk may take before the power goes in its middle, as that of a slow disk does.
const OPERATION_MS_MAX: u64 = 20;

/// By these files a server knows what it has acknowledged: whatever it does when their sync has failed is built on nothing. What is in any other
/// file is in journals too as long as it has not been synced.
fn vouches(name: &OsStr) -> bool {
    name == "mark" || Path::new(name).extension().is_some_and(|extension| extension == "jnl")
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Nothing, to try the tool.
    Nothing,
    /// SIGKILL.
    Kill,
    /// SIGKILL, and once more while the server recovers.
    KillTwice,
    /// The power goes at once.
    Power,
    /// The power goes with one of the next operations of the disk.
    PowerAtOperation,
    /// The power goes, and once more while the server recovers.
    PowerTwice,
    /// An fsync fails.
    Sync,
    /// Some writes fail.
    Write,
    /// The disk is full for a while.
    Full,
}

impl Blow {
    /// The one of a cycle.
    pub fn choose(options: &Options, rng: &mut Rng) -> Blow {
        if options.no_kill {
            return Blow::Nothing;
        }
        let power = [Blow::Power, Blow::PowerAtOperation, Blow::PowerAtOperation, Blow::PowerTwice][rng.usize(..4)];
        match options.faults {
            _ if !options.power_loss => [Blow::Kill, Blow::Kill, Blow::Kill, Blow::KillTwice][rng.usize(..4)],
            FaultMode::None => power,
            FaultMode::Sync => Blow::Sync,
            FaultMode::Write => Blow::Write,
            FaultMode::Full => Blow::Full,
            FaultMode::Mix => [power, Blow::Sync, Blow::Write, Blow::Full][rng.usize(..4)],
        }
    }

    /// The latest moment, in answers: what needs traffic afterwards comes in the first half.
    pub fn latest(self, steps: u64) -> u64 {
        match self {
            Blow::Nothing | Blow::Kill | Blow::KillTwice | Blow::Power => steps.max(1),
            _ => (steps / 2).max(1),
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Blow::Nothing => "nothing",
            Blow::Kill => "kill",
            Blow::KillTwice => "kill, and again in recovery,",
            Blow::Power => "power loss",
            Blow::PowerAtOperation => "power loss at an operation of the disk",
            Blow::PowerTwice => "power loss, and again in recovery,",
            Blow::Sync => "failed fsync",
            Blow::Write => "failed writes",
            Blow::Full => "full disk",
        }
    }
}

/// A failure that stops the whole run, since the disk could not be brought up again.
fn disk(error: std::io::Error) -> Failure {
    Failure::Operator(format!("the disk cannot be mounted again: {error}"))
}

impl Run {
    /// Strikes; when it is over, a server runs and the publisher has all its answers.
    pub(super) fn strike(&mut self, blow: Blow, rng: &mut Rng, cycle: u64) -> Result<End, Failure> {
        let struck = match blow {
            Blow::Nothing => Ok(()),
            Blow::Kill => self.kill(),
            Blow::KillTwice => self.kill_twice(rng)?,
            Blow::Power => self.lose_power()?,
            Blow::PowerAtOperation => {
                self.hold_without_power();
                self.arm(Faults { power: Some(rng.u64(1..=60)), ..Faults::default() });
                if self.wait_for_fault(|fired| *fired == Fired::Power).is_some() {
                    // The disk had been at it for a while when the power went. No condition tells when a server has done what it should
                    // not do meanwhile.
                    std::thread::sleep(Duration::from_millis(rng.u64(0..=OPERATION_MS_MAX)));
                }
                self.lose_power()?
            }
            Blow::PowerTwice => self.lose_power_twice(rng)?,
            Blow::Sync => match self.fail_a_sync(rng)? {
                Some(struck) => struck,
                None => return self.stands_it(cycle),
            },
            Blow::Write => return self.fail_writes(rng, cycle),
            Blow::Full => return self.fill_the_disk(rng, cycle),
        };
        if let Err(violation) = struck {
            return Ok(End::Violated(violation));
        }
        if self.server.is_none()
            && let End::Violated(violation) = self.start()?
        {
            return Ok(End::Violated(violation));
        }
        Ok(match self.wait_for_word("done") {
            Ok(()) => End::Fine,
            Err(violation) => End::Violated(violation),
        })
    }

    /// SIGKILL. It must have lived until then.
    fn kill(&mut self) -> Result<(), super::Violation> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let ended = server.status();
        server.kill();
        self.report.kills += 1;
        match ended {
            None => Ok(()),
            Some(status) => Err(of_server("it lives until it is killed", format!("it ended by itself: {status}"))),
        }
    }

    fn kill_twice(&mut self, rng: &mut Rng) -> Result<Result<(), super::Violation>, Failure> {
        if let Err(violation) = self.kill() {
            return Ok(Err(violation));
        }
        let mut server = self.spawn()?;
        // The moment is a time here: what a server does while it starts cannot be counted from outside.
        let moment = Duration::from_millis(rng.u64(1..=80));
        if let Start::Ended = server.ready(moment) {
            return Ok(Err(of_server("it starts on the data that it left", "it ended".to_owned())));
        }
        server.kill();
        self.report.kills += 1;
        Ok(Ok(()))
    }

    fn hold_without_power(&self) {
        if let Some(disk) = &self.disk {
            disk.hold_without_power();
        }
    }

    fn arm(&self, faults: Faults) {
        if let Some(disk) = &self.disk {
            disk.arm(faults);
        }
    }

    /// Waits until a fault has fired; `None` if the publisher was done before.
    fn wait_for_fault(&self, wanted: impl Fn(&Fired) -> bool) -> Option<Fired> {
        let deadline = Instant::now() + END_TIMEOUT;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Fired(fired)) if wanted(&fired) => return Some(fired),
                Ok(Event::Said(word)) if word == "done" || word == "ended" => {
                    // Whoever waits for this word next shall hear it.
                    let _ = self.sender.send(Event::Said(word));
                    return None;
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Waits until a request was refused for now; false if the publisher was done before.
    fn wait_for_refusal(&self) -> bool {
        let deadline = Instant::now() + BACK_TIMEOUT;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Said(word)) if word == "refused" => return true,
                Ok(Event::Said(word)) if word == "done" || word == "ended" => {
                    let _ = self.sender.send(Event::Said(word));
                    return false;
                }
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// The power goes; the disk comes back with what it had.
    fn lose_power(&mut self) -> Result<Result<(), super::Violation>, Failure> {
        let Some(mounted) = &mut self.disk else { return Ok(Ok(())) };
        mounted.cut_power();
        if let Some(mut server) = self.server.take() {
            server.begin_kill();
            mounted.let_go();
            server.kill();
            self.report.kills += 1;
        }
        self.report.unsynced += mounted.power_up().map_err(disk)?;
        self.report.power_losses += 1;
        Ok(Ok(()))
    }

    fn lose_power_twice(&mut self, rng: &mut Rng) -> Result<Result<(), super::Violation>, Failure> {
        if let Err(violation) = self.lose_power()? {
            return Ok(Err(violation));
        }
        self.arm(Faults { power: Some(rng.u64(1..=40)), ..Faults::default() });
        let mut server = self.spawn()?;
        // Without power it does not get on, or ends; with more operations left than a start takes, it starts.
        let deadline = Instant::now() + super::START_TIMEOUT;
        while Instant::now() < deadline
            && matches!(server.ready(Duration::from_millis(5)), Start::NotYet)
            && self.events.try_recv() != Ok(Event::Fired(Fired::Power))
        {}
        self.server = Some(server);
        self.lose_power()
    }

    /// An fsync fails: the server must end by itself, with a reason and a status that is not 0. What a disk does then is lose what was not
    /// synced. `None`: it may go on, since the file vouches for nothing, and does.
    fn fail_a_sync(&mut self, rng: &mut Rng) -> Result<Option<Result<(), super::Violation>>, Failure> {
        let said_before = self.place.length("server.stderr");
        self.arm(Faults { sync: Some(rng.u64(1..=4)), ..Faults::default() });
        let Some(Fired::Sync(name)) = self.wait_for_fault(|fired| matches!(fired, Fired::Sync(_))) else {
            // The traffic was over before the fsync came.
            return self.lose_power().map(Some);
        };
        self.report.faults += 1;
        if !vouches(&name) && self.goes_on() {
            return Ok(None);
        }
        let status = self.server.as_mut().and_then(|server| server.ends(END_TIMEOUT));
        let expected = format!(
            "it ends by itself after a failed fsync of {}, with a reason on stderr and a status that is not 0",
            name.display()
        );
        let seen = match status {
            None => Some(format!("it lives after {END_TIMEOUT:?}")),
            Some(status) if status.code().is_none_or(|code| code == 0) => Some(status.to_string()),
            Some(_) if self.place.length("server.stderr") == said_before => Some("it said nothing".to_owned()),
            Some(_) => None,
        };
        if let Some(seen) = seen {
            return Ok(Some(Err(of_server(&expected, seen))));
        }
        self.server = None;
        self.lose_power().map(Some)
    }

    /// Whether the server gives all answers without having ended.
    fn goes_on(&mut self) -> bool {
        const LOOK: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + PUBLISHER_TIMEOUT;
        while Instant::now() < deadline && self.server.as_mut().is_some_and(|server| server.status().is_none()) {
            if let Ok(Event::Said(word)) = self.events.recv_timeout(LOOK)
                && (word == "done" || word == "ended")
            {
                let _ = self.sender.send(Event::Said(word));
                return true;
            }
        }
        false
    }

    /// Some writes fail: clients are told so, and the server comes back by itself.
    fn fail_writes(&mut self, rng: &mut Rng, cycle: u64) -> Result<End, Failure> {
        let error = if rng.bool() { DiskError::Io } else { DiskError::NoSpace };
        self.arm(Faults { write: Some((rng.u64(1..=6), rng.u64(1..=3), error)), ..Faults::default() });
        if self.wait_for_fault(|fired| *fired == Fired::Write).is_some() {
            self.report.faults += 1;
        }
        self.stands_it(cycle)
    }

    /// There is no room for a while.
    fn fill_the_disk(&mut self, rng: &mut Rng, cycle: u64) -> Result<End, Failure> {
        if let Some(mounted) = &self.disk {
            let mut disk = mounted.disk();
            disk.faults.space_bytes = Some(disk.used_bytes() + rng.u64(0..=16) * BLOCK_BYTES);
        }
        self.report.faults += 1;
        // It is made room as soon as a client has been told: the very clients that were refused go on then.
        if self.wait_for_refusal() {
            self.arm(Faults::default());
        }
        self.stands_it(cycle)
    }

    /// After faults from which a server must come back by itself: everybody gets an answer, then the disk works, and a publish is
    /// acknowledged. At the end the power goes, so that what is checked is what was on the disk.
    fn stands_it(&mut self, cycle: u64) -> Result<End, Failure> {
        if let Err(violation) = self.wait_for_word("done") {
            return Ok(End::Violated(violation));
        }
        self.arm(Faults::default());
        if let Some(status) = self.server.as_mut().and_then(|server| server.status()) {
            return Ok(End::Violated(of_server("it stands failed writes", format!("it ended: {status}"))));
        }
        if let Err(why) = self.probe(cycle) {
            return Ok(End::Violated(of_server("it stores again when the disk works again", why)));
        }
        if let Err(violation) = self.lose_power()? {
            return Ok(End::Violated(violation));
        }
        self.start()
    }

    /// A publish that must be acknowledged before long.
    fn probe(&mut self, cycle: u64) -> Result<(), String> {
        let (client_id, room) = (format!("probe{cycle}"), "broadcast".to_owned());
        let mut options = ClientOptions::new(self.target.clone(), "dev:probe", "probe");
        options.publish_retries = u32::MAX;
        let mut publish = Publish::text(campanile_client::Conversation::Broadcast, client_id.clone());
        publish.client_id = Some(client_id.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let ack = runtime.block_on(async {
            let asking = async {
                let (client, _) = Client::connect(options).await.map_err(|ended| ended.to_string())?;
                let ack = client.publish(publish).await.map_err(|why| why.to_string());
                client.close().await;
                ack
            };
            tokio::time::timeout(BACK_TIMEOUT, asking).await.map_err(|_| format!("no ack within {BACK_TIMEOUT:?}"))?
        })?;
        let body = fingerprint(client_id.as_bytes());
        self.probed.push(Entry::Send { op: u64::MAX, user: "probe".into(), room, client_id, body });
        let (epoch, seq) = (ack.cursor.epoch, ack.cursor.seq);
        self.probed.push(Entry::Acked { op: u64::MAX, epoch, seq, duplicate: ack.duplicate });
        Ok(())
    }
}
