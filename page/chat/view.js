/** The tab "Chat": list and thread side by side, one at a time where it is narrow. */

import { h, onceAFrame } from '../dom.js';
import { Banner } from './banner.js';
import { groupDetails, newConversation } from './dialogs.js';
import { List } from './list.js';
import { Thread } from './thread.js';

export class Chat {
  #model;
  #list;
  #thread;

  /** `go(id)` changes the address to that of a conversation, or of none (null); `unread(count)` tells the title. */
  constructor(model, { go, unread }) {
    this.#model = model;
    this.go = go;
    const begin = () => newConversation(model, (id) => this.go(id));
    const toast = (text) => this.#toast(text);
    this.banner = new Banner(model);
    this.#list = new List(model, { open: (id) => this.go(id), begin });
    this.#thread = new Thread(model, { back: () => this.go(null), details: (conversation) => groupDetails(model, conversation), begin, toast });
    this.element = h('main.chat', { 'aria-label': 'Chat' }, this.#list.element, this.#thread.element);
    const render = onceAFrame(() => {
      this.#list.render();
      this.#thread.render();
      this.banner.render();
      unread(model.unread);
    });
    model.onChange(render);
    render();
    this.render = render;
  }

  /** The address says what is open. */
  show(id) {
    if (id === (this.#model.current?.id ?? null)) return;
    if (id) this.#model.open(id);
    else this.#model.leaveOpen();
    this.element.dataset.pane = id ? 'thread' : 'list';
    this.#list.render();
    this.#thread.render();
    if (id) this.#thread.focus();
    else this.#list.focus();
  }

  /** Somebody looks again. */
  seen() {
    this.#model.noteRead();
  }

  #toast(text) {
    const toast = h('div.toast', { role: 'alert' }, text);
    document.body.append(toast);
    setTimeout(() => toast.remove(), 5_000);
  }
}
