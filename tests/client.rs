//! The client library against the real server: people who talk, connections that break, a server that starts anew.
#![cfg(feature = "server")]

#[path = "client/server.rs"]
mod server;

use std::time::Duration;

use campanile_client::{
    Backoff, Client, Conversation, Cursor, Direction, ErrorCode, Event, Events, GroupCreate, Message, Options, Publish,
    ReceiptKind, RecordKind, ResumePoint, Role, SkipReason,
};
use server::{Server, Wire};

/// Long enough for any machine: only a test that fails waits for it.
const NEVER: Duration = Duration::from_secs(60);

fn options(target: &str, user: &str) -> Options {
    let backoff = Backoff { base: Duration::from_millis(1), max: Duration::from_millis(20) };
    Options { backoff, ..Options::new(target, format!("dev:{user}"), "test") }
}

/// Someone who is connected.
struct Person {
    client: Client,
    events: Events,
}

impl Person {
    /// Logs in, up to the event that says where broadcast begins.
    async fn arrives(target: &str, user: &str) -> Person {
        let mut person = Person::connects(options(target, user)).await;
        let broadcast = |event: &Event| matches!(event, Event::Receiving { conversation: Conversation::Broadcast, .. });
        person.sees(broadcast).await;
        person
    }

    async fn connects(options: Options) -> Person {
        let (client, events) = Client::connect(options).await.unwrap();
        Person { client, events }
    }

    async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(NEVER, self.events.next()).await.expect("an event comes");
        event.expect("the client goes on")
    }

    /// The next event that is meant; none before it may be a hole.
    async fn sees(&mut self, is_meant: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            assert!(!matches!(event, Event::Hole { .. }), "{event:?}");
            if is_meant(&event) {
                return event;
            }
        }
    }

    /// The next message.
    async fn hears(&mut self) -> Message {
        match self.sees(|event| matches!(event, Event::Message { .. })).await {
            Event::Message { message, .. } => message,
            other => unreachable!("{other:?}"),
        }
    }

    /// Texts of the messages up to `last`.
    async fn hears_up_to(&mut self, last: &str) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        while texts.last().is_none_or(|text| text != last) {
            texts.push(self.hears().await.text().unwrap().to_owned());
        }
        texts
    }

    /// The next change of a group.
    async fn sees_change(&mut self) -> (RecordKind, u64) {
        match self.sees(|event| matches!(event, Event::Record { .. })).await {
            Event::Record { message, .. } => (message.kind, message.seq),
            other => unreachable!("{other:?}"),
        }
    }

    async fn comes_back(&mut self) {
        self.sees(|event| matches!(event, Event::Connected { resumed: true, .. })).await;
    }

    async fn says(&self, to: &Conversation, text: &str) -> Cursor {
        self.client.publish(Publish::text(to.clone(), text)).await.unwrap().cursor
    }
}

fn direct(user: &str) -> Conversation {
    Conversation::Direct(user.into())
}

fn team() -> Conversation {
    Conversation::Group("team".into())
}

fn news() -> Conversation {
    Conversation::Topic("news".into())
}

fn numbered(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn what_is_taken_back_is_gone_for_everyone() {
    let server = Server::start();
    let (alice, mut bob) = (Person::arrives(&server.target, "alice").await, Person::arrives(&server.target, "bob").await);
    let secret = alice.says(&direct("bob"), "secret").await;
    bob.hears().await;
    let refused = bob.client.retract(direct("alice"), secret).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::not_permitted));
    let ack = alice.client.retract(direct("bob"), secret).await.unwrap();
    assert_eq!((ack.cursor.seq, ack.duplicate), (2, false));
    let record = bob.sees(|event| matches!(event, Event::Record { .. })).await;
    assert!(matches!(record, Event::Record { message, .. } if message.kind == RecordKind::retracted && message.target == 1));
    let again = alice.client.retract(direct("bob"), secret).await.unwrap();
    assert_eq!((again.cursor, again.duplicate), (secret, true));
    let third = alice.says(&direct("bob"), "third").await;
    assert_eq!((third.seq, bob.hears().await.seq), (3, 3));

    let mut history = bob.client.history(direct("alice"), Cursor::default(), Direction::backward);
    let page = history.next().await.unwrap().unwrap();
    let shown: Vec<_> = page.messages.iter().map(|m| (m.seq, m.is_retracted, m.text().unwrap_or("?"))).collect();
    assert_eq!(shown, [(1, true, ""), (2, false, ""), (3, false, "third")]);
}

