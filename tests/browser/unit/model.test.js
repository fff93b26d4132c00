/** The chat as data, over a client that a test plays. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { Model } from '../../../page/chat/model.js';

const EPOCH = '1882455990497968129';

class FakeClient {
  asked = [];
  listeners = new Map();
  answers = {};
  cursors = new Map();
  queue = [];
  state = { phase: 'up' };
  welcome = { body_bytes_max: 100 };
  ids = 0;

  constructor() {
    for (const verb of ['conversations', 'sync', 'members', 'watch', 'publish', 'retract', 'receipt', 'ephemeral', 'groupCreate', 'groupJoin', 'groupAdd', 'groupLeave']) {
      this[verb] = async (...given) => {
        this.asked.push([verb, ...given]);
        const answer = this.answers[verb];
        if (answer instanceof Error) throw answer;
        return typeof answer === 'function' ? answer(...given) : (answer ?? {});
      };
    }
  }

  on(name, listener) {
    this.listeners.set(name, listener);
  }

  async tell(name, data) {
    this.listeners.get(name)(data);
    await settled();
  }

  async come(resumed = false) {
    await this.tell('state', { phase: 'up' });
    await this.tell('connected', { resumed, welcome: { user: 'alice' } });
  }

  calls(verb) {
    return this.asked.filter(([name]) => name === verb).map(([, ...given]) => given);
  }

  cursor(id) {
    return this.cursors.get(id) ?? null;
  }

  unsent() {
    return this.queue;
  }

  newClientId() {
    return `id-${++this.ids}`;
  }

  cancel() {
    return true;
  }

  now() {
    return 1_000_000;
  }

  close() {}
  retryNow() {}
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const info = (conversation, committed, more = {}) => ({ conversation, title: '', role: 'none', epoch: EPOCH, first: 1, committed, read: committed, unread: 0, ...more });
const listing = (...items) => ({ items, next: 0, has_more: false });
const message = (conversation, seq, more = {}) => ({ conversation, epoch: EPOCH, seq, time_ms: seq, sender: 'bob', body: `${seq}`, ...more });
const resume = (seq) => ({ epoch: EPOCH, seq });

/** A model whose client is connected. */
async function connected(t, { isSeen, items = [info('direct:bob', 3, { unread: 2 })] } = {}) {
  const client = new FakeClient();
  client.answers.conversations = listing(...items);
  client.answers.sync = (id) => ({ epoch: EPOCH, committed: 3, messages: [1, 2, 3].map((seq) => message(id, seq)), has_more: false });
  client.answers.members = { members: [{ user: 'alice', role: 'none', delivered: 0, read: 0 }, { user: 'bob', role: 'none', delivered: 0, read: 0 }], has_more: false };
  client.answers.watch = { users: [{ user: 'bob', online: true, last_seen_ms: 0 }] };
  const model = new Model(client, { isSeen });
  t.after(() => model.stop());
  await client.come();
  return { client, model };
}

test('the list comes page by page, with a line for each and who is there', async (t) => {
  const client = new FakeClient();
  const pages = { 0: { items: [info('direct:bob', 3, { unread: 2 })], next: 7, has_more: true }, 7: { items: [info('group:team', 1)], next: 9, has_more: false } };
  client.answers.conversations = ({ after }) => pages[after];
  client.answers.sync = (id) => ({ messages: [message(id, 3)] });
  client.answers.watch = { users: [{ user: 'bob', online: true, last_seen_ms: 0 }] };
  const model = new Model(client);
  t.after(() => model.stop());
  await client.come();
  await settled();
  assert.deepEqual(model.list.map(({ id, unread, last }) => [id, unread, last.body]), [['direct:bob', 2, '3'], ['group:team', 0, '3']]);
  assert.deepEqual([model.isOnline('bob'), model.unread, client.calls('watch')], [true, 2, [[['bob']]]]);
});

test('what is seen is told at once when the page goes', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { client, model } = await connected(t);
  model.open('direct:bob');
  await settled();
  await client.tell('message', { message: message('direct:bob', 4), resume: resume(4) });
  const told = [['direct:bob', 'delivered', resume(4)], ['direct:bob', 'read', resume(4)]];
  model.tellReceipts();
  assert.deepEqual(client.calls('receipt'), told);
  t.mock.timers.tick(1000);
  model.tellReceipts();
  assert.deepEqual(client.calls('receipt'), told, 'and once');
});

