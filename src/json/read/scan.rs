//! A look through a whole object, for those of its fields that say what it is.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::object::{Key, Keys, Verb, there};
use super::{Context, Shape, parse};
use crate::wire::schema::Body;

/// What an object is.
pub(super) fn shape(text: &str, cx: &mut Context<'_>) -> Result<Shape, serde_json::Error> {
    let mut found = Found::default();
    parse(text, &mut found)?;
    let verb = parse(there(found.verb, "type", cx)?.get(), Verb(cx))?;
    Ok(if verb == Body::Message && found.is_plain { Shape::Plain } else { Shape::Verb(verb) })
}

/// The `ref` of an object that could not be read, as far as one can be; else 0.
pub(super) fn reference(text: &str) -> u64 {
    let mut found = Found::default();
    // What is wrong behind it is known already.
    let _ = parse(text, &mut found);
    let Some(reference) = found.reference.map(RawValue::get) else { return 0 };
    serde_json::from_str(reference).or_else(|_| reference.trim_matches('"').parse()).unwrap_or(0)
}

/// The values as they are written, unread.
#[derive(Default)]
struct Found<'t> {
    verb: Option<&'t RawValue>,
    reference: Option<&'t RawValue>,
    /// There is a field that only the plain form has.
    is_plain: bool,
}

impl<'t> DeserializeSeed<'t> for &mut Found<'t> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for &mut Found<'t> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<(), M::Error> {
        // The plain form has two fields that no verb has.
        let names = &["type", "ref", "to", "content"];
        while let Some(key) = map.next_key_seed(Keys { names, is_frame: false })? {
            match key {
                Key::Field(0) => self.verb = Some(map.next_value()?),
                Key::Field(1) => self.reference = Some(map.next_value()?),
                key => {
                    self.is_plain |= matches!(key, Key::Field(_));
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
