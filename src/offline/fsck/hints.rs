//! What one partition says about another: a member of a group, and both users of a direct conversation, must find it in their lists, or
//! they would never hear of it. No login repairs that.

use super::findings::Findings;
use crate::conversation::{Key, Kind};
use crate::slot::{PartitionId, RowId, Slots};
use crate::store::disk::database::View;
use crate::store::engine::ReadRows;
use crate::store::rows::{self, RowKey, UserRow, tag};

/// The rows of all partitions, as far as they are open.
pub struct Elsewhere<'a> {
    /// Where ids have their rows.
    pub slots: &'a Slots,
    /// By partition.
    pub views: &'a [Option<View>],
}

impl Elsewhere<'_> {
    fn view(&self, row: RowId) -> Option<&View> {
        self.views[usize::from(self.slots.partition(row.slot))].as_ref()
    }

    /// Checks that a user's list has a conversation. What cannot be read is found where it stands.
    pub fn expect_hint(&self, partition: PartitionId, key: &Key, user: &str, found: &mut Findings) {
        let row = self.slots.row(user.as_bytes());
        let Some(view) = self.view(row) else { return };
        let entry = rows::entry_key(row, self.slots.fingerprint(key.bytes()));
        if !matches!(view.get(&entry), Ok(None)) {
            return;
        }
        let place = format_args!("{key:?}");
        // An old direct conversation leaves a full list for a new one.
        let may_have_left = key.kind() == Kind::Direct && is_short_of_entries(view, row);
        if may_have_left {
            found.warn(
                partition,
                place,
                format_args!("the list of {user} does not have it; it may have left when the list was full"),
            );
        } else {
            found.damage(partition, place, format_args!("the list of {user} does not have it, so he would not hear of it"));
            found.fix_hint(user, key);
        }
    }

    /// The member of a group who has this row as a user.
    pub fn member_with_row(&self, group: RowId, user: RowId) -> Option<Box<str>> {
        let prefix = rows::prefix(group, tag::MEMBER);
        let mut member = None;
        // What cannot be read is found where it stands.
        let _ = self.view(group)?.scan(&prefix, &rows::end_of(&prefix), false, &mut |key, _| {
            if let Ok(RowKey::Member(_, id)) = rows::parse(key)
                && self.slots.row(id.as_bytes()) == user
            {
                member = Some(id.into());
            }
            member.is_none()
        });
        member
    }
}

/// Whether something has left a user's list.
fn is_short_of_entries(view: &View, user: RowId) -> bool {
    let row = view.get(&rows::user_key(user)).ok().flatten().and_then(|value| UserRow::read(&value).ok());
    row.is_some_and(|row| row.last_number > row.count)
}
