//! The wire: FlatBuffers frames of `schema/campanile.fbs`, size-prefixed, little endian.
//!
//! A frame that arrives goes through [`split`] (is it whole?) and [`read`] (is it sound?) and is then read in place.
//! A frame that leaves is built by an [`Encoder`].

mod encode;
mod fixed;
mod frame;
#[allow(missing_docs, unsafe_code, unused_imports, clippy::all, clippy::pedantic, mismatched_lifetime_syntaxes)]
#[rustfmt::skip]
mod generated;

pub use encode::{Encoder, Fbb, Verb, conversation};
pub use fixed::ping;
pub use frame::{Malformed, Split, read, split};
pub use generated::campanile::v_1 as schema;

use crate::id::{Address, check_id};

/// The protocol version of this build, told in `Connect.version`.
pub const PROTOCOL_VERSION: u16 = 1;

/// Bytes of the length before each frame.
pub const PREFIX_BYTES: usize = 4;

/// Why a `Conversation` on the wire is not an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The field is absent or its kind is not known.
    Missing,
    /// The id breaks the rules for ids.
    Id(crate::id::IdError),
}

/// Reads the address of a conversation from a verified frame.
///
/// # Errors
/// See [`AddressError`].
pub fn address<'a>(wire: Option<schema::Conversation<'a>>) -> Result<Address<'a>, AddressError> {
    let wire = wire.ok_or(AddressError::Missing)?;
    let id = || check_id(wire.id().unwrap_or("")).map_err(AddressError::Id);
    match wire.kind() {
        schema::ConversationKind::direct => Ok(Address::Direct(id()?)),
        schema::ConversationKind::group => Ok(Address::Group(id()?)),
        schema::ConversationKind::topic => Ok(Address::Topic(id()?)),
        schema::ConversationKind::broadcast => Ok(Address::Broadcast),
        _ => Err(AddressError::Missing),
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    #[test]
    fn the_generated_code_is_of_this_schema() {
        let lines: Vec<&str> = include_str!("generated.rs").splitn(3, '\n').collect();
        let [schema, code] =
            [include_str!("../../schema/campanile.fbs"), lines[2]].map(|text| sha1_smol::Sha1::from(text).digest());
        assert_eq!(
            lines[1],
            format!("// SHA-1 of the schema {schema}, of what follows this line {code}"),
            "make it anew: cargo run --manifest-path tools/schema/Cargo.toml"
        );
    }
}
