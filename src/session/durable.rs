//! The rules of users whose lists are on disk, one by one, in a small world with simulated disks.

use super::stored::Step;
use super::tests::{at, code, settled, small};
use super::world::{Client, Got, World};
use crate::conversation::{Durability, Key, Policies, Policy};
use crate::id::Address;
use crate::limits::Limits;
use crate::mesh::SessionKey;
use crate::wire::schema::{CloseCode, Direction, ErrorCode, ReceiptKind, Role};

/// Two shards; what people say to each other is on disk.
fn disk() -> World {
    with(small())
}

fn with(limits: Limits) -> World {
    World::with(2, limits, Policies::default())
}

/// Ann is at home on the first shard, bob on the second.
fn two() -> (&'static str, &'static str) {
    (at(0, 0), at(1, 0))
}

fn direct(peer: &str) -> String {
    format!("direct:{peer}")
}

/// What shards say to each other arrives; the disk does nothing.
fn talk(world: &mut World) {
    for _ in 0..20 {
        for at in 0..2 {
            for from in 0..2 {
                while world.take_event(at, from) || world.take_request(at, from) {}
            }
            world.work(at);
        }
    }
}

/// The disk does everything that it was asked so far; what follows is told.
fn write(world: &mut World) {
    for part in 0..world.store.parts.len() {
        for shard in 0..world.shards.len() as u16 {
            while world.store_step(part, shard, Step::Stage) {}
        }
        world.store_step(part, 0, Step::Commit);
    }
    tell(world);
}

fn read(world: &mut World) {
    for part in 0..world.store.parts.len() {
        for shard in 0..world.shards.len() as u16 {
            while world.store_step(part, shard, Step::Read) {}
        }
    }
    tell(world);
}

fn tell(world: &mut World) {
    for part in 0..world.store.parts.len() {
        for shard in 0..world.shards.len() as u16 {
            while world.take_outcome(shard, part, true) || world.take_outcome(shard, part, false) {}
        }
    }
}

/// Users in memory.
fn users(world: &World) -> usize {
    world.shards.iter().map(|node| node.users.counts().1).sum()
}

/// What a client gets without broadcast, which everyone gets at every login.
fn heard(world: &mut World, client: Client) -> Vec<String> {
    let mut got = settled(world, client);
    got.retain(|text| !text.starts_with("broadcast"));
    got
}

/// Epoch of the only log with this name.
fn epoch(world: &World, to: &str) -> u64 {
    let mut logs = world.logs.iter().filter(|(_, log)| format!("{:?}", log.key).starts_with(to));
    *logs.next_back().expect("there is one").0
}

// ---- login

#[test]
fn a_login_waits_for_the_list_and_what_was_sent_meanwhile_follows_it() {
    let mut world = disk();
    let ann = world.connect("ann", "phone", &[]).unwrap();
    world.publish(ann, "topic:news", "early");
    talk(&mut world);
    assert!(world.shorts(ann).is_empty(), "no welcome yet");
    assert_eq!(world.shards[0].users.counts().0 + world.shards[1].users.counts().0, 0);
    let got = settled(&mut world, ann);
    assert!(got[0] == "welcome" && got.iter().any(|text| text.starts_with("ack ")), "{got:?}");
}

#[test]
fn logins_of_one_user_wait_together_and_later_ones_do_not_wait() {
    let mut world = disk();
    let (phone, desk) = (world.connect("ann", "phone", &[]).unwrap(), world.connect("ann", "desk", &[]).unwrap());
    let again = world.connect("ann", "phone", &[]).unwrap();
    read(&mut world);
    assert_eq!(world.clients[phone].closed, Some(CloseCode::replaced), "in the order in which they came");
    assert_eq!((world.shorts(desk)[0].clone(), world.shorts(again)[0].clone()), ("welcome".into(), "welcome".into()));
    let tablet = world.connect("ann", "tablet", &[]).unwrap();
    assert_eq!(world.shorts(tablet)[0], "welcome");
    settled(&mut world, tablet);
}

