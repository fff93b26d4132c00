//! The sweeper: removes the rows of what expired, a grace period later, and only while the wall clock can be trusted.
//!
//! What expired is hidden at once, by its home; here it goes for good. So nothing is removed for a grace period after the start and after each jump of the
//! wall clock, forward or backward: whoever sees the wrong time has that long to correct it.
//!
//! Removing changes neither where a log begins nor where it ends. The last row of a log that is still in use is not removed but emptied: it says
//! which seq comes next, and which time the next record may not precede.

#[cfg(test)]
mod tests;

use super::LogPlace;
use super::engine::{Change, ReadRows};
use super::lookup::{self, Unreadable};
use super::rows::{self, Damaged, Doomed, Expiry, LogValue, MemberRow, ReceiptRow, RowKey, tag};
use crate::clock::Now;

/// A wall clock that goes wrong by more than this against the monotonic one has jumped. In ms.
const JUMP_MS: u64 = 60_000;
/// Clocks that drift apart slowly are compared anew this often. In ms.
const ANCHOR_MS: u64 = 3_600_000;
/// How long an emptied row at the end of a log stays before it is looked whether it is the end still. In ms.
const END_AGAIN_MS: u64 = 7 * 86_400_000;

/// What is to be removed next, and whether anything may be.
#[derive(Debug)]
pub struct Removal {
    grace_ms: u64,
    /// Wall and monotonic clock are compared with this moment.
    anchor: Option<Now>,
    /// In monotonic time.
    trusted_from_ms: u64,
    /// No expiry row is due before this. The place where many were removed lately is slow to scan in a log-structured database.
    none_before_ms: u64,
    pass: Option<Pass>,
}

/// One way through the rows of a range or a whole log, in slices.
#[derive(Clone, Debug)]
struct Pass {
    expiry: Expiry,
    /// The next key to look at.
    from: Vec<u8>,
    /// It has found something to remove. Only a pass that finds nothing ends the expiry row, so it does not matter whether a slice was really written.
    has_found: bool,
}

/// A part of what is to be removed.
#[derive(Debug, Default)]
pub struct Slice {
    /// To be written as one, before anything else is staged. It need not be synced.
    pub changes: Vec<Change>,
    /// Whether there is more to do at once, when this is written.
    pub has_more: bool,
    /// The first row that could not be read, if any: what depends on it stays, the rest is removed.
    pub unreadable: Option<Unreadable>,
}

/// What becomes of a row.
enum Verdict {
    Keep,
    Remove,
    Replace(Vec<u8>),
}

impl Removal {
    /// Nothing is trusted yet.
    pub fn new(grace_ms: u64) -> Removal {
        Removal { grace_ms, anchor: None, trusted_from_ms: 0, none_before_ms: 0, pass: None }
    }

    /// What was due at this wall-clock time, in ms since 1970, may be removed now. To be asked every few seconds, whether it is used or not: it watches the clock.
    pub fn due(&mut self, now: Now) -> Option<u64> {
        let as_expected = self.anchor.is_some_and(|anchor| {
            let expected = anchor.wall_ms.saturating_add(now.mono_ms.saturating_sub(anchor.mono_ms));
            now.wall_ms.abs_diff(expected) <= JUMP_MS
        });
        if !as_expected {
            self.trusted_from_ms = now.mono_ms.saturating_add(self.grace_ms);
        }
        if !as_expected || self.anchor.is_none_or(|anchor| now.mono_ms - anchor.mono_ms >= ANCHOR_MS) {
            self.anchor = Some(now);
            self.none_before_ms = 0;
        }
        (now.mono_ms >= self.trusted_from_ms).then(|| now.wall_ms.saturating_sub(self.grace_ms))
    }

