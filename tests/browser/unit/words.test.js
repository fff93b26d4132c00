import assert from 'node:assert/strict';
import test from 'node:test';

import { hue, initials } from '../../../page/avatar.js';
import { names, slug } from '../../../page/chat/dialogs.js';
import { withoutTail } from '../../../page/chat/links.js';
import { messageText, plural, preview, recordText, refusedText, typingText } from '../../../page/chat/words.js';
import { ago, clockTime, dayName, dayOf, when } from '../../../page/time.js';

test('records are sentences', () => {
  const text = (record) => recordText({ sender: 'bob', ...record }, 'alice');
  assert.equal(text({ kind: 'added', subject: 'alice' }), 'bob added you');
  assert.equal(recordText({ kind: 'added', sender: 'alice', subject: 'bob' }, 'alice'), 'You added bob');
  assert.equal(text({ kind: 'title', body: 'X' }), 'bob named the group \u201cX\u201d');
  assert.equal(text({ kind: 'role', subject: 'carol', role: 'admin' }), 'bob made carol an admin');
  assert.match(text({ kind: 17 }), /does not know/);
});

test('a line for the list', () => {
  const line = (message, isDirect = false) => preview({ sender: 'bob', ...message }, { me: 'alice', isDirect });
  assert.equal(line({ body: ' two\n lines ' }), 'bob: two lines');
  assert.equal(line({ body: 'hi' }, true), 'hi');
  assert.equal(preview({ sender: 'alice', body: 'hi' }, { me: 'alice', isDirect: true }), 'You: hi');
  assert.equal(line({ kind: 'joined' }), 'bob joined');
  assert.equal(line({ is_retracted: true }, true), 'Message taken back');
  assert.equal(messageText({ body_base64: 'AAAA', content_type: 'image/png' }), 'A file (image/png)');
  assert.equal(messageText({}), '');
});

test('errors and numbers are said in words', () => {
  assert.match(refusedText({ code: 'rate_limited' }), /Too many messages/);
  assert.equal(refusedText({ code: 'something_new', message: 'the reason' }), 'the reason');
  assert.deepEqual([1, 2, 0].map((count) => plural(count, 'message')), ['1 message', '2 messages', '0 messages']);
  assert.deepEqual([['a'], ['a', 'b'], ['a', 'b', 'c']].map(typingText), ['a is typing', 'a and b are typing', '3 people are typing']);
});

test('links end where the sentence goes on', () => {
  assert.equal(withoutTail('https://example.org/a.'), 'https://example.org/a');
  assert.equal(withoutTail('https://example.org/a),'), 'https://example.org/a');
  assert.equal(withoutTail('https://example.org/a_(b)'), 'https://example.org/a_(b)');
});

test('names become faces', () => {
  assert.deepEqual(['alice', 'Bell tower restoration', 'zo\u00eb-marie', '\u{1f1e6}\u{1f1f9} x', '--'].map(initials), ['A', 'BR', 'ZM', '\u{1f1e6}\u{1f1f9}X', '?']);
  assert.equal(hue('alice'), hue('alice'));
  const hues = Array.from({ length: 500 }, (_, n) => hue(`user${n}`));
  assert.ok(hues.every((one) => one >= 0 && one < 360) && new Set(hues).size === 18);
});

test('short names and lists of names', () => {
  assert.deepEqual(['The Team!', '  --  ', 'Zoe\u0308 & Co', 'x'.repeat(99)].map(slug), ['the-team', '', 'zo\u00eb-co', 'x'.repeat(32)]);
  assert.deepEqual(names(' bob, carol,,bob ,Zoe\u0308'), ['bob', 'carol', 'Zo\u00eb']);
});

test('times as people say them', () => {
  const now = new Date(2026, 4, 20, 15, 0).getTime();
  const at = (...date) => new Date(2026, ...date).getTime();
  assert.deepEqual([at(4, 20, 1), at(4, 19, 23), at(4, 15, 12)].map((ms) => dayName(ms, now)), ['Today', 'Yesterday', new Intl.DateTimeFormat(undefined, { weekday: 'long' }).format(at(4, 15, 12))]);
  assert.match(dayName(new Date(2024, 0, 2).getTime(), now), /2024/);
  assert.equal(when(at(4, 20, 1), now), clockTime(at(4, 20, 1)));
  assert.equal(when(at(4, 19, 23), now), 'Yesterday');
  assert.equal(dayOf(at(4, 20, 0)), dayOf(at(4, 20, 23, 59)));
  assert.notEqual(dayOf(at(4, 20, 0)), dayOf(at(4, 19, 23, 59)));
  assert.deepEqual([10_000, 90_000, 7_200_000].map((past) => ago(now - past, now)), ['just now', '1 min ago', '2 h ago']);
});
