//! From the bytes of a client to its messages: frames, fragments, control frames between fragments (RFC 6455, sections 5 and 6.2).

use super::frame::{HEADER_BYTES_MAX, Header, Opcode};
use super::utf8::Utf8;
use super::{Fault, close, mask};

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message of text, which is UTF-8.
    Text(&'a [u8]),
    /// A whole message of bytes.
    Binary(&'a [u8]),
    /// To be answered with a pong that carries the same.
    Ping(&'a [u8]),
    /// It answers a ping, or nothing.
    Pong,
    /// It will send no more; to be answered with the same code.
    Close(Option<u16>),
}

/// What is kept of a client's frames between two receives: nothing, unless something is unfinished.
///
/// A message that arrives in one frame and one piece is unmasked where it lies and never copied; of others there is one copy, which never exceeds the
/// limit. Fragments cost the work for their bytes and a header each, and no memory of their own, so tiny and empty ones do no harm.
#[derive(Debug, Default)]
pub struct Incoming {
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: u8,
    /// The frame whose payload has not come whole.
    frame: Option<OpenFrame>,
    /// What has come of it, if it is a control frame.
    control: Vec<u8>,
    /// The message that has no end yet.
    message: Option<Kind>,
    /// What has come of it.
    payload: Vec<u8>,
    text: Utf8,
    /// What was handed out of these, and goes at the next call.
    handed_out: HandedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

#[derive(Debug, Default)]
enum HandedOut {
    #[default]
    Nothing,
    Control,
    Payload,
}

#[derive(Debug)]
struct OpenFrame {
    opcode: Opcode,
    is_last: bool,
    bytes_left: u64,
    mask: [u8; 4],
}

impl Incoming {
    /// Reads on; takes what it has read from `input`. `None`: more bytes are needed, and `input` is empty. After a fault or a close nothing may follow.
    ///
    /// # Errors
    /// See [`Fault`]; as soon as it shows, not when the message is whole.
    pub fn next<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
        message_bytes_max: usize,
    ) -> Result<Option<Event<'s>>, Fault> {
        match std::mem::take(&mut self.handed_out) {
            HandedOut::Nothing => {}
            HandedOut::Control => self.control.clear(),
            HandedOut::Payload => self.payload.clear(),
        }
        loop {
            let Some(mut frame) = self.open_frame(input, message_bytes_max)? else { return Ok(None) };
            let piece = advance(input, usize::try_from(frame.bytes_left).unwrap_or(usize::MAX));
            frame.mask = mask::apply(frame.mask, piece);
            frame.bytes_left -= piece.len() as u64;
            let is_whole = frame.bytes_left == 0;
            let (opcode, is_last) = (frame.opcode, frame.is_last);
            if !is_whole {
                self.frame = Some(frame);
            }
            if opcode.is_control() {
                if is_whole && self.control.is_empty() {
                    return control(opcode, piece).map(Some);
                }
                self.control.extend_from_slice(piece);
                if is_whole {
                    self.handed_out = HandedOut::Control;
                    return control(opcode, &self.control).map(Some);
                }
                return Ok(None);
            }
            let kind = self.message.expect("a data frame belongs to a message");
            let is_end = is_whole && is_last;
            if kind == Kind::Text {
                self.text.push(piece)?;
                if is_end {
                    self.text.end()?;
                }
            }
            if is_end {
                self.message = None;
                if self.payload.is_empty() {
                    return Ok(Some(kind.event(piece)));
                }
            }
            self.payload.extend_from_slice(piece);
            if is_end {
                self.handed_out = HandedOut::Payload;
                return Ok(Some(kind.event(&self.payload)));
            }
            if !is_whole {
                return Ok(None);
            }
        }
    }

    /// Whether nothing is unfinished, so that nothing need be kept.
    pub fn is_idle(&self) -> bool {
        self.header_bytes == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Memory that it holds besides itself.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.control.capacity() + self.payload.capacity()
    }

    /// The frame that is being read, or the next one.
    fn open_frame(&mut self, input: &mut &mut [u8], message_bytes_max: usize) -> Result<Option<OpenFrame>, Fault> {
        if let Some(frame) = self.frame.take() {
            return Ok(Some(frame));
        }
        let Some(Header { opcode, is_last, length, mask }) = self.header(input)? else { return Ok(None) };
        match opcode {
            Opcode::Continuation if self.message.is_none() => return Err(Fault::NothingToContinue),
            Opcode::Text | Opcode::Binary if self.message.is_some() => return Err(Fault::MessageUnfinished),
            Opcode::Text => self.message = Some(Kind::Text),
            Opcode::Binary => self.message = Some(Kind::Binary),
            _ => {}
        }
        if !opcode.is_control() && length > (message_bytes_max - self.payload.len()) as u64 {
            return Err(Fault::TooBig);
        }
        Ok(Some(OpenFrame { opcode, is_last, bytes_left: length, mask }))
    }

    /// The next header, once it is whole.
    fn header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, Fault> {
        let before = usize::from(self.header_bytes);
        let known = if before == 0 {
            Header::read(input)?
        } else {
            let more = input.len().min(HEADER_BYTES_MAX - before);
            self.header[before..before + more].copy_from_slice(&input[..more]);
            Header::read(&self.header[..before + more])?
        };
        if let Some((header, bytes)) = known {
            advance(input, bytes - before);
            self.header_bytes = 0;
            return Ok(Some(header));
        }
        // It is not whole, so all that there is belongs to it.
        let rest = advance(input, HEADER_BYTES_MAX);
        self.header[before..before + rest.len()].copy_from_slice(rest);
        self.header_bytes += rest.len() as u8;
        Ok(None)
    }
}

impl Kind {
    fn event(self, payload: &[u8]) -> Event<'_> {
        match self {
            Kind::Text => Event::Text(payload),
            Kind::Binary => Event::Binary(payload),
        }
    }
}

fn control(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Fault> {
    Ok(match opcode {
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong,
        _ => Event::Close(close::read(payload)?),
    })
}

/// Takes up to `bytes` bytes from the front.
fn advance<'b>(input: &mut &'b mut [u8], bytes: usize) -> &'b mut [u8] {
    let all = std::mem::take(input);
    let (front, rest) = all.split_at_mut(bytes.min(all.len()));
    *input = rest;
    front
}
