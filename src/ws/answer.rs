//! What a request is answered with: 101, or a page that says why not. A connection that is refused is never used again.

use std::fmt::Write;

use super::{Agreed, Refusal, Rules};

/// What ends the answer to a request that is refused for other reasons than the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// The status.
    pub status: u16,
    /// Why, for people.
    pub reason: &'a str,
    /// Where there is something to look at.
    pub link: Option<&'a str>,
    /// When to come back, in seconds.
    pub retry_after_s: Option<u32>,
}

/// The request is granted: what follows is WebSocket.
pub fn agree(agreed: &Agreed, rules: &Rules) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        agreed.accept
    );
    if let Some(index) = agreed.protocol {
        let _ = write!(text, "Sec-WebSocket-Protocol: {}\r\n", rules.protocols[index]);
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The request is refused.
pub fn refuse(refusal: Refusal, rules: &Rules) -> Vec<u8> {
    let link = (refusal == Refusal::NotAnUpgrade).then_some(&*rules.page);
    page(Page { status: refusal.status(), reason: refusal.reason(), link, retry_after_s: None })
}

/// A page, and the end of the connection.
pub fn page(page: Page<'_>) -> Vec<u8> {
    let Page { status, reason, link, retry_after_s } = page;
    let title = title(status);
    let mut body = format!("<!doctype html>\n<title>{title}</title>\n<p>{reason}</p>\n");
    if let Some(link) = link {
        let _ = writeln!(body, "<p>The page to chat on is at <a href=\"{link}\">{link}</a>.</p>");
    }
    let mut text = format!("HTTP/1.1 {status} {title}\r\nConnection: close\r\n");
    // What a client could do to be let in.
    match status {
        405 => text.push_str("Allow: GET\r\n"),
        426 => text.push_str("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
        _ => {}
    }
    if let Some(seconds) = retry_after_s {
        let _ = write!(text, "Retry-After: {seconds}\r\n");
    }
    let _ = write!(
        text,
        "Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nContent-Security-Policy: default-src 'none'\r\n\
         X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\r\n{body}",
        body.len()
    );
    text.into_bytes()
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
