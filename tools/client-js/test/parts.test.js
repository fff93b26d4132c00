import assert from 'node:assert/strict';
import test from 'node:test';

import { boundMs, waitMs } from '../src/backoff.js';
import { bodyBytes, bodyFields, bytesOf } from '../src/body.js';
import { Clock } from '../src/clock.js';
import { Conversations, CONVERSATIONS_MAX } from '../src/conversations.js';
import { CampanileError, closeCode, isFinal, isRetryable } from '../src/errors.js';
import { frameBytes } from '../src/requests.js';
import { checkId, parseConversation } from '../src/ids.js';

test('ids follow the rules', () => {
  for (const id of ['alice', 'Zo\u00eb', 'x'.repeat(64), '\u{1f514}'.repeat(16)]) assert.equal(checkId(id), id);
  for (const id of ['', 'x'.repeat(65), '\u{1f514}'.repeat(17), 'a\u0007b', '\u00e9\u0085', 'Zoe\u0308', '\ud800', 7, undefined]) {
    assert.throws(() => checkId(id), { code: 'invalid_id' }, JSON.stringify(id));
  }
});

test('conversations are read', () => {
  assert.deepEqual(parseConversation('direct:bob'), { kind: 'direct', id: 'bob' });
  assert.deepEqual(parseConversation('topic:a:b'), { kind: 'topic', id: 'a:b' });
  assert.deepEqual(parseConversation('broadcast'), { kind: 'broadcast', id: '' });
  for (const wrong of ['bob', 'direct:', 'room:x', '', 'group:a\nb', null]) {
    assert.throws(() => parseConversation(wrong), { code: 'invalid_id' }, `${wrong}`);
  }
});

test('bodies are text or bytes', () => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, n) => n % 256);
  assert.deepEqual(bodyFields('hi'), { body: 'hi' });
  assert.deepEqual(bodyFields(undefined), {});
  assert.deepEqual(bodyFields(Uint8Array.of(104, 105)), { body_base64: 'aGk=' });
  assert.deepEqual(bytesOf(bodyFields(bytes)), bytes);
  assert.deepEqual([...bytesOf({ body: '\u00e9' })], [0xc3, 0xa9]);
  assert.deepEqual([...bytesOf({})], []);
  for (const length of [0, 1, 2, 3, 4, 70_000]) assert.equal(bodyBytes(bodyFields(bytes.subarray(0, length))), length);
  assert.equal(bodyBytes({ body: '\u00e9' }), 2);
});

test('the size of a frame is never told too small', () => {
  assert.ok(frameBytes({ type: 'publish', body: '\u0000'.repeat(1_000) }) < 1_300, 'escapes in JSON do not count');
  assert.ok(frameBytes({ body_base64: 'AAAA'.repeat(1_000) }) < 3_300);
  assert.ok(frameBytes({ tags: ['eu', 'us'] }) > 2 * 16);
});

test('errors say whether it is worth trying again', () => {
  for (const code of ['busy', 'disk_full', 'internal', 'shutting_down', 250, 399]) assert.equal(isRetryable(code), true, `${code}`);
  for (const code of ['bad_request', 'not_permitted', 'sender_mismatch', 199, 400]) assert.equal(isRetryable(code), false, `${code}`);
  for (const code of ['login_failed', 'replaced', 2999]) assert.equal(isFinal(code), true, `${code}`);
  for (const code of ['none', 'shutting_down', 'idle_timeout', 1999, 3000]) assert.equal(isFinal(code), false, `${code}`);
  assert.deepEqual(closeCode(4105), { code: 'login_failed', final: true });
  assert.deepEqual(closeCode(4002), { code: 'idle_timeout', final: false });
  assert.equal(closeCode(1000), null);
  assert.equal(closeCode(undefined), null);
  const error = new CampanileError('busy', '', { retry_after_ms: 5 });
  assert.deepEqual([error instanceof Error, error.message, error.retry_after_ms], [true, 'busy', 5]);
});

test('waits stay within bounds that double', () => {
  const backoff = { baseMs: 200, maxMs: 30_000 };
  for (const [attempt, bound] of [[0, 200], [1, 400], [2, 800], [7, 25_600], [8, 30_000], [1e6, 30_000]]) {
    assert.equal(boundMs(backoff, attempt), bound);
    assert.equal(waitMs(backoff, attempt, 0), 0);
    assert.equal(waitMs(backoff, attempt, 1 - Number.EPSILON), bound);
  }
});

test('the clock never goes back and never stands still', () => {
  let [wall, monotonic] = [1_000_000, 0];
  const clock = new Clock(() => wall, () => monotonic);
  assert.equal(clock.now(), 1_000_000);
  [wall, monotonic] = [1_000_010, 10];
  assert.equal(clock.now(), 1_000_010);
  [wall, monotonic] = [500_000, 25];
  assert.equal(clock.now(), 1_000_025, 'the wall clock was set back');
  [wall, monotonic] = [4_100_000, 30];
  assert.equal(clock.now(), 4_600_025, 'the machine slept for an hour');
});

test('the resume list has topics first, then the most recent', () => {
  const conversations = new Conversations();
  const at = (seq) => ({ epoch: 1, seq });
  for (const id of ['g0', 'g1', 'g2']) conversations.tracker(`group:${id}`).message(at(5));
  conversations.tracker('group:g9').ack(at(4));
  conversations.start('topic:news', at(2), ['eu']);
  conversations.tracker('broadcast').beginsAt(at(0));
  for (const id of ['g1', 'g2', 'g0']) conversations.tracker(`group:${id}`);
  const names = (points) => points.map(({ conversation }) => conversation);
  const all = conversations.resume(10_000, 10);
  assert.deepEqual(names(all), ['topic:news', 'broadcast', 'group:g0', 'group:g2', 'group:g1'], 'group:g9 has no cursor yet');
  assert.deepEqual(all[0], { conversation: 'topic:news', cursor: at(2), tags: ['eu'] });
  assert.equal(conversations.resume(frameBytes(all[0]) + frameBytes(all[1]), 10).length, 2);
  assert.equal(conversations.resume(10_000, 3).length, 3);
});

test('the number of cursors is bounded', () => {
  const conversations = new Conversations();
  for (let n = 0; n <= CONVERSATIONS_MAX; n++) conversations.tracker(`group:${n}`);
  assert.equal(conversations.known('group:0'), undefined);
  assert.notEqual(conversations.known(`group:${CONVERSATIONS_MAX}`), undefined);
});
