//! The log of a room: nothing lost, nothing added, nothing twice, nothing out of place.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::history::{Asked, Fate, Room, Shape, records_of};
use super::{Found, Rule, View, described};
use crate::entry::Record;

/// The room does not exist: then nothing was acknowledged in it.
pub fn nothing_is_there(room: &Room, found: &mut Found<'_>) {
    if room.acked > 0 {
        let expected = format!("a log with what was acknowledged up to seq {}", room.acked);
        found.add(Rule::Lost, room.acked, expected, "no such conversation, or not a member");
    }
    for (session, record) in &room.live {
        found.add(Rule::Live, record.seq, format!("what {session} got: {}", described(record)), "no such conversation");
    }
}

/// What somebody reads who sees everything.
pub fn whole(room: &Room, view: &View, found: &mut Found<'_>) {
    if let Some((epoch, first, committed)) = view.gap {
        let seen = format!("a gap: epoch {epoch}, first {first}, committed {committed}");
        found.add(Rule::Gap, first, "none for a reader from the beginning", seen);
    }
    if let Some(epoch) = room.epoch.filter(|&epoch| epoch != view.epoch) {
        found.add(Rule::Epoch, None, format!("epoch {epoch}"), format!("epoch {}", view.epoch));
    }
    for record in view.records.iter().filter(|record| record.epoch != view.epoch) {
        found.add(Rule::Epoch, record.seq, format!("epoch {}", view.epoch), described(record));
    }
    for &(from, to, why) in &view.skips {
        found.add(Rule::Skip, from, "all of it", format!("{from} - {to} do not come (reason {why})"));
    }
    // On disk everything is kept unless a server is told otherwise, which this tool does not do.
    if view.first > 1 {
        found.add(Rule::Lost, view.first, "the log from its beginning", format!("it begins at {}", view.first));
    }
    numbers(view.first, view.committed, view, found);
    let by_seq: HashMap<u64, &Record> = view.records.iter().map(|record| (record.seq, record)).collect();
    messages(room, view, &by_seq, found);
    changes(room, view, &by_seq, found);
}

/// Every number from `first` to `last` is there once, in order, or skipped.
pub fn numbers(first: u64, last: u64, view: &View, found: &mut Found<'_>) {
    let mut expected = first;
    let skipped: BTreeMap<u64, u64> = view.skips.iter().map(|&(from, to, _)| (from, to)).collect();
    let pass = |expected: &mut u64| {
        while let Some((_, &to)) = skipped.range(..=*expected).next_back().filter(|&(_, &to)| to >= *expected) {
            *expected = to + 1;
        }
    };
    for record in &view.records {
        pass(&mut expected);
        match record.seq.cmp(&expected) {
            std::cmp::Ordering::Equal => expected += 1,
            std::cmp::Ordering::Greater => {
                found.add(Rule::Hole, expected, format!("seq {expected}"), described(record));
                expected = record.seq + 1;
            }
            std::cmp::Ordering::Less => found.add(Rule::Twice, record.seq, format!("seq {expected}"), described(record)),
        }
    }
    pass(&mut expected);
    if expected <= last {
        let seen = format!("the end of the log, though {last} is committed");
        found.add(Rule::Hole, expected, format!("seq {expected}"), seen);
    }
}

fn messages(room: &Room, view: &View, by_seq: &HashMap<u64, &Record>, found: &mut Found<'_>) {
    for ((sender, client_id), sent) in &room.sent {
        let Fate::Acked(seq) = sent.fate else { continue };
        if seq < view.first {
            continue;
        }
        let is_it = |record: &&&Record| record.sender == *sender && record.client_id.as_ref() == Some(client_id);
        let expected = || format!("{client_id} of {sender}, which was acknowledged there (body {:016x})", sent.body);
        match by_seq.get(&seq) {
            Some(record) if is_it(&record) => {}
            Some(record) => found.add(Rule::Lost, seq, expected(), described(record)),
            None => found.add(Rule::Lost, seq, expected(), format!("nothing; committed is {}", view.committed)),
        }
    }
    let mut places: HashMap<(&str, &str), u64> = HashMap::new();
    for record in view.records.iter().filter(|record| record.kind == "message") {
        let client_id = record.client_id.as_deref().unwrap_or_default();
        if let Some(first) = places.insert((&record.sender, client_id), record.seq) {
            found.add(
                Rule::Twice,
                record.seq,
                format!("{client_id} of {} once, at seq {first}", record.sender),
                described(record),
            );
        }
        match room.sent.get(&(record.sender.clone(), client_id.to_owned())) {
            None => found.add(Rule::NeverSent, record.seq, "only what was sent", described(record)),
            Some(sent) if sent.body != record.body => {
                found.add(Rule::Altered, record.seq, format!("body {:016x}", sent.body), described(record));
            }
            Some(sent) => {
                if let Fate::Refused(code) = sent.fate {
                    found.add(Rule::NeverSent, record.seq, format!("nothing that was refused (code {code})"), described(record));
                }
            }
        }
    }
}