    /// The next part of what was due at `cutoff_ms`: looks at about `rows_max` rows (at least 1), and changes at most three times as many.
    ///
    /// Only while the partition has nothing staged: it judges by what is written. If the slice cannot be written, nothing needs to be told: what it
    /// was to remove is found again.
    pub fn stage(&mut self, rows: &dyn ReadRows, cutoff_ms: u64, rows_max: usize) -> Slice {
        assert!(rows_max > 0, "a slice looks at something");
        let mut slice = Slice::default();
        let found = match find_due(rows, (self.none_before_ms, cutoff_ms), rows_max, &mut slice) {
            Ok(found) => found,
            Err(unreadable) => return Slice { unreadable: Some(unreadable), ..slice },
        };
        if found.is_empty() {
            self.none_before_ms = cutoff_ms;
            return slice;
        }
        slice.has_more = found.len() >= rows_max;
        let mut left = rows_max;
        for expiry in found {
            if left == 0 {
                slice.has_more = true;
                break;
            }
            let result = match expiry.doomed {
                Doomed::Record(seq) => {
                    left -= 1;
                    remove_record(rows, expiry, seq, cutoff_ms, &mut slice.changes)
                }
                _ => self.remove_range(rows, expiry, cutoff_ms, &mut left, &mut slice),
            };
            if let Err(unreadable) = result {
                slice.unreadable.get_or_insert(unreadable);
            }
        }
        // What cannot be read now cannot be read at once again.
        slice.has_more &= slice.unreadable.is_none() || !slice.changes.is_empty();
        slice
    }

    /// One slice of a range or a whole log.
    fn remove_range(
        &mut self,
        rows: &dyn ReadRows,
        expiry: Expiry,
        cutoff_ms: u64,
        left: &mut usize,
        slice: &mut Slice,
    ) -> Result<(), Unreadable> {
        let fresh = Pass { expiry, from: Vec::new(), has_found: false };
        let mut pass = self.pass.take().filter(|pass| pass.expiry == expiry).unwrap_or(fresh);
        let found_before = slice.changes.len();
        let is_through = match expiry.doomed {
            Doomed::Whole => remove_whole(rows, &mut pass, left, slice)?,
            Doomed::Below(seq) => remove_below(rows, &mut pass, seq, cutoff_ms, left, slice)?,
            Doomed::Record(_) => unreachable!("a record is no range"),
        };
        pass.has_found |= slice.changes.len() > found_before;
        if !is_through || pass.has_found {
            // Once more from the beginning, when it is through.
            self.pass = (!is_through).then_some(pass);
            slice.has_more = true;
            return Ok(());
        }
        slice.changes.push(Change { key: rows::expiry_key(&expiry), value: None });
        Ok(())
    }
}

/// The expiry rows that are due, the oldest first, at most `max`.
fn find_due(
    rows: &dyn ReadRows,
    (from_ms, cutoff_ms): (u64, u64),
    max: usize,
    slice: &mut Slice,
) -> Result<Vec<Expiry>, Unreadable> {
    let (from, to) = (rows::expiry_prefix(from_ms), rows::end_of(&rows::expiry_prefix(cutoff_ms)));
    let mut found = Vec::new();
    lookup::scan(rows, &from, &to, false, |key, _| {
        match rows::parse(key) {
            Ok(RowKey::Expiry(expiry)) => found.push(expiry),
            Ok(_) => unreachable!("only keys of expiry rows lie between two of them"),
            // What a later version may have written stays.
            Err(damage) => {
                slice.unreadable.get_or_insert_with(|| Unreadable::damaged(key, damage));
            }
        }
        Ok(found.len() < max)
    })?;
    Ok(found)
}

/// Whether this log is that of its conversation: it is not, if the group was disbanded.
fn is_in_use(rows: &dyn ReadRows, place: LogPlace) -> Result<bool, Unreadable> {
    Ok(lookup::head(rows, place.row)?.is_some_and(|head| head.incarnation == place.incarnation))
}

fn remove_record(
    rows: &dyn ReadRows,
    expiry: Expiry,
    seq: u64,
    cutoff_ms: u64,
    changes: &mut Vec<Change>,
) -> Result<(), Unreadable> {
    let place = expiry.place();
    let key = rows::log_key(place, seq);
    if let Some(value) = lookup::get(rows, &key)? {
        let mut is_last = true;
        lookup::scan_log(rows, place, (seq.saturating_add(1), u64::MAX), false, |_, _| {
            is_last = false;
            Ok(false)
        })?;
        if is_last && is_in_use(rows, place)? {
            let emptied = emptied(&value).map_err(|damage| Unreadable::damaged(&key, damage))?;
            changes.extend(emptied.map(|value| Change { key: key.to_vec(), value: Some(value) }));
            changes.push(look_again(place, seq, cutoff_ms));
        } else {
            changes.push(Change { key: key.to_vec(), value: None });
        }
    }
    changes.push(Change { key: rows::expiry_key(&expiry), value: None });
    Ok(())
}

