//! The metrics as text that Prometheus reads (OpenMetrics 1.0).

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::metrics::{Histogram, Metrics, PARTITION_PLAIN, PLAIN, Partitions, Plain, Reading, ShardMetrics};

/// What the text is, for the header `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry that reads the blocks at each scrape; every name begins with `campanile_`.
#[must_use]
pub fn registry(metrics: Metrics, partitions: Partitions) -> Registry {
    let mut registry = Registry::with_prefix("campanile");
    registry.register_collector(Box::new(Blocks { metrics, partitions }));
    registry
}

/// The text of one scrape.
///
/// # Errors
/// Only if writing to a string fails, which it does not.
pub fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// The blocks of all shards and partitions.
#[derive(Debug)]
struct Blocks {
    metrics: Metrics,
    partitions: Partitions,
}

/// Name, value of the second label, and reader of a counter that is kept by something else than the shard.
type LabelledReader = fn(&ShardMetrics) -> Vec<(&'static str, u64)>;

impl Collector for Blocks {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for plain in PLAIN {
            encode_plain(plain, "shard", self.metrics.iter().map(|block| &**block), &mut encoder)?;
        }
        for plain in PARTITION_PLAIN {
            encode_plain(plain, "partition", self.partitions.iter().map(|block| &**block), &mut encoder)?;
        }
        let labelled: [(&str, &str, &str, LabelledReader); 5] = [
            ("drops", "reason", "Events and messages that were left out.", |metrics| metrics.drops().to_vec()),
            ("closes", "code", "Connections that ended; code peer: the peer ended it.", |metrics| metrics.closes().collect()),
            ("errors", "code", "Requests that were answered with an error.", |metrics| metrics.errors().collect()),
            ("upgrade_refusals", "reason", "Requests that were not upgraded to WebSocket.", |metrics| {
                metrics.upgrade_refusals().collect()
            }),
            ("websocket_faults", "fault", "WebSockets that ended because the peer broke a rule.", |metrics| {
                metrics.websocket_faults().collect()
            }),
        ];
        for (name, label, help, read) in labelled {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (shard, metrics) in self.metrics.iter().enumerate() {
                for (value, count) in read(metrics) {
                    let labels = [("shard", shard.to_string()), (label, value.to_owned())];
                    family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
                }
            }
        }
        Ok(())
    }
}

/// One plain number of every block; `label` says what its number counts.
fn encode_plain<'a, M: 'a>(
    plain: &Plain<M>,
    label: &'static str,
    blocks: impl Iterator<Item = &'a M>,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let mut blocks = blocks.enumerate().peekable();
    let Some((_, first)) = blocks.peek() else { return Ok(()) };
    let metric_type = match (plain.read)(first) {
        Reading::Counter(_) => MetricType::Counter,
        Reading::Gauge(_) => MetricType::Gauge,
        Reading::TimeHistogram(_) | Reading::CountHistogram(_) => MetricType::Histogram,
    };
    let help = plain.help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut family = encoder.encode_descriptor(plain.name, &help, None, metric_type)?;
    for (number, block) in blocks {
        let labels = [(label, number.to_string())];
        encode_reading(&(plain.read)(block), family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// One number of one block. Times are counted in nanoseconds and told in seconds, as Prometheus wants.
fn encode_reading(reading: &Reading<'_>, mut encoder: MetricEncoder) -> fmt::Result {
    const SECONDS_PER_NS: f64 = 1e-9;
    match reading {
        Reading::Counter(counter) => encoder.encode_counter::<NoLabelSet, u64, u64>(&counter.get(), None),
        Reading::Gauge(gauge) => encoder.encode_gauge(&i64::try_from(gauge.get()).unwrap_or(i64::MAX)),
        Reading::TimeHistogram(histogram) => encode_histogram(histogram, SECONDS_PER_NS, encoder),
        Reading::CountHistogram(histogram) => encode_histogram(histogram, 1.0, encoder),
    }
}

/// One histogram of one block, its values times `scale`.
fn encode_histogram<const FIRST: u64, const BUCKETS: usize>(
    histogram: &Histogram<FIRST, BUCKETS>,
    scale: f64,
    mut encoder: MetricEncoder,
) -> fmt::Result {
    let buckets: Vec<(f64, u64)> =
        histogram.buckets().map(|(end, count)| (end.map_or(f64::INFINITY, |end| end as f64 * scale), count)).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(histogram.sum() as f64 * scale, count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{DropReason, for_partitions, for_shards};
    use super::*;
    use crate::wire::schema::CloseCode;

    #[test]
    fn a_scrape_tells_every_shard() {
        let metrics = for_shards(2);
        metrics[0].connections.set(3);
        metrics[1].deliveries.add(7);
        metrics[1].bytes_out.add(100);
        metrics[1].dropped(DropReason::EphemeralLane, 2);
        metrics[0].closed(CloseCode::idle_timeout);
        metrics[0].turn_ns.observe(2_000);
        metrics[0].sends_per_turn.observe(3);
        let partitions = for_partitions(2);
        partitions[1].batches.add(5);
        partitions[0].sync_ns.observe(2_000);
        let text = text(&registry(metrics, partitions)).unwrap();
        for line in [
            "# TYPE campanile_connections gauge",
            "campanile_connections{shard=\"0\"} 3",
            "campanile_connections{shard=\"1\"} 0",
            "# TYPE campanile_deliveries counter",
            "campanile_deliveries_total{shard=\"1\"} 7",
            "campanile_sent_bytes_total{shard=\"1\"} 100",
            "campanile_drops_total{shard=\"1\",reason=\"ephemeral_lane\"} 2",
            "campanile_closes_total{shard=\"0\",code=\"idle_timeout\"} 1",
            "campanile_closes_total{shard=\"0\",code=\"peer\"} 0",
            "campanile_errors_total{shard=\"0\",code=\"bad_request\"} 0",
            "campanile_turn_seconds_count{shard=\"0\"} 1",
            "campanile_sends_per_turn_bucket{le=\"4.0\",shard=\"0\"} 1",
            "campanile_store_batches_total{partition=\"1\"} 5",
            "campanile_store_sync_seconds_count{partition=\"0\"} 1",
            "campanile_sends_per_turn_bucket{le=\"+Inf\",shard=\"0\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn every_number_has_its_help_and_a_name_of_its_own() {
        let text = text(&registry(for_shards(1), for_partitions(1))).unwrap();
        let helps: Vec<&str> = text.lines().filter(|line| line.starts_with("# HELP")).collect();
        let names: std::collections::HashSet<&str> = helps.iter().filter_map(|line| line.split(' ').nth(2)).collect();
        assert_eq!(names.len(), PLAIN.len() + PARTITION_PLAIN.len() + 5);
        assert!(helps.iter().all(|line| !line.contains("..") && line.ends_with('.')), "{helps:#?}");
    }
}
