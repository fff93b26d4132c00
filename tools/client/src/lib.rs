//! Client library for the Campanile messaging server.

mod backoff;
mod client;
mod connection;
mod conversation;
mod decode;
mod encode;
mod error;
mod event;
mod history;
mod machine;
mod options;
mod request;
mod tracker;
mod values;

pub use backoff::Backoff;
pub use campanile::wire::schema::{CloseCode, Direction, ErrorCode, ReceiptKind, RecordKind, Role, SkipReason};
pub use client::{Client, Events, Publishing};
pub use conversation::Conversation;
pub use error::{Disconnect, Ended, RequestError, close_code_name, error_code_name};
pub use event::Event;
pub use history::History;
pub use machine::ResumePoint;
pub use options::Options;
pub use request::{Answer, Request};
pub use values::{
    Ack, ConversationInfo, ConversationsPage, Cursor, EphemeralEvent, Gap, GroupCreate, GroupCreated, Member, MembersPage,
    Message, Page, PresenceAnswer, Publish, ReceiptEvent, Skip, Subscribed, Sync, UserPresence, Welcome,
};
