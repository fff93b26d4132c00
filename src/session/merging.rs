//! Delayed merge in a small world without sockets: what waits, what ends the wait, and that nothing is lost, doubled or out of order for it.

use super::tests::{at, small};
use super::world::{Client, World};
use crate::conversation::{Merge, Policies, Policy};

const MERGE: Merge = Merge { ms: 10, messages: 3, bytes: 100 };

/// Topics and groups wait. One user of each shard; both subscribe.
fn world() -> (World, Client, Client) {
    let memory = Policies::in_memory();
    let waiting = |policy| Policy { merge: Some(MERGE), ..policy };
    let mut world = World::with(2, small(), Policies { topic: waiting(memory.topic), group: waiting(memory.group), ..memory });
    let (ann, bob) = (world.client(at(0, 0), "phone"), world.client(at(1, 0), "phone"));
    world.subscribe(bob, "topic:a", None, &[]);
    world.settle();
    world.take(bob);
    world.take(ann);
    (world, ann, bob)
}

/// The texts that came, whoever wrote them.
fn texts(world: &mut World, client: Client) -> Vec<String> {
    let is_message = |text: &String| text.starts_with("topic:a") && !text.contains(" from ");
    let shorts = world.shorts(client).into_iter().filter(is_message);
    shorts.map(|text| text.rsplit(": ").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn an_ack_does_not_wait_and_a_message_waits_for_its_time() {
    let (mut world, ann, bob) = world();
    world.publish(ann, "topic:a", "one");
    world.at_once();
    assert_eq!(world.shorts(ann).len(), 1, "the ack is there");
    assert!(texts(&mut world, bob).is_empty());
    world.pass(9);
    world.at_once();
    assert!(texts(&mut world, bob).is_empty());
    world.pass(1);
    world.at_once();
    assert_eq!(texts(&mut world, bob), ["one"]);
    world.check_at_rest();
}

#[test]
fn so_many_leave_at_once_and_in_order() {
    let (mut world, ann, bob) = world();
    for text in ["one", "two", "three"] {
        assert!(texts(&mut world, bob).is_empty());
        world.publish(ann, "topic:a", text);
        world.at_once();
    }
    assert_eq!(texts(&mut world, bob), ["one", "two", "three"]);
    world.publish(ann, "topic:a", &"x".repeat(100));
    world.at_once();
    assert_eq!(texts(&mut world, bob).len(), 1, "bytes end it as well");
}

#[test]
fn who_leaves_gets_what_waits_and_who_comes_does_not() {
    let (mut world, ann, bob) = world();
    let late = world.client(at(1, 1), "phone");
    world.publish(ann, "topic:a", "one");
    world.at_once();
    world.subscribe(late, "topic:a", None, &[]);
    world.at_once();
    world.unsubscribe(bob, "topic:a");
    world.at_once();
    assert_eq!(texts(&mut world, bob), ["one"]);
    world.publish(ann, "topic:a", "two");
    world.settle();
    assert_eq!(texts(&mut world, late), ["two"], "it subscribed after the first was numbered");
    assert!(texts(&mut world, bob).is_empty());
    world.check_at_rest();
}

#[test]
fn a_change_of_a_group_waits_for_nothing() {
    let (mut world, ann, bob) = world();
    world.create_group(ann, "team", false, false, &[at(1, 0)]);
    world.at_once();
    world.shorts(bob);
    world.publish(ann, "group:team", "one");
    world.at_once();
    assert!(world.shorts(bob).is_empty());
    world.remove(ann, "team", at(1, 0));
    world.at_once();
    let got = world.shorts(bob);
    assert!(got.len() == 2 && got[0].ends_with(": one") && got[1].contains("removed"), "{got:?}");
    world.check_at_rest();
}

#[test]
fn one_that_stops_waits_for_nothing() {
    let (mut world, ann, bob) = world();
    world.publish(ann, "topic:a", "one");
    world.at_once();
    assert!(texts(&mut world, bob).is_empty());
    world.shards.iter_mut().for_each(|node| node.users.stop_publishing());
    world.at_once();
    assert_eq!(texts(&mut world, bob), ["one"]);
}
