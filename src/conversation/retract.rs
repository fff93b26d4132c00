//! Taking a message back: its record is read, and if it is the sender's own, a `retracted` record is appended that removes its body.

use std::sync::Arc;

use super::{Conversations, Record, flags};
use crate::clock::Now;
use crate::effects::Effects;
use crate::mesh::{Event, Placed, Publish, Read, ReadFor, Refusal, Reply, Request};
use crate::store::{Asked, NotRead};
use crate::wire::schema::{ErrorCode, RecordKind};

use super::Content;

impl Conversations {
    /// The record that somebody wants to take back has been read, or is not there.
    pub(super) fn retract(
        &mut self,
        reply: Reply,
        records: Result<Vec<Arc<Record>>, NotRead>,
        asked: Asked,
        now: Now,
        fx: &mut Effects,
    ) {
        let Asked { shard, read, .. } = asked;
        match judge(&read, records) {
            Ok(None) => {
                let target = read.cursor.1;
                let content =
                    Content { target, ..Content::change(RecordKind::retracted, None, Default::default(), Default::default()) };
                let publish = Publish { key: read.key, sender: read.user, reply, content };
                self.request(shard, Request::Publish(Box::new(publish)), now, fx);
            }
            Ok(Some(time_ms)) => {
                let (epoch, seq) = read.cursor;
                fx.event(shard, Event::Placed { reply, result: Ok(Placed { epoch, seq, time_ms, duplicate: true }) });
            }
            Err(refusal) => fx.event(shard, refused(read, refusal)),
        }
    }
}

/// Whether he may; or that it had been done before, and when it was said.
fn judge(read: &Read, records: Result<Vec<Arc<Record>>, NotRead>) -> Result<Option<u64>, Refusal> {
    let records = records.map_err(|NotRead| Refusal::new(ErrorCode::internal))?;
    let record = records.iter().find(|record| record.seq == read.cursor.1).ok_or(Refusal::new(ErrorCode::bad_request))?;
    if record.content.kind != RecordKind::message || *record.sender != *read.user {
        return Err(Refusal::new(ErrorCode::not_permitted));
    }
    Ok((record.content.flags & flags::RETRACTED != 0).then_some(record.time_ms))
}

/// The answer to a read that is not done.
pub(super) fn refused(read: Read, refusal: Refusal) -> Event {
    match read.purpose {
        ReadFor::Retract(reply) => Event::Placed { reply, result: Err(refusal) },
        purpose => Event::Page { key: read.key, purpose, cursor: read.cursor, result: Err(refusal) },
    }
}
