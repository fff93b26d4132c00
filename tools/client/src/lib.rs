//! Client library for the Campanile messaging server.
//!
//! A [`Client`] keeps one connection and makes it anew when it breaks: with exponential backoff and full jitter, resuming every
//! conversation where it stood, sending again what was under way without doubling it. What happens comes as [`Event`]s, and nothing is
//! hidden: [`Event::Gap`] and [`Event::Skip`] say what will not come and why, [`Event::Hole`] says that the server broke its word.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/doc.rs"));
//! use campanile_client::{Client, Event, Options, Publish};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let target = one_chat().await;
//! let (client, mut events) = Client::connect(Options::new(target, "dev:alice", "laptop")).await?;
//! let ack = client.publish(Publish::text("direct:bob".parse()?, "Shall we?")).await?;
//! println!("it is message {} of this conversation", ack.cursor.seq);
//!
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Message { message, resume } => {
//!             println!("{}: {}", message.sender, message.text().unwrap_or("(not text)"));
//!             // Keep `resume`: given to Options::resume in the next run, nothing is missed and nothing comes twice.
//! #           assert_eq!((message.text(), resume.seq), (Some("Yes."), 2));
//!             client.close().await;
//!         }
//!         Event::Disconnected { reason, retry_in } => println!("{reason}; again in {retry_in:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//!
//! - **Take events steadily.** They wait in a bounded queue; when it is full the library stops reading, and a server closes a session
//!   that does not read (it resumes, nothing is lost). While a request waits for its answer the library reads ahead, up to 16 MiB, so
//!   that waiting for an ack in the loop that takes the events does no harm. Who wants no events drops [`Events`].
//! - **A publish waits** while there is no connection. What was under way is sent again with the same `client_id`, which the server
//!   knows; after [`Options::resend_within`] it may not know it any more and the publish fails with
//!   [`RequestError::ConnectionLost`]: it is not known whether it was done.
//! - **One's own messages** are told by their acks and do not come as events in the session that published them.
//! - **Close codes** 2000 - 2999 end the client for good ([`Ended::Refused`] says why); after all others it comes back.
//!
//! # How it is built
//!
//! ```text
//! Client (cheap to clone) --requests--> Connection, a task --bytes--> server
//! Events                  <--events---  (socket, clock)    <--------
//!                                             |
//!                                          Machine: cursors, requests, resume list, backoff; decides everything, does nothing
//! ```

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