/// Each record of a change belongs to one change that was asked for.
fn changes(room: &Room, view: &View, by_seq: &HashMap<u64, &Record>, found: &mut Found<'_>) {
    let mut explained: HashSet<u64> = HashSet::new();
    for asked in &room.asked {
        let Fate::Acked(seq) = asked.fate else { continue };
        if seq >= view.first {
            acked_change(asked, seq, view, by_seq, &mut explained, found);
        }
    }
    // What is left over may be of a request without an answer, each once.
    let unknown = room.asked.iter().filter(|asked| asked.fate == Fate::Unknown);
    let mut open: Vec<(&str, Shape)> =
        unknown.flat_map(|asked| records_of(asked).into_iter().map(|shape| (asked.actor.as_str(), shape))).collect();
    for record in view.records.iter().filter(|record| record.kind != "message" && !explained.contains(&record.seq)) {
        match open.iter().position(|(actor, shape)| *actor == record.sender && is_of(shape, record)) {
            Some(place) => {
                open.swap_remove(place);
            }
            None => found.add(Rule::NeverSent, record.seq, "only changes that were asked for", described(record)),
        }
    }
}

fn acked_change(
    asked: &Asked,
    seq: u64,
    view: &View,
    by_seq: &HashMap<u64, &Record>,
    explained: &mut HashSet<u64>,
    found: &mut Found<'_>,
) {
    // The members of a new group follow its first record without anything between.
    for (place, shape) in (seq..).zip(records_of(asked)) {
        let expected = || format!("{} of {:?} by {}, which was acknowledged", shape.0, shape.1, asked.actor);
        match by_seq.get(&place) {
            Some(record) if record.sender == asked.actor && is_of(&shape, record) => {
                if !explained.insert(place) {
                    found.add(Rule::Twice, place, "one change for each record", expected());
                }
            }
            Some(record) => found.add(Rule::Lost, place, expected(), described(record)),
            None => found.add(Rule::Lost, place, expected(), format!("nothing; committed is {}", view.committed)),
        }
    }
}

fn is_of((kind, subject, role, body): &Shape, record: &Record) -> bool {
    record.kind == *kind
        && record.subject == *subject
        && role.is_none_or(|role| record.role == role)
        && body.is_none_or(|body| record.body == body)
}

/// The same records from the other end.
pub fn backward(forward: &View, backward: &View, found: &mut Found<'_>) {
    if forward.records == backward.records && forward.epoch == backward.epoch {
        return;
    }
    let differs = forward.records.iter().zip(&backward.records).find(|(a, b)| a != b);
    let (seq, expected, seen) = match differs {
        Some((a, b)) => (Some(a.seq), described(a), described(b)),
        None => (
            None,
            format!("{} records", forward.records.len()),
            format!("{} records (epoch {})", backward.records.len(), backward.epoch),
        ),
    };
    found.add(Rule::Backward, seq, expected, seen);
}

/// What sessions got live stands in the log; no session got a number twice.
pub fn live(room: &Room, view: &View, found: &mut Found<'_>) {
    let by_seq: HashMap<u64, &Record> = view.records.iter().map(|record| (record.seq, record)).collect();
    // Who comes again into a group with the whole history gets it once more.
    let may_repeat = room.has_whole_history();
    let mut seen = HashSet::new();
    for (session, record) in &room.live {
        if record.seq < view.first {
            continue;
        }
        if !seen.insert((session, record.seq)) && !may_repeat {
            found.add(Rule::Live, record.seq, format!("each number once for {session}"), described(record));
        }
        match by_seq.get(&record.seq) {
            Some(there) if *there == record => {}
            Some(there) => {
                found.add(Rule::Live, record.seq, format!("what {session} got: {}", described(record)), described(there))
            }
            None => {
                let seen = format!("nothing; committed is {}", view.committed);
                found.add(Rule::Live, record.seq, format!("what {session} got: {}", described(record)), seen);
            }
        }
    }
}

/// No session missed a number. Its own messages are told by their acks: a member who came again may get the ack of one before he is
/// told where the conversation goes on for him, and then the client library counts that number as missing.
pub fn holes(room: &Room, view: &View, found: &mut Found<'_>) {
    let by_seq: HashMap<u64, &Record> = view.records.iter().map(|record| (record.seq, record)).collect();
    for (session, expected, got) in &room.holes {
        let user = session.split('/').next().unwrap_or_default();
        let is_own = |seq| by_seq.get(&seq).is_some_and(|record| record.sender == user);
        if let Some(missing) = (*expected..*got).find(|&seq| !is_own(seq)) {
            found.add(
                Rule::Hole,
                missing,
                format!("seq {missing} for {session}"),
                format!("{got} after {}", expected.saturating_sub(1)),
            );
        }
    }
}
