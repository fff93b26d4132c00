import assert from 'node:assert/strict';
import test from 'node:test';

import { look, parse, quantile, sum } from '../../../page/live/metrics.js';
import { bytes, count, duration, scale, short } from '../../../page/live/numbers.js';
import { Series, WINDOW_MS } from '../../../page/live/series.js';

/** What a server with two shards says. */
function said({ messages = [0, 0], turns = 100, deliveries = [0, 0], drops = 0, slow = 0 } = {}) {
  const shards = [0, 1].flatMap((shard) => [
    `campanile_connections{shard="${shard}"} ${shard + 3}`, `campanile_sessions{shard="${shard}"} 2`,
    `campanile_messages_in_total{shard="${shard}"} ${messages[shard]}`, `campanile_deliveries_total{shard="${shard}"} ${deliveries[shard]}`,
    `campanile_turn_seconds_sum{shard="${shard}"} ${turns * 1e-4}`, `campanile_turn_seconds_count{shard="${shard}"} ${turns + slow}`,
    `campanile_turn_seconds_bucket{le="0.001",shard="${shard}"} ${turns}`, `campanile_turn_seconds_bucket{le="0.002",shard="${shard}"} ${turns + slow}`,
    `campanile_turn_seconds_bucket{le="+Inf",shard="${shard}"} ${turns + slow}`,
    `campanile_request_queue_depth{shard="${shard}"} 1`, `campanile_result_queue_depth{shard="${shard}"} 2`, `campanile_outbox_pool_bytes{shard="${shard}"} 10`,
    `campanile_drops_total{shard="${shard}",reason="message_expired"} ${drops}`,
  ]);
  return ['# HELP campanile_connections x', ...shards, 'campanile_store_queue_depth{partition="0"} 5', '# EOF', ''].join('\n');
}

test('the text of metrics is read', () => {
  const families = parse('# TYPE a counter\na_total{x="1",y="a\\"b\\\\c\\nd, {e}"} 3 1700000000\nb 1.5e-3\nc_bucket{le="+Inf"} +Inf\n# EOF\n');
  assert.deepEqual([...families], [
    ['a_total', [{ labels: { x: '1', y: 'a"b\\c\nd, {e}' }, value: 3 }]], ['b', [{ labels: {}, value: 0.0015 }]], ['c_bucket', [{ labels: { le: '+Inf' }, value: Infinity }]],
  ]);
  const seen = look(said({ messages: [1, 2], drops: 4 }));
  assert.deepEqual([seen.shards, seen.connections, seen.messages, seen.storeQueue, seen.drops], [2, [3, 4], [1, 2], [5], { message_expired: 8 }]);
  assert.throws(() => look('<html>'), /not the metrics/);
});

test('quantiles are read off buckets', () => {
  const after = [[1, 50], [2, 100], [Infinity, 100]];
  const nothing = [[1, 0], [2, 0], [Infinity, 0]];
  assert.equal(quantile(nothing, after, 0.5), 1);
  assert.equal(quantile(nothing, after, 0.75), 1.5);
  assert.equal(quantile(after, after, 0.99), null);
  assert.equal(quantile([], after, 1), 2);
  assert.equal(quantile(nothing, [[1, 0], [2, 0], [Infinity, 9]], 0.99), 2, 'above all ends: the last that is known');
});

test('two looks make rates', () => {
  const series = new Series();
  series.add(0, look(said()));
  assert.equal(series.now, null);
  series.add(2_000, look(said({ messages: [10, 20], deliveries: [100, 0], turns: 200, slow: 100, drops: 2 })));
  const { messages, deliveries, loop, lanes, busy, drops, dropsTotal } = series.now;
  assert.deepEqual([messages, deliveries, lanes, drops, dropsTotal], [[5, 10], [50, 0], [3, 3], { message_expired: 2 }, 4]);
  assert.ok(loop.every((seconds) => seconds > 0.001 && seconds < 0.002));
  assert.ok(Math.abs(sum(busy) - 0.01) < 1e-9);
});

test('a restart, silence and long pauses break the curves', () => {
  const series = new Series();
  series.add(0, look(said({ turns: 500 })));
  series.add(1_000, look(said({ turns: 600 })));
  assert.equal(series.add(2_000, look(said({ turns: 1 }))), true, 'counters have gone back');
  assert.equal(series.now, null);
  series.add(3_000, look(said({ turns: 2 })));
  assert.notEqual(series.now, null);
  series.stop(4_000);
  series.stop(5_000);
  assert.equal(series.now, null);
  series.add(6_000, look(said({ turns: 3 })));
  assert.equal(series.now, null, 'what happened meanwhile is not known second by second');
  series.add(7_000, look(said({ turns: 4 })));
  assert.notEqual(series.now, null);
  series.add(60_000, look(said({ turns: 5 })));
  assert.equal(series.now, null, 'nobody looked for long');
});

test('only what can be seen is kept', () => {
  const series = new Series();
  for (let at = 0; at <= 10 * WINDOW_MS; at += 1_000) series.add(at, look(said({ turns: at })));
  assert.equal(series.points.length, WINDOW_MS / 1_000 + 2);
});

test('numbers as one reads them', () => {
  assert.deepEqual([0, 0.04, 0.5, 3, 9.96, 950, 999.6, 1_234, 34_000, 5.6e6, 2e9].map(short), ['0', '<0.1', '0.5', '3', '10', '950', '1\u202fk', '1.2\u202fk', '34\u202fk', '5.6\u202fM', '2\u202fG']);
  assert.deepEqual([0, 12e-6, 1.5e-3, 0.9999, 2].map(duration), ['0', '12\u202f\u00b5s', '1.5\u202fms', '1\u202fs', '2\u202fs']);
  assert.deepEqual([996, 12_345, 1_234_567].map(count), ['996', '12,345', '1.2\u202fM']);
  assert.deepEqual([12, 24_000].map(bytes), ['12\u202fB', '24\u202fkB']);
});

test('axes end at round numbers', () => {
  for (const [max, least, step, end] of [[0, 4, 1, 4], [7, 4, 2, 8], [996, 4, 500, 1_000], [4_100, 4, 2_000, 6_000], [0, 100e-6, 50e-6, 100e-6], [1e6, 1, 500e3, 1e6]]) {
    const found = scale(max, least);
    assert.ok(Math.abs(found.step / step - 1) < 1e-9 && Math.abs(found.end / end - 1) < 1e-9, `${max}: ${JSON.stringify(found)}`);
    assert.ok(found.end >= max);
  }
});
