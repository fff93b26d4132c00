//! The handle: one method for each verb.

use std::sync::{Arc, OnceLock};

use campanile::wire::schema::{Direction, ReceiptKind, Role};
use tokio::sync::{mpsc, oneshot};

use crate::Conversation;
use crate::connection::{Command, Connection, Ends};
use crate::error::{Ended, RequestError};
use crate::event::Event;
use crate::history::History;
use crate::machine::Machine;
use crate::options::Options;
use crate::request::{Answer, Request};
use crate::values::{
    Ack, ConversationsPage, Cursor, GroupCreate, GroupCreated, MembersPage, Page, PresenceAnswer, Publish, Subscribed, Sync,
    Welcome,
};

/// A client of a Campanile server. Clones are cheap and speak over the same connection; the connection ends when all clones and the
/// [`Events`] are gone, or with [`Client::close`].
///
/// A request waits while there is no connection. It fails when the server refuses it, when the client has ended, or, for those that
/// must not be done twice, when the connection broke before the answer came ([`RequestError::ConnectionLost`]).
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    ended: Arc<OnceLock<Ended>>,
    welcome: Arc<Welcome>,
}

/// What happens, in order. Take from it steadily: when [`Options::events_max`] events wait, the library stops reading from the server,
/// and the server in the end closes a session that does not read. Drop it if you want no events.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event; None after [`Event::Ended`].
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// A publish that is on its way.
#[derive(Debug)]
pub struct Publishing {
    reply: oneshot::Receiver<Result<Answer, RequestError>>,
    ended: Arc<OnceLock<Ended>>,
}

impl Publishing {
    /// Waits for the ack.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn ack(self) -> Result<Ack, RequestError> {
        match self.reply.await {
            Ok(Ok(Answer::Ack(ack))) => Ok(ack),
            Ok(Ok(_)) => Err(RequestError::WrongAnswer),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(gone(&self.ended)),
        }
    }
}

