//! The chat: lines go to the current conversation, what arrives is shown above the prompt.

use std::future::Future;
use std::time::Duration;

use campanile_client::{
    Client, Conversation, Cursor, Ended, ErrorCode, Event, Events, GroupCreate, Publish, ReceiptKind, RequestError, Role,
};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use crate::line::{HELP, Line, parse};
use crate::receipts::Receipts;
use crate::terminal::{Input, Screen, open};
use crate::{Failure, explain, json, oneshot, show};

/// What a chat tells the server about what it has shown.
const RECEIPTS: &[ReceiptKind] = &[ReceiptKind::delivered, ReceiptKind::read];
/// Answers of requests that wait to be shown.
const ANSWERS_MAX: usize = 64;
/// How long leaving waits for what is under way.
const LEAVE: Duration = Duration::from_secs(5);

/// What a request in the background has to say.
enum Answer {
    /// Lines to show.
    Lines(Vec<String>),
    /// A message went out and has this place.
    Said(Conversation, Cursor),
    /// Lines to show, and the conversation that is now the current one.
    To(Conversation, Vec<String>),
    /// The current conversation is left.
    Left(Conversation, Vec<String>),
}

/// A request in the background is over.
struct Finished {
    answer: Answer,
    /// The next line had to wait for it.
    held: bool,
}

/// Runs the chat until the user leaves or the server will not have him.
pub async fn run(client: Client, events: Events, target: &str) -> Result<(), Failure> {
    let (input, screen) = open().map_err(Failure::Failed)?;
    let (answers, answers_end) = mpsc::channel(ANSWERS_MAX);
    let me = show::clean(&client.welcome().user);
    let mut chat = Chat {
        client,
        screen,
        me,
        current: None,
        zone: TimeZone::system(),
        said: None,
        receipts: Receipts::default(),
        answers,
        under_way: 0,
        holding: false,
        connected: true,
    };
    chat.first_screen(target).await;
    chat.talk(events, input, answers_end).await
}

struct Chat {
    client: Client,
    screen: Screen,
    me: String,
    current: Option<Conversation>,
    /// What was said last: where, and its place.
    said: Option<(Conversation, Cursor)>,
    zone: TimeZone,
    receipts: Receipts,
    answers: mpsc::Sender<Finished>,
    /// Requests whose answer has not come.
    under_way: usize,
    /// The next line waits for an answer, because the answer may change where lines go.
    holding: bool,
    connected: bool,
}

impl Chat {
    async fn first_screen(&mut self, target: &str) {
        let welcome = self.client.welcome().clone();
        let server = show::clean(&welcome.server);
        self.show(&format!("Connected to {target} ({server}) as {}.", self.me));
        match oneshot::all_conversations(&self.client).await {
            Ok(conversations) if !conversations.is_empty() => {
                self.show("Your conversations:");
                for conversation in &conversations {
                    self.show(&format!("  {}", show::conversation(conversation)));
                }
            }
            Ok(_) => {}
            Err(why) => self.show(&explain::request(&why)),
        }
        self.show("Say where your lines go: /to direct:bob, /to group:team. Make a group: /create team. All commands: /help");
    }

    async fn talk(mut self, mut events: Events, mut input: Input, mut answers: mpsc::Receiver<Finished>) -> Result<(), Failure> {
        input.prompt(self.prompt());
        loop {
            tokio::select! {
                line = input.line(), if !self.holding => {
                    let Some(line) = line else { break };
                    if self.take_line(&line).await { break }
                    if !self.holding { input.prompt(self.prompt()) }
                }
                event = events.next() => match event {
                    Some(Event::Ended(why)) => return self.over(why, input).await,
                    Some(event) => self.take_event(&event),
                    None => return self.over(Ended::Closed, input).await,
                },
                Some(finished) = answers.recv() => {
                    let held = finished.held;
                    self.take_answer(finished);
                    if held { input.prompt(self.prompt()) }
                }
                () = self.receipts.due() => self.receipts.send(&self.client, RECEIPTS),
            }
        }
        self.leave(events, answers).await
    }

