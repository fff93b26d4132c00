/**
 * Client of the Campanile messaging server. Data has the names of the schema (`schema/campanile.fbs`, whose comments are the
 * specification); times are milliseconds, lengths bytes.
 */

/** `direct:bob`, `group:team`, `topic:news`, `broadcast`. */
export type Conversation = `direct:${string}` | `group:${string}` | `topic:${string}` | 'broadcast';

/** Opaque: compared for equality (as text) and handed back, nothing else. */
export type Epoch = number | string;

/** A place in a conversation's log. `seq` 0: nothing yet. */
export interface Cursor {
  epoch: Epoch;
  seq: number;
}

/** What this build does not know comes as its number, here and in the other enums. */
export type Role = 'none' | 'member' | 'admin' | 'owner';
export type RecordKind =
  | 'message' | 'created' | 'title' | 'added' | 'joined' | 'removed' | 'left' | 'role' | 'disbanded' | 'retracted';
export type ReceiptKind = 'delivered' | 'read';
export type Direction = 'forward' | 'backward';
export type SkipReason = 'none' | 'expired' | 'trimmed' | 'filtered' | 'before_joined' | 'members_changed';

/** Codes of the server, in answer to a request. */
export type ErrorCode =
  | 'bad_request' | 'unknown_verb' | 'invalid_id' | 'body_too_large' | 'unknown_conversation' | 'not_permitted' | 'already_exists'
  | 'already_member' | 'not_a_member' | 'last_owner' | 'too_many_subscriptions' | 'too_many_members' | 'too_many_conversations'
  | 'too_many_items' | 'unknown_device' | 'sender_mismatch'
  | 'busy' | 'rate_limited' | 'not_stored' | 'disk_full'
  | 'internal' | 'shutting_down';

/** Why a server ends a connection. */
export type CloseCode =
  | 'shutting_down' | 'slow_consumer' | 'idle_timeout' | 'too_many_connections' | 'connect_rate_limited' | 'overloaded'
  | 'malformed_frame' | 'frame_too_large' | 'connect_expected' | 'already_connected' | 'version_unsupported' | 'login_failed'
  | 'login_timeout' | 'frame_timeout' | 'too_many_sessions' | 'replaced' | 'logged_out';

/** What this library says by itself. */
export type LocalCode =
  | 'bad_options'
  /** The first connection could not be made (and `keepTrying` is off), or an attempt failed. */
  | 'unreachable'
  /** The connection broke. Of a request: before its answer came, and it is not known whether it was done. */
  | 'connection_lost'
  /** Nothing was heard for `idle_timeout_ms`. */
  | 'silent'
  | 'no_welcome'
  /** Too much waits already: `unsentMax`, `unsentBytesMax`. */
  | 'queue_full'
  /** The server's answer is not what the protocol says. */
  | 'wrong_answer'
  /** `Client.cancel` took it back. */
  | 'cancelled'
  /** `Client.close` was called. */
  | 'closed';

/** An answer that is a refusal, or the reason why there is no answer. */
export class CampanileError extends Error {
  constructor(code: string, message?: string, more?: { retryable?: boolean; retry_after_ms?: number });
  /** A code that this build does not know is the server's number, as text. */
  readonly code: ErrorCode | CloseCode | LocalCode | (string & {});
  /** Whether the same may go well later. */
  readonly retryable: boolean;
  /** The server's advice; 0: none. */
  readonly retry_after_ms: number;
}

export interface Welcome {
  session: number | string;
  user: string;
  server_time_ms: number;
  heartbeat_ms: number;
  idle_timeout_ms: number;
  window: number;
  frame_bytes_max: number;
  body_bytes_max: number;
  page_messages_max: number;
  subscriptions_max: number;
  features: number | string;
  server?: string;
  resume_max: number;
  dedupe_ms: number;
}

/** A text body stands in `body`, one of bytes in `body_base64`; `bytesOf` gives the bytes of either. */
export interface Body {
  body?: string;
  body_base64?: string;
}

/** A message of a user, or a change of a group; fields that have their default are absent. */
export interface Message extends Body {
  conversation: Conversation;
  epoch: Epoch;
  seq: number;
  time_ms: number;
  sender: string;
  client_id?: string;
  content_type?: string;
  ttl_ms?: number;
  tag?: string;
  kind?: RecordKind;
  subject?: string;
  role?: Role;
  target?: number;
  is_retracted?: boolean;
}

export interface Ack {
  epoch: Epoch;
  seq: number;
  time_ms: number;
  /** It had been published before; this is the place of the first one. */
  duplicate: boolean;
}

export interface Gap {
  conversation: Conversation;
  epoch: Epoch;
  first: number;
  committed: number;
}

export interface Skip {
  conversation: Conversation;
  epoch: Epoch;
  from: number;
  to: number;
  why: SkipReason;
}

export interface Subscribed {
  conversation: Conversation;
  epoch: Epoch;
  first: number;
  committed: number;
  next: number;
}

export interface Page {
  conversation: Conversation;
  epoch: Epoch;
  first: number;
  committed: number;
  /** Ascending, whatever the direction. */
  messages?: Message[];
  skips?: Skip[];
  gap?: Gap;
  next?: Cursor;
  has_more: boolean;
}

