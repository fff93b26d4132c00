/** Rules of the protocol, without socket or clock. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { GOOD_CONNECTION_MS, Machine } from '../src/machine.js';

const EPOCH = '1836311903000000000';
const cursor = (seq) => ({ epoch: EPOCH, seq });

const WELCOME = {
  type: 'welcome', ref: 1, session: 1, user: 'alice', server_time_ms: 0, heartbeat_ms: 1_000, idle_timeout_ms: 5_000, window: 8,
  frame_bytes_max: 65_536, body_bytes_max: 1_000, page_messages_max: 100, subscriptions_max: 10, resume_max: 1_000, dedupe_ms: 120_000,
};

/** A machine with what it wanted done so far, by kind. */
class Bench {
  constructor(options = {}, random = () => 0) {
    this.now = 0;
    this.frames = [];
    this.events = [];
    this.outcomes = [];
    this.saved = null;
    this.opens = 0;
    this.closes = 0;
    this.machine = new Machine(
      { token: 'dev:alice', device: 'test', keepTrying: true, ...options },
      { clientIdPrefix: 'prefix', random },
    );
  }

  take() {
    for (let effects; (effects = this.machine.effects(this.now)).length > 0; ) {
      for (const effect of effects) {
        if (effect.do === 'send') this.frames.push(effect.frame);
        else if (effect.do === 'emit') this.events.push([effect.name, effect.data]);
        else if (effect.do === 'settle') this.outcomes.push(effect);
        else if (effect.do === 'save') this.saved = effect.unsent;
        else if (effect.do === 'open') this.opens += 1;
        else if (effect.do === 'close') this.closes += 1;
        else assert.fail(effect.do);
      }
    }
    return this;
  }

  /** Connects and sends Connect, which is given back. */
  logIn() {
    if (this.machine.phase.name === 'idle') this.machine.start(this.now);
    else this.machine.tick(this.now);
    assert.equal(this.machine.phase.name, 'connecting');
    this.machine.opened(this.now);
    return this.take().frames.pop();
  }

  up(welcome = {}) {
    this.logIn();
    this.receive({ ...WELCOME, ...welcome });
    assert.equal(this.machine.phase.name, 'up');
    this.events = [];
    return this;
  }

  receive(...frames) {
    for (const frame of frames) this.machine.received(frame, this.now);
    return this.take();
  }

  /** Messages of bob in group:team. */
  messages(...seqs) {
    return this.receive(...seqs.map((seq) => message(seq)));
  }

  /** Breaks the connection and makes another one at once (random 0: no wait); gives what it began with. */
  reconnect(welcome = {}) {
    this.machine.closed({ code: 1006 }, this.now);
    this.take();
    assert.equal(this.machine.phase.name, 'waiting');
    const hello = this.logIn();
    this.receive({ ...WELCOME, ...welcome });
    this.events = this.events.filter(([name]) => !['state', 'connected', 'disconnected'].includes(name));
    return hello;
  }

  ask(request) {
    const ref = this.machine.ask(request, this.now);
    this.take();
    return ref;
  }

  publish(body, more = {}) {
    return this.ask({ type: 'publish', conversation: 'group:team', body, ...more });
  }

  ack(ref, seq, more = {}) {
    return this.receive({ type: 'ack', ref, ...cursor(seq), time_ms: 0, duplicate: false, ...more });
  }

  refuse(ref, code, retry_after_ms = 0) {
    return this.receive({ type: 'error', ref, code, message: 'no', retry_after_ms });
  }

  /** Frames that went out since this was asked last. */
  sent() {
    this.take();
    return this.frames.splice(0);
  }

  texts() {
    return this.sent().filter(({ type }) => type === 'publish').map(({ body }) => body);
  }

