//! Why a connection ends, and what its peer is told.

use super::Dress;
use super::dress::close_code;
use crate::wire::schema::CloseCode;
use crate::ws::answer::{self, Page};
use crate::ws::{Fault, Refusal, Rules, close};

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// For a reason of Campanile's own.
    Told {
        /// Which.
        code: CloseCode,
        /// When the client may come back, for codes below 2000.
        reconnect_after_ms: u32,
    },
    /// It asked for no WebSocket, or must have none.
    Refused(Refusal),
    /// It broke a rule of WebSocket.
    Fault(Fault),
    /// It said that it goes.
    Closed(Option<u16>),
}

impl From<CloseCode> for Leave {
    fn from(code: CloseCode) -> Leave {
        Leave::Told { code, reconnect_after_ms: 0 }
    }
}

impl From<Fault> for Leave {
    fn from(fault: Fault) -> Leave {
        Leave::Fault(fault)
    }
}

impl Leave {
    /// The last bytes for this connection. `go_away`: the frame that tells why, where the reason is ours; `rules`: those that its upgrade is judged by.
    pub fn farewell(self, dress: Dress, go_away: &[u8], rules: &Rules) -> Vec<u8> {
        let mut bytes = Vec::new();
        match (dress, self) {
            (Dress::Tcp, _) => bytes.extend_from_slice(go_away),
            (Dress::Upgrade, Leave::Refused(refusal)) => bytes = answer::refuse(refusal, rules),
            (Dress::Upgrade, Leave::Told { code, reconnect_after_ms }) => bytes = too_early(code, reconnect_after_ms),
            (_, Leave::Told { code, .. }) => {
                dress.write(go_away, &mut bytes);
                close::write_frame(Some(close_code(code)), code.variant_name().unwrap_or_default(), &mut bytes);
            }
            (_, Leave::Fault(fault)) => close::write_frame(Some(fault.code()), fault.reason(), &mut bytes),
            (_, Leave::Closed(code)) => close::write_frame(code, "", &mut bytes),
            (_, Leave::Refused(_)) => unreachable!("what was upgraded is not refused"),
        }
        bytes
    }
}

/// The connection ends before there was a request, or in the middle of it.
fn too_early(code: CloseCode, reconnect_after_ms: u32) -> Vec<u8> {
    let (status, reason) = match code {
        CloseCode::login_timeout => (408, "No whole request came in time."),
        CloseCode::connect_rate_limited => (429, "Too many connections from your address; come back later."),
        CloseCode::too_many_connections => (503, "This server is full; come back later."),
        _ => (503, "The server is not to be had now; come back later."),
    };
    let retry_after_s = (status != 408).then(|| reconnect_after_ms.div_ceil(1000));
    answer::page(Page { status, reason, link: None, retry_after_s })
}
