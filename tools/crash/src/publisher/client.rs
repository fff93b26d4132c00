//! One client of the publisher: its steps in order, several under way at once.

use std::rc::Rc;
use std::sync::Arc;

use campanile_client::{
    Ack, Client, Cursor, Event, Events, GroupCreate, Message, Publish, ReceiptKind, Request, RequestError, error_code_name,
};
use tokio::sync::Semaphore;

use super::Shared;
use crate::entry::{Change, Entry, Record, conversation, fingerprint, role, room};
use crate::plan::Step;

/// Requests of one client that wait for their answer.
const UNDER_WAY_MAX: u32 = 8;

/// Does the steps, and waits for the answer to the last.
pub async fn work(shared: Rc<Shared>, user: String, client: Client, steps: Vec<Step>) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX as usize));
    for step in steps {
        let room_for_one = under_way.clone().acquire_owned().await.expect("nobody closes it");
        let doing = begin(&shared, &user, &client, step).await;
        tokio::task::spawn_local(async move {
            if let Some(doing) = doing {
                doing.await;
            }
            drop(room_for_one);
        });
    }
    // All places are free when the last answer has come.
    let _ = under_way.acquire_many(UNDER_WAY_MAX).await;
    client.close().await;
}

type Doing = std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Logs and sends; what is given back waits for the answer.
async fn begin(shared: &Rc<Shared>, user: &str, client: &Client, step: Step) -> Option<Doing> {
    match step {
        Step::Publish { room, client_id, body } => Some(publish(shared, user, client, room, client_id, body).await),
        Step::Again(choice) => {
            let again = {
                let acked = shared.acked.borrow();
                let own: Vec<_> = acked.iter().filter(|(sender, ..)| sender == user).collect();
                (!own.is_empty()).then(|| own[(choice % own.len() as u64) as usize].clone())
            };
            let (_, room, client_id, body) = again?;
            Some(publish(shared, user, client, room, client_id, body).await)
        }
        Step::Change { room, change } => Some(Box::pin(ask(shared.clone(), user.to_owned(), client.clone(), room, change))),
        Step::Receipt { choice, is_read } => receipt(shared, user, client, choice, is_read),
    }
}

async fn publish(shared: &Rc<Shared>, user: &str, client: &Client, room: String, client_id: String, body: String) -> Doing {
    let op = shared.next_op();
    let of_body = fingerprint(body.as_bytes());
    shared.log(&Entry::Send { op, user: user.to_owned(), room: room.clone(), client_id: client_id.clone(), body: of_body });
    let mut publish = Publish::text(conversation(user, &room), body.clone());
    publish.client_id = Some(client_id.clone());
    let publishing = client.begin_publish(publish).await;
    let (shared, user) = (shared.clone(), user.to_owned());
    Box::pin(async move {
        let answer = match publishing {
            Ok(publishing) => publishing.ack().await,
            Err(why) => Err(why),
        };
        if taken(&shared, op, &user, &room, answer) {
            shared.acked.borrow_mut().push((user, room, client_id, body));
        }
    })
}

async fn ask(shared: Rc<Shared>, user: String, client: Client, room: String, change: Change) {
    let op = shared.next_op();
    shared.log(&Entry::Change { op, user: user.clone(), room: room.clone(), change: change.clone() });
    let id = room.trim_start_matches("group:").to_owned();
    let request = match change {
        Change::Create { members, open, whole_history } => {
            let group = GroupCreate { id: Some(id), title: None, open, whole_history, members };
            let created = client.group_create(group).await;
            let ack = created.map(|created| Ack { cursor: created.cursor, time_ms: created.time_ms, duplicate: false });
            taken(&shared, op, &user, &room, ack);
            return;
        }
        Change::Add { user, role: number } => Request::GroupAdd { id, user, role: role(number) },
        Change::Remove { user } => Request::GroupRemove { id, user },
        Change::Join => Request::GroupJoin { id },
        Change::Leave => Request::GroupLeave { id },
        Change::Role { user, role: number } => Request::GroupSetRole { id, user, role: role(number) },
        Change::Title { title } => Request::GroupTitle { id, title },
    };
    let answer = match client.ask(request).await {
        Ok(campanile_client::Answer::Ack(ack)) => Ok(ack),
        Ok(_) => Err(RequestError::WrongAnswer),
        Err(why) => Err(why),
    };
    taken(&shared, op, &user, &room, answer);
}

