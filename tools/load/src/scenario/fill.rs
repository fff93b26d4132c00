//! What is laid in store before something is measured: which messages each publisher sends to users who are not there, in which order.

/// What all publishers together send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stock {
    /// So many messages to each user, from the publishers in turn.
    #[allow(missing_docs)]
    PerUser { users: u32, messages: u32 },
    /// So many messages in all, over so many direct conversations in turn.
    #[allow(missing_docs)]
    Conversations { conversations: u32, messages: u64 },
}

impl Stock {
    /// Messages in all.
    pub fn messages(self) -> u64 {
        match self {
            Stock::PerUser { users, messages } => u64::from(users) * u64::from(messages),
            Stock::Conversations { messages, .. } => messages,
        }
    }

    /// Conversations in which there are messages.
    pub fn conversations(self, publishers: u32) -> u64 {
        match self {
            Stock::PerUser { users, messages } => u64::from(users) * u64::from(messages.min(publishers)),
            Stock::Conversations { conversations, messages } => u64::from(conversations).min(messages),
        }
    }

    /// Conversations of one publisher, as [`Stock::Conversations`] deals them out.
    pub fn peers_of(self, publisher: u32, publishers: u32) -> u32 {
        match self {
            Stock::PerUser { users, .. } => users,
            Stock::Conversations { conversations, .. } => conversations.saturating_sub(publisher).div_ceil(publishers),
        }
    }

    /// Messages in one of those conversations.
    pub fn messages_to(self, publisher: u32, publishers: u32, peer: u32) -> u64 {
        match self {
            Stock::PerUser { messages, .. } => {
                let first = (publisher + publishers - peer % publishers) % publishers;
                u64::from(messages.saturating_sub(first).div_ceil(publishers))
            }
            Stock::Conversations { conversations, messages } => {
                let number = u64::from(publisher) + u64::from(peer) * u64::from(publishers);
                let all = u64::from(conversations);
                messages / all + u64::from(number < messages % all)
            }
        }
    }
}

/// The messages of one publisher, as numbers of the peers that get them.
#[derive(Clone, Debug)]
pub struct Fill {
    stock: Stock,
    publisher: u32,
    publishers: u32,
    round: u64,
    /// User, or conversation.
    at: u32,
}

impl Fill {
    /// Publisher number `publisher` of `publishers`.
    pub fn new(stock: Stock, publisher: u32, publishers: u32) -> Fill {
        Fill { stock, publisher, publishers, round: 0, at: publisher }
    }

    /// The first of the next round.
    fn turn(&mut self) {
        self.round += 1;
        self.at = match self.stock {
            // Each user gets his next message from the next publisher.
            Stock::PerUser { .. } => {
                let round = (self.round % u64::from(self.publishers)) as u32;
                (self.publisher + self.publishers - round) % self.publishers
            }
            Stock::Conversations { .. } => self.publisher,
        };
    }
}

impl Iterator for Fill {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self.stock {
            Stock::PerUser { users, messages } => {
                while self.at >= users && self.round < u64::from(messages) {
                    self.turn();
                }
                let user = self.at;
                self.at = user.saturating_add(self.publishers);
                (self.round < u64::from(messages)).then_some(user)
            }
            Stock::Conversations { conversations, messages } => {
                if self.at >= conversations {
                    self.turn();
                }
                let conversation = self.at;
                let is_left = self.round * u64::from(conversations) + u64::from(conversation) < messages;
                if !is_left || conversation >= conversations {
                    return None;
                }
                self.at = conversation.saturating_add(self.publishers);
                Some(conversation / self.publishers)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Messages by publisher and peer.
    fn all(stock: Stock, publishers: u32) -> HashMap<(u32, u32), u64> {
        let mut counts = HashMap::new();
        for publisher in 0..publishers {
            for peer in Fill::new(stock, publisher, publishers) {
                *counts.entry((publisher, peer)).or_default() += 1;
            }
        }
        counts
    }

    fn assert_told(stock: Stock, publishers: u32) {
        let counts = all(stock, publishers);
        assert_eq!(counts.values().sum::<u64>(), stock.messages(), "{stock:?} {publishers}");
        assert_eq!(counts.len() as u64, stock.conversations(publishers), "{stock:?} {publishers}");
        for ((publisher, peer), count) in counts {
            assert!(peer < stock.peers_of(publisher, publishers));
            assert_eq!(count, stock.messages_to(publisher, publishers, peer), "{stock:?} {publishers} {publisher} {peer}");
        }
    }

    #[test]
    fn every_user_gets_his_messages_from_all_in_turn() {
        for (users, messages, publishers) in [(10, 7, 3), (2, 5, 4), (5, 1, 1), (3, 3, 3), (1, 100, 4)] {
            let stock = Stock::PerUser { users, messages };
            assert_told(stock, publishers);
            let counts = all(stock, publishers);
            for user in 0..users {
                let of_user: Vec<u64> = counts.iter().filter(|((_, peer), _)| *peer == user).map(|(_, count)| *count).collect();
                assert_eq!(of_user.iter().sum::<u64>(), u64::from(messages));
                assert!(of_user.iter().max().unwrap() - of_user.iter().min().unwrap() <= 1, "{counts:?}");
            }
        }
    }

    #[test]
    fn conversations_get_their_messages_in_turn() {
        for (conversations, messages, publishers) in [(10, 100, 3), (10, 7, 3), (7, 23, 7), (3, 10, 5), (1, 4, 1)] {
            assert_told(Stock::Conversations { conversations, messages }, publishers);
        }
        let stock = Stock::Conversations { conversations: 5, messages: 8 };
        assert_eq!(Fill::new(stock, 0, 2).collect::<Vec<_>>(), [0, 1, 2, 0, 1]);
        assert_eq!(Fill::new(stock, 1, 2).collect::<Vec<_>>(), [0, 1, 0]);
    }
}
