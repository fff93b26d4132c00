//! The loop: what came is echoed within the turn, and each connection is sent to once.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use campanile::effects::Weight;
use campanile::net::{Outbox, Pongs};
use campanile::ring::{BufferId, Completion, ListenerId, OpenBatch, Ring, Segment, Segments, Slot};
use campanile::ws::frame::{Head, Opcode};
use campanile::ws::{Event, Incoming, Names, Rules, answer, close, upgrade};

/// Longest request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A connection for which more than this waits is not read from.
const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// Messages of at least this many bytes are sent from memory of their own: putting them together would copy them twice.
const APART_BYTES: usize = 8 * 1024;

/// All connections, and the ring.
pub struct Echo {
    ring: Ring,
    listener: ListenerId,
    rules: Rules,
    message_bytes_max: usize,
    connections: Vec<Option<Connection>>,
    open: OpenBatch,
    /// Frames of this turn.
    sends: Vec<(Slot, Segment)>,
    /// Connections with something to send.
    dirty: Vec<Slot>,
    /// Connections that must be received from again, when buffers are back.
    starved: Vec<Slot>,
}

#[derive(Default)]
struct Connection {
    stage: Stage,
    /// Of the request; later what was received while reading was paused.
    waiting: Vec<u8>,
    incoming: Incoming,
    outbox: Outbox,
    /// Something waits in [`Echo::sends`].
    has_queued: bool,
    /// A message is being sent from the buffer that it came in.
    is_bouncing: bool,
    is_receiving: bool,
    is_dirty: bool,
    is_shut: bool,
    /// Shut-downs that the kernel has not answered.
    asked: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Upgrade,
    Open,
    /// The last word is queued; what comes is thrown away.
    Ending,
    /// Waits for the kernel's last completion.
    Closing,
    Closed,
}

impl Echo {
    /// Nobody is connected.
    pub fn new(mut ring: Ring, listener: TcpListener, message_bytes_max: usize) -> Echo {
        let listener = ring.listen(listener);
        let any = Names::of("*");
        Echo {
            ring,
            listener,
            rules: Rules { hosts: any.clone(), origins: any, head_bytes_max: HEAD_BYTES_MAX, ..Rules::default() },
            message_bytes_max,
            connections: Vec::new(),
            open: OpenBatch::default(),
            sends: Vec::new(),
            dirty: Vec::new(),
            starved: Vec::new(),
        }
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// The ring cannot be used any more.
    pub fn run(mut self) -> io::Result<()> {
        self.ring.accept(self.listener);
        let mut completions = Vec::new();
        loop {
            self.ring.enter(Some(Duration::from_secs(1)))?;
            self.ring.drain(&mut completions);
            completions.drain(..).for_each(|completion| self.completed(completion));
            std::mem::take(&mut self.starved).into_iter().for_each(|slot| self.receive(slot));
            self.flush();
        }
    }

    fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { result, more, .. } => {
                if let Ok(slot) = result {
                    self.accepted(slot);
                }
                if !more {
                    self.ring.accept(self.listener);
                }
            }
            Completion::Received { slot, result, more } => self.received(slot, result, more),
            Completion::Sent { slot, segments, result } => self.sent(slot, segments, result),
            Completion::ShutDown { slot } => {
                if let Some(connection) = self.connection(slot) {
                    connection.asked -= 1;
                }
                self.close_if_quiet(slot);
            }
            Completion::Closed { slot } => self.connections[slot.0 as usize] = None,
            Completion::HandedOff { .. } | Completion::Installed { .. } | Completion::Rung => {}
        }
    }

    fn connection(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.connections.get_mut(slot.0 as usize)?.as_mut()
    }

    fn accepted(&mut self, slot: Slot) {
        let place = slot.0 as usize;
        if self.connections.len() <= place {
            self.connections.resize_with(place + 1, || None);
        }
        self.connections[place] = Some(Connection::default());
        self.receive(slot);
    }

    fn receive(&mut self, slot: Slot) {
        let Some(connection) = self.connection(slot) else { return };
        let wants = matches!(connection.stage, Stage::Upgrade | Stage::Ending) || connection.is_reading();
        if wants && !std::mem::replace(&mut connection.is_receiving, true) {
            self.ring.receive(slot);
        }
    }
}

// ----------------------------------------------------------------------------------------------------- receiving

impl Echo {
    fn received(&mut self, slot: Slot, result: io::Result<Option<(BufferId, usize)>>, more: bool) {
        let Some(connection) = self.connection(slot) else { return };
        connection.is_receiving = more;
        match result {
            Ok(Some((buffer, length))) => {
                if !self.take(slot, buffer, length) {
                    self.ring.give_back(buffer);
                }
                self.pause_or_receive(slot);
            }
            // No buffer was free, or reading was paused and may go on.
            Err(error) if is_starved(&error) => self.starved.push(slot),
            _ => self.begin_close(slot),
        }
        self.close_if_quiet(slot);
    }