    fn show(&mut self, line: &str) {
        self.screen.show(line);
    }

    fn prompt(&self) -> String {
        match &self.current {
            Some(current) => format!("{} -> {current}> ", self.me),
            None => format!("{} (nowhere yet: /to direct:bob)> ", self.me),
        }
    }

    // ------------------------------------------------------------------------------------------- what arrives

    fn take_event(&mut self, event: &Event) {
        match event {
            Event::Connected { .. } => self.connected = true,
            // Attempts that fail one after another are told once.
            Event::Disconnected { .. } if !std::mem::take(&mut self.connected) => return,
            Event::Message { message, resume } | Event::Record { message, resume } => {
                self.receipts.note(&message.conversation, *resume);
            }
            Event::Acked { conversation, resume } => self.receipts.note(conversation, *resume),
            // Who has received what would be a line for each line.
            Event::Receipt(_) => return,
            _ => {}
        }
        if let Some(line) = show::connection(event).or_else(|| show::event(event, &self.zone)) {
            self.show(&line);
        }
    }

    fn take_answer(&mut self, finished: Finished) {
        self.under_way -= 1;
        if finished.held {
            self.holding = false;
        }
        let lines = match finished.answer {
            Answer::Lines(lines) => lines,
            Answer::Said(conversation, place) => {
                self.said = Some((conversation, place));
                Vec::new()
            }
            Answer::To(conversation, lines) => {
                self.current = Some(conversation);
                lines
            }
            Answer::Left(conversation, lines) => {
                if self.current.as_ref() == Some(&conversation) {
                    self.current = None;
                }
                lines
            }
        };
        for line in lines {
            self.show(&line);
        }
    }

    /// The server will not have us any more. Someone who types is asked to press Enter, because the terminal is his until then.
    async fn over(mut self, why: Ended, mut input: Input) -> Result<(), Failure> {
        self.show("* The chat is over; press Enter.");
        if self.screen.interactive() {
            input.line().await;
        }
        Err(Failure::Failed(explain::ended(&why)))
    }

    /// Waits a moment for what is under way, and says what is not known.
    async fn leave(mut self, mut events: Events, mut answers: mpsc::Receiver<Finished>) -> Result<(), Failure> {
        let settle = async {
            while self.under_way > 0 {
                tokio::select! {
                    Some(finished) = answers.recv() => self.take_answer(finished),
                    Some(event) = events.next() => self.take_event(&event),
                }
            }
        };
        let settled = tokio::time::timeout(LEAVE, settle).await.is_ok();
        self.receipts.flush(&self.client, RECEIPTS).await;
        self.client.close().await;
        if settled { Ok(()) } else { Err(Failure::Failed("Left before the server had answered everything.".into())) }
    }

    // ------------------------------------------------------------------------------------------ what is typed

    /// Does what a line says; true when it says to leave. Requests are answered in the background, so that a slow server does not
    /// stop the typing.
    async fn take_line(&mut self, line: &str) -> bool {
        match parse(line) {
            Ok(Line::Quit) => return true,
            Ok(line) => {
                if let Err(why) = self.obey(line).await {
                    self.show(&format!("! {why}"));
                }
            }
            Err(why) => self.show(&format!("! {why}")),
        }
        false
    }