  /** What happened since this was asked last, shortly. */
  told() {
    const told = this.events.map(([name, data]) => {
      if (name === 'message' || name === 'record') return `${name} ${data.message.seq} resume ${data.resume.seq}`;
      if (name === 'acked' || name === 'receiving') return `${name} ${data.resume.seq}`;
      if (name === 'hole') return `hole ${data.expected.seq} ${data.got.seq}`;
      if (name === 'gap') return `gap ${data.first} ${data.committed}`;
      if (name === 'skip') return `skip ${data.from} ${data.to}`;
      if (name === 'sent') return `sent ${data.client_id} ${data.ack.seq}`;
      if (name === 'failed') return `failed ${data.client_id} ${data.error.code}`;
      if (name === 'presence') return `presence ${data.user} ${data.online}`;
      if (name === 'trouble') return `trouble ${data.conversation} ${data.code}`;
      if (name === 'state') return `state ${data.phase}`;
      return name;
    });
    this.events = [];
    return told;
  }

  outcome() {
    const { ref, answer, error } = this.outcomes.shift() ?? {};
    return error ? [ref, error.code] : [ref, answer];
  }
}

function message(seq, more = {}) {
  return { type: 'message', conversation: 'group:team', ...cursor(seq), time_ms: 0, sender: 'bob', body: 'hi', ...more };
}

function subscribed(conversation, next) {
  return { type: 'subscribed', conversation, epoch: EPOCH, first: 1, committed: 20, next };
}

test('login says who and where it stands', () => {
  const resume = [{ conversation: 'group:team', cursor: cursor(3) }, { conversation: 'topic:news', tags: ['eu'] }];
  const bench = new Bench({ resume });
  assert.deepEqual(bench.logIn(), {
    type: 'connect', version: 1, token: 'dev:alice', device: 'test',
    resume: [{ conversation: 'topic:news', tags: ['eu'] }, { conversation: 'group:team', cursor: cursor(3) }],
  });
  bench.receive(WELCOME);
  assert.deepEqual(bench.told(), ['state connecting', 'state logging_in', 'state up', 'connected']);
  assert.equal(bench.machine.welcome.user, 'alice');
});

test('messages come once and in order', () => {
  const bench = new Bench().up().messages(5, 6, 6, 5, 7);
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'message 6 resume 6', 'message 7 resume 7']);
});

test('an ack counts as received', () => {
  const bench = new Bench().up().messages(5);
  const ref = bench.publish('mine');
  bench.ack(ref, 6).messages(7);
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'acked 6', 'sent prefix-1 6', 'message 7 resume 7']);
  assert.deepEqual(bench.outcome(), [ref, { ...cursor(6), time_ms: 0, duplicate: false }]);
  assert.deepEqual(bench.reconnect().resume, [{ conversation: 'group:team', cursor: cursor(7) }]);
});

test('a second ack of the same request changes nothing', () => {
  const bench = new Bench().up().messages(5);
  const ref = bench.publish('mine');
  bench.ack(ref, 6).ack(ref, 6).ack(ref, 9).messages(6, 7);
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'acked 6', 'sent prefix-1 6', 'message 7 resume 7']);
  assert.equal(bench.outcomes.length, 1);
});

test('an ack of a duplicate says where the message stands, which came before', () => {
  const bench = new Bench().up().messages(5, 6, 7);
  const ref = bench.publish('mine', { client_id: 'again' });
  bench.ack(ref, 6, { duplicate: true }).messages(8);
  assert.deepEqual(bench.told().slice(3), ['sent again 6', 'message 8 resume 8']);
});

test('an ack above the backlog does not move the cursor yet', () => {
  const bench = new Bench().up().messages(5);
  bench.ack(bench.publish('mine'), 8);
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'sent prefix-1 8']);
  assert.deepEqual(bench.reconnect().resume[0].cursor, cursor(5));
  bench.messages(6, 7, 9);
  assert.deepEqual(bench.told(), ['message 6 resume 6', 'message 7 resume 8', 'message 9 resume 9']);
  assert.deepEqual(bench.reconnect().resume[0].cursor, cursor(9));
});

test('a later message may come before the ack', () => {
  const bench = new Bench().up().messages(5);
  const ref = bench.publish('mine');
  bench.messages(7).ack(ref, 6).messages(8);
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'message 7 resume 5', 'acked 7', 'sent prefix-1 6', 'message 8 resume 8']);
});

