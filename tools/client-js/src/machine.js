/**
 * The client's side of the protocol as a plain state machine: no socket, no clock, no timer. What happened goes in, with the time
 * (milliseconds, see clock.js); what is to be done comes out of `effects`. `Client` carries things between this, the socket and the
 * application.
 */

import { waitMs } from './backoff.js';
import { bodyBytes } from './body.js';
import { Conversations, RESUME_ENTRIES_MAX } from './conversations.js';
import { CampanileError, closeCode, isFinal, isWorthRepeating } from './errors.js';
import { Queue, REQUESTS_MAX } from './queue.js';
import { Receiver } from './receiver.js';
import { checkRequest, frameBytes } from './requests.js';

/** A connection that stood this long was a good one: the next backoff begins anew. */
export const GOOD_CONNECTION_MS = 10_000;
/** Largest frame that a server is assumed to take before it has said so. */
const FRAME_BYTES_ASSUMED = 64 * 1024;
/** Shortest wait before a request that was told "later" is sent again. */
const RETRY_MS_MIN = 50;
/** Users in one request of those that bring watches back. */
const WATCH_CHUNK = 100;

/** Defaults of the options that `Client` documents. */
export const DEFAULTS = {
  resume: [],
  backoff: { baseMs: 200, maxMs: 30_000 },
  connectTimeoutMs: 10_000,
  keepTrying: false,
  resendWithinMs: 100_000,
  publishRetries: 10,
  pipeline: 1,
  unsentMax: 1_000,
  unsentBytesMax: 1024 * 1024,
};

export class Machine {
  #options;
  #random;
  #clientIdPrefix;
  #clientIds = 0;
  /** idle, waiting {until_ms, reason}, connecting {deadline_ms}, logging_in {deadline_ms}, up {since_ms}, ended {reason} */
  #phase = { name: 'idle' };
  /** Attempts since the last good connection. */
  #attempt = 0;
  #wasUp = false;
  #welcome = null;
  #conversations = new Conversations();
  #queue = new Queue();
  #receiver;
  #effects = [];
  #unsentHasChanged = false;
  #lastSentMs = 0;
  #lastHeardMs = 0;

