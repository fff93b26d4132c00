/**
 * Requests that wait for their turn, and requests that wait for their answer.
 *
 * Messages of one conversation leave in the order in which they were asked for, also when the server says "later" to one of them or a
 * connection breaks: no message passes one that stands before it, and `pipeline` of a conversation are under way at once.
 */

import { isRepeatable, mayWrite, requestBytes, writesTo } from './requests.js';

/** Requests without an answer, waiting or under way. */
export const REQUESTS_MAX = 1_024;

export class Queue {
  /** Ascending by `ref`, which counts up in the order in which they were asked. */
  #waiting = [];
  /** ref -> pending. */
  #outstanding = new Map();
  #lastRef = 0;
  #bytes = 0;
  /** No publish goes out before this time: one was told "later". */
  #publishesHeldUntil = 0;

  get size() {
    return this.#waiting.length + this.#outstanding.size;
  }

  /** What the bodies of all requests have, about. */
  get bytes() {
    return this.#bytes;
  }

  /**
   * Queues a request. `owner`: 'application' waits for the answer, 'heartbeat' wants to hear something, 'restore' brings back what the
   * last connection had.
   */
  ask(owner, request, now, more = {}) {
    const pending = {
      ref: ++this.#lastRef,
      owner,
      request,
      /** How often the server has said "later". */
      refusals: 0,
      not_before: 0,
      queued_ms: now,
      /** When it was last sent; null: it is not under way. */
      sent_ms: null,
      /** Since when it is not known whether the server did it: it was under way when a connection broke. */
      uncertain_since_ms: null,
      /** A record that looks like the one that this request writes. It came before the ack and is kept back until that says whether it is. */
      echo: null,
      ...more,
    };
    this.#bytes += requestBytes(request);
    this.#waiting.push(pending);
    return pending;
  }

  /** Takes the next request that may be sent now. */
  next(now, window, pipeline) {
    if (this.#outstanding.size >= window) return null;
    const at = this.#firstReady((pending) => this.#readyAt(pending) <= now, pipeline);
    if (at < 0) return null;
    const [pending] = this.#waiting.splice(at, 1);
    return this.#sent(pending, now);
  }

  /** When the next request may be sent for which time alone is missing. */
  readyAtMs(window, pipeline) {
    if (this.#outstanding.size >= window) return Infinity;
    let at = Infinity;
    this.#firstReady((pending) => {
      at = Math.min(at, this.#readyAt(pending));
      return false;
    }, pipeline);
    return at;
  }

  /** The place of the first waiting request that `isReady`, and that passes no message of its conversation. */
  #firstReady(isReady, pipeline) {
    const underWay = new Map();
    for (const { request } of this.#outstanding.values()) {
      if (request.type === 'publish') underWay.set(request.conversation, (underWay.get(request.conversation) ?? 0) + 1);
    }
    return this.#waiting.findIndex((pending) => {
      const { type, conversation } = pending.request;
      if (type !== 'publish') return isReady(pending);
      if ((underWay.get(conversation) ?? 0) >= pipeline) return false;
      if (isReady(pending)) return true;
      underWay.set(conversation, Infinity);
      return false;
    });
  }

  /** A ping that goes out at once, over the window. While one has no answer the next ask for none, so that they cannot pile up. */
  heartbeat(now) {
    if ([...this.#outstanding.values()].some(({ owner }) => owner === 'heartbeat')) return { request: { type: 'ping' } };
    const pending = this.ask('heartbeat', { type: 'ping' }, now);
    this.#waiting.pop();
    return this.#sent(pending, now);
  }

  #sent(pending, now) {
    pending.sent_ms = now;
    this.#outstanding.set(pending.ref, pending);
    return pending;
  }

  #readyAt({ request, not_before }) {
    return request.type === 'publish' ? Math.max(not_before, this.#publishesHeldUntil) : not_before;
  }

  /** Takes the request of an answer. */
  answered(ref) {
    const pending = this.#outstanding.get(ref);
    if (!pending) return null;
    this.#outstanding.delete(ref);
    pending.sent_ms = null;
    this.#bytes -= requestBytes(pending.request);
    return pending;
  }

  /** Puts back a request that was told "later". A publish holds back those behind it. */
  again(pending, at) {
    pending.refusals += 1;
    if (pending.request.type === 'publish') this.#publishesHeldUntil = Math.max(this.#publishesHeldUntil, at);
    else pending.not_before = at;
    this.#bytes += requestBytes(pending.request);
    this.#putBack(pending);
  }

  #putBack(pending) {
    const at = this.#waiting.findIndex(({ ref }) => ref > pending.ref);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, pending);
  }

  /**
   * The connection broke: what may be sent again waits, in its old place; the rest of the application's requests is given back.
   * The library's own requests are forgotten.
   */
  connectionLost() {
    const outstanding = [...this.#outstanding.values()];
    const isLost = ({ owner, request }) => owner !== 'application' || !isRepeatable(request);
    this.#outstanding.clear();
    this.#waiting = this.#waiting.filter(({ owner }) => owner === 'application');
    this.#publishesHeldUntil = 0;
    for (const pending of outstanding) {
      if (isLost(pending)) continue;
      pending.uncertain_since_ms ??= pending.sent_ms;
      pending.sent_ms = null;
      this.#putBack(pending);
    }
    this.#count();
    return outstanding.filter((pending) => pending.owner === 'application' && isLost(pending));
  }

  /** Takes the publishes whose fate has been unknown since before `before`, or by the clock of another run since some time to come. */
  takeTooOld(before, now) {
    const isOld = ({ uncertain_since_ms: since }) => since !== null && (since < before || since > now);
    if (!this.#waiting.some(isOld)) return [];
    const old = this.#waiting.filter((pending) => pending.request.type === 'publish' && isOld(pending));
    this.#waiting = this.#waiting.filter((pending) => !old.includes(pending));
    this.#count();
    return old;
  }

  /** Takes one publish that waits, by its `client_id`. One that is under way cannot be called back. */
  takeWaiting(clientId) {
    const at = this.#waiting.findIndex(({ request }) => isPublishOf(request, clientId));
    if (at < 0) return null;
    const [pending] = this.#waiting.splice(at, 1);
    this.#count();
    return pending;
  }

  /** Takes everything; gives the application's. */
  end() {
    const all = this.all();
    this.#waiting = [];
    this.#outstanding.clear();
    this.#bytes = 0;
    return all.filter(({ owner }) => owner === 'application');
  }

  /** All requests in the order in which they were asked for. */
  all() {
    return [...this.#outstanding.values(), ...this.#waiting].sort((a, b) => a.ref - b.ref);
  }

  /** Whether a record that this session writes to `conversation` is under way, so that an ack may still come. */
  writesTo(conversation) {
    return [...this.#outstanding.values()].some(({ request }) => writesTo(request) === conversation);
  }

  /** Whether the stream of `conversation` is asked for anew, so that what is missing may still come. */
  subscribes(conversation) {
    return this.all().some(({ request }) => request.type === 'subscribe' && request.conversation === conversation);
  }

  /** The change under way that may have written `record`, which the same user did. */
  changing(record) {
    return [...this.#outstanding.values()].find(({ echo, request }) => !echo && mayWrite(request, record));
  }

  /** Whether a publish of this `client_id` has no answer yet. */
  publishing(clientId) {
    return clientId !== undefined && this.all().some(({ request }) => isPublishOf(request, clientId));
  }

  #count() {
    this.#bytes = this.all().reduce((sum, { request }) => sum + requestBytes(request), 0);
  }
}

function isPublishOf(request, clientId) {
  return request.type === 'publish' && request.client_id === clientId;
}
