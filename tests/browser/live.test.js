/** The tab "Live": numbers that move, and the truth when they do not. */

import assert from 'node:assert/strict';
import test from 'node:test';

import WebSocket from 'ws';
import { Client } from '../../tools/client-js/src/index.js';
import { launch, noProblems, Person, Server, until } from './browser.js';

const number = (text) => Number(text.replace(/,/g, '').replace(/\s*k$/, 'e3'));

test('whoever only wants to see how the server does need not log in', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const nobody = await Person.come(browser, server, null);
  await nobody.page.getByText('how the server is doing').click();
  await nobody.page.locator('.live[data-state=live]').waitFor();
  assert.equal(await nobody.page.locator('[data-card=connections] .number').innerText(), '0');
  await nobody.page.click('[data-tab=chat]');
  await nobody.waitFor('#name');
  await nobody.page.goBack();
  await nobody.page.locator('.live[data-state=live]').waitFor();
  noProblems(assert, nobody);
});

test('numbers and curves move with what the server does, stop with it, and go on', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const alice = await Person.come(browser, server, 'alice');
  const { page } = alice;
  await page.click('[data-tab=live]');
  await page.locator('.live[data-state=live]').waitFor();
  const shown = async (card) => number(await page.locator(`[data-card=${card}] .number`).innerText());
  await until(async () => (await shown('connections')) === 1, 'her own connection');
  assert.equal(await shown('messages'), 0);
  assert.equal(await page.locator('.shards tbody tr').count(), 2);

  const others = await Promise.all(['bob', 'carol', 'dave'].map(async (user) => {
    const client = new Client({ url: server.ws, token: `dev:${user}`, device: 'script', WebSocket });
    await client.connect();
    return client;
  }));
  t.after(() => others.forEach((client) => client.close()));
  await until(async () => (await shown('connections')) === 4, 'four connections');

  const ink = () => page.locator('[data-card=messages] canvas').evaluate((canvas) => canvas.toDataURL());
  const before = await ink();
  let isOver = false;
  const talk = (async () => {
    for (let n = 0; !isOver; n++) await Promise.all(others.map((client) => client.publish('direct:alice', `${n}`)));
  })();
  await until(async () => (await shown('messages')) > 10 && (await shown('deliveries')) > 10, 'messages');
  const first = await ink();
  assert.notEqual(first, before, 'the curve moves');
  await until(async () => (await ink()) !== first, 'the curve moves on');
  assert.match(await page.locator('[data-card=messages] canvas').getAttribute('aria-label'), /^Messages: .*\/s/);
  assert.match(await page.locator('[data-card=loop] .number').innerText(), /s$/);
  isOver = true;
  await talk;
  await until(async () => (await shown('messages')) === 0, 'silence');

  // Under the pointer: the values at that time.
  const canvas = page.locator('[data-card=messages] canvas');
  let nudge = 0;
  await until(async () => {
    await canvas.hover({ position: { x: 200 + (nudge++ % 5), y: 60 } });
    return page.locator('[data-card=messages] .tip').isVisible();
  }, 'the values under the pointer');

  others.forEach((client) => client.close());
  await server.kill();
  await page.locator('.live[data-state=stopped]').waitFor();
  assert.match(await page.locator('.live-state').innerText(), /has not answered since/);
  assert.equal(await page.locator('[data-card=messages] .number').innerText(), '\u2013', 'nothing is claimed');
  await server.start();
  await page.locator('.live[data-state=live]').waitFor();
  await until(async () => (await shown('connections')) === 1, 'her connection is back');
  noProblems(assert, alice);
});