/// What stays of the last record of a log. `None`: nothing else stands there already.
fn emptied(value: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
    Ok(match rows::log_value(value)? {
        LogValue::Record(record) => Some(rows::removed_value(record.time_ms)),
        LogValue::Removed { .. } => None,
    })
}

fn look_again(place: LogPlace, seq: u64, cutoff_ms: u64) -> Change {
    let expiry = Expiry::of(cutoff_ms.saturating_add(END_AGAIN_MS), place, Doomed::Record(seq));
    Change { key: rows::expiry_key(&expiry), value: Some(rows::expiry_value()) }
}

/// The records below a seq, but none that is still shown. Says whether the pass is through.
fn remove_below(
    rows: &dyn ReadRows,
    pass: &mut Pass,
    seq: u64,
    cutoff_ms: u64,
    left: &mut usize,
    slice: &mut Slice,
) -> Result<bool, Unreadable> {
    let place = pass.expiry.place();
    let head = lookup::head(rows, place.row)?.filter(|head| head.incarnation == place.incarnation);
    let below = head.as_ref().map_or(seq, |head| seq.min(head.first));
    let last = if head.is_some() { lookup::last_row(rows, place)?.map(|(seq, _)| seq) } else { None };
    let last_key = last.map(|seq| rows::log_key(place, seq));
    let range = (rows::log_key(place, 0), rows::log_key(place, below));
    let mut is_emptied = false;
    let is_through = pass.sweep(rows, (&range.0, &range.1), left, slice, |key, value| {
        if last_key.is_none_or(|last| last != *key) {
            return Ok(Verdict::Remove);
        }
        let emptied = emptied(value)?;
        is_emptied = emptied.is_some();
        Ok(emptied.map_or(Verdict::Keep, Verdict::Replace))
    })?;
    if let Some(last) = last.filter(|_| is_emptied) {
        slice.changes.push(look_again(place, last, cutoff_ms));
    }
    Ok(is_through)
}

/// All records of a log that is not in use any more, and the members and receipts of its incarnation. Says whether the pass is through.
fn remove_whole(rows: &dyn ReadRows, pass: &mut Pass, left: &mut usize, slice: &mut Slice) -> Result<bool, Unreadable> {
    let place = pass.expiry.place();
    if is_in_use(rows, place)? {
        return Ok(true);
    }
    let log = (rows::log_key(place, 0), rows::log_key(place, u64::MAX));
    let (members, receipts) = (rows::prefix(place.row, tag::MEMBER), rows::prefix(place.row, tag::RECEIPT));
    let is_of_it = |incarnation| if incarnation == place.incarnation { Verdict::Remove } else { Verdict::Keep };
    let is_through = pass.sweep(rows, (&log.0, &log.1), left, slice, |_, _| Ok(Verdict::Remove))?
        && pass.sweep(rows, (&members, &rows::end_of(&members)), left, slice, |_, value| {
            Ok(is_of_it(MemberRow::read(value)?.incarnation))
        })?
        && pass.sweep(rows, (&receipts, &rows::end_of(&receipts)), left, slice, |_, value| {
            Ok(is_of_it(ReceiptRow::read(value)?.incarnation))
        })?;
    Ok(is_through)
}

impl Pass {
    /// Goes on through a range of keys. Says whether it came to its end. A row that makes no sense stays.
    fn sweep(
        &mut self,
        rows: &dyn ReadRows,
        (from, to): (&[u8], &[u8]),
        left: &mut usize,
        slice: &mut Slice,
        mut judge: impl FnMut(&[u8], &[u8]) -> Result<Verdict, Damaged>,
    ) -> Result<bool, Unreadable> {
        let from = from.max(&self.from).to_vec();
        let mut is_through = true;
        lookup::scan(rows, &from, to, false, |key, value| {
            if *left == 0 {
                self.from = key.to_vec();
                is_through = false;
                return Ok(false);
            }
            *left -= 1;
            match judge(key, value) {
                Ok(Verdict::Keep) => {}
                Ok(Verdict::Remove) => slice.changes.push(Change { key: key.to_vec(), value: None }),
                Ok(Verdict::Replace(value)) => slice.changes.push(Change { key: key.to_vec(), value: Some(value) }),
                Err(damage) => {
                    slice.unreadable.get_or_insert_with(|| Unreadable::damaged(key, damage));
                }
            }
            Ok(true)
        })?;
        Ok(is_through)
    }
}
