/** The client and the real server. Runs when CAMPANILE_BIN names the server's binary. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { bytesOf, Client } from '../src/index.js';
import { BINARY, Server, until } from './server.js';

const { WebSocket } = BINARY ? await import('ws') : {};
const skip = BINARY ? false : 'CAMPANILE_BIN names no binary';

/** A client that is connected, and what it was told. */
async function join(t, server, user, options = {}) {
  const client = new Client({
    url: server.ws, token: `dev:${user}`, device: 'test', WebSocket, keepTrying: true, backoff: { baseMs: 50, maxMs: 200 }, ...options,
  });
  const told = [];
  for (const name of ['message', 'record', 'gap', 'skip', 'hole', 'receipt', 'presence', 'ephemeral', 'sent', 'failed', 'trouble', 'connected', 'disconnected', 'ended']) {
    client.on(name, (data) => told.push({ ...(data instanceof Error ? { code: data.code } : data), name }));
  }
  t.after(() => client.close());
  await client.connect();
  const of = (name) => told.filter((event) => event.name === name);
  return { client, told, of, bodies: () => of('message').map(({ message }) => message.body) };
}

test('two people talk: acks, receipts, presence, typing', { skip }, async (t) => {
  const server = await Server.start(t);
  const [alice, bob] = [await join(t, server, 'alice'), await join(t, server, 'bob')];
  const ack = await alice.client.publish('direct:bob', 'Shall we?');
  assert.equal(ack.seq, 1);
  const { message } = (await until(() => bob.of('message')[0]));
  assert.deepEqual([message.conversation, message.sender, message.body, String(message.epoch)], ['direct:alice', 'alice', 'Shall we?', String(ack.epoch)]);

  const { users } = await alice.client.watch(['bob']);
  assert.deepEqual(users.map(({ user, online }) => [user, online]), [['bob', true]]);
  await bob.client.receipt('direct:alice', 'read', message);
  const receipt = await until(() => alice.of('receipt')[0]);
  assert.deepEqual([receipt.conversation, receipt.user, receipt.kind, receipt.seq], ['direct:bob', 'bob', 'read', 1]);
  await bob.client.ephemeral('direct:alice', 'typing', '');
  assert.equal((await until(() => alice.of('ephemeral')[0])).sender, 'bob');
  const { members } = await alice.client.members('direct:bob');
  assert.deepEqual(members.map(({ user, read }) => [user, read]), [['alice', 0], ['bob', 1]]);
  assert.ok(Math.abs((await alice.client.ping()) - Date.now()) < 60_000);
  assert.deepEqual(alice.bodies(), [], 'its own message is told by the ack');
  const page = await alice.client.sync('direct:bob');
  assert.deepEqual(page.messages.map(({ body }) => body), ['Shall we?']);
});

test('a server that is killed again and again: everything comes once and in order', { skip }, async (t) => {
  const server = await Server.start(t);
  const bob = await join(t, server, 'bob');
  const alice = await join(t, server, 'alice');
  const COUNT = 300;
  const acks = [];
  for (let n = 0; n < COUNT; n++) acks.push(alice.client.publish('direct:bob', `${n}`));
  // While messages are on their way.
  for (const share of [0.2, 0.5, 0.8]) {
    await until(() => bob.of('message').length >= share * COUNT);
    await server.kill();
    await until(() => alice.client.state.phase !== 'up');
    alice.client.publish('direct:bob', `while down ${share}`).catch(() => {});
    await server.start();
  }
  const seqs = (await Promise.all(acks)).map(({ seq }) => seq);
  const expected = [...Array.from({ length: COUNT }, (_, n) => `${n}`), 'while down 0.2', 'while down 0.5', 'while down 0.8'];
  await until(() => bob.of('message').length >= expected.length);
  assert.deepEqual(bob.bodies(), expected);
  assert.deepEqual(seqs, Array.from({ length: COUNT }, (_, n) => n + 1));
  // Broadcast, in which nobody has ever written, begins anew with each run of the server.
  const gaps = [...alice.of('gap'), ...bob.of('gap')].filter(({ conversation }) => conversation !== 'broadcast');
  assert.deepEqual([...bob.of('hole'), ...alice.of('hole'), ...alice.of('failed'), ...gaps], []);
  assert.ok(bob.of('connected').filter(({ resumed }) => resumed).length >= 3);
});

