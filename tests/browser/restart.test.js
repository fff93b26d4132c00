/** The server goes away and comes back; nothing is lost and nothing comes twice. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { launch, noProblems, Person, Server } from './browser.js';

test('both are there while the server is killed and starts again', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => Person.come(browser, server, name)));
  await alice.chat('bob');
  await alice.write('before');
  await bob.row('direct:alice').click();
  await bob.waitForTexts(['before']);

  await server.kill();
  for (const person of [alice, bob]) await person.page.locator('.banner', { hasText: /Reconnecting/ }).waitFor();
  await alice.page.locator('.banner strong', { hasText: /Reconnecting in \d+ s/ }).waitFor();
  await alice.write('while it is down', 'and another');
  await bob.write('I wait too');
  await alice.waitForTexts(['before', 'while it is down', 'and another']);
  assert.equal(await alice.page.locator('.message.pending').count(), 2);
  await alice.page.locator('.banner', { hasText: '2 messages of yours wait' }).waitFor();

  await server.start();
  await alice.page.getByText('Try now').click({ timeout: 2_000 }).catch(() => {});
  for (const person of [alice, bob]) await person.page.locator('.banner', { hasText: 'Connected again. Nothing was lost' }).waitFor();
  await alice.page.locator('.message.pending').first().waitFor({ state: 'detached' });
  await bob.page.locator('.message.pending').first().waitFor({ state: 'detached' });
  // Both see one order, with everything in it once.
  await bob.page.locator('.message .text', { hasText: 'and another' }).waitFor();
  await alice.page.locator('.message .text', { hasText: 'I wait too' }).waitFor();
  const order = await alice.texts();
  assert.deepEqual([...order].sort(), ['I wait too', 'and another', 'before', 'while it is down']);
  assert.ok(order.indexOf('while it is down') < order.indexOf('and another'));
  await bob.waitForTexts(order);
  // And so it stands in the server's log.
  await bob.page.reload();
  await bob.waitForTexts(order);
  await alice.page.locator('.banner').waitFor({ state: 'detached' });
  noProblems(assert, alice, bob);
});

test('one goes away, the server restarts, and whoever comes back has everything once', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => Person.come(browser, server, name)));
  await alice.chat('bob');
  await alice.write('1');
  await bob.row('direct:alice').click();
  await bob.waitForTexts(['1']);
  // He goes at once, and what he has read is known all the same.
  await bob.page.goto('about:blank');
  await alice.waitFor('.message.own .tick[data-stage=read]');
  await bob.page.close();

  await alice.write('2', '3');
  await alice.page.locator('.message.own .tick[data-stage=sent]').nth(1).waitFor();
  await server.stop();
  await alice.page.locator('.banner', { hasText: 'The server is restarting' }).waitFor();
  await alice.write('4');
  await server.start();
  await alice.page.locator('.message.pending').waitFor({ state: 'detached' });

  // A new tab asks who he is; his browser remembers the name.
  bob.name = null;
  await bob.open();
  assert.equal(await bob.page.inputValue('#name'), 'bob');
  await bob.logIn('bob');
  await bob.row('direct:alice').locator('.badge', { hasText: '3' }).waitFor();
  await bob.row('direct:alice').click();
  await bob.waitForTexts(['1', '2', '3', '4']);
  await bob.waitFor('.new');
  await bob.write('5');
  for (const person of [alice, bob]) await person.waitForTexts(['1', '2', '3', '4', '5']);
  noProblems(assert, alice, bob);
});

test('what was written without a server outlives the page', async (t) => {
  const [server, browser] = [await Server.start(t), await launch(t)];
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => Person.come(browser, server, name)));
  await alice.chat('bob');
  await alice.write('before');
  await alice.waitFor('.message.own .tick[data-stage=delivered]');
  await server.kill();
  await alice.waitFor('.banner[data-kind=off]');
  await alice.write('kept by the browser');
  await alice.waitFor('.message.pending');
  await server.start();
  // Whether it went out before the reload or after it, it is there once.
  await alice.page.reload();
  await alice.waitForTexts(['before', 'kept by the browser']);
  await alice.page.locator('.message.pending').waitFor({ state: 'detached' });
  await bob.row('direct:alice').click();
  await bob.waitForTexts(['before', 'kept by the browser']);
  noProblems(assert, alice, bob);
});
