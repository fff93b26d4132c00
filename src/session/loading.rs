//! Loading: where lists are on disk, a user's list is read when he logs in, and his logins wait for it. Hints for him that come meanwhile go into it too.

use super::Users;
use super::list::List;
use super::login::Arrival;
use super::user::User;
use crate::clock::Now;
use crate::conversation::Key;
use crate::effects::Effects;
use crate::mesh::SessionKey;
use crate::ring::Slot;
use crate::store::{Command, LoadUser, NotRead, StoredEntry};
use crate::wire::schema::CloseCode;

/// Lists of one shard that are being read at once; the others wait, oldest first. Bounds what a storm of logins asks of the store.
const LOADS_MAX: usize = if cfg!(test) { 3 } else { 256 };
/// When a connection for which something could not be read should try again, in ms.
pub(super) const RECONNECT_MS: u32 = 500;

/// Names a login that waits, for as long as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginKey {
    index: u32,
    generation: u32,
}

/// How far a login has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Welcome has been said.
    Done(SessionKey),
    /// The user's list is being read. [`Effects::logins`] will tell, unless the connection goes first, which [`Users::login_given_up`] must hear.
    Waits(LoginKey),
}

/// A login that waited is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// Whose.
    pub connection: Slot,
    /// Which.
    pub login: LoginKey,
    /// The session; or the code to close the connection with, and after how many ms it should come back.
    pub result: Result<SessionKey, (CloseCode, u32)>,
}

/// A login that waits for its user's list.
pub(super) struct WaitingLogin {
    user: u32,
    arrival: Arrival,
}

/// A list that is being read, or is to be.
#[derive(Default)]
pub(super) struct Loading {
    /// Logins that wait for it, in the order in which they came.
    logins: Vec<u32>,
    /// What left the list meanwhile: it may have been read before that.
    dropped: Vec<Key>,
}

impl Users {
    /// Makes a login wait for the list of its user.
    pub(super) fn wait_for_list(&mut self, user: u32, arrival: Arrival, fx: &mut Effects) -> LoginKey {
        let (index, generation) = self.logins.insert(WaitingLogin { user, arrival });
        let pending = self.users[user].pending();
        if let Some(loading) = &mut pending.loading {
            loading.logins.push(index);
        } else {
            pending.loading = Some(Loading { logins: vec![index], dropped: Vec::new() });
            self.to_load.push_back(user);
            self.load_next(fx);
        }
        LoginKey { index, generation }
    }

    fn load_next(&mut self, fx: &mut Effects) {
        while self.loads < LOADS_MAX
            && let Some(index) = self.to_load.pop_front()
        {
            // It is not forgotten while it is being loaded.
            let user = self.users[index].name.clone();
            let (row, generation) = (self.slots.row(user.as_bytes()), self.users.generation(index).unwrap_or_default());
            fx.commands.push(Command::LoadUser(Box::new(LoadUser { user, row, index, generation })));
            self.loads += 1;
        }
    }

    /// The connection of a login that waits is gone, or about to be.
    pub fn login_given_up(&mut self, login: LoginKey) {
        if self.logins.generation(login.index) == Some(login.generation)
            && let Some(WaitingLogin { user, .. }) = self.logins.remove(login.index)
            && let Some(loading) = &mut self.users[user].pending().loading
        {
            loading.logins.retain(|&index| index != login.index);
        }
    }

    /// A part of a list has been read.
    pub(super) fn entries_loaded(&mut self, user: u32, generation: u32, entries: Vec<StoredEntry>) {
        if self.users.generation(user) != Some(generation) {
            return;
        }
        let (slots, first) = (self.slots, self.first_number);
        let User { list, pending, .. } = &mut self.users[user];
        let Some(loading) = pending.as_ref().and_then(|pending| pending.loading.as_ref()) else { return };
        let list = list.get_or_insert_with(|| List::new(slots, first));
        for entry in entries {
            if !loading.dropped.contains(&entry.key) {
                list.put_stored(entry);
            }
        }
    }

    /// A list has been read to its end, or could not be.
    pub(super) fn user_loaded(&mut self, user: u32, generation: u32, result: Result<(), NotRead>, now: Now, fx: &mut Effects) {
        self.loads -= 1;
        self.load_next(fx);
        if self.users.generation(user) != Some(generation) {
            return;
        }
        let Some(Loading { logins, .. }) = self.users[user].pending().loading.take() else { return };
        if result.is_ok() {
            self.users[user].is_loaded = true;
            self.judge_watchers(user);
        } else {
            self.unload(user);
        }
        self.users[user].tidy();
        for index in logins {
            let generation = self.logins.generation(index).unwrap_or_default();
            let Some(WaitingLogin { arrival, .. }) = self.logins.remove(index) else { continue };
            let connection = arrival.connection;
            let result = match result {
                Ok(()) => self.open(user, arrival, now, fx).map_err(|code| (code, 0)),
                Err(NotRead) => Err((CloseCode::overloaded, RECONNECT_MS)),
            };
            fx.logins.push(LoggedIn { connection, login: LoginKey { index, generation }, result });
        }
        self.rest(user, now);
    }

    /// An entry stands in a user's list on disk: if the list is in memory as well, or on its way there, there too.
    pub(super) fn listed(&mut self, user: u32, key: &Key, number: u32, dropped: Option<Key>, fx: &mut Effects) {
        let (slots, first) = (self.slots, self.first_number);
        let User { list, is_loaded, pending, .. } = &mut self.users[user];
        let loading = pending.as_mut().and_then(|pending| pending.loading.as_mut());
        if !*is_loaded && loading.is_none() {
            return;
        }
        list.get_or_insert_with(|| List::new(slots, first)).put(key, number);
        if let Some(loading) = loading {
            loading.dropped.retain(|dropped| dropped != key);
            loading.dropped.extend(dropped.clone());
        }
        if let Some(dropped) = dropped {
            self.remove_entry(user, &dropped, fx);
        }
    }
}