export interface GroupCreated {
  conversation: Conversation;
  epoch: Epoch;
  seq: number;
  time_ms: number;
}

export interface Member {
  user: string;
  role: Role;
  joined: number;
  delivered: number;
  read: number;
}

export interface MembersPage {
  conversation: Conversation;
  members?: Member[];
  has_more: boolean;
}

export interface ConversationInfo {
  conversation: Conversation;
  title?: string;
  role: Role;
  epoch: Epoch;
  first: number;
  committed: number;
  read: number;
  unread: number;
}

export interface ConversationsPage {
  items?: ConversationInfo[];
  /** Give it as `after`. */
  next: number;
  has_more: boolean;
}

export interface UserPresence {
  user: string;
  online: boolean;
  last_seen_ms: number;
}

export interface PresenceAnswer {
  users?: UserPresence[];
  sessions: number;
}

export interface ReceiptEvent {
  conversation: Conversation;
  user: string;
  kind: ReceiptKind;
  epoch: Epoch;
  seq: number;
}

export interface EphemeralEvent extends Body {
  conversation: Conversation;
  sender: string;
  name: string;
}

/** A message without an ack. */
export interface Unsent extends Body {
  conversation: Conversation;
  client_id: string;
  content_type?: string;
  ttl_ms?: number;
  tag?: string;
  queued_ms: number;
  /** Since when the server may know it; null: it has not been sent. */
  uncertain_since_ms: number | null;
}

/** Where the connection is in its life. */
export interface State {
  phase: 'idle' | 'connecting' | 'logging_in' | 'up' | 'waiting' | 'ended';
  /** waiting: when the next attempt begins, by `Client.now`. */
  until_ms?: number;
  /** waiting, ended: why. */
  reason?: CampanileError;
}

/** `resume` is what to keep for the option `resume`: everything up to there has been given to the application, or was written by it. */
export interface Events {
  state: State;
  connected: { resumed: boolean; welcome: Welcome };
  disconnected: { reason: CampanileError; retry_ms: number };
  /** The client does not come back. The last event. */
  ended: CampanileError;
  message: { message: Message; resume: Cursor };
  /** A change of a group, or a message that was taken back (its seq is `target`). */
  record: { message: Message; resume: Cursor };
  /** An ack moved the cursor. */
  acked: { conversation: Conversation; resume: Cursor };
  /** A conversation is received from here on, which it had not been before. */
  receiving: { conversation: Conversation; resume: Cursor };
  /** The log is not the one, or no longer has what, this client had last seen. */
  gap: Gap;
  /** These numbers will not come, and why. */
  skip: Skip;
  /** Numbers are missing and the server did not say so. */
  hole: { conversation: Conversation; expected: Cursor; got: Cursor };
  receipt: ReceiptEvent;
  presence: UserPresence;
  ephemeral: EphemeralEvent;
  ephemeral_dropped: { count: number };
  /** A message has its ack; also one that an earlier run left. */
  sent: { client_id: string; conversation: Conversation; ack: Ack };
  /** A message will not be sent. */
  failed: { client_id: string; conversation: Conversation; error: CampanileError };
  /** Something that the library did on its own was refused. With a conversation: it is not received any more. */
  trouble: { conversation?: Conversation; code: string; message: string };
}

/** Enough of the browser's `WebSocket`; that of the package `ws` has it too. */
export interface WebSocketLike {
  send(data: string): void;
  close(): void;
  addEventListener(name: string, listener: (event: any) => void): void;
}

/** Enough of the browser's `Storage`. */
export interface StorageLike {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface ResumePoint {
  conversation: Conversation;
  /** Absent: the server knows better. */
  cursor?: Cursor | null;
  /** Topics: only messages with one of these tags. */
  tags?: string[];
}

export interface Options {
  /** `ws://HOST:PORT`. */
  url: string;
  /** The identity; the development identity is `dev:<user>`. */
  token: string;
  /** Names this device of the user. A second session of a device replaces the first. */
  device: string;
  /** Where there is none already (Node before 22). */
  WebSocket?: new (url: string, protocols: string[]) => WebSocketLike;
  /** Where this client stands, from an earlier run. Topics named here are subscribed to. */
  resume?: ResumePoint[];
  /** Waits between attempts to connect. Default: 200 ms doubling to 30 s, full jitter. */
  backoff?: { baseMs: number; maxMs: number };
  /** How long connecting and logging in may take. Default: 10 s. */
  connectTimeoutMs?: number;
  /** Go on trying when the first connection cannot be made. Default: false, the first failure ends the client. */
  keepTrying?: boolean;
  /**
   * A message that was under way when the connection broke is sent again this long, as far as the server remembers it; after that
   * it fails with `connection_lost`. Default: 100 s.
   */
  resendWithinMs?: number;
  /** How often a message that was told "later" is sent again. Default: 10. */
  publishRetries?: number;
  /**
   * Messages of one conversation under way at once. Default: 1, which keeps their order whatever happens; with more, those under way
   * can pass one that is told "later".
   */
  pipeline?: number;
  /** Messages that may wait. Default: 1000. */
  unsentMax?: number;
  /** Bytes of all that waits. Default: 1 MiB. */
  unsentBytesMax?: number;
  /** Keeps messages that wait for another run, such as `localStorage`. Default: none. One client at a time. */
  storage?: StorageLike | null;
  storageKey?: string;
}

/**
 * A client. A request waits while there is no connection. It fails when the server refuses it, when the client has ended, or, for
 * those that must not be done twice, when the connection broke before the answer came. All requests reject with `CampanileError`.
 */
export class Client {
  constructor(options: Options);

