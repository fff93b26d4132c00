//! Commands that ask once and print the answer.

use std::io::Read;

use campanile_client::{
    Ack, Client, Conversation, ConversationInfo, Cursor, Direction, GroupCreate, Member, Page, Publish, RequestError, Role, Sync,
};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::args::{Command, Output, bare};
use crate::{Failure, explain, json, say, show};

/// Runs one command. `listen` and `subscribe` are elsewhere.
pub async fn run(client: &Client, command: Command) -> Result<(), Failure> {
    match command {
        Command::Send { address, text, tag, output } => send(client, address, text, tag, output).await,
        Command::Retract { address, seq, output } => {
            let ack = retract(client, &address, seq).await?;
            let again = if ack.duplicate { "had been taken back before" } else { "is taken back" };
            print(output, || json::ack(&address, &ack), || format!("{address}: message {seq} {again}"))
        }
        Command::Create { group, title, open, whole_history, members, output } => {
            let id = group.map(|id| bare("group", &id).to_owned());
            let created = client.group_create(GroupCreate { id, title, open, whole_history, members }).await?;
            print(output, || json::group_created(&created), || format!("{} is made; you are its owner", created.conversation))
        }
        Command::Join { group, output } => changed(&group, client.group_join(bare("group", &group)).await, output, "joined"),
        Command::Leave { group, output } => changed(&group, client.group_leave(bare("group", &group)).await, output, "left"),
        Command::Add { group, user, role, output } => {
            let ack = client.group_add(bare("group", &group), &user, Role::from(role)).await;
            changed(&group, ack, output, &format!("{user} added"))
        }
        Command::Remove { group, user, output } => {
            let ack = client.group_remove(bare("group", &group), &user).await;
            changed(&group, ack, output, &format!("{user} removed"))
        }
        Command::Role { group, user, role, output } => {
            let role = Role::from(role);
            let ack = client.group_set_role(bare("group", &group), &user, role).await;
            changed(&group, ack, output, &format!("{user} is now {}", json::role(role).unwrap_or("-")))
        }
        Command::Title { group, title, output } => {
            changed(&group, client.group_title(bare("group", &group), &title).await, output, "title changed")
        }
        Command::Disband { group, output } => changed(&group, client.group_disband(bare("group", &group)).await, output, "ended"),
        Command::Members { address, output } => {
            let members = all_members(client, &address).await?;
            members.iter().try_for_each(|m| print(output, || json::member(m), || show::member(m)))
        }
        Command::Conversations { output } => {
            let conversations = all_conversations(client).await?;
            conversations.iter().try_for_each(|c| print(output, || json::conversation(c), || show::conversation(c)))
        }
        Command::History { address, limit, before, output } => {
            let entries = history(client, address, limit, before).await?;
            let zone = TimeZone::system();
            entries.iter().try_for_each(|entry| print(output, || entry.json(), || entry.text(&zone)))
        }
        Command::Presence { users, output } => {
            let answer = client.presence(users, None).await?;
            let zone = TimeZone::system();
            answer.users.iter().try_for_each(|user| print(output, || json::presence(user), || show::presence(user, &zone)))
        }
        Command::Listen { .. } | Command::Subscribe { .. } => Ok(()),
    }
}

async fn send(client: &Client, to: Conversation, text: String, tag: Option<String>, output: Output) -> Result<(), Failure> {
    let text = if text == "-" { standard_input()? } else { text };
    let ack = client.publish(Publish { tag, ..Publish::text(to.clone(), text) }).await?;
    print(output, || json::ack(&to, &ack), || place(&to, &ack))
}

/// Takes back the message of this number.
pub async fn retract(client: &Client, of: &Conversation, seq: u64) -> Result<Ack, RequestError> {
    let epoch = newest(client, of).await?.epoch;
    client.retract(of.clone(), Cursor { epoch, seq }).await
}

/// A page with the newest message alone: a place needs the epoch, which a page tells.
async fn newest(client: &Client, of: &Conversation) -> Result<Page, RequestError> {
    client.sync(Sync { conversation: of.clone(), cursor: Cursor::default(), limit: 1, direction: Direction::backward }).await
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|why| Failure::Failed(format!("Standard input cannot be read as text: {why}.")))?;
    Ok(text)
}

