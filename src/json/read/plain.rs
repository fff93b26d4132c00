//! The plain form of simple chat tutorials: `{"type":"message","to":"direct:bob","content":"hi"}`. It is a publish of text.

use flatbuffers::WIPOffset;
use serde::de::{Deserializer, IgnoredAny, MapAccess};

use super::field::text;
use super::object::there;
use super::{Context, Field, object, value};
use crate::wire::schema::{ErrorCode, Publish, PublishArgs};

/// The fields, beside `type` and `ref`.
const FIELDS: &[&str] = &["to", "content", "sender", "timestamp", "client_id"];

/// Reads what is left of an object in the plain form.
pub(super) fn read<'de, M: MapAccess<'de>>(map: &mut M, cx: &mut Context<'_>) -> Result<WIPOffset<Publish<'static>>, M::Error> {
    let PublishArgs { mut conversation, mut body, mut client_id, .. } = PublishArgs::default();
    object(FIELDS, map, cx, |name, map, cx| {
        match FIELDS[name] {
            "to" => conversation = value(map, cx)?,
            "content" => body = value(map, cx)?,
            "client_id" => client_id = value(map, cx)?,
            "sender" => Sender = value(map, cx)?,
            // Anything: tutorials write numbers, strings and null here, and the server has a time of its own.
            _ => map.next_value::<IgnoredAny>().map(drop)?,
        }
        Ok(())
    })?;
    let conversation = Some(there(conversation, "to", cx)?);
    let body = Some(there(body, "content", cx)?);
    Ok(Publish::create(cx.b, &PublishArgs { conversation, body, client_id, ..Default::default() }))
}

/// It names nobody else. Who sends is known from the login, and cannot be chosen.
struct Sender;

impl Field for Sender {
    fn expected() -> String {
        "a string".to_owned()
    }

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<Self, D::Error> {
        text(value, |sender| {
            if cx.user.is_none_or(|user| user == sender) {
                return Some(Sender);
            }
            cx.problem(ErrorCode::sender_mismatch, || "not the user of this session".to_owned());
            None
        })
    }
}
