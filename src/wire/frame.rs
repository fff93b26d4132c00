//! From bytes to a verified frame.

use flatbuffers::VerifierOptions;

use super::PREFIX_BYTES;
use super::schema::{Frame, size_prefixed_root_as_frame_with_opts};

/// What stands at the front of a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Not enough bytes yet: at least this many in all are needed before it is worth looking again.
    More(usize),
    /// A whole frame of this many bytes, its prefix included.
    Whole(usize),
    /// A frame longer than the limit: the stream cannot be followed any further.
    TooLarge,
}

/// Looks for a whole frame at the front of `bytes`. `frame_bytes_max` bounds a frame without its prefix.
pub fn split(bytes: &[u8], frame_bytes_max: usize) -> Split {
    let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else {
        return Split::More(PREFIX_BYTES);
    };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > frame_bytes_max {
        return Split::TooLarge;
    }
    let whole = PREFIX_BYTES + length;
    if bytes.len() < whole { Split::More(whole) } else { Split::Whole(whole) }
}

/// The verifier refused a frame: offsets out of bounds, too deep, too many tables, text that is not UTF-8, no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Deepest nesting of a frame: Frame -> Page -> Message -> Conversation, and one to spare.
const DEPTH_MAX: usize = 5;
/// Tables in a frame: a page of 256 messages has two each; a connect may resume 1000 conversations, two each.
const TABLES_MAX: usize = 2_100;
/// The verifier counts bytes as often as tables share them; honest frames never share.
const APPARENT_BYTES_MAX: usize = 1 << 20;

/// Verifies one whole frame, prefix included, and gives a view of it. Nothing is copied.
///
/// # Errors
/// [`Malformed`]; the reason is of no use to the peer and is not kept.
pub fn read(bytes: &[u8]) -> Result<Frame<'_>, Malformed> {
    let options = VerifierOptions {
        max_depth: DEPTH_MAX,
        max_tables: TABLES_MAX,
        max_apparent_size: APPARENT_BYTES_MAX,
        ignore_missing_null_terminator: false,
    };
    size_prefixed_root_as_frame_with_opts(&options, bytes).map_err(|_| Malformed)
}
