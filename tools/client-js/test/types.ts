/** What the declarations promise, used as an application would: read by the compiler, never run. */

import { bytesOf, CampanileError, Client, parseConversation } from '../index.js';
import type { Ack, Conversation, Events, Options, Page, Unsent } from '../index.js';

const options: Options = { url: 'ws://127.0.0.1:7401', token: 'dev:alice', device: 'laptop', storage: localStorage };
const client = new Client({ ...options, WebSocket, keepTrying: true, resume: [{ conversation: 'topic:news', tags: ['eu'] }] });

export async function talk(to: Conversation): Promise<Page[]> {
  const off: () => void = client.on('message', ({ message, resume }) => {
    const bytes: Uint8Array = bytesOf(message);
    console.log(message.sender, bytes.length, resume.seq, message.kind === 'retracted');
  });
  client.on('state', ({ phase, until_ms }) => phase === 'waiting' && console.log((until_ms ?? 0) - client.now()));
  const { user } = await client.connect();
  const ack: Ack = await client.publish(to, `I am ${user}`, { client_id: client.newClientId() });
  await client.receipt(to, 'read', ack);
  const unsent: Unsent[] = client.unsent();
  const pages: Page[] = [];
  for await (const page of client.history(to, { limit: unsent.length })) pages.push(page);
  off();
  return pages;
}

export function explain(error: unknown): string {
  if (!(error instanceof CampanileError)) return 'a mistake of ours';
  return error.code === 'rate_limited' ? `again in ${error.retry_after_ms} ms` : error.message;
}

// @ts-expect-error: there is no such event
client.on('massage', () => {});
// @ts-expect-error: a conversation has a kind
client.publish('bob', 'hi');
// @ts-expect-error: a receipt is of one of two kinds
client.receipt('direct:bob', 'seen', { epoch: 1, seq: 1 });
// @ts-expect-error: the token is needed
new Client({ url: 'ws://127.0.0.1:7401', device: 'laptop' });

/** What the sources define has all that is declared. */
import * as made from '../src/index.js';
type Made = InstanceType<typeof made.Client>;
type Missing = Exclude<keyof Client, keyof Made> | Exclude<keyof Made, keyof Client>;
const missing: Missing[] = [];
export const names: never[] = missing;
export const kind: 'direct' | 'group' | 'topic' | 'broadcast' = parseConversation('broadcast').kind;
export type Heard = Events['sent'];
