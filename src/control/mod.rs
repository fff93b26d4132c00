//! What operators see: metrics, health and readiness, backups; and the page to chat on. All served by one thread that is no shard.
//!
//! ```text
//!   shard 0 --writes--> ShardMetrics 0 <--reads--+
//!   shard 1 --writes--> ShardMetrics 1 <--reads--+-- control thread (tokio) -- HTTP -- operators, Prometheus
//!   main ----writes---> Health         <--reads--+
//! ```

pub mod ask;
mod backup;
mod exposition;
mod health;
pub mod metrics;
mod ops;
mod page;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::CpuSet;

pub use backup::Backups;
pub use health::{Health, Phase};
use metrics::{Metrics, Partitions};

/// What the control thread tells, and from where.
pub struct Sources {
    /// The shards' numbers.
    pub metrics: Metrics,
    /// The store's numbers.
    pub partitions: Partitions,
    /// A partition that commits for longer is told by readiness.
    pub commit_stall: Duration,
    /// In which phase the server is.
    pub health: Arc<Health>,
    /// Who makes backups.
    pub backups: Arc<Backups>,
    /// Where the page finds its WebSocket, if anywhere.
    pub ws: Option<SocketAddr>,
}

/// Starts the control thread on a listener that is already bound, so that a taken address is the caller's error. It runs on `cpus`
/// and ends after [`Phase::Stopped`].
///
/// # Errors
/// The thread, its runtime or its event queue cannot be made.
pub fn spawn(listener: TcpListener, sources: Sources, cpus: &[usize]) -> io::Result<JoinHandle<()>> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    std::thread::Builder::new().name("control".into()).spawn(move || {
        stay_on(&set);
        runtime.block_on(ops::serve(listener, ops::Ops::new(sources)));
    })
}