    /// Says whether the buffer is needed for longer.
    fn take(&mut self, slot: Slot, buffer: BufferId, length: usize) -> bool {
        let Some(connection) = self.connections[slot.0 as usize].as_mut() else { return false };
        match connection.stage {
            Stage::Open if connection.waiting.is_empty() && connection.is_reading() => {
                let bytes = self.ring.received_mut(buffer, length);
                match connection.echo(slot, bytes, self.message_bytes_max, &mut self.open, &mut self.sends) {
                    Read::On => {}
                    Read::End(farewell) => self.end(slot, farewell),
                    Read::Bounce(opcode, payload_bytes) => {
                        connection.is_bouncing = true;
                        let head = Head::new(opcode, payload_bytes);
                        let payload_at = length - payload_bytes;
                        let head_at = payload_at - head.bytes().len();
                        self.ring.received_mut(buffer, length)[head_at..payload_at].copy_from_slice(head.bytes());
                        self.ring.send_received(slot, buffer, head_at..length);
                        return true;
                    }
                }
            }
            Stage::Open | Stage::Upgrade => {
                connection.waiting.extend_from_slice(self.ring.received(buffer, length));
                match connection.stage {
                    Stage::Upgrade => self.upgrade(slot, length),
                    _ => self.read_on(slot),
                }
            }
            Stage::Ending | Stage::Closing | Stage::Closed => {}
        }
        false
    }

    /// A peer that does not read its echoes is not read from.
    fn pause_or_receive(&mut self, slot: Slot) {
        let Some(connection) = self.connection(slot) else { return };
        if connection.stage == Stage::Open && !connection.is_reading() {
            if connection.is_receiving {
                self.ring.stop_receiving(slot);
            }
        } else {
            self.receive(slot);
        }
    }

    fn upgrade(&mut self, slot: Slot, new: usize) {
        let Some(connection) = self.connections[slot.0 as usize].as_mut() else { return };
        let bytes = &connection.waiting;
        let answer = match upgrade::read(bytes, bytes.len() - new, &self.rules) {
            Ok(None) => return,
            Ok(Some(agreed)) => {
                connection.stage = Stage::Open;
                answer::agree(&agreed, &self.rules)
            }
            Err(refusal) => {
                connection.stage = Stage::Ending;
                answer::refuse(refusal, &self.rules)
            }
        };
        connection.waiting = Vec::new();
        connection.has_queued = true;
        let answer = self.open.seal_apart(answer);
        self.sends.push((slot, answer));
    }

    /// Reads what was received while there was no room for answers.
    fn read_on(&mut self, slot: Slot) {
        let Some(connection) = self.connections[slot.0 as usize].as_mut() else { return };
        if connection.is_reading() && !connection.waiting.is_empty() {
            let mut waiting = std::mem::take(&mut connection.waiting);
            // This is no receive buffer, so nothing may be sent from where it lies.
            connection.has_queued = true;
            if let Read::End(farewell) =
                connection.echo(slot, &mut waiting, self.message_bytes_max, &mut self.open, &mut self.sends)
            {
                self.end(slot, farewell);
            }
        }
    }

    fn end(&mut self, slot: Slot, farewell: Vec<u8>) {
        if let Some(connection) = self.connection(slot) {
            connection.stage = Stage::Ending;
            let farewell = self.open.seal_apart(farewell);
            self.sends.push((slot, farewell));
        }
    }
}

fn is_starved(error: &io::Error) -> bool {
    /// ENOBUFS, ECANCELED.
    const PASSING: [i32; 2] = [105, 125];
    error.raw_os_error().is_some_and(|code| PASSING.contains(&code))
}

impl Connection {
    /// Whether messages are read: not while too many echoes wait.
    fn is_reading(&self) -> bool {
        self.stage == Stage::Open && self.outbox.bytes() <= OUTBOX_BYTES_MAX
    }

    fn is_sending(&self) -> bool {
        self.is_bouncing || self.outbox.is_in_flight()
    }