    async fn obey(&mut self, line: Line) -> Result<(), String> {
        let client = self.client.clone();
        match line {
            Line::Nothing | Line::Quit => {}
            Line::Help => self.show(HELP),
            Line::Say(text) => self.say(text).await?,
            Line::To(conversation) => self.go_to(conversation),
            Line::Create { id, open, whole_history } => self.create(id, open, whole_history),
            Line::Add { user } => {
                let group = self.group()?;
                let done = format!("* {user} is now in group:{group}");
                self.ask(async move { one(client.group_add(&group, &user, Role::member).await.map(|_| done)) });
            }
            Line::Remove { user } => {
                let group = self.group()?;
                let done = format!("* {user} is no longer in group:{group}");
                self.ask(async move { one(client.group_remove(&group, &user).await.map(|_| done)) });
            }
            Line::Role { user, role } => {
                let group = self.group()?;
                let done = format!("* {user} is now {} of group:{group}", json::role(role).unwrap_or("-"));
                self.ask(async move { one(client.group_set_role(&group, &user, role).await.map(|_| done)) });
            }
            Line::Title { title } => {
                let group = self.group()?;
                let done = format!("* group:{group} is now called \"{title}\"");
                self.ask(async move { one(client.group_title(&group, &title).await.map(|_| done)) });
            }
            Line::Disband { id } => {
                self.ask(async move { left(Conversation::Group(id.clone()), client.group_disband(&id).await.map(|_| ())) });
            }
            Line::Join { id } => self.join(id),
            Line::Leave { id } => {
                let group = id.map_or_else(|| self.group(), Ok)?;
                self.ask(async move { left(Conversation::Group(group.clone()), client.group_leave(&group).await.map(|_| ())) });
            }
            Line::Members => self.members()?,
            Line::Conversations => self.conversations(),
            Line::History { limit } => self.history(limit)?,
            Line::Retract { seq } => self.retract(seq)?,
            Line::Who { users } => self.who(users),
            Line::Subscribe { topic, tags } => self.subscribe(topic, tags),
            Line::Unsubscribe { topic } => {
                let topic = topic.map_or_else(|| self.topic(), |id| Ok(Conversation::Topic(id)))?;
                self.ask(async move { left(topic.clone(), client.unsubscribe(topic).await) });
            }
        }
        Ok(())
    }

    /// Sends a line. It is put into the queue here, so that lines leave in the order in which they were typed.
    async fn say(&mut self, text: String) -> Result<(), String> {
        let to = self.current.clone().ok_or("your lines go nowhere yet; choose with /to direct:bob, /to group:team")?;
        if !self.connected {
            self.show("* not connected; this is sent when the server is there again");
        }
        let publishing =
            self.client.begin_publish(Publish::text(to.clone(), text.clone())).await.map_err(|why| explain::request(&why))?;
        self.in_background(false, async move {
            match publishing.ack().await {
                Ok(ack) => Answer::Said(to, ack.cursor),
                Err(why) => Answer::Lines(vec![format!("! not sent: \"{text}\". {}", explain::request(&why))]),
            }
        });
        Ok(())
    }

    fn go_to(&mut self, conversation: Conversation) {
        if matches!(conversation, Conversation::Topic(_)) {
            let id = conversation.address().id().to_owned();
            self.show(&format!("* you see what comes there after /subscribe {id}"));
        }
        self.current = Some(conversation);
    }

    fn create(&mut self, id: Option<String>, open: bool, whole_history: bool) {
        let client = self.client.clone();
        let group = GroupCreate { id, open, whole_history, ..GroupCreate::default() };
        self.ask(async move {
            match client.group_create(group).await {
                Ok(created) => {
                    let how = if open { "anyone may /join it" } else { "/add bob brings someone in" };
                    let line = format!("* {} is made; {how}", created.conversation);
                    Answer::To(created.conversation, vec![line])
                }
                Err(why) => refused(&why),
            }
        });
    }

    fn join(&mut self, id: String) {
        let client = self.client.clone();
        self.ask(async move {
            match client.group_join(&id).await {
                Ok(_) => Answer::To(Conversation::Group(id.clone()), vec![format!("* you are in group:{id}")]),
                Err(why) => refused(&why),
            }
        });
    }

    fn members(&mut self) -> Result<(), String> {
        let (client, of) = (self.client.clone(), self.somewhere()?);
        self.ask(async move { many(oneshot::all_members(&client, &of).await, "nobody", show::member) });
        Ok(())
    }

    fn conversations(&mut self) {
        let client = self.client.clone();
        let none = "no conversations yet; /to direct:bob and write, or /create team";
        self.ask(async move { many(oneshot::all_conversations(&client).await, none, show::conversation) });
    }

