/**
 * How the connection is, in the words of the page: what is said must be true. "Nothing was lost" is said when every conversation that
 * had a place has reached what the server had when we came back, no message of ours waits, and nothing was announced as lost.
 */
export class Status {
  constructor() {
    /** idle, connecting, logging_in, waiting, up, ended */
    this.phase = 'idle';
    /** waiting: when the next attempt begins. */
    this.untilMs = 0;
    this.reason = null;
    this.wasUp = false;
    /** null, 'catching_up' after a reconnect, then 'again' for a moment. */
    this.after = null;
    /** Messages of others that came since the reconnect. */
    this.cameCount = 0;
    this.hasLost = false;
    /** What is to be reached: {id, epoch, committed}; null: not known yet. */
    this.targets = null;
  }

  take({ phase, until_ms, reason }) {
    this.phase = phase;
    this.untilMs = until_ms ?? 0;
    if (reason) this.reason = reason;
    if (phase === 'waiting') this.after = null;
  }

  connected(resumed) {
    this.wasUp = true;
    this.reason = null;
    this.cameCount = 0;
    this.hasLost = false;
    this.after = resumed ? 'catching_up' : null;
    this.targets = null;
  }

  /** The server's list says how far each conversation is. */
  expect(list) {
    if (this.after !== 'catching_up') return;
    this.targets = list.map(({ conversation, epoch, committed }) => ({ id: conversation, epoch, committed }));
  }

  came() {
    if (this.after === 'catching_up') this.cameCount += 1;
  }

  /** Whether it has just caught up. `cursor(id)`: where the client stands. */
  isCaughtUp(cursor, unsent) {
    if (this.after !== 'catching_up' || !this.targets || unsent > 0) return false;
    const isBehind = ({ id, epoch, committed }) => {
      const at = cursor(id);
      return at && String(at.epoch) === String(epoch) && at.seq < committed;
    };
    if (this.targets.some(isBehind)) return false;
    this.after = 'again';
    return true;
  }

  forget() {
    if (this.after === 'again') this.after = null;
  }
}
