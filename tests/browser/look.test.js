/** History, the keyboard, a phone's width, dark and light. */

import assert from 'node:assert/strict';
import test from 'node:test';

import WebSocket from 'ws';
import { Client } from '../../tools/client-js/src/index.js';
import { launch, noProblems, Person, Server, until } from './browser.js';

/** Somebody without a browser. */
async function script(t, server, user) {
  const client = new Client({ url: server.ws, token: `dev:${user}`, device: 'script', WebSocket, pipeline: 50 });
  t.after(() => client.close());
  await client.connect();
  return client;
}

const numbered = (count) => Array.from({ length: count }, (_, n) => `message ${n}`);

test('history comes when one scrolls up, and what one reads stays where it is', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const bob = await script(t, server, 'bob');
  await Promise.all(numbered(200).map((text) => bob.publish('direct:alice', text)));
  const alice = await Person.come(browser, server, 'alice');
  await alice.row('direct:bob').locator('.badge', { hasText: '200' }).waitFor();
  await alice.row('direct:bob').click();
  await alice.page.locator('.message .text', { hasText: 'message 199' }).waitFor();
  const loaded = await alice.page.locator('.message').count();
  assert.ok(loaded < 200, 'not everything at once');

  const scroll = alice.page.locator('.scroll');
  const place = (text) => scroll.evaluate((element, wanted) => {
    const row = [...element.querySelectorAll('.message')].find((one) => one.querySelector('.text').textContent === wanted);
    return row.getBoundingClientRect().top;
  }, text);
  await scroll.hover();
  while (!(await alice.page.getByText('message 0', { exact: true }).count())) {
    // In one step: where the oldest stands at the very beginning, before older ones have come.
    const [first, before] = await scroll.evaluate((element) => {
      element.scrollTop = 0;
      const row = element.querySelector('.message');
      return [row.querySelector('.text').textContent, row.getBoundingClientRect().top];
    });
    await until(async () => (await alice.texts())[0] !== first, 'an older page');
    assert.ok(Math.abs((await place(first)) - before) <= 2, `${first} stays where it is`);
  }
  assert.deepEqual(await alice.texts(), numbered(200));

  // What comes meanwhile does not tear the reader away, and is told.
  await scroll.evaluate((element) => (element.scrollTop = 0));
  const before = await place('message 3');
  await bob.publish('direct:alice', 'news');
  await alice.page.locator('.jump', { hasText: '1 new message' }).waitFor();
  assert.ok(Math.abs((await place('message 3')) - before) <= 2);
  await alice.page.locator('.jump').click();
  await until(() => scroll.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight < 2), 'the end');
  await alice.row('direct:bob').locator('.badge').waitFor({ state: 'detached' });
  noProblems(assert, alice);
});

test('everything can be done by keyboard', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const [alice, bob] = [await Person.come(browser, server, 'alice'), await script(t, server, 'bob')];
  const { page } = alice;
  const focused = (selector) => until(() => page.evaluate((wanted) => document.activeElement.matches(wanted), selector), `the focus on ${selector}`);
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  // The bar comes first, then the list.
  await page.evaluate(() => document.activeElement.blur());
  await press('Tab');
  await focused('.brand');
  await press('Tab', 'Tab', 'Tab', 'Tab', 'Tab');
  await focused('.find');
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none', 'the focus can be seen');
  await press('Tab');
  await focused('[aria-label="New conversation"]');
  await press('Enter');
  await focused('dialog input');
  await page.keyboard.type('bob');
  await press('Enter');
  await focused('.composer textarea');
  await page.keyboard.type('first line');
  await press('Shift+Enter');
  await page.keyboard.type('second line');
  await press('Enter');
  await alice.waitForTexts(['first line\nsecond line']);
  await page.keyboard.type('a slip');
  await press('Enter');
  await alice.waitForTexts(['first line\nsecond line', 'a slip']);
  await page.locator('.message.own .tick').nth(1).waitFor();
  await until(async () => (await page.locator('.message.pending').count()) === 0, 'the acks');
  await press('ArrowUp');
  await focused('.message.own.last');
  await press('Delete');
  await alice.waitForTexts(['first line\nsecond line', 'Message taken back']);
  await press('ArrowUp');
  await focused('.message.own.first');
  await press('Escape');
  await focused('.composer textarea');

  await bob.publish('direct:alice', 'hello');
  await page.locator('#say', { hasText: 'bob: hello' }).waitFor({ state: 'attached' });
  const carol = await script(t, server, 'carol');
  await carol.publish('direct:alice', 'hello from carol');
  await alice.row('direct:carol').locator('.badge').waitFor();
  await press('Escape');
  await page.locator('.nothing').waitFor();
  await focused('.conversations button');
  await press('Home', 'ArrowDown', 'ArrowUp');
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^carol, .*1 unread message, hello from carol/);
  await press('Enter');
  await alice.waitForTexts(['hello from carol']);
  await focused('.composer textarea');
  noProblems(assert, alice);
});

test('390 pixels: one side at a time, and nothing sticks out', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const bob = await script(t, server, 'bob');
  await bob.publish('direct:alice', `a word that does not end: ${'x'.repeat(300)} https://example.org/${'y'.repeat(200)}`);
  const alice = await Person.come(browser, server, 'alice', { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const { page } = alice;
  const fits = async (what) => {
    const wide = await page.evaluate(() => [...document.querySelectorAll('body *')].filter((element) => {
      const { right, width } = element.getBoundingClientRect();
      return width > 0 && right > innerWidth + 1 && !element.closest('.table-frame, .unseen, .avatar, svg');
    }).map((element) => element.className));
    assert.deepEqual(wide, [], what);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, what);
  };
  await alice.row('direct:bob').waitFor();
  assert.equal(await page.locator('.thread').isVisible(), false);
  await fits('the list');
  await alice.row('direct:bob').click();
  await page.locator('.message').waitFor();
  assert.equal(await page.locator('.list').isVisible(), false);
  await fits('the thread');
  await alice.write('short');
  await alice.waitFor('.message.own .tick');
  await page.locator('.back').click();
  await alice.row('direct:bob').waitFor();
  await page.goBack();
  await page.locator('.message').first().waitFor();
  await page.locator('.back').click();
  await page.click('[aria-label="New conversation"]');
  await page.click('text=New group');
  await fits('a dialog');
  await page.keyboard.press('Escape');
  await page.click('[data-tab=live]');
  await page.locator('.live[data-state=live]').waitFor();
  await fits('the live tab');
  noProblems(assert, alice);
});

test('light and dark: as the system has it, or as was chosen', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const alice = await Person.come(browser, server, 'alice', { colorScheme: 'dark' });
  const lightness = async () => {
    const color = await alice.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    return Math.max(...color.match(/\d+/g).slice(0, 3).map(Number));
  };
  assert.ok((await lightness()) < 60);
  await alice.page.click('[aria-label="Light or dark"]');
  assert.ok((await lightness()) > 200);
  await alice.page.reload();
  await alice.waitFor('.bar');
  assert.ok((await lightness()) > 200, 'it is remembered');
  noProblems(assert, alice);
});
