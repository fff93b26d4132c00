//! Who is in a group, with which role, and who may change it. Decides on a change; the log makes it true.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::record::{Content, Name, Record};
use crate::mesh::Change;
use crate::wire::schema::{ErrorCode, RecordKind, Role};

/// Longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 256;

/// One member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// What he may do.
    pub role: Role,
    /// Seq of the record that made him one.
    pub joined: u64,
    /// Receipts: delivered to one of his devices, read by him.
    pub delivered: u64,
    /// See `delivered`.
    pub read: u64,
}

/// A group as its log has made it.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// For people.
    pub title: Bytes,
    /// Anyone may join.
    pub open: bool,
    /// A new member reads from the beginning.
    pub whole_history: bool,
    members: BTreeMap<Name, Member>,
    owners: usize,
}

impl Group {
    /// A group that its first record will fill.
    pub fn new(open: bool, whole_history: bool) -> Group {
        Group { open, whole_history, ..Group::default() }
    }

    /// A member, if he is one.
    pub fn member(&self, user: &str) -> Option<&Member> {
        self.members.get(user)
    }

    /// See [`Self::member`].
    pub fn member_mut(&mut self, user: &str) -> Option<&mut Member> {
        self.members.get_mut(user)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members after an id, in the order of ids.
    pub fn after<'a>(&'a self, user: Option<&'a str>) -> impl Iterator<Item = (&'a Name, &'a Member)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.members.range::<str, _>((user.map_or(Unbounded, Excluded), Unbounded))
    }

    /// What record a change writes.
    ///
    /// # Errors
    /// Why the actor may not, or why it makes no sense. To those outside, a group that is not open does not exist.
    pub fn decide(&self, actor: &Name, change: &Change, members_max: usize) -> Result<Content, ErrorCode> {
        match change {
            // Whoever asks learns that the id is taken: that cannot be hidden from him.
            Change::Create { .. } => return Err(ErrorCode::already_exists),
            Change::Join => return self.decide_join(actor, members_max),
            _ => {}
        }
        let role = self.member(actor).ok_or(ErrorCode::unknown_conversation)?.role;
        let record = |kind, subject: &Name, role| Content::change(kind, Some(subject.clone()), role, Bytes::new());
        match change {
            Change::Create { .. } | Change::Join => unreachable!("they were decided above"),
            Change::Title { title } => {
                permit(role >= Role::admin)?;
                Ok(Content::change(RecordKind::title, None, Role::none, title.clone()))
            }
            Change::Add { user, role: new } => {
                permit(role == Role::owner || (role == Role::admin && *new == Role::member))?;
                self.can_enter(user, members_max)?;
                Ok(record(RecordKind::added, user, *new))
            }
            Change::Remove { user } => {
                let target = self.member(user).ok_or(ErrorCode::not_a_member)?.role;
                permit(role == Role::owner || (role == Role::admin && target == Role::member))?;
                self.keeps_an_owner_without(target)?;
                Ok(record(RecordKind::removed, user, Role::none))
            }
            Change::Leave => {
                self.keeps_an_owner_without(role)?;
                Ok(record(RecordKind::left, actor, Role::none))
            }
            Change::SetRole { user, role: new } => {
                permit(role == Role::owner)?;
                let target = self.member(user).ok_or(ErrorCode::not_a_member)?.role;
                if *new != Role::owner {
                    self.keeps_an_owner_without(target)?;
                }
                Ok(record(RecordKind::role, user, *new))
            }
            Change::Disband => {
                permit(role == Role::owner)?;
                Ok(Content::change(RecordKind::disbanded, None, Role::none, Bytes::new()))
            }
        }
    }

    fn decide_join(&self, actor: &Name, members_max: usize) -> Result<Content, ErrorCode> {
        if self.member(actor).is_some() {
            return Err(ErrorCode::already_member);
        }
        if !self.open {
            return Err(ErrorCode::unknown_conversation);
        }
        self.can_enter(actor, members_max)?;
        Ok(Content::change(RecordKind::joined, Some(actor.clone()), Role::member, Bytes::new()))
    }

    fn can_enter(&self, user: &Name, members_max: usize) -> Result<(), ErrorCode> {
        if self.member(user).is_some() {
            Err(ErrorCode::already_member)
        } else if self.members.len() >= members_max {
            Err(ErrorCode::too_many_members)
        } else {
            Ok(())
        }
    }

    fn keeps_an_owner_without(&self, role: Role) -> Result<(), ErrorCode> {
        if role == Role::owner && self.owners == 1 { Err(ErrorCode::last_owner) } else { Ok(()) }
    }

    /// Makes a committed record true.
    pub fn apply(&mut self, record: &Record) {
        let content = &record.content;
        let enter = |role| Some(Member { role, joined: record.seq, ..Member::default() });
        match (content.kind, &content.subject) {
            (RecordKind::created, _) => {
                self.title = content.body.clone();
                self.set(&record.sender, enter(Role::owner));
            }
            (RecordKind::title, _) => self.title = content.body.clone(),
            (RecordKind::added | RecordKind::joined, Some(user)) => self.set(user, enter(content.role)),
            (RecordKind::removed | RecordKind::left, Some(user)) => self.set(user, None),
            (RecordKind::role, Some(user)) => {
                let changed = self.member(user).map(|member| Member { role: content.role, ..*member });
                self.set(user, changed);
            }
            (RecordKind::disbanded, _) => {
                self.members.clear();
                self.owners = 0;
            }
            _ => {}
        }
    }

