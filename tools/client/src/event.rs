//! What the application is told.

use std::time::Duration;

use campanile::wire::schema::ErrorCode;

use crate::Conversation;
use crate::error::{Disconnect, Ended};
use crate::values::{Cursor, EphemeralEvent, Gap, Message, ReceiptEvent, Skip, UserPresence, Welcome};

/// Something that happened, in the order in which it happened. Nothing is left out: what does not come is announced.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The server let this client in.
    Connected {
        /// The client had been connected before and resumed where it stood.
        resumed: bool,
        /// The server's limits and names.
        welcome: Welcome,
    },
    /// The connection ended, or could not be made. Publishes wait and are sent when the next one stands.
    Disconnected {
        /// Why.
        reason: Disconnect,
        /// When the next attempt begins, from now.
        retry_in: Duration,
    },
    /// The client does not come back. This is the last event.
    Ended(Ended),
    /// A user published. `resume` is what to keep for [`Options::resume`](crate::Options::resume): everything up to there has
    /// been given to the application (or was published by it).
    Message {
        /// The message.
        message: Message,
        /// The cursor after it.
        resume: Cursor,
    },
    /// A group changed, or a message was taken back (its seq is `target`): `kind` says which.
    Record {
        /// The record.
        message: Message,
        /// The cursor after it, as in `Message`.
        resume: Cursor,
    },
    /// An ack of this client moved its cursor: everything up to `resume` has been given to the application or was written by it. It
    /// stands in the order of the events, so that who keeps cursors for the next run needs to look nowhere else.
    Acked {
        /// Where.
        conversation: Conversation,
        /// The cursor now, as in `Message`.
        resume: Cursor,
    },
    /// A conversation is received from here on, which it had not been before: a group that this user has become a member of, broadcast, or
    /// a topic that was resumed without a cursor. `resume` is its cursor until the first message comes, as in `Message`.
    Receiving {
        /// Which.
        conversation: Conversation,
        /// The cursor before its first message.
        resume: Cursor,
    },
    /// The log is not the one, or no longer has what, this client had last seen.
    Gap(Gap),
    /// These numbers will not come, and why.
    Skip(Skip),
    /// Numbers are missing and the server did not say so: a bug of the server. `expected` is the place that should have come.
    Hole {
        /// Where.
        conversation: Conversation,
        /// What should have come.
        expected: Cursor,
        /// What came.
        got: Cursor,
    },
    /// Someone received or read up to a place.
    Receipt(ReceiptEvent),
    /// A watched user came or went. After a reconnect also the present state of everyone watched.
    Presence(UserPresence),
    /// Typing and the like.
    Ephemeral(EphemeralEvent),
    /// So many ephemeral events were dropped by the server since it last said so.
    EphemeralDropped {
        /// How many.
        count: u64,
    },
    /// The server refused something that the library did on its own, such as resuming a conversation after a reconnect.
    Trouble {
        /// The conversation that is not received any more, if it is about one. Its cursor is of no use for a later run.
        conversation: Option<Conversation>,
        /// The server's code.
        code: ErrorCode,
        /// The server's words.
        message: String,
    },
}
