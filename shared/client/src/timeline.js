import { deferred, view } from "./entry.js";
import { Marks } from "./marks.js";
import { Outbox } from "./outbox.js";
import { Peer } from "./peer.js";
import { Retry } from "./timing.js";

/**
 * @import { ChatError } from "./error.js"
 * @import { ConversationRow, Deferred, Emit, EntryActions, EntryRecord, Env, Message, Range, Snapshot,
 *   StoredRecord, TimelineEffects } from "./types.js"
 */

const PAGE = 50;

/**
 * The state machine of one conversation, without any I/O. Each method is an event at a time `now`; `emit` takes the effects.
 *
 * The log holds the messages that have a number. All numbers from `low` to `high` are known. A message above `high` was pushed after
 * one that is missing; there is a gap between, which is read from the history.
 *
 * The user's messages that have no number yet are in the `outbox`.
 */
export class Timeline {
  /** Whether the snapshot has changed since it was last published. */
  changed = true;
  /** Whether `row()` has changed since it was last stored. */
  dirty = false;
  #low = 1;
  /** Undefined until the first page or push. @type {number | undefined} */ #high;
  /** Whether there may be messages below `low`. */
  #more = true;
  /** Whether the program shows this conversation. */
  opened = false;
  /** @type {StoredRecord[]} */ #log = [];
  /** @type {Map<number, StoredRecord>} */ #bySeq = new Map();
  /** The page that is being read. @type {Range | undefined} */ #request;
  /** Calls of `older` that wait for a page. @type {({n: number} & Deferred<{more: boolean}>)[]} */ #older = [];
  /** Whether messages above `high` may have been missed. */
  #stale = false;
  /** Whether the first page is to be filled up, when only pushes are known. */
  #fill = false;
  /** Time at which a gap is read; until then the missing push may still arrive. */
  #gatherAt = 0;
  /** When a page is read by itself, after a failure. */
  #retry;
  /** @type {ChatError | undefined} */ #error;
  /** @type {Snapshot | undefined} */ #snapshot;
  #env;
  #actions;
  #emit;

  /**
   * @param {string} id
   * @param {string} peer
   * @param {Pick<Env, "user" | "random" | "timing" | "log">} env
   * @param {EntryActions} actions
   * @param {Emit<TimelineEffects>} emit
   */
  constructor(id, peer, env, actions, emit) {
    this.id = id;
    this.peer = peer;
    this.#env = env;
    this.#actions = actions;
    this.#emit = emit;
    this.#retry = new Retry(env);
    this.outbox = new Outbox(this, env, emit);
    this.marks = new Marks(this, env.timing, emit);
    this.signs = new Peer(env.timing, () => this.markChanged());
  }

  /** The number up to which the messages are known. A send tells it to the server, which searches for the newest number from there. */
  get high() {
    return this.#high;
  }

