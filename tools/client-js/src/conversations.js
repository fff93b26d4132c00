/** Where this client stands in every conversation, and what it has subscribed to. */

import { isTopic } from './ids.js';
import { frameBytes } from './requests.js';
import { Tracker } from './tracker.js';

/** Conversations whose cursor is kept. Beyond, those that were quiet for longest are forgotten; the server keeps a cursor for them. */
export const CONVERSATIONS_MAX = 16_384;
/** Entries of a resume list, as many as a server takes unless told otherwise. */
export const RESUME_ENTRIES_MAX = 1_000;

export class Conversations {
  /** conversation -> {tracker, touched}; `touched` counts moves of all conversations, so that the most recently active are known. */
  #places = new Map();
  /** Topics and their filters. */
  #topics = new Map();
  #clock = 0;

  /** Whether messages of `conversation` come to this session: all but topics that it has not subscribed to. */
  receives(conversation) {
    return !isTopic(conversation) || this.#topics.has(conversation);
  }

  /** The tracker of a conversation, made when there is none. */
  tracker(conversation) {
    let place = this.#places.get(conversation);
    if (!place) {
      this.#makeRoom();
      this.#places.set(conversation, (place = { tracker: new Tracker(), touched: 0 }));
    }
    place.touched = ++this.#clock;
    return place.tracker;
  }

  /** The tracker of a conversation, if there is one. */
  known(conversation) {
    return this.#places.get(conversation)?.tracker;
  }

  /** The cursor of a conversation, or null. */
  cursor(conversation) {
    return this.known(conversation)?.cursor ?? null;
  }

  /** From now on `conversation` is received, from `cursor` on if there is one. */
  start(conversation, cursor, tags) {
    if (isTopic(conversation)) this.#topics.set(conversation, tags ?? []);
    if (!cursor) return;
    this.tracker(conversation);
    this.#places.get(conversation).tracker = Tracker.at(cursor);
  }

  /** The conversation is not received any more. */
  forget(conversation) {
    this.#topics.delete(conversation);
    this.#places.delete(conversation);
  }

  /** A new connection: every stream begins again behind its cursor. */
  rewind() {
    for (const { tracker } of this.#places.values()) tracker.rewind();
  }

  /**
   * The resume list: all topics, broadcast, then what moved most recently, as much as fits. The server has no cursor of its own for
   * the first two.
   */
  resume(bytesMax, entriesMax) {
    const others = [...this.#places]
      .filter(([conversation, { tracker }]) => !isTopic(conversation) && tracker.cursor)
      .sort(([a, place], [b, other]) => (b === 'broadcast') - (a === 'broadcast') || other.touched - place.touched)
      .map(([conversation]) => conversation);
    const points = [];
    let bytes = 0;
    for (const conversation of [...this.#topics.keys(), ...others].slice(0, Math.min(entriesMax, RESUME_ENTRIES_MAX))) {
      const point = this.#point(conversation);
      bytes += frameBytes(point);
      if (bytes > bytesMax) break;
      points.push(point);
    }
    return points;
  }

  /** The topics that are not among `resumed`: they are subscribed to after the welcome. */
  topicsMissing(resumed) {
    return [...this.#topics.keys()].filter((topic) => !resumed.has(topic)).map((topic) => this.#point(topic));
  }

  #point(conversation) {
    const [cursor, tags] = [this.cursor(conversation), this.#topics.get(conversation)];
    return { conversation, ...(cursor && { cursor }), ...(tags?.length && { tags }) };
  }

  /** Forgets the eighth that was quiet for longest when there is no room for one more. */
  #makeRoom() {
    if (this.#places.size < CONVERSATIONS_MAX) return;
    const touched = [...this.#places.values()].map((place) => place.touched).sort((a, b) => a - b);
    const oldestKept = touched[CONVERSATIONS_MAX / 8];
    for (const [conversation, place] of this.#places) {
      if (place.touched < oldestKept && !this.#topics.has(conversation)) this.#places.delete(conversation);
    }
  }
}