#[tokio::test]
async fn two_people_talk() {
    let server = Server::start();
    let mut alice = Person::arrives(&server.target, "alice").await;
    let mut bob = Person::arrives(&server.target, "bob").await;
    let mut phone = Person::connects(Options { device: "phone".into(), ..options(&server.target, "alice") }).await;

    let place = alice.says(&direct("bob"), "Shall we?").await;
    let heard = bob.hears().await;
    assert_eq!((heard.text(), &heard.conversation, heard.cursor()), (Some("Shall we?"), &direct("alice"), place));
    let own = phone.hears().await;
    assert_eq!((own.sender.as_str(), &own.conversation), ("alice", &direct("bob")), "her other device sees what she wrote");

    bob.client.ephemeral(direct("alice"), "typing", b"...".to_vec()).await.unwrap();
    let typing = alice.sees(|event| matches!(event, Event::Ephemeral(_))).await;
    assert!(matches!(typing, Event::Ephemeral(e) if e.sender == "bob" && e.name == "typing" && e.body == b"..."));
    bob.client.receipt(direct("alice"), ReceiptKind::read, place).await.unwrap();
    let read = alice.sees(|event| matches!(event, Event::Receipt(_))).await;
    assert!(matches!(read, Event::Receipt(r) if r.user == "bob" && r.kind == ReceiptKind::read && r.cursor == place));

    bob.says(&direct("alice"), "Yes.").await;
    assert_eq!(alice.hears().await.text(), Some("Yes."), "her own message did not come back to her");
    let mut history = alice.client.history(direct("bob"), Cursor::default(), Direction::backward);
    let page = history.next().await.unwrap().unwrap();
    let texts: Vec<_> = page.messages.iter().filter_map(Message::text).collect();
    assert_eq!((texts, history.next().await.is_none()), (vec!["Shall we?", "Yes."], true));
    let conversations = bob.client.conversations(0, 0).await.unwrap().items;
    assert_eq!(conversations.iter().map(|c| (c.conversation.clone(), c.unread)).collect::<Vec<_>>(), [(direct("alice"), 1)]);
}

#[tokio::test]
async fn who_leaves_a_group_hears_no_more_of_it() {
    let server = Server::start();
    let mut alice = Person::arrives(&server.target, "alice").await;
    let mut bob = Person::arrives(&server.target, "bob").await;
    let group = GroupCreate { id: Some("team".into()), members: vec!["bob".into()], ..GroupCreate::default() };
    let created = alice.client.group_create(group).await.unwrap();
    let begins = bob.sees(|event| matches!(event, Event::Receiving { .. })).await;
    let resume = Cursor { seq: 1, ..created.cursor };
    assert_eq!(begins, Event::Receiving { conversation: team(), resume }, "he was added by the second record");
    assert_eq!(bob.sees_change().await, (RecordKind::added, 2));
    assert_eq!(alice.sees_change().await, (RecordKind::added, 2), "only the first record is told by the answer");

    alice.client.group_set_role("team", "bob", Role::admin).await.unwrap();
    alice.client.group_title("team", "The Team").await.unwrap();
    bob.client.group_add("team", "carol", Role::member).await.unwrap();
    assert_eq!(bob.sees_change().await, (RecordKind::role, 3));
    assert_eq!(bob.sees_change().await, (RecordKind::title, 4));
    assert_eq!(alice.sees_change().await, (RecordKind::added, 5), "her own changes are told by their acks");

    alice.client.group_remove("team", "bob").await.unwrap();
    assert_eq!(bob.sees_change().await, (RecordKind::removed, 6));
    alice.says(&team(), "without bob").await;
    let refused = bob.client.publish(Publish::text(team(), "still here?")).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::unknown_conversation));
    alice.says(&direct("bob"), "sorry").await;
    assert_eq!(bob.hears().await.text(), Some("sorry"));

    alice.client.group_add("team", "bob", Role::member).await.unwrap();
    assert_eq!(bob.sees_change().await, (RecordKind::added, 8));
    alice.says(&team(), "welcome back").await;
    assert_eq!(bob.hears().await.text(), Some("welcome back"));
}

