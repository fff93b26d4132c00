//! What crosses from core to core as shards grow, by counting: the server's own modules on 1 to 64 shards, the same town of users on them, virtual time. No
//! sockets, no threads, the same figures each time. `cargo bench --bench scaling`; without `--bench` a small town, to see that it runs.

mod work;

use campanile::slot::ShardId;
use work::clockwork::{Outcome, play};
use work::town::{Mix, Town};

const SEED: u64 = 42;
const MIX: Mix = Mix { direct: 80, group: 15, topic: 5 };
const ONLY: [(&str, Mix); 3] = [
    ("direct", Mix { direct: 1, group: 0, topic: 0 }),
    ("group", Mix { direct: 0, group: 1, topic: 0 }),
    ("topic", Mix { direct: 0, group: 0, topic: 1 }),
];
/// Load, as a share of what the cores bear if they take messages one by one.
const LOADS: [f64; 3] = [0.1, 0.5, 0.9];
/// Time between messages on each shard when they do not meet.
const ALONE_NS: f64 = 5_000_000.0;

/// How much is played.
struct Size {
    shards: &'static [ShardId],
    users: usize,
    messages: u64,
}

const WHOLE: Size = Size { shards: &[1, 2, 4, 8, 16, 32, 64], users: 16_000, messages: 16_000 };
const SMALL: Size = Size { shards: &[1, 2, 4], users: 100, messages: 200 };

fn main() {
    let size = if std::env::args().any(|argument| argument == "--bench") { WHOLE } else { SMALL };
    let rows: Vec<Row> = size.shards.iter().map(|&shards| Row::play(shards, &size)).collect();
    println!(
        "| shards | deliveries per message | between shards, per delivery | requests, answers, news per message | bells per 1000 deliveries at 10, 50, 90 % load | busy then | credits in use at most | busiest shard to the mean |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    rows.iter().for_each(Row::print);
    println!();
    println!("| shards | direct: between shards per delivery | group | topic |");
    println!("|---|---|---|---|");
    rows.iter().for_each(Row::print_kinds);
}

/// A number of shards.
struct Row {
    shards: ShardId,
    /// One for each load.
    mixed: Vec<Outcome>,
    kinds: Vec<Outcome>,
}

impl Row {
    fn play(shards: ShardId, size: &Size) -> Row {
        let mut town = Town::new(shards, size.users, SEED);
        let (messages, cores) = (size.messages, usize::from(shards));
        let mut at_load = |mix, loads: &[f64]| -> Vec<Outcome> {
            let (alone, span_ns) = play(&mut town, mix, messages / 4, ALONE_NS / f64::from(shards));
            let each_ns = alone.busy_ns_per_message(span_ns, cores) / f64::from(shards);
            loads.iter().map(|load| play(&mut town, mix, messages, each_ns / load).0).collect()
        };
        let mixed = at_load(MIX, &LOADS);
        let kinds = ONLY.iter().flat_map(|&(_, mix)| at_load(mix, &[0.5])).collect();
        Row { shards, mixed, kinds }
    }

    fn print(&self) {
        let half = &self.mixed[1];
        let each = |count: u64| count as f64 / half.messages as f64;
        let all = |what: &dyn Fn(&Outcome) -> String| self.mixed.iter().map(what).collect::<Vec<_>>().join(", ");
        println!(
            "| {} | {:.1} | {:.3} | {:.2}, {:.2}, {:.2} | {} | {} | {:.1} % | {:.2} |",
            self.shards,
            each(half.deliveries),
            per_delivery(half),
            each(half.requests),
            each(half.answers),
            each(half.news),
            all(&|run| format!("{:.1}", 1000.0 * run.bells as f64 / run.deliveries as f64)),
            all(&|run| format!("{:.0} %", 100.0 * run.busy)),
            100.0 * self.mixed.iter().map(|run| run.credits).fold(0.0, f64::max),
            half.imbalance,
        );
    }

    fn print_kinds(&self) {
        let kinds: Vec<String> = self.kinds.iter().map(|run| format!("{:.3}", per_delivery(run))).collect();
        println!("| {} | {} |", self.shards, kinds.join(" | "));
    }
}

fn per_delivery(run: &Outcome) -> f64 {
    run.envelopes() as f64 / run.deliveries as f64
}
