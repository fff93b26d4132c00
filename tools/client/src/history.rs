//! History page by page.

use campanile::wire::schema::Direction;

use crate::client::Client;
use crate::error::RequestError;
use crate::values::{Cursor, Page, Sync};

/// The pages of a conversation from a place on. Made by [`Client::history`].
#[derive(Debug)]
pub struct History {
    client: Client,
    /// The next page; None when there is none.
    next: Option<Sync>,
}

impl History {
    pub(crate) fn new(client: Client, first: Sync) -> History {
        History { client, next: Some(first) }
    }

    /// Asks for at most `limit` messages a page.
    #[must_use]
    pub fn page_messages(mut self, limit: u32) -> History {
        if let Some(next) = &mut self.next {
            next.limit = limit;
        }
        self
    }

    /// The next page; None when there are no more. An error can be tried again.
    pub async fn next(&mut self) -> Option<Result<Page, RequestError>> {
        let sync = self.next.clone()?;
        let page = match self.client.sync(sync.clone()).await {
            Ok(page) => page,
            Err(why) => return Some(Err(why)),
        };
        // A backward cursor with seq 0 would begin at the newest again.
        let goes_on = page.has_more && page.next != sync.cursor && !(sync.direction == Direction::backward && page.next.seq == 0);
        self.next = goes_on.then_some(Sync { cursor: page.next, ..sync });
        Some(Ok(page))
    }

    /// Where the next page begins; None when there are no more.
    pub fn position(&self) -> Option<Cursor> {
        self.next.as_ref().map(|sync| sync.cursor)
    }
}