  /** The highest number that is known, of a message or from the list. */
  get newest() {
    const newest = Math.max(this.#log.at(-1)?.seq ?? -Infinity, this.marks.row?.newest ?? -Infinity);
    return newest > -Infinity ? newest : 0;
  }

  /**
   * Returns whether the number of unread messages may be wrong: they are not all in the log, or being read into it, and the row of the
   * list cannot tell, or is on its way and may count a message that is in the log or not.
   * @param {boolean} onItsWay
   */
  doubtful(onItsWay) {
    const low = this.#high === undefined ? Infinity : this.#low;
    return low > this.marks.own.read + 1 && (onItsWay || this.marks.uncertain(low));
  }

  /** Whether the read mark is that of the server. A conversation without new messages needs none. */
  get marksKnown() {
    return this.marks.known || (this.#high !== undefined && this.newest <= 0);
  }

  /** @returns {Snapshot} */
  get snapshot() {
    return (this.#snapshot ??= this.#build());
  }

  /**
   * Returns the public entry of a record.
   * @param {EntryRecord} record
   */
  entry(record) {
    return view(record, this.#actions);
  }

  // The log.

  /**
   * A message was pushed, or one of ours was acknowledged.
   * @param {Message} message
   * @param {number} now
   * @returns {EntryRecord | undefined} the record with its number
   */
  push(message, now) {
    const { seq } = message;
    if (!message.own) this.signs.wrote(now);
    // A message below the known range is left to the pages of the history.
    if (this.#high !== undefined && seq < this.#low && !this.outbox.waiting(message)) return;
    this.#add(message);
    if (this.#high === undefined) this.#addRange(seq, seq);
    this.#extend();
    if (this.#hasGap) this.#gatherAt ||= now + this.#env.timing.gather;
    return this.#bySeq.get(seq);
  }

  /**
   * An ack arrived. Returns whether it belongs to a message of ours.
   * @param {{client_message_id: string, seq: number, timestamp?: string, status: string}} frame
   * @param {number} now
   */
  ack({ client_message_id: clientId, seq, timestamp, status }, now) {
    const record = this.outbox.byClientId.get(clientId);
    if (!record || this.push({ seq, clientId, sender: this.#env.user, own: true, text: record.text, timestamp }, now) !== record) return false;
    if (status !== "delivered") return true;
    this.outbox.advance(record, "delivered");
    this.signs.heard(now);
    return true;
  }

  /**
   * The user types.
   * @param {number} now
   */
  typed(now) {
    if (this.signs.typed(now)) this.#emit("typing", this);
  }

  // Marks.

  /**
   * The user has read up to a number. A smaller one is ignored.
   * @param {number} seq
   */
  markRead(seq) {
    if (seq > this.marks.own.read) this.marks.raise(Math.min(seq, this.newest));
  }

  /**
   * Returns the number of the last message of the peer up to a number, or the number itself if messages after `from` are not known.
   * @param {number} from
   * @param {number} to
   */
  lastOfPeer(from, to) {
    const known = this.#low <= from + 1 && to <= Number(this.#high);
    return known ? (this.#log.findLast(({ own, seq }) => !own && seq <= to)?.seq ?? 0) : to;
  }

  marksChanged() {
    this.dirty = true;
    this.markChanged();
  }

  /** The peer has read or got more of the messages. */
  peerMarksChanged() {
    for (const record of this.#log) this.outbox.advance(record, this.marks.stateOf(record));
    this.marksChanged();
  }

  /**
   * A page that was requested by a `read` effect arrived.
   * @param {Range} request
   * @param {Message[]} messages ordered by number
   * @param {boolean} more whether there are more in its direction
   * @param {number} now
   */
  page({ after, before }, messages, more, now) {
    this.#request = this.#error = undefined;
    this.#gatherAt = 0;
    for (const message of messages) this.#add(message);
    const got = messages.findLast(({ own }) => !own)?.seq ?? 0;
    if (before === undefined) this.marks.raise(0, got);
    const first = after === undefined ? (messages[0]?.seq ?? this.#low) : after + 1;
    const last = before === undefined ? (messages.at(-1)?.seq ?? first - 1) : before - 1;
    if (first <= last || this.#high === undefined) this.#addRange(first, last);
    this.#extend();
    if (after === undefined) this.#olderArrived(first, more);
    else if (more && messages.length) this.#stale = true;
    // The history lacks a number that something else has told.
    if (after !== undefined && !messages.length && this.#hasGap) this.#retry.failed(now, true);
    else this.#retry.succeeded();
    this.markChanged();
  }

  /**
   * @param {number} first
   * @param {boolean} more
   */
  #olderArrived(first, more) {
    this.#fill = false;
    if (first === this.#low) this.#more = more;
    for (const { resolve } of this.#older.splice(0)) resolve({ more: this.#more });
  }

  /**
   * A page could not be read.
   * @param {Range} request
   * @param {ChatError} error
   * @param {number} now
   */
  pageFailed(request, error, now) {
    this.#request = undefined;
    this.#error = error;
    this.markChanged();
    this.rejectOlder(error);
    if (request.before === undefined) this.#stale = true;
    this.#retry.failed(now, error.retryable);
  }

  /** Asks for a comparison with the history, because pushes may have been missed. */
  check() {
    this.#stale = true;
    this.#retry.at = 0;
  }

  /** The program shows the conversation from now on. */
  open() {
    if (this.opened) return;
    this.opened = this.#fill = true;
    this.check();
  }

  /**
   * Asks for `n` older messages.
   * @param {number} n
   * @returns {Promise<{more: boolean}>}
   */
  older(n) {
    if (!this.#more) return Promise.resolve({ more: false });
    /** @type {Deferred<{more: boolean}>} */
    const done = deferred();
    this.#older.push({ n: Math.max(1, Math.min(1_000, Math.trunc(n) || PAGE)), ...done });
    return done.promise;
  }

  /** Returns what is stored of the conversation, for the next start of the program. @returns {ConversationRow} */
  row() {
    const { id, peer } = this;
    const { own, row: listed } = this.marks;
    const high = this.#high;
    const known = this.#log.filter(({ seq }) => seq >= this.#low && seq <= Number(high)).slice(-PAGE);
    const entries = known.map(({ seq, clientId, sender, text, timestamp }) => ({ seq, clientId, sender, text, timestamp }));
    return { id, peer, read: own.read, high, entries, listed };
  }

  /**
   * Takes over what an earlier program has stored.
   * @param {ConversationRow} row
   */
  restore({ read, high, entries, listed }) {
    this.marks.raise(read);
    if (listed) this.marks.restore(listed);
    for (const entry of entries) this.#add({ ...entry, own: entry.sender === this.#env.user });
    if (high !== undefined) this.#addRange(entries[0]?.seq ?? high + 1, high);
    this.#extend();
    this.dirty = false;
    this.markChanged();
  }

  /**
   * Rejects all calls of `older` that wait.
   * @param {ChatError} error
   */
  rejectOlder(error) {
    for (const { reject } of this.#older.splice(0)) reject(error);
  }

  /**
   * Sends and reads what is due. Returns the time at which it is to be called again.
   * @param {number} now
   * @param {number | undefined} connection that takes frames
   * @param {{deliveredAt: number} | false | undefined} pace of marks, if the server takes some
   * @param {boolean} reachable whether the history can be requested
   */
  pump(now, connection, pace, reachable) {
    const marksAt = pace ? this.marks.pump(now, connection, pace) : Infinity;
    return Math.min(this.signs.pump(now), marksAt, this.outbox.pump(now, connection), reachable ? this.#pumpLog(now) : Infinity);
  }

  /** @param {number} now */
  #pumpLog(now) {
    if (this.#request) return Infinity;
    const [request, at] = this.#nextRequest();
    if (!request || at > now) return at;
    if (request.before === undefined) this.#stale = false;
    this.#request = request;
    this.#emit("read", this, request);
    this.markChanged();
    return Infinity;
  }

  /** Returns the page that is to be read next, and the time. @returns {[Range | undefined, number]} */
  #nextRequest() {
    const [older] = this.#older;
    if (this.#high === undefined) {
      return older || (this.#stale && this.opened) ? [{ limit: older?.n ?? PAGE }, this.#retry.at] : [undefined, Infinity];
    }
    const fill = this.#fill && this.#more && this.#log.length < PAGE;
    if (older || fill) return [{ before: this.#low, limit: older?.n ?? PAGE }, older ? 0 : this.#retry.at];
    const at = this.#stale ? this.#retry.at : this.#hasGap ? Math.max(this.#retry.at, this.#gatherAt) : Infinity;
    return [{ after: this.#high, limit: 1_000 }, at];
  }

  get #hasGap() {
    return this.#high !== undefined && this.newest > this.#high;
  }

  /**
   * All numbers from `first` to `last` are known from now on.
   * @param {number} first
   * @param {number} last
   */
  #addRange(first, last) {
    const high = this.#high;
    // A range above a gap is not joined: its messages wait in the log, as pushed ones do.
    if (high === undefined || last < this.#low - 1) [this.#low, this.#high] = [first, last];
    else if (first <= high + 1) [this.#low, this.#high] = [Math.min(this.#low, first), Math.max(high, last)];
  }

  /** Moves `high` up over the messages that follow it without a gap. */
  #extend() {
    while (this.#high !== undefined && this.#bySeq.has(this.#high + 1)) this.#high++;
    if (!this.#hasGap) this.#gatherAt = 0;
  }

  /** @param {Message} message */
  #add(message) {
    const { seq, clientId, own, timestamp } = message;
    if (this.#bySeq.has(seq)) return;
    const sent = this.outbox.waiting(message);
    if (sent) {
      this.outbox.stored(sent, seq, timestamp);
      this.outbox.advance(sent, this.marks.stateOf(message));
      return this.#insert(/** @type {StoredRecord} */ (sent));
    }
    const { byClientId } = this.outbox;
    // Sent by another tab, whose outbox this tab may adopt later. That must not make a second entry.
    const fromOtherTab = clientId && own && !byClientId.has(clientId);
    const key = fromOtherTab ? `m:${clientId}` : `#${seq}`;
    const record = /** @type {EntryRecord} */ ({ ...message, key, state: this.marks.stateOf(message) });
    if (fromOtherTab) byClientId.set(clientId, record);
    this.#insert(/** @type {StoredRecord} */ (record));
  }

  /** @param {StoredRecord} record */
  #insert(record) {
    const before = this.#log.findLastIndex((other) => other.seq < record.seq);
    this.#log.splice(before + 1, 0, record);
    this.#bySeq.set(record.seq, record);
    this.dirty = true;
    this.markChanged();
  }

  /** @returns {Snapshot} */
  #build() {
    const { id, peer, newest, marksKnown, signs, marks } = this;
    const { read } = marks.own;
    return Object.freeze({
      id, peer, newest, read, marksKnown,
      unread: marks.unread(this.#log, this.#low, Number(this.#high)),
      firstUnread: this.#log.find(({ own, seq }) => !own && seq > read)?.seq,
      readByPeer: marks.peer.read,
      deliveredToPeer: marks.peer.delivered,
      presence: signs.presence,
      more: this.#more,
      entries: Object.freeze([...this.#log, ...this.outbox.records].map((record) => view(record, this.#actions))),
      loading: this.#request !== undefined && this.#request.after === undefined,
      typing: Object.freeze(signs.typing ? [peer] : []),
      error: this.#error,
    });
  }

  /** Notes that the snapshot has changed. */
  markChanged() {
    this.#snapshot = undefined;
    this.changed = true;
  }
}
