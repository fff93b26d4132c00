/** Curves that move: a canvas, two axes, and what is under the pointer. */

import { h } from '../dom.js';
import { clockTime } from '../time.js';
import { scale } from './numbers.js';
import { WINDOW_MS } from './series.js';

/** Room for the axes, in pixels. */
const LEFT = 52;
const BOTTOM = 22;
const TOP = 10;
const RIGHT = 10;
/** Points that are this much younger than the right edge are still to come: a curve that ends there would jump. */
const LAG_MS = 1_100;
const TICKS = [[-120_000, '2 min ago'], [-90_000, ''], [-60_000, '1 min'], [-30_000, '30 s'], [0, 'now']];

/**
 * `lines(values)` gives the values of all curves, null for none; `names(count)` what they are called; `format` writes a value; `least` is
 * the shortest axis.
 */
export class Chart {
  #canvas = h('canvas', { role: 'img' });
  #tip = h('div.tip', { hidden: true });
  #options;
  #pointer = null;
  #drawn = '';
  #end = 0;

  constructor({ title, ...options }) {
    this.title = title;
    this.#options = options;
    this.element = h('div.plot', {}, this.#canvas, this.#tip);
    this.#canvas.addEventListener('pointermove', (event) => (this.#pointer = event.offsetX));
    this.#canvas.addEventListener('pointerleave', () => (this.#pointer = null));
  }

  /** What was drawn last, so that a test can see that it moves. */
  get drawn() {
    return this.#drawn;
  }

  draw(points, now, colors) {
    const { width, height, context } = this.#prepare();
    if (width < LEFT + 40) return;
    const right = now - LAG_MS;
    const shown = points.map(({ at, values }) => ({ at, lines: values && this.#options.lines(values) }));
    const inView = shown.filter(({ at }) => at >= right - WINDOW_MS);
    const max = Math.max(0, ...inView.flatMap(({ lines }) => lines ?? []).filter((value) => value !== null));
    const { step, end } = scale(max, this.#options.least);
    // The axis grows at once, so that no curve leaves it, and shrinks in a few frames.
    this.#end = end >= this.#end * 0.99 ? end : this.#end + (end - this.#end) * 0.2;
    const x = (at) => LEFT + ((at - right + WINDOW_MS) / WINDOW_MS) * (width - LEFT - RIGHT);
    const y = (value) => height - BOTTOM - (value / this.#end) * (height - BOTTOM - TOP);
    this.#drawAxes(context, { width, height, step, x: (ms) => x(right + ms), y, colors });
    this.#drawLines(context, shown, { width, height, x, y, colors });
    this.#drawPointer(context, shown, { width, height, x, y, colors, now: right });
    this.#drawn = `${points.length} ${points.at(-1)?.at ?? 0} ${end}`;
  }

  describe(text) {
    this.#canvas.setAttribute('aria-label', `${this.title}: ${text}`);
  }

  #prepare() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== wide || this.#canvas.height !== high) [this.#canvas.width, this.#canvas.height] = [wide, high];
    const context = this.#canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return { width, height, context };
  }

  #drawAxes(context, { width, height, step, x, y, colors }) {
    context.font = colors.font;
    context.lineWidth = 1;
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (let value = 0; value <= this.#end * 1.0001; value += step) {
      const at = Math.round(y(value)) + 0.5;
      context.strokeStyle = value === 0 ? colors.axis : colors.grid;
      line(context, [[LEFT, at], [width - RIGHT, at]]);
      context.fillStyle = colors.label;
      context.fillText(this.#options.format(value), LEFT - 8, at);
    }
    context.textBaseline = 'alphabetic';
    for (const [ms, name] of TICKS) {
      const at = Math.round(x(ms)) + 0.5;
      context.strokeStyle = colors.axis;
      line(context, [[at, height - BOTTOM], [at, height - BOTTOM + 4]]);
      context.textAlign = ms === 0 ? 'right' : ms === -WINDOW_MS ? 'left' : 'center';
      context.fillText(name, ms === 0 ? width - RIGHT : at, height - 5);
    }
  }

  #drawLines(context, shown, { width, height, x, y, colors }) {
    const count = Math.max(0, ...shown.map(({ lines }) => lines?.length ?? 0));
    context.save();
    context.beginPath();
    context.rect(LEFT, 0, width - LEFT - RIGHT + 1, height);
    context.clip();
    context.lineJoin = 'round';
    for (let index = count - 1; index >= 0; index--) {
      for (const run of runs(shown, index)) {
        const path = run.map(({ at, value }) => [x(at), y(value)]);
        if (count === 1) fill(context, path, height - BOTTOM, colors.soft);
        context.strokeStyle = colors.line(index, count);
        context.lineWidth = index === 0 ? 2 : 1.5;
        line(context, path);
      }
    }
    context.restore();
  }

  /** The values at the time under the pointer. */
  #drawPointer(context, shown, { width, height, x, y, colors, now }) {
    const points = shown.filter(({ lines }) => lines);
    const isInside = this.#pointer !== null && this.#pointer >= LEFT && this.#pointer <= width - RIGHT && points.length > 0;
    this.#tip.hidden = !isInside;
    if (!isInside) return;
    const point = points.reduce((best, one) => (Math.abs(x(one.at) - this.#pointer) < Math.abs(x(best.at) - this.#pointer) ? one : best));
    const at = Math.round(x(point.at)) + 0.5;
    context.strokeStyle = colors.axis;
    line(context, [[at, TOP], [at, height - BOTTOM]]);
    point.lines.forEach((value, index) => {
      if (value === null) return;
      context.fillStyle = colors.line(index, point.lines.length);
      context.beginPath();
      context.arc(at, y(value), 3.5, 0, 2 * Math.PI);
      context.fill();
    });
    const names = this.#options.names(point.lines.length);
    const texts = point.lines.slice(0, 8).map((value, index) => `${names[index] ? `${names[index]} ` : ''}${value === null ? '\u2013' : this.#options.format(value)}`);
    const seconds = Math.round((now - point.at) / 1000);
    this.#tip.replaceChildren(h('b', {}, seconds <= 1 ? 'now' : `${seconds} s ago, ${clockTime(Date.now() - (now - point.at))}`), ...texts.map((text) => h('span', {}, text)));
    this.#tip.style.left = `${Math.min(Math.max(at, LEFT + 60), width - 70)}px`;
  }
}

/** Stretches of one curve without a break. */
function runs(shown, index) {
  const found = [[]];
  for (const { at, lines } of shown) {
    const value = lines?.[index] ?? null;
    if (value === null) found.push([]);
    else found.at(-1).push({ at, value });
  }
  return found.filter((run) => run.length > 1);
}

function line(context, path) {
  context.beginPath();
  path.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

function fill(context, path, bottom, color) {
  context.fillStyle = color;
  context.beginPath();
  context.moveTo(path[0][0], bottom);
  path.forEach(([x, y]) => context.lineTo(x, y));
  context.lineTo(path.at(-1)[0], bottom);
  context.fill();
}