test('a hole is told at once, or when no ack can fill it', () => {
  const bench = new Bench().up().messages(5, 8);
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'hole 6 8', 'message 8 resume 8']);
  const ref = bench.publish('mine');
  bench.messages(10);
  assert.deepEqual(bench.told(), ['message 10 resume 8']);
  bench.refuse(ref, 'not_permitted');
  assert.deepEqual(bench.told(), ['hole 9 10', 'failed prefix-1 not_permitted']);
  assert.deepEqual(bench.outcome(), [ref, 'not_permitted']);
});

test('gaps and skips are shown and move the cursor', () => {
  const bench = new Bench().up().messages(5);
  bench.receive({ type: 'skip', conversation: 'group:team', epoch: EPOCH, from: 6, to: 9, why: 'expired' });
  bench.messages(10).receive({ type: 'gap', conversation: 'group:team', epoch: 8, first: 3, committed: 4 }, message(3, { epoch: 8 }));
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'skip 6 9', 'message 10 resume 10', 'gap 3 4', 'message 3 resume 3']);
  assert.deepEqual(bench.reconnect().resume[0].cursor, { epoch: 8, seq: 3 });
});

test('a publish in flight is sent again with the same client_id', () => {
  const bench = new Bench({ pipeline: 8 }).up();
  const refs = ['a', 'b', 'c'].map((text) => bench.publish(text));
  const before = bench.sent();
  assert.deepEqual(before.map(({ body }) => body), ['a', 'b', 'c']);
  bench.ack(refs[0], 1);
  bench.reconnect();
  const after = bench.sent();
  assert.deepEqual(after, before.slice(1));
  assert.equal(after[0].client_id, 'prefix-2');
});

test("one's own message whose ack was lost is no event", () => {
  const bench = new Bench().up().messages(5);
  const ref = bench.publish('mine');
  const [{ client_id }] = bench.sent();
  bench.told();
  bench.reconnect();
  bench.receive(message(6, { sender: 'alice', client_id }));
  assert.equal(bench.sent().length, 1);
  bench.ack(ref, 6, { duplicate: true }).messages(7);
  assert.deepEqual(bench.told(), ['acked 6', 'sent prefix-1 6', 'message 7 resume 7']);
});

test("a message of one's other device is an event", () => {
  const bench = new Bench().up().receive(message(5, { sender: 'alice', client_id: 'other-1' }));
  assert.deepEqual(bench.told(), ['message 5 resume 5']);
});

test('what must not be done twice fails when the connection breaks', () => {
  const bench = new Bench().up();
  const join = bench.ask({ type: 'group_join', id: 'team' });
  const members = bench.ask({ type: 'members', conversation: 'group:team' });
  bench.sent();
  bench.reconnect();
  assert.deepEqual(bench.outcome(), [join, 'connection_lost']);
  assert.deepEqual(bench.outcomes, []);
  assert.deepEqual(bench.sent().map(({ ref }) => ref), [members]);
});

test('a publish of unknown fate is not sent again after the dedupe window', () => {
  const bench = new Bench().up();
  const old = bench.publish('old');
  bench.sent();
  bench.now = 1_000;
  bench.machine.closed({}, bench.now);
  const neverSent = bench.publish('new');
  bench.now = 121_000;
  bench.logIn();
  bench.told();
  bench.receive(WELCOME);
  assert.deepEqual(bench.outcome(), [old, 'connection_lost']);
  assert.deepEqual(bench.sent().map(({ ref, body }) => [ref, body]), [[neverSent, 'new']]);
  assert.ok(bench.told().includes('failed prefix-1 connection_lost'));
});

test('a server that remembers for a shorter time bounds it', () => {
  const bench = new Bench().up({ dedupe_ms: 1_000 });
  const ref = bench.publish('old');
  bench.now = 901;
  bench.reconnect({ dedupe_ms: 1_000 });
  assert.deepEqual(bench.outcome(), [ref, 'connection_lost']);
});