fn receipt(shared: &Rc<Shared>, user: &str, client: &Client, choice: u64, is_read: bool) -> Option<Doing> {
    let (room, (epoch, seq)) = {
        let known = shared.known.borrow();
        let own: Vec<_> = known.iter().filter(|((of, room), _)| of == user && room != "broadcast").collect();
        let ((_, room), place) = own.get((choice % own.len().max(1) as u64) as usize)?;
        (room.clone(), **place)
    };
    let op = shared.next_op();
    shared.log(&Entry::Receipt { op, user: user.to_owned(), room: room.clone(), is_read, seq });
    let kind = if is_read { ReceiptKind::read } else { ReceiptKind::delivered };
    let (shared, user, client) = (shared.clone(), user.to_owned(), client.clone());
    Some(Box::pin(async move {
        let taken = client.receipt(conversation(&user, &room), kind, Cursor { epoch, seq }).await;
        shared.answered(&match taken {
            Ok(()) => Entry::Done { op },
            Err(why) => refusal(op, why),
        });
    }))
}

/// Logs the answer to a request that writes a record; true if it was taken.
fn taken(shared: &Shared, op: u64, user: &str, room: &str, answer: Result<Ack, RequestError>) -> bool {
    match answer {
        Ok(ack) => {
            let Cursor { epoch, seq } = ack.cursor;
            shared.answered(&Entry::Acked { op, epoch, seq, duplicate: ack.duplicate });
            shared.knows(user, room, (epoch, seq));
            true
        }
        Err(why) => {
            shared.answered(&refusal(op, why));
            false
        }
    }
}

fn refusal(op: u64, why: RequestError) -> Entry {
    match why.code() {
        Some(code) => Entry::Refused { op, code: code.0, name: error_code_name(code) },
        None => Entry::Unknown { op, why: why.to_string() },
    }
}

/// Logs what the session of a user gets.
pub async fn watch(shared: Rc<Shared>, user: String, mut events: Events) {
    let session = user.clone() + "/p";
    while let Some(event) = events.next().await {
        match event {
            Event::Message { message, .. } | Event::Record { message, .. } => got(&shared, &session, &user, &message),
            Event::Skip(skip) => {
                let room = room(&user, &skip.conversation);
                shared.log(&Entry::Skipped { session: session.clone(), room, from: skip.from, to: skip.to, why: skip.why.0 });
            }
            Event::Gap(gap) => {
                let (room, committed) = (room(&user, &gap.conversation), gap.committed);
                shared.log(&Entry::Gap { session: session.clone(), room, epoch: gap.epoch, first: gap.first, committed });
            }
            Event::Hole { conversation, expected, got } => {
                let room = room(&user, &conversation);
                shared.log(&Entry::Hole { session: session.clone(), room, expected: expected.seq, got: got.seq });
            }
            Event::Disconnected { .. } => shared.log(&Entry::Down { user: user.clone() }),
            Event::Trouble { conversation, code, message } => {
                let of = conversation.map(|conversation| conversation.to_string()).unwrap_or_default();
                shared.log(&Entry::Note { text: format!("{user} {of}: {} {message}", error_code_name(code)) });
            }
            _ => {}
        }
    }
}

fn got(shared: &Shared, session: &str, user: &str, message: &Message) {
    let (room, record) = (room(user, &message.conversation), Record::from(message));
    shared.knows(user, &room, (record.epoch, record.seq));
    shared.log(&Entry::Got { session: session.to_owned(), user: user.to_owned(), room, record });
}