/// Verbs whose answer is of one kind.
macro_rules! ask {
    ($self:ident, $request:expr, $answer:ident) => {
        match $self.ask($request).await? {
            Answer::$answer(value) => Ok(value),
            _ => Err(RequestError::WrongAnswer),
        }
    };
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`Ended`]: the options make no sense, the server cannot be reached (unless `keep_trying`), or it refuses this client.
    pub async fn connect(options: Options) -> Result<(Client, Events), Ended> {
        let host_and_port = options.host_and_port().map_err(Ended::BadOptions)?.to_owned();
        let prefix = client_id_prefix().map_err(Ended::BadOptions)?;
        let (commands, commands_end) = mpsc::channel(options.requests_max.max(1));
        let (events_end, events) = mpsc::channel(options.events_max.max(1));
        let (ready, welcome) = oneshot::channel();
        let ended = Arc::new(OnceLock::new());
        let ends = Ends { commands: commands_end, events: events_end, ready, ended: ended.clone() };
        tokio::spawn(Connection::new(Machine::new(options, prefix), host_and_port, ends).run());
        let welcome = Arc::new(welcome.await.unwrap_or(Err(Ended::Closed))?);
        Ok((Client { commands, ended, welcome }, Events { events }))
    }

    /// The first welcome. Later ones come with [`Event::Connected`].
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Ends the connection. Requests without an answer fail with [`Ended::Closed`]; events end with it.
    pub async fn close(&self) {
        let _ = self.commands.send(Command::Close).await;
        self.commands.closed().await;
    }

    /// Asks for anything.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn ask(&self, request: Request) -> Result<Answer, RequestError> {
        self.begin(request).await?.await.unwrap_or_else(|_| Err(gone(&self.ended)))
    }

    /// Puts a request into the queue. What is put there one after another is sent in that order.
    async fn begin(&self, request: Request) -> Result<oneshot::Receiver<Result<Answer, RequestError>>, RequestError> {
        request.check()?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Request(request, reply)).await.map_err(|_| gone(&self.ended))?;
        Ok(answer)
    }

    /// As [`Client::ask`], for verbs that are answered with "done".
    async fn done(&self, request: Request) -> Result<(), RequestError> {
        match self.ask(request).await? {
            Answer::Done => Ok(()),
            _ => Err(RequestError::WrongAnswer),
        }
    }

    // ---------------------------------------------------------------------------------------------- messages

    /// Publishes and waits for the ack. A connection that breaks meanwhile makes it wait, not fail, and never publishes twice.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn publish(&self, publish: Publish) -> Result<Ack, RequestError> {
        self.begin_publish(publish).await?.ack().await
    }

    /// Puts a message into the queue; the ack is waited for later. This is how to have many messages on the way. They are sent in order;
    /// where the server refuses one for now ("busy"), those sent together with it can pass it.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn begin_publish(&self, publish: Publish) -> Result<Publishing, RequestError> {
        let reply = self.begin(Request::Publish(publish)).await?;
        Ok(Publishing { reply, ended: self.ended.clone() })
    }

    /// Takes back an own message, for everyone who has not read it yet or reads it again; `cursor` is its place. Doing it again changes nothing.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn retract(&self, conversation: Conversation, cursor: Cursor) -> Result<Ack, RequestError> {
        ask!(self, Request::Retract { conversation, cursor }, Ack)
    }

    /// Receives a topic from now on, or any conversation from a cursor. `tags`: topics only, empty for all messages.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn subscribe(
        &self,
        conversation: Conversation,
        cursor: Option<Cursor>,
        tags: Vec<String>,
    ) -> Result<Subscribed, RequestError> {
        ask!(self, Request::Subscribe { conversation, cursor, tags }, Subscribed)
    }

    /// Receives a topic no more.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn unsubscribe(&self, conversation: Conversation) -> Result<(), RequestError> {
        self.done(Request::Unsubscribe { conversation }).await
    }

    /// One page of history. It moves no cursor.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn sync(&self, sync: Sync) -> Result<Page, RequestError> {
        ask!(self, Request::Sync(sync), Page)
    }

    /// History page by page: forward from after `cursor`, backward from `cursor` down (seq 0: from the newest).
    pub fn history(&self, conversation: Conversation, cursor: Cursor, direction: Direction) -> History {
        History::new(self.clone(), Sync { conversation, cursor, limit: 0, direction })
    }

    // ------------------------------------------------------------------------------------------------ groups

    /// Makes a group; the caller is its first owner.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_create(&self, group: GroupCreate) -> Result<GroupCreated, RequestError> {
        ask!(self, Request::GroupCreate(group), GroupCreated)
    }

    /// Gives a group another title.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_title(&self, id: &str, title: &str) -> Result<Ack, RequestError> {
        ask!(self, Request::GroupTitle { id: id.into(), title: title.into() }, Ack)
    }

    /// Adds a user to a group.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_add(&self, id: &str, user: &str, role: Role) -> Result<Ack, RequestError> {
        ask!(self, Request::GroupAdd { id: id.into(), user: user.into(), role }, Ack)
    }

    /// Removes a user from a group.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_remove(&self, id: &str, user: &str) -> Result<Ack, RequestError> {
        ask!(self, Request::GroupRemove { id: id.into(), user: user.into() }, Ack)
    }

    /// Joins an open group.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_join(&self, id: &str) -> Result<Ack, RequestError> {
        ask!(self, Request::GroupJoin { id: id.into() }, Ack)
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_leave(&self, id: &str) -> Result<Ack, RequestError> {
        ask!(self, Request::GroupLeave { id: id.into() }, Ack)
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_set_role(&self, id: &str, user: &str, role: Role) -> Result<Ack, RequestError> {
        ask!(self, Request::GroupSetRole { id: id.into(), user: user.into(), role }, Ack)
    }

    /// Ends a group.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn group_disband(&self, id: &str) -> Result<Ack, RequestError> {
        ask!(self, Request::GroupDisband { id: id.into() }, Ack)
    }

    /// Members, in the order of their ids, those after `after`. Limit 0: as many as the server gives.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn members(
        &self,
        conversation: Conversation,
        after: Option<String>,
        limit: u32,
    ) -> Result<MembersPage, RequestError> {
        ask!(self, Request::Members { conversation, after, limit }, Members)
    }

    /// The user's conversations; `after` 0 for the first page, then the page's `next`.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn conversations(&self, after: u32, limit: u32) -> Result<ConversationsPage, RequestError> {
        ask!(self, Request::Conversations { after, limit }, Conversations)
    }

    // ---------------------------------------------------------------------- receipts, presence, ephemeral, the rest

    /// Says "up to here". It never goes back.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn receipt(&self, conversation: Conversation, kind: ReceiptKind, cursor: Cursor) -> Result<(), RequestError> {
        self.done(Request::Receipt { conversation, kind, cursor }).await
    }

    /// Whether users are there, and how many sessions receive a group.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn presence(&self, users: Vec<String>, conversation: Option<Conversation>) -> Result<PresenceAnswer, RequestError> {
        ask!(self, Request::PresenceQuery { users, conversation }, Presence)
    }

    /// As [`Client::presence`], and an event at each change, also after a reconnect.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn watch(&self, users: Vec<String>) -> Result<PresenceAnswer, RequestError> {
        ask!(self, Request::PresenceWatch { users }, Presence)
    }

    /// No more events about these users.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn unwatch(&self, users: Vec<String>) -> Result<(), RequestError> {
        self.done(Request::PresenceUnwatch { users }).await
    }

    /// Typing and the like: never stored, the first thing to be dropped.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn ephemeral(&self, conversation: Conversation, name: &str, body: Vec<u8>) -> Result<(), RequestError> {
        self.done(Request::Ephemeral { conversation, name: name.into(), body }).await
    }

    /// Ends the user's session on another device.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn log_out_device(&self, device: &str) -> Result<(), RequestError> {
        self.done(Request::LogOutDevice { device: device.into() }).await
    }

    /// Asks for a sign of life; gives the server's time in milliseconds since 1970.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn ping(&self) -> Result<u64, RequestError> {
        match self.ask(Request::Ping).await? {
            Answer::Pong { server_time_ms } => Ok(server_time_ms),
            _ => Err(RequestError::WrongAnswer),
        }
    }
}

/// The error of a request that the background task did not answer.
fn gone(ended: &OnceLock<Ended>) -> RequestError {
    RequestError::Ended(ended.get().cloned().unwrap_or(Ended::Closed))
}

/// 128 random bits in hex: the sender's other devices and runs must not make the same `client_id`.
fn client_id_prefix() -> Result<String, String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|why| format!("the system has no random numbers: {why}"))?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}
