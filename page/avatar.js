/** A face for a name: initials, and a colour that is always the same. */

import { h } from './dom.js';

const letters = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** At most two letters of a name. */
export function initials(name) {
  const words = name.split(/[\s._\-:/]+/u).filter(Boolean);
  const first = (word) => letters.segment(word)[Symbol.iterator]().next().value?.segment ?? '';
  const chosen = words.length > 1 ? [words[0], words.at(-1)] : words;
  return chosen.map(first).join('').toLocaleUpperCase() || '?';
}

/** A hue (degrees) that only depends on the name: FNV-1a, mixed once more since names are short, in steps that can be told apart. */
export function hue(name) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return ((hash ^ (hash >>> 15)) >>> 0) % 18 * 20;
}

/** `kind` is that of a conversation; `online` shows a dot. */
export function avatar(name, { kind = 'direct', online = false } = {}) {
  const face = h('span.avatar', { 'aria-hidden': 'true', 'data-kind': kind }, h('span.initials', {}, kind === 'broadcast' ? '*' : initials(name)));
  face.style.setProperty('--hue', hue(name));
  if (online) face.append(h('span.dot'));
  return face;
}
