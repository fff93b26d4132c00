/** What stands in a thread, row by row: days, people's messages in groups, what happened to the group. */

import { avatar } from '../avatar.js';
import { h } from '../dom.js';
import { icon } from '../icons.js';
import { clockTime, dayName, dayOf, wholeTime } from '../time.js';
import { linked } from './links.js';
import { messageText, plural, recordText, refusedText } from './words.js';

/** Messages of one person belong together when they are no further apart. */
const GROUP_MS = 5 * 60_000;

const STAGES = {
  waiting: ['clock', 'Waiting for the connection'],
  sending: ['clock', 'Sending'],
  sent: ['check', 'Sent'],
  delivered: ['checks', 'Delivered'],
  read: ['checks', 'Read'],
};

/**
 * The rows of a conversation for `reconcile`. `act` has what can be done: `retract(message)`, `retry(pending)`, `discard(pending)`.
 * `isUp`: there is a connection.
 */
export function threadRows(conversation, { me, now, isUp, act }) {
  const rows = [...beginning(conversation)];
  const isGroup = conversation.kind !== 'direct';
  const log = conversation.log.filter(({ kind }) => kind !== 'retracted');
  let before = null;
  let isNewShown = false;
  for (const [index, message] of log.entries()) {
    const day = dayOf(message.time_ms);
    if (!before || dayOf(before.time_ms) !== day) {
      rows.push(dayRow(day, message.time_ms, now));
      before = null;
    }
    if (!isNewShown && conversation.newAfter !== null && message.seq > conversation.newAfter && message.sender !== me) {
      rows.push(newRow());
      isNewShown = true;
      before = null;
    }
    const next = log[index + 1];
    const isLast = !next || !belongs(message, next);
    if (isRecord(message)) rows.push(recordRow(message, me));
    else rows.push(messageRow(message, { conversation, me, isGroup, isFirst: !before || !belongs(before, message), isLast, act }));
    before = message;
  }
  const lastDay = log.length ? dayOf(log.at(-1).time_ms) : null;
  for (const [index, pending] of conversation.pending.entries()) {
    if (index === 0 && dayOf(pending.at_ms) !== lastDay) rows.push(dayRow(dayOf(pending.at_ms), pending.at_ms, now));
    rows.push(pendingRow(pending, { isUp, isFirst: index === 0 && !(before?.sender === me), isLast: index === conversation.pending.length - 1, act }));
  }
  return rows;
}

const isRecord = ({ kind }) => kind !== undefined && kind !== 'message';

function belongs(a, b) {
  return !isRecord(a) && !isRecord(b) && a.sender === b.sender && b.time_ms - a.time_ms < GROUP_MS && dayOf(a.time_ms) === dayOf(b.time_ms);
}

function beginning(conversation) {
  if (conversation.start === null || conversation.isLoading) {
    return [{ key: 'loading', signature: '', make: () => h('li.loading', { 'aria-label': 'Loading' }, h('i'), h('i'), h('i')) }];
  }
  if (conversation.older) return [];
  const text = conversation.hasLost ? 'Earlier messages are no longer kept by the server.' : beginningText(conversation);
  return text ? [{ key: 'beginning', signature: text, make: () => h('li.system', {}, text) }] : [];
}

function beginningText({ kind, title, messages, pending }) {
  if (kind !== 'direct') return '';
  return messages.size + pending.length === 0 ? `Say hello to ${title}. What you write waits until ${title} comes.` : `The beginning of your conversation with ${title}`;
}

function dayRow(day, ms, now) {
  const name = dayName(ms, now);
  return { key: `day ${day}`, signature: name, make: () => h('li.day', {}, h('span', {}, name)) };
}

function newRow() {
  return { key: 'new', signature: '', make: () => h('li.new', {}, h('span', {}, 'New')) };
}

function recordRow(message, me) {
  const text = recordText(message, me);
  return { key: `seq ${message.seq}`, signature: text, make: () => h('li.system', { title: wholeTime(message.time_ms) }, text) };
}

function messageRow(message, { conversation, me, isGroup, isFirst, isLast, act }) {
  const isOwn = message.sender === me;
  const stage = isOwn && !message.is_retracted ? conversation.stage(message.seq, me) : null;
  const readers = stage && stage !== 'read' && isGroup && isLast ? conversation.readers(message.seq, me).length : 0;
  const text = messageText(message);
  const classes = ['message', isOwn ? 'own' : 'other', isFirst && 'first', isLast && 'last', message.is_retracted && 'gone'].filter(Boolean);
  const time = clockTime(message.time_ms);
  const label = `${isOwn ? 'You' : message.sender}, ${time}${stage ? `, ${STAGES[stage][1].toLowerCase()}` : ''}: ${text}`;
  const make = () =>
    h(
      `li.${classes.join('.')}`, { tabindex: '-1', 'data-seq': message.seq, 'data-focus': 'row', 'aria-label': label },
      !isOwn && isGroup ? h('span.face', {}, isLast ? avatar(message.sender) : null) : null,
      h(
        'div.bubble', { title: wholeTime(message.time_ms) },
        !isOwn && isGroup && isFirst ? senderName(message.sender) : null,
        h('span.text', {}, ...(message.is_retracted ? [text] : linked(text))),
        h('span.meta', {}, readers > 0 ? h('span.readers', {}, `Read by ${readers}`) : null, h('time', {}, time), stage ? tick(stage) : null),
      ),
      isOwn && !message.is_retracted
        ? h('button.take-back', { type: 'button', tabindex: '-1', 'aria-label': 'Take back', title: 'Take back for everyone', 'data-focus': 'take-back', onclick: () => act.retract(message) }, icon('undo', 16))
        : null,
    );
  return { key: `seq ${message.seq}`, signature: [text, stage, readers, ...classes].join('\u0000'), make };
}

function senderName(sender) {
  const name = h('span.sender', {}, sender);
  name.style.setProperty('--hue', avatar(sender).style.getPropertyValue('--hue'));
  return name;
}

function tick(stage) {
  const [name, label] = STAGES[stage];
  return h('span.tick', { 'data-stage': stage, role: 'img', 'aria-label': label, title: label }, icon(name, 16));
}

function pendingRow(pending, { isUp, isFirst, isLast, act }) {
  const { client_id, body, error } = pending;
  const stage = isUp ? 'sending' : 'waiting';
  const classes = ['message', 'own', 'pending', isFirst && 'first', isLast && 'last', error && 'failed'].filter(Boolean);
  const make = () =>
    h(
      `li.${classes.join('.')}`, { tabindex: '-1', 'data-focus': 'row', 'aria-label': `You: ${body}, ${error ? 'not sent' : STAGES[stage][1].toLowerCase()}` },
      h('div.bubble', {}, h('span.text', {}, ...linked(body)), h('span.meta', {}, error ? null : isUp ? 'Sending' : 'Waiting', error ? icon('alert', 16) : tick(stage))),
      error
        ? h(
            'div.failure', {},
            h('span', {}, error.code === 'connection_lost' ? 'It is not known whether this was sent.' : `Not sent. ${refusedText(error)}`),
            h('button.link', { type: 'button', onclick: () => act.retry(pending) }, 'Try again'),
            h('button.link', { type: 'button', onclick: () => act.discard(pending) }, 'Discard'),
          )
        : null,
    );
  return { key: `id ${client_id}`, signature: [body, stage, error?.code, ...classes].join('\u0000'), make };
}

export const unreadText = (count) => plural(count, 'new message');
