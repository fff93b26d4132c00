/** Text with its web addresses as links. Only http and https; nothing else of what somebody wrote means anything. */

import { h } from '../dom.js';

const ADDRESS = /https?:\/\/[^\s<>"'`]+/giu;

/** Pieces of text and anchors, in order. */
export function linked(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = withoutTail(match[0]);
    if (!isWeb(address)) continue;
    pieces.push(text.slice(end, match.index), h('a', { href: address, target: '_blank', rel: 'noopener noreferrer nofollow' }, address));
    end = match.index + address.length;
  }
  return [...pieces, text.slice(end)].filter((piece) => piece !== '');
}

/** The sentence's own full stop, and a bracket that was opened before the address, are no part of it. */
export function withoutTail(address) {
  const bare = address.replace(/[.,:;!?]+$/u, '');
  return bare.endsWith(')') && !bare.includes('(') ? withoutTail(bare.slice(0, -1)) : bare;
}

function isWeb(address) {
  const url = URL.parse ? URL.parse(address) : tryUrl(address);
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:');
}

function tryUrl(address) {
  try {
    return new URL(address);
  } catch {
    return null;
  }
}