  /** Connects and logs in. With `keepTrying` it waits until that is done. */
  connect(): Promise<Welcome>;
  /** Ends the connection for good. Requests without an answer fail; messages in a storage stay there. */
  close(): void;
  /** While it waits for the next attempt to connect: tries now. */
  retryNow(): void;
  readonly state: State;
  readonly welcome: Welcome | null;
  /** The time by the clock of `State.until_ms` and `Unsent.queued_ms`, milliseconds since 1970. */
  now(): number;
  /** Calls `listener` at each event of this name; gives a function that ends it. */
  on<Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void): () => void;
  off<Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void): void;
  /** Where this client stands in a conversation; null: nowhere yet. */
  cursor(conversation: Conversation): Cursor | null;

  /** Publishes. A connection that breaks meanwhile makes it wait, not fail, and it is never done twice. */
  publish(
    conversation: Conversation,
    body?: string | Uint8Array | ArrayBuffer,
    options?: { client_id?: string; content_type?: string; ttl_ms?: number; tag?: string },
  ): Promise<Ack>;
  /** A `client_id` for `publish`, for who wants to know it before. */
  newClientId(): string;
  /** Messages that have no ack yet, in order, also those of an earlier run. */
  unsent(): Unsent[];
  /** Takes a message back that waits. False: it is under way, or was sent. */
  cancel(clientId: string): boolean;
  /** Takes back an own message, for everyone who has not read it yet or reads it again. */
  retract(conversation: Conversation, cursor: Cursor): Promise<Ack>;
  /** Receives a topic from now on, or any conversation from a cursor. */
  subscribe(conversation: Conversation, options?: { cursor?: Cursor; tags?: string[] }): Promise<Subscribed>;
  unsubscribe(conversation: Conversation): Promise<unknown>;
  /** One page of history, the newest unless told otherwise. It moves no cursor. */
  sync(conversation: Conversation, options?: { cursor?: Cursor; direction?: Direction; limit?: number }): Promise<Page>;
  /** History page by page. */
  history(
    conversation: Conversation,
    options?: { cursor?: Cursor; direction?: Direction; limit?: number },
  ): AsyncGenerator<Page, void, void>;

  groupCreate(group?: {
    id?: string;
    title?: string;
    /** Anyone may join. */
    open?: boolean;
    /** A new member reads from the beginning. */
    whole_history?: boolean;
    members?: string[];
  }): Promise<GroupCreated>;
  groupTitle(id: string, title: string): Promise<Ack>;
  groupAdd(id: string, user: string, role?: Role): Promise<Ack>;
  groupRemove(id: string, user: string): Promise<Ack>;
  groupJoin(id: string): Promise<Ack>;
  groupLeave(id: string): Promise<Ack>;
  groupSetRole(id: string, user: string, role: Role): Promise<Ack>;
  groupDisband(id: string): Promise<Ack>;
  /** One page of members, in the order of their ids. */
  members(conversation: Conversation, options?: { after?: string; limit?: number }): Promise<MembersPage>;
  /** One page of the user's conversations, in the order in which he came to them. */
  conversations(options?: { after?: number; limit?: number }): Promise<ConversationsPage>;

  /** Says "up to here". It never goes back. */
  receipt(conversation: Conversation, kind: ReceiptKind, cursor: Cursor): Promise<void>;
  /** Whether users are there, and how many sessions receive a conversation. */
  presence(users: string[], conversation?: Conversation): Promise<PresenceAnswer>;
  /** As `presence`, and an event at each change, also after a reconnect. */
  watch(users: string[]): Promise<PresenceAnswer>;
  unwatch(users: string[]): Promise<void>;
  /** Typing and the like: never stored, the first thing to be dropped. */
  ephemeral(conversation: Conversation, name: string, body?: string | Uint8Array | ArrayBuffer): Promise<void>;
  logOutDevice(device: string): Promise<void>;
  /** Asks for a sign of life; gives the server's time. */
  ping(): Promise<number>;
  /** Any request, as the schema has it, with its `type`. */
  ask(request: { type: string; [field: string]: unknown }): Promise<any>;
}

/** The bytes of a body, whichever way it came. */
export function bytesOf(body: Body): Uint8Array;
/** Checks the rules for ids and gives the text back; throws `invalid_id`. */
export function checkId(text: string, what?: string): string;
/** `direct:bob` -> `{kind: 'direct', id: 'bob'}`; throws `invalid_id`. */
export function parseConversation(text: string): { kind: 'direct' | 'group' | 'topic' | 'broadcast'; id: string };
