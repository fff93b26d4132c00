/** The tab "Live": how the server is doing, second by second. */

import { h, reconcile } from '../dom.js';
import { plural } from '../chat/words.js';
import { Chart } from './chart.js';
import { look, sum } from './metrics.js';
import { bytes, count, duration, short } from './numbers.js';
import { Series } from './series.js';

const EVERY_MS = 1_000;
const PATIENCE_MS = 3_000;
const FRAME_MS = 50;
const REASONS = { ephemeral_lane: 'typing, between shards', ephemeral_outbox: 'typing, slow readers', message_expired: 'expired messages' };

const shardNames = (shards) => (shards === 1 ? [''] : Array.from({ length: shards }, (_, shard) => `shard ${shard}`));
const highest = (list) => Math.max(0, ...list.filter((value) => value !== null));

/** What is drawn: `number(values)` is the large one, `about(values)` what is said under it. */
const CHARTS = [
  {
    id: 'connections', title: 'Connections', least: 4, format: short, names: () => [''],
    lines: ({ connections }) => [sum(connections)],
    number: ({ connections }) => count(sum(connections)),
    about: ({ sessions }) => `${count(sum(sessions))} logged in`,
  },
  {
    id: 'messages', title: 'Messages', unit: '/s', least: 4, format: short, names: () => [''],
    lines: ({ messages }) => [sum(messages)],
    number: ({ messages }) => short(sum(messages)),
    about: () => 'published and numbered',
  },
  {
    id: 'deliveries', title: 'Deliveries', unit: '/s', least: 4, format: short, names: () => [''],
    lines: ({ deliveries }) => [sum(deliveries)],
    number: ({ deliveries }) => short(sum(deliveries)),
    about: ({ messages, deliveries }) => (sum(messages) > 0 ? `${short(sum(deliveries) / sum(messages))} per message` : 'handed to sessions'),
  },
  {
    id: 'loop', title: 'Loop time', least: 100e-6, format: duration, names: shardNames,
    lines: ({ loop }) => loop,
    number: ({ loop }) => duration(highest(loop)),
    about: ({ busy }) => `99 of 100 turns are shorter; shards work ${Math.round((100 * sum(busy)) / busy.length)} % of the time`,
  },
  {
    id: 'queues', title: 'Queue depths', least: 4, format: short, names: () => ['between shards', 'to the store'],
    lines: ({ lanes, storeQueue }) => [sum(lanes), sum(storeQueue)],
    number: ({ lanes, storeQueue }) => short(sum(lanes) + sum(storeQueue)),
    about: ({ outboxBytes }) => `${bytes(sum(outboxBytes))} wait for readers`,
  },
  {
    id: 'drops', title: 'Drops', unit: '/s', least: 4, format: short, names: () => Object.values(REASONS),
    lines: ({ drops }) => Object.keys(REASONS).map((reason) => drops[reason] ?? 0),
    number: ({ drops }) => short(sum(Object.values(drops))),
    about: ({ dropsTotal }) => (dropsTotal ? `${short(dropsTotal)} since the start; never a kept message` : 'none since the start'),
  },
];

export class Live {
  #series = new Series();
  #cards = CHARTS.map((options) => new Card(options));
  #state = h('p.live-state', { role: 'status' });
  #table = h('tbody');
  #timer = null;
  #frame = null;
  #isShown = false;
  #colors = null;
  #problem = null;
  #sinceMs = null;
  #drawnMs = 0;