test('the window is kept, and what is beyond it waits', () => {
  const bench = new Bench({ pipeline: 8 }).up({ window: 2 });
  const refs = ['a', 'b', 'c', 'd'].map((text) => bench.publish(text));
  assert.deepEqual(bench.texts(), ['a', 'b']);
  bench.ack(refs[0], 1);
  assert.deepEqual(bench.texts(), ['c']);
});

test('messages of a conversation go one after another, those of others meanwhile', () => {
  const bench = new Bench().up();
  const a = bench.publish('a');
  bench.publish('b');
  bench.publish('c', { conversation: 'direct:bob' });
  assert.deepEqual(bench.texts(), ['a', 'c']);
  bench.ack(a, 1);
  assert.deepEqual(bench.texts(), ['b']);
});

test('a busy server is asked again later, and in order', () => {
  const bench = new Bench().up();
  const a = bench.publish('a');
  bench.publish('b');
  assert.deepEqual(bench.texts(), ['a']);
  bench.refuse(a, 'rate_limited', 400);
  assert.deepEqual(bench.texts(), []);
  assert.equal(bench.machine.timeoutMs(), 400);
  bench.now = 400;
  assert.deepEqual(bench.texts(), ['a']);
  bench.ack(a, 1);
  assert.deepEqual(bench.texts(), ['b']);
  assert.equal(bench.outcomes.length, 1);
});

test('order holds when a later message of the pipeline is refused first', () => {
  const bench = new Bench({ pipeline: 2 }).up();
  const [a, b] = [bench.publish('a'), bench.publish('b')];
  bench.publish('c');
  bench.sent();
  bench.refuse(b, 'rate_limited', 400).refuse(a, 'busy', 100);
  bench.now = 399;
  assert.deepEqual(bench.texts(), []);
  bench.now = 400;
  assert.deepEqual(bench.texts(), ['a', 'b']);
});

test('retries are bounded', () => {
  const bench = new Bench({ publishRetries: 3 }).up();
  const ref = bench.publish('a');
  for (let attempt = 0; attempt <= 3; attempt++) {
    assert.deepEqual(bench.texts(), ['a']);
    bench.refuse(ref, 'busy', 100);
    bench.now += 100;
  }
  assert.deepEqual(bench.texts(), []);
  const { error } = bench.outcomes[0];
  assert.deepEqual([error.code, error.retryable, error.retry_after_ms], ['busy', true, 100]);
});

test('close codes say whether to come back', () => {
  for (const code of ['malformed_frame', 'login_failed', 'replaced', 'logged_out', 2019]) {
    const bench = new Bench();
    bench.logIn();
    const waiting = bench.publish('a');
    bench.receive({ type: 'go_away', code, message: 'no' });
    assert.equal(bench.machine.phase.name, 'ended');
    assert.deepEqual(bench.outcome(), [waiting, String(code)]);
    assert.equal(bench.told().at(-1), 'ended');
    bench.now = 1e9;
    bench.machine.tick(bench.now);
    bench.machine.retryNow(bench.now);
    assert.deepEqual([bench.take().opens, bench.machine.timeoutMs()], [1, Infinity]);
    assert.throws(() => bench.publish('b'), { code: String(code) });
  }
  for (const code of ['shutting_down', 'slow_consumer', 'overloaded', 1009, 'none', 3000]) {
    const bench = new Bench().up();
    bench.now = 10;
    bench.receive({ type: 'go_away', code, message: '', reconnect_after_ms: 700 });
    assert.deepEqual([bench.machine.phase.name, bench.machine.phase.until_ms], ['waiting', 710]);
    assert.deepEqual(bench.told(), ['state waiting', 'disconnected']);
  }
});

