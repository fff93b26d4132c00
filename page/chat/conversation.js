/**
 * One conversation as this page knows it: what is in its log, how far others are, what of ours is not there yet. No element and no
 * socket.
 *
 * Of the log it holds a *window*, which reaches from `start` to the newest and has no hole; older pages are put before it. Before the
 * first page has come it only knows the newest that the stream brought.
 */

/** Groups above this size have no receipts (the server's `receipts_group_members_max`). */
export const RECEIPT_MEMBERS_MAX = 100;
/** The window is cut when it has so many messages and nobody reads old ones, and then has so many. */
const WINDOW_MAX = 1_000;
const WINDOW_CUT = 300;
/** How long somebody counts as typing after he was last heard to. */
const TYPING_MS = 6_000;

const sameEpoch = (a, b) => String(a) === String(b);

export class Conversation {
  constructor(id) {
    this.id = id;
    const colon = id.indexOf(':');
    this.kind = colon < 0 ? id : id.slice(0, colon);
    /** The peer, or the id of the group. */
    this.name = colon < 0 ? '' : id.slice(colon + 1);
    this.groupTitle = '';
    this.role = 'none';
    this.epoch = null;
    /** The highest number known, and up to where this user has read. */
    this.committed = 0;
    this.readSeq = 0;
    /** seq -> message */
    this.messages = new Map();
    /** The lowest number of the window; null: no page has come. */
    this.start = null;
    /** Where the next older page begins; null: there is none. */
    this.older = null;
    this.isLoading = false;
    /** The newest of the log, for the list. */
    this.last = null;
    /** user -> {role, delivered, read}; null: not asked yet. */
    this.members = null;
    /** Own messages without an ack: {client_id, body, at_ms, error}. */
    this.pending = [];
    /** user -> until when he counts as typing. */
    this.typing = new Map();
    /** This user is in it no more. */
    this.isOver = false;
    /** Something that had been here is not kept any more. */
    this.hasLost = false;
    /** Up to here it had been read when it was opened: where "New" stands. */
    this.newAfter = null;
    this.draft = '';
  }

  get title() {
    if (this.kind === 'group') return this.groupTitle || this.name;
    return this.kind === 'broadcast' ? 'Everyone' : this.name;
  }

  get unread() {
    return this.isOver ? 0 : Math.max(0, this.committed - this.readSeq);
  }

  /** When something happened here last, in milliseconds. */
  get lastMs() {
    return Math.max(this.last?.time_ms ?? 0, ...this.pending.map(({ at_ms }) => at_ms));
  }

  /** The window, ascending. */
  get log() {
    return [...this.messages.values()].sort((a, b) => a.seq - b.seq);
  }

  /** The highest number of the window; 0: it is empty. */
  get newest() {
    let newest = 0;
    for (const seq of this.messages.keys()) newest = Math.max(newest, seq);
    return newest;
  }

  // ------------------------------------------------------------------------------------------ what is in the log

  /** What the server's list says. */
  describe({ title, role, epoch, committed, unread }) {
    this.groupTitle = title ?? '';
    this.role = role;
    this.isOver = false;
    this.#enterEpoch(epoch);
    this.committed = Math.max(this.committed, committed);
    this.readSeq = Math.max(this.readSeq, committed - unread);
  }

  /** Something that came by the stream, or was written here. True: it is to be shown. */
  add(message) {
    this.#enterEpoch(message.epoch);
    this.committed = Math.max(this.committed, message.seq);
    this.#learn(message);
    if (!this.last || message.seq >= this.last.seq) this.last = message;
    this.typing.delete(message.sender);
    if (this.start !== null && message.seq < this.start) return false;
    if (this.start === null && !this.isLoading) return true;
    const isNew = !this.messages.has(message.seq);
    this.messages.set(message.seq, message);
    return isNew;
  }

  /** A page of history, the newest first page or one before the window. */
  addPage({ epoch, messages = [], next, has_more, committed = 0 }) {
    // A log in which nothing has been written has no epoch that is worth knowing.
    if (committed > 0) this.#enterEpoch(epoch);
    this.committed = Math.max(this.committed, committed);
    for (const message of messages) this.messages.set(message.seq, message);
    const lowest = messages.length ? messages[0].seq : (next?.seq ?? 0) + 1;
    this.start = Math.min(this.start ?? Infinity, lowest);
    // What the stream brought of before is no part of the window: a page will bring it.
    for (const seq of this.messages.keys()) if (seq < this.start) this.messages.delete(seq);
    // A backward cursor with seq 0 would begin at the newest again.
    this.older = has_more && next && next.seq > 0 ? next : null;
    const newest = messages.at(-1);
    if (newest && (!this.last || newest.seq >= this.last.seq)) this.last = newest;
  }

