//! What a line typed into the chat means.

use campanile_client::{Conversation, Role};

use crate::args::bare;

/// A line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing was typed.
    Nothing,
    /// Send this to the current conversation.
    Say(String),
    /// Take back an own message of the current conversation; nothing: what was said last.
    Retract { seq: Option<u64> },
    /// Make this the current conversation.
    To(Conversation),
    /// Make a group and make it current.
    Create { id: Option<String>, open: bool, whole_history: bool },
    /// Add to the current group.
    Add { user: String },
    /// Remove from the current group.
    Remove { user: String },
    /// Join a group and make it current.
    Join { id: String },
    /// Leave this group, or the current one.
    Leave { id: Option<String> },
    /// Give a member of the current group another role.
    Role { user: String, role: Role },
    /// Give the current group another title.
    Title { title: String },
    /// End a group; its id must be written.
    Disband { id: String },
    /// Who is in the current conversation.
    Members,
    /// All conversations of the user.
    Conversations,
    /// The newest messages of the current conversation.
    History { limit: u64 },
    /// Whether users are there.
    Who { users: Vec<String> },
    /// Receive a topic.
    Subscribe { topic: String, tags: Vec<String> },
    /// Receive a topic no more; nothing: the current one.
    Unsubscribe { topic: Option<String> },
    /// Show the commands.
    Help,
    /// Leave.
    Quit,
}

/// Messages that `/history` shows when no number is given.
const HISTORY_MESSAGES: u64 = 20;

/// The commands, for people.
pub const HELP: &str = "\
Commands:
  /to direct:bob | group:team | topic:news | broadcast   where your lines go
  /create team [--open] [--whole-history]   make a group     /join team   /leave [team]
  /add bob   /remove bob   /role bob member|admin|owner   /title TEXT   (of the current group)
  /disband team   end a group for everyone
  /members   who is here                    /who bob   is bob there
  /conversations   with what is unread      /history [n]   the newest messages here
  /retract [number]   take back what you said last here, or the message of that number (/history shows numbers)
  /subscribe news [tags..]   /unsubscribe [news]   topics
  /help   /quit    //text sends a line that begins with a slash";

/// Reads a line.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim();
    if let Some(text) = line.strip_prefix("//") {
        return Ok(Line::Say(format!("/{text}")));
    }
    let Some(command) = line.strip_prefix('/') else {
        return Ok(if line.is_empty() { Line::Nothing } else { Line::Say(line.to_owned()) });
    };
    let (verb, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    match (verb, words.as_slice()) {
        ("to", [address]) => Ok(Line::To(conversation(address)?)),
        ("create", words) => create(words),
        ("add", [user]) => Ok(Line::Add { user: (*user).to_owned() }),
        ("remove", [user]) => Ok(Line::Remove { user: (*user).to_owned() }),
        ("join", [id]) => Ok(Line::Join { id: bare("group", id).to_owned() }),
        ("leave", [id]) => Ok(Line::Leave { id: Some(bare("group", id).to_owned()) }),
        ("leave", []) => Ok(Line::Leave { id: None }),
        ("role", [user, role]) => Ok(Line::Role { user: (*user).to_owned(), role: read_role(role)? }),
        ("title", [_, ..]) => Ok(Line::Title { title: rest.trim().to_owned() }),
        ("disband", [id]) => Ok(Line::Disband { id: bare("group", id).to_owned() }),
        ("members", []) => Ok(Line::Members),
        ("conversations", []) => Ok(Line::Conversations),
        ("history", []) => Ok(Line::History { limit: HISTORY_MESSAGES }),
        ("history", [n]) => n.parse().map(|limit| Line::History { limit }).map_err(|_| usage("history")),
        ("retract", []) => Ok(Line::Retract { seq: None }),
        ("retract", [seq]) => seq.parse().map(|seq| Line::Retract { seq: Some(seq) }).map_err(|_| usage("retract")),
        ("who", users @ [_, ..]) => Ok(Line::Who { users: owned(users) }),
        ("subscribe", [topic, tags @ ..]) => Ok(Line::Subscribe { topic: bare("topic", topic).to_owned(), tags: owned(tags) }),
        ("unsubscribe", [topic]) => Ok(Line::Unsubscribe { topic: Some(bare("topic", topic).to_owned()) }),
        ("unsubscribe", []) => Ok(Line::Unsubscribe { topic: None }),
        ("help", _) => Ok(Line::Help),
        ("quit" | "exit", []) => Ok(Line::Quit),
        (verb, _) => Err(usage(verb)),
    }
}

/// A conversation; a bare word is most likely a user.
fn conversation(address: &str) -> Result<Conversation, String> {
    let hint = |why: String| {
        if address.contains(':') { why } else { format!("{why} (did you mean /to direct:{address}?)") }
    };
    address.parse().map_err(hint)
}

