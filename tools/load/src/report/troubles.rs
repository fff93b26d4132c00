//! What should not be, as far as every scenario with messages counts it.

use std::collections::BTreeMap;

use campanile::wire::schema::{CloseCode, ErrorCode};
use serde::Serialize;

use super::table::Table;
use crate::account::Tally;

/// Counts of the whole run. Their names are keys of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Troubles {
    /// Deliveries that never came.
    pub lost: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries that came after later ones of their conversation.
    pub out_of_order: u64,
    /// Frames that fit nowhere.
    pub unexpected: u64,
    /// Connections that ended before the run did.
    pub disconnects: u64,
    /// Error frames by code.
    pub errors: BTreeMap<String, u64>,
    /// GoAway frames by code.
    pub goaways: BTreeMap<String, u64>,
}

impl Troubles {
    /// What all workers counted.
    pub fn from(tally: &Tally) -> Troubles {
        Troubles {
            lost: tally.lost(),
            duplicated: tally.duplicated,
            out_of_order: tally.out_of_order,
            unexpected: tally.unexpected,
            disconnects: tally.disconnects,
            errors: named(&tally.errors, |code| ErrorCode(code).variant_name()),
            goaways: named(&tally.goaways, |code| CloseCode(code).variant_name()),
        }
    }

    /// How many there were. What the server said by code is none by itself: what it refuses is sent again.
    pub fn count(&self) -> u64 {
        self.lost + self.duplicated + self.out_of_order + self.unexpected + self.disconnects
    }

    /// What became of messages.
    pub(super) fn row(&self, t: &mut Table) {
        t.row("lost, duplicated, disorder", &format!("{}, {}, {}", self.lost, self.duplicated, self.out_of_order));
    }

    /// What the server said by code.
    pub(super) fn codes(&self, t: &mut Table) {
        t.codes("errors", &self.errors);
        t.codes("goaways", &self.goaways);
    }
}

fn named(codes: &BTreeMap<u16, u64>, name: impl Fn(u16) -> Option<&'static str>) -> BTreeMap<String, u64> {
    let text = |code: u16| name(code).map_or_else(|| format!("code {code}"), str::to_owned);
    codes.iter().map(|(code, count)| (text(*code), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_said_by_code_is_no_trouble_by_itself() {
        let mut tally = Tally { expected: 5, read: 3, duplicated: 1, ..Tally::default() };
        tally.error(200);
        let troubles = Troubles::from(&tally);
        assert_eq!((troubles.lost, troubles.count(), troubles.errors["busy"]), (2, 3, 1));
    }

    #[test]
    fn codes_have_their_names() {
        let codes = BTreeMap::from([(200, 3), (9999, 1)]);
        let names = named(&codes, |code| ErrorCode(code).variant_name());
        assert_eq!(names, BTreeMap::from([("busy".to_owned(), 3), ("code 9999".to_owned(), 1)]));
    }
}
