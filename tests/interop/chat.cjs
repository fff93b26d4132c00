// One side of a conversation, over the library `ws`.
//
// usage: chat.cjs URL ME PEER    does everything that a client does with PEER, who does the same; exit status 0 if all of it came as it should
//        chat.cjs --check        exit status 77 if the library is absent
'use strict';
const assert = require('node:assert/strict');

let WebSocket;
try {
  WebSocket = require('ws');
} catch {
  console.log('the package ws is absent: npm install ws');
  process.exit(77);
}

const PATIENCE_MS = 60_000;
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('base64');

/** What is published, each beside what the peer must see of it. */
function posts(me, peer) {
  const to = `direct:${peer}`;
  const long = 'é'.repeat(30_000);
  const odd = 'Grüße 🔔 \0 " \\ \n \u2028 </script>';
  return [
    [{ type: 'publish', conversation: to, body: 'hi' }, { body: 'hi' }],
    [{ type: 'publish', conversation: { kind: 'direct', id: peer }, body: odd }, { body: odd }],
    [{ body: long, ttl_ms: 3_600_000, conversation: to, type: 'publish' }, { body: long, ttl_ms: 3_600_000 }],
    [
      { type: 'publish', conversation: to, content_type: 'image/png', body_base64: ALL_BYTES, client_id: 'c-1' },
      { content_type: 'image/png', body_base64: ALL_BYTES, client_id: 'c-1' },
    ],
    [{ type: 'message', to, content: 'plain', sender: me, timestamp: [null] }, { body: 'plain' }],
  ];
}

class Client {
  /** An open WebSocket. */
  static async open(url, protocols) {
    const client = new Client(new WebSocket(url, protocols));
    await client.until(() => client.socket.readyState === WebSocket.OPEN);
    return client;
  }

  constructor(socket) {
    this.socket = socket;
    this.received = [];
    this.pongs = 0;
    this.end = null;
    this.wake = () => {};
    const on = (event, note) => socket.on(event, (...args) => { note(...args); this.wake(); });
    on('open', () => {});
    on('message', (data, isBinary) => {
      assert(!isBinary, 'JSON comes as text');
      this.received.push(JSON.parse(data.toString()));
    });
    on('pong', () => { this.pongs += 1; });
    on('close', (code, reason) => { this.end = { code, reason: reason.toString() }; });
  }

  /** Waits for something that an event brings. */
  async until(isSo) {
    while (!isSo()) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('nothing came for too long')), PATIENCE_MS);
        this.wake = () => { clearTimeout(timer); resolve(); };
      });
    }
  }

  send(fields) {
    this.socket.send(JSON.stringify(fields));
  }

  async receive() {
    await this.until(() => this.received.length > 0 || this.end !== null);
    assert(this.received.length > 0, `the connection has ended: ${JSON.stringify(this.end)}`);
    return this.received.shift();
  }

  /** The answer to a request; what comes before it is of no interest. */
  async answer(ref) {
    for (;;) {
      const got = await this.receive();
      if (got.ref === ref) return got;
    }
  }

  async close() {
    this.socket.close(1000);
    await this.until(() => this.end !== null);
    assert.equal(this.end.code, 1000);
  }
}

/** Sends everything, gets everything, in order and once; errors in between end nothing. */
async function talk(url, me, peer) {
  const client = await Client.open(url, ['campanile.v1.json']);
  assert.equal(client.socket.protocol, 'campanile.v1.json');
  client.send({ type: 'connect', ref: 1, token: `dev:${me}`, device: 'interop' });
  const welcome = await client.receive();
  assert.deepEqual([welcome.type, welcome.ref, welcome.user], ['welcome', 1, me]);
  const mine = posts(me, peer);
  const theirs = posts(peer, me).map(([, seen]) => seen);
  mine.forEach(([post], at) => client.send({ ref: 10 + at, ...post }));
  client.send({ type: 'publish', ref: 90, conversation: peer, body: 'nowhere' });
  client.send({ type: 'message', ref: 91, to: `direct:${peer}`, content: 'not me', sender: peer });
  client.socket.ping('are you there?');
  await client.until(() => client.pongs === 1);
  const [places, errors, messages] = [[], {}, []];
  while (places.length < mine.length || Object.keys(errors).length < 2 || messages.length < theirs.length) {
    const got = await client.receive();
    if (got.type === 'ack') {
      assert.equal(got.ref, 10 + places.length, 'the acks come in order');
      places.push([got.epoch, got.seq]);
    } else if (got.type === 'error') {
      errors[got.ref] = [got.code, got.message];
    } else if (got.type === 'message') {
      messages.push(got);
    }
  }
  assert.deepEqual(errors, {
    90: ['bad_request', 'conversation: expected direct:USER, group:ID, topic:ID or broadcast'],
    91: ['sender_mismatch', 'sender: not the user of this session'],
  });
  assert.equal(messages.length, theirs.length);
  messages.forEach(({ type, epoch, seq, time_ms, ...rest }, at) => {
    assert.deepEqual(rest, { conversation: `direct:${peer}`, sender: peer, ...theirs[at] });
  });
  places.slice(1).forEach(([, seq], at) => assert(seq > places[at][1], 'each ack names a later place'));
  const last = messages.at(-1);
  client.send({ type: 'receipt', ref: 50, conversation: `direct:${peer}`, kind: 'read', cursor: { epoch: last.epoch, seq: last.seq } });
  assert.deepEqual(await client.answer(50), { type: 'done', ref: 50 });
  await client.close();
  return places.concat(messages.map(({ epoch, seq }) => [epoch, seq]));
}

/** Another device, without a sub-protocol, from the beginning: every place once, in order. */
async function readAgain(url, me, peer, places) {
  const client = await Client.open(url);
  assert.equal(client.socket.protocol, '');
  const resume = [{ conversation: `direct:${peer}`, cursor: { epoch: 0, seq: 0 } }];
  client.send({ type: 'connect', token: `dev:${me}`, device: 'reader', resume });
  const seen = [];
  while (seen.length < places.length) {
    const got = await client.receive();
    if (got.type === 'message') seen.push([got.epoch, got.seq]);
  }
  assert.deepEqual(seen, [...places].sort(([, one], [, other]) => one - other));
  await client.close();
}

/** Nobody logs in like this: a word before the end, and the code of the end. */
async function refused(url) {
  const client = await Client.open(url);
  client.send({ type: 'connect', token: 'nobody' });
  const goodbye = await client.receive();
  assert.deepEqual([goodbye.type, goodbye.code], ['go_away', 'login_failed']);
  await client.until(() => client.end !== null);
  assert.deepEqual(client.end, { code: 4105, reason: 'login_failed' });
}

async function main(args) {
  if (args[0] === '--check') {
    console.log(`ws ${require('ws/package.json').version}`);
    return;
  }
  const [url, me, peer] = args;
  const places = await talk(url, me, peer);
  await readAgain(url, me, peer, places);
  await refused(url);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
