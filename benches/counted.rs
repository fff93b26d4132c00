//! The hot paths once more, counted in instructions (callgrind, through gungraun): what a clock on a busy machine cannot tell, this can.
//! `tools/compare/instructions.py` compares two commits with it. The name of each case ends in how many operations it counts: `of_100`.
// The macros make modules.
#![allow(missing_docs)]

mod work;

use std::hint::black_box;

use campanile::conversation::Record;
use campanile::id::Address;
use campanile::net::Dress;
use campanile::wire::Encoder;
use gungraun::prelude::*;
use work::conversation::Home;
use work::fan_out::FanOut;
use work::frames;
use work::json::{Reading, Writing};
use work::mesh::Hop;
use work::outbox::Waiting;
use work::rows::Row;
use work::session::{Direct, Login, Ping, Subscription};
use work::timer::Timers;
use work::ws::{Dressing, Message, Upgrade};

/// As in the server, where messages are made and freed all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BODY: usize = 128;
const MEMBERS: u32 = 1000;

/// A hundred operations; what was worked on comes back, so that its end is not counted. Once before anything is counted, so that every queue and
/// map has the room that it needs, and once that is.
fn repeat<W, R>(mut work: W, mut run: impl FnMut(&mut W) -> R) -> W {
    for _ in 0..100 {
        drop(black_box(run(black_box(&mut work))));
    }
    work
}

fn publish() -> Vec<u8> {
    frames::publish(&mut Encoder::default(), Address::Group("team"), Some("c-0123456789"), &[b'x'; BODY])
}

fn repeated(mut home: Home) -> Home {
    home.repetition();
    home
}

#[library_benchmark]
#[bench::of_100(repeat(publish(), |bytes| frames::read_publish(bytes)))]
fn verify_and_read(work: Vec<u8>) -> Vec<u8> {
    repeat(work, |bytes| frames::read_publish(bytes))
}

#[library_benchmark]
#[bench::of_100(repeat((Encoder::default(), frames::record(BODY)), |(encoder, record)| frames::message(encoder, record).len()))]
fn encode_message(work: (Encoder, Record)) -> (Encoder, Record) {
    repeat(work, |(encoder, record)| frames::message(encoder, record).len())
}

#[library_benchmark]
#[bench::of_100(repeat(Reading::new(BODY), Reading::run))]
fn json_read(work: Reading) -> Reading {
    repeat(work, Reading::run)
}

#[library_benchmark]
#[bench::of_100(repeat(Writing::new(BODY), Writing::run))]
fn json_write(work: Writing) -> Writing {
    repeat(work, Writing::run)
}

#[library_benchmark]
#[bench::binary_of_100(repeat(Message::binary(BODY, 1), Message::run))]
#[bench::fragments_of_100(repeat(Message::binary(BODY, 16), Message::run))]
#[bench::text_of_100(repeat(Message::text(BODY), Message::run))]
#[bench::large_binary_of_100(repeat(Message::binary(16_384, 1), Message::run))]
fn receive(work: Message) -> Message {
    repeat(work, Message::run)
}

#[library_benchmark]
#[bench::binary_of_100(repeat(Dressing::new(Dress::Binary, BODY), Dressing::run))]
#[bench::json_of_100(repeat(Dressing::new(Dress::Json, BODY), Dressing::run))]
fn dress(work: Dressing) -> Dressing {
    repeat(work, Dressing::run)
}

#[library_benchmark]
#[bench::of_100(repeat(Upgrade::new(), |upgrade| upgrade.run()))]
fn upgrade(work: Upgrade) -> Upgrade {
    repeat(work, |upgrade| upgrade.run())
}

#[library_benchmark]
#[bench::of_100(repeat(Login::new(), Login::run))]
fn login_and_leave(work: Login) -> Login {
    repeat(work, Login::run)
}

#[library_benchmark]
#[bench::of_100(repeat(Ping::new(), Ping::run))]
fn ping(work: Ping) -> Ping {
    repeat(work, Ping::run)
}

