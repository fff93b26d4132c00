//! What is kept of each kind of conversation, and how surely: the same settings once per kind.

use super::setting::{Value, settings};
use super::span::Span;
use crate::conversation::{Durability, Kind, Merge, Policies, Policy};

settings! {
    /// The settings of one kind of conversation.
    pub struct KindSettings {
        /// When a message may be acknowledged: fsync, when it is on the disk; os, when the operating system has it, so that it survives the process
        /// but not the machine; memory, at once, and it is gone with the process.
        durability: Durability = Durability::Fsync; "fsync, os or memory"
        /// Newest messages that are kept of each conversation; older ones are trimmed, which a cursor is told by gap. 0: all on disk; in memory as the
        /// limit of that name says.
        history_messages_max: u64 = 0; "messages"
        /// How long a message is kept, like 30d, 12h, 90s or 500ms; after that it is hidden at once and removed a little later. 0: for ever.
        history_ttl: Span = Span::default(); "time"
        /// Bytes of bodies that are kept of each conversation, the newest first. 0: all on disk; in memory as the limit of that name says.
        history_bytes_max: u64 = 0; "bytes"
        /// How long a message may wait for others, so that they leave together with one send for each receiver, which costs far less; acks do not
        /// wait. 0: not at all. Not for direct conversations, which have no crowd.
        merge_ms: u32 = 0, in 0..=10_000; "ms"
        /// So many messages that wait leave at once.
        merge_messages: u32 = Merge::default().messages, in 1..=256; "messages"
        /// So many bytes of bodies that wait leave at once.
        merge_bytes: u32 = Merge::default().bytes, in 1..=32_768; "bytes"
    }
}

impl KindSettings {
    /// What a kind has if nobody says otherwise.
    pub(super) fn default_of(kind: Kind) -> KindSettings {
        let Policy { durability, history_messages_max, history_bytes_max, history_ttl_ms, merge } = *Policies::default().of(kind);
        let Merge { ms: merge_ms, messages: merge_messages, bytes: merge_bytes } = merge.unwrap_or_default();
        let history_ttl = Span { ms: history_ttl_ms };
        KindSettings { durability, history_messages_max, history_ttl, history_bytes_max, merge_ms, merge_messages, merge_bytes }
    }

    /// The same for the server.
    pub(super) fn policy(&self) -> Policy {
        let KindSettings { durability, history_messages_max, history_ttl, history_bytes_max, .. } = *self;
        let merge = Merge { ms: self.merge_ms, messages: self.merge_messages, bytes: self.merge_bytes };
        let merge = (merge.ms > 0).then_some(merge);
        Policy { durability, history_messages_max, history_bytes_max, history_ttl_ms: history_ttl.ms, merge }
    }
}

/// As the operator writes it.
const DURABILITIES: [(&str, Durability); 3] =
    [("fsync", Durability::Fsync), ("os", Durability::Os), ("memory", Durability::Memory)];

impl Value for Durability {
    fn read(text: &str) -> Result<Self, String> {
        let found = DURABILITIES.iter().find(|(name, _)| *name == text);
        found.map(|(_, durability)| *durability).ok_or_else(|| "fsync, os or memory".to_owned())
    }

    fn show(&self) -> String {
        let (name, _) = DURABILITIES.iter().find(|(_, durability)| durability == self).expect("all stand in the table");
        format!("\"{name}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durability_is_shown_as_it_can_be_read() {
        for (name, durability) in DURABILITIES {
            assert_eq!(Durability::read(name), Ok(durability));
            assert_eq!(durability.show(), format!("\"{name}\""));
        }
        assert_eq!(Durability::read("disk"), Err("fsync, os or memory".into()));
    }

    #[test]
    fn settings_of_a_kind_are_its_policy() {
        let topic = KindSettings::default_of(Kind::Topic);
        assert_eq!(topic.policy(), Policies::default().topic);
        let kept = KindSettings { history_ttl: Span { ms: 5 }, history_messages_max: 6, history_bytes_max: 7, ..topic };
        let policy = kept.policy();
        assert_eq!((policy.history_ttl_ms, policy.history_messages_max, policy.history_bytes_max), (5, 6, 7));
        let merging = KindSettings { merge_ms: 5, ..KindSettings::default_of(Kind::Group) };
        assert_eq!(merging.policy().merge, Some(Merge { ms: 5, ..Merge::default() }));
    }
}
