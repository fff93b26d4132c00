//! The tables of the schema, each with its fields in the order in which they are written. A field that is missing here does not compile.
//!
//! `device or "json"`: what is taken where it is absent. `ttl_ms unless zero`: not written if it says nothing (0, none, false).
//! `cursor: Cursor`: a struct, which the builder borrows. `body | body_base64 by content_type`: two names for one
//! field, and what decides between them.

use flatbuffers::{UnionWIPOffset, WIPOffset};
use serde::de::MapAccess;

use super::read::{Base64, Context, Table, either, object, value};
use super::write::{Fields, Put, close, put_reference, says_something};
use crate::wire::schema::*;

/// The value of a field that was not read: its default, or nothing yet of what will be borrowed.
macro_rules! unread {
    ($default:expr) => {
        $default
    };
    ($default:expr, $held:ident) => {
        None::<$held>
    };
}

/// The value of a field as the arguments of its table want it.
macro_rules! given {
    ($field:ident) => {
        $field
    };
    ($field:ident, $held:ident) => {
        $field.as_ref()
    };
}

/// What is written of a field: its value, with the field that decides how.
macro_rules! shown {
    ($table:ident $field:ident) => {
        Some($table.$field())
    };
    ($table:ident $field:ident by $hint:ident) => {
        Some(($table.$field(), $table.$hint()))
    };
    ($table:ident $field:ident unless $zero:ident) => {
        Some($table.$field()).filter(says_something)
    };
}

/// Both directions of one table: [`Table::read_fields`] and `put_fields`.
macro_rules! table {
    ($table:ident $args:ident {
        $($field:ident $(| $other:ident)? $(: $held:ident)? $(by $hint:ident)? $(unless $zero:ident)? $(or $default:literal)?),* $(,)?
    }) => {
        impl Table for $table<'static> {
            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn read_fields<'de, M: MapAccess<'de>>(map: &mut M, cx: &mut Context<'_>) -> Result<WIPOffset<Self>, M::Error> {
                const FIELDS: &[&str] = &[$(stringify!($field), $(stringify!($other),)?)*];
                let $args { $($field),* } = $args::default();
                $(let mut $field = unread!($field $(, $held)?);)*
                $($(let mut $other: Option<Base64> = None;)?)*
                object(FIELDS, map, cx, |name, map, cx| {
                    let mut at = 0;
                    $(
                        if name == at {
                            $field = value(map, cx)?;
                        }
                        at += 1;
                        $(
                            if name == at {
                                $other = value(map, cx)?;
                            }
                            at += 1;
                        )?
                    )*
                    Ok(())
                })?;
                $($(let $field = either($field, $other, stringify!($other), cx)?;)?)*
                $($(let $field = $field.or_else(|| Some(cx.b.create_string($default)));)?)*
                Ok($table::create(cx.b, &$args { $($field: given!($field $(, $held)?)),* }))
            }
        }

        impl Fields for $table<'_> {
            #[allow(unused_variables)]
            fn put_fields(self, out: &mut Vec<u8>) {
                $(
                    if let Some(value) = shown!(self $field $(by $hint)? $(unless $zero)?) {
                        value.put(concat!("\"", stringify!($field), "\":"), out);
                    }
                )*
            }
        }
    };
}

/// Tables that are bodies of frames, with the names that stand in `type`.
macro_rules! verbs {
    ($($name:ident $table:ident $args:ident $body_as:ident { $($fields:tt)* })*) => {
        $(table!($table $args { $($fields)* });)*

        /// The verb of this name.
        pub(super) fn verb(name: &str) -> Option<Body> {
            match name {
                $(stringify!($name) => Some(Body::$table),)*
                _ => None,
            }
        }

        /// Reads what is left of an object as the fields of a verb.
        pub(super) fn read_verb<'de, M: MapAccess<'de>>(
            verb: Body,
            map: &mut M,
            cx: &mut Context<'_>,
        ) -> Result<WIPOffset<UnionWIPOffset>, M::Error> {
            match verb {
                $(Body::$table => Ok($table::read_fields(map, cx)?.as_union_value()),)*
                _ => unreachable!("`verb` names none that is not here"),
            }
        }

        /// Appends a frame as one JSON object. What this build does not know (a verb, a value of an enum) is written as its number.
        pub fn write(frame: Frame<'_>, out: &mut Vec<u8>) {
            match frame.body_type() {
                $(Body::$table => {
                    out.extend_from_slice(concat!("{\"type\":\"", stringify!($name), "\",").as_bytes());
                    put_reference(frame.ref_(), out);
                    if let Some(table) = frame.$body_as() {
                        table.put_fields(out);
                    }
                })*
                Body(newer) => {
                    out.push(b'{');
                    newer.put("\"type\":", out);
                    put_reference(frame.ref_(), out);
                }
            }
            close(out, b'}');
        }
    };
}

