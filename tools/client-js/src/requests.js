/** What a request is: may it be repeated, does it write a record, which answer fits it. */

import { bodyBytes } from './body.js';
import { checkId, parseConversation, utf8Bytes } from './ids.js';

/** The answers that are not an error, by the request. */
const ANSWERS = {
  ping: 'pong',
  publish: 'ack',
  retract: 'ack',
  subscribe: 'subscribed',
  unsubscribe: 'done',
  sync: 'page',
  group_create: 'group_created',
  group_title: 'ack',
  group_add: 'ack',
  group_remove: 'ack',
  group_join: 'ack',
  group_leave: 'ack',
  group_set_role: 'ack',
  group_disband: 'ack',
  members: 'members_page',
  conversations: 'conversations_page',
  receipt: 'done',
  presence_query: 'presence_answer',
  presence_watch: 'presence_answer',
  presence_unwatch: 'done',
  ephemeral: 'done',
  log_out_device: 'done',
};

/** Doing these twice is not the same as doing them once. A publish without a `client_id` is another. */
const ONCE = new Set([
  'group_create', 'group_title', 'group_add', 'group_remove', 'group_join', 'group_leave', 'group_set_role', 'group_disband',
  'ephemeral', 'log_out_device',
]);

/** Whether `answer` is of the kind that `request` asks for. */
export function fits(request, answer) {
  return ANSWERS[request.type] === answer.type;
}

/** Whether it may be sent again when a connection broke before its answer. */
export function isRepeatable(request) {
  return request.type === 'publish' ? request.client_id !== undefined : !ONCE.has(request.type);
}

/** The conversation in whose log a request writes a record, if its ack is to move that conversation's cursor. */
export function writesTo(request) {
  if (request.type === 'publish' || request.type === 'retract') return request.conversation;
  return ANSWERS[request.type] === 'ack' ? `group:${request.id}` : undefined;
}

/** Checks the ids in a request, so that a mistake is told before anything is sent. Throws `invalid_id`. */
export function checkRequest(request) {
  if (request.conversation !== undefined) parseConversation(request.conversation);
  if (request.id !== undefined) checkId(request.id, 'the id of a group');
  if (request.user !== undefined) checkId(request.user, "a user's id");
  if (request.client_id !== undefined) checkId(request.client_id, 'a client_id');
  if (request.device !== undefined) checkId(request.device, 'the name of a device');
  for (const user of [...(request.users ?? []), ...(request.members ?? [])]) checkId(user, "a user's id");
}

/** Whether `record` is the change of a group that `request` makes, or says that what it takes back was taken back. */
export function mayWrite(request, record) {
  if (request.type === 'retract') {
    return record.kind === 'retracted' && record.conversation === request.conversation && record.target === request.cursor.seq;
  }
  const isHere = request.id !== undefined && record.conversation === `group:${request.id}`;
  const isAbout = record.subject === request.user;
  switch (`${request.type} ${record.kind}`) {
    case 'group_title title':
      return isHere && (record.body ?? '') === request.title;
    case 'group_add added':
      return isHere && isAbout && record.role === (request.role ?? 'member');
    case 'group_set_role role':
      return isHere && isAbout && record.role === request.role;
    case 'group_remove removed':
      return isHere && isAbout;
    case 'group_join joined':
    case 'group_leave left':
    case 'group_disband disbanded':
      return isHere;
    case 'group_create created':
      return request.id === undefined ? record.conversation.startsWith('group:') : isHere;
    default:
      return false;
  }
}

/** What a request counts in the queue of those that wait: its body and a little more. */
export function requestBytes(request) {
  return 256 + bodyBytes(request);
}

/**
 * How many bytes the binary frame has at most that a JSON object stands for: it is that frame which a server measures. Texts count
 * with their length, terminator, padding and offset, objects with their table.
 */
export function frameBytes(value) {
  if (typeof value === 'string') return utf8Bytes(value) + 16;
  if (typeof value !== 'object' || value === null) return 8;
  const parts = Object.entries(value).map(([name, part]) => (name === 'body_base64' ? bodyBytes({ body_base64: part }) + 16 : frameBytes(part)));
  return parts.reduce((sum, bytes) => sum + bytes, 48);
}
