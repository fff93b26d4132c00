/** Elements, made from text and never from markup: nothing that somebody wrote is ever parsed. */

/**
 * `h('button.primary', {type: 'button', onclick}, 'Send')`. Properties: `on...` listens, `true` and `false` set and leave out an attribute,
 * the rest are attributes. Children: elements, or anything else as text; null is none.
 */
export function h(selector, properties = {}, ...children) {
  const [tag, ...classes] = selector.split('.');
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(' ');
  for (const [name, value] of Object.entries(properties)) setProperty(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function setProperty(element, name, value) {
  if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
  else if (value === true) element.setAttribute(name, '');
  else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
}

const rows = new WeakMap();

/**
 * Makes the children of `parent` what `items` says: `{key, signature, make}`. A child stays as it is while its signature is the same,
 * so what has the focus, is being read or scrolled is not disturbed by what happens around it.
 */
export function reconcile(parent, items) {
  const before = rows.get(parent) ?? new Map();
  const after = new Map();
  let place = parent.firstChild;
  for (const { key, signature, make } of items) {
    const known = before.get(key);
    const row = known?.signature === signature ? known : { signature, node: make() };
    if (known && known !== row) {
      keepingFocus(known.node, row.node, () => known.node.replaceWith(row.node));
      if (place === known.node) place = row.node;
    }
    after.set(key, row);
    if (row.node === place) place = place.nextSibling;
    else keepingFocus(row.node, row.node, () => parent.insertBefore(row.node, place));
    before.delete(key);
  }
  for (const { node } of before.values()) node.remove();
  rows.set(parent, after);
}

/** What had the focus in `old` has it in `next` after a change that takes it out of the document. */
function keepingFocus(old, next, change) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  change();
  if (!focused) return;
  const same = focused === old ? next : next.querySelector(`[data-focus="${focused.dataset.focus}"]`);
  same?.focus({ preventScroll: true });
}

/** Tells a screen reader. */
export function say(text) {
  const region = document.getElementById('say');
  region.textContent = '';
  requestAnimationFrame(() => (region.textContent = text));
}

/** Calls `render` once before the next paint, however often it is asked for; a little later in a tab that nobody sees, which is not painted. */
export function onceAFrame(render) {
  let asked = null;
  const run = () => {
    cancelAnimationFrame(asked.frame);
    clearTimeout(asked.timer);
    asked = null;
    render();
  };
  return () => {
    asked ??= { frame: requestAnimationFrame(run), timer: setTimeout(run, 100) };
  };
}
