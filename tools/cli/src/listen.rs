//! `listen`: prints what arrives.

use campanile_client::{Client, Conversation, Cursor, Event, Events, Message, ReceiptKind};
use jiff::tz::TimeZone;

use crate::args::Listening;
use crate::receipts::Receipts;
use crate::{Failure, explain, json, say, show};

/// What to listen to, and how.
pub struct Listen {
    /// Only these; empty: all.
    pub addresses: Vec<Conversation>,
    /// Of topics only messages with one of these tags.
    pub tags: Vec<String>,
    /// Output and end.
    pub how: Listening,
    /// Tell the server what was printed, so that the next run of this device goes on there.
    pub remember: bool,
}

/// Listens until the count is reached, or for ever.
pub async fn run(client: &Client, mut events: Events, listen: Listen) -> Result<(), Failure> {
    for topic in listen.addresses.iter().filter(|address| matches!(address, Conversation::Topic(_))) {
        client.subscribe(topic.clone(), None, listen.tags.clone()).await?;
    }
    eprintln!("* listening as {}; Ctrl-C ends it", show::clean(&client.welcome().user));
    let mut printer = Printer { listen, zone: TimeZone::system(), left: 0, receipts: Receipts::default(), connected: true };
    printer.left = printer.listen.how.count.unwrap_or(u64::MAX);
    while printer.left > 0 {
        tokio::select! {
            event = events.next() => printer.take(event)?,
            () = printer.receipts.due() => printer.receipts.send(client, &[ReceiptKind::delivered]),
        }
    }
    printer.receipts.flush(client, &[ReceiptKind::delivered]).await;
    Ok(())
}

struct Printer {
    listen: Listen,
    zone: TimeZone,
    /// Messages that are still to come.
    left: u64,
    receipts: Receipts,
    connected: bool,
}

impl Printer {
    fn take(&mut self, event: Option<Event>) -> Result<(), Failure> {
        match event {
            None => Err(Failure::Failed("The connection has ended.".into())),
            Some(Event::Ended(why)) => Err(Failure::Failed(explain::ended(&why))),
            Some(event) => self.print(&event),
        }
    }

    fn print(&mut self, event: &Event) -> Result<(), Failure> {
        // Attempts that fail one after another are told once.
        let told = matches!(event, Event::Disconnected { .. }) && !std::mem::take(&mut self.connected);
        self.connected |= matches!(event, Event::Connected { .. });
        if let Some(line) = show::connection(event).filter(|_| !told) {
            eprintln!("{line}");
        }
        if !self.wanted(event) {
            return Ok(());
        }
        let line =
            if self.listen.how.output.json { json::event(event).map(|v| v.to_string()) } else { show::event(event, &self.zone) };
        line.map_or(Ok(()), |line| say(&line))?;
        match event {
            Event::Message { message, resume } => {
                self.left -= 1;
                self.remember(message, *resume);
            }
            Event::Record { message, resume } => self.remember(message, *resume),
            _ => {}
        }
        Ok(())
    }

    fn remember(&mut self, message: &Message, resume: Cursor) {
        if self.listen.remember {
            self.receipts.note(&message.conversation, resume);
        }
    }

    fn wanted(&self, event: &Event) -> bool {
        let conversation = match event {
            Event::Message { message, .. } | Event::Record { message, .. } => &message.conversation,
            Event::Gap(gap) => &gap.conversation,
            Event::Skip(skip) => &skip.conversation,
            Event::Hole { conversation, .. } => conversation,
            Event::Receipt(receipt) if self.listen.how.all => &receipt.conversation,
            Event::Ephemeral(ephemeral) if self.listen.how.all => &ephemeral.conversation,
            Event::Presence(_) | Event::EphemeralDropped { .. } => return self.listen.how.all,
            _ => return false,
        };
        self.listen.addresses.is_empty() || self.listen.addresses.contains(conversation)
    }
}
