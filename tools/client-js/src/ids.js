/** Ids, conversations and cursors, as the schema writes them. */

import { CampanileError } from './errors.js';

/** Longest id, in bytes of UTF-8. */
export const ID_BYTES_MAX = 64;

const utf8 = new TextEncoder();
const KINDS = ['direct', 'group', 'topic'];

/** Bytes of a text in UTF-8. */
export function utf8Bytes(text) {
  return utf8.encode(text).length;
}

/** Checks the rules for ids and gives the text back; throws `invalid_id` with the first rule that is broken. */
export function checkId(text, what = 'an id') {
  const refuse = (rule) => {
    throw new CampanileError('invalid_id', `${what} ${rule}`);
  };
  if (typeof text !== 'string' || text === '') refuse('has at least 1 byte');
  if (utf8Bytes(text) > ID_BYTES_MAX) refuse(`has at most ${ID_BYTES_MAX} bytes`);
  if (/\p{Cc}/u.test(text)) refuse('has no control characters');
  if (!text.isWellFormed?.() && /\p{Cs}/u.test(text)) refuse('is text without lone surrogates');
  if (text.normalize('NFC') !== text) refuse('is in Unicode normalization form C');
  return text;
}

/** `direct:bob` -> `{kind: 'direct', id: 'bob'}`; `broadcast` has no id. Throws `invalid_id`. */
export function parseConversation(text) {
  if (text === 'broadcast') return { kind: 'broadcast', id: '' };
  const colon = typeof text === 'string' ? text.indexOf(':') : -1;
  const kind = colon < 0 ? '' : text.slice(0, colon);
  if (!KINDS.includes(kind)) {
    throw new CampanileError('invalid_id', `'${text}' names no conversation; write direct:USER, group:ID, topic:ID or broadcast`);
  }
  return { kind, id: checkId(text.slice(colon + 1), `the id in '${text}'`) };
}

/** Whether this is the address of a topic, the only kind that must be subscribed to. */
export function isTopic(conversation) {
  return conversation.startsWith('topic:');
}

/**
 * Epochs are 64 bits wide and come as a number or, above 2^53 - 1, as decimal digits. They are compared for equality and handed
 * back as they came, and nothing else.
 */
export function sameEpoch(a, b) {
  return a === b || String(a) === String(b);
}

/** Whether two cursors name the same place. */
export function sameCursor(a, b) {
  return a.seq === b.seq && sameEpoch(a.epoch, b.epoch);
}