/// Where a record stands: `direct:bob seq 3 epoch 7`.
fn place(conversation: &Conversation, ack: &Ack) -> String {
    let again = if ack.duplicate { " (it had been there before)" } else { "" };
    format!("{conversation} seq {} epoch {}{again}", ack.cursor.seq, ack.cursor.epoch)
}

fn changed(group: &str, ack: Result<Ack, RequestError>, output: Output, what: &str) -> Result<(), Failure> {
    let (group, ack) = (Conversation::Group(bare("group", group).to_owned()), ack?);
    print(output, || json::ack(&group, &ack), || format!("{group}: {what}"))
}

/// Prints one thing, as JSON or for people.
pub fn print(output: Output, value: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    say(&if output.json { value().to_string() } else { text() })
}

/// Every member, page by page.
pub async fn all_members(client: &Client, conversation: &Conversation) -> Result<Vec<Member>, RequestError> {
    let mut all: Vec<Member> = Vec::new();
    loop {
        let page = client.members(conversation.clone(), all.last().map(|m| m.user.clone()), 0).await?;
        let goes_on = page.has_more && !page.members.is_empty();
        all.extend(page.members);
        if !goes_on {
            return Ok(all);
        }
    }
}

/// Every conversation of the user, page by page.
pub async fn all_conversations(client: &Client) -> Result<Vec<ConversationInfo>, RequestError> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = client.conversations(after, 0).await?;
        all.extend(page.items);
        if !page.has_more || page.next == after {
            return Ok(all);
        }
        after = page.next;
    }
}

/// A line of history.
#[derive(Debug)]
pub enum Entry {
    /// A message or a change of a group.
    Message(campanile_client::Message),
    /// Numbers that are not there.
    Skip(campanile_client::Skip),
}

impl Entry {
    fn seq(&self) -> u64 {
        match self {
            Entry::Message(message) => message.seq,
            Entry::Skip(skip) => skip.from,
        }
    }

    fn json(&self) -> Value {
        match self {
            Entry::Message(message) => json::message(message),
            Entry::Skip(skip) => json::skip(skip),
        }
    }

    /// The line for people.
    pub fn text(&self, zone: &TimeZone) -> String {
        match self {
            Entry::Message(message) => format!("{:>4}  {}", message.seq, show::message(message, zone)),
            Entry::Skip(skip) => {
                format!("      * {} - {} are not here ({})", skip.from, skip.to, json::skip_reason(skip.why))
            }
        }
    }
}

/// The newest `limit` messages, those before `before` if given, in ascending order, with what is missing between them.
pub async fn history(
    client: &Client,
    conversation: Conversation,
    limit: u64,
    before: Option<u64>,
) -> Result<Vec<Entry>, RequestError> {
    let Some(cursor) = history_start(client, &conversation, before).await? else { return Ok(Vec::new()) };
    let first_page = u32::try_from(limit).unwrap_or(0).min(client.welcome().page_messages_max);
    let mut pages = client.history(conversation, cursor, Direction::backward).page_messages(first_page);
    let (mut entries, mut messages) = (Vec::new(), 0);
    while messages < limit
        && let Some(page) = pages.next().await
    {
        let page = page?;
        messages += page.messages.len() as u64;
        entries.extend(page.messages.into_iter().map(Entry::Message));
        entries.extend(page.skips.into_iter().map(Entry::Skip));
    }
    entries.sort_by_key(Entry::seq);
    Ok(last(entries, limit))
}

/// The backward cursor to begin with; None if nothing can be before `before`.
async fn history_start(client: &Client, of: &Conversation, before: Option<u64>) -> Result<Option<Cursor>, RequestError> {
    match before {
        None => Ok(Some(Cursor::default())),
        Some(0 | 1) => Ok(None),
        Some(before) => {
            let page = newest(client, of).await?;
            let seq = (before - 1).min(page.committed);
            Ok((seq > 0).then_some(Cursor { epoch: page.epoch, seq }))
        }
    }
}

/// Drops from the front what is more than `limit` messages.
fn last(mut entries: Vec<Entry>, limit: u64) -> Vec<Entry> {
    let messages = entries.iter().filter(|entry| matches!(entry, Entry::Message(_))).count() as u64;
    let mut extra = messages.saturating_sub(limit);
    while extra > 0 && !entries.is_empty() {
        extra -= u64::from(matches!(entries.remove(0), Entry::Message(_)));
    }
    entries
}

impl From<RequestError> for Failure {
    fn from(why: RequestError) -> Failure {
        Failure::Failed(explain::request(&why))
    }
}