test('the close frame says so too when the go-away was lost', () => {
  for (const [code, name] of [[4105, 'login_failed'], [4109, 'replaced'], [4150, '2050'], [1002, 'malformed_frame'], [1009, 'frame_too_large']]) {
    const bench = new Bench().up();
    bench.machine.closed({ code, reason: '' }, 0);
    assert.deepEqual([bench.machine.phase.name, bench.machine.phase.reason.code], ['ended', name], `${code}`);
  }
  for (const [code, name] of [[4000, 'shutting_down'], [4001, 'slow_consumer'], [1001, 'connection_lost'], [1006, 'connection_lost'], [1011, 'connection_lost']]) {
    const bench = new Bench().up();
    bench.machine.closed({ code, reason: '' }, 0);
    assert.deepEqual([bench.machine.phase.name, bench.machine.phase.reason.code], ['waiting', name], `${code}`);
  }
});

test('waits grow, and a good connection begins anew', () => {
  const bench = new Bench({}, () => 1 - Number.EPSILON).up();
  bench.now = GOOD_CONNECTION_MS;
  for (const bound of [200, 400, 800, 1_600]) {
    bench.machine.closed({}, bench.now);
    assert.equal(bench.machine.phase.until_ms, bench.now + bound);
    bench.now += bound;
    bench.machine.tick(bench.now);
  }
  bench.machine.opened(bench.now);
  bench.receive(WELCOME);
  bench.now += 1;
  bench.machine.closed({}, bench.now);
  assert.equal(bench.machine.phase.until_ms, bench.now + 3_200, 'a welcome alone does not reset the wait');
});

test('whoever does not want to wait tries now, but not before the server said', () => {
  const bench = new Bench({}, () => 0.999).up();
  bench.receive({ type: 'go_away', code: 'shutting_down', message: '', reconnect_after_ms: 100 });
  bench.machine.retryNow(99);
  assert.equal(bench.machine.phase.name, 'waiting');
  bench.machine.retryNow(100);
  assert.equal(bench.machine.phase.name, 'connecting');
});

test('the first failure is an error unless told otherwise', () => {
  const bench = new Bench({ keepTrying: false });
  bench.machine.start(0);
  bench.machine.closed({ code: 1006 }, 0);
  assert.deepEqual([bench.machine.phase.name, bench.machine.phase.reason.code], ['ended', 'unreachable']);
  const patient = new Bench();
  patient.machine.start(0);
  patient.machine.closed({ code: 1006 }, 0);
  assert.equal(patient.machine.phase.name, 'waiting');
});

test('a server that is silent or does not welcome is left', () => {
  const bench = new Bench().up();
  bench.now = 4_999;
  bench.machine.tick(bench.now);
  assert.equal(bench.machine.phase.name, 'up');
  bench.now = 5_000;
  bench.machine.tick(bench.now);
  assert.equal(bench.machine.phase.reason.code, 'silent');
  const slow = new Bench();
  slow.logIn();
  slow.now = 10_000;
  slow.machine.tick(slow.now);
  assert.deepEqual([slow.machine.phase.reason.code, slow.take().closes], ['no_welcome', 1]);
});

test('heartbeats go out a little early, and cannot pile up', () => {
  const bench = new Bench().up();
  assert.equal(bench.machine.timeoutMs(), 900);
  bench.now = 900;
  const [first] = bench.sent();
  assert.equal(first.type, 'ping');
  bench.now = 1_800;
  assert.deepEqual(bench.sent(), [{ type: 'ping' }], 'asks for no answer while one is missing');
  bench.receive({ type: 'pong', ref: first.ref, server_time_ms: 1 });
  bench.now = 2_700;
  assert.equal(typeof bench.sent()[0].ref, 'number');
  bench.receive({ type: 'ping' });
  assert.deepEqual(bench.sent(), [{ type: 'pong' }]);
});

test('what is no frame ends the connection, what is newer is ignored', () => {
  for (const nonsense of [null, [], 'hello', {}, { type: 7 }]) {
    const bench = new Bench().up().receive(nonsense);
    assert.equal(bench.machine.phase.reason.code, 'malformed_frame');
  }
  const bench = new Bench().up().receive({ type: 'reaction', conversation: 'group:team' }, { type: 'ack', ref: 99, ...cursor(1) });
  assert.equal(bench.machine.phase.name, 'up');
  assert.deepEqual(bench.told(), []);
});

