/** Reads what `/metrics` answers (OpenMetrics text), and takes from it what the charts need. */

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { '\\n': '\n', '\\"': '"', '\\\\': '\\' };

/** name -> [{labels, value}] */
export function parse(text) {
  const families = new Map();
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = (!line.startsWith('#') && line.match(LINE)) || [];
    if (!name) continue;
    if (!families.has(name)) families.set(name, []);
    families.get(name).push({ labels: parseLabels(labels), value: Number(value === '+Inf' ? Infinity : value) });
  }
  return families;
}

function parseLabels(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(LABEL)) labels[name] = value.replace(/\\[n"\\]/g, (escaped) => ESCAPES[escaped]);
  return labels;
}

/** One look at the server. Lists are by shard, or by partition of the store. */
export function look(text) {
  const families = parse(text);
  const list = (name, label = 'shard') => {
    const values = [];
    for (const { labels, value } of families.get(`campanile_${name}`) ?? []) values[Number(labels[label])] = value;
    return values;
  };
  const shards = list('connections').length;
  if (shards === 0) throw new Error('these are not the metrics of a Campanile server');
  return {
    shards,
    connections: list('connections'),
    sessions: list('sessions'),
    messages: list('messages_in_total'),
    deliveries: list('deliveries_total'),
    turns: list('turn_seconds_count'),
    workedSeconds: list('turn_seconds_sum'),
    turnBuckets: buckets(families.get('campanile_turn_seconds_bucket') ?? [], shards),
    requestQueue: list('request_queue_depth'),
    resultQueue: list('result_queue_depth'),
    storeQueue: list('store_queue_depth', 'partition'),
    outboxBytes: list('outbox_pool_bytes'),
    drops: byLabel(families.get('campanile_drops_total') ?? [], 'reason'),
  };
}

/** Cumulative counts by the buckets' upper ends, for each shard: [[end in seconds, count] ...], ascending. */
function buckets(rows, shards) {
  const all = Array.from({ length: shards }, () => []);
  for (const { labels, value } of rows) all[Number(labels.shard)]?.push([labels.le === '+Inf' ? Infinity : Number(labels.le), value]);
  all.forEach((list) => list.sort(([a], [b]) => a - b));
  return all;
}

/** Sums over all shards by another label. */
function byLabel(rows, label) {
  const sums = {};
  for (const { labels, value } of rows) sums[labels[label]] = (sums[labels[label]] ?? 0) + value;
  return sums;
}

export const sum = (list) => list.reduce((total, value) => total + value, 0);

/**
 * The value below which the share `q` of what was counted between two looks lies, read off cumulative buckets, evenly within a
 * bucket. Null: nothing was counted.
 */
export function quantile(before, after, q) {
  const counts = after.map(([end, count], index) => [end, count - (before[index]?.[1] ?? 0)]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (!(total > 0)) return null;
  const rank = q * total;
  let [low, below] = [0, 0];
  for (const [end, count] of counts) {
    if (count >= rank) return end === Infinity ? low : low + (end - low) * ((rank - below) / Math.max(1, count - below));
    [low, below] = [end, count];
  }
  return low;
}
