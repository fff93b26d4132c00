/** People who talk, each in a browser of their own. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { launch, noProblems, Person, Server, until } from './browser.js';

test('two people chat: unread counts, ticks, typing, presence', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const alice = await Person.come(browser, server, 'alice');
  await alice.waitFor('.empty-title');
  await alice.chat('bob');
  await alice.write('Shall we?', 'At eight?');
  await alice.waitForTexts(['Shall we?', 'At eight?']);
  await alice.page.locator('.message.own .tick[data-stage=sent]').nth(1).waitFor();

  const bob = await Person.come(browser, server, 'bob');
  await bob.row('direct:alice').locator('.badge').waitFor();
  assert.equal(await bob.row('direct:alice').locator('.badge').innerText(), '2');
  assert.equal(await bob.row('direct:alice').locator('.conversation-line').innerText(), 'At eight?');
  await until(async () => (await bob.page.title()) === '(2) Campanile', 'the title');
  await alice.waitFor('.message.last .tick[data-stage=delivered]');
  await alice.waitFor('.thread-head .dot');
  assert.equal(await alice.page.locator('.thread-title p').innerText(), 'online');

  await bob.row('direct:alice').click();
  await bob.waitForTexts(['Shall we?', 'At eight?']);
  await bob.row('direct:alice').locator('.badge').waitFor({ state: 'detached' });
  await until(async () => (await bob.page.title()) === 'Campanile', 'the title');
  await alice.page.locator('.message .tick[data-stage=read]').nth(1).waitFor();

  await bob.page.locator('.composer textarea').pressSequentially('Yes');
  await alice.page.locator('.typing-line', { hasText: 'bob is typing' }).waitFor();
  await bob.page.keyboard.press('Enter');
  await alice.waitForTexts(['Shall we?', 'At eight?', 'Yes']);
  assert.equal(await alice.page.locator('.typing-line').innerText(), '', 'who has written does not type');

  await bob.page.close();
  await alice.page.locator('.thread-title p', { hasText: 'last seen' }).waitFor();
  noProblems(assert, alice, bob);
});

test('a group: made, entered, told, left', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const [alice, bob, carol] = await Promise.all(['alice', 'bob', 'carol'].map((name) => Person.come(browser, server, name)));
  await alice.page.click('[aria-label="New conversation"]');
  await alice.page.click('text=New group');
  await alice.page.fill('.field:has-text("Title") input', 'The team');
  assert.equal(await alice.page.inputValue('.field:has-text("Short name") input'), 'the-team');
  await alice.page.fill('.field:has-text("Members") input', 'bob');
  await alice.page.check('text=Anyone may join');
  await alice.page.click('text=Create');
  await alice.page.locator('.thread-title h2', { hasText: 'The team' }).waitFor();
  await alice.write('Welcome');

  await bob.row('group:the-team').click();
  await bob.waitForTexts(['Welcome']);
  assert.match((await bob.page.locator('.system').allInnerTexts()).join(' '), /alice created the group.*alice added you/);

  await carol.page.click('[aria-label="New conversation"]');
  await carol.page.click('text=Join a group');
  await carol.page.fill('.dialog input', 'no-such-group');
  await carol.page.click('.dialog .primary');
  await carol.page.locator('.dialog .problem', { hasText: 'no such group' }).waitFor();
  await carol.page.fill('.dialog input', 'the-team');
  await carol.page.click('.dialog .primary');
  await carol.waitForTexts(['Welcome']);
  await alice.page.locator('.system', { hasText: 'carol joined' }).waitFor();
  await alice.page.locator('.thread-title p', { hasText: '3 members' }).waitFor();
  await carol.write('Hello all');
  for (const person of [alice, bob]) await person.waitForTexts(['Welcome', 'Hello all']);
  // Both others have read it.
  await carol.waitFor('.message.own .tick[data-stage=read]');

  await alice.page.click('[aria-label="Members and settings"]');
  await alice.page.fill('.add input', 'dave');
  await alice.page.click('.add button');
  await alice.page.locator('.members li', { hasText: 'dave' }).waitFor();
  await alice.page.fill('.add input', 'bob');
  await alice.page.click('.add button');
  await alice.page.locator('.add .problem', { hasText: 'Already in the group' }).waitFor();
  await alice.page.keyboard.press('Escape');
  await bob.page.locator('.system', { hasText: 'alice added dave' }).waitFor();

  await carol.page.click('[aria-label="Members and settings"]');
  await carol.page.click('text=Leave the group');
  await carol.page.click('text=Really leave?');
  await carol.waitFor('.nothing .empty-title');
  assert.equal(await carol.row('group:the-team').count(), 0);
  await alice.page.locator('.system', { hasText: 'carol left' }).waitFor();
  noProblems(assert, alice, bob, carol);
});

test('a message is taken back for everyone', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => Person.come(browser, server, name)));
  await alice.chat('bob');
  await alice.write('a slip', 'meant');
  await bob.row('direct:alice').click();
  await bob.waitForTexts(['a slip', 'meant']);
  await alice.page.locator('.message.own .tick[data-stage=read]').nth(1).waitFor();
  await alice.page.locator('.message', { hasText: 'a slip' }).hover();
  await alice.page.locator('.message', { hasText: 'a slip' }).locator('.take-back').click();
  for (const person of [alice, bob]) await person.waitForTexts(['Message taken back', 'meant']);
  await bob.page.reload();
  await bob.waitForTexts(['Message taken back', 'meant']);
  noProblems(assert, alice, bob);
});

test('what people write is text, whatever it looks like', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const mark = '<img src=x onerror="window.broken=1">';
  const [alice, bob] = [await Person.come(browser, server, mark), await Person.come(browser, server, 'bob')];
  const texts = [
    '<script>window.broken=1</script>', '<b>bold</b> &amp; "quoted"', 'javascript:window.broken=1 http://example.org/a?b=<c>(d). x',
    '\u202eright to left\u202c \u{1f514}',
  ];
  await alice.chat('bob');
  await alice.write(...texts);
  await bob.row(`direct:${mark.replaceAll('"', '\\"')}`).click();
  for (const person of [alice, bob]) {
    await person.waitForTexts(texts);
    assert.equal(await person.page.evaluate(() => window.broken), undefined);
    assert.equal(await person.page.locator('.message b, .message img, .conversations img').count(), 0);
    const links = await person.page.locator('.message a').evaluateAll((anchors) => anchors.map(({ href, rel, target }) => [href, rel, target]));
    assert.deepEqual(links, [['http://example.org/a?b=', 'noopener noreferrer nofollow', '_blank']]);
  }
  assert.equal(await bob.page.locator('.thread-title h2').innerText(), mark);
  // The headers hold even if the page had a mistake: markup from text is refused.
  const refused = await bob.page.evaluate(() => {
    try {
      document.createElement('div').innerHTML = '<i>x</i>';
      return false;
    } catch (error) {
      return error instanceof TypeError;
    }
  });
  assert.equal(refused, true);
  noProblems(assert, alice);
});

test('one device is connected once, and says so', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const alice = await Person.come(browser, server, 'alice');
  const first = alice.page;
  await alice.open();
  await first.getByText('Open in another tab').waitFor();
  await alice.chat('bob');
  await alice.write('from the second tab');
  await first.getByText('Use it here').click();
  await first.locator('.connection[data-state=ok]').waitFor({ state: 'attached' });
  await alice.page.getByText('Open in another tab').waitFor();
  await first.locator('[data-id="direct:bob"]').click();
  await first.locator('.message .text', { hasText: 'from the second tab' }).waitFor();
  noProblems(assert, alice);
});