#[tokio::test]
async fn a_filter_outlives_its_connection() {
    let server = Server::start();
    let wire = Wire::to(&server).await;
    let alice = Person::arrives(&server.target, "alice").await;
    let mut bob = Person::arrives(&wire.target, "bob").await;
    bob.client.subscribe(news(), None, vec!["eu".into()]).await.unwrap();
    for (tag, text) in [("us", "1"), ("eu", "2"), ("us", "3")] {
        alice.client.publish(Publish::text(news(), text).with_tag(tag)).await.unwrap();
    }
    let skip = bob.sees(|event| matches!(event, Event::Skip(_))).await;
    assert!(matches!(skip, Event::Skip(skip) if (skip.from, skip.to, skip.why) == (1, 1, SkipReason::filtered)));
    assert_eq!(bob.hears().await.text(), Some("2"));
    wire.cut();
    for (tag, text) in [("eu", "4"), ("us", "5"), ("eu", "6")] {
        alice.client.publish(Publish::text(news(), text).with_tag(tag)).await.unwrap();
    }
    wire.mend();
    assert_eq!(bob.hears_up_to("6").await, ["4", "6"]);
}

/// Nothing has come yet, and still the place is known from which to resume.
#[tokio::test]
async fn what_comes_while_one_is_away_comes_afterwards_also_when_nothing_came_before() {
    let server = Server::start();
    let wire = Wire::to(&server).await;
    let alice = Person::arrives(&server.target, "alice").await;
    alice.says(&Conversation::Broadcast, "before bob").await;
    let mut bob = Person::arrives(&wire.target, "bob").await;
    bob.client.subscribe(news(), None, Vec::new()).await.unwrap();
    wire.cut();
    bob.sees(|event| matches!(event, Event::Disconnected { .. })).await;
    let expected = [(Conversation::Broadcast, "to all"), (news(), "to subscribers"), (direct("bob"), "to him")];
    for (to, text) in &expected {
        alice.says(to, text).await;
    }
    wire.mend();
    let mut heard = Vec::new();
    for _ in &expected {
        heard.push(bob.hears().await.text().unwrap().to_owned());
    }
    heard.sort();
    assert_eq!(heard, ["to all", "to him", "to subscribers"]);
}

#[tokio::test]
async fn a_publish_whose_ack_is_lost_is_published_once() {
    let server = Server::start();
    let wire = Wire::to(&server).await;
    let mut alice = Person::arrives(&wire.target, "alice").await;
    let mut bob = Person::arrives(&server.target, "bob").await;
    alice.says(&direct("bob"), "1").await;
    wire.mute();
    let mut publishing = Vec::new();
    for text in numbered(2..=20) {
        publishing.push(alice.client.begin_publish(Publish::text(direct("bob"), text)).await.unwrap());
    }
    assert_eq!(bob.hears_up_to("20").await, numbered(1..=20), "the server has them all; alice knows nothing of it");
    bob.says(&direct("alice"), "got them").await;
    wire.cut();
    alice.sees(|event| matches!(event, Event::Disconnected { .. })).await;
    for text in numbered(21..=30) {
        publishing.push(alice.client.begin_publish(Publish::text(direct("bob"), text)).await.unwrap());
    }
    wire.mend();
    alice.comes_back().await;
    let mut places = Vec::new();
    for publishing in publishing {
        let ack = publishing.ack().await.unwrap();
        places.push((ack.cursor.seq, ack.duplicate));
    }
    let expected = (2..=20).map(|seq| (seq, true)).chain((22..=31).map(|seq| (seq, false))).collect::<Vec<_>>();
    assert_eq!(places, expected);
    assert_eq!(bob.hears_up_to("30").await, numbered(21..=30));
    assert_eq!(alice.hears().await.text(), Some("got them"), "her own are told by their acks");
}

