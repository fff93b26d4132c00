/**
 * What has been received of one conversation.
 *
 * A conversation reaches a session in two ways: the stream (messages, skips and gaps, in order) and the acks of what the session
 * itself published, which take numbers of the same log, are not in the stream, and may overtake it. The cursor is the place up to
 * which everything was received in one way or the other; acks above it wait as ranges until the stream has caught up.
 */

import { sameEpoch } from './ids.js';

/** Ranges of acked numbers above the cursor that are kept. One range holds any number of publishes in a row. */
export const ACKED_RANGES_MAX = 1024;

const NEW = { isNew: true, hole: null };
const DUPLICATE = { isNew: false, hole: null };

export class Tracker {
  /** Everything up to here was received. Null: nothing tells yet where the stream begins. */
  #cursor = null;
  /** The highest number that the stream brought, of the cursor's epoch. Above the cursor only while an ack may still fill what lies between. */
  #streamSeq = 0;
  /** Numbers above the cursor that were received: [first, last], ascending, never touching. */
  #above = [];
  /** The epoch of `above`: an ack can tell of a new epoch before the gap does. */
  #aboveEpoch = 0;
  /** Up to here acks were forgotten for want of room, so that what is missing here is no hole. */
  #forgottenSeq = 0;

  /** A tracker that starts at a known place. */
  static at({ epoch, seq }) {
    const tracker = new Tracker();
    tracker.#cursor = { epoch, seq };
    tracker.#streamSeq = seq;
    tracker.#aboveEpoch = epoch;
    return tracker;
  }

  get cursor() {
    return this.#cursor;
  }

  /** How many ranges wait above the cursor. */
  get ranges() {
    return this.#above.length;
  }

  /** A message of the stream. A change of epoch without a gap is taken over and reported as a hole. */
  message({ epoch, seq }) {
    const at = { epoch, seq };
    if (!this.#cursor) return this.#begin(at);
    this.#adopt(epoch);
    if (!sameEpoch(epoch, this.#cursor.epoch)) return this.#elsewhere(at, at);
    if (seq <= this.#cursor.seq || this.#isAbove(seq)) return DUPLICATE;
    this.#streamSeq = Math.max(this.#streamSeq, seq);
    this.#insert(seq, seq);
    this.#absorb();
    return NEW;
  }

  /** The stream says that `from` ... `to` will not come. */
  skip(epoch, from, to) {
    if (to < from) return DUPLICATE;
    if (!this.#cursor) {
      this.#restart({ epoch, seq: to });
      return NEW;
    }
    this.#adopt(epoch);
    if (!sameEpoch(epoch, this.#cursor.epoch)) return this.#elsewhere({ epoch, seq: to }, { epoch, seq: from });
    if (to <= this.#cursor.seq) return DUPLICATE;
    this.#streamSeq = Math.max(this.#streamSeq, to);
    this.#insert(from, to);
    this.#absorb();
    return NEW;
  }

  /** The stream starts again at `first`, whatever the cursor was. */
  gap(epoch, first) {
    this.#restart({ epoch, seq: Math.max(0, first - 1) });
  }

  /** The stream begins behind `cursor`, which counts unless a place is known already. Says whether it was taken. */
  beginsAt(cursor) {
    if (this.#cursor) return false;
    this.#restart(cursor);
    return true;
  }

  /** The stream begins again behind the cursor: on a new connection, or because it was asked to. */
  rewind() {
    this.#streamSeq = this.#cursor?.seq ?? 0;
  }

  /** This session wrote `at`. */
  ack({ epoch, seq }) {
    if (this.#cursor) this.#adopt(epoch);
    if (this.#cursor && sameEpoch(this.#cursor.epoch, epoch) && seq <= this.#cursor.seq) return;
    if (!sameEpoch(epoch, this.#aboveEpoch)) this.#forgetAbove(epoch);
    if (!this.#cursor && seq === 1) this.#restart({ epoch, seq: 0 });
    this.#insert(seq, seq);
    this.#absorb();
    if (this.#above.length > ACKED_RANGES_MAX) this.#forgottenSeq = Math.max(this.#forgottenSeq, this.#above.shift()[1]);
  }

  /** Whether the stream has gone past numbers that nothing brought yet. */
  get isUnsettled() {
    return this.#cursor !== null && this.#streamSeq > this.#cursor.seq;
  }

  /** Gives up numbers that the stream has gone past, when no ack can bring them any more: call it while it tells holes. */
  settle() {
    while (this.isUnsettled) {
      const { epoch, seq } = this.#cursor;
      const [expected, got] = [seq + 1, this.#above[0]?.[0] ?? this.#streamSeq];
      this.#cursor = { epoch, seq: this.#above.length ? got - 1 : got };
      this.#absorb();
      if (expected > this.#forgottenSeq) return { expected: { epoch, seq: expected }, got: { epoch, seq: got } };
    }
    return null;
  }

  /** The first that the stream brings: it begins here. */
  #begin(at) {
    const seen = sameEpoch(this.#aboveEpoch, at.epoch) && this.#isAbove(at.seq);
    this.#restart(at);
    return seen ? DUPLICATE : NEW;
  }

  /** The stream goes on in another epoch, and no gap said so. */
  #elsewhere(cursor, got) {
    const { epoch, seq } = this.#cursor;
    this.#restart(cursor);
    return { isNew: true, hole: { expected: { epoch, seq: seq + 1 }, got } };
  }

  /** The cursor (0, 0) means "nothing yet" and belongs to every epoch. */
  #adopt(epoch) {
    if (this.#cursor.seq === 0 && sameEpoch(this.#cursor.epoch, 0)) this.#restart({ epoch, seq: 0 });
  }

  #restart({ epoch, seq }) {
    this.#cursor = { epoch, seq };
    this.#streamSeq = seq;
    if (!sameEpoch(this.#aboveEpoch, epoch)) this.#forgetAbove(epoch);
    this.#absorb();
  }

  #forgetAbove(epoch) {
    this.#above = [];
    this.#aboveEpoch = epoch;
    this.#forgottenSeq = 0;
  }

  #isAbove(seq) {
    return this.#above.some(([first, last]) => first <= seq && seq <= last);
  }

  /** Adds `first` ... `last` and joins it with what it touches. */
  #insert(first, last) {
    const before = this.#above.filter(([, end]) => end + 1 < first);
    const after = this.#above.filter(([start]) => start > last + 1);
    const touched = this.#above.slice(before.length, this.#above.length - after.length);
    const joined = [Math.min(first, ...touched.map(([start]) => start)), Math.max(last, ...touched.map(([, end]) => end))];
    this.#above = [...before, joined, ...after];
  }

  /** Moves the cursor over what is received without interruption. */
  #absorb() {
    if (!this.#cursor || !sameEpoch(this.#cursor.epoch, this.#aboveEpoch)) return;
    let { epoch, seq } = this.#cursor;
    while (this.#above.length && this.#above[0][0] <= seq + 1) seq = Math.max(seq, this.#above.shift()[1]);
    this.#cursor = { epoch, seq };
  }
}
