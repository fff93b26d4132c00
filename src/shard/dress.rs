//! Frames for WebSockets, each run of them dressed once for all who get it in the same dress.

use super::Shard;
use crate::net::Dress;
use crate::ring::{OpenBatch, Segment};

/// Runs that are remembered at a time: receivers of one stand side by side, so it is the last few that matter. A power of two.
const PEGS: usize = 16;

/// What was dressed in this turn.
#[derive(Default)]
pub(super) struct Wardrobe {
    /// WebSockets of this shard; while there are none, nothing is looked at.
    pub(super) websockets: usize,
    pegs: [Option<Dressed>; PEGS],
    /// Kept for its memory.
    bytes: Vec<u8>,
}

struct Dressed {
    dress: Dress,
    /// Held, so that its memory is not used for something else meanwhile.
    plain: Segment,
    dressed: Segment,
}

impl Wardrobe {
    /// A sealed run of frames in a dress; it can be read when `open` is sealed.
    fn dressed(&mut self, plain: &Segment, dress: Dress, open: &mut OpenBatch) -> Segment {
        let peg = &mut self.pegs[(plain.fingerprint() ^ dress as usize) % PEGS];
        if let Some(found) = peg.as_ref().filter(|peg| peg.dress == dress && peg.plain.is_same(plain)) {
            return found.dressed.clone();
        }
        self.bytes.clear();
        dress.write(plain.bytes(), &mut self.bytes);
        let dressed = open.append(&self.bytes);
        *peg = Some(Dressed { dress, plain: plain.clone(), dressed: dressed.clone() });
        dressed
    }
}

impl Shard {
    /// Dresses the turn's frames for those who are not to get them as they are.
    pub(super) fn dress(&mut self) {
        let Shard { connections, fx, wardrobe, .. } = self;
        if wardrobe.websockets == 0 {
            return;
        }
        for send in &mut fx.sends {
            let dress = connections.get_mut(send.to).map(|connection| connection.dress);
            if let Some(dress) = dress.filter(|dress| dress.is_websocket()) {
                send.frame = wardrobe.dressed(&send.frame, dress, &mut fx.open);
            }
        }
        fx.open.seal();
        wardrobe.pegs.fill_with(|| None);
    }
}