    /// Echoes all messages.
    fn echo(
        &mut self,
        slot: Slot,
        mut bytes: &mut [u8],
        message_bytes_max: usize,
        open: &mut OpenBatch,
        sends: &mut Vec<(Slot, Segment)>,
    ) -> Read {
        let end = bytes.as_ptr_range().end;
        let received = bytes.len();
        let mut pongs = Pongs::behind(self.outbox.bytes());
        let read = loop {
            let (opcode, payload) = match self.incoming.next(&mut bytes, message_bytes_max) {
                Ok(Some(Event::Text(text))) => (Opcode::Text, text),
                Ok(Some(Event::Binary(bytes))) => (Opcode::Binary, bytes),
                Ok(Some(Event::Ping(payload))) => {
                    pongs.add(payload);
                    continue;
                }
                Ok(Some(Event::Pong)) => continue,
                Ok(Some(Event::Close(code))) => break Read::End(last_word(code, "")),
                Ok(None) => break Read::On,
                Err(fault) => break Read::End(last_word(Some(fault.code()), fault.reason())),
            };
            let is_alone = !self.has_queued && !self.is_bouncing && self.outbox.is_idle() && pongs.is_empty();
            if is_alone
                && payload.as_ptr_range().end == end
                && received > payload.len() + Head::new(opcode, payload.len()).bytes().len()
            {
                return Read::Bounce(opcode, payload.len());
            }
            self.has_queued = true;
            sends.extend(pongs.take().map(|pongs| (slot, open.append(&pongs))));
            sends.push((slot, frame(opcode, payload, open)));
        };
        sends.extend(pongs.take().map(|pongs| (slot, open.append(&pongs))));
        read
    }
}

/// What was found in received bytes.
enum Read {
    /// Messages, or parts of some; there may be more.
    On,
    /// The end; the close frame.
    End(Vec<u8>),
    /// One message that ends where they end, and nothing else is to be sent: it can be sent from where it lies, since a server's header is shorter.
    Bounce(Opcode, usize),
}

fn frame(opcode: Opcode, payload: &[u8], open: &mut OpenBatch) -> Segment {
    let head = Head::new(opcode, payload.len());
    if payload.len() < APART_BYTES {
        return open.append_all(&[head.bytes(), payload]);
    }
    let mut frame = Vec::with_capacity(head.bytes().len() + payload.len());
    frame.extend_from_slice(head.bytes());
    frame.extend_from_slice(payload);
    open.seal_apart(frame)
}

fn last_word(code: Option<u16>, reason: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    close::write_frame(code, reason, &mut bytes);
    bytes
}

// ------------------------------------------------------------------------------------------------------- sending

impl Echo {
    fn flush(&mut self) {
        self.open.seal();
        for (slot, frame) in std::mem::take(&mut self.sends) {
            if let Some(connection) = self.connection(slot) {
                connection.outbox.push(frame, Weight::Control, 0);
                connection.has_queued = false;
                self.mark_dirty(slot);
            }
        }
        for slot in std::mem::take(&mut self.dirty) {
            let Some(connection) = self.connections[slot.0 as usize].as_mut() else { continue };
            connection.is_dirty = false;
            if !connection.is_bouncing
                && let Some(segments) = connection.outbox.take(&self.open)
            {
                self.ring.send(slot, segments);
            }
        }
    }

    fn mark_dirty(&mut self, slot: Slot) {
        if let Some(connection) = self.connection(slot)
            && !std::mem::replace(&mut connection.is_dirty, true)
        {
            self.dirty.push(slot);
        }
    }

    fn sent(&mut self, slot: Slot, segments: Segments, result: io::Result<usize>) {
        let Some(connection) = self.connection(slot) else { return };
        if segments.is_empty() {
            connection.is_bouncing = false;
        } else {
            connection.outbox.sent(segments, *result.as_ref().unwrap_or(&0));
        }
        if result.is_err() {
            self.begin_close(slot);
        } else if !connection.outbox.is_idle() {
            self.mark_dirty(slot);
        } else if connection.stage == Stage::Ending && !std::mem::replace(&mut connection.is_shut, true) {
            connection.asked += 1;
            self.ring.shut_down(slot, Shutdown::Write);
        } else {
            self.read_on(slot);
            self.receive(slot);
        }
        self.close_if_quiet(slot);
    }

    /// Ends whatever the kernel still does for a connection.
    fn begin_close(&mut self, slot: Slot) {
        let Some(connection) = self.connection(slot) else { return };
        if matches!(connection.stage, Stage::Closing | Stage::Closed) {
            return;
        }
        connection.stage = Stage::Closing;
        connection.outbox.clear();
        if connection.is_receiving || connection.is_sending() {
            connection.asked += 1;
            self.ring.shut_down(slot, Shutdown::Both);
        }
    }

    fn close_if_quiet(&mut self, slot: Slot) {
        let Some(connection) = self.connection(slot) else { return };
        let is_quiet = !connection.is_receiving && connection.asked == 0 && !connection.is_sending();
        if connection.stage == Stage::Closing && is_quiet {
            connection.stage = Stage::Closed;
            self.ring.close(slot);
        }
    }
}
