//! Objects: which key is which field, each once, and where it went wrong.

use std::fmt;
use std::marker::PhantomData;

use flatbuffers::WIPOffset;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::context::quoted;
use super::{Context, Item, Shape, Token, scalar, value, verb};
use crate::wire::schema::{Body, ErrorCode};

/// The error of a reading that has failed; what failed stands in the context.
pub(in crate::json) fn refused<E: Error>() -> E {
    E::custom("refused")
}

/// Reads the fields of an object, each at most once: `read` is told which of `names` comes. Those of the outermost object stand beside `type` and `ref`.
pub(in crate::json) fn object<'de, M: MapAccess<'de>>(
    names: &'static [&'static str],
    map: &mut M,
    cx: &mut Context<'_>,
    mut read: impl FnMut(usize, &mut M, &mut Context<'_>) -> Result<(), M::Error>,
) -> Result<(), M::Error> {
    let is_frame = cx.depth == 0;
    cx.depth += 1;
    let mut seen = 0_u32;
    while let Some(key) = map.next_key_seed(Keys { names, is_frame })? {
        match key {
            Key::Type => skip_type(map, cx)?,
            Key::Ref => read_reference(map, cx)?,
            Key::Other(name) => return Err(unknown(name, names, cx)),
            Key::Field(name) => {
                once(seen & 1 << name != 0, names[name], cx)?;
                seen |= 1 << name;
                read(name, map, cx).inspect_err(|_| cx.in_field(names[name]))?;
            }
        }
    }
    cx.depth -= 1;
    Ok(())
}

/// Reads the envelope up to where it says what the object is.
pub(super) fn opening<'de, M: MapAccess<'de>>(map: &mut M, cx: &mut Context<'_>) -> Result<Shape, M::Error> {
    loop {
        match map.next_key_seed(Keys { names: &[], is_frame: true })? {
            Some(Key::Ref) => read_reference(map, cx)?,
            Some(Key::Type) => {
                cx.has_type = true;
                let verb = map.next_value_seed(Verb(cx))?;
                if verb != Body::Message {
                    return Ok(Shape::Verb(verb));
                }
                cx.is_undecided = true;
                return Err(refused());
            }
            _ => {
                cx.is_undecided = true;
                return Err(refused());
            }
        }
    }
}

/// It has been read, and decided what the object is.
fn skip_type<'de, M: MapAccess<'de>>(map: &mut M, cx: &mut Context<'_>) -> Result<(), M::Error> {
    once(cx.has_type, "type", cx)?;
    cx.has_type = true;
    map.next_value::<IgnoredAny>().map(drop)
}

fn read_reference<'de, M: MapAccess<'de>>(map: &mut M, cx: &mut Context<'_>) -> Result<(), M::Error> {
    once(cx.reference.is_some(), "ref", cx)?;
    cx.reference = Some(value(map, cx).inspect_err(|_| cx.in_field("ref"))?);
    Ok(())
}

fn once<E: Error>(is_again: bool, name: &'static str, cx: &mut Context<'_>) -> Result<(), E> {
    if !is_again {
        return Ok(());
    }
    cx.problem(ErrorCode::bad_request, || "stands twice".to_owned());
    cx.in_field(name);
    Err(refused())
}

/// The value of a field without which nothing can be made of an object.
pub(super) fn there<T, E: Error>(value: Option<T>, name: &'static str, cx: &mut Context<'_>) -> Result<T, E> {
    value.ok_or_else(|| {
        cx.problem(ErrorCode::bad_request, || "is missing".to_owned());
        cx.in_field(name);
        refused()
    })
}

fn unknown<E: Error>(name: String, names: &[&str], cx: &mut Context<'_>) -> E {
    cx.problem(ErrorCode::bad_request, || match names {
        [] => "there is no such field, and none is needed".to_owned(),
        names => format!("there is no such field; there are {}", names.join(", ")),
    });
    cx.in_field(name);
    refused()
}

/// A key of an object.
pub(super) enum Key {
    Type,
    Ref,
    /// Which of the names.
    Field(usize),
    /// None of them; its beginning.
    Other(String),
}

/// Finds a key among the names of fields, in the outermost object beside the envelope's.
pub(super) struct Keys {
    pub(super) names: &'static [&'static str],
    pub(super) is_frame: bool,
}

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Keys {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        Ok(match self.names.iter().position(|name| *name == key) {
            Some(name) => Key::Field(name),
            None if self.is_frame && key == "type" => Key::Type,
            None if self.is_frame && key == "ref" => Key::Ref,
            None => Key::Other(quoted(key)),
        })
    }
}

/// The name of a verb, which stands in `type`.
pub(super) struct Verb<'c, 'u>(pub(super) &'c mut Context<'u>);

impl<'de> DeserializeSeed<'de> for Verb<'_, '_> {
    type Value = Body;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body, D::Error> {
        let cx = self.0;
        let read = scalar(deserializer, |token| {
            let Token::Text(name) = token else { return None };
            let verb = verb(name);
            if verb.is_none() {
                cx.problem(ErrorCode::unknown_verb, || format!("there is no verb '{}'", quoted(name)));
            }
            verb
        });
        read.inspect_err(|_| {
            cx.expected(|| "the name of a verb".to_owned());
            cx.in_field("type");
        })
    }
}

/// What stands in the schema as a table.
pub(in crate::json) trait Table: Sized {
    /// Reads the fields and makes the table of them.
    fn read_fields<'de, M: MapAccess<'de>>(map: &mut M, cx: &mut Context<'_>) -> Result<WIPOffset<Self>, M::Error>;
}

impl<T: Table + 'static> Item for T {
    const EXPECTED: &'static str = "an object";

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<WIPOffset<Self>, D::Error> {
        value.deserialize_any(Object(cx, PhantomData))
    }
}

struct Object<'c, 'u, T>(&'c mut Context<'u>, PhantomData<T>);

impl<'de, T: Table> Visitor<'de> for Object<'_, '_, T> {
    type Value = WIPOffset<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<WIPOffset<T>, M::Error> {
        T::read_fields(&mut map, self.0)
    }
}
