//! Golden frames: `schema/golden/*.hex`, one of every verb, made once. Each must decode to the values below for ever, and what is built
//! from these values must be the same bytes. A new verb needs a frame here: `CAMPANILE_GOLDEN=write cargo test --test golden` writes the files
//! that are missing, and never one that is there.

// A field that is added later has its default in frames that were made before it: today some struct updates have nothing to add.
#![allow(clippy::needless_update)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use campanile::id::Address;
use campanile::wire::schema::*;
use campanile::wire::{Encoder, Fbb, Verb, conversation, read};
use flatbuffers::{ForwardsUOffset, Vector, WIPOffset};

type Strings<'a> = Option<Vector<'a, ForwardsUOffset<&'a str>>>;

fn texts<'a>(b: &mut Fbb, texts: &[&str]) -> WIPOffset<Vector<'a, ForwardsUOffset<&'a str>>> {
    let texts: Vec<_> = texts.iter().map(|text| b.create_string(text)).collect();
    b.create_vector(&texts)
}

fn words(list: Strings<'_>) -> Vec<String> {
    list.unwrap_or_default().iter().map(str::to_owned).collect()
}

fn place(conversation: Option<Conversation<'_>>) -> String {
    campanile::wire::address(conversation).expect("a conversation").to_string()
}

fn at(cursor: Option<&Cursor>) -> (u64, u64) {
    cursor.map(|c| (c.epoch(), c.seq())).expect("a cursor")
}

/// All golden frames by name: made, compared, and given back for looking at their values.
struct Golden {
    folder: PathBuf,
    encoder: Encoder,
    seen: BTreeMap<String, Body>,
}

