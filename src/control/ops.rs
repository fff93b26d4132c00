//! The ops port: a few HTTP pages for operators and their machines.
//!
//! Every request must name a host that is this server (see [`host_is_ours`]); a web page that a browser on this machine happens to
//! show cannot read the metrics through a name that it lets point here. Whoever connects holds little: connections, header bytes and
//! times are bounded, and a connection above the bound waits in the kernel's queue. Browsers get the chat page here as well ([`page`]).

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backup::Refusal;
use super::exposition;
use super::health::{self, Sample, Watch};
use super::metrics::Metrics;
use super::{Sources, page};

/// Connections at once: enough for all who scrape and look, few enough to leave the descriptors to clients.
const CONNECTIONS_MAX: usize = 64;
/// A request's line and headers together; hyper wants at least 8 KiB.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// A request must be whole within this time after the connection or the last answer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// No connection lives longer, whatever it does: one that reads its answer slowly must not keep its place.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
/// How often the shards' numbers are looked at for health.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failed accept (no descriptor left) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request for a backup is answered within this time, whether it is made or not: before [`CONNECTION_TIME_MAX`].
const BACKUP_WAIT: Duration = Duration::from_secs(30);
/// How often it is looked whether it is made.
const BACKUP_LOOK: Duration = Duration::from_millis(50);

/// What `/ops` answers, and `/` to who is no browser.
const INDEX: &str = "Campanile operations: /healthz (alive), /readyz (wants clients), /metrics (Prometheus), /backup (POST makes one). In a browser, / is a page \
                     to chat on.\n";

/// What the pages are made from.
pub(super) struct Ops {
    sources: Sources,
    registry: Registry,
    /// Only this thread locks it; axum wants it anyway.
    watch: Mutex<Watch>,
}

impl Ops {
    pub(super) fn new(sources: Sources) -> Arc<Self> {
        let registry = exposition::registry(sources.metrics.clone(), sources.partitions.clone());
        let watch = Mutex::new(Watch::new(samples(&sources.metrics), Instant::now()));
        Arc::new(Self { sources, registry, watch })
    }

    /// Asks the watch, after one more look.
    fn ask(&self, question: impl Fn(&Watch, Instant) -> Option<String>) -> Option<String> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        watch.look(samples(&self.sources.metrics), now);
        question(&watch, now)
    }
}

/// One look at all shards.
fn samples(metrics: &Metrics) -> impl Iterator<Item = Sample> {
    metrics.iter().map(|metrics| Sample::from(&**metrics))
}

/// Serves until the server has stopped.
pub(super) async fn serve(listener: TcpListener, ops: Arc<Ops>) {
    let looking = tokio::spawn(look_regularly(ops.clone()));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let pages = pages(ops.clone());
    tokio::select! {
        () = accept(listener, &places, &pages) => {}
        () = ops.sources.health.stopped() => {}
    }
    looking.abort();
}

/// Samples the shards also when nobody asks, so that the first who asks hears of a shard that has hung for long.
async fn look_regularly(ops: Arc<Ops>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        ops.ask(|_, _| None);
    }
}