#[test]
fn too_many_sessions_are_told_so_after_they_waited() {
    let mut world = with(Limits { sessions_per_user_max: 1, ..small() });
    let (first, second) = (world.connect("ann", "one", &[]).unwrap(), world.connect("ann", "two", &[]).unwrap());
    world.settle();
    assert_eq!((world.clients[first].closed, world.clients[second].closed), (None, Some(CloseCode::too_many_sessions)));
}

#[test]
fn a_connection_that_goes_while_it_waits_leaves_nothing() {
    let mut world = with(Limits { users_idle_max: 0, ..small() });
    let (gone, stays) = (world.connect("ann", "phone", &[]).unwrap(), world.connect("ann", "desk", &[]).unwrap());
    world.disconnect(gone);
    let alone = world.connect("bob", "phone", &[]).unwrap();
    world.disconnect(alone);
    world.settle();
    world.check_at_rest();
    assert_eq!((world.shorts(gone), world.shorts(alone)), (vec![], vec![]));
    assert_eq!(world.shorts(stays)[0], "welcome");
    world.pass(1);
    assert_eq!(users(&world), 1, "bob is forgotten");
}

#[test]
fn more_lists_than_may_be_read_at_once_are_read_one_after_the_other() {
    let mut world = World::with(1, small(), Policies::default());
    let names: Vec<String> = (0..10).map(|i| format!("user{i}")).collect();
    let clients: Vec<Client> = names.iter().map(|name| world.connect(name, "phone", &[]).unwrap()).collect();
    read(&mut world);
    let welcomed = clients.iter().filter(|&&client| world.clients[client].session.index != u32::MAX).count();
    assert_eq!(welcomed, 3);
    world.settle();
    assert!(clients.iter().all(|&client| world.shorts(client)[0] == "welcome"));
}

#[test]
fn a_list_that_cannot_be_read_sends_its_user_away_for_a_moment() {
    let mut world = disk();
    let ann = world.connect("ann", "phone", &[]).unwrap();
    world.store.parts.iter_mut().for_each(|part| part.disk.set_unreadable(true));
    read(&mut world);
    assert_eq!(world.clients[ann].closed, Some(CloseCode::overloaded));
    world.store.parts.iter_mut().for_each(|part| part.disk.set_unreadable(false));
    world.settle();
    assert_eq!(users(&world), 0);
    let ann = world.connect("ann", "phone", &[]).unwrap();
    assert_eq!(heard(&mut world, ann), ["welcome"]);
}

// ---- hints

#[test]
fn a_first_message_waits_until_the_lists_of_both_are_on_disk() {
    let (mut world, (a, b)) = (disk(), two());
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    world.publish(ann, &direct(b), "one");
    world.publish(ann, &direct(b), "two");
    talk(&mut world);
    assert!(world.logs.is_empty() && world.shorts(ann).is_empty());
    write(&mut world);
    talk(&mut world);
    read(&mut world);
    talk(&mut world);
    assert!(world.logs.is_empty(), "the lists are on disk, the messages on their way there");
    let got = heard(&mut world, ann);
    assert!(got.len() == 2 && got[1].ends_with("/2"), "{got:?}");
    assert_eq!(heard(&mut world, bob), [format!("direct:{a} 1 {a}: one"), format!("direct:{a} 2 {a}: two")]);
    // From now on nothing is asked first, from either side.
    world.publish(bob, &direct(a), "three");
    assert!(world.shards.iter().flat_map(|node| &node.requests).flatten().all(|r| !format!("{r:?}").starts_with("Hint")));
    assert_eq!(heard(&mut world, ann), [format!("direct:{b} 3 {b}: three")]);
}

#[test]
fn strangers_do_not_come_into_memory_by_being_written_to() {
    let mut world = disk();
    let ann = world.client("ann", "phone");
    for i in 0..20 {
        world.publish(ann, &format!("direct:stranger{i}"), "hello");
    }
    world.create_group(ann, "team", false, false, &["somebody", "nobody"]);
    let got = heard(&mut world, ann);
    assert_eq!(got.iter().filter(|text| text.starts_with("ack")).count(), 21, "{got:?}");
    assert_eq!(users(&world), 1);
    // And yet they have it.
    let stranger = world.connect("stranger7", "phone", &[]).unwrap();
    assert_eq!(heard(&mut world, stranger), ["welcome", "direct:ann from 1", "direct:ann 1 ann: hello"]);
    let nobody = world.connect("nobody", "phone", &[]).unwrap();
    assert_eq!(heard(&mut world, nobody)[1], "group:team from 3");
}