test('an answer of another kind is an error of its request', () => {
  const bench = new Bench().up();
  const ref = bench.ask({ type: 'members', conversation: 'group:team' });
  bench.receive({ type: 'done', ref });
  assert.deepEqual(bench.outcome(), [ref, 'wrong_answer']);
});

test('ids are checked before anything is sent', () => {
  const bench = new Bench().up();
  for (const request of [
    { type: 'publish', conversation: 'bob' },
    { type: 'publish', conversation: 'direct:' },
    { type: 'publish', conversation: 'direct:bob', client_id: 'x'.repeat(65) },
    { type: 'group_add', id: 'team', user: 'Zoe\u0308' },
    { type: 'presence_watch', users: ['a\u0007'] },
    { type: 'group_create', members: [''] },
    { type: 'log_out_device', device: 7 },
  ]) {
    assert.throws(() => bench.ask(request), { code: 'invalid_id' }, JSON.stringify(request));
  }
  assert.deepEqual(bench.sent(), []);
});

test('a body that the server would not take is not sent', () => {
  const bench = new Bench().up({ body_bytes_max: 10, frame_bytes_max: 400 });
  for (const body of [{ body: 'eleven char' }, { body: '\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9' }, { body_base64: 'AAAAAAAAAAAAAAA=' }]) {
    const ref = bench.ask({ type: 'publish', conversation: 'direct:bob', ...body });
    assert.deepEqual(bench.outcome(), [ref, 'body_too_large']);
  }
  const ref = bench.ask({ type: 'group_title', id: 'team', title: 'x'.repeat(400) });
  assert.deepEqual(bench.outcome(), [ref, 'frame_too_large']);
  assert.deepEqual(bench.sent(), []);
  bench.publish('ten chars!');
  assert.equal(bench.texts().length, 1, 'what was refused does not hold up the others');
});

test('what waits is bounded', () => {
  const bench = new Bench({ unsentMax: 2 });
  bench.publish('a');
  bench.publish('b');
  assert.throws(() => bench.publish('c'), { code: 'queue_full', retryable: true });
  bench.ask({ type: 'ping' });
  const small = new Bench({ unsentBytesMax: 600 });
  small.publish('a');
  assert.throws(() => small.publish('x'.repeat(600)), { code: 'queue_full' });
});

test('messages wait while there is no connection, and go in order', () => {
  const bench = new Bench();
  bench.publish('a');
  bench.publish('b');
  assert.deepEqual(bench.saved.map(({ body, uncertain_since_ms }) => [body, uncertain_since_ms]), [['a', null], ['b', null]]);
  bench.up();
  assert.deepEqual(bench.texts(), ['a']);
});

test('what was sent is marked in the storage before it goes', () => {
  const bench = new Bench().up();
  bench.machine.ask({ type: 'publish', conversation: 'group:team', body: 'a' }, 7);
  bench.now = 7;
  const effects = bench.machine.effects(7);
  assert.deepEqual(effects.map((effect) => effect.do), ['save', 'send']);
  assert.deepEqual(effects[0].unsent, [
    { conversation: 'group:team', body: 'a', client_id: 'prefix-1', queued_ms: 7, uncertain_since_ms: 7 },
  ]);
});

test('another run sends what was left, unless it may have been sent too long ago', () => {
  const bench = new Bench();
  bench.now = 1_000_000;
  const left = { conversation: 'direct:bob', queued_ms: 5 };
  bench.machine.restoreUnsent(
    [
      { ...left, client_id: 'old', body: 'old', uncertain_since_ms: 5 },
      { ...left, client_id: 'recent', body: 'recent', uncertain_since_ms: 999_000 },
      { ...left, client_id: 'never', body: 'never', uncertain_since_ms: null },
      { ...left, client_id: 'later', body: 'by a clock that was set back', uncertain_since_ms: 2_000_000 },
      { conversation: 'nobody', client_id: 'x' }, { body: 'y' }, null, 'junk',
    ],
    bench.now,
  );
  bench.logIn();
  bench.receive(WELCOME);
  assert.deepEqual(bench.told().slice(-2), ['failed old connection_lost', 'failed later connection_lost']);
  assert.deepEqual(bench.texts(), ['recent']);
  bench.receive({ type: 'ack', ref: 2, ...cursor(1), duplicate: true });
  assert.deepEqual(bench.texts(), ['never']);
  for (const junk of [null, {}, 'x', [[]]]) new Bench().machine.restoreUnsent(junk, 0);
});