  constructor() {
    const heads = ['Shard', 'Connections', 'Messages/s', 'Deliveries/s', 'Loop time (99 %)', 'At work'];
    this.element = h(
      'main.live', { 'aria-label': 'Live', hidden: true },
      h('header.live-head', {}, h('h1', {}, 'Live'), this.#state),
      h('div.cards', {}, ...this.#cards.map(({ element }) => element)),
      h(
        'section.card.shards', { 'aria-label': 'Shards' },
        h('h2', {}, 'Shards'),
        h('div.table-frame', {}, h('table', {}, h('thead', {}, h('tr', {}, ...heads.map((name) => h('th', { scope: 'col' }, name)))), this.#table)),
      ),
    );
    addEventListener('themechange', () => (this.#colors = null));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => (this.#colors = null));
  }

  show() {
    if (this.#isShown) return;
    this.#isShown = true;
    this.element.hidden = false;
    this.#poll();
    this.#draw();
    this.#tell();
  }

  hide() {
    this.#isShown = false;
    this.element.hidden = true;
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
  }

  async #poll() {
    const began = performance.now();
    try {
      const answer = await fetch('/metrics', { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!answer.ok) throw new Error(`/metrics answers ${answer.status}`);
      const seen = look(await answer.text());
      if (!this.#isShown) return;
      this.#series.add(performance.now(), seen);
      this.#problem = null;
    } catch (error) {
      if (!this.#isShown) return;
      if (!this.#problem) this.#sinceMs = Date.now();
      this.#problem = error;
      this.#series.stop(performance.now());
    }
    this.#tell();
    this.#timer = setTimeout(() => this.#poll(), Math.max(0, EVERY_MS - (performance.now() - began)));
  }

  /** Numbers and words; the curves are drawn frame by frame. */
  #tell() {
    const values = this.#series.now;
    const state = this.#problem ? 'stopped' : values ? 'live' : 'waiting';
    this.element.dataset.state = state;
    const since = this.#sinceMs && new Date(this.#sinceMs).toLocaleTimeString();
    this.#state.textContent = {
      stopped: `The server has not answered since ${since}. The curves show what was known until then.`,
      waiting: 'Two looks make a rate: one moment.',
      live: `${plural(values?.connections.length ?? 0, 'shard')}, every second`,
    }[state];
    for (const card of this.#cards) card.tell(values);
    reconcile(this.#table, values ? values.connections.map((_, shard) => shardRow(values, shard)) : []);
  }

  #draw() {
    this.#frame = requestAnimationFrame(() => this.#draw());
    const now = performance.now();
    if (now - this.#drawnMs < (matchMedia('(prefers-reduced-motion: reduce)').matches ? EVERY_MS : FRAME_MS)) return;
    this.#drawnMs = now;
    this.#colors ??= readColors(this.element);
    // While the server is silent the curves stand still and move on when it is back.
    for (const card of this.#cards) card.chart.draw(this.#series.points, now, this.#colors);
  }
}

class Card {
  #number = h('span.number');
  #about = h('p.about');
  #legend = h('p.legend');
  #options;

  constructor(options) {
    this.#options = options;
    this.chart = new Chart(options);
    const { id, title, unit } = options;
    this.element = h(
      'section.card', { 'aria-labelledby': `card-${id}`, 'data-card': id },
      h('header.card-head', {}, h('h2', { id: `card-${id}` }, title), h('p.current', {}, this.#number, unit ? h('span.unit', {}, unit) : null)),
      this.#about, this.chart.element, this.#legend,
    );
  }

  tell(values) {
    const { number, about, names, lines } = this.#options;
    this.#number.textContent = values ? number(values) : '\u2013';
    this.#about.textContent = values ? about(values) : '\u00a0';
    if (!values) return this.chart.describe('not known now');
    this.chart.describe(`${number(values)}${this.#options.unit ?? ''}, ${about(values)}`);
    const total = lines(values).length;
    const shown = names(total).slice(0, 8);
    const make = (name, index) => () => {
      const key = h('i');
      key.style.setProperty('--at', lineShade(index, total));
      return h('span', {}, key, name);
    };
    const items = total > 1 ? shown.map((name, index) => ({ key: name, signature: `${index} ${total}`, make: make(name, index) })) : [];
    if (total > shown.length) items.push({ key: 'more', signature: `${total}`, make: () => h('span', {}, `and ${total - shown.length} more`) });
    reconcile(this.#legend, items);
  }
}

function shardRow({ connections, messages, deliveries, loop, busy }, shard) {
  const cells = [
    String(shard), count(connections[shard]), short(messages[shard]), short(deliveries[shard]),
    loop[shard] === null ? 'idle' : duration(loop[shard]), `${(100 * busy[shard]).toFixed(1)} %`,
  ];
  const make = () => h('tr', {}, ...cells.map((cell, index) => (index ? h('td', {}, cell) : h('th', { scope: 'row' }, cell))));
  return { key: shard, signature: cells.join('\u0000'), make };
}

/** How far a line of several is from the accent (0 %) to grey (100 %). */
function lineShade(index, count) {
  return `${count > 1 ? Math.round((100 * index) / (count - 1)) : 0}%`;
}

function readColors(element) {
  const style = getComputedStyle(element);
  // A canvas knows no `light-dark()` and no variables: an element with the colour says what it is.
  const probe = h('i');
  element.append(probe);
  const color = (value) => {
    probe.style.color = value;
    return getComputedStyle(probe).color;
  };
  const shades = Array.from({ length: 101 }, (_, at) => color(`color-mix(in oklab, var(--chart-other) ${at}%, var(--accent))`));
  const line = (index, count) => shades[parseInt(lineShade(index, count), 10)];
  const colors = {
    font: `12px ${style.fontFamily}`, grid: color('var(--line)'), axis: color('var(--line-strong)'), label: color('var(--muted)'),
    soft: color('var(--accent-wash)'), line,
  };
  probe.remove();
  return colors;
}
