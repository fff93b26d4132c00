//! Texts that are no frames: what the peer is told, and that it costs nothing.

use campanile::json::{JsonError, Reader};
use campanile::wire::schema::ErrorCode;

/// What alice is told of a text that is refused.
fn refused(text: &[u8]) -> JsonError {
    Reader::new().read(text, Some("alice")).expect_err(&String::from_utf8_lossy(&text[..text.len().min(100)]))
}

/// Texts and the sentences about them.
fn says(cases: &[(&str, &str)]) {
    for &(text, message) in cases {
        let error = refused(text.as_bytes());
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::bad_request, message), "{text}");
    }
}

#[test]
fn a_field_that_does_not_exist_is_named() {
    says(&[
        (
            r#"{"type":"publish","bogus":1}"#,
            "bogus: there is no such field; there are conversation, client_id, content_type, body, body_base64, ttl_ms, tag",
        ),
        (r#"{"type":"ping","extra":[[1]]}"#, "extra: there is no such field, and none is needed"),
        (r#"{"type":"pong","Type":1}"#, "Type: there is no such field; there are server_time_ms"),
        (
            r#"{"type":"connect","resume":[{},{"cusror":{}}]}"#,
            "resume[1].cusror: there is no such field; there are conversation, cursor, tags",
        ),
        // The envelope is the outermost object's alone.
        (r#"{"type":"retract","cursor":{"ref":1}}"#, "cursor.ref: there is no such field; there are epoch, seq"),
        (
            r#"{"type":"unsubscribe","conversation":{"type":"x"}}"#,
            "conversation.type: there is no such field; there are kind, id",
        ),
    ]);
    let long = refused(format!(r#"{{"type":"ping","{}":1}}"#, "é".repeat(10_000)).as_bytes()).message;
    assert_eq!(long, format!("{}...: there is no such field, and none is needed", "é".repeat(40)));
}

#[test]
fn a_value_of_another_type_is_named_by_its_path_and_what_is_expected() {
    let whole = |max: u64| format!("expected a whole number from 0 to {max}");
    for odd in
        ["-1", "-0", "1.5", "1.0", "1e3", "null", "[]", "{}", "true", "\"x\"", "\"\"", "\"-1\"", "\"+1\"", "\" 1\"", "\"0x10\""]
    {
        let text = format!(r#"{{"type":"connect","resume":[{{}},{{}},{{"cursor":{{"epoch":1,"seq":{odd}}}}}]}}"#);
        says(&[(&text, &format!("resume[2].cursor.seq: {}", whole(u64::MAX)))]);
        says(&[(&format!(r#"{{"type":"ping","ref":{odd}}}"#), &format!("ref: {}", whole(u64::MAX)))]);
        says(&[(&format!(r#"{{"type":"publish","ttl_ms":{odd}}}"#), &format!("ttl_ms: {}", whole(u32::MAX.into())))]);
    }
    for large in ["18446744073709551616", "\"18446744073709551616\"", "100000000000000000000000000000000000000", "1e100"] {
        says(&[(&format!(r#"{{"type":"ping","ref":{large}}}"#), &format!("ref: {}", whole(u64::MAX)))]);
    }
    says(&[
        (r#"{"type":"sync","limit":4294967296}"#, "limit: expected a whole number from 0 to 4294967295"),
        (r#"{"type":"connect","version":65536}"#, "version: expected a whole number from 0 to 65535"),
        (r#"{"type":"publish","body":7}"#, "body: expected a string"),
        (r#"{"type":"publish","body":null}"#, "body: expected a string"),
        (r#"{"type":"publish","tag":["eu"]}"#, "tag: expected a string"),
        (r#"{"type":"group_create","open":"yes"}"#, "open: expected true or false"),
        (r#"{"type":"group_create","open":1}"#, "open: expected true or false"),
        (r#"{"type":"group_create","members":"bob"}"#, "members: expected a list"),
        (r#"{"type":"group_create","members":["bob",7]}"#, "members[1]: expected a string"),
        (r#"{"type":"connect","resume":{"0":{}}}"#, "resume: expected a list"),
        (r#"{"type":"connect","resume":[[]]}"#, "resume[0]: expected an object"),
        (r#"{"type":"receipt","kind":"seen"}"#, "kind: expected one of delivered, read"),
        (r#"{"type":"receipt","kind":256}"#, "kind: expected one of delivered, read"),
        (r#"{"type":"receipt","cursor":7}"#, "cursor: expected an object with epoch and seq"),
        (r#"{"type":"receipt","cursor":[1,2]}"#, "cursor: expected an object with epoch and seq"),
        (r#"{"type":"receipt","cursor":{"epoch":1}}"#, "cursor.seq: is missing"),
        (r#"{"type":"receipt","cursor":{"seq":1}}"#, "cursor.epoch: is missing"),
    ]);
    for odd in [r#""bob""#, r#""room:x""#, r#""broadcast:""#, r#""Direct:bob""#, r#""""#, "7", "[]", "null"] {
        let text = format!(r#"{{"type":"publish","conversation":{odd}}}"#);
        says(&[(&text, "conversation: expected direct:USER, group:ID, topic:ID or broadcast")]);
    }
    for odd in ["aGk", "aGl=", "aGk==", "aG=k", " aGk=", "aGk=\\n", "a-_=", "=", "ä"] {
        let text = format!(r#"{{"type":"publish","body_base64":"{odd}"}}"#);
        says(&[(&text, "body_base64: expected a string of base64 (standard alphabet, padded)")]);
    }
}

#[test]
fn nothing_stands_twice() {
    says(&[
        (r#"{"type":"publish","body":"a","body":"a"}"#, "body: stands twice"),
        (r#"{"type":"publish","tag":"a","t\u0061g":"b"}"#, "tag: stands twice"),
        (r#"{"type":"ping","type":"ping"}"#, "type: stands twice"),
        (r#"{"ref":1,"type":"ping","ref":1}"#, "ref: stands twice"),
        (r#"{"ttl_ms":1,"type":"publish","ttl_ms":1}"#, "ttl_ms: stands twice"),
        (r#"{"type":"retract","cursor":{"epoch":1,"seq":1,"epoch":2}}"#, "cursor.epoch: stands twice"),
        (r#"{"type":"message","to":"broadcast","to":"broadcast","content":""}"#, "to: stands twice"),
        (r#"{"type":"publish","body":"hi","body_base64":"aGk="}"#, "body_base64: there is a body already, as text"),
        (r#"{"type":"publish","body_base64":"aGk=","body":"hi"}"#, "body_base64: there is a body already, as text"),
    ]);
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    says(&[
        ("", "not JSON: EOF while parsing a value at line 1 column 0"),
        ("hello", "not JSON: expected value at line 1 column 1"),
        ("\u{feff}{\"type\":\"ping\"}", "not JSON: expected value at line 1 column 1"),
        (r#"{"type":"ping"}{"type":"ping"}"#, "not JSON: trailing characters at line 1 column 16"),
        (r#"{"type":"ping"} x"#, "not JSON: trailing characters at line 1 column 17"),
        (r#"{"type":"ping",}"#, "not JSON: trailing comma at line 1 column 16"),
        (r#"{'type':'ping'}"#, "not JSON: key must be a string at line 1 column 2"),
        (r#"{"type":"ping"/* */}"#, "not JSON: expected `,` or `}` at line 1 column 15"),
        (r#"{"type":"ping","ref":NaN}"#, "ref: not JSON: expected value at line 1 column 22"),
        (r#"{"type":"ping","ref":Infinity}"#, "ref: not JSON: expected value at line 1 column 22"),
        (r#"{"type":"ping","ref":007}"#, "ref: not JSON: invalid number at line 1 column 23"),
        (r#"{"type":"ping","ref":1e400}"#, "ref: not JSON: number out of range at line 1 column 26"),
        (r#"{"type":"publish","body":"\ud800"}"#, "body: not JSON: unexpected end of hex escape at line 1 column 33"),
        (
            r#"{"type":"publish","body":"\ud800\u0041"}"#,
            "body: not JSON: lone leading surrogate in hex escape at line 1 column 38",
        ),
        (r#"{"type":"publish","body":"\udc00"}"#, "body: not JSON: lone leading surrogate in hex escape at line 1 column 32"),
        (r#"{"type":"publish","body":"\x41"}"#, "body: not JSON: invalid escape at line 1 column 28"),
        (
            "{\"type\":\"publish\",\"body\":\"a\tb\"}",
            "body: not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 28",
        ),
    ]);
    for whole in ["[]", "7", "null", "true", "\"ping\"", "[{\"type\":\"ping\"}]"] {
        says(&[(whole, "expected a JSON object")]);
    }
    let invalid = refused(b"{\"type\":\"publish\",\"body\":\"\xff\"}");
    assert_eq!((invalid.code, invalid.message.as_str()), (ErrorCode::bad_request, "not UTF-8 at byte 26"));
}

#[test]
fn an_object_must_say_what_it_is() {
    says(&[
        ("{}", "type: is missing"),
        (r#"{"ref":7,"body":"hi"}"#, "type: is missing"),
        (r#"{"to":"direct:bob","content":"hi"}"#, "type: is missing"),
        (r#"{"type":7}"#, "type: expected the name of a verb"),
        (r#"{"body":"x","type":["publish"]}"#, "type: expected the name of a verb"),
    ]);
    for text in [r#"{"type":"frobnicate","ref":5}"#, r#"{"ref":5,"type":"Publish"}"#, r#"{"x":1,"type":"","ref":5}"#] {
        let error = refused(text.as_bytes());
        assert_eq!((error.code, error.reference), (ErrorCode::unknown_verb, 5), "{text}");
        assert!(error.message.starts_with("type: there is no verb '"), "{error:?}");
    }
}

#[test]
fn the_ref_comes_back_wherever_it_stands() {
    for text in [
        r#"{"type":"publish","ref":77,"bogus":1}"#,
        r#"{"type":"publish","bogus":1,"ref":77}"#,
        r#"{"bogus":{"ref":1},"ref":"77","type":"publish"}"#,
        r#"{"type":"publish","body":7,"ref":77}"#,
        r#"{"ref":77,"type":"publish","body":"\ud800"}"#,
        r#"{"ref":77}"#,
        r#"{"ref":77,"type":"#,
    ] {
        assert_eq!(refused(text.as_bytes()).reference, 77, "{text}");
    }
    for text in [r#"{"type":"ping","ref":-77}"#, r#"[{"ref":77}]"#, r#"{"type":"ping","ref":[77]}"#, r#"{"type":"ping","x":1}"#] {
        assert_eq!(refused(text.as_bytes()).reference, 0, "{text}");
    }
}

/// Deep nesting is what JSON parsers were brought down with (CVE-2020-36518, RUSTSEC-2024-0012): nothing here goes deeper than the schema.
#[test]
fn depth_and_length_cost_no_more_than_their_bytes() {
    let deep = 200_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for text in [
            open.repeat(deep),
            format!("{}1{}", open.repeat(deep), close.repeat(deep)),
            format!(r#"{{"type":"connect","resume":{}"#, open.repeat(deep)),
            format!(r#"{{"x":{}"#, open.repeat(deep)),
            format!(r#"{{"x":{}1{},"type":"ping"}}"#, open.repeat(deep), close.repeat(deep)),
        ] {
            assert!(refused(text.as_bytes()).message.len() < 200);
        }
        // What is ignored may be as deep as it likes.
        let text = format!(
            r#"{{"type":"message","to":"broadcast","content":"","timestamp":{}1{}}}"#,
            open.repeat(deep),
            close.repeat(deep)
        );
        assert!(Reader::new().read(text.as_bytes(), None).is_ok());
    }
    let digits = "9".repeat(deep);
    let letters = "x".repeat(deep);
    for text in [
        format!(r#"{{"type":"ping","ref":{digits}}}"#),
        format!(r#"{{"type":"ping","ref":"{digits}"}}"#),
        format!(r#"{{"type":"ping","ref":0.{digits}}}"#),
        format!(r#"{{"type":"{letters}"}}"#),
        format!(r#"{{"type":"publish","conversation":"{letters}"}}"#),
        format!(r#"{{"type":"receipt","kind":"{letters}"}}"#),
        format!(r#"{{"type":"connect","resume":"{letters}"}}"#),
        format!(r#"{{"type":"publish","body":"{letters}"#),
        format!(r#"{{"type":"message","to":"broadcast","content":"","sender":"{letters}"}}"#),
        format!(r#"{{{}"type":"ping"}}"#, "\"x\":1,".repeat(deep)),
    ] {
        assert!(refused(text.as_bytes()).message.len() < 200);
    }
}
