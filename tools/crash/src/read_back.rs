//! Reads everything back over the protocol, as any client could.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use campanile_client::{Client, Cursor, Direction, ErrorCode, Options, Page, RequestError};

use crate::checker::{ListLine, MemberLine, Reading, RoomRead, View};
use crate::entry::{Record, conversation, room};
use crate::plan;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request that was told "later" is sent again.
const LATER_MAX: u32 = 200;

type Lists = BTreeMap<String, BTreeMap<String, ListLine>>;

/// Sessions of everybody who reads.
pub struct Reader {
    target: String,
    device: String,
    clients: BTreeMap<String, Client>,
    lists: Lists,
}

impl Reader {
    /// A reader of the server at `target`, as a device that has not been there before.
    pub fn new(target: &str, cycle: u64) -> Reader {
        Reader { target: target.to_owned(), device: format!("r{cycle}"), clients: BTreeMap::new(), lists: Lists::new() }
    }

    /// Reads a room: by somebody who sees everything, by the others, and its line in all lists.
    ///
    /// # Errors
    /// The server did not answer, or not as the protocol says.
    pub async fn room(&mut self, name: &str, users: &[String], page_messages: u32) -> Result<RoomRead, String> {
        let (whole_by, others) = who_reads(name, users);
        let whole = self.read(&whole_by, name, Direction::forward, page_messages).await?;
        let mut read = RoomRead { whole, backward: None, members: None, others: BTreeMap::new(), lists: BTreeMap::new() };
        for user in others {
            let reading = self.read(&user, name, Direction::forward, page_messages).await?;
            read.others.insert(user, reading);
        }
        if name != "broadcast" {
            for user in users.iter().filter(|user| is_in_room(name, user)) {
                let line = self.list(user).await?.get(name).copied();
                read.lists.insert(user.clone(), line);
            }
        }
        if matches!(read.whole, Reading::View(_)) {
            if let Reading::View(backward) = self.read(&whole_by, name, Direction::backward, page_messages).await? {
                read.backward = Some(backward);
            }
            if name != "broadcast" {
                read.members = Some(self.members(&whole_by, name).await?);
            }
        }
        Ok(read)
    }

    /// Ends all sessions.
    pub async fn close(self) {
        for client in self.clients.into_values() {
            client.close().await;
        }
    }

    async fn client(&mut self, user: &str) -> Result<Client, String> {
        if let Some(client) = self.clients.get(user) {
            return Ok(client.clone());
        }
        let options = Options::new(self.target.clone(), format!("dev:{user}"), self.device.clone());
        let (client, _) = Client::connect(options).await.map_err(|ended| format!("{user} cannot read: {ended}"))?;
        self.clients.insert(user.to_owned(), client.clone());
        Ok(client)
    }

    async fn read(&mut self, user: &str, name: &str, direction: Direction, page_messages: u32) -> Result<Reading, String> {
        let client = self.client(user).await?;
        let mut history = client.history(conversation(user, name), Cursor::default(), direction).page_messages(page_messages);
        let (mut pages, mut later) = (Vec::new(), 0);
        loop {
            let page = tokio::time::timeout(ANSWER_TIMEOUT, history.next()).await;
            match page.map_err(|_| format!("no page of {name} for {user} within {ANSWER_TIMEOUT:?}"))? {
                None => return Ok(Reading::View(view(pages, direction))),
                Some(Ok(page)) => pages.push(page),
                Some(Err(why)) if why.code() == Some(ErrorCode::unknown_conversation) => return Ok(Reading::Unknown),
                Some(Err(RequestError::Refused { code, retry_after_ms, .. })) if is_later(code) && later < LATER_MAX => {
                    later += 1;
                    tokio::time::sleep(Duration::from_millis(u64::from(retry_after_ms.max(10)))).await;
                }
                Some(Err(why)) => return Err(format!("no page of {name} for {user}: {why}")),
            }
        }
    }

