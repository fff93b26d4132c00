/**
 * What the server sends of conversations, and what answers say about where this client stands: moves cursors, tells each message once,
 * tells what does not come.
 */

import { CampanileError } from './errors.js';
import { sameCursor, sameEpoch } from './ids.js';
import { fits, writesTo } from './requests.js';

export class Receiver {
  #conversations;
  #queue;
  #tell;
  /** The user of this session. */
  #me = '';
  /** Conversations of the resume list that was sent last, until the server has said where they go on. */
  #resumed = new Set();
  #watched = new Set();

  /** `tell(name, data)` gives the application an event. */
  constructor(conversations, queue, tell) {
    this.#conversations = conversations;
    this.#queue = queue;
    this.#tell = tell;
  }

  /** Users whose presence is watched. */
  get watched() {
    return [...this.#watched];
  }

  /** Conversations that were resumed by the last `connect`. */
  get resumed() {
    return this.#resumed;
  }

  /** A new connection asks for these. */
  connecting(resume) {
    this.#resumed = new Set(resume.map(({ conversation }) => conversation));
    this.#conversations.rewind();
  }

  /** The server says who this is. */
  welcomed(user) {
    this.#me = user;
  }

  // ------------------------------------------------------------------------------------------------ the stream

  message(message) {
    const { conversation } = message;
    const at = cursorOf(message);
    if (!this.#conversations.receives(conversation)) return this.#tellMessage(message, at);
    const { isNew, hole } = this.#conversations.tracker(conversation).message(at);
    this.#tellHole(conversation, hole);
    this.#settle(conversation);
    if (isNew) this.#takeNew(message, this.#conversations.cursor(conversation) ?? at);
    if (this.#putsMeOut(message)) this.#conversations.forget(conversation);
  }

  /** What this session wrote itself is told by the ack, also when the ack was lost with a connection and comes again. */
  #takeNew(message, resume) {
    const { conversation } = message;
    if (message.sender !== this.#me) return this.#tellMessage(message, resume);
    if (this.#queue.publishing(message.client_id)) return this.#tell('acked', { conversation, resume });
    const change = this.#queue.changing(message);
    if (change) change.echo = { message, resume };
    else this.#tellMessage(message, resume);
  }

  /** A record was kept back and the fate of its request is known: told now, unless it is the one that the ack tells. */
  settleEcho({ echo }, wrote) {
    if (!echo) return;
    const { message, resume } = echo;
    if (!wrote || !sameCursor(wrote, cursorOf(message))) return this.#tellMessage(message, resume);
    const cursor = this.#conversations.cursor(message.conversation);
    if (cursor) this.#tell('acked', { conversation: message.conversation, resume: cursor });
  }

  gap(gap) {
    if (this.#conversations.receives(gap.conversation)) {
      this.#conversations.tracker(gap.conversation).gap(gap.epoch, gap.first);
    }
    this.#tell('gap', gap);
  }

  skip(skip) {
    const { conversation } = skip;
    if (!this.#conversations.receives(conversation)) return this.#tell('skip', skip);
    const { isNew, hole } = this.#conversations.tracker(conversation).skip(skip.epoch, skip.from, skip.to);
    this.#tellHole(conversation, hole);
    this.#settle(conversation);
    if (isNew) this.#tell('skip', skip);
  }

  /**
   * A conversation is received without having been asked for, or is resumed. Gives a request that must be made when the server did not
   * know this client's cursor: the resume list was full, or the user had not been a member meanwhile.
   */
  subscribed(subscribed) {
    const { conversation } = subscribed;
    const resumed = this.#resumed.delete(conversation);
    if (!this.#conversations.receives(conversation)) return null;
    const goesOn = startOf(subscribed);
    const tracker = this.#conversations.tracker(conversation);
    if (tracker.beginsAt(goesOn)) {
      this.#tell('receiving', { conversation, resume: tracker.cursor });
      return null;
    }
    const cursor = tracker.cursor;
    if (resumed || (sameEpoch(cursor.epoch, goesOn.epoch) && cursor.seq >= goesOn.seq)) return null;
    return { type: 'subscribe', conversation, cursor };
  }

  /** The server does not resume this conversation. */
  refused(conversation) {
    this.#conversations.forget(conversation);
    this.#resumed.delete(conversation);
  }

  #tellMessage(message, resume) {
    this.#tell((message.kind ?? 'message') === 'message' ? 'message' : 'record', { message, resume });
  }

  /** Whether nothing more comes after this record. */
  #putsMeOut({ kind, subject, sender }) {
    if (kind === 'disbanded') return true;
    if (kind === 'removed') return subject === this.#me;
    return kind === 'left' && (subject ?? sender) === this.#me;
  }

  /** Tells the holes of a conversation, unless an ack that is still to come may fill them. */
  #settle(conversation) {
    const tracker = this.#conversations.known(conversation);
    while (tracker?.isUnsettled) {
      if (this.#queue.writesTo(conversation) || this.#queue.subscribes(conversation)) return;
      this.#tellHole(conversation, tracker.settle());
    }
  }

  #tellHole(conversation, hole) {
    if (hole) this.#tell('hole', { conversation, ...hole });
  }

  // ----------------------------------------------------------------------------------------------- the answers

  /** The answer to `pending`. Throws when it is none that fits. */
  answer(pending, answer) {
    const isRight = fits(pending.request, answer);
    if (isRight) this.#learn(pending, answer);
    this.over(pending, isRight && 'seq' in answer ? cursorOf(answer) : null);
    if (!isRight) throw new CampanileError('wrong_answer', `the server answered ${pending.request.type} with ${answer.type}`);
  }

  /** A request is over, and its ack can fill no hole any more. `wrote`: the place of the record that it wrote, if it did. */
  over(pending, wrote) {
    const conversation = writesTo(pending.request);
    if (conversation) this.#settle(conversation);
    this.settleEcho(pending, wrote);
  }

  #learn({ request, owner }, answer) {
    switch (request.type) {
      case 'group_leave':
      case 'group_disband':
        return this.#conversations.forget(`group:${request.id}`);
      case 'group_create':
        return this.#wrote(answer.conversation, cursorOf(answer));
      case 'subscribe':
        return this.#learnSubscribed(request, owner, answer);
      case 'unsubscribe':
        return this.#conversations.forget(request.conversation);
      case 'presence_watch':
        return request.users.forEach((user) => this.#watched.add(user));
      case 'presence_unwatch':
        return request.users.forEach((user) => this.#watched.delete(user));
      default:
        if (answer.type === 'ack') this.#wrote(writesTo(request), cursorOf(answer));
    }
  }

  #learnSubscribed({ conversation, cursor, tags }, owner, answer) {
    if (owner === 'restore' && this.#conversations.cursor(conversation)) this.#conversations.tracker(conversation).rewind();
    else this.#conversations.start(conversation, cursor ?? startOf(answer), tags);
  }

  /** A watch could not be brought back. */
  unwatch(users) {
    users.forEach((user) => this.#watched.delete(user));
  }

  /** A record of this session stands at `at`. */
  #wrote(conversation, at) {
    if (!this.#conversations.receives(conversation)) return;
    const tracker = this.#conversations.tracker(conversation);
    const before = tracker.cursor;
    tracker.ack(at);
    if (tracker.cursor && !(before && sameCursor(before, tracker.cursor))) {
      this.#tell('acked', { conversation, resume: tracker.cursor });
    }
  }
}

function cursorOf({ epoch, seq }) {
  return { epoch, seq };
}

/** The cursor before the first that comes. */
function startOf({ epoch, next }) {
  return { epoch, seq: Math.max(0, next - 1) };
}