test('the end leaves the storage as it is', () => {
  const bench = new Bench().up();
  bench.publish('a');
  bench.saved = null;
  bench.receive({ type: 'go_away', code: 'replaced', message: '' });
  assert.equal(bench.saved, null);
  assert.equal(bench.outcome()[1], 'replaced');
});

test('a message can be taken back as long as it has not gone out', () => {
  const bench = new Bench().up();
  const [a, b] = [bench.publish('a'), bench.publish('b')];
  assert.equal(bench.machine.cancel('prefix-1', 0), false);
  assert.equal(bench.machine.cancel('prefix-2', 0), true);
  bench.take();
  assert.deepEqual(bench.outcome(), [b, 'cancelled']);
  bench.ack(a, 1);
  assert.deepEqual(bench.texts(), ['a']);
  assert.deepEqual(bench.saved, []);
});

test('topics that are not subscribed to have no cursor', () => {
  const bench = new Bench().up();
  bench.receive(message(5, { conversation: 'topic:news' }), message(9, { conversation: 'topic:news' }));
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'message 9 resume 9']);
  assert.equal(bench.reconnect().resume, undefined);
});

test('a subscription comes back with its filter, and ends', () => {
  const bench = new Bench().up();
  const ref = bench.ask({ type: 'subscribe', conversation: 'topic:news', tags: ['eu'] });
  bench.receive({ ...subscribed('topic:news', 6), ref }, message(6, { conversation: 'topic:news' }));
  assert.deepEqual(bench.reconnect().resume, [{ conversation: 'topic:news', cursor: cursor(6), tags: ['eu'] }]);
  const unsubscribe = bench.ask({ type: 'unsubscribe', conversation: 'topic:news' });
  bench.receive({ type: 'done', ref: unsubscribe });
  assert.equal(bench.reconnect().resume, undefined);
});

test('topics that do not fit into the resume list are subscribed to after the welcome', () => {
  const resume = ['a', 'b', 'c'].map((id) => ({ conversation: `topic:${id}`, cursor: cursor(1) }));
  const bench = new Bench({ resume }).up({ resume_max: 2 });
  bench.receive(subscribed('topic:a', 2), subscribed('topic:b', 2), subscribed('topic:c', 2));
  const hello = bench.reconnect({ resume_max: 2 });
  assert.deepEqual(hello.resume.map(({ conversation }) => conversation), ['topic:a', 'topic:b']);
  const [{ ref, ...again }] = bench.sent();
  assert.deepEqual(again, { type: 'subscribe', ...resume[2] });
  bench.receive({ ...subscribed('topic:c', 2), ref }, message(2, { conversation: 'topic:c' }));
  assert.ok(bench.told().includes('message 2 resume 2'));
});

test('a conversation that begins unasked has a cursor before its first message', () => {
  const bench = new Bench().up().receive(subscribed('group:team', 5));
  assert.deepEqual(bench.told(), ['receiving 4']);
  assert.deepEqual(bench.reconnect().resume, [{ conversation: 'group:team', cursor: cursor(4) }]);
});

test('a server that goes on behind our cursor without having known it is asked for what lies between', () => {
  const bench = new Bench().up().messages(5);
  bench.reconnect();
  bench.receive(subscribed('group:team', 6));
  assert.deepEqual(bench.sent(), [], 'it knew');
  bench.receive(subscribed('group:team', 9));
  const [{ ref, ...subscribe }] = bench.sent();
  assert.deepEqual(subscribe, { type: 'subscribe', conversation: 'group:team', cursor: cursor(5) });
  bench.told();
  bench.messages(9).receive({ ...subscribed('group:team', 6), ref }).messages(6, 7, 8, 9, 10);
  assert.deepEqual(bench.told().filter((line) => line.startsWith('hole')), []);
  assert.equal(bench.machine.cursor('group:team').seq, 10);
});

