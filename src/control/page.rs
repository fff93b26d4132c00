//! The chat page: files that are part of the binary, and what a browser may do with them.
//!
//! They are plain modules and style sheets, served as they stand in `page/` and `tools/client-js/src/`. What others wrote is shown by the page as text and
//! never as markup, and the headers see to it: nothing is loaded from elsewhere, no text becomes script, nobody puts the page into a frame, and
//! it may connect to this server and to its WebSocket address only.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

/// One file of the page.
struct File {
    path: &'static str,
    bytes: &'static [u8],
}

/// The files: where they are served, and where they stand in the repository.
macro_rules! files {
    ($( $path:literal = $file:literal; )*) => {
        const FILES: &[File] = &[
            $( File { path: $path, bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $file)) }, )*
        ];
        #[cfg(test)]
        const SOURCES: &[(&str, &str)] = &[ $( ($path, $file), )* ];
    };
}

files! {
    "/" = "page/index.html";
    "/app.js" = "page/app.js";
    "/avatar.js" = "page/avatar.js";
    "/chat/banner.js" = "page/chat/banner.js";
    "/chat/composer.js" = "page/chat/composer.js";
    "/chat/conversation.js" = "page/chat/conversation.js";
    "/chat/dialogs.js" = "page/chat/dialogs.js";
    "/chat/links.js" = "page/chat/links.js";
    "/chat/list.js" = "page/chat/list.js";
    "/chat/model.js" = "page/chat/model.js";
    "/chat/rows.js" = "page/chat/rows.js";
    "/chat/status.js" = "page/chat/status.js";
    "/chat/thread.js" = "page/chat/thread.js";
    "/chat/view.js" = "page/chat/view.js";
    "/chat/words.js" = "page/chat/words.js";
    "/client/backoff.js" = "tools/client-js/src/backoff.js";
    "/client/body.js" = "tools/client-js/src/body.js";
    "/client/client.js" = "tools/client-js/src/client.js";
    "/client/clock.js" = "tools/client-js/src/clock.js";
    "/client/conversations.js" = "tools/client-js/src/conversations.js";
    "/client/emitter.js" = "tools/client-js/src/emitter.js";
    "/client/errors.js" = "tools/client-js/src/errors.js";
    "/client/ids.js" = "tools/client-js/src/ids.js";
    "/client/index.js" = "tools/client-js/src/index.js";
    "/client/machine.js" = "tools/client-js/src/machine.js";
    "/client/queue.js" = "tools/client-js/src/queue.js";
    "/client/receiver.js" = "tools/client-js/src/receiver.js";
    "/client/requests.js" = "tools/client-js/src/requests.js";
    "/client/tracker.js" = "tools/client-js/src/tracker.js";
    "/dom.js" = "page/dom.js";
    "/icon.svg" = "page/icon.svg";
    "/icons.js" = "page/icons.js";
    "/live/chart.js" = "page/live/chart.js";
    "/live/metrics.js" = "page/live/metrics.js";
    "/live/numbers.js" = "page/live/numbers.js";
    "/live/series.js" = "page/live/series.js";
    "/live/view.js" = "page/live/view.js";
    "/login.js" = "page/login.js";
    "/memory.js" = "page/memory.js";
    "/style/base.css" = "page/style/base.css";
    "/style/chat.css" = "page/style/chat.css";
    "/style/live.css" = "page/style/live.css";
    "/style/shell.css" = "page/style/shell.css";
    "/theme.js" = "page/theme.js";
    "/time.js" = "page/time.js";
}

/// Headers of every answer that a browser may show.
const GUARDS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The file of a path, or that there is none. `host`: whom the request names, without its port; `ws`: where WebSockets are taken.
pub(super) fn file(path: &str, headers: &HeaderMap, host: &str, ws: Option<SocketAddr>) -> Response {
    let Some(file) = FILES.iter().find(|file| file.path == path) else { return StatusCode::NOT_FOUND.into_response() };
    let etag = format!("\"{:016x}\"", xxh3_64(file.bytes));
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    // Asked for again each time, and sent again only if another version of the server runs.
    let common = [
        (header::ETAG, etag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        // `/` has another answer for who does not want a page.
        (header::VARY, "Accept".to_owned()),
        (header::CONTENT_SECURITY_POLICY, content_security_policy(host, ws)),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, GUARDS, common).into_response();
    }
    ([(header::CONTENT_TYPE, content_type(file.path))], GUARDS, common, file.bytes).into_response()
}

