//! Receipts for what was shown: gathered for a moment, so that a stream of messages is one receipt and not many.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use campanile_client::{Client, Conversation, Cursor, ReceiptKind};
use tokio::time::{Instant, sleep_until, timeout};

/// How long receipts are gathered.
const GATHER: Duration = Duration::from_millis(200);
/// How long the last ones may take.
const LAST: Duration = Duration::from_secs(2);

/// Receipts that wait.
#[derive(Debug, Default)]
pub struct Receipts {
    places: BTreeMap<Conversation, Cursor>,
    due: Option<Instant>,
}

impl Receipts {
    /// Everything up to `cursor` was shown. Topics and broadcast have no receipts.
    pub fn note(&mut self, conversation: &Conversation, cursor: Cursor) {
        if matches!(conversation, Conversation::Direct(_) | Conversation::Group(_)) {
            self.places.insert(conversation.clone(), cursor);
            self.due.get_or_insert_with(|| Instant::now() + GATHER);
        }
    }

    /// Waits until receipts are to be sent; for ever when there are none.
    pub async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => pending().await,
        }
    }

    /// Sends what waits, in the background. A receipt that fails is made good by the next one.
    pub fn send(&mut self, client: &Client, kinds: &'static [ReceiptKind]) {
        let (client, mut receipts) = (client.clone(), std::mem::take(self));
        tokio::spawn(async move { receipts.flush(&client, kinds).await });
    }

    /// Sends what waits and waits for the answers, a moment at most.
    pub async fn flush(&mut self, client: &Client, kinds: &[ReceiptKind]) {
        self.due = None;
        let all = async {
            for (conversation, cursor) in std::mem::take(&mut self.places) {
                for &kind in kinds {
                    let _ = client.receipt(conversation.clone(), kind, cursor).await;
                }
            }
        };
        let _ = timeout(LAST, all).await;
    }
}