verbs! {
    connect Connect ConnectArgs body_as_connect { version, token, device or "json", resume, features }
    welcome Welcome WelcomeArgs body_as_welcome {
        session, user, server_time_ms, heartbeat_ms, idle_timeout_ms, window, frame_bytes_max, body_bytes_max, page_messages_max,
        subscriptions_max, features, server, resume_max, dedupe_ms,
    }
    ping Ping PingArgs body_as_ping {}
    pong Pong PongArgs body_as_pong { server_time_ms }
    go_away GoAway GoAwayArgs body_as_go_away { code, message, reconnect_after_ms }
    error Error ErrorArgs body_as_error { code, message, retry_after_ms, conversation }
    publish Publish PublishArgs body_as_publish {
        conversation, client_id, content_type, body | body_base64 by content_type, ttl_ms, tag,
    }
    ack Ack AckArgs body_as_ack { epoch, seq, time_ms, duplicate }
    message Message MessageArgs body_as_message {
        conversation, epoch, seq, time_ms, sender, client_id, content_type, body | body_base64 by content_type, ttl_ms unless zero, tag,
        kind unless zero, subject, role unless zero, target unless zero, is_retracted unless zero,
    }
    gap Gap GapArgs body_as_gap { conversation, epoch, first, committed }
    skip Skip SkipArgs body_as_skip { conversation, epoch, from, to, why }
    subscribe Subscribe SubscribeArgs body_as_subscribe { conversation, cursor: Cursor, tags }
    unsubscribe Unsubscribe UnsubscribeArgs body_as_unsubscribe { conversation }
    subscribed Subscribed SubscribedArgs body_as_subscribed { conversation, epoch, first, committed, next }
    sync Sync SyncArgs body_as_sync { conversation, cursor: Cursor, limit, direction }
    page Page PageArgs body_as_page { conversation, epoch, first, committed, messages, skips, gap, next: Cursor, has_more }

    group_create GroupCreate GroupCreateArgs body_as_group_create { id, title, open, whole_history, members }
    group_created GroupCreated GroupCreatedArgs body_as_group_created { conversation, epoch, seq, time_ms }
    group_title GroupTitle GroupTitleArgs body_as_group_title { id, title }
    group_add GroupAdd GroupAddArgs body_as_group_add { id, user, role }
    group_remove GroupRemove GroupRemoveArgs body_as_group_remove { id, user }
    group_join GroupJoin GroupJoinArgs body_as_group_join { id }
    group_leave GroupLeave GroupLeaveArgs body_as_group_leave { id }
    group_set_role GroupSetRole GroupSetRoleArgs body_as_group_set_role { id, user, role }
    group_disband GroupDisband GroupDisbandArgs body_as_group_disband { id }
    members Members MembersArgs body_as_members { conversation, after, limit }
    members_page MembersPage MembersPageArgs body_as_members_page { conversation, members, has_more }
    conversations Conversations ConversationsArgs body_as_conversations { after, limit }
    conversations_page ConversationsPage ConversationsPageArgs body_as_conversations_page { items, next, has_more }

    receipt Receipt ReceiptArgs body_as_receipt { conversation, kind, cursor: Cursor }
    receipt_event ReceiptEvent ReceiptEventArgs body_as_receipt_event { conversation, user, kind, epoch, seq }
    presence_query PresenceQuery PresenceQueryArgs body_as_presence_query { users, conversation }
    presence_answer PresenceAnswer PresenceAnswerArgs body_as_presence_answer { users, sessions }
    presence_watch PresenceWatch PresenceWatchArgs body_as_presence_watch { users }
    presence_unwatch PresenceUnwatch PresenceUnwatchArgs body_as_presence_unwatch { users }
    presence_event PresenceEvent PresenceEventArgs body_as_presence_event { user, online, last_seen_ms }
    ephemeral Ephemeral EphemeralArgs body_as_ephemeral { conversation, name, body | body_base64 }
    ephemeral_event EphemeralEvent EphemeralEventArgs body_as_ephemeral_event { conversation, sender, name, body | body_base64 }
    ephemeral_dropped EphemeralDropped EphemeralDroppedArgs body_as_ephemeral_dropped { count }
    log_out_device LogOutDevice LogOutDeviceArgs body_as_log_out_device { device }
    done Done DoneArgs body_as_done {}
    retract Retract RetractArgs body_as_retract { conversation, cursor: Cursor }
}

table!(Resume ResumeArgs { conversation, cursor: Cursor, tags });
table!(Member MemberArgs { user, role, joined, delivered, read });
table!(ConversationInfo ConversationInfoArgs { conversation, title, role, epoch, first, committed, read, unread });
table!(UserPresence UserPresenceArgs { user, online, last_seen_ms });
