/** The right side: the conversation that is open. */

import { avatar } from '../avatar.js';
import { h, reconcile, say } from '../dom.js';
import { icon } from '../icons.js';
import { ago } from '../time.js';
import { Composer } from './composer.js';
import { threadRows, unreadText } from './rows.js';
import { messageText, plural, refusedText, typingText } from './words.js';

/** So near to the end counts as at the end, and so near to the beginning asks for what is before; in pixels. */
const END_PX = 60;
const BEGINNING_PX = 600;

export class Thread {
  #model;
  #head = h('header.thread-head');
  #rows = h('ol.messages', { role: 'list' });
  #scroll;
  #typing = h('p.typing-line', { 'aria-live': 'off' });
  #over = h('p.over', {}, 'You are no longer in this group.');
  #jump;
  #composer;
  #none;
  #body;
  #shown = null;
  /** The newest that a screen reader has heard of. */
  #saidSeq = 0;

  /** `back()`: to the list; `details()`: who is in it; `begin()`: a new conversation. */
  constructor(model, { back, details, begin, toast }) {
    this.#model = model;
    Object.assign(this, { back, details, toast });
    this.#scroll = h('div.scroll', { tabindex: '0', role: 'region', 'aria-label': 'Messages', onscroll: () => this.#scrolled(), onkeydown: (event) => this.#key(event) }, this.#rows);
    this.#jump = h('button.jump', { type: 'button', hidden: true, onclick: () => this.toEnd() }, icon('down', 18), h('span'));
    this.#composer = new Composer(model, { sent: () => this.toEnd(), up: () => this.#focusLastOwn() });
    this.#none = h(
      'div.nothing', {},
      h('span.nothing-mark', {}, icon('bell', 56)),
      h('p.empty-title', {}, 'Choose a conversation'),
      h('p', {}, 'Or start one: you only need to know a name.'),
      h('button.primary', { type: 'button', onclick: begin }, 'Start a conversation'),
    );
    this.#body = h('div.thread-body', {}, this.#head, h('div.scroll-frame', {}, this.#scroll, this.#jump), this.#over, this.#typing, this.#composer.element);
    this.element = h('section.thread', { 'aria-label': 'Conversation', onkeydown: (event) => this.#escape(event) }, this.#none, this.#body);
    // The keyboard of a phone, a banner, a longer draft: the end stays in view.
    new ResizeObserver(() => this.#shown && this.#model.isAtEnd && this.#scrollToEnd()).observe(this.#scroll);
  }

  focus() {
    // Where a finger writes, a keyboard would come up over what is to be read.
    if (this.#model.current?.isOver || matchMedia('(pointer: coarse)').matches) this.#scroll.focus();
    else this.#composer.focus();
  }

  render() {
    const { current } = this.#model;
    this.#none.hidden = current !== null;
    this.#body.hidden = current === null;
    this.#composer.show(current);
    if (!current) {
      this.#shown = null;
      return;
    }
    const isOther = this.#shown !== current;
    this.#renderHead(current);
    this.#renderRows(current, isOther);
    this.#composer.isOff = current.isOver;
    this.#over.hidden = !current.isOver;
    const typists = current.typists(this.#model.now());
    this.#typing.textContent = typists.length ? `${typingText(typists)}\u2026` : '';
    this.#sayNew(current, isOther);
    this.#shown = current;
  }

  // ---------------------------------------------------------------------------------------------------- the head

  #renderHead(conversation) {
    const { kind, title, name, members } = conversation;
    const isSelf = kind === 'direct' && name === this.#model.me;
    const online = kind === 'direct' && !isSelf ? this.#model.isOnline(name) : undefined;
    const about = this.#about(conversation, online, isSelf);
    const hasDetails = kind === 'group';
    const make = () =>
      h(
        'div.thread-head-row', {},
        h('button.round.back', { type: 'button', 'aria-label': 'Back to the conversations', 'data-focus': 'back', onclick: () => this.back() }, icon('back')),
        avatar(title, { kind, online }),
        h('div.thread-title', {}, h('h2', {}, title), h('p', {}, about)),
        hasDetails
          ? h('button.round', { type: 'button', 'aria-label': 'Members and settings', title: 'Members and settings', 'data-focus': 'details', onclick: () => this.details(conversation) }, icon('group'))
          : null,
      );
    reconcile(this.#head, [{ key: 'head', signature: [conversation.id, title, about, online, members?.size].join('\u0000'), make }]);
  }

  #about({ kind, name, members }, online, isSelf) {
    if (kind === 'broadcast') return 'Everyone on this server';
    if (isSelf) return 'Notes to yourself';
    if (kind === 'direct') {
      if (online) return 'online';
      const { last_seen_ms } = this.#model.presence.get(name) ?? {};
      return last_seen_ms ? `last seen ${ago(last_seen_ms, Date.now())}` : 'offline';
    }
    if (!members) return 'Group';
    const there = [...members.keys()].filter((user) => user !== this.#model.me && this.#model.isOnline(user)).length;
    return there ? `${plural(members.size, 'member')}, ${there} online` : plural(members.size, 'member');
  }

  // ------------------------------------------------------------------------------------------------- the messages

  #renderRows(conversation, isOther) {
    const anchor = isOther || this.#model.isAtEnd ? null : this.#anchor();
    const act = {
      retract: (message) => this.#retract(conversation, message),
      retry: (pending) => this.#model.retry(conversation, pending),
      discard: (pending) => this.#model.discard(conversation, pending),
    };
    const isUp = this.#model.status.phase === 'up';
    // Two conversations share numbers, so nothing of the last one is kept.
    if (isOther) reconcile(this.#rows, []);
    reconcile(this.#rows, threadRows(conversation, { me: this.#model.me, now: Date.now(), isUp, act }));
    const held = anchor && this.#rows.querySelector(`[data-seq="${anchor.seq}"]`);
    if (held) this.#scroll.scrollTop += held.getBoundingClientRect().top - anchor.top;
    else if (isOther && conversation.newAfter !== null) this.#toNew();
    else if (this.#model.isAtEnd) this.#scrollToEnd();
    const { unread } = conversation;
    this.#jump.hidden = this.#model.isAtEnd;
    this.#jump.lastChild.textContent = unread ? unreadText(unread) : '';
    this.#jump.setAttribute('aria-label', unread ? `${unreadText(unread)}, to the newest` : 'To the newest');
  }

  /** The first row in view, and where it stands: it stays there when rows come before it. */
  #anchor() {
    const top = this.#scroll.getBoundingClientRect().top;
    const row = [...this.#rows.querySelectorAll('[data-seq]')].find((one) => one.getBoundingClientRect().bottom > top);
    return row ? { seq: row.dataset.seq, top: row.getBoundingClientRect().top } : null;
  }

  #scrollToEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  toEnd() {
    this.#model.isAtEnd = true;
    this.#scrollToEnd();
    this.#model.noteRead();
    this.#jump.hidden = true;
  }

  /** Where the new ones begin, if that is not in view at the end anyway. */
  #toNew() {
    this.#scrollToEnd();
    const row = this.#rows.querySelector('.new');
    if (row && row.offsetTop < this.#scroll.scrollTop) this.#scroll.scrollTop = row.offsetTop - END_PX;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    const { current } = this.#model;
    if (!current || this.#shown !== current) return;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < END_PX;
    if (isAtEnd !== this.#model.isAtEnd) {
      this.#model.isAtEnd = isAtEnd;
      this.#jump.hidden = isAtEnd;
    }
    if (isAtEnd) this.#model.noteRead();
    if (scrollTop < BEGINNING_PX && current.older) this.#model.loadOlder(current).catch((error) => this.toast(refusedText(error)));
  }

  async #retract(conversation, message) {
    try {
      await this.#model.retract(conversation, message);
      say('Message taken back');
    } catch (error) {
      this.toast(refusedText(error));
    }
  }

  /** A screen reader hears what others write while the conversation is open. */
  #sayNew(conversation, isOther) {
    if (!isOther) {
      const fresh = conversation.log.filter(({ seq, sender, kind }) => seq > this.#saidSeq && sender !== this.#model.me && (kind ?? 'message') === 'message');
      if (this.#saidSeq > 0 && fresh.length) say(fresh.map((message) => `${message.sender}: ${messageText(message)}`).join('. '));
    }
    this.#saidSeq = conversation.newest;
  }

  // -------------------------------------------------------------------------------------------------- by keyboard

  #key(event) {
    const rows = [...this.#rows.querySelectorAll('.message')];
    const at = rows.indexOf(document.activeElement.closest('.message'));
    if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
      const next = at < 0 ? rows.at(-1) : rows[at + (event.key === 'ArrowUp' ? -1 : 1)];
      if (!next) return;
      event.preventDefault();
      next.focus();
    } else if ((event.key === 'Delete' || event.key === 'Backspace') && at >= 0) {
      rows[at].querySelector('.take-back')?.click();
    }
  }

  #focusLastOwn() {
    [...this.#rows.querySelectorAll('.message.own')].at(-1)?.focus();
  }

  #escape(event) {
    if (event.key !== 'Escape') return;
    event.preventDefault();
    // From a message first to the field, from there to the list.
    if (this.#rows.contains(document.activeElement)) this.#composer.focus();
    else this.back();
  }
}
