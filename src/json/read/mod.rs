//! From text to the bytes of a frame.
//!
//! A text is read once, from left to right, and what it says goes straight into the builder of the frame. For that, `type` must come before the fields whose
//! meaning it decides. Where it does not, and for `message`, which means one of two things, [`scan`] looks through the whole object first.
//!
//! What a text can make grow: nothing but the frame. Each level of nesting is a type of the schema, so there are few; a field that does not exist is refused before
//! its value is read.

mod context;
mod field;
mod object;
mod place;
mod plain;
mod scan;

use flatbuffers::{UnionWIPOffset, WIPOffset};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::tables::{read_verb, verb};
use crate::wire::Fbb;
use crate::wire::schema::{Body, ErrorCode, Frame, FrameArgs};
pub(super) use context::Context;
pub(super) use field::{Base64, Field, Item, Token, either, scalar, value};
pub(super) use object::{Table, object, refused};

/// Why a text is no frame. The peer is to be told by an `error`; before login the connection ends as with a malformed frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The `ref` of the object, as far as one could be read; else 0.
    pub reference: u64,
    /// `bad_request`, or what says more.
    pub code: ErrorCode,
    /// For people: the field by its path, and what is expected there. At most a few hundred bytes, whatever the text was.
    pub message: String,
}

/// Makes frames of texts, one after another, in memory that is used again.
#[derive(Default)]
pub struct Reader {
    builder: Fbb,
    decoded: Vec<u8>,
}

/// What an object turns out to be.
#[derive(Clone, Copy)]
enum Shape {
    /// A verb of the schema.
    Verb(Body),
    /// A message in the form of simple chat tutorials.
    Plain,
}

impl Reader {
    /// A reader. It holds no memory before it has read something.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Makes a frame of one JSON object: with its size prefix, to be verified and read as any other. It stands until the next call. `user` is who the session
    /// belongs to, for the plain form, which may name its sender; before login there is none.
    ///
    /// Ids, lengths and fields that are missing are not judged here: the session does that, as for every frame. The frame may be longer than
    /// the text, up to four times (a list of empty strings).
    ///
    /// # Errors
    /// See [`JsonError`].
    pub fn read<'a>(&'a mut self, text: &[u8], user: Option<&str>) -> Result<&'a [u8], JsonError> {
        let text =
            std::str::from_utf8(text).map_err(|error| bad_request(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        let Reader { builder, decoded } = self;
        let (reference, verb, body) = read(text, &mut Context::new(builder, decoded, user))?;
        let frame = Frame::create(builder, &FrameArgs { ref_: reference, body_type: verb, body: Some(body) });
        builder.finish_size_prefixed(frame, None);
        Ok(builder.finished_data())
    }
}

fn bad_request(message: String) -> JsonError {
    JsonError { reference: 0, code: ErrorCode::bad_request, message }
}

type Read = (Body, WIPOffset<UnionWIPOffset>);

fn read(text: &str, cx: &mut Context<'_>) -> Result<(u64, Body, WIPOffset<UnionWIPOffset>), JsonError> {
    let (verb, body) = match parse(text, Top { shape: None, cx }) {
        Err(_) if cx.is_undecided => {
            cx.begin();
            let shape = scan::shape(text, cx);
            shape.and_then(|shape| parse(text, Top { shape: Some(shape), cx }))
        }
        read => read,
    }
    .map_err(|error| cx.explain(&error, text))?;
    Ok((cx.reference.unwrap_or(0), verb, body))
}

/// Reads a text that is one JSON value and nothing else.
fn parse<'t, S: DeserializeSeed<'t>>(text: &'t str, seed: S) -> Result<S::Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The whole object. Without a shape, it is decided as soon as `type` comes; if that is not soon enough, [`Context::is_undecided`] says so.
struct Top<'c, 'u> {
    shape: Option<Shape>,
    cx: &'c mut Context<'u>,
}

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = Read;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Read, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = Read;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Read, M::Error> {
        let shape = match self.shape {
            Some(shape) => shape,
            None => object::opening(&mut map, self.cx)?,
        };
        match shape {
            Shape::Verb(verb) => Ok((verb, read_verb(verb, &mut map, self.cx)?)),
            Shape::Plain => Ok((Body::Publish, plain::read(&mut map, self.cx)?.as_union_value())),
        }
    }
}
