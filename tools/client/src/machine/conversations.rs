//! Where this client stands in every conversation, and what it has subscribed to.

use std::collections::{BTreeMap, BTreeSet};

use super::ResumePoint;
use crate::Conversation;
use crate::tracker::Tracker;
use crate::values::Cursor;

/// Conversations whose cursor is kept. Beyond, those that were quiet for longest are forgotten; the server keeps a cursor for them.
pub(crate) const CONVERSATIONS_MAX: usize = 16_384;
/// Entries of a resume list: as many as a frame's verifier lets through, and as a server takes unless told otherwise.
pub(crate) const RESUME_ENTRIES_MAX: usize = 1_000;

/// The cursor of one conversation and when it last moved.
#[derive(Debug, Default)]
struct Place {
    tracker: Tracker,
    /// Counts moves of all conversations, so that the most recently active ones are known.
    touched: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    places: BTreeMap<Conversation, Place>,
    /// Topics and their filters.
    topics: BTreeMap<Conversation, Vec<String>>,
    clock: u64,
}

impl Conversations {
    /// Whether messages of `conversation` come to this session: all but topics that it has not subscribed to.
    pub fn receives(&self, conversation: &Conversation) -> bool {
        !matches!(conversation, Conversation::Topic(_)) || self.topics.contains_key(conversation)
    }

    /// The tracker of a conversation, made when there is none.
    pub fn tracker(&mut self, conversation: &Conversation) -> &mut Tracker {
        self.clock += 1;
        if !self.places.contains_key(conversation) {
            self.make_room();
            self.places.insert(conversation.clone(), Place::default());
        }
        let place = self.places.entry(conversation.clone()).or_default();
        place.touched = self.clock;
        &mut place.tracker
    }

    /// The tracker of a conversation, if there is one.
    pub fn known(&mut self, conversation: &Conversation) -> Option<&mut Tracker> {
        self.places.get_mut(conversation).map(|place| &mut place.tracker)
    }

    /// Whether the place is known up to which a conversation was received.
    pub fn has_cursor(&self, conversation: &Conversation) -> bool {
        self.places.get(conversation).is_some_and(|place| place.tracker.cursor().is_some())
    }

    /// From now on `conversation` is received from `cursor` on.
    pub fn start(&mut self, conversation: &Conversation, cursor: Option<Cursor>, tags: &[String]) {
        if matches!(conversation, Conversation::Topic(_)) {
            self.topics.insert(conversation.clone(), tags.to_vec());
        }
        if let Some(cursor) = cursor {
            *self.tracker(conversation) = Tracker::at(cursor);
        }
    }

    /// The conversation is not received any more.
    pub fn forget(&mut self, conversation: &Conversation) {
        self.topics.remove(conversation);
        self.places.remove(conversation);
    }

    /// A new connection: every stream begins again behind its cursor.
    pub fn rewind(&mut self) {
        self.places.values_mut().for_each(|place| place.tracker.rewind());
    }

    /// The resume list: all topics, broadcast, then what moved most recently, as much as fits. The server has no cursor of its own for
    /// the first two.
    pub fn resume(&self, bytes_max: usize, entries_max: usize) -> Vec<ResumePoint> {
        let mut order: Vec<_> = self.places.iter().filter(|(c, _)| !matches!(c, Conversation::Topic(_))).collect();
        order.sort_by_key(|(c, place)| (**c != Conversation::Broadcast, std::cmp::Reverse(place.touched)));
        let others = order.into_iter().filter(|(_, place)| place.tracker.cursor().is_some()).map(|(c, _)| c);
        let mut bytes = 0;
        self.topics
            .keys()
            .chain(others)
            .map(|conversation| self.point(conversation))
            .take_while(|point| {
                bytes += resume_bytes(point);
                bytes <= bytes_max
            })
            .take(entries_max.min(RESUME_ENTRIES_MAX))
            .collect()
    }

    /// The topics that are not in `resume`: they are subscribed to after the welcome.
    pub fn topics_missing(&self, resume: &BTreeSet<Conversation>) -> Vec<ResumePoint> {
        self.topics.keys().filter(|topic| !resume.contains(*topic)).map(|topic| self.point(topic)).collect()
    }

    fn point(&self, conversation: &Conversation) -> ResumePoint {
        ResumePoint {
            conversation: conversation.clone(),
            cursor: self.places.get(conversation).and_then(|place| place.tracker.cursor()),
            tags: self.topics.get(conversation).cloned().unwrap_or_default(),
        }
    }

    /// Forgets the eighth that was quiet for longest when there is no room for one more.
    fn make_room(&mut self) {
        if self.places.len() < CONVERSATIONS_MAX {
            return;
        }
        let mut touched: Vec<u64> = self.places.values().map(|place| place.touched).collect();
        touched.sort_unstable();
        let oldest_kept = touched[CONVERSATIONS_MAX / 8];
        let topics = &self.topics;
        self.places.retain(|conversation, place| place.touched >= oldest_kept || topics.contains_key(conversation));
    }
}

/// Bytes of a resume entry on the wire, rounded up: two tables, a cursor, offsets and paddings are below 96.
fn resume_bytes(point: &ResumePoint) -> usize {
    96 + point.conversation.address().id().len() + point.tags.iter().map(|tag| 16 + tag.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(n: usize) -> Conversation {
        Conversation::Group(format!("g{n}"))
    }

    #[test]
    fn topics_come_first_then_the_most_recent() {
        let mut conversations = Conversations::default();
        let at = |seq| Cursor { epoch: 1, seq };
        for n in 0..3 {
            conversations.tracker(&group(n)).message(at(5));
        }
        conversations.tracker(&group(0)).message(at(6));
        conversations.tracker(&group(9)).ack(at(4));
        conversations.start(&Conversation::Topic("news".into()), Some(at(2)), &["eu".into()]);
        conversations.tracker(&Conversation::Broadcast).begins_at(at(0));
        for n in [0, 1, 2] {
            conversations.tracker(&group(n));
        }
        conversations.tracker(&group(0));
        let resume = conversations.resume(10_000, 10);
        let names: Vec<String> = resume.iter().map(|p| p.conversation.to_string()).collect();
        assert_eq!(names, ["topic:news", "broadcast", "group:g0", "group:g2", "group:g1"], "group:g9 has no cursor yet");
        assert_eq!((resume[0].cursor, &resume[0].tags), (Some(at(2)), &vec!["eu".to_owned()]));
        assert_eq!(conversations.resume(250, 10).len(), 2);
        assert_eq!(conversations.resume(10_000, 3).len(), 3);
    }

    #[test]
    fn what_does_not_fit_is_subscribed_later() {
        let mut conversations = Conversations::default();
        conversations.start(&Conversation::Topic("a".into()), None, &[]);
        conversations.start(&Conversation::Topic("b".into()), None, &[]);
        let sent = conversations.resume(100, 10).into_iter().map(|p| p.conversation).collect();
        let missing = conversations.topics_missing(&sent);
        assert_eq!(missing.iter().map(|p| p.conversation.to_string()).collect::<Vec<_>>(), ["topic:b"]);
    }

    #[test]
    fn the_number_of_cursors_is_bounded() {
        let mut conversations = Conversations::default();
        for n in 0..=CONVERSATIONS_MAX {
            conversations.tracker(&group(n));
        }
        assert!(conversations.places.len() <= CONVERSATIONS_MAX);
        assert!(conversations.known(&group(CONVERSATIONS_MAX)).is_some());
        assert!(conversations.known(&group(0)).is_none());
    }
}
