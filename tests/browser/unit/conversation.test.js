import assert from 'node:assert/strict';
import test from 'node:test';

import { Conversation } from '../../../page/chat/conversation.js';

const EPOCH = '1882455990497968129';
const message = (seq, more = {}) => ({ conversation: 'group:team', epoch: EPOCH, seq, time_ms: seq, sender: 'bob', body: `${seq}`, ...more });
const page = (from, to, more = {}) => ({
  epoch: EPOCH, committed: to, messages: Array.from({ length: to - from + 1 }, (_, n) => message(from + n)), has_more: from > 1, next: { epoch: EPOCH, seq: from - 1 }, ...more,
});
const seqs = (conversation) => conversation.log.map(({ seq }) => seq);

test('names and titles', () => {
  assert.deepEqual(['direct:bob', 'group:a:b', 'broadcast'].map((id) => new Conversation(id)).map(({ kind, name, title }) => [kind, name, title]), [
    ['direct', 'bob', 'bob'], ['group', 'a:b', 'a:b'], ['broadcast', '', 'Everyone'],
  ]);
});

test('before a page has come only the newest is known', () => {
  const team = new Conversation('group:team');
  for (const seq of [1, 2, 3]) team.add(message(seq));
  assert.deepEqual([seqs(team), team.last.seq, team.unread], [[], 3, 3]);
});

test('the window has no hole: pages, the stream and acks in any order', () => {
  const team = new Conversation('group:team');
  team.isLoading = true;
  // The stream catches up far behind, and something new comes while the first page is read.
  team.add(message(4));
  team.add(message(21));
  team.addPage(page(11, 20));
  team.isLoading = false;
  assert.deepEqual(seqs(team), [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]);
  assert.equal(team.add(message(5)), false, 'a page will bring it');
  assert.equal(team.add(message(15)), false, 'it is there');
  team.queue('c-1', 'mine', 0);
  team.sent('c-1', { epoch: EPOCH, seq: 23, time_ms: 23 }, 'alice');
  team.add(message(22));
  assert.deepEqual(seqs(team).slice(-3), [21, 22, 23]);
  assert.deepEqual(team.older, { epoch: EPOCH, seq: 10 });
  team.addPage(page(1, 10));
  assert.deepEqual([seqs(team).length, team.older], [23, null]);
});

test('an own message that came by the stream as well is there once', () => {
  const team = new Conversation('group:team');
  team.addPage(page(1, 2));
  team.queue('c-1', 'mine', 0);
  team.add(message(3, { sender: 'alice', client_id: 'c-1', body: 'mine' }));
  team.sent('c-1', { epoch: EPOCH, seq: 3, time_ms: 3 }, 'alice');
  assert.deepEqual([seqs(team), team.pending], [[1, 2, 3], []]);
});

test('unread counts as the server does, and reading never goes back', () => {
  const team = new Conversation('group:team');
  team.describe({ title: 'T', role: 'member', epoch: EPOCH, committed: 10, unread: 4 });
  assert.equal(team.unread, 4);
  team.add(message(11));
  assert.equal(team.unread, 5);
  assert.equal(team.read(9), true);
  assert.equal(team.read(7), false);
  assert.equal(team.unread, 2);
});

test('a log of another epoch begins anew', () => {
  const team = new Conversation('group:team');
  team.addPage(page(1, 20));
  team.read(20);
  team.gap({ epoch: 8, first: 1, committed: 3 });
  assert.deepEqual([seqs(team), team.start, team.unread, team.hasLost], [[], null, 3, true]);
  team.addPage(page(1, 3, { epoch: 8, messages: [1, 2, 3].map((seq) => message(seq, { epoch: 8 })) }));
  assert.deepEqual(seqs(team), [1, 2, 3]);
  const fresh = new Conversation('broadcast');
  fresh.gap({ epoch: 8, first: 1, committed: 0 });
  assert.equal(fresh.hasLost, false, 'nothing had been there');
});

test('what is no longer kept leaves the window', () => {
  const team = new Conversation('group:team');
  team.addPage(page(1, 20));
  team.gap({ epoch: EPOCH, first: 15, committed: 20 });
  assert.deepEqual(seqs(team), [15, 16, 17, 18, 19, 20]);
});

