import assert from 'node:assert/strict';
import test from 'node:test';

import { ACKED_RANGES_MAX, Tracker } from '../src/tracker.js';

/** Above 2^53, so that it comes as digits. */
const EPOCH = '1836311903000000000';
const at = (seq) => ({ epoch: EPOCH, seq });

/** What came, and a hole if there is one. */
function receive(tracker, seq) {
  const { isNew, hole } = tracker.message(at(seq));
  return [isNew, hole ?? tracker.settle()];
}

test('the first message says where the stream begins', () => {
  const tracker = new Tracker();
  assert.deepEqual(receive(tracker, 40), [true, null]);
  assert.deepEqual(tracker.cursor, at(40));
  assert.deepEqual(receive(tracker, 41), [true, null]);
  assert.deepEqual(receive(tracker, 41), [false, null]);
  assert.deepEqual(receive(tracker, 3), [false, null]);
  assert.deepEqual(tracker.cursor, at(41));
});

test('an ack moves the cursor when nothing lies between', () => {
  const tracker = Tracker.at(at(4));
  tracker.ack(at(5));
  assert.deepEqual(tracker.cursor, at(5));
  const fresh = new Tracker();
  fresh.ack(at(1));
  assert.deepEqual(fresh.cursor, at(1));
});

test('an ack above the backlog waits for it', () => {
  const tracker = Tracker.at(at(4));
  tracker.ack(at(7));
  tracker.ack(at(8));
  assert.deepEqual(tracker.cursor, at(4));
  assert.equal(tracker.isUnsettled, false, 'the stream has not gone past anything');
  assert.deepEqual(receive(tracker, 5), [true, null]);
  assert.deepEqual(receive(tracker, 6), [true, null]);
  assert.deepEqual(tracker.cursor, at(8));
  assert.deepEqual(receive(tracker, 9), [true, null]);
});

test('an ack before the beginning is known is kept', () => {
  const tracker = new Tracker();
  tracker.ack(at(7));
  assert.equal(tracker.cursor, null);
  assert.deepEqual(receive(tracker, 5), [true, null]);
  assert.deepEqual(receive(tracker, 6), [true, null]);
  assert.deepEqual(tracker.cursor, at(7));
});

test('a hole is told once', () => {
  const tracker = Tracker.at(at(4));
  assert.deepEqual(receive(tracker, 6), [true, { expected: at(5), got: at(6) }]);
  assert.deepEqual(tracker.cursor, at(6));
  assert.deepEqual(receive(tracker, 7), [true, null]);
});

test('an ack that comes after later messages is no hole', () => {
  const tracker = Tracker.at(at(4));
  assert.deepEqual(tracker.message(at(6)), { isNew: true, hole: null });
  assert.equal(tracker.isUnsettled, true);
  assert.deepEqual(tracker.cursor, at(4), 'a resume now would ask for 5 again');
  assert.equal(tracker.message(at(6)).isNew, false);
  tracker.ack(at(5));
  assert.equal(tracker.settle(), null);
  assert.deepEqual(tracker.cursor, at(6));
});

test('every hole is told', () => {
  const tracker = Tracker.at(at(4));
  tracker.ack(at(6));
  tracker.message(at(8));
  assert.deepEqual(tracker.settle(), { expected: at(5), got: at(6) });
  assert.deepEqual(tracker.settle(), { expected: at(7), got: at(8) });
  assert.equal(tracker.settle(), null);
  assert.deepEqual(tracker.cursor, at(8));
});

test('skips move the cursor and must touch it', () => {
  const tracker = Tracker.at(at(4));
  assert.equal(tracker.skip(EPOCH, 5, 9).isNew, true);
  assert.deepEqual([tracker.settle(), tracker.cursor], [null, at(9)]);
  assert.equal(tracker.skip(EPOCH, 5, 9).isNew, false);
  assert.equal(tracker.skip(EPOCH, 12, 11).isNew, false);
  assert.equal(tracker.skip(EPOCH, 12, 13).isNew, true);
  assert.deepEqual(tracker.settle(), { expected: at(10), got: at(12) });
  assert.deepEqual(tracker.cursor, at(13));
});