test('messages of a run that ended are sent by the next, once', { skip }, async (t) => {
  const server = await Server.start(t);
  const items = new Map();
  const storage = { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value), removeItem: (key) => items.delete(key) };
  const bob = await join(t, server, 'bob');
  const first = await join(t, server, 'alice', { storage });
  await server.kill();
  await until(() => first.client.state.phase !== 'up');
  for (const body of ['one', 'two']) first.client.publish('direct:bob', body).catch(() => {});
  first.client.close();
  await server.start();
  const second = await join(t, server, 'alice', { storage });
  await until(() => second.of('sent').length === 2);
  await until(() => bob.of('message').length === 2);
  assert.deepEqual(bob.bodies(), ['one', 'two']);
  assert.equal(items.size, 0);
});

test('another run resumes where the last one stood', { skip }, async (t) => {
  const server = await Server.start(t);
  const alice = await join(t, server, 'alice');
  const bob = await join(t, server, 'bob');
  await alice.client.publish('direct:bob', 'seen');
  const { resume } = await until(() => bob.of('message')[0]);
  bob.client.close();
  for (const body of ['missed 1', 'missed 2']) await alice.client.publish('direct:bob', body);
  const again = await join(t, server, 'bob', { resume: [{ conversation: 'direct:alice', cursor: resume }] });
  await until(() => again.of('message').length === 2);
  await alice.client.publish('direct:bob', 'live');
  await until(() => again.of('message').length === 3);
  assert.deepEqual(again.bodies(), ['missed 1', 'missed 2', 'live']);
});

test('what does not come is told: gap after a restart of a topic in memory, skip by a filter', { skip }, async (t) => {
  const server = await Server.start(t);
  const [alice, bob] = [await join(t, server, 'alice'), await join(t, server, 'bob')];
  await bob.client.subscribe('topic:news', { tags: ['eu'] });
  await alice.client.publish('topic:news', 'for others', { tag: 'us' });
  await alice.client.publish('topic:news', 'for bob', { tag: 'eu' });
  await until(() => bob.of('message').length === 1);
  assert.deepEqual(bob.of('skip').map(({ from, to, why }) => [from, to, why]), [[1, 1, 'filtered']]);
  assert.equal(bob.of('message')[0].resume.seq, 2);
  await server.kill();
  await server.start();
  await until(() => bob.of('connected').length === 2);
  await alice.client.publish('topic:news', 'after', { tag: 'eu' });
  await until(() => bob.of('message').length === 2);
  assert.ok(bob.of('gap').length >= 1, 'the log of before is gone');
  assert.deepEqual(bob.of('hole'), []);
});

test('the window is kept: more requests than it holds, and none is refused', { skip }, async (t) => {
  const server = await Server.start(t, ['--window-requests', '4']);
  const alice = await join(t, server, 'alice', { pipeline: 100 });
  assert.equal(alice.client.welcome.window, 4);
  const acks = await Promise.all(Array.from({ length: 100 }, (_, n) => alice.client.publish('direct:bob', `${n}`)));
  assert.deepEqual(acks.map(({ seq }) => seq), Array.from({ length: 100 }, (_, n) => n + 1));
  const pages = await Promise.all(Array.from({ length: 50 }, () => alice.client.sync('direct:bob', { limit: 1 })));
  assert.ok(pages.every(({ messages }) => messages[0].body === '99'));
});

test('a rate limit slows a client down and changes no order', { skip }, async (t) => {
  const server = await Server.start(t, ['--publish-rate-per-user', '50', '--publish-burst-per-user', '5']);
  const [alice, bob] = [await join(t, server, 'alice', { publishRetries: 1_000 }), await join(t, server, 'bob')];
  const bodies = Array.from({ length: 30 }, (_, n) => `${n}`);
  await Promise.all(bodies.map((body) => alice.client.publish('direct:bob', body)));
  await until(() => bob.of('message').length === 30);
  assert.deepEqual(bob.bodies(), bodies);
});

