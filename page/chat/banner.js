/** How the connection is: a dot in the bar, and a line below it while something is to be said. */

import { h, reconcile, say } from '../dom.js';
import { icon } from '../icons.js';
import { closedText, plural } from './words.js';

export class Banner {
  #model;
  #line = h('div.banner-frame');
  #dot = h('span.connection');
  #timer = null;
  #said = '';

  constructor(model) {
    this.#model = model;
    this.element = this.#line;
    this.dot = this.#dot;
  }

  render() {
    const { kind, text, detail } = this.#state();
    this.#dot.dataset.state = kind;
    this.#dot.textContent = { ok: 'Connected', busy: 'Connecting', off: 'Offline' }[kind];
    const canTry = this.#model.status.phase === 'waiting';
    const signature = [kind, text, detail, canTry].join('\u0000');
    const make = () =>
      h(
        'div.banner', { 'data-kind': kind },
        icon(kind === 'ok' ? 'check' : kind === 'busy' ? 'clock' : 'alert', 18),
        h('p', {}, h('strong', {}, text), detail ? ` ${detail}` : ''),
        canTry ? h('button.link', { type: 'button', 'data-focus': 'try', onclick: () => this.#model.retryNow() }, 'Try now') : null,
      );
    reconcile(this.#line, text ? [{ key: 'line', signature, make }] : []);
    this.#sayOnce(kind, text);
    clearTimeout(this.#timer);
    // Seconds go by although nothing happens.
    if (canTry) this.#timer = setTimeout(() => this.render(), 200);
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #state() {
    const { status, unsent } = this.#model;
    const waiting = unsent ? `${plural(unsent, 'message')} of yours ${unsent === 1 ? 'waits' : 'wait'}.` : '';
    if (status.phase === 'waiting') {
      const seconds = Math.max(0, Math.ceil((status.untilMs - this.#model.now()) / 1000));
      const detail = [closedText(status.reason), waiting].filter(Boolean).join(' ');
      return { kind: 'off', text: seconds > 0 ? `Reconnecting in ${seconds} s.` : 'Reconnecting\u2026', detail };
    }
    if (status.phase === 'connecting' || status.phase === 'logging_in') {
      return { kind: 'busy', text: status.wasUp ? 'Reconnecting\u2026' : status.reason ? 'Connecting\u2026' : '', detail: waiting };
    }
    if (status.after === 'catching_up') return { kind: 'busy', text: 'Connected again.', detail: 'Looking for what came meanwhile\u2026' };
    if (status.after === 'again') return { kind: 'ok', text: 'Connected again.', detail: this.#whatBecameOfIt() };
    return { kind: status.phase === 'up' ? 'ok' : 'off', text: '', detail: '' };
  }

  #whatBecameOfIt() {
    const { hasLost, cameCount } = this.#model.status;
    if (hasLost) return 'Some older messages are no longer kept by the server.';
    return cameCount ? `Nothing was lost; ${plural(cameCount, 'message')} came meanwhile.` : 'Nothing was lost.';
  }

  /** Not every second that is counted down. */
  #sayOnce(kind, text) {
    const spoken = text.replace(/ in \d+ s/, '');
    if (spoken && spoken !== this.#said) say(kind === 'off' ? `Connection lost. ${spoken}` : spoken);
    this.#said = spoken;
  }
}