test('a window that has grown long is cut, and pages bring the rest back', () => {
  const team = new Conversation('group:team');
  team.addPage(page(1, 1_000));
  team.cut();
  assert.equal(team.messages.size, 1_000);
  team.add(message(1_001));
  team.cut();
  assert.deepEqual([seqs(team)[0], team.newest, team.messages.size, team.older], [702, 1_001, 300, { epoch: EPOCH, seq: 701 }]);
  team.addPage(page(652, 701));
  assert.deepEqual([seqs(team)[0], team.messages.size], [652, 350]);
});

test('numbers that will not come count, as the server counts them', () => {
  const team = new Conversation('group:team');
  team.add(message(3));
  team.skip({ epoch: EPOCH, from: 4, to: 7 });
  assert.equal(team.committed, 7);
});

test('a message that was taken back has no text, wherever it stands', () => {
  const team = new Conversation('group:team');
  team.addPage(page(1, 3));
  team.add(message(4, { kind: 'retracted', target: 2, body: undefined }));
  assert.deepEqual([team.messages.get(2).is_retracted, team.messages.get(2).body], [true, undefined]);
  const unopened = new Conversation('group:team');
  unopened.add(message(1));
  unopened.add(message(2, { kind: 'retracted', target: 1 }));
  assert.equal(unopened.last.kind, 'retracted');
});

test('ticks tell of all others', () => {
  const team = new Conversation('group:team');
  team.describe({ title: '', role: 'owner', epoch: EPOCH, committed: 5, unread: 0 });
  assert.equal(team.stage(5, 'alice'), 'sent', 'who is in it is not known yet');
  team.setMembers([{ user: 'alice' }, { user: 'bob', delivered: 5, read: 0 }, { user: 'carol', delivered: 4, read: 3 }].map((one) => ({ role: 'member', delivered: 0, read: 0, ...one })));
  const stages = () => [3, 4, 5].map((seq) => team.stage(seq, 'alice'));
  assert.deepEqual(stages(), ['delivered', 'delivered', 'sent']);
  team.receipt({ user: 'bob', kind: 'read', epoch: EPOCH, seq: 4 });
  team.receipt({ user: 'bob', kind: 'read', epoch: EPOCH, seq: 2 });
  team.receipt({ user: 'carol', kind: 'read', epoch: 8, seq: 5 });
  assert.deepEqual(stages(), ['read', 'delivered', 'sent']);
  team.receipt({ user: 'carol', kind: 'read', epoch: EPOCH, seq: 5 });
  assert.deepEqual([stages(), team.readers(5, 'alice')], [['read', 'read', 'delivered'], ['carol']]);
  team.add(message(6, { kind: 'left', sender: 'bob' }));
  assert.equal(team.stage(5, 'alice'), 'read', 'who left is waited for no more');
});

test('changes of the group are learned', () => {
  const team = new Conversation('group:team');
  team.setMembers([{ user: 'alice', role: 'owner', delivered: 0, read: 0 }]);
  team.add(message(1, { kind: 'title', body: 'New' }));
  team.add(message(2, { kind: 'added', subject: 'carol', role: 'member' }));
  team.add(message(3, { kind: 'role', subject: 'carol', role: 'admin' }));
  team.add(message(4, { kind: 'joined', sender: 'dave' }));
  team.add(message(5, { kind: 'removed', subject: 'dave' }));
  assert.deepEqual([team.title, [...team.members].map(([user, { role }]) => [user, role])], ['New', [['alice', 'owner'], ['carol', 'admin']]]);
  team.add(message(6, { kind: 'disbanded' }));
  assert.deepEqual([team.isOver, team.unread], [true, 0]);
});

test('who has written or stopped does not type', () => {
  const team = new Conversation('group:team');
  team.heardTyping('bob', 0);
  team.heardTyping('carol', 5_000);
  assert.deepEqual(team.typists(5_999), ['bob', 'carol']);
  assert.deepEqual(team.typists(6_000), ['carol']);
  team.add(message(1, { sender: 'carol' }));
  assert.deepEqual(team.typists(6_000), []);
});

test('what failed stays until it is sent again or given up', () => {
  const team = new Conversation('direct:bob');
  team.queue('c-1', 'one', 1);
  team.queue('c-2', 'two', 2);
  team.failed('c-1', { code: 'disk_full' });
  assert.deepEqual(team.pending.map(({ client_id, error }) => [client_id, error?.code]), [['c-1', 'disk_full'], ['c-2', undefined]]);
  team.queue('c-1', 'one', 3);
  assert.deepEqual(team.pending.map(({ client_id, error }) => [client_id, error]), [['c-2', null], ['c-1', null]]);
  team.discard('c-2');
  assert.equal(team.pending.length, 1);
});
