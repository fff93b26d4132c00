//! JSON, one object per line, with the names of the schema. `verb` is the name of the frame; conversations are written as people write
//! them; a body that is not text is `body_hex`.

use campanile_client::{
    Ack, Conversation, ConversationInfo, Cursor, Event, Gap, GroupCreated, Member, Message, ReceiptKind, RecordKind, Role, Skip,
    SkipReason, UserPresence,
};
use serde_json::{Map, Value, json};

/// An event as it is printed; None for those that concern the connection.
pub fn event(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Message { message: m, .. } | Event::Record { message: m, .. } => message(m),
        Event::Gap(g) => gap(g),
        Event::Skip(s) => skip(s),
        Event::Hole { conversation, expected, got } => json!({
            "verb": "Hole", "conversation": conversation.to_string(), "expected": cursor(*expected), "got": cursor(*got),
        }),
        Event::Receipt(r) => json!({
            "verb": "ReceiptEvent", "conversation": r.conversation.to_string(), "user": r.user,
            "kind": if r.kind == ReceiptKind::read { "read" } else { "delivered" },
            "epoch": r.cursor.epoch, "seq": r.cursor.seq,
        }),
        Event::Presence(user) => with_verb("PresenceEvent", presence(user)),
        Event::Ephemeral(e) => {
            let mut value = json!({
                "verb": "EphemeralEvent", "conversation": e.conversation.to_string(), "sender": e.sender, "name": e.name,
            });
            put_body(&mut value, &e.body);
            value
        }
        Event::EphemeralDropped { count } => json!({ "verb": "EphemeralDropped", "count": count }),
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

/// A message or a change of a group.
pub fn message(m: &Message) -> Value {
    let mut value = json!({
        "verb": "Message", "conversation": m.conversation.to_string(), "epoch": m.epoch, "seq": m.seq, "time_ms": m.time_ms,
        "sender": m.sender, "client_id": m.client_id, "content_type": m.content_type.as_deref().unwrap_or("text/plain"),
        "ttl_ms": m.ttl_ms, "tag": m.tag, "kind": record_kind(m.kind), "subject": m.subject, "role": role(m.role),
        "target": (m.target != 0).then_some(m.target), "is_retracted": m.is_retracted.then_some(true),
    });
    put_body(&mut value, &m.body);
    without_null(value)
}

/// The answer to a publish or a change of a group.
pub fn ack(conversation: &Conversation, a: &Ack) -> Value {
    json!({
        "verb": "Ack", "conversation": conversation.to_string(), "epoch": a.cursor.epoch, "seq": a.cursor.seq,
        "time_ms": a.time_ms, "duplicate": a.duplicate,
    })
}

/// A new group.
pub fn group_created(g: &GroupCreated) -> Value {
    json!({
        "verb": "GroupCreated", "conversation": g.conversation.to_string(), "epoch": g.cursor.epoch, "seq": g.cursor.seq,
        "time_ms": g.time_ms,
    })
}

/// Numbers that will not come.
pub fn skip(s: &Skip) -> Value {
    json!({
        "verb": "Skip", "conversation": s.conversation.to_string(), "epoch": s.epoch, "from": s.from, "to": s.to,
        "why": skip_reason(s.why),
    })
}

/// A log that is not the one that was known.
pub fn gap(g: &Gap) -> Value {
    json!({
        "verb": "Gap", "conversation": g.conversation.to_string(), "epoch": g.epoch, "first": g.first, "committed": g.committed,
    })
}

/// A member of a group.
pub fn member(m: &Member) -> Value {
    json!({ "user": m.user, "role": role(m.role), "joined": m.joined, "delivered": m.delivered, "read": m.read })
}

/// One of the user's conversations.
pub fn conversation(c: &ConversationInfo) -> Value {
    without_null(json!({
        "conversation": c.conversation.to_string(), "title": c.title, "role": role(c.role), "epoch": c.epoch, "first": c.first,
        "committed": c.committed, "read": c.read, "unread": c.unread,
    }))
}

/// Whether a user is there.
pub fn presence(user: &UserPresence) -> Value {
    json!({ "user": user.user, "online": user.online, "last_seen_ms": user.last_seen_ms })
}

/// The schema's name of a reason.
pub fn skip_reason(why: SkipReason) -> &'static str {
    why.variant_name().unwrap_or("none")
}

