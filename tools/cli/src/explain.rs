//! Errors as sentences: what happened, and what to do about it.

use campanile_client::{CloseCode, Ended, ErrorCode, RequestError};

use crate::show::clean;

/// Why there is no connection for good.
pub fn ended(why: &Ended) -> String {
    let cure = match why {
        Ended::Unreachable { .. } => {
            "Is the server running there? `cargo run --release` starts one on tcp://127.0.0.1:7400; --target names another."
        }
        Ended::Refused { code, .. } => close_cure(*code),
        Ended::BadOptions(_) | Ended::Closed => "",
    };
    sentences(&clean(&why.to_string()), cure)
}

fn close_cure(code: CloseCode) -> &'static str {
    match code {
        CloseCode::login_failed => "Check --user (or --token) and --device: ids are 1 - 64 bytes without control characters.",
        CloseCode::replaced => "Another session connected with this device name; give each its own with --device.",
        CloseCode::logged_out => "Another session of yours logged this device out; start again to come back.",
        CloseCode::too_many_sessions => "End another session of this user first.",
        CloseCode::version_unsupported => {
            "Client and server are of different protocol versions; build both from the same release."
        }
        _ => "This should not happen; please report it with the server's log.",
    }
}

/// Why a request was not done.
pub fn request(why: &RequestError) -> String {
    match why {
        RequestError::Ended(why) => ended(why),
        RequestError::Refused { code, message, .. } => sentences(&refusal(*code, &clean(message)), error_cure(*code)),
        RequestError::ConnectionLost => sentences(&why.to_string(), "Look before you do it again."),
        other => sentences(&other.to_string(), ""),
    }
}

fn refusal(code: ErrorCode, message: &str) -> String {
    let meaning = match code {
        ErrorCode::bad_request => "the server does not understand the request",
        ErrorCode::unknown_verb => "the server does not know this request; it is older than this client",
        ErrorCode::invalid_id => "one of the names is no id: 1 - 64 bytes without control characters",
        ErrorCode::body_too_large => "the message is too long",
        ErrorCode::unknown_conversation => "there is no such conversation, or you are not in it",
        ErrorCode::not_permitted => "your role does not allow that",
        ErrorCode::already_exists => "there is a group of this id already",
        ErrorCode::already_member => "this user is a member already",
        ErrorCode::not_a_member => "this user is not a member",
        ErrorCode::last_owner => "the last owner of a group cannot leave it or take a lower role",
        ErrorCode::too_many_subscriptions => "this session is subscribed to as many topics as it may be",
        ErrorCode::too_many_members => "the group is full",
        ErrorCode::too_many_conversations => "the user is in as many conversations as he may be",
        ErrorCode::too_many_items => "the list is too long",
        ErrorCode::unknown_device => "you have no session on that device",
        ErrorCode::sender_mismatch => "the message names a sender who is not you",
        ErrorCode::busy => "the server is busy",
        ErrorCode::rate_limited => "you are sending too fast",
        ErrorCode::not_stored => "the server could not store it; nobody got the message",
        ErrorCode::disk_full => "the server's disk is nearly full, so it stores nothing more; nobody got the message",
        ErrorCode::shutting_down => "the server is stopping",
        _ => "the server failed",
    };
    // The server's words are shown where they say more than the code does.
    let says_more = code == ErrorCode::bad_request || code == ErrorCode::invalid_id || code.variant_name().is_none();
    if says_more && !message.is_empty() { format!("{meaning} ({message})") } else { meaning.to_owned() }
}

fn error_cure(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::unknown_conversation => "`conversations` lists yours; a member can add you, and an open group can be joined.",
        ErrorCode::not_permitted => "`members` shows who can; an owner can give you another role.",
        ErrorCode::already_exists => "Join it, or choose another id.",
        ErrorCode::last_owner => "Make someone else owner first, or end the group.",
        ErrorCode::too_many_subscriptions => "Unsubscribe from one first.",
        ErrorCode::disk_full => "Whoever runs the server must make room; then try again.",
        ErrorCode::busy | ErrorCode::rate_limited | ErrorCode::not_stored | ErrorCode::shutting_down | ErrorCode::internal => {
            "Try again in a moment."
        }
        _ => "",
    }
}

/// Two sentences, each with a capital letter and a full stop; the second may be missing.
fn sentences(what: &str, cure: &str) -> String {
    let mut letters = what.chars();
    let capital: String = letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default();
    let first = format!("{}.", capital.trim_end_matches('.'));
    if cure.is_empty() { first } else { format!("{first} {cure}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sentences_with_a_cure() {
        let refused = |code| RequestError::Refused { code, message: String::new(), retry_after_ms: 0 };
        let expected = "There is a group of this id already. Join it, or choose another id.";
        assert_eq!(request(&refused(ErrorCode::already_exists)), expected);
        assert_eq!(request(&refused(ErrorCode(399))), "The server failed.");
        let full = request(&refused(ErrorCode::disk_full));
        assert!(full.starts_with("The server's disk is nearly full") && full.contains("try again"), "{full}");
        let ended = ended(&Ended::Refused { code: CloseCode::replaced, message: String::new() });
        assert!(ended.starts_with("The server refused (replaced). Another session"), "{ended}");
    }
}