/// A wire that breaks again and again under a stream of messages in both directions.
#[tokio::test]
async fn each_message_comes_once_however_often_the_wire_breaks() {
    let server = Server::start();
    let wire = Wire::to(&server).await;
    let mut alice = Person::arrives(&wire.target, "alice").await;
    let mut bob = Person::arrives(&wire.target, "bob").await;
    for round in 0..10 {
        let numbers = round * 20 + 1..=round * 20 + 20;
        let mut publishing = Vec::new();
        for text in numbered(numbers.clone()) {
            publishing.push(alice.client.begin_publish(Publish::text(direct("bob"), &*text)).await.unwrap());
            publishing.push(bob.client.begin_publish(Publish::text(direct("alice"), text)).await.unwrap());
        }
        wire.cut();
        wire.mend();
        for publishing in publishing {
            publishing.ack().await.unwrap();
        }
        let last = numbers.end().to_string();
        for person in [&mut alice, &mut bob] {
            let mut heard = person.hears_up_to(&last).await;
            heard.sort_by_key(|text| text.parse::<u32>().unwrap());
            assert_eq!(heard, numbered(numbers.clone()));
        }
    }
    let page = alice.client.sync(campanile_client::Sync {
        conversation: direct("bob"),
        cursor: Cursor::default(),
        limit: 1,
        direction: Direction::backward,
    });
    assert_eq!(page.await.unwrap().committed, 400, "nothing was published twice");
}

#[tokio::test]
async fn a_server_that_starts_anew_is_shown_honestly() {
    let server = Server::start();
    let wire = Wire::to(&server).await;
    let alice = Person::arrives(&wire.target, "alice").await;
    let mut bob = Person::arrives(&wire.target, "bob").await;
    let group = GroupCreate { id: Some("team".into()), members: vec!["bob".into()], ..GroupCreate::default() };
    alice.client.group_create(group).await.unwrap();
    bob.sees_change().await;
    bob.client.subscribe(news(), None, Vec::new()).await.unwrap();
    let before = alice.says(&news(), "old news").await;
    assert_eq!(bob.hears().await.text(), Some("old news"));

    drop(server);
    bob.sees(|event| matches!(event, Event::Disconnected { .. })).await;
    let waiting = bob.client.begin_publish(Publish::text(news(), "written while there was no server")).await.unwrap();
    let server = Server::start();
    wire.lead_to(&server);
    bob.comes_back().await;
    let (mut gap, mut lost) = (None, None);
    while gap.is_none() || lost.is_none() {
        match bob.next().await {
            Event::Gap(g) if g.conversation == news() => gap = Some(g),
            Event::Trouble { conversation: Some(c), code, .. } => lost = Some((c, code)),
            Event::Gap(_) | Event::Receiving { .. } | Event::Acked { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let gap = gap.unwrap();
    assert!(gap.epoch != before.epoch && gap.first == 1, "{gap:?}");
    assert_eq!(lost, Some((team(), ErrorCode::unknown_conversation)));
    assert_eq!(waiting.ack().await.unwrap().cursor, Cursor { epoch: gap.epoch, seq: 1 });
    alice.says(&news(), "new news").await;
    assert_eq!(bob.hears().await.text(), Some("new news"));
}

#[tokio::test]
async fn the_next_run_goes_on_where_the_last_one_stood() {
    let server = Server::start();
    let alice = Person::arrives(&server.target, "alice").await;
    let mut bob = Person::arrives(&server.target, "bob").await;
    bob.client.subscribe(news(), None, Vec::new()).await.unwrap();
    alice.says(&news(), "1").await;
    let Event::Message { resume, .. } = bob.sees(|event| matches!(event, Event::Message { .. })).await else { unreachable!() };
    bob.client.close().await;
    alice.says(&news(), "2").await;
    let point = ResumePoint { conversation: news(), cursor: Some(resume), tags: Vec::new() };
    let mut bob = Person::connects(Options { resume: vec![point], ..options(&server.target, "bob") }).await;
    alice.says(&news(), "3").await;
    assert_eq!(bob.hears_up_to("3").await, ["2", "3"]);
}

#[tokio::test]
async fn what_the_server_has_no_room_for_is_named() {
    let server = Server::start_with(&["--subscriptions-per-session-max", "1"]);
    let topic = |id: &str| Conversation::Topic(id.into());
    let point = |id| ResumePoint { conversation: topic(id), cursor: None, tags: Vec::new() };
    let resume = vec![point("a"), point("b")];
    let mut alice = Person::connects(Options { resume, ..options(&server.target, "alice") }).await;
    let trouble = alice.sees(|event| matches!(event, Event::Trouble { .. })).await;
    let Event::Trouble { conversation, code, .. } = trouble else { unreachable!() };
    assert_eq!((conversation, code), (Some(topic("b")), ErrorCode::too_many_subscriptions));
}
