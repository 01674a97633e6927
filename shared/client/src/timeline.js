import { deferred, statesBetween, transition, view } from "./entry.js";
import { ChatError } from "./error.js";
import { jitter } from "./timing.js";

/**
 * @import { ConversationRow, Deferred, Emit, EntryActions, EntryRecord, EntryState, Env, Message, OutboxRow, Range, Snapshot,
 *   StoredRecord, TimelineEffects } from "./types.js"
 */

const PAGE = 50;

/**
 * The state machine of one conversation, without any I/O. Each method is an event at a time `now`; `emit` takes the effects.
 *
 * The log holds the messages that have a number. All numbers from `low` to `high` are known. A message above `high` was pushed after
 * one that is missing; there is a gap between, which is read from the history.
 *
 * The outbox holds the user's messages that have no number yet, in the order of sending. They are sent one at a time.
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
  /** The read mark. */
  read = 0;
  /** Whether the program shows this conversation. */
  opened = false;
  /** @type {StoredRecord[]} */ #log = [];
  /** @type {EntryRecord[]} */ outbox = [];
  /** @type {Map<number, StoredRecord>} */ #bySeq = new Map();
  /** @type {Map<string, EntryRecord>} */ #byClientId = new Map();

  /** The message that was sent and has no ack yet. @type {EntryRecord | undefined} */ #inFlight;
  /** The id of the connection that it was sent on. @type {number | undefined} */ connection;
  /** Time at which its ack is late. */
  #ackAt = 0;
  /** Whether the connection was probed because the ack is late. */
  #probed = false;
  /** Time before which nothing is sent, because the server is busy or limits the rate. */
  #waitUntil = 0;
  /** Consecutive sends that the server could not take, for the backoff. */
  #sendFailures = 0;

  /** The page that is being read. @type {Range | undefined} */ #request;
  /** Calls of `older` that wait for a page. @type {({n: number} & Deferred<{more: boolean}>)[]} */ #older = [];
  /** Whether messages above `high` may have been missed. */
  #stale = false;
  /** Whether the first page is to be filled up, when only pushes are known. */
  #fill = false;
  /** Time at which a gap is read; until then the missing push may still arrive. */
  #gatherAt = 0;
  /** Time before which nothing is read by itself, after a failure. */
  #retryAt = 0;
  /** Consecutive failures to read, for the backoff. */
  #failures = 0;
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
  }

  get newest() {
    return this.#log.at(-1)?.seq ?? 0;
  }

  /** @returns {number} */
  get unread() {
    return this.#log.filter(({ own, seq }) => !own && seq > this.read).length;
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
    // A message below the known range is left to the pages of the history.
    if (this.#high !== undefined && seq < this.#low && !this.#unnumbered(message)) return;
    this.#add(message);
    if (this.#high === undefined) this.#addRange(seq, seq);
    this.#extend();
    if (this.#hasGap) this.#gatherAt ||= now + this.#env.timing.gather;
    return this.#bySeq.get(seq);
  }

  /**
   * An ack arrived. Returns whether it belongs to a message of ours.
   * @param {{clientId: string, seq: number, timestamp?: string, status: string}} ack
   * @param {number} now
   */
  ack({ clientId, seq, timestamp, status }, now) {
    const record = this.#byClientId.get(clientId);
    if (!record || this.push({ seq, clientId, sender: this.#env.user, own: true, text: record.text, timestamp }, now) !== record) return false;
    if (status === "delivered") this.#advance(record, "delivered");
    return true;
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
    this.#failures = this.#retryAt = this.#gatherAt = 0;
    for (const message of messages) this.#add(message);
    const first = after === undefined ? (messages[0]?.seq ?? this.#low) : after + 1;
    const last = before === undefined ? (messages.at(-1)?.seq ?? first - 1) : before - 1;
    if (first <= last || this.#high === undefined) this.#addRange(first, last);
    this.#extend();
    if (after === undefined) this.#olderArrived(first, more);
    else if (more && messages.length) this.#stale = true;
    else if (!messages.length && this.#hasGap) this.#delay(now, true);
    this.#markChanged();
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
    this.#markChanged();
    this.rejectOlder(error);
    if (request.before === undefined) this.#stale = true;
    this.#delay(now, error.retryable);
  }

  /** Asks for a comparison with the history, because pushes may have been missed. */
  check() {
    this.#stale = true;
    this.#retryAt = 0;
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

  /**
   * Moves the read mark forward. A smaller number is ignored.
   * @param {number} seq
   */
  markRead(seq) {
    if (!(seq > this.read)) return;
    this.read = seq;
    this.dirty = true;
    this.#markChanged();
  }

  /** Returns what is stored of the conversation, for the next start of the program. @returns {ConversationRow} */
  row() {
    const { id, peer, read } = this;
    const high = this.#high;
    const known = this.#log.filter(({ seq }) => seq >= this.#low && seq <= Number(high)).slice(-PAGE);
    const entries = known.map(({ seq, clientId, sender, text, timestamp }) => ({ seq, clientId, sender, text, timestamp }));
    return { id, peer, read, high, entries };
  }

  /**
   * Takes over what an earlier program has stored.
   * @param {ConversationRow} row
   */
  restore({ read, high, entries }) {
    this.read = Math.max(this.read, read);
    for (const entry of entries) this.#add({ ...entry, own: entry.sender === this.#env.user });
    if (high !== undefined) this.#addRange(entries[0]?.seq ?? high + 1, high);
    this.#extend();
    this.dirty = false;
    this.#markChanged();
  }

  // The outbox.

  /**
   * Queues a message, which is shown at once. One that an earlier program has left keeps its place in the order of sending.
   * @param {Pick<OutboxRow, "clientId" | "text" | "order" | "created"> & {saved: boolean}} message
   * @param {number} now
   * @param {number} age of the message
   * @param {ChatError} [error] the reason if it cannot be sent
   * @returns {EntryRecord}
   */
  send(message, now, age, error) {
    const { clientId, order, saved } = message;
    const known = this.#byClientId.get(clientId);
    if (known) return known;
    const expires = now + this.#env.timing.expire - Math.max(0, age);
    /** @type {EntryRecord} */
    const record = { ...message, key: `m:${clientId}`, sender: this.#env.user, own: true, state: "queued", expires, done: deferred() };
    this.#byClientId.set(clientId, record);
    const later = this.outbox.findIndex((other) => other !== this.#inFlight && other.order > order);
    this.outbox.splice(later < 0 ? this.outbox.length : later, 0, record);
    this.#markChanged();
    if (error) this.#fail(record, error);
    else if (!saved) this.#emit("save", this, record);
    return record;
  }

  /**
   * The server responded to a message with an error. If that is retryable, the message is sent again later; else it has failed.
   * @param {string} clientId
   * @param {ChatError} error
   * @param {number} now
   */
  sendFailed(clientId, error, now) {
    const record = this.#inFlight;
    if (!record || record.clientId !== clientId) return;
    if (!error.retryable) return this.#fail(record, error);
    const { sendBackoff, backoffMax } = this.#env.timing;
    this.#waitUntil = now + (error.retryAfterMs ?? jitter(this.#env.random, this.#sendFailures++, sendBackoff, backoffMax));
    this.#requeue();
  }

  /**
   * A connection was closed. The message that was sent on it is sent again under the same id, unless it was the reason.
   * @param {number | undefined} connection
   * @param {ChatError} [error] the reason, if the message is the reason
   */
  lost(connection, error) {
    if (this.connection !== connection || !this.#inFlight) return;
    if (error) this.#fail(this.#inFlight, error);
    else this.#requeue();
  }

  /**
   * The connection works. A message whose ack is late is sent again.
   * @param {number} connection
   */
  alive(connection) {
    if (this.connection === connection && this.#probed) this.#requeue();
  }

  /**
   * Queues a failed message again, as the last one.
   * @param {EntryRecord} record
   * @param {number} now
   * @param {{order: number, created: number}} stamp
   */
  retry(record, now, stamp) {
    if (record.state !== "failed") return;
    this.#transition(record, "queued");
    Object.assign(record, stamp, { error: undefined, done: deferred(), expires: now + this.#env.timing.expire, saved: false });
    this.#removeFromOutbox(record);
    this.outbox.push(record);
    this.#emit("save", this, record);
  }

  /**
   * Removes a failed or queued message.
   * @param {EntryRecord} record
   */
  discard(record) {
    if (record.state === "sending" || !this.#removeFromOutbox(record)) return;
    if (record.state === "queued") this.#transition(record, "failed");
    record.done?.reject(new ChatError("discarded", "The message was discarded."));
    this.#byClientId.delete(record.clientId ?? "");
    this.#emit("drop", record);
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
   * @param {boolean} reachable whether the history can be requested
   */
  pump(now, connection, reachable) {
    return Math.min(this.#pumpOutbox(now, connection), reachable ? this.#pumpLog(now) : Infinity);
  }

  get #queued() {
    return this.outbox.filter((record) => record.state === "queued");
  }

  /**
   * @param {number} now
   * @param {number | undefined} connection
   */
  #pumpOutbox(now, connection) {
    for (const record of this.#queued) {
      if (now >= record.expires) this.#fail(record, new ChatError("expired", "The message has waited for a day."));
    }
    const [head] = this.#queued;
    const due = Math.min(...this.#queued.map((record) => record.expires));
    if (this.#inFlight) return Math.min(due, this.#pumpAck(now));
    if (!head?.saved || connection === undefined) return due;
    if (now < this.#waitUntil) return Math.min(due, this.#waitUntil);
    this.#advance(head, "sending");
    this.#inFlight = head;
    this.#probed = false;
    this.connection = connection;
    this.#ackAt = now + this.#env.timing.ack;
    this.#emit("send", this, head, connection);
    return Math.min(due, this.#ackAt);
  }

  /** @param {number} now */
  #pumpAck(now) {
    if (now < this.#ackAt) return this.#ackAt;
    this.#emit("probe");
    this.#probed = true;
    this.#ackAt = now + this.#env.timing.ack;
    return this.#ackAt;
  }

  /** @param {number} now */
  #pumpLog(now) {
    if (this.#request) return Infinity;
    const [request, at] = this.#nextRequest();
    if (!request || at > now) return at;
    if (request.before === undefined) this.#stale = false;
    this.#request = request;
    this.#emit("read", this, request);
    this.#markChanged();
    return Infinity;
  }

  /** Returns the page that is to be read next, and the time. @returns {[Range | undefined, number]} */
  #nextRequest() {
    const [older] = this.#older;
    if (this.#high === undefined) {
      return older || (this.#stale && this.opened) ? [{ limit: older?.n ?? PAGE }, this.#retryAt] : [undefined, Infinity];
    }
    const fill = this.#fill && this.#more && this.#log.length < PAGE;
    if (older || fill) return [{ before: this.#low, limit: older?.n ?? PAGE }, older ? 0 : this.#retryAt];
    const at = this.#stale ? this.#retryAt : this.#hasGap ? Math.max(this.#retryAt, this.#gatherAt) : Infinity;
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

  /**
   * @param {number} now
   * @param {boolean} retryable
   */
  #delay(now, retryable) {
    const { backoff, backoffMax } = this.#env.timing;
    this.#retryAt = retryable ? now + jitter(this.#env.random, this.#failures++, backoff, backoffMax) : Infinity;
  }

  /** @param {Message} message */
  #add(message) {
    const { seq, clientId, own, timestamp } = message;
    if (this.#bySeq.has(seq)) return;
    const sent = this.#unnumbered(message);
    if (sent) return this.#assignSeq(sent, seq, timestamp);
    // Sent by another tab, whose outbox this tab may adopt later. That must not make a second entry.
    const fromOtherTab = clientId && own && !this.#byClientId.has(clientId);
    const key = fromOtherTab ? `m:${clientId}` : `#${seq}`;
    const record = /** @type {EntryRecord} */ ({ ...message, key, state: own ? "stored" : "delivered" });
    if (fromOtherTab) this.#byClientId.set(clientId, record);
    this.#insert(/** @type {StoredRecord} */ (record));
  }

  /**
   * Returns the record in the outbox that a message of the log belongs to, if there is one.
   * @param {Message} message
   */
  #unnumbered({ own, clientId }) {
    const record = this.#byClientId.get((own && clientId) || "");
    return record?.seq === undefined ? record : undefined;
  }

  /**
   * Moves a record from the outbox to its place in the log.
   * @param {EntryRecord} record
   * @param {number} seq
   * @param {string} [timestamp]
   */
  #assignSeq(record, seq, timestamp) {
    this.#removeFromOutbox(record);
    if (record === this.#inFlight) this.#clearInFlight();
    this.#sendFailures = 0;
    Object.assign(record, { seq, timestamp, error: undefined });
    this.#advance(record, "stored");
    this.#insert(/** @type {StoredRecord} */ (record));
    this.#emit("drop", record);
    this.#emit("stored", this, record);
  }

  /**
   * Removes a record from the outbox. Returns whether it was there.
   * @param {EntryRecord} record
   */
  #removeFromOutbox(record) {
    const i = this.outbox.indexOf(record);
    if (i >= 0) this.outbox.splice(i, 1);
    this.#markChanged();
    return i >= 0;
  }

  /** @param {StoredRecord} record */
  #insert(record) {
    const before = this.#log.findLastIndex((other) => other.seq < record.seq);
    this.#log.splice(before + 1, 0, record);
    this.#bySeq.set(record.seq, record);
    this.dirty = true;
    this.#markChanged();
  }

  /**
   * @param {EntryRecord} record
   * @param {ChatError} error
   */
  #fail(record, error) {
    if (record === this.#inFlight) this.#clearInFlight();
    this.#transition(record, "failed");
    record.error = error;
    record.done?.reject(error);
    this.#emit("save", this, record);
  }

  /** Puts the message in flight back into the queue. */
  #requeue() {
    if (this.#inFlight) this.#transition(this.#inFlight, "queued");
    this.#clearInFlight();
  }

  #clearInFlight() {
    if (this.connection !== undefined) this.#emit("checkDrained", this.connection);
    this.#inFlight = this.connection = undefined;
  }

  /**
   * @param {EntryRecord} record
   * @param {"sending" | "stored" | "delivered"} state
   */
  #advance(record, state) {
    for (const step of statesBetween(record.state, state)) this.#transition(record, step);
  }

  /**
   * @param {EntryRecord} record
   * @param {EntryState} state
   */
  #transition(record, state) {
    transition(record, state, this.#env.log);
    this.#markChanged();
  }

  /** @returns {Snapshot} */
  #build() {
    const { id, peer, newest, read, unread } = this;
    return Object.freeze({
      id, peer, newest, read, unread,
      more: this.#more,
      entries: Object.freeze([...this.#log, ...this.outbox].map((record) => view(record, this.#actions))),
      loading: this.#request !== undefined && this.#request.after === undefined,
      readByPeer: 0,
      typing: Object.freeze([]),
      error: this.#error,
    });
  }

  /** Notes that the snapshot has changed. */
  #markChanged() {
    this.#snapshot = undefined;
    this.changed = true;
  }
}
