//! Values of enums are their names. A number is taken for one as well, and one without a name here is written as its number.

use serde::de::Deserializer;

use super::read::{Context, Field, Token, scalar};
use super::write::{Put, pair};
use crate::wire::schema::{CloseCode, ConversationKind, Direction, ErrorCode, ReceiptKind, RecordKind, Role, SkipReason};

macro_rules! enums {
    ($($name:ident)*) => { $(
        impl Put for $name {
            fn put(self, key: &'static str, out: &mut Vec<u8>) {
                match self.variant_name() {
                    Some(name) => pair(key, name, out),
                    None => pair(key, u64::from(self.0), out),
                }
            }
        }

        impl Field for $name {
            fn expected() -> String {
                let names: Vec<_> = Self::ENUM_VALUES.iter().filter_map(|value| value.variant_name()).collect();
                format!("one of {}", names.join(", "))
            }

            fn read<'de, D: Deserializer<'de>>(value: D, _: &mut Context<'_>) -> Result<Self, D::Error> {
                scalar(value, |token| match token {
                    Token::Text(name) => Self::ENUM_VALUES.iter().copied().find(|value| value.variant_name() == Some(name)),
                    Token::Whole(number) => number.try_into().ok().map(Self),
                    Token::Flag(_) => None,
                })
            }
        }
    )* };
}

enums! { ConversationKind CloseCode ErrorCode Role RecordKind SkipReason Direction ReceiptKind }
