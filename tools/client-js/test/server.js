/** The real server, for tests: the binary that CAMPANILE_BIN names, with addresses and a directory of its own. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const BINARY = process.env.CAMPANILE_BIN;

/** A test may wait so long for what must come; a machine with other things to do is slow, and nothing is said about speed here. */
export const PATIENCE_MS = Number(process.env.PATIENCE ?? 180_000);

export class Server {
  #child = null;
  #options;
  #log = [];

  constructor(dir, options) {
    this.dir = dir;
    this.#options = options;
    this.addresses = { tcp: '127.0.0.1:0', ws: '127.0.0.1:0', ops: '127.0.0.1:0' };
  }

  /** Starts one whose directory goes with the test. */
  static async start(t, options = []) {
    if (!BINARY) throw new Error("CAMPANILE_BIN must name the server's binary, such as ../../target/debug/campanile");
    const server = new Server(await mkdtemp(join(tmpdir(), 'campanile-')), options);
    t.after(async () => {
      await server.kill();
      await rm(server.dir, { recursive: true, force: true });
    });
    await server.start();
    return server;
  }

  get ws() {
    return `ws://${this.addresses.ws}`;
  }

  get ops() {
    return `http://${this.addresses.ops}`;
  }

  /** Starts it; again at the same addresses when it has run before. */
  async start() {
    const addresses = Object.entries(this.addresses).flatMap(([name, address]) => [`--${name}`, address]);
    const child = spawn(BINARY, ['--shards', '2', '--data-dir', this.dir, ...addresses, ...this.#options], {
      env: { CAMPANILE_LOG: 'warn' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    createInterface({ input: child.stderr }).on('line', (line) => this.#log.push(line));
    for await (const line of createInterface({ input: child.stdout })) {
      const [, name, address] = line.match(/^ +(clients|websocket|operators) +\w+:\/\/(\S+)/) ?? [];
      if (name) this.addresses[{ clients: 'tcp', websocket: 'ws', operators: 'ops' }[name]] = address;
      if (name === 'operators') {
        child.stdout.resume();
        return this;
      }
    }
    throw new Error(`the server did not start:\n${this.#log.join('\n')}`);
  }

  /** Ends it at once, as a crash does. */
  async kill() {
    await this.#end('SIGKILL');
  }

  /** Asks it to stop, as an operator does. */
  async stop() {
    await this.#end('SIGTERM');
  }

  async #end(signal) {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }
}

/** Waits until `look()` gives something that is true, looking whenever something may have changed. */
export async function until(look, what = 'what is waited for') {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not come within ${PATIENCE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