#[test]
fn a_hint_that_is_not_stored_refuses_what_it_was_for() {
    let (mut world, (a, b)) = (disk(), two());
    let ann = world.client(a, "phone");
    world.store.batches_to_fail = 2;
    world.publish(ann, &direct(b), "lost");
    world.publish(ann, &direct(b), "lost as well");
    assert_eq!(heard(&mut world, ann), ["error not_stored", "error not_stored"]);
    world.store.batches_to_fail = 1;
    world.create_group(ann, "team", false, false, &[b]);
    assert_eq!(heard(&mut world, ann), ["error not_stored"]);
    world.publish(ann, &direct(b), "kept");
    world.create_group(ann, "team", false, false, &[b]);
    assert_eq!(heard(&mut world, ann).iter().filter(|text| text.starts_with("ack")).count(), 2);
}

#[test]
fn a_full_list_takes_no_group_and_lets_an_old_direct_conversation_go() {
    let mut world = with(Limits { conversations_per_user_max: 2, ..small() });
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    for peer in ["cat", "dan", "eve"] {
        world.publish(ann, &direct(peer), "hello");
        world.settle();
    }
    world.take(ann);
    world.list(ann);
    assert_eq!(heard(&mut world, ann), ["list direct:dan(1) direct:eve(1)"]);
    world.create_group(ann, "team", true, false, &[]);
    assert_eq!(heard(&mut world, ann), ["error too_many_conversations"]);
    let cat = world.client("cat", "phone");
    world.publish(cat, &direct("ann"), "are you there?");
    assert!(heard(&mut world, ann).contains(&"direct:cat 2 cat: are you there?".to_owned()));
    world.list(ann);
    assert_eq!(heard(&mut world, ann), ["list direct:eve(1) direct:cat(2)"], "it is back, and another went for it");
    for group in ["one", "two"] {
        world.create_group(bob, group, true, false, &[]);
        world.settle();
    }
    world.publish(ann, &direct("bob"), "no room");
    assert_eq!(heard(&mut world, ann), ["error too_many_conversations"]);
}

#[test]
fn who_is_written_to_does_not_answer_before_the_others_list_is_on_disk() {
    let mut world = disk();
    // The disk of one user works, with their conversation on it, that of the other does not.
    let part = |world: &World, id: &[u8]| usize::from(world.slots.partition(world.slots.slot(id)));
    let is_apart = |a: &str, b: &str| part(&world, a.as_bytes()) == 0 && part(&world, Key::direct(a, b).bytes()) == 1;
    let pairs = (0..4).flat_map(|i| (0..4).map(move |j| (at(0, i), at(1, j))));
    let (a, b) = pairs.into_iter().find(|(a, b)| is_apart(a, b)).unwrap();
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    let one_disk = |world: &mut World| {
        talk(world);
        read(world);
        talk(world);
        (0..2).for_each(|shard| while world.store_step(1, shard, Step::Stage) {});
        world.store_step(1, 0, Step::Commit);
        tell(world);
    };
    world.publish(ann, &direct(b), "hello");
    one_disk(&mut world);
    world.publish(bob, &direct(a), "who are you?");
    (0..3).for_each(|_| one_disk(&mut world));
    assert!(world.logs.is_empty(), "bob's message waits for ann's list too");
    assert!(heard(&mut world, bob).iter().any(|text| text.starts_with("ack ")));
    heard(&mut world, ann);
}

