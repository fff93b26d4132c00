/**
 * The chat as data: conversations, who is there, how the connection is. It asks the client, hears its events, and tells by `changed`
 * that something is other than before. No element.
 */

import { Conversation, RECEIPT_MEMBERS_MAX } from './conversation.js';
import { Status } from './status.js';

/** Messages of one page of history. */
const PAGE_MESSAGES = 50;
/** Receipts are gathered this long, so that a stream of messages is one receipt and not many. */
const RECEIPTS_MS = 250;
/** Typing is told this often at most. */
const TYPING_EVERY_MS = 3_000;
/** Users in one request about presence, and users of whom it is watched at all. */
const WATCH_CHUNK = 100;
const WATCH_MAX = 500;
/** Conversations whose newest message is asked for, for the list. */
const PREVIEWS_MAX = 300;
/** How long "connected again" is shown. */
const AGAIN_MS = 5_000;

export class Model {
  #client;
  #listeners = [];
  #timers = new Set();
  /** conversation -> {delivered, read}: cursors that are to be told. */
  #receipts = new Map();
  #receiptsTimer = null;
  #watched = new Set();
  #typingToldMs = 0;
  #isStopped = false;

  /** `isSeen()`: whether somebody looks at the page. */
  constructor(client, { isSeen = () => true } = {}) {
    this.#client = client;
    this.isSeen = isSeen;
    this.me = '';
    this.conversations = new Map();
    this.presence = new Map();
    /** The conversation that is open, and whether its end is in view. */
    this.current = null;
    this.isAtEnd = true;
    this.hasList = false;
    this.status = new Status();
    this.ended = null;
    for (const { conversation, client_id, body, queued_ms } of client.unsent()) {
      this.conversation(conversation).queue(client_id, body ?? '', queued_ms);
    }
    this.#listen();
  }

  /** Calls `listener` whenever something has changed. */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  #changed() {
    if (!this.#isStopped) for (const listener of this.#listeners) listener();
  }

  stop() {
    this.#isStopped = true;
    this.#timers.forEach(clearTimeout);
    this.tellReceipts();
    this.#client.close();
  }

  get bodyBytesMax() {
    return this.#client.welcome?.body_bytes_max ?? Infinity;
  }

  now() {
    return this.#client.now();
  }