/// Binds this thread to processors. If that fails, it runs where it may, which costs speed and nothing else.
fn stay_on(set: &CpuSet) {
    if let Err(error) = rustix::thread::sched_setaffinity(None, set) {
        tracing::warn!(%error, "the control thread could not be bound to its processors");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// A control thread on a free port of loopback, stopped at the end of its test.
    struct Running {
        address: SocketAddr,
        metrics: Metrics,
        partitions: Partitions,
        health: Arc<Health>,
        thread: Option<JoinHandle<()>>,
    }

    impl Running {
        fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (metrics, health) = (metrics::for_shards(2), Arc::new(Health::default()));
            let cpus = crate::config::allowed_cpus().unwrap();
            let partitions = metrics::for_partitions(2);
            let sources = Sources {
                metrics: metrics.clone(),
                partitions: partitions.clone(),
                commit_stall: Duration::ZERO,
                health: health.clone(),
                backups: Arc::new(Backups::default()),
                ws: Some("127.0.0.1:7401".parse().unwrap()),
            };
            let thread = spawn(listener, sources, &cpus).unwrap();
            Self { address, metrics, partitions, health, thread: Some(thread) }
        }

        fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream
        }

        /// Sends a request as it stands and reads the answer to its end.
        fn ask(&self, request: &str) -> String {
            let mut stream = self.connect();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            // The end may be a reset when the server did not read all that was sent.
            let _ = stream.read_to_string(&mut answer);
            answer
        }

        fn get(&self, path: &str, host: &str) -> String {
            self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.health.set(Phase::Stopped);
            self.thread.take().unwrap().join().unwrap();
        }
    }

    #[test]
    fn the_pages_tell_phase_and_numbers() {
        let running = Running::start();
        running.metrics[1].deliveries.add(42);
        assert!(running.get("/", "localhost").contains("/metrics"));
        assert!(running.get("/healthz", "localhost").starts_with("HTTP/1.1 200"));
        let starting = running.get("/readyz", "localhost");
        assert!(starting.starts_with("HTTP/1.1 503") && starting.ends_with("starting\n"), "{starting}");
        running.health.set(Phase::Ready);
        assert!(running.get("/readyz", "localhost").starts_with("HTTP/1.1 200"));
        running.partitions[1].commit_begins();
        let stalled = running.get("/readyz", "localhost");
        assert!(stalled.starts_with("HTTP/1.1 503") && stalled.contains("partition 1"), "{stalled}");
        running.partitions[1].commit_ends();
        assert!(running.get("/readyz", "localhost").starts_with("HTTP/1.1 200"));
        running.health.set(Phase::Stopping);
        assert!(running.get("/readyz", "localhost").ends_with("stopping\n"));
        let metrics = running.get("/metrics", "127.0.0.1:7402");
        assert!(
            metrics.contains("application/openmetrics-text") && metrics.contains("campanile_deliveries_total{shard=\"1\"} 42")
        );
        assert!(running.get("/nothing", "localhost").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn browsers_get_the_page_and_others_the_list() {
        let running = Running::start();
        let browser = |path: &str, more: &str| {
            running.ask(&format!(
                "GET {path} HTTP/1.1\r\nHost: localhost:7402\r\nAccept: text/html,*/*\r\n{more}Connection: close\r\n\r\n"
            ))
        };
        let page = browser("/", "");
        for part in [
            "HTTP/1.1 200",
            "content-type: text/html; charset=utf-8",
            "connect-src 'self' ws://localhost:7401 wss://localhost:7401;",
            "default-src 'self';",
            "x-content-type-options: nosniff",
            "cache-control: no-cache",
            "vary: Accept",
            "<script type=\"module\" src=\"/app.js\">",
        ] {
            assert!(page.contains(part), "{part} in\n{page}");
        }
        assert!(browser("/app.js", "").contains("content-type: text/javascript"));
        assert!(browser("/client/index.js", "").contains("export { Client }"));
        assert!(browser("/config.json", "").ends_with("{\"server\":\"0.1.0\",\"ws\":\"ws://localhost:7401\"}"));
        assert!(browser("/ops", "").contains("/metrics"));
        for missing in ["/app.mjs", "/client/../../Cargo.toml", "/page/app.js", "/app.js/"] {
            assert!(browser(missing, "").starts_with("HTTP/1.1 404"), "{missing}");
        }
        let etag = page.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let known = browser("/", &format!("If-None-Match: {etag}\r\n"));
        assert!(known.starts_with("HTTP/1.1 304") && known.ends_with("\r\n\r\n"), "{known}");
        assert!(running.ask("POST /app.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn backups_are_refused_unless_enabled_and_never_begun_by_a_web_page() {
        let running = Running::start();
        let post =
            |header: &str| running.ask(&format!("POST /backup HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n"));
        for answer in [post(""), running.get("/backup", "localhost")] {
            assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("--backup-dir"), "{answer}");
        }
        for header in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
            let answer = post(header);
            assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("web page"), "{answer}");
        }
        let other = "POST /backup HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
        assert!(running.ask(other).starts_with("HTTP/1.1 421"));
    }

    #[test]
    fn another_host_is_refused() {
        let running = Running::start();
        for host in ["evil.example", "localhost.evil.example:80", ""] {
            assert!(running.get("/metrics", host).starts_with("HTTP/1.1 421"), "{host:?}");
        }
        assert!(running.ask("GET /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 400"));
        assert!(
            running
                .ask("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .contains(" 421")
        );
    }

    #[test]
    fn large_headers_and_slow_requests_end() {
        let running = Running::start();
        let large = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
        assert!(!running.ask(&large).contains("HTTP/1.1 200"));
        let started = std::time::Instant::now();
        running.ask("GET / HTTP/1.1\r\nHost: lo");
        assert!(started.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn many_silent_connections_leave_the_port_working() {
        let running = Running::start();
        let silent: Vec<TcpStream> = (0..200).map(|_| running.connect()).collect();
        // They hold all places until the header time is over; who asks meanwhile waits and is served.
        assert!(running.get("/healthz", "localhost").starts_with("HTTP/1.1 200"));
        drop(silent);
    }
}
