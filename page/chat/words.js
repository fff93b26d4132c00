/** What is said about records, errors and people. */

/** A change of a group, as a sentence. */
export function recordText({ kind, sender, subject, role, body }, me) {
  const who = sender === me ? 'You' : sender;
  const whom = subject === me ? 'you' : subject;
  switch (kind) {
    case 'created':
      return `${who} created the group`;
    case 'title':
      return `${who} named the group \u201c${body ?? ''}\u201d`;
    case 'added':
      return `${who} added ${whom}`;
    case 'joined':
      return `${who} joined`;
    case 'removed':
      return `${who} removed ${whom}`;
    case 'left':
      return `${who} left`;
    case 'role':
      return `${who} made ${whom} ${role === 'member' ? 'a member' : `an ${role}`}`;
    case 'disbanded':
      return `${who} closed the group`;
    case 'retracted':
      return `${who} took back a message`;
    default:
      return 'Something happened that this page does not know';
  }
}

/** The text of a message; what is no text is said to be something else. */
export function messageText({ body, body_base64, content_type, is_retracted }) {
  if (is_retracted) return 'Message taken back';
  if (body_base64 === undefined) return body ?? '';
  return content_type ? `A file (${content_type})` : 'A file';
}

/** The line under a title in the list. */
export function preview(message, { me, isDirect }) {
  const isRecord = message.kind !== undefined && message.kind !== 'message';
  if (isRecord) return recordText(message, me);
  const text = messageText(message).replace(/\s+/gu, ' ').trim();
  if (message.sender === me) return `You: ${text}`;
  return isDirect ? text : `${message.sender}: ${text}`;
}

const CLOSED = {
  shutting_down: 'The server is restarting.',
  overloaded: 'The server has too much to do just now.',
  too_many_connections: 'The server is full.',
  connect_rate_limited: 'Too many connections from here.',
  slow_consumer: 'This device read too slowly.',
  idle_timeout: 'The server had not heard from this device.',
  silent: 'Nothing was heard from the server.',
  no_welcome: 'The server does not answer.',
  unreachable: 'The server cannot be reached.',
  connection_lost: 'The connection broke.',
};

/** Why there is no connection. */
export function closedText(reason) {
  return CLOSED[reason?.code] ?? reason?.message ?? '';
}

const REFUSED = {
  already_exists: 'There is a group with this name already.',
  already_member: 'Already in the group.',
  body_too_large: 'The message is too long.',
  connection_lost: 'The connection broke before the server answered; it is not known whether this was done.',
  disk_full: 'The server\u2019s disk is full.',
  last_owner: 'You are the only owner; a group cannot be without one.',
  not_a_member: 'Not in the group.',
  not_permitted: 'You may not do that here.',
  queue_full: 'Too many messages wait already.',
  rate_limited: 'Too many messages at once.',
  unknown_conversation: 'There is no such group, or it is not open.',
};

/** Why something was not done. */
export function refusedText(error) {
  if (error.code === 'invalid_id') return `A name has 1 to 64 bytes and no control characters.`;
  return REFUSED[error.code] ?? `${error.message || error.code}`;
}

/** bob is typing; bob and carol are typing; 3 people are typing */
export function typingText(users) {
  if (users.length === 1) return `${users[0]} is typing`;
  if (users.length === 2) return `${users[0]} and ${users[1]} are typing`;
  return `${users.length} people are typing`;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
