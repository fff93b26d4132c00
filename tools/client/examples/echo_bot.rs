//! Answers every direct message with the same text: `cargo run -p campanile-client --example echo_bot`.

use campanile_client::{Client, Conversation, Event, Message, Options, Publish, ReceiptKind};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options { keep_trying: true, ..Options::new("tcp://127.0.0.1:7400", "dev:echo", "bot") };
    let (client, mut events) = Client::connect(options).await?;
    println!("I am '{}'; write to direct:{}", client.welcome().user, client.welcome().user);
    while let Some(event) = events.next().await {
        match event {
            Event::Message { message, .. } => answer(&client, message).await?,
            Event::Disconnected { reason, retry_in } => println!("{reason}; again in {retry_in:?}"),
            Event::Ended(why) => return Err(why.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Two bots that answered each other would never stop, so the text says whose it is.
async fn answer(client: &Client, message: Message) -> Result<(), Box<dyn std::error::Error>> {
    let text = message.text().unwrap_or("(not text)");
    if !matches!(message.conversation, Conversation::Direct(_)) || text.starts_with("echo: ") {
        return Ok(());
    }
    // The key says which message this answers: a bot that is started again and reads it again does not answer twice.
    let client_id = Some(format!("echo-{}-{}", message.epoch, message.seq));
    let reply = Publish { client_id, ..Publish::text(message.conversation.clone(), format!("echo: {text}")) };
    client.publish(reply).await?;
    Ok(client.receipt(message.conversation.clone(), ReceiptKind::read, message.cursor()).await?)
}
