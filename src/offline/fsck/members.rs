//! The members of a group, against the records about them that are still there.

use super::log::Log;
use crate::conversation::Name;
use crate::store::rows::MemberRow;

/// What is wrong with a member's row, and what it should be.
#[derive(Debug)]
pub struct Wrong {
    /// In words.
    pub what: String,
    /// `None`: it should not be there.
    pub right: Option<MemberRow>,
}

/// Compares a member with what the log, whose last seq is `committed`, says of him. Where records are missing, anything may have been in them.
pub fn wrong(log: &Log, committed: u64, user: &Name, member: MemberRow) -> Option<Wrong> {
    let Some(standing) = log.standings.get(user) else {
        let has_no_reason = log.has(member.joined) || member.joined > committed;
        let what = || format!("record {} should have made him a member, but does not", member.joined);
        return has_no_reason.then(|| Wrong { what: what(), right: None });
    };
    if !log.is_whole_after(standing.seq) {
        return None;
    }
    if !standing.is_member {
        return Some(Wrong { what: format!("record {} has ended his membership", standing.seq), right: None });
    }
    let right = MemberRow { joined: standing.joined.unwrap_or(member.joined), role: standing.role, ..member };
    let what = || format!("record {} says otherwise of when he joined, or of his role", standing.seq);
    (right != member).then(|| Wrong { what: what(), right: Some(right) })
}

/// Those whom the log has made members, and who are not among them.
pub fn missing(log: &Log, is_member: impl Fn(&Name) -> bool) -> Vec<(Name, Wrong)> {
    let standings = log.standings.iter().filter(|(user, s)| s.is_member && log.is_whole_after(s.seq) && !is_member(user));
    let wrong = |(user, standing): (&Name, &super::log::Standing)| {
        let joined = standing.joined.unwrap_or(standing.seq);
        let right = MemberRow { incarnation: log.place.incarnation, role: standing.role, joined };
        (user.clone(), Wrong { what: format!("record {joined} has made him one, but he has no row"), right: Some(right) })
    };
    standings.map(wrong).collect()
}
