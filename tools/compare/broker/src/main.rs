//! The baseline of tools/compare: a broadcast server as one writes it in an afternoon, with a task per connection, a broadcast channel per topic
//! and a map of names. `compare-broker PORT` serves on the loopback address until it is ended; what it speaks stands in `tools/load/src/peers/broker.rs`.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Messages of a topic that the slowest subscriber may be behind; one that is further behind ends, so that nothing is left out unseen.
const TOPIC_MESSAGES: usize = 4096;
/// Verb and ref.
const FRONT: usize = 9;

type Failure = Box<dyn Error + Send + Sync>;
type Socket = WebSocketStream<TcpStream>;

#[derive(Default)]
struct Broker {
    topics: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
    names: Mutex<HashMap<String, mpsc::UnboundedSender<Bytes>>>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let port: u16 = std::env::args().nth(1).ok_or("compare-broker PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let broker = Arc::new(Broker::default());
    loop {
        let (stream, _) = listener.accept().await?;
        let broker = broker.clone();
        tokio::spawn(async move {
            // A connection that breaks ends; its client notices.
            let _ = serve(stream, &broker).await;
        });
    }
}

async fn serve(stream: TcpStream, broker: &Broker) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    #[allow(clippy::result_large_err)]
    let upgrade = |request: &Request, mut response: Response| {
        if let Some(protocol) = request.headers().get("Sec-WebSocket-Protocol") {
            response.headers_mut().insert("Sec-WebSocket-Protocol", protocol.clone());
        }
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, upgrade).await?;
    let (inbox, mut letters) = mpsc::unbounded_channel();
    // Nothing comes from this one until there is a subscription.
    let (_quiet, mut topic) = broadcast::channel(1);
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if let Some(subscription) = broker.take(&mut socket, &inbox, bytes).await? {
                        topic = subscription;
                    }
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(other) => drop(other?),
            },
            Some(letter) = letters.recv() => socket.send(Message::Binary(letter)).await?,
            letter = topic.recv() => socket.send(Message::Binary(letter?)).await?,
        }
    }
}

impl Broker {
    /// Does what a message asks for. A subscription is given back.
    async fn take(
        &self,
        socket: &mut Socket,
        inbox: &mpsc::UnboundedSender<Bytes>,
        message: Bytes,
    ) -> Result<Option<broadcast::Receiver<Bytes>>, Failure> {
        let verb = *message.first().ok_or("an empty message")?;
        match verb {
            b'N' => {
                let name = str::from_utf8(&message[1..])?.to_owned();
                self.names.lock().unwrap().insert(name, inbox.clone());
            }
            b'S' => {
                let topic = str::from_utf8(&message[1..])?.to_owned();
                let mut topics = self.topics.lock().unwrap();
                let sender = topics.entry(topic).or_insert_with(|| broadcast::channel(TOPIC_MESSAGES).0);
                return Ok(Some(sender.subscribe()));
            }
            b'P' | b'D' => {
                let length = usize::from(*message.get(FRONT).ok_or("too short")?);
                let name = message.get(FRONT + 1..FRONT + 1 + length).ok_or("too short")?;
                self.pass_on(verb, str::from_utf8(name)?, message.slice(FRONT + 1 + length..));
                let ack = [b"A", &message[1..FRONT]].concat();
                socket.send(Message::Binary(ack.into())).await?;
            }
            _ => return Err("not a verb of this broker".into()),
        }
        Ok(None)
    }

    /// To all subscribers of a topic, or to one name. Nobody may be there.
    fn pass_on(&self, verb: u8, to: &str, rest: Bytes) {
        if verb == b'P' {
            if let Some(topic) = self.topics.lock().unwrap().get(to) {
                let _ = topic.send(rest);
            }
        } else if let Some(inbox) = self.names.lock().unwrap().get(to) {
            let _ = inbox.send(rest);
        }
    }
}
