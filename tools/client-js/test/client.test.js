/** The driver, over a socket that a test holds in its hand. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { Client } from '../src/index.js';

const WELCOME = {
  type: 'welcome', ref: 1, session: 1, user: 'alice', heartbeat_ms: 10_000, idle_timeout_ms: 30_000, window: 8,
  frame_bytes_max: 65_536, body_bytes_max: 60_000, resume_max: 1_000, dedupe_ms: 120_000,
};

/** A WebSocket whose other end is the test. */
class FakeSocket extends EventTarget {
  static all = [];
  frames = [];
  isClosed = false;

  constructor(url, protocols) {
    super();
    Object.assign(this, { url, protocols });
    FakeSocket.all.push(this);
  }

  static get last() {
    return FakeSocket.all.at(-1);
  }

  send(text) {
    this.frames.push(JSON.parse(text));
  }

  close() {
    this.isClosed = true;
  }

  open(welcome = WELCOME) {
    this.dispatchEvent(new Event('open'));
    this.receive(welcome);
    return this;
  }

  receive(frame) {
    this.dispatchEvent(Object.assign(new Event('message'), { data: typeof frame === 'string' ? frame : JSON.stringify(frame) }));
  }

  die(code = 1006) {
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason: '' }));
  }

  ack(seq, body) {
    const { ref } = this.frames.findLast((frame) => frame.type === 'publish' && frame.body === body);
    this.receive({ type: 'ack', ref, epoch: '9007199254740993', seq, time_ms: 1, duplicate: false });
  }
}

class FakeStorage {
  items = new Map();
  getItem(key) {
    return this.items.get(key) ?? null;
  }
  setItem(key, value) {
    this.items.set(key, value);
  }
  removeItem(key) {
    this.items.delete(key);
  }
  get list() {
    return JSON.parse(this.items.values().next().value ?? '[]');
  }
}

/** A client whose timers are the test's. Real time passes as well, so what a test waits for is far away. */
function client(t, options = {}) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const made = new Client({
    url: 'ws://here', token: 'dev:alice', device: 'test', WebSocket: FakeSocket, keepTrying: true,
    backoff: { baseMs: 60_000, maxMs: 60_000 }, ...options,
  });
  t.after(() => made.close());
  return made;
}

