/** The handle: one method for each verb; carries things between the machine, the socket, the storage and the application. */

import { bodyFields } from './body.js';
import { Clock } from './clock.js';
import { Emitter } from './emitter.js';
import { CampanileError } from './errors.js';
import { Machine } from './machine.js';

/** The sub-protocol: JSON in text messages. */
const PROTOCOL = 'campanile.v1.json';
/** Longest that a timer can wait; a later time is looked at again. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class Client {
  #url;
  #WebSocket;
  #storage;
  #storageKey;
  #clock = new Clock();
  #emitter = new Emitter();
  #machine;
  #socket = null;
  #timer = null;
  /** ref -> {resolve, reject} */
  #replies = new Map();
  #isPumping = false;

  constructor({ url, token, device, WebSocket = globalThis.WebSocket, storage = null, storageKey, ...options }) {
    if (typeof WebSocket !== 'function') {
      throw new CampanileError('bad_options', "there is no WebSocket here; pass one: new Client({WebSocket, ...}), as from the package 'ws'");
    }
    if (!url || !token || !device) throw new CampanileError('bad_options', 'url, token and device are needed');
    this.#url = url;
    this.#WebSocket = WebSocket;
    this.#storage = storage;
    this.#storageKey = storageKey ?? `campanile:unsent:${token}:${device}`;
    this.#machine = new Machine({ token, device, ...options }, { clientIdPrefix: randomPrefix(), random: Math.random });
    this.#machine.restoreUnsent(this.#load(), this.#clock.now());
  }

  // --------------------------------------------------------------------------------------------- the connection

  /** Connects and logs in; gives the welcome. With `keepTrying` it waits until there is one. */
  connect() {
    return new Promise((resolve, reject) => {
      const settle = (then, value) => {
        offs.forEach((off) => off());
        then(value);
      };
      const offs = [
        this.on('connected', ({ welcome }) => settle(resolve, welcome)),
        this.on('ended', (error) => settle(reject, error)),
      ];
      if (this.#machine.phase.name === 'up') return settle(resolve, this.#machine.welcome);
      if (this.#machine.phase.name === 'ended') return settle(reject, this.#machine.phase.reason);
      this.#happened((machine, now) => machine.start(now));
    });
  }

  /** Ends the connection for good. Requests without an answer fail; messages in a storage stay there. */
  close() {
    this.#happened((machine) => machine.close());
  }

  /** While it waits for the next attempt to connect: tries now. */
  retryNow() {
    this.#happened((machine, now) => machine.retryNow(now));
  }

  /** `{phase, until_ms, reason}`: idle, connecting, logging_in, up, waiting or ended. */
  get state() {
    const { name: phase, until_ms, reason } = this.#machine.phase;
    return { phase, ...(until_ms !== undefined && { until_ms }), ...(reason && { reason }) };
  }

  /** The last welcome, or null. */
  get welcome() {
    return this.#machine.welcome;
  }

  /** The time by the clock of `until_ms` and of `queued_ms`. */
  now() {
    return this.#clock.now();
  }

  /** Calls `listener` at each event of this name; gives a function that ends it. */
  on(name, listener) {
    return this.#emitter.on(name, listener);
  }

  off(name, listener) {
    this.#emitter.off(name, listener);
  }

  /** Where this client stands in a conversation: what to give `resume` in the next run. Null: nowhere yet. */
  cursor(conversation) {
    return this.#machine.cursor(conversation);
  }

  // -------------------------------------------------------------------------------------------------- messages

  /** Publishes; gives the ack. Waits while there is no connection, and is never done twice. */
  publish(conversation, body, { client_id, content_type, ttl_ms, tag } = {}) {
    return this.ask({ type: 'publish', conversation, ...bodyFields(body), client_id, content_type, ttl_ms, tag });
  }

  /** A `client_id` for `publish`, for who wants to know it before. */
  newClientId() {
    return this.#machine.newClientId();
  }

  /** Messages that have no ack yet, in order, also those of an earlier run. */
  unsent() {
    return this.#machine.unsent();
  }

  /** Takes a message back that has not been sent yet. False: it is under way, or was sent. */
  cancel(clientId) {
    let isCancelled = false;
    this.#happened((machine, now) => (isCancelled = machine.cancel(clientId, now)));
    return isCancelled;
  }

  /** Takes back an own message, for everyone who has not read it yet or reads it again. */
  retract(conversation, cursor) {
    return this.ask({ type: 'retract', conversation, cursor: place(cursor) });
  }

  /** Receives a topic, or any conversation again from a cursor. */
  subscribe(conversation, { cursor, tags } = {}) {
    return this.ask({ type: 'subscribe', conversation, cursor: cursor && place(cursor), tags });
  }

  unsubscribe(conversation) {
    return this.ask({ type: 'unsubscribe', conversation });
  }

  /** One page of history. It moves no cursor. */
  sync(conversation, { cursor, direction, limit } = {}) {
    return this.ask({ type: 'sync', conversation, cursor: place(cursor ?? { epoch: 0, seq: 0 }), direction: direction ?? 'backward', limit });
  }

  /** History page by page, from the newest back unless told otherwise. */
  async *history(conversation, { cursor, direction = 'backward', limit } = {}) {
    for (;;) {
      const page = await this.sync(conversation, { cursor, direction, limit });
      yield page;
      // A backward cursor with seq 0 would begin at the newest again.
      if (!page.has_more || !page.next || (direction === 'backward' && page.next.seq === 0)) return;
      cursor = page.next;
    }
  }

  // ----------------------------------------------------------------------------------------------------- groups

  /** `{id, title, open, whole_history, members}`, all of which may be absent. */
  groupCreate(group = {}) {
    return this.ask({ type: 'group_create', ...group });
  }

  groupTitle(id, title) {
    return this.ask({ type: 'group_title', id, title });
  }

  groupAdd(id, user, role = 'member') {
    return this.ask({ type: 'group_add', id, user, role });
  }

  groupRemove(id, user) {
    return this.ask({ type: 'group_remove', id, user });
  }

  groupJoin(id) {
    return this.ask({ type: 'group_join', id });
  }

  groupLeave(id) {
    return this.ask({ type: 'group_leave', id });
  }

  groupSetRole(id, user, role) {
    return this.ask({ type: 'group_set_role', id, user, role });
  }

  groupDisband(id) {
    return this.ask({ type: 'group_disband', id });
  }

  /** One page of members, in the order of their ids. */
  members(conversation, { after, limit } = {}) {
    return this.ask({ type: 'members', conversation, after, limit });
  }

  /** One page of the user's conversations. */
  conversations({ after, limit } = {}) {
    return this.ask({ type: 'conversations', after, limit });
  }

  // ------------------------------------------------------------------------------ receipts, presence, ephemeral

  /** Says "up to here"; `kind`: 'delivered' or 'read'. */
  async receipt(conversation, kind, cursor) {
    await this.ask({ type: 'receipt', conversation, kind, cursor: place(cursor) });
  }

  /** Whether users are there, and how many sessions receive a conversation. */
  presence(users, conversation) {
    return this.ask({ type: 'presence_query', users, conversation });
  }

  /** As `presence`, and an event at each change, also after a reconnect. */
  watch(users) {
    return this.ask({ type: 'presence_watch', users });
  }

  async unwatch(users) {
    await this.ask({ type: 'presence_unwatch', users });
  }

  /** Typing and the like: never stored, the first thing to be dropped. */
  async ephemeral(conversation, name, body) {
    await this.ask({ type: 'ephemeral', conversation, name, ...bodyFields(body) });
  }

  async logOutDevice(device) {
    await this.ask({ type: 'log_out_device', device });
  }

  /** Asks for a sign of life; gives the server's time. */
  async ping() {
    return (await this.ask({ type: 'ping' })).server_time_ms;
  }

  /** Any request, as the schema has it. */
  ask(request) {
    return new Promise((resolve, reject) => {
      const present = Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined));
      this.#happened((machine, now) => this.#replies.set(machine.ask(present, now), { resolve, reject }));
    });
  }

  // ------------------------------------------------------------------------------------------------- the driver

  /** Lets the machine know, and does what follows from it. A listener that asks for something meanwhile only adds to that. */
  #happened(event) {
    event(this.#machine, this.#clock.now());
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      for (let effects; (effects = this.#machine.effects(this.#clock.now())).length > 0; ) {
        for (const effect of effects) this.#do(effect);
      }
    } finally {
      this.#isPumping = false;
    }
    this.#schedule();
  }

  #do(effect) {
    switch (effect.do) {
      case 'save':
        return this.#save(effect.unsent);
      case 'open':
        return this.#open();
      case 'send':
        return this.#socket?.send(JSON.stringify(effect.frame));
      case 'close':
        return this.#drop();
      case 'emit':
        return this.#emitter.emit(effect.name, effect.data);
      case 'settle':
        return this.#settle(effect);
    }
  }

  #settle({ ref, answer, error }) {
    const reply = this.#replies.get(ref);
    this.#replies.delete(ref);
    if (error) reply?.reject(error);
    else reply?.resolve(answer);
  }

  #schedule() {
    clearTimeout(this.#timer);
    const at = this.#machine.timeoutMs();
    if (at === Infinity) return;
    const wait = Math.min(Math.max(0, at - this.#clock.now()), TIMER_MS_MAX);
    this.#timer = setTimeout(() => this.#happened((machine, now) => machine.tick(now)), wait);
  }

  #open() {
    let socket;
    try {
      socket = new this.#WebSocket(this.#url, [PROTOCOL]);
    } catch (error) {
      // An address that makes no sense, or one that the page may not reach.
      return this.#machine.closed({ code: 0, reason: String(error) }, this.#clock.now());
    }
    this.#socket = socket;
    // What comes from a socket that was dropped meanwhile is of a connection that is over.
    const when = (name, handle) =>
      socket.addEventListener(name, (event) => {
        if (this.#socket === socket) this.#happened((machine, now) => handle(machine, event, now));
      });
    when('open', (machine, _, now) => machine.opened(now));
    when('message', (machine, { data }, now) => machine.received(parse(data), now));
    when('close', (machine, { code, reason }, now) => {
      this.#socket = null;
      machine.closed({ code, reason }, now);
    });
    // Always followed by 'close', which says as much; without a listener Node's sockets throw.
    socket.addEventListener('error', () => {});
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #load() {
    try {
      return JSON.parse(this.#storage?.getItem(this.#storageKey) ?? '[]');
    } catch {
      return [];
    }
  }

  /** A storage that is full or forbidden costs what it was to keep, and nothing else. */
  #save(unsent) {
    if (!this.#storage) return;
    try {
      if (unsent.length === 0) this.#storage.removeItem(this.#storageKey);
      else this.#storage.setItem(this.#storageKey, JSON.stringify(unsent));
    } catch (error) {
      this.#emitter.emit('trouble', { code: 'storage_failed', message: String(error) });
    }
  }
}

/** A cursor, out of anything that has a place: an ack, a message. */
function place({ epoch, seq }) {
  return { epoch, seq };
}

/** A frame, or null if it is not one. */
function parse(data) {
  try {
    return typeof data === 'string' ? JSON.parse(data) : null;
  } catch {
    return null;
  }
}

/** 128 random bits in hex: the sender's other devices and runs must not make the same `client_id`. */
function randomPrefix() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