#[test]
fn what_waits_for_a_list_is_not_overtaken_because_the_other_writes_meanwhile() {
    let mut world = disk();
    let is_here = |a: &str, b: &str| world.slots.home(Key::direct(a, b).bytes()) == 0;
    let pairs = (0..4).flat_map(|i| (0..4).map(move |j| (at(0, i), at(1, j))));
    let (a, b) = pairs.into_iter().find(|(a, b)| is_here(a, b)).unwrap();
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    let parts = world.store.parts.len();
    let part_of = |world: &World, id: &str| usize::from(world.slots.partition(world.slots.slot(id.as_bytes())));
    world.publish(bob, &direct(a), "bob's");
    talk(&mut world);
    world.publish(ann, &direct(b), "first");
    talk(&mut world);
    // Of what bob's list was asked, the disk does bob's own part only: ann's message waits, and bob's does not.
    let bobs = part_of(&world, b);
    assert!(world.store_step(bobs, 1, Step::Stage));
    world.store_step(bobs, 0, Step::Commit);
    for _ in 0..6 {
        for part in 0..parts {
            while world.store_step(part, 0, Step::Stage) || world.store_step(part, 0, Step::Read) {}
            world.store_step(part, 0, Step::Commit);
        }
        tell(&mut world);
        talk(&mut world);
    }
    assert_eq!(world.shorts(ann).last(), Some(&format!("direct:{b} 1 {b}: bob's")), "it came");
    world.publish(ann, &direct(b), "second");
    heard(&mut world, ann);
    assert_eq!(heard(&mut world, bob)[1..], [format!("direct:{a} 2 {a}: first"), format!("direct:{a} 3 {a}: second")]);
}

#[test]
fn after_a_start_the_lists_of_both_are_asked_again() {
    let (mut world, (a, b)) = (disk(), two());
    let ann = world.client(a, "phone");
    world.publish(ann, &direct(b), "hello");
    talk(&mut world);
    // Only ann's list comes to the disk.
    let anns = usize::from(world.slots.partition(world.slots.slot(a.as_bytes())));
    while world.store_step(anns, 0, Step::Stage) {}
    world.store_step(anns, 0, Step::Commit);
    world.crash(2, |_| 0);
    let ann = world.client(a, "phone");
    world.list(ann);
    assert_eq!(heard(&mut world, ann), [format!("list direct:{b}(0)")]);
    world.publish(ann, &direct(b), "hello again");
    assert_eq!(heard(&mut world, ann).len(), 1);
    world.restart();
    let bob = world.connect(b, "phone", &[]).unwrap();
    assert_eq!(heard(&mut world, bob)[2], format!("direct:{a} 1 {a}: hello again"));
}

// ---- groups

#[test]
fn a_group_does_not_leave_the_list_of_somebody_who_is_being_added_to_it() {
    let (mut world, (a, b)) = (disk(), two());
    let ann = world.client(a, "phone");
    world.create_group(ann, "team", true, false, &[b]);
    world.settle();
    world.remove(ann, "team", b);
    world.settle();
    // The hint is in; the change stands in the lane to the group's home when bob asks there to receive the group.
    let home = world.slots.home(Key::new("", Address::Group("team")).bytes());
    world.add(ann, "team", b, Role::member);
    assert!(world.take_request(1, 0));
    write(&mut world);
    assert!(world.take_event(0, 1));
    assert_eq!(world.shards[usize::from(home)].requests[0].len(), 1);
    let bob = world.connect(b, "phone", &[]).unwrap();
    read(&mut world);
    while world.take_request(home, 1) || world.take_event(1, home) {}
    let got = heard(&mut world, bob);
    assert_eq!(got, ["welcome", "group:team from 4", &format!("group:team 4 {a} added {b}")]);
    world.restart();
    let bob = world.connect(b, "phone", &[]).unwrap();
    assert!(heard(&mut world, bob).contains(&"group:team from 4".to_owned()));
}

#[test]
fn an_old_removal_that_is_handed_out_late_strikes_no_new_membership() {
    let (mut world, (a, b)) = (disk(), two());
    let (ann, cat) = (world.client(a, "phone"), world.client(at(1, 1), "phone"));
    world.create_group(ann, "team", true, false, &[b, at(1, 1)]);
    world.settle();
    let (removal, addition) = (world.remove(ann, "team", b), world.add(ann, "team", b, Role::member));
    assert!(removal < addition);
    // All of it comes to bob's home and is not handed out there before he is.
    for _ in 0..10 {
        for (to, from) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            while world.take_event(to, from) || world.take_request(to, from) {}
        }
        write(&mut world);
        world.work(0);
    }
    assert!(world.shards[1].users.has_work());
    let bob = world.connect(b, "phone", &[]).unwrap();
    read(&mut world);
    world.settle();
    assert_eq!(world.shorts(cat).last().unwrap(), &format!("group:team 5 {a} added {b}"));
    world.restart();
    world.take(bob);
    let bob = world.connect(b, "phone", &[]).unwrap();
    assert!(heard(&mut world, bob).contains(&"group:team from 5".to_owned()));
}

