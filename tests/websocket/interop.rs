//! A client that others wrote: tokio-tungstenite.

use campanile::wire::schema::{self as s, Body};
use campanile::wire::{Encoder, PREFIX_BYTES, read};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::client::{CONNECT_REF, connect_frame, named};
use crate::support::server::Server;
use crate::support::websocket::{FB, JSON};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(crate::support::PATIENCE, test).await.expect("it takes too long") });
}

async fn open(server: &Server, protocol: &str) -> Socket {
    let mut request = format!("ws://{}/", server.ws).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    let (socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], protocol);
    socket
}

/// The next message that is no pong.
async fn next(socket: &mut Socket) -> Message {
    loop {
        match socket.next().await.expect("a message").unwrap() {
            Message::Pong(_) => {}
            message => return message,
        }
    }
}

async fn next_json(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let Message::Text(text) = next(socket).await else { panic!("no text") };
        let value: Value = serde_json::from_str(&text).unwrap();
        if value["type"] == kind {
            return value;
        }
    }
}

#[test]
fn frames_and_json_meet() {
    let server = Server::start(&[]);
    run(async {
        let mut binary = open(&server, FB).await;
        binary.send(Message::binary(connect_frame("binary", "tungstenite", &[]))).await.unwrap();
        let Message::Binary(welcome) = next(&mut binary).await else { panic!("no welcome") };
        let welcome = read(&welcome).unwrap();
        assert_eq!((welcome.body_type(), welcome.ref_()), (Body::Welcome, CONNECT_REF));

        let mut json = open(&server, JSON).await;
        json.send(Message::text(json!({"type": "connect", "token": "dev:json"}).to_string())).await.unwrap();
        next_json(&mut json, "welcome").await;

        for size in [0, 1, 125, 126, 4000, 65_536] {
            let body = "b".repeat(size);
            let mut encoder = Encoder::default();
            let publish = encoder.frame(1, |b| {
                let conversation = Some(named(b, "direct:json"));
                let body = Some(b.create_vector(body.as_bytes()));
                s::Publish::create(b, &s::PublishArgs { conversation, body, ..Default::default() })
            });
            binary.send(Message::binary(publish.to_vec())).await.unwrap();
            assert_eq!(next_json(&mut json, "message").await["body"], body);
            let text = json!({"type": "message", "to": "direct:binary", "content": body}).to_string();
            json.send(Message::text(text)).await.unwrap();
            let got = loop {
                let Message::Binary(bytes) = next(&mut binary).await else { panic!("no frame") };
                assert_eq!(bytes.len(), PREFIX_BYTES + u32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize);
                if let Some(message) = read(&bytes).unwrap().body_as_message() {
                    break message.body().map(|body| body.bytes().to_vec()).unwrap_or_default();
                }
            };
            assert_eq!(got, body.as_bytes());
        }

        // Ping, and a close that both sides have agreed on.
        binary.send(Message::Ping(b"ping"[..].into())).await.unwrap();
        let pong = loop {
            if let Message::Pong(payload) = binary.next().await.unwrap().unwrap() {
                break payload;
            }
        };
        assert_eq!(&pong[..], b"ping");
        for socket in [&mut binary, &mut json] {
            socket.close(None).await.unwrap();
            while let Some(message) = socket.next().await {
                assert!(matches!(message, Ok(Message::Close(_)) | Ok(_)), "{message:?}");
            }
        }
    });
    server.wait_for("campanile_connections", "", |connections| connections == 0);
}

#[test]
fn a_server_that_stops_closes_cleanly() {
    let mut server = Server::start(&[]);
    run(async {
        let mut json = open(&server, JSON).await;
        json.send(Message::text(json!({"type": "connect", "token": "dev:json"}).to_string())).await.unwrap();
        next_json(&mut json, "welcome").await;
        server.terminate();
        assert_eq!(next_json(&mut json, "go_away").await["code"], "shutting_down");
        let Message::Close(Some(close)) = next(&mut json).await else { panic!("no close frame") };
        assert_eq!((close.code, close.reason.as_str()), (CloseCode::Library(4000), "shutting_down"));
        assert!(json.next().await.is_none(), "the handshake of closing is complete");
    });
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn what_it_offers_besides_is_not_agreed_on() {
    let server = Server::start(&[]);
    run(async {
        let mut request = format!("ws://{}/any/path?at=all", server.ws).into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Extensions", "permessage-deflate".parse().unwrap());
        let (_, response) = connect_async(request).await.unwrap();
        assert!(!response.headers().contains_key("Sec-WebSocket-Extensions"));
        let mut request = format!("ws://{}/", server.ws).into_client_request().unwrap();
        request.headers_mut().insert("Origin", "https://evil.example".parse().unwrap());
        let Err(Error::Http(response)) = connect_async(request).await else { panic!("it was let in") };
        assert_eq!(response.status(), 403);
    });
}
