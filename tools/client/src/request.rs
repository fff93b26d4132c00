//! Requests and their answers.

use campanile::id::{IdError, check_id};
use campanile::wire::schema::{ReceiptKind, RecordKind, Role};

use crate::Conversation;
use crate::values::{
    Ack, ConversationsPage, Cursor, GroupCreate, GroupCreated, MembersPage, Message, Page, PresenceAnswer, Publish, Subscribed,
    Sync,
};

/// Everything a client can ask for, as in the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Request {
    Ping,
    Publish(Publish),
    Retract { conversation: Conversation, cursor: Cursor },
    Subscribe { conversation: Conversation, cursor: Option<Cursor>, tags: Vec<String> },
    Unsubscribe { conversation: Conversation },
    Sync(Sync),
    GroupCreate(GroupCreate),
    GroupTitle { id: String, title: String },
    GroupAdd { id: String, user: String, role: Role },
    GroupRemove { id: String, user: String },
    GroupJoin { id: String },
    GroupLeave { id: String },
    GroupSetRole { id: String, user: String, role: Role },
    GroupDisband { id: String },
    Members { conversation: Conversation, after: Option<String>, limit: u32 },
    Conversations { after: u32, limit: u32 },
    Receipt { conversation: Conversation, kind: ReceiptKind, cursor: Cursor },
    PresenceQuery { users: Vec<String>, conversation: Option<Conversation> },
    PresenceWatch { users: Vec<String> },
    PresenceUnwatch { users: Vec<String> },
    Ephemeral { conversation: Conversation, name: String, body: Vec<u8> },
    LogOutDevice { device: String },
}

impl Request {
    /// Whether doing it twice is the same as doing it once, so that it may be sent again when a connection broke before its answer.
    pub fn repeatable(&self) -> bool {
        match self {
            Request::Publish(publish) => publish.client_id.is_some(),
            Request::Ping
            | Request::Retract { .. }
            | Request::Subscribe { .. }
            | Request::Unsubscribe { .. }
            | Request::Sync(_)
            | Request::Members { .. }
            | Request::Conversations { .. }
            | Request::Receipt { .. }
            | Request::PresenceQuery { .. }
            | Request::PresenceWatch { .. }
            | Request::PresenceUnwatch { .. } => true,
            Request::GroupCreate(_)
            | Request::GroupTitle { .. }
            | Request::GroupAdd { .. }
            | Request::GroupRemove { .. }
            | Request::GroupJoin { .. }
            | Request::GroupLeave { .. }
            | Request::GroupSetRole { .. }
            | Request::GroupDisband { .. }
            | Request::Ephemeral { .. }
            | Request::LogOutDevice { .. } => false,
        }
    }

    /// Checks the ids in the request, so that a mistake is told before anything is sent.
    ///
    /// # Errors
    /// The first rule for ids that is broken.
    pub fn check(&self) -> Result<(), IdError> {
        match self {
            Request::Ping | Request::Conversations { .. } => Ok(()),
            Request::Publish(publish) => {
                publish.client_id.as_deref().map_or(Ok(""), check_id)?;
                publish.conversation.check()
            }
            Request::Retract { conversation, .. }
            | Request::Subscribe { conversation, .. }
            | Request::Unsubscribe { conversation }
            | Request::Members { conversation, .. }
            | Request::Receipt { conversation, .. }
            | Request::Ephemeral { conversation, .. } => conversation.check(),
            Request::Sync(sync) => sync.conversation.check(),
            Request::GroupCreate(group) => {
                group.id.as_deref().map_or(Ok(""), check_id)?;
                group.members.iter().try_for_each(|user| check_id(user).map(|_| ()))
            }
            Request::GroupTitle { id, .. }
            | Request::GroupJoin { id }
            | Request::GroupLeave { id }
            | Request::GroupDisband { id }
            | Request::LogOutDevice { device: id } => check_id(id).map(|_| ()),
            Request::GroupAdd { id, user, .. } | Request::GroupRemove { id, user } | Request::GroupSetRole { id, user, .. } => {
                check_id(id)?;
                check_id(user).map(|_| ())
            }
            Request::PresenceQuery { users, .. } | Request::PresenceWatch { users } | Request::PresenceUnwatch { users } => {
                users.iter().try_for_each(|user| check_id(user).map(|_| ()))
            }
        }
    }

    /// The conversation in whose log this request writes a record, if its ack is to move that conversation's cursor.
    pub fn writes_to(&self) -> Option<Conversation> {
        match self {
            Request::Publish(publish) => Some(publish.conversation.clone()),
            Request::Retract { conversation, .. } => Some(conversation.clone()),
            Request::GroupTitle { id, .. }
            | Request::GroupAdd { id, .. }
            | Request::GroupRemove { id, .. }
            | Request::GroupJoin { id }
            | Request::GroupLeave { id }
            | Request::GroupSetRole { id, .. }
            | Request::GroupDisband { id } => Some(Conversation::Group(id.clone())),
            _ => None,
        }
    }

    /// Whether `record` is the change of a group that this request makes, or says that what it takes back was taken back.
    pub(crate) fn may_write(&self, record: &Message) -> bool {
        if let Request::Retract { conversation, cursor } = self {
            let is_same = (conversation, cursor.seq) == (&record.conversation, record.target);
            return is_same && record.kind == RecordKind::retracted;
        }
        let Conversation::Group(group) = &record.conversation else { return false };
        let subject = record.subject.as_ref();
        match (self, record.kind) {
            (Request::GroupTitle { id, title }, RecordKind::title) => id == group && title.as_bytes() == record.body,
            (Request::GroupAdd { id, user, role }, RecordKind::added) => {
                id == group && subject == Some(user) && *role == record.role
            }
            (Request::GroupRemove { id, user }, RecordKind::removed) => id == group && subject == Some(user),
            (Request::GroupJoin { id }, RecordKind::joined)
            | (Request::GroupLeave { id }, RecordKind::left)
            | (Request::GroupDisband { id }, RecordKind::disbanded) => id == group,
            (Request::GroupSetRole { id, user, role }, RecordKind::role) => {
                id == group && subject == Some(user) && *role == record.role
            }
            (Request::GroupCreate(create), RecordKind::created) => create.id.as_ref().is_none_or(|id| id == group),
            _ => false,
        }
    }
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Answer {
    Pong { server_time_ms: u64 },
    Ack(Ack),
    Subscribed(Subscribed),
    Page(Page),
    GroupCreated(GroupCreated),
    Members(MembersPage),
    Conversations(ConversationsPage),
    Presence(PresenceAnswer),
    Done,
}
