/** The left side: all conversations, the most recent first, with a field that finds one or begins another. */

import { avatar } from '../avatar.js';
import { h, reconcile } from '../dom.js';
import { icon } from '../icons.js';
import { when } from '../time.js';
import { plural, preview, typingText } from './words.js';

/** Rows that are shown at once; the rest is found by its name. */
const ROWS_MAX = 200;

export class List {
  #model;
  #rows;
  #empty;
  #filter;

  /** `open(id)`: a conversation was chosen; `begin()`: a new one is wanted. */
  constructor(model, { open, begin }) {
    this.#model = model;
    this.open = open;
    this.#rows = h('ul.conversations', { onkeydown: (event) => this.#key(event) });
    this.#empty = h('div.empty');
    this.#filter = h('input.find', {
      type: 'search', placeholder: 'Find or start a chat', 'aria-label': 'Find or start a chat', autocomplete: 'off', spellcheck: 'false',
      oninput: () => this.render(),
      onkeydown: (event) => this.#filterKey(event),
    });
    this.element = h(
      'aside.list', { 'aria-label': 'Conversations' },
      h(
        'div.list-head', {},
        h('label.find-box', {}, icon('search', 18), this.#filter),
        h('button.round.accent', { type: 'button', 'aria-label': 'New conversation', title: 'New conversation', 'data-focus': 'new', onclick: begin }, icon('add')),
      ),
      this.#rows,
      this.#empty,
    );
    this.#empty.append(
      h('p.empty-title', {}, 'No conversations yet'),
      h('p', {}, 'Write to someone: a name is all it takes. Or make a group.'),
      h('button.primary', { type: 'button', onclick: begin }, 'Start a conversation'),
    );
  }

  focus() {
    (this.#rows.querySelector('[aria-current] button') ?? this.#rows.querySelector('button') ?? this.#filter).focus();
  }

  get #wanted() {
    return this.#filter.value.trim().normalize('NFC');
  }

  render() {
    const { me, current } = this.#model;
    const now = Date.now();
    const wanted = this.#wanted.toLocaleLowerCase();
    const isWanted = ({ title, name }) => `${title}\n${name}`.toLocaleLowerCase().includes(wanted);
    const shown = this.#model.list.filter(isWanted);
    const focusable = shown.includes(current) ? current : shown[0];
    const items = shown.slice(0, ROWS_MAX).map((conversation) => this.#item(conversation, { me, now, isCurrent: conversation === current, isFocusable: conversation === focusable }));
    if (wanted && !shown.some(({ kind, name }) => kind === 'direct' && name === this.#wanted)) items.push(this.#startItem(this.#wanted));
    if (shown.length > ROWS_MAX) items.push(moreRow(shown.length - ROWS_MAX));
    reconcile(this.#rows, items);
    this.#empty.hidden = items.length > 0 || !this.#model.hasList;
  }

  #item(conversation, { me, now, isCurrent, isFocusable }) {
    const { id, kind, title, unread } = conversation;
    const isDirect = kind === 'direct';
    const online = isDirect && id !== `direct:${me}` ? this.#model.isOnline(conversation.name) : undefined;
    const typists = conversation.typists(this.#model.now());
    const failed = conversation.pending.some(({ error }) => error);
    const waiting = conversation.pending.at(-1);
    const isTyping = typists.length > 0;
    const typing = isDirect ? 'is typing\u2026' : `${typingText(typists)}\u2026`;
    const text = isTyping ? typing : this.#line(conversation, me, isDirect);
    const time = conversation.lastMs ? when(conversation.lastMs, now) : '';
    const label = [
      title, kind === 'group' ? 'group' : online ? 'online' : '', unread ? plural(unread, 'unread message') : '', text, time,
    ].filter(Boolean).join(', ');
    const signature = [title, text, time, unread, online, isCurrent, isFocusable, failed, Boolean(waiting), isTyping].join('\u0000');
    const make = () =>
      h(
        'li', { 'aria-current': isCurrent ? 'true' : null, 'data-id': id },
        h(
          unread ? 'button.conversation.unread' : 'button.conversation', { type: 'button', 'data-focus': 'row', 'aria-label': label, tabindex: isFocusable ? '0' : '-1', onclick: () => this.open(id) },
          avatar(title, { kind, online }),
          h(
            'span.conversation-text', {},
            h('span.conversation-top', {}, h('span.conversation-title', {}, title), h('span.conversation-time', {}, time)),
            h(
              'span.conversation-bottom', {},
              waiting ? icon(failed ? 'alert' : 'clock', 14) : null,
              h(isTyping ? 'span.conversation-line.typing' : 'span.conversation-line', {}, text),
              unread ? h('span.badge', {}, unread > 999 ? '999+' : String(unread)) : null,
            ),
          ),
        ),
      );
    return { key: id, signature, make };
  }

  #line(conversation, me, isDirect) {
    const waiting = conversation.pending.at(-1);
    if (waiting) return `You: ${waiting.body}`;
    if (conversation.last) return preview(conversation.last, { me, isDirect });
    return conversation.committed ? '' : 'Nothing written yet';
  }

  #startItem(name) {
    const make = () =>
      h(
        'li', {},
        h(
          'button.conversation.start', { type: 'button', 'data-focus': 'row', onclick: () => this.#start(name) },
          h('span.avatar.blank', {}, icon('add', 20)),
          h('span.conversation-text', {}, h('span.conversation-title', {}, name), h('span.conversation-line', {}, 'Start a chat')),
        ),
      );
    return { key: ' start', signature: name, make };
  }

  #start(name) {
    this.#filter.value = '';
    this.open(`direct:${name}`);
  }

  // ---- by keyboard

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...this.#rows.querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement);
    if (at === 0 && step === -1) return this.#filter.focus();
    buttons[Math.min(Math.max(0, at + step), buttons.length - 1)]?.focus();
  }

  #filterKey(event) {
    if (event.key === 'ArrowDown') {
      event.preventDefault();
      this.#rows.querySelector('button')?.focus();
    } else if (event.key === 'Enter' && this.#wanted) {
      event.preventDefault();
      this.#rows.querySelector('button')?.click();
      this.#filter.value = '';
      this.render();
    } else if (event.key === 'Escape' && this.#filter.value) {
      event.preventDefault();
      event.stopPropagation();
      this.#filter.value = '';
      this.render();
    }
  }
}

function moreRow(count) {
  const text = `${count} more: find them by name`;
  return { key: ' more', signature: text, make: () => h('li.system', {}, text) };
}
