/** The page: who is logged in, which tab is shown, how it looks. Everything else is made below. */

import { avatar } from './avatar.js';
import { Model } from './chat/model.js';
import { Chat } from './chat/view.js';
import { closedText } from './chat/words.js';
import { Client } from './client/index.js';
import { h } from './dom.js';
import { icon } from './icons.js';
import { Live } from './live/view.js';
import { loginView } from './login.js';
import { browserDevice, forgetUser, rememberUser, toggleTheme, userOfTab, usersBefore } from './memory.js';

const app = document.getElementById('app');
const live = new Live();

/** What is shown after login; null before. */
let session = null;

/** Waits between attempts to connect: a person looks at them being counted down. */
const BACKOFF = { baseMs: 500, maxMs: 15_000 };

async function enter(user) {
  const config = await readConfig();
  if (!config?.ws) return showLogin(config ? 'This server takes no WebSocket connections; start it with --ws.' : 'The server does not answer.');
  rememberUser(user);
  const url = location.protocol === 'https:' ? config.ws.replace(/^ws:/, 'wss:') : config.ws;
  const client = new Client({ url, token: `dev:${user}`, device: browserDevice(), keepTrying: true, backoff: BACKOFF, storage: storage() });
  const model = new Model(client, { isSeen: () => document.visibilityState === 'visible' && document.hasFocus() });
  const chat = new Chat(model, { go, unread: showUnread });
  model.onChange(() => model.ended && queueMicrotask(() => over(model)));
  session = { user, model, chat };
  showShell();
  // It ends by the event `ended`, which the model tells.
  client.connect().catch(() => {});
}

async function readConfig() {
  try {
    return await (await fetch('/config.json')).json();
  } catch {
    return null;
  }
}

function storage() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

/** The connection has ended for good. */
function over(model) {
  if (session?.model !== model) return;
  const { code, message } = model.ended;
  const { user } = session;
  leave();
  if (code === 'replaced') return showElsewhere(user);
  const texts = { closed: '', login_failed: `The server does not let \u201c${user}\u201d in: ${message}`, logged_out: 'You were logged out from another device.' };
  showLogin(texts[code] ?? (closedText(model.ended) || code));
}

function leave() {
  session?.chat.banner.stop();
  session?.model.stop();
  session = null;
  document.title = 'Campanile';
}

function logOut() {
  forgetUser();
  leave();
  history.replaceState(null, '', '#/');
  showLogin('');
}

// -------------------------------------------------------------------------------------------------------- what is shown

function showLogin(problem) {
  live.hide();
  app.replaceChildren(loginView({ enter, names: usersBefore(), problem }));
}

/** A device is connected once: this tab was replaced by another. */
function showElsewhere(user) {
  live.hide();
  const again = h('button.primary', { type: 'button', onclick: () => enter(user) }, 'Use it here');
  app.replaceChildren(
    h(
      'main.login', {},
      h(
        'div.login-card', {},
        h('span.login-mark', {}, icon('bell', 40)),
        h('h1', {}, 'Open in another tab'),
        h('p.login-lead', {}, `${user} is connected from another tab of this browser, which goes on there.`),
        h('div.login-row.center', {}, again, h('button.secondary', { type: 'button', onclick: logOut }, 'Log in as someone else')),
      ),
    ),
  );
  again.focus();
}

/** The bar, and what is below it; before login only the tab "Live". */
function showShell() {
  const tab = (name, text, glyph) => h('a', { href: `#/${name}`, 'data-tab': name }, icon(glyph, 18), h('span', {}, text));
  app.replaceChildren(
    h(
      'header.bar', {},
      h('a.brand', { href: '#/chat', 'aria-label': 'Campanile' }, icon('bell', 24), h('span', {}, 'Campanile')),
      h('nav.tabs', { 'aria-label': 'Tabs' }, tab('chat', 'Chat', 'chat'), tab('live', 'Live', 'chart')),
      h('span.space'),
      session?.chat.banner.dot,
      h('button.round', { type: 'button', 'aria-label': 'Light or dark', title: 'Light or dark', onclick: toggleTheme }, h('span.when-light', {}, icon('moon')), h('span.when-dark', {}, icon('sun'))),
      session ? h('span.me', { title: `Logged in as ${session.user}` }, avatar(session.user), h('span.me-name', {}, session.user)) : null,
      session ? h('button.round', { type: 'button', 'aria-label': 'Log out', title: 'Log out', onclick: logOut }, icon('leave')) : null,
    ),
    ...(session ? [session.chat.banner.element, session.chat.element] : []),
    live.element,
  );
  route();
}

/** The address says what is shown: #/chat, #/chat/direct:bob, #/live */
function route() {
  const [, tab = 'chat', id] = location.hash.match(/^#\/(\w*)\/?(.*)$/u) ?? [];
  const isLive = tab === 'live';
  if (!session && !isLive) return showLogin('');
  if (!app.querySelector('.bar')) return showShell();
  for (const link of app.querySelectorAll('[data-tab]')) {
    if ((link.dataset.tab === 'live') === isLive) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (session) session.chat.element.hidden = isLive;
  if (isLive) live.show();
  else {
    live.hide();
    session.chat.show(id ? decode(id) : null);
  }
  app.dataset.view = isLive ? 'live' : id ? 'thread' : 'list';
}

function decode(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return null;
  }
}

/** To a conversation, or to none. */
function go(id) {
  const hash = id ? `#/chat/${encodeURIComponent(id)}` : '#/chat';
  if (location.hash === hash) route();
  else location.hash = hash;
}

function showUnread(count) {
  document.title = count ? `(${count > 99 ? '99+' : count}) Campanile` : 'Campanile';
}

addEventListener('hashchange', route);
for (const event of ['focus', 'visibilitychange']) {
  addEventListener(event, () => {
    if (document.visibilityState !== 'visible') return;
    session?.chat.seen();
    session?.model.retryNow();
  }, true);
}
// The last moment at which the browser still sends what is said.
addEventListener('pagehide', () => session?.model.tellReceipts());
addEventListener('online', () => session?.model.retryNow());

const user = userOfTab();
if (user) enter(user);
else route();