#[library_benchmark]
#[bench::of_100(repeat(Subscription::new(), Subscription::run))]
fn subscription(work: Subscription) -> Subscription {
    repeat(work, Subscription::run)
}

#[library_benchmark]
#[bench::one_shard_of_100(repeat(Direct::new(1, BODY), Direct::run))]
#[bench::two_shards_of_100(repeat(Direct::new(2, BODY), Direct::run))]
fn direct_message(work: Direct) -> Direct {
    repeat(work, Direct::run)
}

#[library_benchmark]
#[bench::of_100(repeat(FanOut::new(MEMBERS), |group| group.run(1)))]
fn fan_out_to_1000(work: FanOut) -> FanOut {
    repeat(work, |group| group.run(1))
}

#[library_benchmark]
#[bench::of_100(repeat(FanOut::new(MEMBERS), |group| group.run(16)))]
fn fan_out_16_to_1000(work: FanOut) -> FanOut {
    repeat(work, |group| group.run(16))
}

#[library_benchmark]
#[bench::direct_of_100(repeat(Home::direct(1000), Home::next))]
#[bench::group_on_1_shard_of_100(repeat(Home::group(1), Home::next))]
#[bench::group_on_64_shards_of_100(repeat(Home::group(64), Home::next))]
fn publish(work: Home) -> Home {
    repeat(work, Home::next)
}

#[library_benchmark]
#[bench::of_100(repeat(Home::direct(1000), Home::next_with_id))]
fn publish_with_id(work: Home) -> Home {
    repeat(work, Home::next_with_id)
}

#[library_benchmark]
#[bench::of_100(repeat(repeated(Home::direct(1000)), Home::repetition))]
fn repetition(work: Home) -> Home {
    repeat(work, Home::repetition)
}

#[library_benchmark]
#[bench::of_100(repeat(Hop::new(), |hop| hop.run(1)))]
fn hop(work: Hop) -> Hop {
    repeat(work, |hop| hop.run(1))
}

#[library_benchmark]
#[bench::of_100(repeat(Hop::new(), |hop| hop.run(16)))]
fn hop_of_16(work: Hop) -> Hop {
    repeat(work, |hop| hop.run(16))
}

#[library_benchmark]
#[bench::of_100(repeat(Waiting::new(1), Waiting::run))]
fn outbox(work: Waiting) -> Waiting {
    repeat(work, Waiting::run)
}

#[library_benchmark]
#[bench::of_100(repeat(Waiting::new(16), Waiting::run_behind))]
fn outbox_behind_16(work: Waiting) -> Waiting {
    repeat(work, Waiting::run_behind)
}

#[library_benchmark]
#[bench::of_100(repeat(Timers::new(3000), Timers::run))]
fn timers_10_due(work: Timers) -> Timers {
    repeat(work, Timers::run)
}

#[library_benchmark]
#[bench::of_100(repeat(Row::new(BODY), |row| row.encode()))]
fn encode_row(work: Row) -> Row {
    repeat(work, |row| row.encode())
}

#[library_benchmark]
#[bench::of_100(repeat(Row::new(BODY), |row| row.decode()))]
fn decode_row(work: Row) -> Row {
    repeat(work, |row| row.decode())
}

library_benchmark_group!(name = wire, benchmarks = [verify_and_read, encode_message, json_read, json_write]);
library_benchmark_group!(name = ws, benchmarks = [receive, dress, upgrade]);
library_benchmark_group!(
    name = session,
    benchmarks = [login_and_leave, ping, subscription, direct_message, fan_out_to_1000, fan_out_16_to_1000]
);
library_benchmark_group!(name = conversation, benchmarks = [publish, publish_with_id, repetition]);
library_benchmark_group!(name = shard, benchmarks = [hop, hop_of_16, outbox, outbox_behind_16, timers_10_due]);
library_benchmark_group!(name = rows, benchmarks = [encode_row, decode_row]);

main!(library_benchmark_groups = [wire, ws, session, conversation, shard, rows]);