/** Lets promises settle. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('connects, asks, and gives the answer to who asked', async (t) => {
  const it = client(t);
  const connected = it.connect();
  assert.deepEqual([FakeSocket.last.url, FakeSocket.last.protocols], ['ws://here', ['campanile.v1.json']]);
  FakeSocket.last.open();
  assert.equal((await connected).user, 'alice');
  assert.equal((await it.connect()).user, 'alice', 'a second call changes nothing');
  const [ack, members] = [it.publish('direct:bob', 'hi', { content_type: undefined }), it.members('direct:bob')];
  const [, publish, ask] = FakeSocket.last.frames;
  assert.deepEqual(Object.keys(publish), ['ref', 'type', 'conversation', 'body', 'client_id'], 'what is absent is not sent');
  FakeSocket.last.receive({ type: 'members_page', ref: ask.ref, conversation: 'direct:bob', members: [], has_more: false });
  FakeSocket.last.ack(3, 'hi');
  assert.equal((await ack).seq, 3);
  assert.equal((await members).has_more, false);
});

test('a refusal is an error with a code', async (t) => {
  const it = client(t);
  it.connect();
  FakeSocket.last.open();
  const join = it.groupJoin('team');
  FakeSocket.last.receive({ type: 'error', ref: FakeSocket.last.frames.at(-1).ref, code: 'not_permitted', message: 'it is not open' });
  await assert.rejects(join, { name: 'CampanileError', code: 'not_permitted', message: 'it is not open', retryable: false });
  await assert.rejects(it.publish('bob', 'hi'), { code: 'invalid_id' });
});

test('comes back, and sends again what was under way', async (t) => {
  const it = client(t);
  it.connect();
  const first = FakeSocket.last.open();
  const ack = it.publish('direct:bob', 'hi');
  first.die();
  assert.equal(it.state.phase, 'waiting');
  t.mock.timers.tick(60_000);
  assert.notEqual(FakeSocket.last, first);
  const second = FakeSocket.last.open();
  assert.deepEqual(second.frames[1], first.frames[1]);
  first.receive({ type: 'ack', ref: first.frames[1].ref, epoch: 1, seq: 99 });
  second.ack(4, 'hi');
  assert.equal((await ack).seq, 4, 'what an old connection says is over');
});

test('tries at once when it is told to', (t) => {
  const it = client(t, { backoff: { baseMs: 1e9, maxMs: 1e9 } });
  it.connect();
  FakeSocket.last.open().die();
  const { length } = FakeSocket.all;
  it.retryNow();
  assert.equal(FakeSocket.all.length, length + 1);
});

test('an address that cannot be opened is as one where nobody answers', async (t) => {
  class Refuses {
    constructor() {
      throw new SyntaxError('no such address');
    }
  }
  const it = client(t, { WebSocket: Refuses, keepTrying: false });
  await assert.rejects(it.connect(), { code: 'unreachable' });
  await assert.rejects(it.publish('direct:bob', 'hi'), { code: 'unreachable' });
});

test('a final close ends it, and what waits is told', async (t) => {
  const it = client(t);
  const ended = [];
  it.on('ended', (error) => ended.push(error.code));
  it.connect().catch(() => {});
  FakeSocket.last.open();
  const waiting = it.publish('direct:bob', 'hi');
  FakeSocket.last.receive({ type: 'go_away', code: 'replaced', message: 'the device connected again', reconnect_after_ms: 0 });
  await assert.rejects(waiting, { code: 'replaced' });
  assert.deepEqual(ended, ['replaced']);
  assert.equal(FakeSocket.last.isClosed, true);
});

test('messages outlive a run in the storage', async (t) => {
  const storage = new FakeStorage();
  const first = client(t, { storage });
  const lost = first.publish('direct:bob', 'one').catch(({ code }) => code);
  first.publish('direct:bob', 'two').catch(() => {});
  assert.deepEqual(storage.list.map(({ body }) => body), ['one', 'two']);
  first.close();
  assert.equal(await lost, 'closed');
  assert.equal(storage.list.length, 2);

  const second = new Client({ url: 'ws://here', token: 'dev:alice', device: 'test', WebSocket: FakeSocket, storage });
  t.after(() => second.close());
  const sent = [];
  second.on('sent', ({ client_id, ack }) => sent.push([client_id, ack.seq]));
  assert.deepEqual(second.unsent().map(({ body }) => body), ['one', 'two']);
  second.connect();
  FakeSocket.last.open().ack(1, 'one');
  FakeSocket.last.ack(2, 'two');
  await settled();
  assert.deepEqual(sent.map(([, seq]) => seq), [1, 2]);
  assert.deepEqual(storage.list, []);
});

test('a storage that fails is told, and costs nothing else', async (t) => {
  const full = { getItem: () => 'no json', removeItem() {}, setItem() { throw new Error('full'); } };
  const it = client(t, { storage: full });
  const troubles = [];
  it.on('trouble', ({ code }) => troubles.push(code));
  it.connect();
  FakeSocket.last.open();
  const ack = it.publish('direct:bob', 'hi');
  FakeSocket.last.ack(1, 'hi');
  assert.equal((await ack).seq, 1);
  assert.ok(troubles.includes('storage_failed'));
});

test('listeners may ask, leave, and fail', async (t) => {
  const it = client(t);
  const heard = [];
  it.on('message', () => {
    throw new Error('a listener that fails');
  });
  const off = it.on('message', ({ message }) => {
    heard.push(message.body);
    it.receipt('direct:bob', 'read', message).catch(() => {});
    if (message.seq === 2) off();
  });
  const failures = [];
  const before = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => failures.push(error.message));
  it.connect();
  FakeSocket.last.open();
  for (const seq of [1, 2, 3]) {
    FakeSocket.last.receive({ type: 'message', conversation: 'direct:bob', epoch: 1, seq, sender: 'bob', body: `${seq}` });
  }
  await settled();
  process.removeAllListeners('uncaughtException');
  before.forEach((listener) => process.on('uncaughtException', listener));
  assert.deepEqual(heard, ['1', '2']);
  assert.deepEqual(failures, Array(3).fill('a listener that fails'));
  const receipts = FakeSocket.last.frames.filter(({ type }) => type === 'receipt');
  assert.deepEqual(receipts.map(({ cursor }) => cursor), [{ epoch: 1, seq: 1 }, { epoch: 1, seq: 2 }], 'the place of a message and nothing else of it');
});

test('history goes back page by page and ends', async (t) => {
  const it = client(t);
  it.connect();
  FakeSocket.last.open();
  const pages = { 0: { from: 5, next: 4 }, 4: { from: 3, next: 2 }, 2: { from: 1, next: 0 } };
  const send = FakeSocket.last.send.bind(FakeSocket.last);
  FakeSocket.last.send = function (text) {
    send(text);
    const { type, ref, cursor } = JSON.parse(text);
    if (type !== 'sync') return;
    const { from, next } = pages[cursor.seq];
    const messages = [from, from + 1].map((seq) => ({ conversation: 'direct:bob', epoch: 1, seq, sender: 'bob', body: '' }));
    queueMicrotask(() => this.receive({ type: 'page', ref, messages, next: { epoch: 1, seq: next }, has_more: next > 0 }));
  };
  const seqs = [];
  for await (const page of it.history('direct:bob')) seqs.push(...page.messages.map(({ seq }) => seq));
  assert.deepEqual(seqs, [5, 6, 3, 4, 1, 2]);
});

test('what is needed is asked for', () => {
  assert.throws(() => new Client({ url: 'ws://here', token: 'dev:a', device: 'd', WebSocket: null }), { code: 'bad_options' });
  assert.throws(() => new Client({ token: 'dev:a', device: 'd', WebSocket: FakeSocket }), { code: 'bad_options' });
});