    fn history(&mut self, limit: u64) -> Result<(), String> {
        let (client, of, zone) = (self.client.clone(), self.somewhere()?, self.zone.clone());
        self.ask(async move {
            // Who may write somewhere without having been let in finds nothing there before he has.
            let anyone_may = !matches!(of, Conversation::Group(_));
            let entries = match oneshot::history(&client, of, limit, None).await {
                Err(why) if anyone_may && why.code() == Some(ErrorCode::unknown_conversation) => Ok(Vec::new()),
                entries => entries,
            };
            many(entries, "nothing yet", |entry| entry.text(&zone))
        });
        Ok(())
    }

    /// Without a number: what was said last, if that was here.
    fn retract(&mut self, seq: Option<u64>) -> Result<(), String> {
        let (client, of) = (self.client.clone(), self.somewhere()?);
        let said = self.said.as_ref().filter(|(conversation, _)| *conversation == of).map(|(_, place)| place.seq);
        let none = "you have said nothing here since this chat began; write /retract 12, with a number that /history shows";
        let seq = seq.or(said).ok_or(none)?;
        let done = format!("* message {seq} of {of} is taken back");
        self.ask(async move { one(oneshot::retract(&client, &of, seq).await.map(|_| done)) });
        Ok(())
    }

    fn who(&mut self, users: Vec<String>) {
        let (client, zone) = (self.client.clone(), self.zone.clone());
        self.ask(async move {
            let users = client.presence(users, None).await.map(|answer| answer.users);
            many(users, "nobody", |user| show::presence(user, &zone))
        });
    }

    fn subscribe(&mut self, id: String, tags: Vec<String>) {
        let (client, topic) = (self.client.clone(), Conversation::Topic(id));
        self.ask(async move {
            match client.subscribe(topic.clone(), None, tags).await {
                Ok(_) => Answer::Lines(vec![format!("* you receive {topic} from now on; /to {topic} to write there")]),
                Err(why) => refused(&why),
            }
        });
    }

    /// Waits for an answer in the background; the next line waits as well, messages that arrive do not.
    fn ask(&mut self, request: impl Future<Output = Answer> + Send + 'static) {
        if !self.connected {
            self.show("* not connected; this waits until the server is there again");
        }
        self.holding = true;
        self.in_background(true, request);
    }

    fn in_background(&mut self, held: bool, request: impl Future<Output = Answer> + Send + 'static) {
        let answers = self.answers.clone();
        self.under_way += 1;
        tokio::spawn(async move {
            let answer = request.await;
            let _ = answers.send(Finished { answer, held }).await;
        });
    }

    fn somewhere(&self) -> Result<Conversation, String> {
        self.current.clone().ok_or_else(|| "first say where: /to direct:bob, /to group:team".to_owned())
    }

    fn group(&self) -> Result<String, String> {
        match &self.current {
            Some(Conversation::Group(id)) => Ok(id.clone()),
            _ => Err("the current conversation is no group; first /to group:team".to_owned()),
        }
    }

    fn topic(&self) -> Result<Conversation, String> {
        match &self.current {
            Some(topic @ Conversation::Topic(_)) => Ok(topic.clone()),
            _ => Err("the current conversation is no topic; write /unsubscribe news".to_owned()),
        }
    }
}

fn refused(why: &RequestError) -> Answer {
    Answer::Lines(vec![format!("! {}", explain::request(why))])
}

/// One line, or why not.
fn one(outcome: Result<String, RequestError>) -> Answer {
    outcome.map_or_else(|why| refused(&why), |line| Answer::Lines(vec![line]))
}

/// A line for each item, or that there is none.
fn many<T>(outcome: Result<Vec<T>, RequestError>, none: &str, line: impl Fn(&T) -> String) -> Answer {
    match outcome {
        Ok(items) if items.is_empty() => Answer::Lines(vec![format!("* {none}")]),
        Ok(items) => Answer::Lines(items.iter().map(|item| format!("  {}", line(item))).collect()),
        Err(why) => refused(&why),
    }
}

fn left(conversation: Conversation, outcome: Result<(), RequestError>) -> Answer {
    match outcome {
        Ok(()) => {
            let line = format!("* you no longer receive {conversation}");
            Answer::Left(conversation, vec![line])
        }
        Err(why) => refused(&why),
    }
}
