//! Values of fields, by the type of the field.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flatbuffers::{ForwardsUOffset, Vector, WIPOffset};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Context, refused};
use crate::wire::schema::ErrorCode;

/// What stands in a table.
pub(in crate::json) trait Field: Sized {
    /// What is expected, to follow "expected".
    fn expected() -> String;

    /// Reads it.
    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<Self, D::Error>;
}

/// What the builder keeps beside the tables that refer to it: texts, tables, lists. Absent unless it is read.
pub(in crate::json) trait Item: Sized + 'static {
    /// See [`Field::expected`].
    const EXPECTED: &'static str;

    /// Reads it.
    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<WIPOffset<Self>, D::Error>;
}

/// Reads the value of the field whose key was just read.
pub(in crate::json) fn value<'de, F: Field, M: MapAccess<'de>>(map: &mut M, cx: &mut Context<'_>) -> Result<F, M::Error> {
    map.next_value_seed(Seed(cx, PhantomData))
}

struct Seed<'c, 'u, F>(&'c mut Context<'u>, PhantomData<F>);

impl<'de, F: Field> DeserializeSeed<'de> for Seed<'_, '_, F> {
    type Value = F;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<F, D::Error> {
        F::read(value, self.0).inspect_err(|_| self.0.expected(F::expected))
    }
}

impl<T: Item> Field for Option<WIPOffset<T>> {
    fn expected() -> String {
        T::EXPECTED.to_owned()
    }

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<Self, D::Error> {
        T::read(value, cx).map(Some)
    }
}

// ------------------------------------------------------------------------------------------------------ one value

/// A value that is neither an object nor a list.
pub(in crate::json) enum Token<'t> {
    Text(&'t str),
    Whole(u64),
    Flag(bool),
}

/// Reads a value that `take` finds good.
pub(in crate::json) fn scalar<'de, D: Deserializer<'de>, T>(
    value: D,
    take: impl FnOnce(Token<'_>) -> Option<T>,
) -> Result<T, D::Error> {
    value.deserialize_any(Scalar(take))
}

struct Scalar<F>(F);

impl<'de, T, F: FnOnce(Token<'_>) -> Option<T>> Visitor<'de> for Scalar<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.0(Token::Text(text)).ok_or_else(refused)
    }

    fn visit_u64<E: Error>(self, whole: u64) -> Result<T, E> {
        self.0(Token::Whole(whole)).ok_or_else(refused)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        self.0(Token::Flag(flag)).ok_or_else(refused)
    }
}

macro_rules! numbers {
    ($($number:ident)*) => { $(
        impl Field for $number {
            fn expected() -> String {
                format!("a whole number from 0 to {}", $number::MAX)
            }

            fn read<'de, D: Deserializer<'de>>(value: D, _: &mut Context<'_>) -> Result<Self, D::Error> {
                scalar(value, |token| match token {
                    Token::Whole(number) => number.try_into().ok(),
                    Token::Text(digits) => decimal(digits)?.try_into().ok(),
                    Token::Flag(_) => None,
                })
            }
        }
    )* };
}

numbers! { u16 u32 u64 }

/// A number as a string, for those that cannot hold it otherwise.
fn decimal(digits: &str) -> Option<u64> {
    // The standard library would take a plus sign as well.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl Field for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn read<'de, D: Deserializer<'de>>(value: D, _: &mut Context<'_>) -> Result<Self, D::Error> {
        scalar(value, |token| if let Token::Flag(flag) = token { Some(flag) } else { None })
    }
}

impl Item for &'static str {
    const EXPECTED: &'static str = "a string";

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<WIPOffset<Self>, D::Error> {
        text(value, |text| Some(cx.b.create_string(text)))
    }
}

/// Reads a string that `take` finds good.
pub(super) fn text<'de, D: Deserializer<'de>, T>(value: D, take: impl FnOnce(&str) -> Option<T>) -> Result<T, D::Error> {
    scalar(value, |token| if let Token::Text(text) = token { take(text) } else { None })
}

// ---------------------------------------------------------------------------------------------------------- bodies

type Bytes = Vector<'static, u8>;

/// A body that is text.
impl Item for Bytes {
    const EXPECTED: &'static str = "a string";

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<WIPOffset<Self>, D::Error> {
        text(value, |text| Some(cx.b.create_vector(text.as_bytes())))
    }
}

/// A body that need not be text.
pub(in crate::json) struct Base64(WIPOffset<Bytes>);

impl Field for Option<Base64> {
    fn expected() -> String {
        "a string of base64 (standard alphabet, padded)".to_owned()
    }

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<Self, D::Error> {
        text(value, |letters| {
            cx.decoded.clear();
            STANDARD.decode_vec(letters, cx.decoded).ok()?;
            Some(Some(Base64(cx.b.create_vector(cx.decoded))))
        })
    }
}

/// The body under one of its names. `other` is the second one.
pub(in crate::json) fn either<E: Error>(
    text: Option<WIPOffset<Bytes>>,
    base64: Option<Base64>,
    other: &'static str,
    cx: &mut Context<'_>,
) -> Result<Option<WIPOffset<Bytes>>, E> {
    if text.is_some() && base64.is_some() {
        cx.problem(ErrorCode::bad_request, || "there is a body already, as text".to_owned());
        cx.in_field(other);
        return Err(refused());
    }
    Ok(text.or(base64.map(|Base64(bytes)| bytes)))
}

// ----------------------------------------------------------------------------------------------------------- lists

impl<T: Item> Item for Vector<'static, ForwardsUOffset<T>> {
    const EXPECTED: &'static str = "a list";

    fn read<'de, D: Deserializer<'de>>(value: D, cx: &mut Context<'_>) -> Result<WIPOffset<Self>, D::Error> {
        value.deserialize_any(List(cx, PhantomData::<T>))
    }
}

struct List<'c, 'u, T>(&'c mut Context<'u>, PhantomData<T>);

impl<'de, T: Item> Visitor<'de> for List<'_, '_, T> {
    type Value = WIPOffset<Vector<'static, ForwardsUOffset<T>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let cx = self.0;
        let mut items: Vec<WIPOffset<T>> = Vec::new();
        loop {
            let item = list.next_element_seed(Seed::<Option<WIPOffset<T>>>(cx, PhantomData));
            match item.inspect_err(|_| cx.in_item(items.len()))? {
                Some(item) => items.extend(item),
                None => return Ok(cx.b.create_vector(&items)),
            }
        }
    }
}
