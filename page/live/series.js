/** The last two minutes: looks at the server become points of curves. */

import { quantile, sum } from './metrics.js';

/** How far back the curves go. */
export const WINDOW_MS = 120_000;
/** Two looks further apart than this are no longer one curve. */
const BREAK_MS = 5_000;

export class Series {
  /** {at, values} or {at, values: null}: from here to the next there is no curve. */
  points = [];
  #last = null;

  /** What the server said at `at`. True: it was started anew since the last look. */
  add(at, seen) {
    const last = this.#last;
    this.#last = { at, seen };
    this.#forget(at);
    if (!last) return false;
    const isNewRun = isOlder(seen, last.seen);
    const seconds = (at - last.at) / 1000;
    if (isNewRun || last.isOver || seconds * 1000 > BREAK_MS || seconds <= 0) this.points.push({ at, values: null });
    else this.points.push({ at, values: between(last.seen, seen, seconds) });
    return isNewRun;
  }

  /** It did not answer. */
  stop(at) {
    if (this.points.at(-1)?.values) this.points.push({ at, values: null });
    if (this.#last) this.#last.isOver = true;
    this.#forget(at);
  }

  /** The newest point with values, or null. */
  get now() {
    return this.points.at(-1)?.values ?? null;
  }

  #forget(at) {
    // One more than is shown, so that the curve leaves over the edge.
    while (this.points.length > 1 && this.points[1].at < at - WINDOW_MS) this.points.shift();
  }
}

/** Counters only grow, unless the process is another one. */
function isOlder(seen, before) {
  return seen.shards !== before.shards || sum(seen.turns) < sum(before.turns) || sum(seen.deliveries) < sum(before.deliveries);
}

/** What the charts show, of the time between two looks. */
function between(before, after, seconds) {
  const rate = (name) => after[name].map((value, index) => (value - (before[name][index] ?? 0)) / seconds);
  const drops = Object.fromEntries(Object.entries(after.drops).map(([reason, count]) => [reason, (count - (before.drops[reason] ?? 0)) / seconds]));
  return {
    connections: after.connections,
    sessions: after.sessions,
    messages: rate('messages'),
    deliveries: rate('deliveries'),
    loop: after.turnBuckets.map((buckets, shard) => quantile(before.turnBuckets[shard], buckets, 0.99)),
    busy: rate('workedSeconds'),
    turns: rate('turns'),
    lanes: after.requestQueue.map((depth, shard) => depth + (after.resultQueue[shard] ?? 0)),
    storeQueue: after.storeQueue,
    outboxBytes: after.outboxBytes,
    drops,
    dropsTotal: Object.values(after.drops).reduce((total, count) => total + count, 0),
  };
}