  /**
   * `clientIdPrefix` is before the counter in the `client_id`s made here: no other client has it. `random` draws from 0 to less than 1,
   * for the jitter.
   */
  constructor(options, { clientIdPrefix, random }) {
    this.#options = { ...DEFAULTS, ...options };
    this.#clientIdPrefix = clientIdPrefix;
    this.#random = random;
    this.#receiver = new Receiver(this.#conversations, this.#queue, (name, data) => this.#tell(name, data));
    for (const { conversation, cursor, tags } of this.#options.resume) this.#conversations.start(conversation, cursor, tags);
  }

  get phase() {
    return this.#phase;
  }

  /** The last welcome, or null. */
  get welcome() {
    return this.#welcome;
  }

  /** Where this client stands in a conversation, or null. */
  cursor(conversation) {
    return this.#conversations.cursor(conversation);
  }

  // ------------------------------------------------------------------------------------------ the application

  /** A `client_id` that nobody else makes. */
  newClientId() {
    return `${this.#clientIdPrefix}-${++this.#clientIds}`;
  }

  /** The application asks for something; the number that comes back names it in the effect `settle`. Throws when it cannot be asked. */
  ask(request, now) {
    checkRequest(request);
    if (this.#phase.name === 'ended') throw this.#phase.reason;
    if (request.type === 'publish') {
      request = { ...request, client_id: request.client_id ?? this.newClientId() };
      this.#unsentHasChanged = true;
    }
    this.#expectRoom(request);
    return this.#queue.ask('application', request, now).ref;
  }

  /** Bounds what waits: messages by their own limit, so that a full queue of them leaves the other verbs working. */
  #expectRoom(request) {
    const isPublish = request.type === 'publish';
    const waiting = this.#queue.all().filter((pending) => (pending.request.type === 'publish') === isPublish).length;
    const isFull = isPublish
      ? waiting >= this.#options.unsentMax || this.#queue.bytes + bodyBytes(request) > this.#options.unsentBytesMax
      : waiting >= REQUESTS_MAX;
    if (isFull) throw new CampanileError('queue_full', 'too much waits for the server already', { retryable: true });
  }

  /** Messages that have no ack yet, in order. `uncertain_since_ms`: when it was sent, if it may be known to the server. */
  unsent() {
    const publishes = this.#queue.all().filter(({ owner, request }) => owner === 'application' && request.type === 'publish');
    return publishes.map(({ request, queued_ms, sent_ms, uncertain_since_ms }) => {
      const { type, ...publish } = request;
      return { ...publish, queued_ms, uncertain_since_ms: uncertain_since_ms ?? sent_ms };
    });
  }

  /** Messages that an earlier run left in its queue. What makes no sense is left out. */
  restoreUnsent(unsent, now) {
    for (const { queued_ms, uncertain_since_ms, ...publish } of Array.isArray(unsent) ? unsent.filter(isObject) : []) {
      try {
        const request = { ...publish, type: 'publish' };
        if (request.client_id === undefined || request.conversation === undefined) continue;
        checkRequest(request);
        this.#expectRoom(request);
        const since = Number.isFinite(uncertain_since_ms) ? uncertain_since_ms : null;
        this.#queue.ask('application', request, now, { queued_ms: Number(queued_ms) || now, uncertain_since_ms: since });
      } catch {
        // It was written by another version, or by hand.
      }
    }
  }

  /** Takes a message out of the queue. False: it is under way, or has been sent. */
  cancel(clientId, now) {
    const pending = this.#queue.takeWaiting(clientId);
    if (!pending) return false;
    this.#unsentHasChanged = true;
    this.#settle(pending, new CampanileError('cancelled', 'taken back before it was sent'));
    return true;
  }

  /** Begins to connect. */
  start(now) {
    if (this.#phase.name === 'idle') this.#connect(now);
  }

  /** Whoever waits for the next attempt would rather have it now. A time that the server asked for is kept. */
  retryNow(now) {
    if (this.#phase.name === 'waiting' && now >= this.#phase.told_until_ms) this.#connect(now);
  }

  /** The application wants no more. */
  close() {
    this.#end(new CampanileError('closed', 'the client was closed'));
  }

  // ----------------------------------------------------------------------------------------------- the socket

  /** The connection was made. */
  opened(now) {
    if (this.#phase.name !== 'connecting') return;
    this.#enter({ name: 'logging_in', deadline_ms: this.#phase.deadline_ms });
    const { token, device } = this.#options;
    const room = this.#frameBytesMax() - frameBytes({ token, device }) - 64;
    const resume = this.#conversations.resume(room, this.#welcome?.resume_max || RESUME_ENTRIES_MAX);
    this.#receiver.connecting(resume);
    this.#lastHeardMs = now;
    this.#send({ type: 'connect', version: 1, token, device, ...(resume.length && { resume }) }, now);
  }

  /** A message came: a frame, or null if it is not one. */
  received(frame, now) {
    this.#lastHeardMs = now;
    const isUp = this.#phase.name === 'up';
    if (!isUp && this.#phase.name !== 'logging_in') return;
    if (!isObject(frame) || typeof frame.type !== 'string') {
      return this.#lost(new CampanileError('malformed_frame', 'the server sent something that is no frame', LATER), now);
    }
    const { type, ref = 0, ...data } = frame;
    if (type === 'go_away') this.#goAway(data, now);
    else if (isUp) this.#receivedUp(type, ref, data, now);
    else if (type === 'welcome') this.#welcomed(data, now);
    else this.#lost(new CampanileError('malformed_frame', `the server answered a login with ${type}`, LATER), now);
  }

  /** The socket is closed, or could not be opened. `code` and `reason`: of the WebSocket's close frame. */
  closed({ code, reason } = {}, now) {
    const told = closeCode(code);
    if (told?.final) return this.#end(new CampanileError(told.code, reason || told.code));
    if (told) return this.#lost(new CampanileError(told.code, reason || told.code, LATER), now);
    const wasOpen = this.#phase.name === 'up' || this.#phase.name === 'logging_in';
    const lost = wasOpen
      ? new CampanileError('connection_lost', 'the connection broke', LATER)
      : new CampanileError('unreachable', 'no connection could be made', LATER);
    this.#lost(lost, now);
  }

  /** The time of `timeoutMs` has come. */
  tick(now) {
    const { name, until_ms, deadline_ms } = this.#phase;
    if (name === 'waiting' && now >= until_ms) this.#connect(now);
    else if ((name === 'connecting' || name === 'logging_in') && now >= deadline_ms) {
      this.#lost(new CampanileError('no_welcome', `no welcome within ${this.#options.connectTimeoutMs} ms`, LATER), now);
    } else if (name === 'up' && now >= this.#idleAtMs()) {
      this.#lost(new CampanileError('silent', `nothing was heard for ${this.#welcome.idle_timeout_ms} ms`, LATER), now);
    }
  }

  /** When `tick` is to be called although nothing happened; Infinity: never. */
  timeoutMs() {
    switch (this.#phase.name) {
      case 'waiting':
        return this.#phase.until_ms;
      case 'connecting':
      case 'logging_in':
        return this.#phase.deadline_ms;
      case 'up':
        return Math.min(this.#idleAtMs(), this.#heartbeatAtMs(), this.#queue.readyAtMs(this.#window(), this.#options.pipeline));
      default:
        return Infinity;
    }
  }

  /**
   * What is to be done, in order:
   * `{do: 'save', unsent}`, `{do: 'open'}`, `{do: 'send', frame}`, `{do: 'close'}`, `{do: 'emit', name, data}`,
   * `{do: 'settle', ref, answer}` or `{do: 'settle', ref, error}`. What is to be saved comes first, so that a message that went out is
   * marked before it goes. Call it until nothing comes.
   */
  effects(now) {
    if (this.#phase.name === 'up') this.#sendWhatMayGo(now);
    const effects = this.#effects;
    this.#effects = [];
    if (this.#unsentHasChanged) effects.unshift({ do: 'save', unsent: this.unsent() });
    this.#unsentHasChanged = false;
    return effects;
  }

  // --------------------------------------------------------------------------------------- the life of a connection

  #enter(phase) {
    this.#phase = phase;
    const { name, until_ms, reason } = phase;
    this.#tell('state', { phase: name, ...(until_ms !== undefined && { until_ms }), ...(reason && { reason }) });
  }

  #connect(now) {
    this.#enter({ name: 'connecting', deadline_ms: now + this.#options.connectTimeoutMs });
    this.#effects.push({ do: 'open' });
  }

  #welcomed(welcome, now) {
    this.#welcome = welcome;
    this.#receiver.welcomed(welcome.user);
    this.#restore(now);
    this.#enter({ name: 'up', since_ms: now });
    this.#tell('connected', { resumed: this.#wasUp, welcome });
    this.#wasUp = true;
  }

  /** What the welcome does not bring back by itself: topics that did not fit into the resume list, and presence. */
  #restore(now) {
    for (const point of this.#conversations.topicsMissing(this.#receiver.resumed)) {
      this.#queue.ask('restore', { type: 'subscribe', ...point }, now);
    }
    const { watched } = this.#receiver;
    for (let at = 0; at < watched.length; at += WATCH_CHUNK) {
      this.#queue.ask('restore', { type: 'presence_watch', users: watched.slice(at, at + WATCH_CHUNK) }, now);
    }
  }

  #goAway({ code, message, reconnect_after_ms = 0 }, now) {
    if (isFinal(code)) return this.#end(new CampanileError(String(code), message));
    this.#lost(new CampanileError(String(code), message, LATER), now, reconnect_after_ms);
  }

  /** The end of a connection, or of an attempt: back to waiting, or the end of everything. */
  #lost(reason, now, toldMs = 0) {
    const { name, since_ms } = this.#phase;
    if (name === 'ended' || name === 'waiting' || name === 'idle') return;
    if (!this.#wasUp && !this.#options.keepTrying) return this.#end(reason);
    if (name === 'up' && now - since_ms >= GOOD_CONNECTION_MS) this.#attempt = 0;
    const wait = Math.max(toldMs, waitMs(this.#options.backoff, this.#attempt++, this.#random()));
    this.#effects.push({ do: 'close' });
    this.#enter({ name: 'waiting', until_ms: now + wait, told_until_ms: now + toldMs, reason });
    this.#unsentHasChanged ||= this.#queue.size > 0;
    for (const pending of this.#queue.connectionLost()) {
      this.#receiver.settleEcho(pending, null);
      this.#settle(pending, lostOnTheWay());
    }
    this.#tell('disconnected', { reason, retry_ms: wait });
  }

  /** For good. What waits keeps its place in the storage, for another run. */
  #end(reason) {
    if (this.#phase.name === 'ended') return;
    const pendings = this.#queue.end();
    this.#unsentHasChanged = false;
    this.#effects.push({ do: 'close' });
    this.#enter({ name: 'ended', reason });
    for (const { ref } of pendings) this.#effects.push({ do: 'settle', ref, error: reason });
    this.#tell('ended', reason);
  }

  #idleAtMs() {
    return this.#welcome.idle_timeout_ms > 0 ? this.#lastHeardMs + this.#welcome.idle_timeout_ms : Infinity;
  }

  /** A little before the time that the server asked for, which counts at its end of the wire. */
  #heartbeatAtMs() {
    const { heartbeat_ms } = this.#welcome;
    return heartbeat_ms > 0 ? this.#lastSentMs + heartbeat_ms - Math.floor(heartbeat_ms / 10) : Infinity;
  }

  // ---------------------------------------------------------------------------------------------- what goes out

  #send(frame, now) {
    this.#lastSentMs = now;
    this.#effects.push({ do: 'send', frame });
  }

  #sendWhatMayGo(now) {
    for (const pending of this.#queue.takeTooOld(now - this.#resendWithinMs(), now)) {
      this.#unsentHasChanged = true;
      this.#settle(pending, lostOnTheWay());
    }
    let pending;
    while ((pending = this.#queue.next(now, this.#window(), this.#options.pipeline))) {
      if (pending.request.type === 'publish') this.#unsentHasChanged = true;
      const frame = { ref: pending.ref, ...pending.request };
      const tooLarge = this.#tooLarge(frame);
      if (!tooLarge) this.#send(frame, now);
      else this.#settle(this.#queue.answered(pending.ref), tooLarge);
    }
    if (now < this.#heartbeatAtMs()) return;
    const { ref, request } = this.#queue.heartbeat(now);
    this.#send(ref === undefined ? request : { ref, ...request }, now);
  }

  /** Why a frame cannot be sent, if so. The server would end the connection, and do so again when the frame was repeated. */
  #tooLarge(frame) {
    const { body_bytes_max: bodyMax, frame_bytes_max: frameMax } = this.#welcome;
    if (bodyMax > 0 && frame.type === 'publish' && bodyBytes(frame) > bodyMax) {
      return new CampanileError('body_too_large', `the body has ${bodyBytes(frame)} bytes and the server takes at most ${bodyMax}`);
    }
    const bytes = frameMax > 0 ? frameBytes(frame) : 0;
    if (bytes <= frameMax) return null;
    return new CampanileError('frame_too_large', `the request has ${bytes} bytes and the server takes at most ${frameMax}`);
  }

  #window() {
    return Math.max(1, this.#welcome.window ?? 1);
  }

  #frameBytesMax() {
    return this.#welcome?.frame_bytes_max || FRAME_BYTES_ASSUMED;
  }

  /** How long a publish of unknown fate may be sent again: the server must still know it when it comes. */
  #resendWithinMs() {
    const { resendWithinMs } = this.#options;
    const { dedupe_ms } = this.#welcome;
    return dedupe_ms > 0 ? Math.min(resendWithinMs, dedupe_ms - Math.floor(dedupe_ms / 10)) : resendWithinMs;
  }