  /** The log is another one, or begins later than what was here. */
  gap({ epoch, first, committed }) {
    const hadSomething = this.committed > 0;
    if (!sameEpoch(this.epoch, epoch)) this.#enterEpoch(epoch);
    else for (const seq of this.messages.keys()) if (seq < first) this.messages.delete(seq);
    this.committed = committed;
    this.hasLost ||= hadSomething;
  }

  /** Numbers up to here will not come, though the server has counted them. */
  skip({ epoch, to }) {
    this.#enterEpoch(epoch);
    this.committed = Math.max(this.committed, to);
  }

  /** What is in the window may not be all of it any more: it is read again. */
  forgetWindow() {
    this.messages.clear();
    this.start = null;
    this.older = null;
  }

  /** Leaves the newest of a window that has grown long; pages bring the rest back. */
  cut() {
    if (this.start === null || this.messages.size <= WINDOW_MAX) return;
    const log = this.log;
    for (const { seq } of log.slice(0, -WINDOW_CUT)) this.messages.delete(seq);
    this.start = log.at(-WINDOW_CUT).seq;
    this.older = { epoch: this.epoch, seq: this.start - 1 };
  }

  #enterEpoch(epoch) {
    const had = this.epoch;
    this.epoch = epoch;
    if (had === null || sameEpoch(had, epoch)) return;
    // Numbers of the former log mean nothing in this one.
    this.forgetWindow();
    this.last = null;
    this.committed = 0;
    this.readSeq = 0;
    this.newAfter = null;
    this.members = null;
  }

  /** What a change of the group, or a message that was taken back, says about the rest. */
  #learn({ kind = 'message', subject, sender, role, body, target }) {
    if (kind === 'title') this.groupTitle = body ?? '';
    if (kind === 'retracted') this.retract(target);
    if (kind === 'disbanded') this.isOver = true;
    const who = subject ?? sender;
    if ((kind === 'added' || kind === 'joined') && !this.members?.has(who)) {
      this.members?.set(who, { role: role ?? 'member', delivered: 0, read: 0 });
    }
    if (kind === 'removed' || kind === 'left') this.members?.delete(who);
    if (kind === 'role' && this.members?.has(who)) this.members.get(who).role = role;
  }

  /** A message is gone for everyone. */
  retract(seq) {
    const without = ({ body, body_base64, ...rest }) => ({ ...rest, is_retracted: true });
    if (this.messages.has(seq)) this.messages.set(seq, without(this.messages.get(seq)));
    if (this.last?.seq === seq) this.last = without(this.last);
  }

  /** This user has read up to here. True: that is news. */
  read(seq) {
    if (seq <= this.readSeq) return false;
    this.readSeq = seq;
    return true;
  }

  // ------------------------------------------------------------------------------------------ how far others are

  setMembers(members) {
    this.members = new Map(members.map(({ user, role, delivered, read }) => [user, { role, delivered, read }]));
  }

  receipt({ user, kind, epoch, seq }) {
    const member = this.members?.get(user);
    if (!member || !sameEpoch(epoch, this.epoch)) return;
    member[kind] = Math.max(member[kind] ?? 0, seq);
  }

  /** How far an own message has come: `sent`, `delivered` to all others, `read` by all others. */
  stage(seq, me) {
    if (!this.members || this.members.size > RECEIPT_MEMBERS_MAX) return 'sent';
    const others = [...this.members].filter(([user]) => user !== me).map(([, member]) => member);
    if (others.length === 0) return 'sent';
    if (others.every(({ read }) => read >= seq)) return 'read';
    return others.every(({ delivered, read }) => Math.max(delivered, read) >= seq) ? 'delivered' : 'sent';
  }

  /** Who has read up to `seq`, beside this user. */
  readers(seq, me) {
    return [...(this.members ?? [])].filter(([user, { read }]) => user !== me && read >= seq).map(([user]) => user);
  }

  // --------------------------------------------------------------------------------------------------- typing

  heardTyping(user, now) {
    this.typing.set(user, now + TYPING_MS);
  }

  /** Who is typing; forgets who has stopped. */
  typists(now) {
    for (const [user, until] of this.typing) if (until <= now) this.typing.delete(user);
    return [...this.typing.keys()];
  }

  // ------------------------------------------------------------------------------------ what is not there yet

  queue(client_id, body, at_ms) {
    this.pending = [...this.pending.filter((pending) => pending.client_id !== client_id), { client_id, body, at_ms, error: null }];
  }

  /** A message has its place in the log. */
  sent(client_id, { epoch, seq, time_ms }, me) {
    const pending = this.pending.find((one) => one.client_id === client_id);
    this.pending = this.pending.filter((one) => one !== pending);
    if (!pending || this.messages.has(seq)) return;
    this.add({ conversation: this.id, epoch, seq, time_ms, sender: me, client_id, body: pending.body });
  }

  failed(client_id, error) {
    this.pending = this.pending.map((pending) => (pending.client_id === client_id ? { ...pending, error } : pending));
  }

  discard(client_id) {
    this.pending = this.pending.filter((pending) => pending.client_id !== client_id);
  }
}