test('who leaves, is removed, or sees the end of a group does not resume it', () => {
  for (const record of [
    { kind: 'removed', subject: 'alice' }, { kind: 'left', sender: 'alice', subject: 'alice' }, { kind: 'disbanded' },
  ]) {
    const bench = new Bench().up().messages(5);
    bench.receive(message(6, record));
    assert.deepEqual(bench.told(), ['message 5 resume 5', 'record 6 resume 6']);
    assert.equal(bench.reconnect().resume, undefined, JSON.stringify(record));
  }
  const bench = new Bench().up().messages(5).receive(message(6, { kind: 'removed', subject: 'carol' }));
  assert.equal(bench.reconnect().resume.length, 1);
  const ref = bench.ask({ type: 'group_leave', id: 'team' });
  bench.ack(ref, 7);
  assert.equal(bench.reconnect().resume, undefined);
});

test('a record that this session wrote is told by its ack, another that looks the same is an event', () => {
  const record = (seq) => message(seq, { sender: 'alice', kind: 'title', body: 'New' });
  const own = new Bench().up().messages(5);
  const ref = own.ask({ type: 'group_title', id: 'team', title: 'New' });
  own.receive(record(6)).ack(ref, 6);
  assert.deepEqual(own.told(), ['message 5 resume 5', 'acked 6']);
  const other = new Bench().up().messages(5);
  const second = other.ask({ type: 'group_title', id: 'team', title: 'New' });
  other.receive(record(6)).ack(second, 7);
  assert.deepEqual(other.told(), ['message 5 resume 5', 'acked 7', 'record 6 resume 6']);
  const lost = new Bench().up().messages(5);
  lost.ask({ type: 'group_title', id: 'team', title: 'New' });
  lost.receive(record(6));
  lost.reconnect();
  assert.deepEqual(lost.told(), ['message 5 resume 5', 'record 6 resume 6']);
});

test('a group that was made has a cursor', () => {
  const bench = new Bench().up();
  const ref = bench.ask({ type: 'group_create', id: 'team' });
  bench.receive({ type: 'group_created', ref, conversation: 'group:team', ...cursor(1), time_ms: 0 });
  assert.deepEqual(bench.told(), ['acked 1']);
  assert.equal(bench.outcome()[1].conversation, 'group:team');
});

test('presence is watched again after a reconnect', () => {
  const bench = new Bench().up();
  const ref = bench.ask({ type: 'presence_watch', users: ['bob', 'carol'] });
  bench.receive({ type: 'presence_answer', ref, users: [], sessions: 0 });
  bench.sent();
  bench.reconnect();
  const [again] = bench.sent();
  assert.deepEqual(again.users, ['bob', 'carol']);
  bench.receive({ type: 'presence_answer', ref: again.ref, users: [{ user: 'bob', online: true, last_seen_ms: 0 }], sessions: 0 });
  assert.deepEqual(bench.told(), ['presence bob true']);
  const unwatch = bench.ask({ type: 'presence_unwatch', users: ['bob', 'carol'] });
  bench.receive({ type: 'done', ref: unwatch });
  bench.sent();
  bench.reconnect();
  assert.deepEqual(bench.sent(), []);
});

test('an entry of the resume list that is refused is not resumed again', () => {
  const bench = new Bench().up().messages(5);
  bench.receive({ type: 'error', code: 'unknown_conversation', message: 'no', conversation: 'group:team' });
  assert.deepEqual(bench.told(), ['message 5 resume 5', 'trouble group:team unknown_conversation']);
  assert.equal(bench.reconnect().resume, undefined);
});

test('what comes after the go-away is of a connection that is over', () => {
  const bench = new Bench().up();
  bench.receive({ type: 'go_away', code: 'slow_consumer', message: '', reconnect_after_ms: 0 }, message(1));
  assert.deepEqual(bench.told(), ['state waiting', 'disconnected']);
});
