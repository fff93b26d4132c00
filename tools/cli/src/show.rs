//! How things are shown to people.

use campanile_client::{
    Conversation, ConversationInfo, Disconnect, ErrorCode, Event, Member, Message, ReceiptKind, RecordKind, Skip, SkipReason,
    UserPresence, close_code_name, error_code_name,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::json::{role, skip_reason};

/// An event as a line; None for those that concern the connection.
pub fn event(event: &Event, zone: &TimeZone) -> Option<String> {
    Some(match event {
        Event::Message { message: m, .. } | Event::Record { message: m, .. } => message(m, zone),
        Event::Gap(gap) if gap.first > gap.committed => begun_anew(&gap.conversation),
        Event::Gap(gap) => {
            format!("* {}: something may be missing here; what is kept begins at {}", gap.conversation, gap.first)
        }
        // It was asked for.
        Event::Skip(s) if s.why == SkipReason::filtered => return None,
        Event::Skip(s) => format!("* {}: {} ({})", s.conversation, missing(s), skip_reason(s.why)),
        Event::Hole { conversation, expected, got } => format!(
            "* {conversation}: expected message {} and got {}: the server lost something without saying so, please report it",
            expected.seq, got.seq
        ),
        Event::Receipt(r) => {
            let what = if r.kind == ReceiptKind::read { "has read" } else { "has received" };
            format!("* {}: {} {what} up to {}", r.conversation, clean(&r.user), r.cursor.seq)
        }
        Event::Presence(user) => format!("* {}", presence(user, zone)),
        Event::Ephemeral(e) => format!("* {}: {}: {}", e.conversation, clean(&e.sender), clean(&e.name)),
        Event::EphemeralDropped { count } => format!("* {count} short-lived events were dropped on the way"),
        Event::Connected { .. }
        | Event::Disconnected { .. }
        | Event::Ended(_)
        | Event::Trouble { .. }
        | Event::Acked { .. }
        | Event::Receiving { .. } => {
            return None;
        }
    })
}

fn begun_anew(conversation: &Conversation) -> String {
    format!("* {conversation}: the log has begun anew; what was there before is not kept")
}

/// `message 4 does not come`, `messages 4 to 9 do not come`.
fn missing(skip: &Skip) -> String {
    if skip.from == skip.to {
        return format!("message {} does not come", skip.from);
    }
    format!("messages {} to {} do not come", skip.from, skip.to)
}

/// What an event says about the connection; None if nothing.
pub fn connection(event: &Event) -> Option<String> {
    Some(match event {
        Event::Connected { resumed: true, .. } => "* connected again".to_owned(),
        Event::Disconnected { reason, .. } => format!("* not connected: {}; trying again", disconnect(reason)),
        Event::Trouble {
            conversation: Some(direct @ Conversation::Direct(_)), code: ErrorCode::unknown_conversation, ..
        } => begun_anew(direct),
        Event::Trouble { conversation: Some(conversation), code, .. } => {
            let why = match *code {
                ErrorCode::unknown_conversation => {
                    "there is no such conversation any more, or you are no longer in it".to_owned()
                }
                code => error_code_name(code),
            };
            format!("* {conversation} does not come any more: {why}")
        }
        Event::Trouble { conversation: None, code, message } => {
            format!("* the server refused to restore something: {} ({})", clean(message), error_code_name(*code))
        }
        _ => return None,
    })
}

fn disconnect(reason: &Disconnect) -> String {
    match reason {
        Disconnect::GoAway { code, message } => format!("the server says {}: {}", close_code_name(*code), clean(message)),
        other => other.to_string(),
    }
}

/// A message or a change of a group: `12:34 [group:team] bob: hello`.
pub fn message(m: &Message, zone: &TimeZone) -> String {
    let place = format!("{} [{}]", clock(m.time_ms, zone), m.conversation);
    match m.kind {
        RecordKind::message => {
            let tag = m.tag.as_ref().map_or_else(String::new, |tag| format!(" #{}", clean(tag)));
            let body = if m.is_retracted { "(taken back)".to_owned() } else { body(m) };
            format!("{place} {}{tag}: {body}", clean(&m.sender))
        }
        _ => format!("{place} * {}", record(m)),
    }
}

/// A change of a group, or of a message, as a sentence.
fn record(m: &Message) -> String {
    let (who, whom) = (clean(&m.sender), clean(m.subject.as_deref().unwrap_or("?")));
    match m.kind {
        RecordKind::created => format!("{who} made the group"),
        RecordKind::title => format!("{who} calls the group \"{}\"", body(m)),
        RecordKind::added => format!("{who} added {whom}{}", role(m.role).map_or_else(String::new, |role| format!(" as {role}"))),
        RecordKind::joined => format!("{who} joined"),
        RecordKind::removed => format!("{who} removed {whom}"),
        RecordKind::left => format!("{who} left"),
        RecordKind::role => format!("{who} made {whom} {}", role(m.role).unwrap_or("?")),
        RecordKind::disbanded => format!("{who} ended the group"),
        RecordKind::retracted => format!("{who} took back message {}", m.target),
        RecordKind(number) => format!("{who} did something that this version does not know (record {number})"),
    }
}

fn body(m: &Message) -> String {
    match m.text() {
        Some(text) => clean(text).replace('\n', "\n    "),
        None => format!("({} bytes of {})", m.body.len(), clean(m.content_type.as_deref().unwrap_or("something"))),
    }
}

/// A member: `bob  admin  since 4, read 12`.
pub fn member(m: &Member) -> String {
    let role = role(m.role).unwrap_or("-");
    format!("{:<20} {role:<7} since {}, delivered {}, read {}", clean(&m.user), m.joined, m.delivered, m.read)
}

/// A conversation of the user: `group:team  3 unread  "The Team"`.
pub fn conversation(c: &ConversationInfo) -> String {
    let unread = if c.unread == 0 { "-".to_owned() } else { format!("{} unread", c.unread) };
    let title = c.title.as_ref().filter(|title| !title.is_empty());
    let title = title.map_or_else(String::new, |title| format!("  \"{}\"", clean(title)));
    format!("{:<30} {unread:<12} {} messages{title}", c.conversation.to_string(), c.committed)
}

/// Whether a user is there, as a sentence.
pub fn presence(user: &UserPresence, zone: &TimeZone) -> String {
    let name = clean(&user.user);
    match (user.online, user.last_seen_ms) {
        (true, _) => format!("{name} is here"),
        (false, 0) => format!("{name} is not here, or you share no conversation"),
        (false, seen_ms) => format!("{name} is not here, last seen {}", date(seen_ms, zone)),
    }
}

/// Hours and minutes of a time in milliseconds since 1970.
fn clock(time_ms: u64, zone: &TimeZone) -> String {
    format(time_ms, zone, "%H:%M")
}

fn date(time_ms: u64, zone: &TimeZone) -> String {
    format(time_ms, zone, "%Y-%m-%d %H:%M")
}

fn format(time_ms: u64, zone: &TimeZone, how: &str) -> String {
    let time = i64::try_from(time_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "--:--".to_owned(), |time| time.to_zoned(zone.clone()).strftime(how).to_string())
}

/// Text of others without what could take over the terminal: control characters (line ends stay) and characters that turn the
/// direction of writing.
pub fn clean(text: &str) -> String {
    let harmless = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
    text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use campanile_client::{Conversation, Role};

    use super::*;

    fn from_bob(text: &str) -> Message {
        Message {
            conversation: Conversation::Group("team".into()),
            epoch: 7,
            seq: 3,
            time_ms: 1_700_000_000_000,
            sender: "bob".into(),
            client_id: None,
            content_type: None,
            body: text.as_bytes().to_vec(),
            ttl_ms: 0,
            tag: None,
            kind: RecordKind::message,
            subject: None,
            role: Role::none,
            target: 0,
            is_retracted: false,
        }
    }

    #[test]
    fn a_message_shows_time_conversation_and_sender() {
        assert_eq!(message(&from_bob("hello"), &TimeZone::UTC), "22:13 [group:team] bob: hello");
        assert_eq!(message(&from_bob("a\nb"), &TimeZone::UTC), "22:13 [group:team] bob: a\n    b");
    }

    #[test]
    fn others_cannot_take_over_the_terminal() {
        let shown = message(&from_bob("\u{1b}[2Jgone\r\u{202e}"), &TimeZone::UTC);
        assert_eq!(shown, "22:13 [group:team] bob: \u{fffd}[2Jgone\u{fffd}\u{fffd}");
    }

    #[test]
    fn changes_are_sentences() {
        let record = Message { kind: RecordKind::added, subject: Some("carol".into()), role: Role::member, ..from_bob("") };
        assert_eq!(message(&record, &TimeZone::UTC), "22:13 [group:team] * bob added carol as member");
        let unknown = Message { kind: RecordKind(99), ..from_bob("") };
        assert!(message(&unknown, &TimeZone::UTC).contains("record 99"));
    }

    #[test]
    fn what_was_taken_back_is_not_shown() {
        let record = Message { kind: RecordKind::retracted, target: 2, ..from_bob("") };
        assert_eq!(message(&record, &TimeZone::UTC), "22:13 [group:team] * bob took back message 2");
        let target = Message { is_retracted: true, ..from_bob("") };
        assert_eq!(message(&target, &TimeZone::UTC), "22:13 [group:team] bob: (taken back)");
    }

    #[test]
    fn bytes_are_counted_not_shown() {
        let image = Message { body: vec![0xff; 9], content_type: Some("image/png".into()), ..from_bob("") };
        assert!(message(&image, &TimeZone::UTC).ends_with("(9 bytes of image/png)"));
    }
}