test('what is seen is read, and told once in a while', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let isLooking = true;
  const { client, model } = await connected(t, { isSeen: () => isLooking });
  const bob = model.open('direct:bob');
  await settled();
  assert.deepEqual([bob.unread, bob.newAfter], [0, 1]);
  await client.tell('message', { message: message('direct:bob', 4), resume: resume(4) });
  isLooking = false;
  await client.tell('message', { message: message('direct:bob', 5), resume: resume(5) });
  assert.equal(bob.unread, 1);
  assert.deepEqual(client.calls('receipt'), []);
  t.mock.timers.tick(300);
  assert.deepEqual(client.calls('receipt'), [['direct:bob', 'delivered', resume(5)], ['direct:bob', 'read', resume(4)]]);
  isLooking = true;
  model.isAtEnd = false;
  model.noteRead();
  assert.equal(bob.unread, 1, 'its end is not in view');
  model.isAtEnd = true;
  model.noteRead();
  assert.equal(bob.unread, 0);
});

test('a conversation that does not exist yet begins with the first message', async (t) => {
  const { client, model } = await connected(t, { items: [] });
  client.answers.sync = Object.assign(new Error('none'), { code: 'unknown_conversation' });
  client.answers.members = client.answers.sync;
  const carol = model.open('direct:carol');
  await settled();
  assert.deepEqual([carol.start, carol.isLoading], [1, false]);
  model.type(carol);
  assert.deepEqual(client.calls('ephemeral'), [], 'nobody may be told yet');
  model.send(carol, 'hello');
  assert.deepEqual(client.calls('publish'), [['direct:carol', 'hello', { client_id: 'id-1' }]]);
  assert.deepEqual(carol.pending.map(({ body }) => body), ['hello']);
  await client.tell('sent', { client_id: 'id-1', conversation: 'direct:carol', ack: { epoch: EPOCH, seq: 1, time_ms: 5 } });
  assert.deepEqual([carol.pending, carol.log.map(({ body, sender }) => [body, sender])], [[], [['hello', 'alice']]]);
  assert.deepEqual(client.calls('watch').at(-1), [['carol']], 'now presence is told');
  model.type(carol);
  model.type(carol);
  assert.equal(client.calls('ephemeral').length, 1);
});

test('a log that begins anew while it is open is read again', async (t) => {
  const { client, model } = await connected(t);
  const bob = model.open('direct:bob');
  await settled();
  client.answers.sync = (id) => ({ epoch: 8, committed: 1, messages: [{ ...message(id, 1), epoch: 8 }], has_more: false });
  await client.tell('message', { message: { ...message('direct:bob', 1), epoch: 8 }, resume: { epoch: 8, seq: 1 } });
  assert.deepEqual([bob.start, bob.log.length, bob.unread], [1, 1, 0]);
});

test('what is refused stays, with the reason', async (t) => {
  const { client, model } = await connected(t);
  const bob = model.open('direct:bob');
  model.send(bob, 'one');
  await client.tell('failed', { client_id: 'id-1', conversation: 'direct:bob', error: { code: 'disk_full' } });
  assert.equal(bob.pending[0].error.code, 'disk_full');
  model.retry(bob, bob.pending[0]);
  assert.deepEqual([bob.pending[0].error, client.calls('publish').length], [null, 2]);
  client.answers.publish = Object.assign(new Error('full'), { code: 'queue_full' });
  model.send(bob, 'two');
  await settled();
  assert.equal(bob.pending[1].error.code, 'queue_full');
  model.discard(bob, bob.pending[1]);
  assert.equal(bob.pending.length, 1);
});

test('messages of an earlier run are shown as waiting', () => {
  const client = new FakeClient();
  client.queue = [{ client_id: 'old-1', conversation: 'direct:bob', body: 'left', queued_ms: 7 }];
  const model = new Model(client);
  assert.deepEqual(model.list.map(({ id, pending }) => [id, pending[0].body, pending[0].at_ms]), [['direct:bob', 'left', 7]]);
  model.stop();
});

