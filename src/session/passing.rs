//! Large groups in a small world without sockets: who comes and leaves is told to whom it concerns, and to the others a number passes by.

use super::tests::{settled, small};
use super::world::{Client, World};
use crate::limits::Limits;
use crate::wire::schema::{Direction, Role};

/// A group of ann and bob, in which nobody else is told who comes. Two shards.
fn world() -> (World, Client, Client) {
    let limits = Limits { member_changes_told_max: 1, fan_out_slice: 1, fan_out_whole: 0, ..small() };
    let mut world = World::new(2, limits);
    let (ann, bob) = (world.client("ann", "phone"), world.client("bob", "phone"));
    world.create_group(ann, "team", true, false, &["bob"]);
    world.settle();
    world.take(ann);
    world.take(bob);
    (world, ann, bob)
}

/// What came of the group.
fn of_group(world: &mut World, client: Client) -> Vec<String> {
    settled(world, client).into_iter().filter(|text| text.starts_with("group:")).collect()
}

#[test]
fn who_comes_is_told_and_for_the_others_numbers_pass_with_the_next_message() {
    let (mut world, ann, bob) = world();
    let others: Vec<Client> = ["cat", "dan", "eve"].map(|name| world.client(name, "phone")).into();
    for &client in &others {
        world.join(client, "team");
        world.at_once();
    }
    assert!(world.shorts(bob).is_empty(), "nobody waits for a number");
    world.publish(ann, "group:team", "hello");
    world.at_once();
    assert_eq!(world.shorts(bob), ["group:team skip 3..5 members_changed", "group:team 6 ann: hello"]);
    let eve = of_group(&mut world, others[2]);
    assert_eq!(eve, ["group:team from 6", "group:team 6 ann: hello"]);
    world.check_at_rest();
}

#[test]
fn numbers_that_nothing_follows_pass_within_seconds() {
    let (mut world, _, bob) = world();
    let cat = world.client("cat", "phone");
    world.join(cat, "team");
    world.at_once();
    world.pass(9_999);
    world.at_once();
    assert!(world.shorts(bob).is_empty());
    world.pass(1);
    world.at_once();
    assert_eq!(world.shorts(bob), ["group:team skip 3..3 members_changed"]);
}

#[test]
fn who_is_removed_is_told_after_all_that_came_before_and_gets_nothing_more() {
    let (mut world, ann, bob) = world();
    let cat = world.client("cat", "phone");
    world.join(cat, "team");
    world.settle();
    world.take(bob);
    world.take(cat);
    world.publish(ann, "group:team", "before");
    world.remove(ann, "team", "cat");
    world.publish(ann, "group:team", "after");
    assert_eq!(of_group(&mut world, cat), ["group:team 4 ann: before", "group:team 5 ann removed cat"]);
    let bobs = of_group(&mut world, bob);
    assert_eq!(bobs, ["group:team 4 ann: before", "group:team skip 5..5 members_changed", "group:team 6 ann: after"]);
    world.list(cat);
    assert_eq!(settled(&mut world, cat), ["list "], "it is not in his list any more");
}

#[test]
fn who_leaves_has_an_ack_and_his_other_device_is_told() {
    let (mut world, ann, bob) = world();
    let desk = world.connect("bob", "desk", &[]).unwrap();
    world.settle();
    world.take(desk);
    world.leave(bob, "team");
    world.publish(ann, "group:team", "after");
    assert_eq!(of_group(&mut world, desk), ["group:team 3 bob left bob"]);
    assert!(of_group(&mut world, bob).is_empty());
}

#[test]
fn who_comes_back_at_once_begins_anew() {
    let (mut world, ann, bob) = world();
    world.publish(ann, "group:team", "one");
    world.remove(ann, "team", "bob");
    world.publish(ann, "group:team", "not for bob");
    world.add(ann, "team", "bob", Role::member);
    world.at_once();
    world.publish(ann, "group:team", "welcome back");
    let of_bob: Vec<String> = of_group(&mut world, bob);
    let expected = [
        "group:team 3 ann: one",
        "group:team 4 ann removed bob",
        "group:team from 6",
        "group:team 6 ann added bob",
        "group:team 7 ann: welcome back",
    ];
    assert_eq!(of_bob, expected);
}

#[test]
fn pages_have_what_passed_by() {
    let (mut world, _, bob) = world();
    let cat = world.client("cat", "phone");
    world.join(cat, "team");
    world.settle();
    world.take(bob);
    world.sync(bob, "group:team", Some((0, 0)), 0, Direction::forward);
    assert_eq!(settled(&mut world, bob), ["page [2, 3] next 3"]);
}
