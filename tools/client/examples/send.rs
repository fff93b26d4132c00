//! Sends one message and says where it went: `cargo run -p campanile-client --example send -- alice direct:bob "hello"`.

use campanile_client::{Client, Conversation, Options, Publish};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [user, to, text] = arguments.as_slice() else {
        return Err("usage: send USER CONVERSATION TEXT, for example: send alice direct:bob hello".into());
    };
    let to: Conversation = to.parse()?;
    let options = Options::new("tcp://127.0.0.1:7400", format!("dev:{user}"), "example-send");
    let (client, events) = Client::connect(options).await?;
    drop(events);
    let ack = client.publish(Publish::text(to, text)).await?;
    println!("message {} of epoch {}", ack.cursor.seq, ack.cursor.epoch);
    client.close().await;
    Ok(())
}
