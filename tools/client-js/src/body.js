/** Bodies in JSON: text stands as it is in `body`, bytes stand as base64 in `body_base64`. */

const CHUNK = 0x8000;
const utf8 = new TextEncoder();

/** The fields that carry this body: a string, or bytes. */
export function bodyFields(body) {
  if (body === undefined || body === null) return {};
  if (typeof body === 'string') return { body };
  const bytes = body instanceof Uint8Array ? body : new Uint8Array(body);
  return { body_base64: toBase64(bytes) };
}

/** The bytes of a message or ephemeral event, whichever way they came. */
export function bytesOf({ body, body_base64 }) {
  if (body_base64 === undefined) return utf8.encode(body ?? '');
  return Uint8Array.from(atob(body_base64), (character) => character.charCodeAt(0));
}

/** How many bytes the body of a request has. */
export function bodyBytes({ body, body_base64 }) {
  if (body_base64 === undefined) return utf8.encode(body ?? '').length;
  const padding = body_base64.endsWith('==') ? 2 : body_base64.endsWith('=') ? 1 : 0;
  return (body_base64.length / 4) * 3 - padding;
}

function toBase64(bytes) {
  let binary = '';
  for (let at = 0; at < bytes.length; at += CHUNK) binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(binary);
}
