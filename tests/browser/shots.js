/**
 * Pictures of the page, for the README and for whoever works on it: a server with some people on it, at 1280 and 390 pixels, light and
 * dark. Run as `CAMPANILE_BIN=../../target/release/campanile node shots.js`; writes page/screenshots.
 */

import { fileURLToPath } from 'node:url';

import WebSocket from 'ws';
import { Client } from '../../tools/client-js/src/index.js';
import { launch, Person, Server, until } from './browser.js';

const INTO = fileURLToPath(new URL('../../page/screenshots/', import.meta.url));
const WIDTHS = { 1280: { viewport: { width: 1280, height: 800 } }, 390: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } };
const SCHEMES = ['light', 'dark'];
/** How long there is something to see on the tab "Live" before its picture is taken. */
const LIVE_MS = Number(process.env.LIVE_MS ?? 125_000);

const ends = [];
const server = await Server.start({ after: (end) => ends.push(end) });
const browser = await launch({ after: (end) => ends.push(end) });

async function client(user) {
  const made = new Client({ url: server.ws, token: `dev:${user}`, device: 'script', WebSocket, pipeline: 8 });
  made.on('message', ({ message, resume }) => made.receipt(message.conversation, message.sender === 'alice' ? 'read' : 'delivered', resume).catch(() => {}));
  await made.connect();
  return made;
}

const team = 'group:tower';
const said = [
  ['carol', 'Good morning. The beam sensors are back since six.'],
  ['dmitri', 'Saw it. North-east corner moved 0.3 mm in the storm, everything else is quiet.'],
  ['alice', '0.3 is less than last year. Let us look at it again after the next frost.'],
  ['carol', 'The new clapper arrives tomorrow. Can somebody be at the gate at eight?'],
  ['bob', 'I can. Do we need the crane, or is the old pulley enough for 90 kg?'],
  ['carol', 'The pulley holds 250. I checked the certificate: https://example.org/pulley.pdf'],
  ['carol', 'But bring gloves.'],
  ['alice', 'Great. I will open the north door and switch off the automatic ringing, otherwise it gets loud up there.'],
];

async function fill() {
  const names = ['alice', 'bob', 'carol', 'dmitri', 'zo\u00eb'];
  const people = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await client(name)])));
  await people.alice.groupCreate({ id: 'tower', title: 'Bell tower restoration', open: true, whole_history: true, members: ['bob', 'carol', 'dmitri'] });
  for (const [who, text] of said) await people[who].publish(team, text);
  await people['zo\u00eb'].publish('direct:alice', 'Bonjour \u{1f44b}');
  await people.dmitri.publish('direct:alice', 'The scaffold is up.');
  await people.dmitri.publish('direct:alice', 'Photos follow.');
  await people.alice.publish('direct:bob', 'Did you get home well?');
  await people.bob.publish('direct:alice', 'Yes, just before the rain. Thank you for the soup!');
  await people.bob.publish('direct:alice', 'Shall we go through the drawings on Thursday?');
  await people.alice.groupCreate({ id: 'ringers', title: 'Ringers on Sunday', members: ['carol', 'zo\u00eb'] });
  await people.carol.publish('group:ringers', 'Five bells at ten, the big one only for noon.');
  people.dmitri.close();
  people['zo\u00eb'].close();
  people.alice.close();
  return people;
}

/** Visitors who come and go and talk, so that the curves have a shape. */
async function bustle(isOver) {
  const visitors = [];
  for (let tick = 0; !isOver(); tick++) {
    const wanted = Math.round(30 + 25 * Math.sin(tick / 150));
    if (visitors.length < wanted) {
      const one = await client(`visitor-${tick}`);
      await one.subscribe('topic:square');
      visitors.push(one);
    } else if (visitors.length > wanted) visitors.shift().close();
    const talking = visitors.slice(0, Math.round(6 + 5 * Math.sin(tick / 37)));
    await Promise.all(talking.map((one) => one.publish('topic:square', `tick ${tick}`).catch(() => {})));
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  visitors.forEach((one) => one.close());
}

async function visit(width, scheme) {
  const person = await Person.come(browser, server, null, { ...WIDTHS[width], colorScheme: scheme });
  await person.page.evaluate(() => document.fonts.ready);
  return person;
}

const shoot = ({ page }, name, width, scheme) => page.screenshot({ path: `${INTO}${name}-${width}-${scheme}.png` });

const people = await fill();
for (const width of Object.keys(WIDTHS)) {
  for (const scheme of SCHEMES) {
    const alice = await visit(width, scheme);
    if (scheme === 'light') await shoot(alice, 'login', width, scheme);
    await alice.logIn('alice');
    await alice.row('direct:zo\u00eb').locator('.badge').waitFor();
    await alice.row('group:ringers').locator('.conversation-line', { hasText: 'Five bells' }).waitFor();
    if (width === '390') await shoot(alice, 'list', width, scheme);
    await alice.row(team).locator('button').click();
    await alice.page.locator('.message').last().waitFor();
    await until(async () => {
      await people.bob.ephemeral(team, 'typing');
      return /bob/.test(await alice.page.locator('.typing-line').innerText());
    });
    await shoot(alice, 'chat', width, scheme);
    await alice.context.close();
  }
}

// What is seen while the server is away.
const away = await visit('1280', 'light');
await away.logIn('alice');
await away.row(team).locator('button').click();
await away.page.locator('.message').last().waitFor();
await server.kill();
await away.waitFor('.banner[data-kind=off]');
await away.write('The gate is open, by the way.');
await away.page.locator('.banner strong', { hasText: /in [2-9] s/ }).waitFor();
await shoot(away, 'away', '1280', 'light');
await server.start();
await away.page.locator('.banner', { hasText: 'Nothing was lost' }).waitFor();
await away.page.locator('.message.pending').waitFor({ state: 'detached' });
await shoot(away, 'again', '1280', 'light');
await away.context.close();

let isOver = false;
const life = bustle(() => isOver);
const watchers = [];
for (const width of Object.keys(WIDTHS)) {
  for (const scheme of SCHEMES) {
    const alice = await visit(width, scheme);
    await alice.logIn(`watcher-${width}-${scheme}`);
    await alice.page.click('[data-tab=live]');
    watchers.push([alice, width, scheme]);
  }
}
await new Promise((resolve) => setTimeout(resolve, LIVE_MS));
for (const [alice, width, scheme] of watchers) await shoot(alice, 'live', width, scheme);
isOver = true;
await life;
Object.values(people).forEach((one) => one.close());
for (const end of ends.reverse()) await end();
