/** Where one writes. Enter sends, Shift+Enter begins a line. */

import { h } from '../dom.js';
import { icon } from '../icons.js';

/** Tallest that the field grows, in pixels. */
const HEIGHT_MAX = 160;
const utf8 = new TextEncoder();

export class Composer {
  #model;
  #field;
  #send;
  #hint;
  #conversation = null;

  /** `sent()` is called after a message was sent, `up()` for the arrow in an empty field. */
  constructor(model, { sent, up }) {
    this.#model = model;
    this.sent = sent;
    this.up = up;
    this.#field = h('textarea', {
      rows: '1', placeholder: 'Write a message', 'aria-label': 'Message', enterkeyhint: 'send', autocomplete: 'off',
      oninput: () => this.#changed(true),
      onkeydown: (event) => this.#key(event),
    });
    this.#send = h('button.round.accent', { type: 'submit', 'aria-label': 'Send', title: 'Send' }, icon('send'));
    this.#hint = h('p.hint', { role: 'alert' });
    this.element = h(
      'form.composer', { onsubmit: (event) => this.#submit(event) },
      this.#hint,
      h('div.composer-row', {}, this.#field, this.#send),
    );
  }

  /** Another conversation is open; what was begun in the last one stays there. */
  show(conversation) {
    if (conversation === this.#conversation) return;
    if (this.#conversation) this.#conversation.draft = this.#field.value;
    this.#conversation = conversation;
    this.#field.value = conversation?.draft ?? '';
    this.#changed(false);
  }

  focus() {
    this.#field.focus();
  }

  set isOff(isOff) {
    this.element.hidden = isOff;
  }

  #changed(isTyped) {
    const text = this.#field.value;
    this.#field.style.height = 'auto';
    this.#field.style.height = `${Math.min(this.#field.scrollHeight, HEIGHT_MAX)}px`;
    const over = utf8.encode(text).length - this.#model.bodyBytesMax;
    this.#hint.textContent = over > 0 ? `Too long by ${over.toLocaleString()} bytes.` : '';
    this.#send.disabled = text.trim() === '' || over > 0;
    if (isTyped && text.trim() !== '' && this.#conversation) this.#model.type(this.#conversation);
  }

  #key(event) {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#submit(event);
    } else if (event.key === 'ArrowUp' && this.#field.value === '') {
      event.preventDefault();
      this.up();
    }
  }

  #submit(event) {
    event.preventDefault();
    if (this.#send.disabled || !this.#conversation) return;
    this.#model.send(this.#conversation, this.#field.value.trim());
    this.#field.value = '';
    this.#changed(false);
    this.sent();
  }
}