  // ------------------------------------------------------------------------------------------------ what comes

  #receivedUp(type, ref, data, now) {
    switch (type) {
      case 'ping':
        return this.#send({ type: 'pong' }, now);
      case 'message':
        return this.#receiver.message(data);
      case 'gap':
        return this.#receiver.gap(data);
      case 'skip':
        return this.#receiver.skip(data);
      case 'error':
        return ref === 0 ? this.#failure(data) : this.#refused(ref, data, now);
      case 'receipt_event':
        return this.#tell('receipt', data);
      case 'presence_event':
        return this.#tell('presence', data);
      case 'ephemeral_event':
        return this.#tell('ephemeral', data);
      case 'ephemeral_dropped':
        return this.#tell('ephemeral_dropped', data);
      default:
        if (ref !== 0) this.#answered(ref, { type, ...data });
        else if (type === 'subscribed') this.#subscribed(data, now);
      // Anything else is of a newer protocol, or an answer that nobody asked for.
    }
  }

  #subscribed(subscribed, now) {
    const request = this.#receiver.subscribed(subscribed);
    if (request) this.#queue.ask('restore', request, now);
  }

  #answered(ref, answer) {
    const pending = this.#queue.answered(ref);
    if (!pending) return;
    let outcome = answer;
    try {
      this.#receiver.answer(pending, answer);
    } catch (error) {
      outcome = error;
    }
    if (pending.owner === 'application') this.#settle(pending, outcome);
    else if (pending.owner === 'restore' && outcome.type === 'presence_answer') {
      for (const user of outcome.users ?? []) this.#tell('presence', user);
    }
  }

  #refused(ref, { code, message, retry_after_ms = 0 }, now) {
    const pending = this.#queue.answered(ref);
    if (!pending) return;
    if (this.#isWorthRepeating(pending, code)) {
      return this.#queue.again(pending, now + Math.max(retry_after_ms, RETRY_MS_MIN));
    }
    this.#receiver.over(pending, null);
    const error = new CampanileError(code, message, { retry_after_ms });
    if (pending.owner === 'application') this.#settle(pending, error);
    else if (pending.owner === 'restore') this.#restoreRefused(pending.request, error);
    // A heartbeat that is "over the window" is a sign of life as well.
  }

  #isWorthRepeating({ owner, request, refusals }, code) {
    const isOurs = owner === 'restore' || request.type === 'publish';
    return isOurs && isWorthRepeating(code) && refusals < this.#options.publishRetries;
  }

  #restoreRefused({ type, conversation, users }, { code, message }) {
    if (type === 'subscribe') this.#receiver.refused(conversation);
    if (type === 'presence_watch') this.#receiver.unwatch(users);
    this.#tell('trouble', { ...(conversation && { conversation }), code, message });
  }

  /** A failure of something that asked for no answer: most often an entry of the resume list, which is not resumed again. */
  #failure({ conversation, code, message }) {
    if (conversation) this.#receiver.refused(conversation);
    this.#tell('trouble', { ...(conversation && { conversation }), code, message });
  }

  /** Tells the application how a request ended. A message tells it by an event as well: it may have been asked for in an earlier run. */
  #settle({ ref, request }, outcome) {
    const isError = outcome instanceof CampanileError;
    const { type, ...answer } = isError ? {} : outcome;
    if (request.type === 'publish') {
      this.#unsentHasChanged = true;
      const { client_id, conversation } = request;
      if (isError) this.#tell('failed', { client_id, conversation, error: outcome });
      else this.#tell('sent', { client_id, conversation, ack: answer });
    }
    this.#effects.push({ do: 'settle', ref, ...(isError ? { error: outcome } : { answer }) });
  }

  #tell(name, data) {
    this.#effects.push({ do: 'emit', name, data });
  }
}

/** Reasons after which the client comes back by itself. */
const LATER = { retryable: true };

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function lostOnTheWay() {
  return new CampanileError(
    'connection_lost',
    'the connection broke before the answer came; it is not known whether the request was done',
  );
}