fn create(words: &[&str]) -> Result<Line, String> {
    let (options, ids): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with("--"));
    let (mut open, mut whole_history) = (false, false);
    for option in options {
        match option {
            "--open" => open = true,
            "--whole-history" => whole_history = true,
            _ => return Err(usage("create")),
        }
    }
    match ids.as_slice() {
        [] => Ok(Line::Create { id: None, open, whole_history }),
        [id] => Ok(Line::Create { id: Some(bare("group", id).to_owned()), open, whole_history }),
        _ => Err(usage("create")),
    }
}

fn read_role(text: &str) -> Result<Role, String> {
    match text {
        "member" => Ok(Role::member),
        "admin" => Ok(Role::admin),
        "owner" => Ok(Role::owner),
        _ => Err(format!("'{text}' is no role; the roles are member, admin and owner")),
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// How a command is written.
fn usage(verb: &str) -> String {
    let how = match verb {
        "to" => "/to direct:bob, /to group:team, /to topic:news or /to broadcast",
        "create" => "/create team, with --open if anyone may join",
        "add" => "/add bob",
        "remove" => "/remove bob",
        "join" => "/join team",
        "leave" => "/leave or /leave team",
        "role" => "/role bob admin",
        "title" => "/title TEXT",
        "disband" => "/disband team, which ends the group for everyone",
        "history" => "/history or /history 50",
        "retract" => "/retract, or /retract 12 with a number that /history shows",
        "who" => "/who bob",
        "subscribe" => "/subscribe news, then tags if you want only those",
        "unsubscribe" => "/unsubscribe or /unsubscribe news",
        "members" | "conversations" | "quit" => return format!("/{verb} stands alone"),
        _ => return format!("there is no command /{verb}; /help shows all (//{verb} sends it as text)"),
    };
    format!("write {how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(line: &str, meaning: Line) {
        assert_eq!(parse(line), Ok(meaning), "{line}");
    }

    #[test]
    fn text_is_said() {
        is("hello there", Line::Say("hello there".into()));
        is("  hello ", Line::Say("hello".into()));
        is("", Line::Nothing);
        is("   ", Line::Nothing);
        is("//etc/passwd", Line::Say("/etc/passwd".into()));
    }

    #[test]
    fn commands_are_understood() {
        is("/to direct:bob", Line::To(Conversation::Direct("bob".into())));
        is("/to broadcast", Line::To(Conversation::Broadcast));
        is("/create team --open", Line::Create { id: Some("team".into()), open: true, whole_history: false });
        is("/create --whole-history group:a", Line::Create { id: Some("a".into()), open: false, whole_history: true });
        is("/create", Line::Create { id: None, open: false, whole_history: false });
        is("/add bob", Line::Add { user: "bob".into() });
        is("/remove bob", Line::Remove { user: "bob".into() });
        is("/join group:team", Line::Join { id: "team".into() });
        is("/leave", Line::Leave { id: None });
        is("/leave team", Line::Leave { id: Some("team".into()) });
        is("/role bob admin", Line::Role { user: "bob".into(), role: Role::admin });
        is("/title The  Team ", Line::Title { title: "The  Team".into() });
        is("/disband group:team", Line::Disband { id: "team".into() });
        is("/members", Line::Members);
        is("/conversations", Line::Conversations);
        is("/history", Line::History { limit: HISTORY_MESSAGES });
        is("/history 5", Line::History { limit: 5 });
        is("/retract", Line::Retract { seq: None });
        is("/retract 12", Line::Retract { seq: Some(12) });
        is("/who bob carol", Line::Who { users: vec!["bob".into(), "carol".into()] });
        is("/subscribe news eu us", Line::Subscribe { topic: "news".into(), tags: vec!["eu".into(), "us".into()] });
        is("/unsubscribe", Line::Unsubscribe { topic: None });
        is("/unsubscribe topic:news", Line::Unsubscribe { topic: Some("news".into()) });
        is("/help", Line::Help);
        is("/help create", Line::Help);
        is("/quit", Line::Quit);
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (line, cure) in [
            ("/to", "/to direct:bob"),
            ("/to bob", "did you mean /to direct:bob?"),
            ("/to room:x", "the kinds are"),
            ("/create a b", "/create team"),
            ("/create --closed", "/create team"),
            ("/role bob king", "the roles are"),
            ("/role bob", "/role bob admin"),
            ("/disband", "/disband team"),
            ("/history x", "/history 50"),
            ("/retract it", "/retract 12"),
            ("/who", "/who bob"),
            ("/members now", "stands alone"),
            ("/dance", "/help"),
            ("/", "/help"),
        ] {
            let why = parse(line).expect_err(line);
            assert!(why.contains(cure), "{line}: {why}");
        }
    }
}