test('a gap starts again, also backwards and in another epoch', () => {
  const tracker = Tracker.at(at(40));
  tracker.gap(EPOCH, 10);
  assert.deepEqual(tracker.cursor, at(9));
  assert.deepEqual(receive(tracker, 10), [true, null]);
  tracker.ack({ epoch: 8, seq: 3 });
  assert.deepEqual(tracker.cursor, at(10), 'an ack of a new epoch waits for the gap');
  tracker.gap(8, 1);
  assert.equal(tracker.message({ epoch: 8, seq: 1 }).isNew, true);
  assert.equal(tracker.message({ epoch: '8', seq: 2 }).isNew, true);
  assert.equal(tracker.cursor.seq, 3);
});

test('an epoch that changes without a gap is a hole', () => {
  const tracker = Tracker.at(at(4));
  const got = { epoch: 8, seq: 1 };
  assert.deepEqual(tracker.message(got), { isNew: true, hole: { expected: at(5), got } });
  assert.deepEqual(tracker.cursor, got);
});

test('the cursor (0, 0) is of every epoch', () => {
  const nothing = () => Tracker.at({ epoch: 0, seq: 0 });
  for (const [what, first] of [
    [(tracker) => tracker.message(at(1)), at(1)],
    [(tracker) => tracker.skip(EPOCH, 1, 3), at(3)],
    [(tracker) => tracker.ack(at(1)), at(1)],
  ]) {
    const tracker = nothing();
    assert.equal(what(tracker)?.hole ?? null, null);
    assert.equal(tracker.settle(), null);
    assert.deepEqual(tracker.cursor, first);
  }
});

test('ranges are bounded, and what was forgotten is no hole', () => {
  const tracker = Tracker.at(at(0));
  for (let n = 0; n <= ACKED_RANGES_MAX; n++) tracker.ack(at(2 + 2 * n));
  assert.equal(tracker.ranges, ACKED_RANGES_MAX);
  assert.deepEqual(receive(tracker, 1), [true, null]);
  assert.deepEqual(receive(tracker, 3), [true, null], '2 was acked and forgotten');
  assert.deepEqual(tracker.cursor, at(4));
});

/**
 * A log of which some records are one's own: the stream brings the others, acks come whenever they like, and connections break.
 * After a reconnect the stream begins behind the cursor and brings one's own records as well.
 */
function everythingComesOnce(seed) {
  let state = seed;
  const draw = (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const LAST = 60;
  const own = Array.from({ length: LAST + 1 }, () => draw(3) === 0);
  const tracker = Tracker.at(at(0));
  const seen = new Array(LAST + 1).fill(0);
  const unacked = own.flatMap((isOwn, seq) => (isOwn && seq > 0 ? [seq] : []));
  let [resumedAfter, stream] = [0, 1];
  while (tracker.cursor.seq !== LAST) {
    const step = draw(12);
    if (step === 0) {
      resumedAfter = stream - 1;
      stream = tracker.cursor.seq + 1;
    } else if (step <= 3 && unacked.length > 0) {
      tracker.ack(at(unacked.splice(draw(unacked.length), 1)[0]));
    } else if (stream <= LAST) {
      // Own records come by the stream only when they were written before the connection was made.
      if (!own[stream] || stream <= resumedAfter) {
        const { isNew, hole } = tracker.message(at(stream));
        assert.equal(hole, null, `seed ${seed}`);
        seen[stream] += isNew ? 1 : 0;
      }
      stream += 1;
    }
    if (unacked.length === 0) assert.equal(tracker.settle(), null, `seed ${seed}: a hole that is none`);
  }
  for (let seq = 1; seq <= LAST; seq++) {
    assert.ok(seen[seq] <= 1 && (own[seq] || seen[seq] === 1), `seed ${seed}: message ${seq} came ${seen[seq]} times`);
  }
}

test('everything comes once, whatever the order', () => {
  for (let seed = 0; seed < 2_000; seed++) everythingComesOnce(seed);
});
