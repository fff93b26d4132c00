//! The verbs of groups: checked here, decided at the group's home.

use bytes::Bytes;

use super::{Failure, Outcome, Users, bad_request, check_id, frames, invalid_id};
use crate::conversation::{Key, Kind, Name, TITLE_BYTES_MAX};
use crate::effects::Effects;
use crate::id::Address;
use crate::mesh::{Change, GroupChange, Placed, Refusal, Reply};
use crate::wire::schema::{self as s, ErrorCode, Role};

impl Users {
    pub(super) fn group_create(&mut self, reply: Reply, body: s::GroupCreate<'_>, fx: &mut Effects) -> Outcome {
        let made_up;
        let id = match body.id() {
            Some(id) => check_id("id", Some(id))?,
            None => {
                made_up = self.make_up_group_id(reply);
                &made_up
            }
        };
        let members = self.new_members(reply, body.members())?;
        let title = title(body.title())?;
        let hints = members.clone();
        let change = Change::Create { title, open: body.open(), whole_history: body.whole_history(), members };
        self.enter_group(reply, id, change, hints, fx)
    }

    /// Unique: it says which session of which run asked, and with which request.
    fn make_up_group_id(&self, reply: Reply) -> String {
        let session = u64::from(reply.session.generation) << 32 | u64::from(reply.session.index);
        let parts = [self.first_session_id, u64::from(self.me), session, reply.reference].map(u64::to_le_bytes);
        format!("g{:032x}", self.slots.fingerprint(parts.as_flattened()))
    }

    fn new_members(
        &self,
        reply: Reply,
        list: Option<flatbuffers::Vector<'_, flatbuffers::ForwardsUOffset<&str>>>,
    ) -> Result<Vec<Name>, Failure> {
        let list = list.unwrap_or_default();
        if list.len() > self.limits.group_add_max as usize {
            return Err(ErrorCode::too_many_items.into());
        }
        let creator = &self.user_of(reply.session).name;
        let mut members: Vec<Name> = Vec::with_capacity(list.len());
        for name in list.iter().filter(|name| **name != **creator) {
            crate::id::check_id(name).map_err(|e| invalid_id("members", e))?;
            if !members.iter().any(|m| **m == *name) {
                members.push(name.into());
            }
        }
        Ok(members)
    }

    pub(super) fn group_join(&mut self, reply: Reply, body: s::GroupJoin<'_>, fx: &mut Effects) -> Outcome {
        let id = check_id("id", body.id())?;
        self.enter_group(reply, id, Change::Join, Vec::new(), fx)
    }

    /// The user himself becomes a member: his own list knows it first.
    fn enter_group(&mut self, reply: Reply, id: &str, change: Change, mut hints: Vec<Name>, fx: &mut Effects) -> Outcome {
        self.has_window(reply.session)?;
        if self.policies.is_on_disk(Kind::Group) {
            hints.push(self.user_of(reply.session).name.clone());
            return self.change_group(reply, id, change, hints, fx);
        }
        let key = Key::new("", Address::Group(id));
        let entries_max = self.limits.conversations_per_user_max as usize;
        let user = self.sessions[reply.session.index].user;
        let (slots, first) = (self.slots, self.first_number);
        let list = self.users[user].list(slots, first);
        list.insert(&key, entries_max).ok_or(ErrorCode::too_many_conversations)?;
        self.change_group(reply, id, change, hints, fx)
    }

    pub(super) fn group_title(&mut self, reply: Reply, body: s::GroupTitle<'_>, fx: &mut Effects) -> Outcome {
        let change = Change::Title { title: title(body.title())? };
        self.change_group(reply, check_id("id", body.id())?, change, Vec::new(), fx)
    }

    pub(super) fn group_add(&mut self, reply: Reply, body: s::GroupAdd<'_>, fx: &mut Effects) -> Outcome {
        let user: Name = check_id("user", body.user())?.into();
        let change = Change::Add { user: user.clone(), role: known_role(body.role())? };
        self.change_group(reply, check_id("id", body.id())?, change, vec![user], fx)
    }

    pub(super) fn group_remove(&mut self, reply: Reply, body: s::GroupRemove<'_>, fx: &mut Effects) -> Outcome {
        let change = Change::Remove { user: check_id("user", body.user())?.into() };
        self.change_group(reply, check_id("id", body.id())?, change, Vec::new(), fx)
    }

    pub(super) fn group_leave(&mut self, reply: Reply, body: s::GroupLeave<'_>, fx: &mut Effects) -> Outcome {
        self.change_group(reply, check_id("id", body.id())?, Change::Leave, Vec::new(), fx)
    }

    pub(super) fn group_set_role(&mut self, reply: Reply, body: s::GroupSetRole<'_>, fx: &mut Effects) -> Outcome {
        let change = Change::SetRole { user: check_id("user", body.user())?.into(), role: known_role(body.role())? };
        self.change_group(reply, check_id("id", body.id())?, change, Vec::new(), fx)
    }

    pub(super) fn group_disband(&mut self, reply: Reply, body: s::GroupDisband<'_>, fx: &mut Effects) -> Outcome {
        self.change_group(reply, check_id("id", body.id())?, Change::Disband, Vec::new(), fx)
    }

    fn change_group(&mut self, reply: Reply, id: &str, change: Change, hints: Vec<Name>, fx: &mut Effects) -> Outcome {
        self.has_window(reply.session)?;
        let key = Key::new("", Address::Group(id));
        let actor = self.user_of(reply.session).name.clone();
        self.sessions[reply.session.index].outstanding += 1;
        let change = Box::new(GroupChange { key, actor, reply, change, hints });
        if self.policies.is_on_disk(Kind::Group) {
            self.open_change(change, fx)
        } else {
            self.next_hint_or_change(change, fx)
        }
        Ok(())
    }

    pub(super) fn changed(&mut self, key: &Key, reply: Reply, created: bool, result: Result<Placed, Refusal>, fx: &mut Effects) {
        let on_disk = self.policies.is_on_disk(Kind::Group);
        let reply = if on_disk { self.close_change(key, reply.reference as u32, result.is_err()) } else { reply };
        let Some(connection) = self.answered(reply) else { return };
        if let Ok(placed) = result {
            self.remember_ack(reply.session, (placed.epoch, placed.seq));
        }
        match result {
            Ok(placed) if created => {
                fx.answer(connection, reply.reference, |b| frames::group_created(b, key.address(""), placed));
            }
            Ok(placed) => fx.ack(connection, reply.reference, placed),
            Err(refusal) => self.refuse(reply, refusal, fx),
        }
    }
}

fn title(text: Option<&str>) -> Result<Bytes, Failure> {
    let text = text.unwrap_or("");
    if text.len() > TITLE_BYTES_MAX {
        return Err(bad_request("title is longer than 256 bytes"));
    }
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

fn known_role(role: Role) -> Result<Role, Failure> {
    if matches!(role, Role::member | Role::admin | Role::owner) { Ok(role) } else { Err(bad_request("role is none that exists")) }
}