#[test]
fn nobody_is_forgotten_while_something_is_struck_from_a_list() {
    let (mut world, (a, b)) = (with(Limits { users_idle_max: 0, presence_linger_ms: 0, ..small() }), two());
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    world.create_group(ann, "team", true, false, &[b]);
    world.settle();
    world.remove(ann, "team", b);
    while world.shards[1].users.strikes == 0 {
        write(&mut world);
        talk(&mut world);
    }
    assert_eq!(world.shards[1].users.strikes, 1);
    world.disconnect(bob);
    world.pass(1);
    assert_eq!(users(&world), 2);
    world.settle();
    world.pass(1);
    assert_eq!(users(&world), 1);
}

#[test]
fn a_change_that_fails_is_told_to_those_whom_it_would_have_added() {
    let (mut world, (a, b)) = (disk(), two());
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    world.create_group(ann, "team", false, false, &[]);
    world.settle();
    // It exists: bob is hinted for nothing. The next time he attaches the entry goes.
    world.create_group(bob, "team", false, false, &[a]);
    assert!(heard(&mut world, bob).contains(&"error already_exists".to_owned()));
    assert!(world.shards.iter().all(|node| node.users.expected.is_empty()));
    world.list(bob);
    assert_eq!(heard(&mut world, bob), ["list "]);
    world.restart();
    let bob = world.connect(b, "phone", &[]).unwrap();
    assert_eq!(heard(&mut world, bob), ["welcome"]);
    world.list(bob);
    assert_eq!(heard(&mut world, bob), ["list "]);
}

#[test]
fn groups_and_cursors_are_there_after_a_start() {
    let (mut world, (a, b)) = (disk(), two());
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    world.create_group(ann, "team", true, false, &[b]);
    world.settle();
    world.publish(ann, "group:team", "three");
    world.publish(ann, &direct(b), "one");
    world.publish(ann, &direct(b), "two");
    world.settle();
    let (team, pair) = (epoch(&world, "group:team"), epoch(&world, "direct:"));
    world.receipt(bob, "group:team", ReceiptKind::delivered, (team, 3));
    world.receipt(bob, &direct(a), ReceiptKind::delivered, (pair, 1));
    world.receipt(bob, &direct(a), ReceiptKind::read, (pair, 2));
    world.settle();
    world.crash(2, |_| 0);
    let phone = world.connect(b, "phone", &[]).unwrap();
    let mut got = heard(&mut world, phone);
    got.sort();
    let expected = [format!("direct:{a} 2 {a}: two"), format!("direct:{a} from 2"), "group:team from 4".into(), "welcome".into()];
    assert_eq!(got, expected);
    // A new device begins where its user has read: there it is up to date, and nothing is said.
    let desk = world.connect(b, "desk", &[]).unwrap();
    assert!(!heard(&mut world, desk).iter().any(|text| text.starts_with("direct:")));
    let ann = world.client(a, "phone");
    world.publish(ann, &direct(b), "three");
    assert_eq!(heard(&mut world, desk), [format!("direct:{a} 3 {a}: three")]);
}

// ---- receipts

/// Ann has written to bob, who has it; and the epoch.
fn written() -> (World, Client, Client, u64) {
    let (mut world, (a, b)) = (disk(), two());
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    for body in ["one", "two", "three"] {
        world.publish(ann, &direct(b), body);
    }
    world.settle();
    world.take(ann);
    world.take(bob);
    let epoch = epoch(&world, "direct:");
    (world, ann, bob, epoch)
}