    async fn members(&mut self, user: &str, name: &str) -> Result<BTreeMap<String, MemberLine>, String> {
        let client = self.client(user).await?;
        let (mut members, mut after) = (BTreeMap::new(), None);
        loop {
            let page = patiently(|| client.members(conversation(user, name), after.clone(), 0)).await;
            let page = page.map_err(|why| format!("no members of {name} for {user}: {why}"))?;
            after = page.members.last().map(|member| member.user.clone());
            let line = |m: &campanile_client::Member| MemberLine {
                role: m.role.0,
                joined: m.joined,
                delivered: m.delivered,
                read: m.read,
            };
            members.extend(page.members.iter().map(|member| (member.user.clone(), line(member))));
            if !page.has_more {
                return Ok(members);
            }
        }
    }

    /// The user's list, read once.
    async fn list(&mut self, user: &str) -> Result<&BTreeMap<String, ListLine>, String> {
        if !self.lists.contains_key(user) {
            let client = self.client(user).await?;
            let (mut lines, mut after) = (BTreeMap::new(), 0);
            loop {
                let page = patiently(|| client.conversations(after, 0)).await;
                let page = page.map_err(|why| format!("no list of conversations for {user}: {why}"))?;
                for item in page.items {
                    let (epoch, first, committed) = (item.epoch, item.first, item.committed);
                    let line = ListLine { role: item.role.0, epoch, first, committed, read: item.read, unread: item.unread };
                    lines.insert(room(user, &item.conversation), line);
                }
                after = page.next;
                if !page.has_more {
                    break;
                }
            }
            self.lists.insert(user.to_owned(), lines);
        }
        Ok(&self.lists[user])
    }
}

fn is_later(code: ErrorCode) -> bool {
    (200..400).contains(&code.0)
}

/// Asks until the answer is not "later".
async fn patiently<T, F, R>(mut ask: F) -> Result<T, String>
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, RequestError>>,
{
    for _ in 0..LATER_MAX {
        match tokio::time::timeout(ANSWER_TIMEOUT, ask()).await {
            Err(_) => return Err(format!("no answer within {ANSWER_TIMEOUT:?}")),
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(RequestError::Refused { code, retry_after_ms, .. })) if is_later(code) => {
                tokio::time::sleep(Duration::from_millis(u64::from(retry_after_ms.max(10)))).await;
            }
            Ok(Err(why)) => return Err(why.to_string()),
        }
    }
    Err("told to come later again and again".to_owned())
}

/// Who sees everything of a room, and who else reads it.
fn who_reads(name: &str, users: &[String]) -> (String, Vec<String>) {
    let founder = plan::founder(name);
    let all: BTreeSet<&String> = users.iter().filter(|user| is_in_room(name, user)).collect();
    let whole_by = founder.unwrap_or_else(|| all.first().map(|user| (*user).clone()).unwrap_or_default());
    let others = match name {
        "broadcast" => Vec::new(),
        _ => all.into_iter().filter(|user| **user != whole_by).cloned().collect(),
    };
    (whole_by, others)
}

/// Whether a user has to do with a room at all: everybody but for direct conversations.
fn is_in_room(name: &str, user: &str) -> bool {
    name.strip_prefix("direct:").is_none_or(|both| both.split('|').any(|one| one == user))
}

fn view(mut pages: Vec<Page>, direction: Direction) -> View {
    let gap = pages.first().and_then(|page| page.gap.as_ref()).map(|gap| (gap.epoch, gap.first, gap.committed));
    let mut view = View { gap, ..View::default() };
    if let Some(last) = pages.last() {
        (view.epoch, view.first, view.committed) = (last.epoch, last.first, last.committed);
    }
    if direction == Direction::backward {
        pages.reverse();
    }
    for page in pages {
        view.records.extend(page.messages.iter().map(Record::from));
        view.skips.extend(page.skips.iter().map(|skip| (skip.from, skip.to, skip.why.0)));
    }
    view
}
