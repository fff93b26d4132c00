/** A browser with people in it, each with a storage of their own. */

import { chromium } from 'playwright-core';

import { Server, until } from '../../tools/client-js/test/server.js';

export { Server, until };

/** Debian's, unless something else is named. */
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARGUMENTS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** What is waited for comes at once, or when a busy machine gets to it. */
const PATIENCE_MS = Number(process.env.PATIENCE ?? 180_000);
/** What went over the wire last, when something did not come. */
const FRAMES_SHOWN = 40;

export async function launch(t) {
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });
  t?.after(() => browser.close());
  return browser;
}

/**
 * Somebody with a browser of their own: `page` is what they look at. Whatever the page complains about (an error, something that its
 * headers forbid) fails the test, unless it is expected: a server that is away.
 */
export class Person {
  problems = [];

  static async come(browser, server, name, options = {}) {
    const person = new Person();
    person.name = name;
    person.url = `http://localhost:${server.addresses.ops.split(':').at(-1)}/`;
    person.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options });
    person.context.setDefaultTimeout(PATIENCE_MS);
    await person.open();
    return person;
  }

  async open() {
    this.page = await this.context.newPage();
    this.frames = [];
    this.page.on('websocket', (socket) => {
      socket.on('framesent', ({ payload }) => this.frames.push(`-> ${payload}`));
      socket.on('framereceived', ({ payload }) => this.frames.push(`<- ${payload}`));
      socket.on('close', () => this.frames.push('closed'));
    });
    this.page.on('pageerror', (error) => this.problems.push(error.stack));
    this.page.on('console', (message) => {
      const text = message.text();
      if (message.type() === 'error' && !/ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_SOCKET/.test(text)) this.problems.push(text);
    });
    await this.page.goto(this.url);
    if (this.name && (await this.page.locator('#name').isVisible())) await this.logIn(this.name);
  }

  async logIn(name) {
    await this.page.fill('#name', name);
    await this.page.keyboard.press('Enter');
    await this.page.locator('.connection[data-state=ok]').waitFor({ state: 'attached' });
  }

  /** Begins a conversation by the field of the list, or opens the one that is there. */
  async chat(name) {
    await this.page.fill('.find', name);
    await this.page.keyboard.press('Enter');
    await this.page.locator('.composer textarea').waitFor();
  }

  async write(...texts) {
    for (const text of texts) {
      await this.page.fill('.composer textarea', text);
      await this.page.keyboard.press('Enter');
    }
  }

  /** The texts in the open conversation, from top to bottom. */
  async texts() {
    return this.page.locator('.message .text').allInnerTexts();
  }

  async waitForTexts(expected) {
    await until(async () => JSON.stringify(await this.texts()) === JSON.stringify(expected), `the texts ${expected}`).catch(async (error) => {
      const page = await this.page.locator('body').innerText();
      throw new Error(`${error.message}; ${this.name} sees ${JSON.stringify(await this.texts())}\n${page}\n${this.problems.join('\n')}\n${this.frames.slice(-FRAMES_SHOWN).join('\n')}`);
    });
  }

  async waitFor(selector, options) {
    await this.page.locator(selector).first().waitFor(options);
  }

  /** The conversation's place in the list. */
  row(id) {
    return this.page.locator(`.conversations [data-id="${id}"]`);
  }
}

/** Nobody's page had anything to complain about. */
export function noProblems(assert, ...people) {
  for (const { name, problems } of people) assert.deepEqual(problems, [], `${name}'s page`);
}
