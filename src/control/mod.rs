//! What operators see: metrics, health and readiness, served by one thread that is no shard.
//!
//! ```text
//!   shard 0 --writes--> ShardMetrics 0 <--reads--+
//!   shard 1 --writes--> ShardMetrics 1 <--reads--+-- control thread (tokio) -- HTTP -- operators, Prometheus
//!   main ----writes---> Health         <--reads--+
//! ```

pub mod exposition;
pub mod metrics;
