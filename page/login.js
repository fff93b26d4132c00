/** Who are you? With development identities a name is all that is asked. */

import { avatar } from './avatar.js';
import { h } from './dom.js';
import { icon } from './icons.js';

/** `enter(user)` begins; `names`: those who were here before; `problem`: why it ended last time. */
export function loginView({ enter, names, problem }) {
  const input = h('input', {
    id: 'name', required: true, maxlength: '64', autocomplete: 'username', autocapitalize: 'none', spellcheck: 'false', placeholder: 'alice', value: names[0] ?? '',
  });
  const view = h(
    'main.login', {},
    h(
      'div.login-card', {},
      h('span.login-mark', {}, icon('bell', 40)),
      h('h1', {}, 'Campanile'),
      h('p.login-lead', {}, 'Talk on this server, from any number of tabs and devices.'),
      problem ? h('p.problem', { role: 'alert' }, problem) : null,
      h(
        'form', {
          onsubmit: (event) => {
            event.preventDefault();
            const user = input.value.trim().normalize('NFC');
            if (user) enter(user);
          },
        },
        h('label', { for: 'name' }, 'Your name'),
        h('div.login-row', {}, input, h('button.primary', { type: 'submit' }, 'Enter')),
      ),
      names.length > 1
        ? h('div.login-names', { 'aria-label': 'Names used here before' }, ...names.slice(0, 5).map((name) => nameButton(name, enter)))
        : null,
      h('p.login-note', {}, 'Or look at ', h('a', { href: '#/live' }, 'how the server is doing'), '. It knows development identities only: there is no password, and anyone can be anyone.'),
    ),
  );
  queueMicrotask(() => input.select());
  return view;
}

function nameButton(name, enter) {
  return h('button.name', { type: 'button', onclick: () => enter(name) }, avatar(name), name);
}
