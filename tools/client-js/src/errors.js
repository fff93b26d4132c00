/** What can go wrong. */

/** Codes of the server that mean "the same request may be sent again, later" (200 - 299, 300 - 399 in the schema). */
const LATER = new Set(['busy', 'rate_limited', 'not_stored', 'disk_full', 'internal', 'shutting_down']);

/** Codes of the server with which a publish is sent again by the client itself. */
const AGAIN = new Set(['busy', 'rate_limited', 'not_stored', 'disk_full', 'shutting_down']);

/** Names of the close codes that mean "do not come back with the same input" (2000 - 2999 in the schema). */
const FINAL = {
  2000: 'malformed_frame',
  2001: 'frame_too_large',
  2002: 'connect_expected',
  2003: 'already_connected',
  2004: 'version_unsupported',
  2005: 'login_failed',
  2006: 'login_timeout',
  2007: 'frame_timeout',
  2008: 'too_many_sessions',
  2009: 'replaced',
  2010: 'logged_out',
};

/** The others: come back. */
const COME_BACK = {
  1000: 'shutting_down',
  1001: 'slow_consumer',
  1002: 'idle_timeout',
  1003: 'too_many_connections',
  1004: 'connect_rate_limited',
  1005: 'overloaded',
};

const FINAL_NAMES = new Set(Object.values(FINAL));

/** WebSocket's own codes by which a server says that what this client sent is wrong: protocol, kind of data, UTF-8, size. */
const FAULTS = { 1002: 'malformed_frame', 1003: 'malformed_frame', 1007: 'malformed_frame', 1009: 'frame_too_large' };

/** A code that this build does not know comes as its number. */
function inRange(code, from, to) {
  const number = Number(code);
  return number >= from && number < to;
}

/** Whether an error code (its name, or its number when this build does not know it) says that later it may go well. */
export function isRetryable(code) {
  return LATER.has(code) || inRange(code, 200, 400);
}

/** Whether a publish that was refused with this code is sent again. */
export function isWorthRepeating(code) {
  return AGAIN.has(code) || inRange(code, 200, 300);
}

/** Whether a close code (its name or number) says not to come back. */
export function isFinal(code) {
  return FINAL_NAMES.has(code) || inRange(code, 2000, 3000);
}

/**
 * What the close frame of a WebSocket says: the name of the close code, and whether it is final. Close codes travel as 4000 + n for
 * 1000 + n and 4100 + n for 2000 + n. Null: it says nothing of this protocol.
 */
export function closeCode(number) {
  if (number in FAULTS) return { code: FAULTS[number], final: true };
  if (number >= 4100 && number < 5000) return { code: FINAL[number - 2100] ?? String(number - 2100), final: true };
  if (number >= 4000 && number < 4100) return { code: COME_BACK[number - 3000] ?? String(number - 3000), final: false };
  return null;
}

/** An answer that is a refusal, or the reason why there is no answer. `code` is for programs, `message` for people. */
export class CampanileError extends Error {
  /**
   * @param {string} code a name of the schema's `ErrorCode` or `CloseCode`, or one of this library (see index.d.ts)
   * @param {string} [message]
   * @param {{retryable?: boolean, retry_after_ms?: number}} [more]
   */
  constructor(code, message, { retryable = isRetryable(code), retry_after_ms = 0 } = {}) {
    super(message || code);
    this.name = 'CampanileError';
    this.code = code;
    this.retryable = retryable;
    this.retry_after_ms = retry_after_ms;
  }
}
