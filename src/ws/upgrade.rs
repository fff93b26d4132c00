//! The request that a WebSocket begins with (RFC 6455, sections 4.1 and 4.2.1), read strictly.
//!
//! What a browser sends by itself is what protects its user: a page of somebody else's has that one's `Origin`, and a name that was made to point here
//! (DNS rebinding) stands in `Host`. So both are compared with what is allowed.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use httparse::{EMPTY_HEADER, Header, Request};

use super::Names;

/// Headers of a request at most; more are answered 431. A browser sends about 15.
const HEADERS_MAX: usize = 100;
/// What ends a request.
const END: &[u8] = b"\r\n\r\n";
/// Section 1.3: what is hashed with the key, so that no other server gives the same answer by chance.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Keys are random, and some clients draw all of their letters: the last one may say more than 16 bytes need.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);
/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// Who may come in, and what is spoken.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Names, less their port, that the request may be for.
    pub hosts: Names,
    /// Whether it may be for any address: nobody can make a name of his own of that.
    pub addresses: bool,
    /// Origins that are allowed besides that of the host itself, whatever its port.
    pub origins: Names,
    /// Longest request; a longer one is answered 431.
    pub head_bytes_max: usize,
    /// Sub-protocols. None: whatever a client names is passed over.
    pub protocols: &'static [&'static str],
    /// Where people find what they look for who open this address in a browser.
    pub page: String,
}

/// What both sides agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// Which of [`Rules::protocols`]; `None`: the client named none.
    pub protocol: Option<usize>,
}

/// Declares the refusals, each with its name in metrics, its status, and what the peer is told.
macro_rules! refusals {
    ($( $(#[doc = $doc:literal])+ $refusal:ident = $name:literal, $status:literal, $reason:literal; )*) => {
        /// Why a request is not answered with 101.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Refusal {
            $( $(#[doc = $doc])+ $refusal, )*
        }

        impl Refusal {
            /// Every refusal, in the order of their numbers.
            pub const ALL: &[Refusal] = &[$( Refusal::$refusal, )*];

            /// The value of the label `reason`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Refusal::$refusal => $name, )* }
            }

            /// The status of the answer.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $( Refusal::$refusal => $status, )* }
            }

            /// Why, for people.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $( Refusal::$refusal => $reason, )* }
            }
        }
    };
}

refusals! {
    /// Longer than [`Rules::head_bytes_max`], or it has too many headers.
    TooLarge = "too_large", 431, "The request is too long, or has too many headers.";
    /// Not HTTP, or not as strict as it must be.
    Malformed = "malformed", 400, "This is not an HTTP request.";
    /// HTTP/1.0.
    HttpVersion = "http_version", 505, "This port speaks HTTP/1.1.";
    /// Not GET.
    Method = "method", 405, "This port takes GET only.";
    /// `Host` must stand there once.
    NoHost = "no_host", 400, "The request must have one Host header.";
    /// See [`Rules::hosts`].
    HostNotAllowed = "host_not_allowed", 421, "This server does not go by that name (setting ws_hosts).";
    /// A GET has no body here.
    Body = "body", 400, "The request must have no body.";
    /// An ordinary request, as of a browser whose user typed this address.
    NotAnUpgrade = "not_an_upgrade", 426, "This port is for WebSocket.";
    /// See [`Rules::origins`].
    OriginNotAllowed = "origin_not_allowed", 403, "Pages from that origin may not connect (setting ws_origins).";
    /// `Sec-WebSocket-Version` must be 13.
    Version = "version", 426, "This port speaks version 13 of WebSocket.";
    /// `Sec-WebSocket-Key` must stand there once, 16 bytes in base64.
    Key = "key", 400, "The request must have one Sec-WebSocket-Key of 16 bytes in base64.";
    /// None of those that the client named.
    Protocol = "protocol", 400, "None of these sub-protocols is spoken here; there are campanile.v1.fb and campanile.v1.json.";
    /// Something came behind the request, which the client cannot know to be welcome.
    EarlyBytes = "early_bytes", 400, "Nothing may be sent before the answer.";
}

/// Reads the request at the front of what a connection has sent. `from`: how much of it was looked at before. `None`: it has not come whole.
///
/// # Errors
/// Why it is not answered with 101.
pub fn read(bytes: &[u8], from: usize, rules: &Rules) -> Result<Option<Agreed>, Refusal> {
    let from = from.saturating_sub(END.len() - 1);
    let end = bytes[from..].windows(END.len()).position(|window| window == END).map(|at| from + at + END.len());
    if end.unwrap_or(bytes.len()) > rules.head_bytes_max {
        return Err(Refusal::TooLarge);
    }
    let Some(end) = end else { return Ok(None) };
    let (head, early) = bytes.split_at(end);
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() && !has_bare_line_feed(head) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        _ => return Err(Refusal::Malformed),
    }
    let agreed = judge(&request, rules)?;
    if early.is_empty() { Ok(Some(agreed)) } else { Err(Refusal::EarlyBytes) }
}