  #later(ms, what) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      what();
    }, ms);
    this.#timers.add(timer);
  }

  // ------------------------------------------------------------------------------------------------ the list

  /** A conversation, made when it is not known yet. */
  conversation(id) {
    if (!this.conversations.has(id)) this.conversations.set(id, new Conversation(id));
    return this.conversations.get(id);
  }

  /** For the list: those that have something in them, or are open, the most recent first. */
  get list() {
    const shown = [...this.conversations.values()].filter((c) => !c.isOver && (c.committed > 0 || c.pending.length || c === this.current));
    return shown.sort((a, b) => b.lastMs - a.lastMs || b.committed - a.committed || (a.id < b.id ? -1 : 1));
  }

  get unread() {
    return this.list.reduce((sum, conversation) => sum + conversation.unread, 0);
  }

  /** Whether somebody is there; undefined: not known. */
  isOnline(user) {
    return this.presence.get(user)?.online;
  }

  async #loadList() {
    const infos = [];
    for (let page = { next: 0, has_more: true }; page.has_more; ) {
      page = await this.#client.conversations({ after: page.next });
      infos.push(...(page.items ?? []));
    }
    for (const info of infos) this.conversation(info.conversation).describe(info);
    this.hasList = true;
    this.status.expect(infos);
    this.#checkCaughtUp();
    this.#changed();
    const found = infos.map(({ conversation }) => this.conversation(conversation));
    await this.#watch(found.filter(({ kind }) => kind === 'direct').map(({ name }) => name));
    const unknown = found.filter(({ last, committed }) => !last && committed > 0).slice(-PREVIEWS_MAX);
    await Promise.all(unknown.map((conversation) => this.#loadPreview(conversation)));
  }

  async #loadPreview(conversation) {
    const { messages = [] } = await this.#client.sync(conversation.id, { limit: 1 });
    if (messages.length && !conversation.last) conversation.last = messages.at(-1);
    this.#changed();
  }

  async #watch(users) {
    const others = users.filter((user) => user !== this.me && !this.#watched.has(user)).slice(0, WATCH_MAX - this.#watched.size);
    for (let at = 0; at < others.length; at += WATCH_CHUNK) {
      const chunk = others.slice(at, at + WATCH_CHUNK);
      chunk.forEach((user) => this.#watched.add(user));
      const { users: known = [] } = await this.#client.watch(chunk);
      for (const user of known) this.presence.set(user.user, user);
    }
    this.#changed();
  }

  // ------------------------------------------------------------------------------------- the open conversation

  /** Opens a conversation; one that does not exist yet begins with the first message. */
  open(id) {
    const conversation = this.conversation(id);
    if (this.current === conversation) return conversation;
    this.current = conversation;
    this.isAtEnd = true;
    conversation.newAfter = conversation.unread > 0 ? conversation.readSeq : null;
    this.#quietly(this.#load(conversation));
    this.#changed();
    return conversation;
  }

  leaveOpen() {
    this.current = null;
    this.#changed();
  }

  async #load(conversation) {
    await Promise.all([this.loadOlder(conversation), this.#loadMembers(conversation)]);
    this.noteRead();
  }

  /** What is open has a window, also after its log has begun anew. */
  #keepWindow() {
    const { current } = this;
    if (current && current.start === null && !current.isLoading && !current.isOver && this.status.phase === 'up') this.#quietly(this.#load(current));
  }

  /** The next page before the window, or the first. */
  async loadOlder(conversation) {
    const isFirst = conversation.start === null;
    if (conversation.isLoading || (!isFirst && !conversation.older)) return;
    conversation.isLoading = true;
    this.#changed();
    try {
      const page = await this.#client.sync(conversation.id, { cursor: isFirst ? undefined : conversation.older, limit: PAGE_MESSAGES });
      conversation.addPage(page);
    } catch (error) {
      // Nobody has written here yet, or this user may not know that somebody has.
      if (error.code !== 'unknown_conversation') throw error;
      conversation.addPage({ has_more: false });
    } finally {
      conversation.isLoading = false;
      this.#changed();
    }
  }

  async #loadMembers(conversation) {
    if (conversation.kind !== 'direct' && conversation.kind !== 'group') return;
    const members = [];
    try {
      for (let page = { has_more: true }; page.has_more && members.length <= RECEIPT_MEMBERS_MAX; ) {
        page = await this.#client.members(conversation.id, { after: members.at(-1)?.user });
        members.push(...(page.members ?? []));
      }
    } catch (error) {
      if (error.code !== 'unknown_conversation') throw error;
      return;
    }
    conversation.setMembers(members);
    this.#changed();
    await this.#watch(members.map(({ user }) => user));
  }

  /** Tells that everything in the open conversation is read, if somebody sees its end. */
  noteRead() {
    const { current } = this;
    if (!current || !this.isAtEnd || !this.isSeen() || current.start === null || current.isOver) return;
    const seq = current.newest;
    if (seq > 0 && current.read(seq)) {
      this.#noteReceipt(current, 'read', { epoch: current.epoch, seq });
      this.#changed();
    }
  }

  #noteReceipt(conversation, kind, cursor) {
    if (conversation.kind !== 'direct' && conversation.kind !== 'group') return;
    this.#receipts.set(conversation.id, { ...this.#receipts.get(conversation.id), [kind]: cursor });
    this.#receiptsTimer ??= setTimeout(() => this.tellReceipts(), RECEIPTS_MS);
  }

  /** Tells what has been gathered, now: the page may be about to go. */
  tellReceipts() {
    clearTimeout(this.#receiptsTimer);
    this.#receiptsTimer = null;
    for (const [id, { delivered, read }] of this.#receipts) {
      // One that fails is made good by the next.
      if (delivered) this.#client.receipt(id, 'delivered', delivered).catch(() => {});
      if (read) this.#client.receipt(id, 'read', read).catch(() => {});
    }
    this.#receipts.clear();
  }

  // ------------------------------------------------------------------------------------------- what is done here

  send(conversation, body) {
    const client_id = this.#client.newClientId();
    conversation.queue(client_id, body, this.now());
    this.#publish(conversation, client_id, body);
    // Its own line is the answer to what was new.
    conversation.newAfter = null;
    this.#typingToldMs = 0;
    this.#changed();
  }

  /** A message that was refused goes once more. */
  retry(conversation, { client_id, body }) {
    conversation.queue(client_id, body, this.now());
    this.#publish(conversation, client_id, body);
    this.#changed();
  }

  discard(conversation, { client_id }) {
    this.#client.cancel(client_id);
    conversation.discard(client_id);
    this.#changed();
  }

  /** What becomes of it is told by the events `sent` and `failed`, as for messages that an earlier run left. */
  #publish(conversation, client_id, body) {
    this.#client.publish(conversation.id, body, { client_id }).catch((error) => {
      if (error.code === 'queue_full' || error.code === 'invalid_id') conversation.failed(client_id, error);
      this.#changed();
    });
  }

  async retract(conversation, { seq, epoch }) {
    const ack = await this.#client.retract(conversation.id, { epoch, seq });
    this.#wrote(conversation, ack, { kind: 'retracted', target: seq });
  }

  /** Tells the others that this user types. */
  type(conversation) {
    const now = this.now();
    if (conversation.epoch === null || this.#client.state.phase !== 'up' || now - this.#typingToldMs < TYPING_EVERY_MS) return;
    this.#typingToldMs = now;
    this.#client.ephemeral(conversation.id, 'typing').catch(() => {});
  }

  async createGroup(group) {
    const { conversation: id, ...ack } = await this.#client.groupCreate(group);
    const conversation = this.conversation(id);
    conversation.describe({ title: group.title, role: 'owner', epoch: ack.epoch, committed: ack.seq, unread: 0 });
    this.#wrote(conversation, ack, { kind: 'created', body: group.title });
    return conversation;
  }

  async joinGroup(id) {
    const ack = await this.#client.groupJoin(id);
    const conversation = this.conversation(`group:${id}`);
    conversation.isOver = false;
    this.#wrote(conversation, ack, { kind: 'joined' });
    this.#quietly(this.#loadList());
    return conversation;
  }

  async addMember(conversation, user) {
    const ack = await this.#client.groupAdd(conversation.name, user);
    this.#wrote(conversation, ack, { kind: 'added', subject: user, role: 'member' });
    this.#quietly(this.#watch([user]));
  }

  async leaveGroup(conversation) {
    await this.#client.groupLeave(conversation.name);
    conversation.isOver = true;
    if (this.current === conversation) this.current = null;
    this.#changed();
  }

  /** What this session wrote is told by its ack and does not come by the stream. */
  #wrote(conversation, { epoch, seq, time_ms }, record) {
    conversation.add({ conversation: conversation.id, epoch, seq, time_ms, sender: this.me, ...record });
    this.noteRead();
    this.#changed();
  }

  retryNow() {
    this.#client.retryNow();
  }

  get unsent() {
    return this.#client.unsent().length;
  }

  // ---------------------------------------------------------------------------------------------- what happens

  #listen() {
    const on = (name, take) =>
      this.#client.on(name, (data) => {
        take(data);
        this.#keepWindow();
        this.#changed();
      });
    on('state', (state) => this.status.take(state));
    on('connected', (data) => this.#connected(data));
    on('ended', (error) => (this.ended = error));
    on('message', ({ message, resume }) => this.#received(message, resume));
    on('record', ({ message, resume }) => this.#received(message, resume));
    on('receiving', ({ conversation }) => this.#receiving(conversation));
    on('gap', (gap) => this.#gap(gap));
    on('hole', ({ conversation }) => this.#hole(this.conversation(conversation)));
    on('skip', (skip) => this.conversation(skip.conversation).skip(skip));
    on('acked', () => {});
    on('sent', ({ client_id, conversation, ack }) => this.#sent(client_id, this.conversation(conversation), ack));
    on('failed', ({ client_id, conversation, error }) => this.#failed(client_id, this.conversation(conversation), error));
    on('receipt', (receipt) => this.#receipt(receipt));
    on('presence', (user) => this.presence.set(user.user, user));
    on('ephemeral', (event) => this.#ephemeral(event));
    on('trouble', ({ conversation }) => this.#trouble(conversation));
  }

  #connected({ resumed, welcome }) {
    this.me = welcome.user;
    this.status.connected(resumed);
    for (const conversation of this.conversations.values()) {
      // How far the others have read meanwhile was told to nobody, and what came where this client has no place may not come by the stream.
      if (conversation !== this.current) conversation.members = null;
      if (conversation.start !== null && !this.#client.cursor(conversation.id)) conversation.forgetWindow();
    }
    this.#quietly(this.#loadList());
    if (this.current && this.current.start !== null) this.#quietly(this.#loadMembers(this.current));
  }

  #received(message, resume) {
    const conversation = this.conversation(message.conversation);
    const isUnknown = conversation.epoch === null;
    conversation.add(message);
    this.status.came(message);
    if (this.#putsMeOut(message)) conversation.isOver = true;
    if (conversation !== this.current || this.isAtEnd) conversation.cut();
    this.#noteReceipt(conversation, 'delivered', resume);
    this.noteRead();
    this.#checkCaughtUp();
    if (!isUnknown) return;
    if (conversation.kind === 'group') this.#quietly(this.#loadList());
    if (conversation.kind === 'direct') this.#rewatch(conversation.name);
  }

  /** Before there was something between the two, presence was not told. */
  #rewatch(user) {
    this.#watched.delete(user);
    this.#quietly(this.#watch([user]));
  }

  #receiving(id) {
    const known = this.conversations.get(id);
    if (id.startsWith('group:') && (!known?.groupTitle || known.isOver)) this.#quietly(this.#loadList());
  }

  #putsMeOut({ kind, subject, sender }) {
    return (kind === 'removed' && subject === this.me) || (kind === 'left' && (subject ?? sender) === this.me);
  }

  #gap(gap) {
    const conversation = this.conversation(gap.conversation);
    if (conversation.committed > 0) this.status.hasLost = true;
    conversation.gap(gap);
    this.#checkCaughtUp();
  }

  /** Something is missing that the server did not announce: what it has is read again. */
  #hole(conversation) {
    this.status.hasLost = true;
    conversation.forgetWindow();
  }

  #sent(client_id, conversation, ack) {
    const isFirst = conversation.epoch === null;
    conversation.sent(client_id, ack, this.me);
    conversation.committed = Math.max(conversation.committed, ack.seq);
    this.noteRead();
    this.#checkCaughtUp();
    if (isFirst && conversation.kind === 'direct') this.#rewatch(conversation.name);
    if (isFirst) this.#quietly(this.#loadMembers(conversation));
  }

  #failed(client_id, conversation, error) {
    if (error.code === 'cancelled') conversation.discard(client_id);
    else conversation.failed(client_id, error);
    this.#checkCaughtUp();
  }

  #receipt(receipt) {
    const conversation = this.conversation(receipt.conversation);
    conversation.receipt(receipt);
    if (receipt.user === this.me && receipt.kind === 'read') conversation.read(receipt.seq);
  }

  #ephemeral({ conversation: id, sender, name }) {
    if (name !== 'typing' || sender === this.me) return;
    const conversation = this.conversation(id);
    conversation.heardTyping(sender, this.now());
    this.#later(6_100, () => this.#changed());
  }

  #trouble(id) {
    if (id) this.conversation(id).isOver = true;
  }

  /** After a reconnect: whether everything that had come meanwhile is here, and everything of ours is there. */
  #checkCaughtUp() {
    if (!this.status.isCaughtUp((id) => this.#client.cursor(id), this.unsent)) return;
    this.#changed();
    this.#later(AGAIN_MS, () => {
      this.status.forget();
      this.#changed();
    });
  }

  /** A request of the page's own: who lost its connection asks again when there is one. */
  async #quietly(request) {
    try {
      await request;
    } catch (error) {
      if (!error.code) throw error;
      if (error.code !== 'closed') console.warn(error.code, error.message);
    }
  }
}