test('"nothing was lost" is said when it is true, and not before', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { client, model } = await connected(t);
  const { status } = model;
  client.cursors.set('direct:bob', resume(3));
  client.answers.conversations = listing(info('direct:bob', 5));
  await client.tell('state', { phase: 'waiting', until_ms: 5 });
  assert.equal(status.after, null);
  await client.come(true);
  assert.equal(status.after, 'catching_up');
  for (const seq of [4, 5]) {
    client.cursors.set('direct:bob', resume(seq));
    client.queue = seq === 5 ? [{}] : [];
    await client.tell('message', { message: message('direct:bob', seq), resume: resume(seq) });
  }
  assert.equal(status.after, 'catching_up', 'a message of ours still waits');
  client.queue = [];
  await client.tell('sent', { client_id: 'x', conversation: 'direct:bob', ack: { epoch: EPOCH, seq: 6, time_ms: 0 } });
  assert.deepEqual([status.after, status.cameCount, status.hasLost], ['again', 2, false]);
  t.mock.timers.tick(5_000);
  assert.equal(status.after, null);
});

test('a window that may have a hole is read again', async (t) => {
  const { client, model } = await connected(t);
  const bob = model.open('direct:bob');
  await settled();
  assert.equal(client.calls('sync').length, 2, 'the line for the list, the page');
  client.cursors.set('direct:bob', resume(3));
  await client.come(true);
  assert.equal(client.calls('sync').length, 2, 'the stream goes on where this client stood');
  client.cursors.clear();
  await client.come(true);
  assert.deepEqual([client.calls('sync').length, bob.start], [3, 1], 'the stream begins where the server thinks');
  await client.tell('hole', { conversation: 'direct:bob', expected: resume(4), got: resume(6) });
  assert.deepEqual([client.calls('sync').length, model.status.hasLost], [4, true]);
});

test('a gap is told, but not where nothing had been', async (t) => {
  const { client, model } = await connected(t);
  await client.come(true);
  await client.tell('gap', { conversation: 'broadcast', epoch: 8, first: 1, committed: 0 });
  assert.equal(model.status.hasLost, false);
  await client.tell('gap', { conversation: 'direct:bob', epoch: 8, first: 1, committed: 0 });
  assert.equal(model.status.hasLost, true);
});

test('what this session does to a group is in its log, though the stream does not bring it', async (t) => {
  const { client, model } = await connected(t);
  client.answers.groupCreate = { conversation: 'group:team', epoch: EPOCH, seq: 1, time_ms: 1 };
  client.answers.groupAdd = { epoch: EPOCH, seq: 2, time_ms: 2 };
  const team = await model.createGroup({ id: 'team', title: 'The team' });
  team.addPage({ epoch: EPOCH, committed: 1, messages: [message('group:team', 1, { kind: 'created' })], has_more: false });
  await model.addMember(team, 'carol');
  assert.deepEqual(team.log.map(({ kind, subject }) => [kind, subject]), [['created', undefined], ['added', 'carol']]);
  assert.deepEqual([team.title, team.role], ['The team', 'owner']);
  model.open('group:team');
  await model.leaveGroup(team);
  assert.deepEqual([model.current, model.list.some(({ id }) => id === 'group:team')], [null, false]);
});

test('who is removed is told, and writes there no more', async (t) => {
  const { client, model } = await connected(t, { items: [info('group:team', 3, { title: 'The team' })] });
  const team = model.open('group:team');
  await settled();
  await client.tell('record', { message: message('group:team', 4, { kind: 'removed', subject: 'alice', body: undefined }), resume: resume(4) });
  assert.deepEqual([team.isOver, model.list.length], [true, 0]);
  // And when somebody brings her back, it is there again.
  client.answers.conversations = listing(info('group:team', 5, { title: 'The team' }));
  await client.tell('receiving', { conversation: 'group:team', resume: resume(4) });
  assert.deepEqual([team.isOver, model.list.length], [false, 1]);
});

test('reading on another device counts here too', async (t) => {
  const { client, model } = await connected(t);
  await client.tell('receipt', { conversation: 'direct:bob', user: 'alice', kind: 'read', epoch: EPOCH, seq: 3 });
  assert.equal(model.unread, 0);
});

test('typing is heard from others only', async (t) => {
  const { client, model } = await connected(t);
  const bob = model.conversation('direct:bob');
  await client.tell('ephemeral', { conversation: 'direct:bob', sender: 'alice', name: 'typing' });
  await client.tell('ephemeral', { conversation: 'direct:bob', sender: 'bob', name: 'dancing' });
  assert.deepEqual(bob.typists(model.now()), []);
  await client.tell('ephemeral', { conversation: 'direct:bob', sender: 'bob', name: 'typing' });
  assert.deepEqual(bob.typists(model.now()), ['bob']);
});