/// The home of the conversation has taken the receipts that were sent; the user's home has not written them.
fn noted(world: &mut World) {
    talk(world);
    world.pass(20);
    write(world);
    for (to, from) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        world.work(from);
        while world.take_event(to, from) {}
    }
}

#[test]
fn a_receipt_is_answered_when_it_is_stored_with_others_of_that_time() {
    let ((mut world, _, bob, epoch), (a, _)) = (written(), two());
    let cursors = |world: &World| world.shards.iter().map(|node| node.users.writes).sum::<u32>();
    for seq in 1..=3 {
        world.receipt(bob, &direct(a), ReceiptKind::delivered, (epoch, seq));
    }
    noted(&mut world);
    assert!(world.shorts(bob).is_empty() && cursors(&world) == 1);
    assert!(world.shards.iter().any(|node| !node.users.is_quiet()));
    world.work(1);
    assert!(world.shorts(bob).is_empty(), "it is on its way");
    write(&mut world);
    assert_eq!((world.shorts(bob), cursors(&world)), (vec!["done".to_owned(); 3], 0));
    assert_eq!(heard(&mut world, bob), [""; 0]);
}

#[test]
fn a_receipt_without_a_question_holds_nothing_up_and_is_stored_too() {
    let ((mut world, _, bob, epoch), (a, b)) = (written(), two());
    world.say_receipt(bob, &direct(a), ReceiptKind::delivered, (epoch, 2));
    noted(&mut world);
    let SessionKey { index, .. } = world.clients[bob].session;
    assert_eq!(world.shards[1].users.sessions[index].outstanding, 0);
    assert_eq!(heard(&mut world, bob), [""; 0]);
    world.restart();
    let bob = world.connect(b, "phone", &[]).unwrap();
    assert_eq!(heard(&mut world, bob)[1], format!("direct:{a} from 3"));
}

#[test]
fn a_receipt_that_is_not_stored_is_told_and_may_be_repeated() {
    let ((mut world, _, bob, epoch), (a, b)) = (written(), two());
    let first = world.receipt(bob, &direct(a), ReceiptKind::delivered, (epoch, 2));
    noted(&mut world);
    world.store.batches_to_fail = 1;
    world.work(1);
    write(&mut world);
    assert_eq!(code(&mut world, bob, first), Some(ErrorCode::not_stored));
    // Nothing moves by saying it again, and yet it must be stored.
    world.receipt(bob, &direct(a), ReceiptKind::delivered, (epoch, 2));
    assert_eq!(heard(&mut world, bob), ["done"]);
    world.crash(2, |_| 0);
    let bob = world.connect(b, "phone", &[]).unwrap();
    assert_eq!(heard(&mut world, bob)[1], format!("direct:{a} from 3"));
}

#[test]
fn receipts_of_who_leaves_are_stored_before_he_is_forgotten() {
    let (mut world, (a, b)) = (with(Limits { users_idle_max: 0, presence_linger_ms: 0, ..small() }), two());
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    world.publish(ann, &direct(b), "one");
    world.settle();
    let epoch = epoch(&world, "direct:");
    world.say_receipt(bob, &direct(a), ReceiptKind::read, (epoch, 1));
    noted(&mut world);
    world.disconnect(bob);
    world.pass(1);
    assert_eq!(users(&world), 2, "his receipt is to be written");
    world.settle();
    world.pass(1);
    assert_eq!(users(&world), 1);
    let bob = world.connect(b, "phone", &[]).unwrap();
    assert_eq!(heard(&mut world, bob), ["welcome"], "he has read it");
}