    /// A member as the disk knows him.
    pub(super) fn restore(&mut self, user: Name, member: Member) {
        self.set(&user, Some(member));
    }

    fn set(&mut self, user: &Name, member: Option<Member>) {
        let is_owner = |m: Option<Member>| usize::from(m.is_some_and(|m| m.role == Role::owner));
        self.owners += is_owner(member);
        let before = match member {
            Some(member) => self.members.insert(user.clone(), member),
            None => self.members.remove(user),
        };
        self.owners -= is_owner(before);
    }
}

fn permit(allowed: bool) -> Result<(), ErrorCode> {
    if allowed { Ok(()) } else { Err(ErrorCode::not_permitted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(open: bool) -> Group {
        let mut group = Group { open, ..Group::default() };
        let mut seq = 0;
        let mut put = |kind, subject: Option<&str>, role| {
            seq += 1;
            let content = Content::change(kind, subject.map(Into::into), role, Bytes::new());
            group.apply(&Record { epoch: 1, seq, time_ms: 1, sender: "owner".into(), content });
        };
        put(RecordKind::created, None, Role::none);
        put(RecordKind::added, Some("admin"), Role::admin);
        put(RecordKind::added, Some("member"), Role::member);
        group
    }

    fn decide(group: &Group, actor: &str, change: Change) -> Result<RecordKind, ErrorCode> {
        group.decide(&actor.into(), &change, 4).map(|content| content.kind)
    }

    fn add(user: &str, role: Role) -> Change {
        Change::Add { user: user.into(), role }
    }

    #[test]
    fn roles_decide_who_may_what() {
        let g = group(false);
        let title = || Change::Title { title: Bytes::new() };
        assert_eq!(decide(&g, "owner", title()), Ok(RecordKind::title));
        assert_eq!(decide(&g, "admin", title()), Ok(RecordKind::title));
        assert_eq!(decide(&g, "member", title()), Err(ErrorCode::not_permitted));
        assert_eq!(decide(&g, "stranger", title()), Err(ErrorCode::unknown_conversation));
        assert_eq!(decide(&g, "admin", add("x", Role::member)), Ok(RecordKind::added));
        assert_eq!(decide(&g, "admin", add("x", Role::admin)), Err(ErrorCode::not_permitted));
        assert_eq!(decide(&g, "owner", add("x", Role::owner)), Ok(RecordKind::added));
        assert_eq!(decide(&g, "owner", add("member", Role::member)), Err(ErrorCode::already_member));
        assert_eq!(decide(&g, "admin", Change::Remove { user: "member".into() }), Ok(RecordKind::removed));
        assert_eq!(decide(&g, "admin", Change::Remove { user: "owner".into() }), Err(ErrorCode::not_permitted));
        assert_eq!(decide(&g, "owner", Change::Remove { user: "nobody".into() }), Err(ErrorCode::not_a_member));
        assert_eq!(
            decide(&g, "admin", Change::SetRole { user: "member".into(), role: Role::admin }),
            Err(ErrorCode::not_permitted)
        );
        assert_eq!(decide(&g, "admin", Change::Disband), Err(ErrorCode::not_permitted));
        assert_eq!(decide(&g, "owner", Change::Disband), Ok(RecordKind::disbanded));
    }

    #[test]
    fn the_last_owner_stays() {
        let mut g = group(false);
        let step_down = || Change::SetRole { user: "owner".into(), role: Role::member };
        assert_eq!(decide(&g, "owner", Change::Leave), Err(ErrorCode::last_owner));
        assert_eq!(decide(&g, "owner", step_down()), Err(ErrorCode::last_owner));
        assert_eq!(decide(&g, "owner", Change::Remove { user: "owner".into() }), Err(ErrorCode::last_owner));
        let content = Content::change(RecordKind::role, Some("admin".into()), Role::owner, Bytes::new());
        g.apply(&Record { epoch: 1, seq: 9, time_ms: 1, sender: "owner".into(), content });
        assert_eq!(decide(&g, "owner", Change::Leave), Ok(RecordKind::left));
        assert_eq!(decide(&g, "owner", step_down()), Ok(RecordKind::role));
    }

    #[test]
    fn a_closed_group_does_not_exist_for_strangers() {
        assert_eq!(decide(&group(false), "stranger", Change::Join), Err(ErrorCode::unknown_conversation));
        assert_eq!(decide(&group(true), "stranger", Change::Join), Ok(RecordKind::joined));
        assert_eq!(decide(&group(true), "member", Change::Join), Err(ErrorCode::already_member));
    }

    #[test]
    fn a_group_has_its_size() {
        let mut g = group(true);
        let content = Content::change(RecordKind::joined, Some("fourth".into()), Role::member, Bytes::new());
        g.apply(&Record { epoch: 1, seq: 9, time_ms: 1, sender: "fourth".into(), content });
        assert_eq!(decide(&g, "fifth", Change::Join), Err(ErrorCode::too_many_members));
        assert_eq!(decide(&g, "owner", add("fifth", Role::member)), Err(ErrorCode::too_many_members));
    }

    #[test]
    fn members_are_listed_in_the_order_of_ids() {
        let g = group(false);
        let names = |after| g.after(after).map(|(name, m)| (name.to_string(), m.joined)).collect::<Vec<_>>();
        assert_eq!(names(None), [("admin".into(), 2), ("member".into(), 3), ("owner".into(), 1)]);
        assert_eq!(names(Some("admin")), [("member".into(), 3), ("owner".into(), 1)]);
    }
}