/// What the page must know before it can connect.
pub(super) fn config(host: &str, ws: Option<SocketAddr>) -> Response {
    let ws = ws.map(|ws| format!("ws://{}", reached(host, ws)));
    let text = json!({ "ws": ws, "server": env!("CARGO_PKG_VERSION") }).to_string();
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], GUARDS, text).into_response()
}

/// Whether whoever asks wants a page to look at, as browsers say, and not whatever there is, as `curl` does.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html")))
}

/// Where a browser that has reached this server under the name `host` reaches `ws`: under the same name if that stands for the same
/// machine, so that the page's origin is the host of its WebSocket too.
fn reached(host: &str, ws: SocketAddr) -> String {
    let name = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_same = match name {
        _ if ws.ip().is_unspecified() => true,
        Ok(ip) => ip.to_canonical() == ws.ip().to_canonical(),
        Err(_) => ws.ip().is_loopback(),
    };
    if is_same { format!("{host}:{}", ws.port()) } else { ws.to_string() }
}

/// Trusted types: a browser that knows them refuses to make markup or script out of any text.
fn content_security_policy(host: &str, ws: Option<SocketAddr>) -> String {
    let ws = ws.map(|ws| reached(host, ws)).map(|ws| format!(" ws://{ws} wss://{ws}")).unwrap_or_default();
    format!(
        "default-src 'self'; connect-src 'self'{ws}; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, kind)| kind) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn names(dir: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{dir}/{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true if !name.ends_with("/screenshots") && !name.ends_with("/test") => names(&name, found),
                true => {}
                false => drop(found.insert(name)),
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let mut there = BTreeSet::new();
        names("page", &mut there);
        names("tools/client-js/src", &mut there);
        let served: BTreeSet<String> = SOURCES.iter().map(|(_, file)| (*file).to_owned()).collect();
        assert_eq!(there, served);
    }

    /// A module imports by a path beside its own; a missing one would be found by nobody but a browser.
    #[test]
    fn everything_that_is_imported_is_served() {
        for file in FILES.iter().filter(|file| file.path.ends_with(".js")) {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for import in text.lines().filter_map(|line| line.split_once(" from '")?.1.strip_suffix("';")) {
                let mut path: Vec<&str> = file.path.split('/').collect();
                path.pop();
                for part in import.split('/') {
                    match part {
                        "." => {}
                        ".." => drop(path.pop()),
                        name => path.push(name),
                    }
                }
                let wanted = path.join("/");
                assert!(FILES.iter().any(|file| file.path == wanted), "{} imports {import}", file.path);
            }
        }
    }

    #[test]
    fn a_socket_is_reached_under_the_name_of_the_page() {
        let ws = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (host, address, expected) in [
            ("localhost", "127.0.0.1:7401", "localhost:7401"),
            ("127.0.0.1", "127.0.0.1:7401", "127.0.0.1:7401"),
            ("[::1]", "[::1]:7401", "[::1]:7401"),
            ("[::1]", "127.0.0.1:7401", "127.0.0.1:7401"),
            ("192.0.2.7", "0.0.0.0:7401", "192.0.2.7:7401"),
            ("[2001:db8::7]", "[::]:7401", "[2001:db8::7]:7401"),
            ("localhost", "192.0.2.7:7401", "192.0.2.7:7401"),
            ("192.0.2.7", "127.0.0.1:7401", "127.0.0.1:7401"),
        ] {
            assert_eq!(reached(host, ws(address)), expected, "{host} {address}");
        }
    }

    #[test]
    fn browsers_want_the_page_and_scripts_do_not() {
        let wanted = |accept: &str| is_wanted(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]));
        assert!(wanted("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(wanted("Text/HTML;q=0.9"));
        for other in ["*/*", "text/plain", "application/openmetrics-text", "text/htmlx", ""] {
            assert!(!wanted(other), "{other}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