/// The parser takes a line feed alone for the end of a line; others in front of us may not.
fn has_bare_line_feed(head: &[u8]) -> bool {
    head.iter().zip(&head[1..]).any(|(before, byte)| *byte == b'\n' && *before != b'\r')
}

fn judge(request: &Request<'_, '_>, rules: &Rules) -> Result<Agreed, Refusal> {
    let headers = &*request.headers;
    if request.version != Some(1) {
        return Err(Refusal::HttpVersion);
    }
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    if !request.path.is_some_and(|path| path.starts_with('/')) {
        return Err(Refusal::Malformed);
    }
    let host = host(only(headers, "host", Refusal::NoHost)?.ok_or(Refusal::NoHost)?).ok_or(Refusal::NoHost)?;
    if !rules.hosts.allow(host) && !(rules.addresses && is_address(host)) {
        return Err(Refusal::HostNotAllowed);
    }
    if has(headers, "transfer-encoding") || only(headers, "content-length", Refusal::Body)?.is_some_and(|length| length != "0") {
        return Err(Refusal::Body);
    }
    let mentions = |name, wanted: &str| tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted));
    if !mentions("upgrade", "websocket") || !mentions("connection", "upgrade") {
        return Err(Refusal::NotAnUpgrade);
    }
    let origin = only(headers, "origin", Refusal::OriginNotAllowed)?;
    if !origin.is_none_or(|origin| rules.origins.allow(origin) || is_of_host(origin, host)) {
        return Err(Refusal::OriginNotAllowed);
    }
    if only(headers, "sec-websocket-version", Refusal::Version)? != Some("13") {
        return Err(Refusal::Version);
    }
    let key = only(headers, "sec-websocket-key", Refusal::Key)?.filter(|key| is_key(key)).ok_or(Refusal::Key)?;
    Ok(Agreed { accept: accept(key), protocol: protocol(headers, rules)? })
}

/// The first of the client's sub-protocols that is known.
fn protocol(headers: &[Header<'_>], rules: &Rules) -> Result<Option<usize>, Refusal> {
    const NAME: &str = "sec-websocket-protocol";
    let known = tokens(headers, NAME).find_map(|token| rules.protocols.iter().position(|protocol| *protocol == token));
    let must_agree = has(headers, NAME) && !rules.protocols.is_empty();
    if known.is_none() && must_agree { Err(Refusal::Protocol) } else { Ok(known) }
}

/// Section 4.2.2, item 5.4.
fn accept(key: &str) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.digest().bytes())
}

fn is_key(text: &str) -> bool {
    KEY.decode(text).is_ok_and(|key| key.len() == KEY_BYTES)
}

/// `Host` less its port, which does not matter; `None`: it is none.
fn host(value: &str) -> Option<&str> {
    let name_end = if value.starts_with('[') { value.find(']')? + 1 } else { value.find(':').unwrap_or(value.len()) };
    let (name, port) = value.split_at(name_end);
    let is_port =
        |port: &str| port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok() && !digits.starts_with('+'));
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_sound) && (port.is_empty() || is_port(port))).then_some(name)
}

/// Whether a host is an IP address, and not a name.
fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// Whether a page comes from this host.
fn is_of_host(origin: &str, wanted: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.and_then(host).is_some_and(|name| name.eq_ignore_ascii_case(wanted))
}

fn has(headers: &[Header<'_>], name: &str) -> bool {
    headers.iter().any(|header| header.name.eq_ignore_ascii_case(name))
}

/// The value of a header that may stand there once.
fn only<'h>(headers: &[Header<'h>], name: &str, twice: Refusal) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    let first = values.next();
    if values.next().is_some() {
        return Err(twice);
    }
    first.map(|value| std::str::from_utf8(value).map(str::trim).map_err(|_| twice)).transpose()
}

/// All words of a header that is a list, and may stand there more than once.
fn tokens<'h>(headers: &[Header<'h>], name: &'static str) -> impl Iterator<Item = &'h str> {
    let values = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    let values: Vec<&'h str> = values.filter_map(|value| std::str::from_utf8(value).ok()).collect();
    values.into_iter().flat_map(|value| value.split(',')).map(str::trim)
}