#[test]
fn a_log_that_was_repaired_is_told_by_a_gap_and_receipts_go_on_in_it() {
    let os = Policies { direct: Policy::of(Durability::Os), ..Policies::default() };
    let (mut world, (a, b)) = (World::with(2, small(), os), two());
    let (ann, bob) = (world.client(a, "phone"), world.client(b, "phone"));
    world.publish(ann, &direct(b), "one");
    world.settle();
    let former = epoch(&world, "direct:");
    world.receipt(bob, &direct(a), ReceiptKind::delivered, (former, 1));
    world.settle();
    world.crash(2, |unsynced| unsynced);
    let bob = world.connect(b, "phone", &[]).unwrap();
    let got = heard(&mut world, bob);
    assert_eq!(got[1..3], [format!("direct:{a} from 1"), format!("direct:{a} gap 1..1")], "{got:?}");
    let now = world.shards.iter().flat_map(|node| node.users.users.iter()).flat_map(|user| user.list.iter());
    let (epoch, _) = now.flat_map(|list| list.iter()).find_map(|entry| entry.log()).unwrap();
    assert_ne!(epoch, former);
    world.receipt(bob, &direct(a), ReceiptKind::delivered, (epoch, 1));
    assert_eq!(heard(&mut world, bob), ["done"]);
    world.restart();
    let bob = world.connect(b, "phone", &[]).unwrap();
    let got = heard(&mut world, bob);
    assert!(got.len() == 1 || got[2].contains("gap"), "{got:?}");
}

// ---- memory

#[test]
fn the_newest_of_those_who_left_stay_in_memory_and_their_lists_stay_current() {
    let mut world = with(Limits { users_idle_max: 2, presence_linger_ms: 0, ..small() });
    let names = ["ann", "bob", "cat", "dan"];
    let clients = names.map(|name| world.client(name, "phone"));
    world.publish(clients[0], &direct("dan"), "hello");
    world.settle();
    for client in clients {
        world.disconnect(client);
        world.settle();
        world.pass(1);
    }
    assert_eq!(users(&world), names.len().min(2 * world.shards.len()));
    let dan = world.connect("dan", "phone", &[]).unwrap();
    assert_eq!(world.shorts(dan)[0], "welcome", "he need not wait");
    assert_eq!(heard(&mut world, dan).last().unwrap(), "direct:ann 1 ann: hello");
}

#[test]
fn who_comes_back_while_he_rests_is_at_home_and_leaves_again() {
    let mut world = World::with(1, Limits { users_idle_max: 1, presence_linger_ms: 0, ..small() }, Policies::default());
    for _ in 0..5 {
        let ann = world.client("ann", "phone");
        world.disconnect(ann);
        world.pass(1);
        assert_eq!((users(&world), world.shards[0].users.resting.len()), (1, 1));
    }
    let bob = world.client("bob", "phone");
    world.disconnect(bob);
    world.pass(1);
    assert_eq!((users(&world), world.shards[0].users.find_user("ann")), (1, None));
}

#[test]
fn what_only_memory_knows_of_a_user_stays() {
    // Direct conversations are in memory, groups on disk.
    let policies = Policies { group: Policies::default().group, ..Policies::in_memory() };
    let mut world = World::with(1, Limits { users_idle_max: 0, presence_linger_ms: 0, ..small() }, policies);
    let ann = world.client("ann", "phone");
    world.create_group(ann, "team", true, false, &["bob"]);
    world.publish(ann, &direct("bob"), "hello");
    world.settle();
    assert_eq!(users(&world), 2, "bob has a conversation that would be lost");
    let bob = world.connect("bob", "phone", &[]).unwrap();
    let got = heard(&mut world, bob);
    assert!(got.contains(&"group:team from 2".to_owned()) && got.contains(&"direct:ann 1 ann: hello".to_owned()), "{got:?}");
    world.list(bob);
    assert_eq!(heard(&mut world, bob), ["list group:team(1) direct:ann(1)"], "those on disk come first");
    world.disconnect(bob);
    world.settle();
    world.pass(1);
    let list = |world: &World| {
        let users = &world.shards[0].users;
        let bob = &users.users[users.find_user("bob").unwrap()];
        (bob.is_loaded, bob.list.as_ref().map(|list| list.len()))
    };
    assert_eq!(list(&world), (false, Some(1)));
    let bob = world.client("bob", "phone");
    world.list(bob);
    assert_eq!(heard(&mut world, bob), ["list group:team(1) direct:ann(1)"]);
}

