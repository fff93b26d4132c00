//! JSON beside the binary protocol: the same golden frames in both, the documentation, and whatever else may come as a text.
#![cfg(feature = "server")]

#[path = "../support/mod.rs"]
mod support;

mod accepted;
mod golden;
mod page;
mod properties;
mod refused;
mod served;

use campanile::json::{self, JsonError, Reader};
use campanile::wire::schema::Frame;

/// The one way in which a frame is written.
fn written(frame: Frame<'_>) -> String {
    let mut out = Vec::new();
    json::write(frame, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Reads a text of alice's, and hands the frame on.
fn read<T>(text: &str, look: impl FnOnce(Frame<'_>) -> T) -> Result<T, JsonError> {
    let mut reader = Reader::new();
    let bytes = reader.read(text.as_bytes(), Some("alice"))?;
    Ok(look(campanile::wire::read(bytes).expect("what the reader makes is sound")))
}