/// The schema's name of a role; None where there is none.
pub fn role(role: Role) -> Option<&'static str> {
    (role != Role::none).then(|| role.variant_name().unwrap_or("none"))
}

fn record_kind(kind: RecordKind) -> &'static str {
    kind.variant_name().unwrap_or("message")
}

fn cursor(cursor: Cursor) -> Value {
    json!({ "epoch": cursor.epoch, "seq": cursor.seq })
}

fn put_body(value: &mut Value, body: &[u8]) {
    let (name, text) = match std::str::from_utf8(body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_hex", body.iter().map(|byte| format!("{byte:02x}")).collect()),
    };
    value[name] = Value::String(text);
}

fn with_verb(verb: &str, value: Value) -> Value {
    let mut object = Map::from_iter([("verb".to_owned(), json!(verb))]);
    if let Value::Object(fields) = value {
        object.extend(fields);
    }
    Value::Object(object)
}

/// What is absent in the frame is absent here.
fn without_null(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hi() -> Message {
        Message {
            conversation: Conversation::Direct("bob".into()),
            epoch: 7,
            seq: 3,
            time_ms: 1_700_000_000_000,
            sender: "bob".into(),
            client_id: None,
            content_type: None,
            body: b"hi".to_vec(),
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
    fn a_message_has_the_names_of_the_schema() {
        let expected = json!({
            "verb": "Message", "conversation": "direct:bob", "epoch": 7, "seq": 3, "time_ms": 1_700_000_000_000u64, "sender": "bob",
            "content_type": "text/plain", "ttl_ms": 0, "kind": "message", "body": "hi",
        });
        assert_eq!(message(&hi()), expected);
        assert!(!message(&Message { body: b"a\nb".to_vec(), ..hi() }).to_string().contains('\n'));
    }

    #[test]
    fn a_change_of_a_group_says_who_and_what() {
        let conversation = Conversation::Group("team".into());
        let record = Message { conversation, kind: RecordKind::role, subject: Some("carol".into()), role: Role::admin, ..hi() };
        let value = message(&record);
        assert_eq!((&value["kind"], &value["subject"], &value["role"]), (&json!("role"), &json!("carol"), &json!("admin")));
    }

    #[test]
    fn what_was_taken_back_says_so() {
        let record = message(&Message { kind: RecordKind::retracted, target: 3, body: Vec::new(), ..hi() });
        assert_eq!((&record["kind"], &record["target"]), (&json!("retracted"), &json!(3)));
        let target = message(&Message { is_retracted: true, body: Vec::new(), ..hi() });
        assert_eq!((&target["kind"], &target["is_retracted"], &target["body"]), (&json!("message"), &json!(true), &json!("")));
    }

    #[test]
    fn a_body_that_is_not_text_is_hex() {
        let value = message(&Message { body: vec![0xff, 0x00], ..hi() });
        assert_eq!((value.get("body"), &value["body_hex"]), (None, &json!("ff00")));
    }

    #[test]
    fn gaps_skips_and_holes_are_data() {
        let conversation = Conversation::Topic("news".into());
        let skip = Skip { conversation: conversation.clone(), epoch: 7, from: 1, to: 4, why: SkipReason::filtered };
        let expected = json!({ "verb": "Skip", "conversation": "topic:news", "epoch": 7, "from": 1, "to": 4, "why": "filtered" });
        assert_eq!(event(&Event::Skip(skip)), Some(expected));
        let (expected, got) = (Cursor { epoch: 7, seq: 5 }, Cursor { epoch: 7, seq: 8 });
        let hole = event(&Event::Hole { conversation, expected, got }).expect("data");
        assert_eq!((&hole["verb"], &hole["expected"]["seq"], &hole["got"]["seq"]), (&json!("Hole"), &json!(5), &json!(8)));
    }

    #[test]
    fn presence_names_its_frame() {
        let user = UserPresence { user: "bob".into(), online: true, last_seen_ms: 0 };
        let expected = json!({ "verb": "PresenceEvent", "user": "bob", "online": true, "last_seen_ms": 0 });
        assert_eq!(event(&Event::Presence(user)), Some(expected));
    }
}