#[test]
fn who_is_watched_before_he_is_loaded_is_seen_when_he_comes() {
    let (mut world, (a, b)) = (disk(), two());
    let ann = world.client(a, "phone");
    world.publish(ann, &direct(b), "hello");
    world.settle();
    world.take(ann);
    world.presence(ann, &[b, "stranger"], true);
    let answer = heard(&mut world, ann);
    assert!(answer[0].contains(&format!("-{b}")) && answer[0].contains("-stranger"), "{answer:?}");
    world.client("stranger", "phone");
    assert_eq!(heard(&mut world, ann), [""; 0]);
    let bob = world.client(b, "phone");
    assert_eq!(heard(&mut world, ann), [format!("{b} is here")]);
    // Forgotten but for those who watch him.
    world.limits = Limits::clone(&world.limits).into();
    world.disconnect(bob);
    world.pass(100);
    assert_eq!(heard(&mut world, ann), [format!("{b} is gone")]);
    world.disconnect(ann);
    world.settle();
    world.pass(100);
    world.settle();
    assert!(world.shards.iter().flat_map(|node| node.users.users.iter()).all(|user| user.pending.is_none()));
}

// ---- the start of a session

#[test]
fn a_long_list_is_gone_through_in_slices_and_live_messages_keep_their_order() {
    let mut world = World::with(1, small(), Policies::default());
    let peers: Vec<String> = (0..12).map(|i| format!("peer{i:02}")).collect();
    let clients: Vec<Client> = peers.iter().map(|peer| world.client(peer, "phone")).collect();
    for &client in &clients {
        world.publish(client, "direct:ann", "old");
        world.settle();
    }
    let ann = world.connect("ann", "phone", &[]).unwrap();
    read(&mut world);
    let user = world.shards[0].users.find_user("ann").unwrap();
    assert!(world.shards[0].users.is_starting(user));
    let SessionKey { index, .. } = world.clients[ann].session;
    let catch_ups = world.shards[0].users.sessions[index].more.as_ref().map_or(0, |more| more.catch_ups.len());
    assert_eq!(catch_ups, 3);
    for &client in &clients {
        world.publish(client, "direct:ann", "new");
    }
    let got = heard(&mut world, ann);
    for peer in &peers {
        let of: Vec<&String> = got.iter().filter(|text| text.starts_with(&format!("direct:{peer}"))).collect();
        let expected =
            [format!("direct:{peer} from 1"), format!("direct:{peer} 1 {peer}: old"), format!("direct:{peer} 2 {peer}: new")];
        assert!(of.iter().copied().eq(&expected), "{of:?}");
    }
    assert!(!world.shards[0].users.is_starting(user));
}

#[test]
fn a_message_is_taken_back_by_its_sender_only() {
    let ((mut world, ann, bob, epoch), (a, b)) = (written(), two());
    let others = world.retract(bob, &direct(a), (epoch, 2));
    world.settle();
    assert_eq!(code(&mut world, bob, others), Some(ErrorCode::not_permitted));
    world.retract(ann, &direct(b), (epoch, 2));
    world.settle();
    let got = world.shorts(ann);
    assert!(got[0].ends_with("/4"), "{got:?}");
    assert_eq!(heard(&mut world, bob), [format!("direct:{a} 4 {a} retracted -")]);
}

/// A page is read while the record that takes one of its messages back is on its way to the disk, and comes when everybody knows of that record.
#[test]
fn a_page_that_was_read_before_a_message_was_taken_back_does_not_show_it_after() {
    let ((mut world, ann, bob, epoch), (a, b)) = (written(), two());
    world.retract(ann, &direct(b), (epoch, 2));
    talk(&mut world);
    read(&mut world);
    world.sync(bob, &direct(a), None, 2, Direction::forward);
    talk(&mut world);
    for part in 0..world.store.parts.len() {
        (0..2).for_each(|shard| while world.store_step(part, shard, Step::Read) {});
        (0..2).for_each(|shard| while world.store_step(part, shard, Step::Stage) {});
        world.store_step(part, 0, Step::Commit);
        (0..2).for_each(|shard| while world.take_outcome(shard, part, true) {});
    }
    world.settle();
    let got = world.take(bob);
    assert_eq!(got[0].short(), format!("direct:{a} 4 {a} retracted -"));
    let Got::Page { contents, .. } = &got[1] else { panic!("{got:?}") };
    assert_eq!(*contents, [(b"one".to_vec(), false), (Vec::new(), true)]);
}
