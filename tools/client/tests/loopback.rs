//! The library against a scripted peer over real sockets.
#![allow(missing_docs, clippy::expect_used)]

#[allow(dead_code)]
mod peer;

use std::time::Duration;

use campanile::wire::Encoder;
use campanile::wire::schema as s;
use campanile_client::{
    Backoff, Client, CloseCode, Conversation, Cursor, Disconnect, Ended, Event, Events, Options, Publish, RequestError,
};
use peer::{Peer, Session, message};

fn options(peer: &Peer) -> Options {
    let backoff = Backoff { base: Duration::from_millis(1), max: Duration::from_millis(5) };
    Options { backoff, ..Options::new(&peer.target, "dev:alice", "test") }
}

async fn start(peer: &Peer) -> (Client, Events, Session) {
    let (client, session) = tokio::join!(Client::connect(options(peer)), peer.welcome());
    let (client, mut events) = client.expect("the peer said welcome");
    assert!(matches!(events.next().await, Some(Event::Connected { resumed: false, .. })));
    (client, events, session)
}

fn bob() -> Conversation {
    Conversation::Direct("bob".into())
}

async fn next_text(events: &mut Events) -> String {
    loop {
        match events.next().await {
            Some(Event::Message { message, .. }) => return message.text().expect("text").to_owned(),
            Some(Event::Acked { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn it_resumes_where_it_stood_and_publishes_once() {
    let peer = Peer::start().await;
    let (client, mut events, mut session) = start(&peer).await;
    session.say_message(4, "four").await;
    assert_eq!(next_text(&mut events).await, "four");

    let publishing = client.begin_publish(Publish::text(bob(), "mine")).await.expect("queued");
    let first = session.publish().await;
    drop(session);
    let mut session = peer.accept().await;
    let frame = session.frame();
    let connect = frame.body_as_connect().expect("connect");
    let resume = connect.resume().expect("a resume list").get(0);
    assert_eq!(resume.cursor().map(|c| (c.epoch(), c.seq())), Some((7, 4)));
    assert_eq!(resume.conversation().and_then(|c| c.id()), Some("bob"));
    session.say_welcome(8).await;
    assert!(matches!(events.next().await, Some(Event::Disconnected { .. })));
    assert!(matches!(events.next().await, Some(Event::Connected { resumed: true, .. })));

    let again = session.publish().await;
    assert_eq!(again, first);
    session.say_ack(again.0, 5).await;
    assert_eq!(publishing.ack().await.map(|ack| ack.cursor), Ok(Cursor { epoch: 7, seq: 5 }));
    session.say_message(6, "six").await;
    assert_eq!(next_text(&mut events).await, "six");
}

#[tokio::test]
async fn it_comes_back_after_a_goodbye_and_stays_away_when_told_to() {
    let peer = Peer::start().await;
    let (client, mut events, mut session) = start(&peer).await;
    session.say_go_away(CloseCode::shutting_down, 3).await;
    session.ended().await;
    match events.next().await {
        Some(Event::Disconnected { reason: Disconnect::GoAway { code, .. }, retry_in }) => {
            assert_eq!(code, CloseCode::shutting_down);
            assert!(retry_in >= Duration::from_millis(3));
        }
        other => panic!("{other:?}"),
    }
    let mut session = peer.welcome().await;
    assert!(matches!(events.next().await, Some(Event::Connected { resumed: true, .. })));
    session.say_go_away(CloseCode::replaced, 0).await;
    session.ended().await;
    let why = Ended::Refused { code: CloseCode::replaced, message: "as the script says".into() };
    assert_eq!(events.next().await, Some(Event::Ended(why.clone())));
    assert_eq!(events.next().await, None);
    assert_eq!(client.publish(Publish::text(bob(), "late")).await, Err(RequestError::Ended(why)));
}

#[tokio::test]
async fn it_reads_frames_byte_by_byte_and_many_at_once() {
    let peer = Peer::start().await;
    let (_client, mut events, mut session) = start(&peer).await;
    let mut encoder = Encoder::default();
    for byte in message(&mut encoder, 1, "slow") {
        session.send(&[byte]).await;
    }
    assert_eq!(next_text(&mut events).await, "slow");
    let many: Vec<u8> = (2..500).flat_map(|seq| message(&mut encoder, seq, &seq.to_string())).collect();
    session.send(&many).await;
    for seq in 2..500 {
        assert_eq!(next_text(&mut events).await, seq.to_string());
    }
}

#[tokio::test]
async fn an_application_that_takes_no_events_loses_none_and_still_gets_its_acks() {
    let peer = Peer::start().await;
    let (client, session) = tokio::join!(Client::connect(Options { events_max: 2, ..options(&peer) }), peer.welcome());
    let (client, mut events) = client.expect("the peer said welcome");
    let mut session = session;
    let mut encoder = Encoder::default();
    let many: Vec<u8> = (1..=100).flat_map(|seq| message(&mut encoder, seq, &seq.to_string())).collect();
    session.send(&many).await;
    let publishing = client.begin_publish(Publish::text(bob(), "mine")).await.expect("queued");
    let (reference, ..) = session.publish().await;
    session.say_ack(reference, 101).await;
    assert!(publishing.ack().await.is_ok());
    assert!(matches!(events.next().await, Some(Event::Connected { .. })));
    for seq in 1..=100 {
        assert_eq!(next_text(&mut events).await, seq.to_string());
    }
}

#[tokio::test]
async fn garbage_is_reported_and_the_connection_made_anew() {
    let peer = Peer::start().await;
    let (_client, mut events, mut session) = start(&peer).await;
    session.send(&[8, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 4]).await;
    assert!(matches!(events.next().await, Some(Event::Disconnected { reason: Disconnect::Malformed, .. })));
    let mut session = peer.welcome().await;
    assert!(matches!(events.next().await, Some(Event::Connected { .. })));
    session.send(&u32::MAX.to_le_bytes()).await;
    assert!(matches!(events.next().await, Some(Event::Disconnected { reason: Disconnect::Malformed, .. })));
}

#[tokio::test]
async fn too_large_a_request_never_leaves() {
    let peer = Peer::start().await;
    let (client, _events, mut session) = start(&peer).await;
    let large = Publish { body: vec![b'x'; 1 << 16], ..Publish::text(bob(), "") };
    assert!(matches!(client.publish(large).await, Err(RequestError::TooLarge { .. })));
    let small = client.begin_publish(Publish::text(bob(), "small")).await.expect("queued");
    let (reference, _, text) = session.publish().await;
    assert_eq!(text, "small");
    session.say_ack(reference, 1).await;
    assert!(small.ack().await.is_ok());
}

#[tokio::test]
async fn the_first_failure_says_what_is_wrong() {
    let nobody = Options::new("tcp://127.0.0.1:1", "dev:alice", "test");
    assert!(matches!(Client::connect(nobody).await, Err(Ended::Unreachable { .. })));
    assert!(matches!(Client::connect(Options::new("nowhere", "t", "d")).await, Err(Ended::BadOptions(_))));
    let peer = Peer::start().await;
    let (client, ()) = tokio::join!(Client::connect(options(&peer)), async {
        peer.accept().await.say_go_away(CloseCode::login_failed, 0).await;
    });
    assert!(matches!(client, Err(Ended::Refused { code: CloseCode::login_failed, .. })));
}

#[tokio::test]
async fn it_ends_when_nobody_needs_it() {
    let peer = Peer::start().await;
    let (client, mut events, session) = start(&peer).await;
    client.close().await;
    session.ended().await;
    assert_eq!(events.next().await, Some(Event::Ended(Ended::Closed)));
    let (client, events, session) = start(&peer).await;
    drop(client);
    drop(events);
    session.ended().await;
}

#[tokio::test]
async fn every_verb_is_answered_or_refused() {
    let peer = Peer::start().await;
    let (client, _events, mut session) = start(&peer).await;
    let asking = client.ping();
    let answering = async {
        let reference = session.next().await.ref_();
        assert_eq!(session.verb(), s::Body::Ping);
        let bytes = Encoder::default().frame(reference, |b| s::Pong::create(b, &s::PongArgs { server_time_ms: 42 })).to_vec();
        session.send(&bytes).await;
    };
    assert_eq!(tokio::join!(asking, answering).0, Ok(42));
    assert!(matches!(client.group_join("").await, Err(RequestError::Id(_))));
}