test('a final close ends the client', { skip }, async (t) => {
  const server = await Server.start(t);
  const first = await join(t, server, 'alice');
  const second = await join(t, server, 'alice');
  await until(() => first.of('ended').length);
  assert.equal(first.of('ended')[0].code, 'replaced');
  await assert.rejects(first.client.publish('direct:bob', 'hi'), { code: 'replaced' });
  await second.client.ping();
  const nobody = new Client({ url: server.ws, token: 'somebody', device: 'test', WebSocket });
  await assert.rejects(nobody.connect(), { code: 'login_failed', retryable: false });
  await second.client.logOutDevice('nothing').catch(({ code }) => assert.equal(code, 'unknown_device'));
});

test('where nobody listens, the first attempt is an error', { skip }, async (t) => {
  const server = await Server.start(t);
  await server.kill();
  const client = new Client({ url: server.ws, token: 'dev:alice', device: 'test', WebSocket });
  await assert.rejects(client.connect(), { code: 'unreachable', retryable: true });
});

test('bodies of every kind arrive as they were', { skip }, async (t) => {
  const server = await Server.start(t);
  const [alice, bob] = [await join(t, server, 'alice'), await join(t, server, 'bob')];
  const { body_bytes_max } = alice.client.welcome;
  const bytes = Uint8Array.from({ length: body_bytes_max }, (_, n) => (n * 31) % 256);
  const bodies = ['', '\u00e9\u{1f514}\u0000"\\\n', '\u0000'.repeat(body_bytes_max), bytes, Uint8Array.of(255)];
  for (const body of bodies) await alice.client.publish('direct:bob', body, typeof body === 'string' ? {} : { content_type: 'application/octet-stream' });
  await until(() => bob.of('message').length === bodies.length);
  bob.of('message').forEach(({ message }, index) => {
    const expected = typeof bodies[index] === 'string' ? new TextEncoder().encode(bodies[index]) : bodies[index];
    assert.deepEqual(bytesOf(message), expected, `body ${index}`);
  });
  await assert.rejects(alice.client.publish('direct:bob', 'x'.repeat(body_bytes_max + 1)), { code: 'body_too_large' });
  await alice.client.ping();
});

test('a group: made, joined, told, left; history page by page; a message taken back', { skip }, async (t) => {
  const server = await Server.start(t);
  const [alice, bob] = [await join(t, server, 'alice'), await join(t, server, 'bob')];
  const { conversation } = await alice.client.groupCreate({ id: 'team', title: 'The team', open: true, whole_history: true });
  for (let n = 0; n < 25; n++) await alice.client.publish(conversation, `${n}`);
  await bob.client.groupJoin('team');
  assert.equal((await until(() => alice.of('record')[0])).message.kind, 'joined');
  const seqs = [];
  for await (const page of bob.client.history(conversation, { limit: 10 })) seqs.unshift(...page.messages.map(({ seq }) => seq));
  assert.deepEqual(seqs, Array.from({ length: 27 }, (_, n) => n + 1));

  const ack = await alice.client.publish(conversation, 'a slip');
  await alice.client.retract(conversation, ack);
  const { message } = await until(() => bob.of('record').find(({ message: { kind } }) => kind === 'retracted'));
  assert.equal(message.target, ack.seq);
  const { items } = await bob.client.conversations();
  assert.deepEqual(items.map(({ conversation: id, title, committed }) => [id, title, committed]), [['group:team', 'The team', 29]]);
  await assert.rejects(alice.client.groupLeave('team'), { code: 'last_owner', retryable: false });
  await bob.client.groupLeave('team');
  await until(() => alice.of('record').some(({ message: { kind } }) => kind === 'left'));
  await assert.rejects(bob.client.publish(conversation, 'hi'), { code: 'unknown_conversation' });
});
