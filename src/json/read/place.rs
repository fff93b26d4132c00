//! Places: conversations, and cursors in them.

use std::fmt;

use flatbuffers::WIPOffset;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::object::there;
use super::{Context, Field, Item, object, refused, value};
use crate::wire::schema::{Conversation, ConversationArgs, ConversationKind, Cursor};

/// As people write it, or as an object with kind and id.
impl Item for Conversation<'static> {
    const EXPECTED: &'static str = "direct:USER, group:ID, topic:ID or broadcast";

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<WIPOffset<Self>, D::Error> {
        value.deserialize_any(Place(cx))
    }
}

struct Place<'c, 'u>(&'c mut Context<'u>);

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = WIPOffset<Conversation<'static>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a conversation")
    }

    /// The id is judged by who uses it, as every id.
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let (kind, id) = match text.split_once(':') {
            Some(("direct", id)) => (ConversationKind::direct, id),
            Some(("group", id)) => (ConversationKind::group, id),
            Some(("topic", id)) => (ConversationKind::topic, id),
            None if text == "broadcast" => (ConversationKind::broadcast, ""),
            _ => return Err(refused()),
        };
        let b = &mut self.0.b;
        let id = (!id.is_empty()).then(|| b.create_string(id));
        Ok(Conversation::create(b, &ConversationArgs { kind, id }))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let ConversationArgs { mut kind, mut id } = ConversationArgs::default();
        object(&["kind", "id"], &mut map, self.0, |name, map, cx| {
            match name {
                0 => kind = value(map, cx)?,
                _ => id = value(map, cx)?,
            }
            Ok(())
        })?;
        Ok(Conversation::create(self.0.b, &ConversationArgs { kind, id }))
    }
}

impl Field for Option<Cursor> {
    fn expected() -> String {
        "an object with epoch and seq".to_owned()
    }

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<Self, D::Error> {
        value.deserialize_any(At(cx)).map(Some)
    }
}

struct At<'c, 'u>(&'c mut Context<'u>);

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = Cursor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cursor")
    }

    /// Both halves must be there: half a cursor is another place.
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Cursor, M::Error> {
        let (mut epoch, mut seq) = (None, None);
        object(&["epoch", "seq"], &mut map, self.0, |name, map, cx| {
            match name {
                0 => epoch = Some(value(map, cx)?),
                _ => seq = Some(value(map, cx)?),
            }
            Ok(())
        })?;
        Ok(Cursor::new(there(epoch, "epoch", self.0)?, there(seq, "seq", self.0)?))
    }
}
