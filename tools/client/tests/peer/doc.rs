/// A server for one short chat: it acks the first publish as message 1 and then sends message 2. Gives its address.
async fn one_chat() -> String {
    let peer = peer::Peer::start().await;
    let target = peer.target.clone();
    tokio::spawn(async move {
        let mut session = peer.welcome().await;
        let (reference, ..) = session.publish().await;
        session.say_ack(reference, 1).await;
        session.say_message(2, "Yes.").await;
        session.ended().await;
    });
    target
}

#[allow(dead_code)]
mod peer {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/mod.rs"));
}
