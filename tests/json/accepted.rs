//! What else is understood: other orders, other spellings, and the plain form of simple chat tutorials.

use campanile::json::Reader;
use campanile::wire::schema::{Body, ErrorCode, ReceiptKind};

use crate::{read, written};

/// The canonical form of a text.
fn canonical(text: &str) -> String {
    read(text, written).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[test]
fn fields_come_in_any_order() {
    let meant = r#"{"type":"publish","ref":7,"conversation":"direct:bob","body":"hi","ttl_ms":5}"#;
    for text in [
        meant,
        r#"{"ref":7,"type":"publish","ttl_ms":5,"body":"hi","conversation":"direct:bob"}"#,
        r#"{"conversation":"direct:bob","body":"hi","ref":7,"ttl_ms":5,"type":"publish"}"#,
        " { \"body\" : \"\\u0068i\" ,\r\n\t\"type\" : \"pub\\u006cish\" , \"ref\" : \"7\" , \"t\\u0074l_ms\" : 5 , \"conversation\" : \"direct:bob\" } ",
        r#"{"type":"publish","ref":7,"conversation":{"id":"bob","kind":"direct"},"body_base64":"aGk=","ttl_ms":"5"}"#,
        r#"{"type":"publish","ref":7,"conversation":{"id":"bob","kind":1},"body":"hi","ttl_ms":5}"#,
    ] {
        assert_eq!(canonical(text), meant, "{text}");
    }
}

#[test]
fn bodies_are_text_where_they_can_be() {
    let publish = |fields: &str| canonical(&format!(r#"{{"type":"publish",{fields}}}"#));
    for (given, shown) in [
        (r#""body":"""#, r#""body":"""#),
        (r#""body_base64":"""#, r#""body":"""#),
        (r#""body_base64":"8J+UlA==""#, r#""body":"🔔""#),
        (r#""body_base64":"/w==""#, r#""body_base64":"/w==""#),
        (r#""body":"a\u0000\n\"\\\u2028\ud83d\udd14/\/""#, "\"body\":\"a\\u0000\\n\\\"\\\\\u{2028}🔔//\""),
        (r#""content_type":"image/png","body":"hi""#, r#""content_type":"image/png","body_base64":"aGk=""#),
        (r#""content_type":"application/json","body":"{}""#, r#""content_type":"application/json","body":"{}""#),
    ] {
        assert_eq!(publish(given), format!(r#"{{"type":"publish",{shown},"ttl_ms":0}}"#));
    }
    assert_eq!(
        canonical(r#"{"type":"ephemeral","name":"x","body_base64":"/w=="}"#),
        r#"{"type":"ephemeral","name":"x","body_base64":"/w=="}"#
    );
}

#[test]
fn large_numbers_are_strings_and_may_be_numbers() {
    for (given, shown) in [
        ("9007199254740991", "9007199254740991"),
        ("9007199254740992", "\"9007199254740992\""),
        ("18446744073709551615", "\"18446744073709551615\""),
        ("\"18446744073709551615\"", "\"18446744073709551615\""),
        ("\"0042\"", "42"),
    ] {
        assert_eq!(canonical(&format!(r#"{{"type":"ping","ref":{given}}}"#)), format!(r#"{{"type":"ping","ref":{shown}}}"#));
    }
}

#[test]
fn values_of_newer_enums_pass_as_numbers() {
    let text = r#"{"type":"receipt","conversation":{"kind":9,"id":"x"},"kind":200,"cursor":{"epoch":1,"seq":2}}"#;
    assert_eq!(canonical(text), text);
    let kind = read(r#"{"type":"receipt","kind":1}"#, |frame| frame.body_as_receipt().unwrap().kind());
    assert_eq!(kind, Ok(ReceiptKind::read));
}

#[test]
fn what_is_absent_has_its_default_and_is_judged_elsewhere() {
    let connect = read(r#"{"type":"connect","token":"dev:alice"}"#, |frame| {
        let connect = frame.body_as_connect().unwrap();
        (frame.ref_(), connect.version(), connect.device().map(str::to_owned), connect.resume().is_none())
    });
    assert_eq!(connect, Ok((0, 1, Some("json".to_owned()), true)));
    let add = read(r#"{"type":"group_add"}"#, |frame| format!("{:?}", frame.body_as_group_add().unwrap()));
    assert_eq!(add.unwrap(), "GroupAdd { id: None, user: None, role: member }");
    // An id that cannot be one is the session's to refuse, as in every frame.
    assert_eq!(
        canonical(r#"{"type":"unsubscribe","conversation":"topic:"}"#),
        r#"{"type":"unsubscribe","conversation":"topic:"}"#
    );
}

#[test]
fn the_plain_form_is_a_publish_of_text() {
    let meant = r#"{"type":"publish","conversation":"direct:bob","body":"hi","ttl_ms":0}"#;
    for text in [
        r#"{"type":"message","to":"direct:bob","content":"hi"}"#,
        r#"{"to":"direct:bob","content":"hi","type":"message"}"#,
        r#"{"type":"message","sender":"alice","to":"direct:bob","content":"hi"}"#,
        r#"{"type":"message","timestamp":1700000000.25,"to":"direct:bob","content":"hi"}"#,
        r#"{"type":"message","timestamp":{"at":[null,"now"]},"to":"direct:bob","content":"hi"}"#,
        r#"{"type":"message","to":{"kind":"direct","id":"bob"},"content":"hi","timestamp":"2024-01-01T00:00:00Z"}"#,
    ] {
        assert_eq!(canonical(text), meant, "{text}");
    }
    assert_eq!(
        canonical(r#"{"type":"message","ref":9,"to":"group:team","content":"hi","client_id":"c-1"}"#),
        r#"{"type":"publish","ref":9,"conversation":"group:team","client_id":"c-1","body":"hi","ttl_ms":0}"#
    );
    for missing in [r#"{"type":"message","to":"direct:bob"}"#, r#"{"type":"message","content":"hi"}"#] {
        assert!(read(missing, written).unwrap_err().message.ends_with("is missing"));
    }
}

#[test]
fn a_plain_message_names_no_other_sender() {
    let text = br#"{"type":"message","ref":4,"sender":"bob","to":"direct:carol","content":"hi"}"#;
    let error = Reader::new().read(text, Some("alice")).unwrap_err();
    assert_eq!((error.code, error.reference), (ErrorCode::sender_mismatch, 4));
    assert_eq!(error.message, "sender: not the user of this session");
    assert!(Reader::new().read(text, Some("bob")).is_ok());
}

#[test]
fn a_message_of_the_schema_is_one_that_only_a_server_sends() {
    let verb = read(r#"{"type":"message","conversation":"direct:bob","sender":"bob","body":"hi"}"#, |frame| frame.body_type());
    assert_eq!(verb, Ok(Body::Message));
}

/// What a text can make grow. Of all that a list can hold, an empty string is the shortest in JSON and the longest beside that in a frame.
#[test]
fn a_frame_has_at_most_four_times_the_bytes_of_its_text() {
    for (field, item) in [
        (r#"{"type":"group_create","members":["#, "\"\","),
        (r#"{"type":"page","messages":["#, "{},"),
        (r#"{"type":"page","messages":["#, r#"{"kind":1},"#),
        (r#"{"type":"connect","resume":["#, r#"{"tags":[]},"#),
    ] {
        let text = format!("{field}{}]}}", item.repeat(10_000).trim_end_matches(','));
        let mut reader = Reader::new();
        let bytes = reader.read(text.as_bytes(), None).unwrap().len();
        assert!(bytes <= 4 * text.len(), "{item}: {} bytes of text, {bytes} of the frame", text.len());
    }
}

#[test]
fn a_reader_goes_on_after_an_error() {
    let mut reader = Reader::new();
    for _ in 0..3 {
        assert!(reader.read(br#"{"type":"connect","resume":[{"conversation":"group:a"},{"conversation":"#, None).is_err());
        let frame = campanile::wire::read(reader.read(br#"{"type":"ping","ref":1}"#, None).unwrap()).unwrap();
        assert_eq!(written(frame), r#"{"type":"ping","ref":1}"#);
    }
}