impl Golden {
    /// Builds a frame, and compares it with the file of that name. Gives the bytes of the file.
    fn frame<V: Verb>(
        &mut self,
        name: &str,
        what: &str,
        reference: u64,
        build: impl FnOnce(&mut Fbb) -> WIPOffset<V>,
    ) -> Vec<u8> {
        let built = self.encoder.frame(reference, build).to_vec();
        let path = self.folder.join(format!("{name}.hex"));
        if !path.exists() && std::env::var_os("CAMPANILE_GOLDEN").is_some_and(|value| value == "write") {
            std::fs::write(&path, to_hex(what, &built)).expect("the file can be written");
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(text.starts_with("# "), "{name}: the first line says what it is");
        let bytes = from_hex(&text);
        assert_eq!(to_hex(what, &built), to_hex(what, &bytes), "{name}: built from the same values");
        let frame = read(&bytes).expect("a golden frame is sound");
        assert_eq!((frame.ref_(), frame.body_type()), (reference, V::BODY), "{name}");
        assert_eq!(self.seen.insert(name.to_owned(), V::BODY), None);
        bytes
    }
}

fn to_hex(what: &str, bytes: &[u8]) -> String {
    let lines: Vec<String> =
        bytes.chunks(32).map(|line| line.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")).collect();
    format!("# {what}\n{}\n", lines.join("\n"))
}

fn from_hex(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
}

/// Builds the body from its fields; what is not named has its default, so a field that is added later changes nothing.
macro_rules! make {
    ($b:ident, $table:ident, $args:ident { $($field:ident $(: $value:expr)?),* $(,)? }) => {
        $table::create($b, &$args { $($field $(: $value)?,)* ..Default::default() })
    };
}

#[test]
fn every_verb_has_a_golden_frame_that_decodes_and_encodes() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema/golden");
    let mut golden = Golden { folder, encoder: Encoder::default(), seen: BTreeMap::new() };
    the_connection(&mut golden);
    messages(&mut golden);
    receiving(&mut golden);
    history(&mut golden);
    groups(&mut golden);
    members_and_lists(&mut golden);
    receipts_and_presence(&mut golden);
    ephemeral_and_the_rest(&mut golden);
    for &body in Body::ENUM_VALUES.iter().filter(|&&body| body != Body::NONE) {
        assert!(golden.seen.values().any(|&seen| seen == body), "{body:?} has no golden frame");
    }
    let files = std::fs::read_dir(&golden.folder).expect("the folder is there");
    for file in files.map(|file| file.expect("an entry").path()).filter(|path| path.extension().is_some_and(|e| e == "hex")) {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(golden.seen.contains_key(&name), "{name}.hex: nobody looks at it");
    }
}

fn the_connection(g: &mut Golden) {
    let bytes = g.frame("connect", "Connect: resumes a direct conversation and a topic with a filter.", 1, |b| {
        let (token, device) = (Some(b.create_string("dev:alice")), Some(b.create_string("phone")));
        let direct = Some(conversation(b, Address::Direct("bob")));
        let first = make!(b, Resume, ResumeArgs { conversation: direct, cursor: Some(&Cursor::new(7, 42)) });
        let (topic, tags) = (Some(conversation(b, Address::Topic("news"))), Some(texts(b, &["eu", "us"])));
        let second = make!(b, Resume, ResumeArgs { conversation: topic, tags });
        let resume = Some(b.create_vector(&[first, second]));
        make!(b, Connect, ConnectArgs { version: 1, token, device, resume, features: 0 })
    });
    let c = read(&bytes).unwrap().body_as_connect().unwrap();
    assert_eq!((c.version(), c.token(), c.device(), c.features()), (1, Some("dev:alice"), Some("phone"), 0));
    let resume = c.resume().unwrap();
    assert_eq!((place(resume.get(0).conversation()), at(resume.get(0).cursor())), ("direct:bob".into(), (7, 42)));
    assert_eq!(
        (place(resume.get(1).conversation()), words(resume.get(1).tags())),
        ("topic:news".into(), vec!["eu".into(), "us".into()])
    );
    assert!(resume.get(1).cursor().is_none());

    let bytes = g.frame("welcome", "Welcome: the answer to Connect, with all limits.", 1, |b| {
        let (user, server) = (Some(b.create_string("alice")), Some(b.create_string("campanile 0.1.0")));
        make!(
            b,
            Welcome,
            WelcomeArgs {
                session: 0x0102_0304_0506_0708,
                user,
                server_time_ms: 1_700_000_000_000,
                heartbeat_ms: 30_000,
                idle_timeout_ms: 75_000,
                window: 128,
                frame_bytes_max: 73_728,
                body_bytes_max: 65_536,
                page_messages_max: 256,
                subscriptions_max: 1000,
                features: 0,
                server,
                resume_max: 1001,
                dedupe_ms: 120_000,
            }
        )
    });
    let w = read(&bytes).unwrap().body_as_welcome().unwrap();
    assert_eq!((w.session(), w.user(), w.server_time_ms()), (0x0102_0304_0506_0708, Some("alice"), 1_700_000_000_000));
    assert_eq!((w.heartbeat_ms(), w.idle_timeout_ms(), w.window()), (30_000, 75_000, 128));
    assert_eq!((w.frame_bytes_max(), w.body_bytes_max(), w.page_messages_max()), (73_728, 65_536, 256));
    assert_eq!((w.subscriptions_max(), w.features(), w.server()), (1000, 0, Some("campanile 0.1.0")));
    assert_eq!((w.resume_max(), w.dedupe_ms()), (1001, 120_000));

    g.frame("ping", "Ping: either side, no fields.", 9, |b| make!(b, Ping, PingArgs {}));
    let bytes =
        g.frame("pong", "Pong: the server's time.", 9, |b| make!(b, Pong, PongArgs { server_time_ms: 1_700_000_000_001 }));
    assert_eq!(read(&bytes).unwrap().body_as_pong().unwrap().server_time_ms(), 1_700_000_000_001);

    let bytes = g.frame("go_away", "GoAway: the server stops; come back after 2.5 s.", 0, |b| {
        let message = Some(b.create_string("the server is stopping"));
        make!(b, GoAway, GoAwayArgs { code: CloseCode::shutting_down, message, reconnect_after_ms: 2500 })
    });
    let a = read(&bytes).unwrap().body_as_go_away().unwrap();
    let said = (a.code().0, a.message(), a.reconnect_after_ms());
    assert_eq!(said, (1000, Some("the server is stopping"), 2500));

    let bytes = g.frame("error", "Error: a resumed group that is not there.", 0, |b| {
        let message = Some(b.create_string("no such conversation"));
        let conversation = Some(conversation(b, Address::Group("team")));
        make!(b, Error, ErrorArgs { code: ErrorCode::unknown_conversation, message, retry_after_ms: 0, conversation })
    });
    let e = read(&bytes).unwrap().body_as_error().unwrap();
    assert_eq!((e.code().0, e.message(), e.retry_after_ms()), (104, Some("no such conversation"), 0));
    assert_eq!(place(e.conversation()), "group:team");
    let bytes = g.frame("error_busy", "Error: busy, with the time after which to try again.", 5, |b| {
        let message = Some(b.create_string("no room"));
        make!(b, Error, ErrorArgs { code: ErrorCode::busy, message, retry_after_ms: 50 })
    });
    let e = read(&bytes).unwrap().body_as_error().unwrap();
    assert_eq!((e.code().0, e.retry_after_ms(), e.conversation().is_none()), (200, 50, true));
}

fn messages(g: &mut Golden) {
    let bytes = g.frame("publish", "Publish: to a topic, with everything that a message can have.", 3, |b| {
        let conversation = Some(conversation(b, Address::Topic("news")));
        let (client_id, content_type) = (Some(b.create_string("c-1")), Some(b.create_string("text/markdown")));
        let (body, tag) = (Some(b.create_vector(b"h\xffllo".as_slice())), Some(b.create_string("eu")));
        make!(b, Publish, PublishArgs { conversation, client_id, content_type, body, ttl_ms: 60_000, tag })
    });
    let p = read(&bytes).unwrap().body_as_publish().unwrap();
    assert_eq!(
        (place(p.conversation()), p.client_id(), p.content_type()),
        ("topic:news".into(), Some("c-1"), Some("text/markdown"))
    );
    assert_eq!((p.body().unwrap().bytes(), p.ttl_ms(), p.tag()), (b"h\xffllo".as_slice(), 60_000, Some("eu")));

    let bytes = g.frame("publish_least", "Publish: broadcast, nothing but a body.", 4, |b| {
        let conversation = Some(conversation(b, Address::Broadcast));
        let body = Some(b.create_vector(b"hi".as_slice()));
        make!(b, Publish, PublishArgs { conversation, body })
    });
    let p = read(&bytes).unwrap().body_as_publish().unwrap();
    assert_eq!((place(p.conversation()), p.client_id(), p.ttl_ms(), p.tag()), ("broadcast".into(), None, 0, None));

    let bytes = g.frame("ack", "Ack: of a repeated publish.", 3, |b| {
        make!(b, Ack, AckArgs { epoch: 7, seq: 43, time_ms: 1_700_000_000_002, duplicate: true })
    });
    let a = read(&bytes).unwrap().body_as_ack().unwrap();
    assert_eq!((a.epoch(), a.seq(), a.time_ms(), a.duplicate()), (7, 43, 1_700_000_000_002, true));

    let bytes = g.frame("message", "Message: what a user published.", 0, |b| {
        let conversation = Some(conversation(b, Address::Direct("alice")));
        let (sender, client_id) = (Some(b.create_string("alice")), Some(b.create_string("c-1")));
        let (content_type, tag) = (Some(b.create_string("text/plain")), Some(b.create_string("eu")));
        let body = Some(b.create_vector(b"hello".as_slice()));
        let (epoch, seq, time_ms, ttl_ms) = (7, 43, 1_700_000_000_002, 60_000);
        make!(b, Message, MessageArgs { conversation, epoch, seq, time_ms, sender, client_id, content_type, body, ttl_ms, tag })
    });
    let m = read(&bytes).unwrap().body_as_message().unwrap();
    assert_eq!((place(m.conversation()), m.epoch(), m.seq(), m.time_ms()), ("direct:alice".into(), 7, 43, 1_700_000_000_002));
    assert_eq!((m.sender(), m.client_id(), m.content_type()), (Some("alice"), Some("c-1"), Some("text/plain")));
    assert_eq!((m.body().unwrap().bytes(), m.ttl_ms(), m.tag()), (b"hello".as_slice(), 60_000, Some("eu")));
    assert_eq!((m.kind().0, m.subject(), m.role().0), (0, None, 0));

    let bytes = g.frame("message_role", "Message: a change of a group, bob is an admin from now on.", 0, |b| {
        let conversation = Some(conversation(b, Address::Group("team")));
        let (sender, subject) = (Some(b.create_string("alice")), Some(b.create_string("bob")));
        let (kind, role) = (RecordKind::role, Role::admin);
        make!(b, Message, MessageArgs { conversation, epoch: 7, seq: 44, time_ms: 5, sender, kind, subject, role })
    });
    let m = read(&bytes).unwrap().body_as_message().unwrap();
    assert_eq!((m.kind().0, m.sender(), m.subject(), m.role().0), (7, Some("alice"), Some("bob"), 2));

    let bytes = g.frame("message_retracted", "Message: alice took back message 43.", 0, |b| {
        let (conversation, sender) = (Some(conversation(b, Address::Direct("alice"))), Some(b.create_string("alice")));
        let kind = RecordKind::retracted;
        make!(b, Message, MessageArgs { conversation, epoch: 7, seq: 45, time_ms: 6, sender, kind, target: 43 })
    });
    let m = read(&bytes).unwrap().body_as_message().unwrap();
    assert_eq!((m.kind().0, m.sender(), m.target(), m.is_retracted(), m.body().is_some()), (9, Some("alice"), 43, false, false));
    let bytes = g.frame("message_taken_back", "Message: message 43 as it is read now.", 0, |b| {
        let (conversation, sender) = (Some(conversation(b, Address::Direct("alice"))), Some(b.create_string("alice")));
        make!(b, Message, MessageArgs { conversation, epoch: 7, seq: 43, time_ms: 2, sender, is_retracted: true })
    });
    let m = read(&bytes).unwrap().body_as_message().unwrap();
    assert_eq!((m.kind().0, m.target(), m.is_retracted(), m.body().is_some()), (0, 0, true, false));
}

fn receiving(g: &mut Golden) {
    let bytes = g.frame("gap", "Gap: the cursor cannot be honoured.", 0, |b| {
        let conversation = Some(conversation(b, Address::Topic("news")));
        make!(b, Gap, GapArgs { conversation, epoch: 8, first: 100, committed: 250 })
    });
    let gap = read(&bytes).unwrap().body_as_gap().unwrap();
    assert_eq!((place(gap.conversation()), gap.epoch(), gap.first(), gap.committed()), ("topic:news".into(), 8, 100, 250));

    let bytes = g.frame("skip", "Skip: messages that a filter passed over.", 0, |b| {
        let conversation = Some(conversation(b, Address::Topic("news")));
        make!(b, Skip, SkipArgs { conversation, epoch: 8, from: 101, to: 105, why: SkipReason::filtered })
    });
    let s = read(&bytes).unwrap().body_as_skip().unwrap();
    assert_eq!((place(s.conversation()), s.epoch(), s.from(), s.to(), s.why().0), ("topic:news".into(), 8, 101, 105, 3));

    let bytes = g.frame("subscribe", "Subscribe: a topic from a cursor, two tags.", 6, |b| {
        let (conversation, tags) = (Some(conversation(b, Address::Topic("news"))), Some(texts(b, &["eu", "us"])));
        make!(b, Subscribe, SubscribeArgs { conversation, cursor: Some(&Cursor::new(8, 100)), tags })
    });
    let s = read(&bytes).unwrap().body_as_subscribe().unwrap();
    assert_eq!(
        (place(s.conversation()), at(s.cursor()), words(s.tags())),
        ("topic:news".into(), (8, 100), vec!["eu".into(), "us".into()])
    );

    let bytes = g.frame("unsubscribe", "Unsubscribe: a topic.", 7, |b| {
        let conversation = Some(conversation(b, Address::Topic("news")));
        make!(b, Unsubscribe, UnsubscribeArgs { conversation })
    });
    assert_eq!(place(read(&bytes).unwrap().body_as_unsubscribe().unwrap().conversation()), "topic:news");

    let bytes = g.frame("subscribed", "Subscribed: where the conversation stands and what comes first.", 6, |b| {
        let conversation = Some(conversation(b, Address::Topic("news")));
        make!(b, Subscribed, SubscribedArgs { conversation, epoch: 8, first: 1, committed: 250, next: 101 })
    });
    let s = read(&bytes).unwrap().body_as_subscribed().unwrap();
    assert_eq!((place(s.conversation()), s.epoch(), s.first(), s.committed(), s.next()), ("topic:news".into(), 8, 1, 250, 101));
}

fn history(g: &mut Golden) {
    let bytes = g.frame("sync", "Sync: fifty messages before seq 100.", 8, |b| {
        let conversation = Some(conversation(b, Address::Direct("bob")));
        let cursor = Some(&Cursor::new(7, 99));
        make!(b, Sync, SyncArgs { conversation, cursor, limit: 50, direction: Direction::backward })
    });
    let s = read(&bytes).unwrap().body_as_sync().unwrap();
    assert_eq!((place(s.conversation()), at(s.cursor()), s.limit(), s.direction().0), ("direct:bob".into(), (7, 99), 50, 1));

    let bytes = g.frame("page", "Page: a message, a skip, a gap, and more to come.", 8, |b| {
        let address = Address::Direct("bob");
        let (inner, sender) = (Some(conversation(b, address)), Some(b.create_string("bob")));
        let body = Some(b.create_vector(b"hi".as_slice()));
        let message = make!(b, Message, MessageArgs { conversation: inner, epoch: 7, seq: 3, time_ms: 5, sender, body });
        let messages = Some(b.create_vector(&[message]));
        let inner = Some(conversation(b, address));
        let why = SkipReason::expired;
        let skip = make!(b, Skip, SkipArgs { conversation: inner, epoch: 7, from: 4, to: 5, why });
        let skips = Some(b.create_vector(&[skip]));
        let inner = Some(conversation(b, address));
        let gap = Some(make!(b, Gap, GapArgs { conversation: inner, epoch: 7, first: 3, committed: 9 }));
        let conversation = Some(conversation(b, address));
        let next = Cursor::new(7, 5);
        let (epoch, first, committed, next) = (7, 3, 9, Some(&next));
        make!(b, Page, PageArgs { conversation, epoch, first, committed, messages, skips, gap, next, has_more: true })
    });
    let p = read(&bytes).unwrap().body_as_page().unwrap();
    assert_eq!((place(p.conversation()), p.epoch(), p.first(), p.committed()), ("direct:bob".into(), 7, 3, 9));
    let (message, skip, gap) = (p.messages().unwrap().get(0), p.skips().unwrap().get(0), p.gap().unwrap());
    assert_eq!((message.seq(), message.sender(), message.body().unwrap().bytes()), (3, Some("bob"), b"hi".as_slice()));
    assert_eq!((skip.from(), skip.to(), skip.why().0, gap.first(), gap.committed()), (4, 5, 1, 3, 9));
    assert_eq!((at(p.next()), p.has_more()), ((7, 5), true));
}

fn groups(g: &mut Golden) {
    let bytes = g.frame("group_create", "GroupCreate: open, whole history, two members.", 10, |b| {
        let (id, title) = (Some(b.create_string("team")), Some(b.create_string("The team")));
        let members = Some(texts(b, &["bob", "carol"]));
        make!(b, GroupCreate, GroupCreateArgs { id, title, open: true, whole_history: true, members })
    });
    let c = read(&bytes).unwrap().body_as_group_create().unwrap();
    assert_eq!((c.id(), c.title(), c.open(), c.whole_history()), (Some("team"), Some("The team"), true, true));
    assert_eq!(words(c.members()), ["bob", "carol"]);

    let bytes = g.frame("group_created", "GroupCreated: the place of its first record.", 10, |b| {
        let conversation = Some(conversation(b, Address::Group("team")));
        make!(b, GroupCreated, GroupCreatedArgs { conversation, epoch: 9, seq: 1, time_ms: 6 })
    });
    let c = read(&bytes).unwrap().body_as_group_created().unwrap();
    assert_eq!((place(c.conversation()), c.epoch(), c.seq(), c.time_ms()), ("group:team".into(), 9, 1, 6));

    let bytes = g.frame("group_title", "GroupTitle: a new title, not ASCII.", 11, |b| {
        let (id, title) = (Some(b.create_string("team")), Some(b.create_string("Zoë's team")));
        make!(b, GroupTitle, GroupTitleArgs { id, title })
    });
    let t = read(&bytes).unwrap().body_as_group_title().unwrap();
    assert_eq!((t.id(), t.title()), (Some("team"), Some("Zoë's team")));

    let bytes = g.frame("group_add", "GroupAdd: as an admin.", 12, |b| {
        let (id, user) = (Some(b.create_string("team")), Some(b.create_string("dan")));
        make!(b, GroupAdd, GroupAddArgs { id, user, role: Role::admin })
    });
    let a = read(&bytes).unwrap().body_as_group_add().unwrap();
    assert_eq!((a.id(), a.user(), a.role().0), (Some("team"), Some("dan"), 2));
    let bytes = g.frame("group_add_least", "GroupAdd: without a role, which means member.", 12, |b| {
        let (id, user) = (Some(b.create_string("team")), Some(b.create_string("dan")));
        make!(b, GroupAdd, GroupAddArgs { id, user })
    });
    assert_eq!(read(&bytes).unwrap().body_as_group_add().unwrap().role().0, 1);

    let bytes = g.frame("group_remove", "GroupRemove: a member.", 13, |b| {
        let (id, user) = (Some(b.create_string("team")), Some(b.create_string("dan")));
        make!(b, GroupRemove, GroupRemoveArgs { id, user })
    });
    let r = read(&bytes).unwrap().body_as_group_remove().unwrap();
    assert_eq!((r.id(), r.user()), (Some("team"), Some("dan")));

    let bytes = g.frame("group_join", "GroupJoin: an open group.", 14, |b| {
        let id = Some(b.create_string("team"));
        make!(b, GroupJoin, GroupJoinArgs { id })
    });
    assert_eq!(read(&bytes).unwrap().body_as_group_join().unwrap().id(), Some("team"));
    let bytes = g.frame("group_leave", "GroupLeave: a group.", 15, |b| {
        let id = Some(b.create_string("team"));
        make!(b, GroupLeave, GroupLeaveArgs { id })
    });
    assert_eq!(read(&bytes).unwrap().body_as_group_leave().unwrap().id(), Some("team"));
    let bytes = g.frame("group_set_role", "GroupSetRole: an owner.", 16, |b| {
        let (id, user) = (Some(b.create_string("team")), Some(b.create_string("bob")));
        make!(b, GroupSetRole, GroupSetRoleArgs { id, user, role: Role::owner })
    });
    let s = read(&bytes).unwrap().body_as_group_set_role().unwrap();
    assert_eq!((s.id(), s.user(), s.role().0), (Some("team"), Some("bob"), 3));
    let bytes = g.frame("group_disband", "GroupDisband: a group.", 17, |b| {
        let id = Some(b.create_string("team"));
        make!(b, GroupDisband, GroupDisbandArgs { id })
    });
    assert_eq!(read(&bytes).unwrap().body_as_group_disband().unwrap().id(), Some("team"));
}

fn members_and_lists(g: &mut Golden) {
    let bytes = g.frame("members", "Members: ten of a group after bob.", 18, |b| {
        let (conversation, after) = (Some(conversation(b, Address::Group("team"))), Some(b.create_string("bob")));
        make!(b, Members, MembersArgs { conversation, after, limit: 10 })
    });
    let m = read(&bytes).unwrap().body_as_members().unwrap();
    assert_eq!((place(m.conversation()), m.after(), m.limit()), ("group:team".into(), Some("bob"), 10));

    let bytes = g.frame("members_page", "MembersPage: one member with his receipts, and more.", 18, |b| {
        let user = Some(b.create_string("carol"));
        let (role, joined, delivered, read) = (Role::member, 3, 20, 19);
        let member = make!(b, Member, MemberArgs { user, role, joined, delivered, read });
        let members = Some(b.create_vector(&[member]));
        let conversation = Some(conversation(b, Address::Group("team")));
        make!(b, MembersPage, MembersPageArgs { conversation, members, has_more: true })
    });
    let p = read(&bytes).unwrap().body_as_members_page().unwrap();
    let m = p.members().unwrap().get(0);
    assert_eq!((place(p.conversation()), p.has_more(), m.user(), m.role().0), ("group:team".into(), true, Some("carol"), 1));
    assert_eq!((m.joined(), m.delivered(), m.read()), (3, 20, 19));

    let bytes = g.frame("conversations", "Conversations: twenty of the list after number 40.", 19, |b| {
        make!(b, Conversations, ConversationsArgs { after: 40, limit: 20 })
    });
    let c = read(&bytes).unwrap().body_as_conversations().unwrap();
    assert_eq!((c.after(), c.limit()), (40, 20));

    let bytes = g.frame("conversations_page", "ConversationsPage: a group, and more.", 19, |b| {
        let (inner, title) = (Some(conversation(b, Address::Group("team"))), Some(b.create_string("The team")));
        let (role, epoch, first, committed, read, unread) = (Role::owner, 9, 2, 30, 25, 5);
        let args = ConversationInfoArgs { conversation: inner, title, role, epoch, first, committed, read, unread };
        let item = ConversationInfo::create(b, &args);
        let items = Some(b.create_vector(&[item]));
        make!(b, ConversationsPage, ConversationsPageArgs { items, next: 41, has_more: true })
    });
    let p = read(&bytes).unwrap().body_as_conversations_page().unwrap();
    let i = p.items().unwrap().get(0);
    assert_eq!((p.next(), p.has_more(), place(i.conversation()), i.title()), (41, true, "group:team".into(), Some("The team")));
    assert_eq!((i.role().0, i.epoch(), i.first(), i.committed(), i.read(), i.unread()), (3, 9, 2, 30, 25, 5));
}

fn receipts_and_presence(g: &mut Golden) {
    let bytes = g.frame("receipt", "Receipt: read up to a place.", 20, |b| {
        let conversation = Some(conversation(b, Address::Direct("bob")));
        make!(b, Receipt, ReceiptArgs { conversation, kind: ReceiptKind::read, cursor: Some(&Cursor::new(7, 43)) })
    });
    let r = read(&bytes).unwrap().body_as_receipt().unwrap();
    assert_eq!((place(r.conversation()), r.kind().0, at(r.cursor())), ("direct:bob".into(), 1, (7, 43)));

    let bytes = g.frame("receipt_event", "ReceiptEvent: delivered to one of bob's devices.", 0, |b| {
        let (conversation, user) = (Some(conversation(b, Address::Direct("bob"))), Some(b.create_string("bob")));
        make!(b, ReceiptEvent, ReceiptEventArgs { conversation, user, kind: ReceiptKind::delivered, epoch: 7, seq: 43 })
    });
    let r = read(&bytes).unwrap().body_as_receipt_event().unwrap();
    assert_eq!((place(r.conversation()), r.user(), r.kind().0), ("direct:bob".into(), Some("bob"), 0));
    assert_eq!((r.epoch(), r.seq()), (7, 43));

    let bytes = g.frame("presence_query", "PresenceQuery: of two users.", 21, |b| {
        let users = Some(texts(b, &["bob", "carol"]));
        make!(b, PresenceQuery, PresenceQueryArgs { users })
    });
    assert_eq!(words(read(&bytes).unwrap().body_as_presence_query().unwrap().users()), ["bob", "carol"]);
    let bytes = g.frame("presence_query_count", "PresenceQuery: how many sessions receive a group.", 21, |b| {
        let conversation = Some(conversation(b, Address::Group("team")));
        make!(b, PresenceQuery, PresenceQueryArgs { conversation })
    });
    assert_eq!(place(read(&bytes).unwrap().body_as_presence_query().unwrap().conversation()), "group:team");

    let bytes = g.frame("presence_answer", "PresenceAnswer: one user, and a number of sessions.", 21, |b| {
        let user = Some(b.create_string("bob"));
        let line = make!(b, UserPresence, UserPresenceArgs { user, online: true, last_seen_ms: 77 });
        let users = Some(b.create_vector(&[line]));
        make!(b, PresenceAnswer, PresenceAnswerArgs { users, sessions: 12 })
    });
    let a = read(&bytes).unwrap().body_as_presence_answer().unwrap();
    let u = a.users().unwrap().get(0);
    assert_eq!((a.sessions(), u.user(), u.online(), u.last_seen_ms()), (12, Some("bob"), true, 77));

    let bytes = g.frame("presence_watch", "PresenceWatch: a user.", 22, |b| {
        let users = Some(texts(b, &["bob"]));
        make!(b, PresenceWatch, PresenceWatchArgs { users })
    });
    assert_eq!(words(read(&bytes).unwrap().body_as_presence_watch().unwrap().users()), ["bob"]);
    let bytes = g.frame("presence_unwatch", "PresenceUnwatch: a user.", 23, |b| {
        let users = Some(texts(b, &["bob"]));
        make!(b, PresenceUnwatch, PresenceUnwatchArgs { users })
    });
    assert_eq!(words(read(&bytes).unwrap().body_as_presence_unwatch().unwrap().users()), ["bob"]);
    let bytes = g.frame("presence_event", "PresenceEvent: a user came.", 0, |b| {
        let user = Some(b.create_string("bob"));
        make!(b, PresenceEvent, PresenceEventArgs { user, online: true, last_seen_ms: 78 })
    });
    let e = read(&bytes).unwrap().body_as_presence_event().unwrap();
    assert_eq!((e.user(), e.online(), e.last_seen_ms()), (Some("bob"), true, 78));
}

fn ephemeral_and_the_rest(g: &mut Golden) {
    let bytes = g.frame("ephemeral", "Ephemeral: typing, with a body.", 24, |b| {
        let (conversation, name) = (Some(conversation(b, Address::Group("team"))), Some(b.create_string("typing")));
        let body = Some(b.create_vector([1_u8, 2, 3].as_slice()));
        make!(b, Ephemeral, EphemeralArgs { conversation, name, body })
    });
    let e = read(&bytes).unwrap().body_as_ephemeral().unwrap();
    assert_eq!((place(e.conversation()), e.name()), ("group:team".into(), Some("typing")));
    assert_eq!(e.body().unwrap().bytes(), [1, 2, 3]);

    let bytes = g.frame("ephemeral_event", "EphemeralEvent: somebody types.", 0, |b| {
        let (conversation, sender) = (Some(conversation(b, Address::Group("team"))), Some(b.create_string("alice")));
        let (name, body) = (Some(b.create_string("typing")), Some(b.create_vector([1_u8, 2, 3].as_slice())));
        make!(b, EphemeralEvent, EphemeralEventArgs { conversation, sender, name, body })
    });
    let e = read(&bytes).unwrap().body_as_ephemeral_event().unwrap();
    assert_eq!((place(e.conversation()), e.sender(), e.name()), ("group:team".into(), Some("alice"), Some("typing")));
    assert_eq!(e.body().unwrap().bytes(), [1, 2, 3]);

    let bytes = g.frame("ephemeral_dropped", "EphemeralDropped: three of them.", 0, |b| {
        make!(b, EphemeralDropped, EphemeralDroppedArgs { count: 3 })
    });
    assert_eq!(read(&bytes).unwrap().body_as_ephemeral_dropped().unwrap().count(), 3);
    let bytes = g.frame("log_out_device", "LogOutDevice: another device.", 25, |b| {
        let device = Some(b.create_string("desk"));
        make!(b, LogOutDevice, LogOutDeviceArgs { device })
    });
    assert_eq!(read(&bytes).unwrap().body_as_log_out_device().unwrap().device(), Some("desk"));
    let bytes = g.frame("retract", "Retract: takes back an own message.", 26, |b| {
        let conversation = Some(conversation(b, Address::Direct("bob")));
        make!(b, Retract, RetractArgs { conversation, cursor: Some(&Cursor::new(7, 43)) })
    });
    let r = read(&bytes).unwrap().body_as_retract().unwrap();
    assert_eq!((place(r.conversation()), at(r.cursor())), ("direct:bob".into(), (7, 43)));
    g.frame("done", "Done: the answer where there is nothing to say.", 25, |b| make!(b, Done, DoneArgs {}));
}
