/** What is asked in a window of its own: a new conversation, and who is in a group. */

import { avatar } from '../avatar.js';
import { h, reconcile } from '../dom.js';
import { icon } from '../icons.js';
import { plural, refusedText } from './words.js';

/** Shows a dialog, and takes it away when it is closed. */
function show(dialog) {
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  // A click beside it.
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.showModal();
  return dialog;
}

function head(title, close) {
  return h(
    'header.dialog-head', {},
    h('h2', {}, title),
    h('button.round', { type: 'button', 'aria-label': 'Close', onclick: close }, icon('close')),
  );
}

function field(label, input, hint) {
  return h('label.field', {}, h('span.field-label', {}, label), input, hint ? h('span.field-hint', {}, hint) : null);
}

const nfc = (input) => input.value.trim().normalize('NFC');

/** A form that says why it was refused, and closes when it was not. */
function form(dialog, fields, submitText, submit) {
  const problem = h('p.problem', { role: 'alert' });
  const button = h('button.primary', { type: 'submit' }, submitText);
  return h(
    'form.dialog-form', {
      onsubmit: async (event) => {
        event.preventDefault();
        problem.textContent = '';
        button.disabled = true;
        try {
          await submit();
          dialog.close();
        } catch (error) {
          problem.textContent = refusedText(error);
        } finally {
          button.disabled = false;
        }
      },
    },
    ...fields, problem, button,
  );
}

/** A new conversation: with somebody, a group, or one that is there. `open(id)` shows it. */
export function newConversation(model, open) {
  const dialog = h('dialog.dialog', { 'aria-label': 'New conversation' });
  const kinds = [
    ['Message', () => directForm(dialog, open)],
    ['New group', () => groupForm(dialog, model, open)],
    ['Join a group', () => joinForm(dialog, model, open)],
  ];
  const body = h('div.dialog-body');
  const tabs = kinds.map(([name, make], index) =>
    h('button', { type: 'button', role: 'tab', onclick: () => choose(index), onkeydown: (event) => arrows(event, index) }, name),
  );
  function choose(index) {
    tabs.forEach((tab, at) => {
      tab.setAttribute('aria-selected', String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
    });
    body.replaceChildren(kinds[index][1]());
    body.querySelector('input').focus();
  }
  function arrows(event, index) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (index + step + tabs.length) % tabs.length;
    choose(next);
    tabs[next].focus();
  }
  dialog.append(head('New conversation', () => dialog.close()), h('div.segments', { role: 'tablist' }, ...tabs), body);
  show(dialog);
  choose(0);
}

function directForm(dialog, open) {
  const name = h('input', { required: true, autocomplete: 'off', spellcheck: 'false', maxlength: '64', placeholder: 'bob' });
  return form(dialog, [field('Name', name, 'As the other side logs in. Who is not here now finds it later.')], 'Open', () => open(`direct:${nfc(name)}`));
}

function groupForm(dialog, model, open) {
  const title = h('input', { required: true, autocomplete: 'off', maxlength: '200', placeholder: 'The team' });
  const id = h('input', { autocomplete: 'off', spellcheck: 'false', maxlength: '64', placeholder: 'made from the title' });
  const members = h('input', { autocomplete: 'off', spellcheck: 'false', placeholder: 'bob, carol' });
  const isOpen = h('input', { type: 'checkbox' });
  const isWhole = h('input', { type: 'checkbox', checked: true });
  let isIdTyped = false;
  id.addEventListener('input', () => (isIdTyped = id.value !== ''));
  title.addEventListener('input', () => {
    if (!isIdTyped) id.value = slug(title.value);
  });
  const fields = [
    field('Title', title),
    field('Short name', id, 'Others join by it. It never changes.'),
    field('Members', members, 'Separated by commas; more can be added later.'),
    h('label.check', {}, isOpen, h('span', {}, 'Anyone may join')),
    h('label.check', {}, isWhole, h('span', {}, 'New members see what was written before')),
  ];
  return form(dialog, fields, 'Create', async () => {
    const group = await model.createGroup({
      id: nfc(id) || undefined,
      title: title.value.trim(),
      open: isOpen.checked,
      whole_history: isWhole.checked,
      members: names(members.value),
    });
    open(group.id);
  });
}

function joinForm(dialog, model, open) {
  const id = h('input', { required: true, autocomplete: 'off', spellcheck: 'false', maxlength: '64', placeholder: 'team' });
  return form(dialog, [field('Short name of the group', id, 'It must be open; of others you are made a member.')], 'Join', async () => {
    open((await model.joinGroup(nfc(id))).id);
  });
}

/** Names that were written one after the other. */
export function names(text) {
  return [...new Set(text.split(',').map((name) => name.trim().normalize('NFC')).filter(Boolean))];
}

/** A short name from a title: "The Team!" -> "the-team". */
export function slug(title) {
  return title.normalize('NFC').toLocaleLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/gu, '').slice(0, 32);
}

/** Who is in a group, what it is called for others, adding and leaving. */
export function groupDetails(model, conversation) {
  const dialog = h('dialog.dialog', { 'aria-label': `${conversation.title}: members` });
  const list = h('ul.members');
  const count = h('h3');
  const render = () => {
    const members = [...(conversation.members ?? [])];
    count.textContent = plural(members.length, 'member');
    reconcile(list, members.map(([user, { role }]) => memberRow(user, role, model)));
  };
  const mayAdd = ['owner', 'admin'].includes(conversation.role);
  dialog.append(
    head(conversation.title, () => dialog.close()),
    h(
      'div.dialog-body', {},
      h('p.group-id', {}, 'Short name ', h('code', {}, conversation.name)),
      count, list,
      mayAdd ? addForm(model, conversation, render) : null,
      leaveButton(model, conversation, dialog),
    ),
  );
  render();
  model.onChange(() => dialog.isConnected && render());
  show(dialog);
}

function memberRow(user, role, model) {
  const isMe = user === model.me;
  const online = isMe ? true : model.isOnline(user);
  const make = () =>
    h('li', {}, avatar(user, { online }), h('span.member-name', {}, isMe ? `${user} (you)` : user), role === 'member' ? null : h('span.role', {}, role));
  return { key: user, signature: [role, online].join('\u0000'), make };
}

function addForm(model, conversation, render) {
  const user = h('input', { required: true, 'aria-label': 'Name of a new member', placeholder: 'Add someone by name', autocomplete: 'off', spellcheck: 'false', maxlength: '64' });
  const problem = h('p.problem', { role: 'alert' });
  return h(
    'form.add', {
      onsubmit: async (event) => {
        event.preventDefault();
        problem.textContent = '';
        try {
          await model.addMember(conversation, nfc(user));
          user.value = '';
          render();
        } catch (error) {
          problem.textContent = refusedText(error);
        }
      },
    },
    h('div.add-row', {}, user, h('button.secondary', { type: 'submit' }, 'Add')),
    problem,
  );
}

/** Asked twice: a click in the wrong place should not cost a group. */
function leaveButton(model, conversation, dialog) {
  const problem = h('p.problem', { role: 'alert' });
  let isAsked = false;
  const button = h(
    'button.danger', {
      type: 'button',
      onclick: async () => {
        if (!isAsked) {
          isAsked = true;
          button.lastChild.textContent = 'Really leave?';
          return;
        }
        try {
          await model.leaveGroup(conversation);
          dialog.close();
        } catch (error) {
          problem.textContent = refusedText(error);
        }
      },
    },
    icon('leave', 18), h('span', {}, 'Leave the group'),
  );
  return h('div.leave', {}, button, problem);
}