/// Accepts as long as there are places.
async fn accept(listener: TcpListener, places: &Arc<Semaphore>, pages: &Router) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, pages.clone(), place))),
            Err(error) => {
                tracing::warn!(%error, "ops port: accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, from its first request to its end. `place` is given back when it ends.
async fn connection(stream: TcpStream, pages: Router, place: OwnedSemaphorePermit) {
    let Ok(address) = stream.local_addr() else { return };
    let pages = pages.layer(middleware::from_fn_with_state(address, only_our_host));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    // A peer that goes away or is slow is no news.
    let _ = tokio::time::timeout(CONNECTION_TIME_MAX, served).await;
    drop(place);
}

/// The pages.
fn pages(ops: Arc<Ops>) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/ops", get(|| async { INDEX }))
        .route("/config.json", get(page_config))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/backup", post(begin_backup).get(backup))
        .fallback(page_file)
        .with_state(ops)
}

/// The chat page for browsers, a line of text for the rest.
async fn root(State(ops): State<Arc<Ops>>, uri: Uri, headers: HeaderMap) -> Response {
    if page::is_wanted(&headers) {
        page::file("/", &headers, host_named(&uri, &headers), ops.sources.ws)
    } else {
        ([(header::VARY, "Accept")], INDEX).into_response()
    }
}

async fn page_config(State(ops): State<Arc<Ops>>, uri: Uri, headers: HeaderMap) -> Response {
    page::config(host_named(&uri, &headers), ops.sources.ws)
}

/// Everything else is a file of the page, or nothing.
async fn page_file(State(ops): State<Arc<Ops>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if !method.is_safe() {
        return StatusCode::NOT_FOUND.into_response();
    }
    page::file(uri.path(), &headers, host_named(&uri, &headers), ops.sources.ws)
}

/// 200 as long as a restart would not help.
async fn healthz(State(ops): State<Arc<Ops>>) -> (StatusCode, String) {
    let phase = ops.sources.health.phase();
    verdict(ops.ask(|watch, now| watch.not_alive(phase, now)))
}

/// 200 if clients may come.
async fn readyz(State(ops): State<Arc<Ops>>) -> (StatusCode, String) {
    let phase = ops.sources.health.phase();
    let store = |now| health::store_not_ready(&ops.sources.partitions, ops.sources.commit_stall, now);
    verdict(ops.ask(|watch, now| watch.not_ready(phase, now).or_else(|| store(now))))
}

/// What a balancer reads (the status) and what a person reads (the text).
fn verdict(reason: Option<String>) -> (StatusCode, String) {
    match reason {
        None => (StatusCode::OK, "ok\n".into()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// The numbers of all shards.
async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    match exposition::text(&ops.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Makes a backup, and answers when it is made; at once with `Prefer: respond-async`, or when it takes longer than a connection may live.
async fn begin_backup(State(ops): State<Arc<Ops>>, headers: HeaderMap) -> (StatusCode, String) {
    if is_from_web_page(&headers) {
        return (StatusCode::FORBIDDEN, "A web page may not make a backup; use `campanile backup`.\n".into());
    }
    if let Err(refusal) = ops.sources.backups.begin() {
        return refused(refusal);
    }
    let is_async = headers.get("prefer").is_some_and(|prefer| prefer == "respond-async");
    let until = Instant::now() + if is_async { Duration::ZERO } else { BACKUP_WAIT };
    while ops.sources.backups.is_running() && Instant::now() < until {
        tokio::time::sleep(BACKUP_LOOK).await;
    }
    let is_running = ops.sources.backups.is_running();
    let (text, has_failed) = ops.sources.backups.report();
    let status = match (is_running, has_failed) {
        (true, _) => StatusCode::ACCEPTED,
        (false, true) => StatusCode::INTERNAL_SERVER_ERROR,
        (false, false) => StatusCode::OK,
    };
    (status, text)
}

/// How far the backup is that is being made, or what became of the last one.
async fn backup(State(ops): State<Arc<Ops>>) -> (StatusCode, String) {
    ops.sources.backups.expect_enabled().map_or_else(refused, |()| (StatusCode::OK, ops.sources.backups.report().0))
}

/// What a refused backup is answered with.
fn refused(refusal: Refusal) -> (StatusCode, String) {
    let status = match refusal {
        Refusal::NotEnabled => StatusCode::FORBIDDEN,
        Refusal::NothingOnDisk => StatusCode::NOT_IMPLEMENTED,
        Refusal::NotOpen | Refusal::Failed => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Busy => StatusCode::CONFLICT,
    };
    (status, format!("{}\n", refusal.text()))
}

/// A page of any site can let a browser send a request here that names this host; a browser says that it comes from a page.
fn is_from_web_page(headers: &HeaderMap) -> bool {
    [header::ORIGIN.as_str(), "sec-fetch-site"].iter().any(|name| headers.contains_key(*name))
}

/// Answers only requests that name this server. `address`: where the connection arrived.
async fn only_our_host(State(address): State<SocketAddr>, request: Request, next: Next) -> Result<Response, Infallible> {
    let refusal = match host(request.uri(), request.headers()) {
        Some(host) if host_is_ours(host, address.ip()) => return Ok(next.run(request).await),
        Some(_) => {
            (StatusCode::MISDIRECTED_REQUEST, "This is not the host that the request names; use localhost or the address.\n")
        }
        None => (StatusCode::BAD_REQUEST, "The request names no host.\n"),
    };
    Ok(refusal.into_response())
}

/// Whom a request is for.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let of_header = headers.get(header::HOST).map(|host| host.to_str().unwrap_or(""));
    uri.authority().map(|authority| authority.as_str()).or(of_header)
}

/// Whom a request is for, without the port; the request has passed [`only_our_host`].
fn host_named<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    host(uri, headers).and_then(without_port).unwrap_or("localhost")
}

/// Whether a Host header (`name`, `name:port`, `[v6]:port`) means this server: localhost, a loopback address, or the address at which
/// the connection arrived. No other name: whoever owns a name can let it point here, and then a browser takes his page for ours.
fn host_is_ours(host: &str, arrived_at: IpAddr) -> bool {
    let Some(name) = without_port(host) else { return false };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() else { return false };
    address.to_canonical().is_loopback() || address.to_canonical() == arrived_at.to_canonical()
}

/// The host without its port, which may be any: a port that was forwarded has another number.
fn without_port(host: &str) -> Option<&str> {
    let name_end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at(name_end);
    let is_port = port.is_empty() || (port.starts_with(':') && port[1..].parse::<u16>().is_ok());
    is_port.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_loopback_and_the_own_address_are_ours() {
        let arrived_at: IpAddr = "192.0.2.7".parse().unwrap();
        for ours in [
            "localhost",
            "LOCALHOST:7402",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]",
            "[::1]:7402",
            "192.0.2.7:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(host_is_ours(ours, arrived_at), "{ours}");
        }
        for not_ours in [
            "",
            "evil.example",
            "localhost.evil.example",
            "192.0.2.8",
            "127.0.0.1.evil.example",
            "localhost:port",
            "[::1",
            ":80",
            "[::1]x",
        ] {
            assert!(!host_is_ours(not_ours, arrived_at), "{not_ours}");
        }
    }
}
