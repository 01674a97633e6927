import { deferred, move, statesBetween, view } from "./entry.js";
import { ChatError } from "./error.js";
import { jitter } from "./timing.js";

/** @import { ConversationRow, Deferred, Emit, EntryActions, EntryState, Env, Message, OutboxRow, Range, Record, Snapshot, Stored, TimelineEffects } from "./types.js" */

const PAGE = 50;

/**
 * One conversation, without any I/O. The numbers from `low` to `high` are all known, `high` is the
 * watermark; messages above it were pushed and wait for those between. Messages that have no number
 * yet are the `echoes`: the queue, one at a time.
 */
export class Timeline {
  /** Whether there is a new snapshot to be shown. */
  fresh = true;
  /** Whether there is something new to be stored. */
  dirty = false;
  #low = 1;
  /** @type {number | undefined} */ #high;
  #more = true;
  read = 0;
  /** Whether somebody looks at it. */
  opened = false;
  /** @type {Stored[]} */ #log = [];
  /** @type {Record[]} */ echoes = [];
  /** @type {Map<number, Stored>} */ #bySeq = new Map();
  /** @type {Map<string, Record>} */ #byClient = new Map();

  /** @type {Record | undefined} */ #inFlight;
  /** @type {number | undefined} The connection that carries it. */ socket;
  #ackAt = 0;
  /** Whether a sign of life was asked for since the ack is late. */
  #late = false;
  #waitUntil = 0;
  #refusals = 0;

  /** @type {Range | undefined} */ #request;
  /** @type {({n: number} & Deferred<{more: boolean}>)[]} */ #older = [];
  #stale = false;
  #fill = false;
  #gatherAt = 0;
  #retryAt = 0;
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
   * @param {Emit<TimelineEffects>} emit takes what is to be done
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
   * Returns what is shown of a message.
   * @param {Record} record
   */
  entry(record) {
    return view(record, this.#actions);
  }

  // The log.

  /**
   * A message was pushed, or one of ours was acknowledged.
   * @param {Message} message
   * @param {number} now
   * @returns {Record | undefined} what is under its number
   */
  push(message, now) {
    const { seq } = message;
    // What is older than all that is known comes with the pages.
    if (this.#high !== undefined && seq < this.#low && !this.#echo(message)) return;
    this.#add(message);
    if (this.#high === undefined) this.#cover(seq, seq);
    this.#extend();
    if (this.#hole) this.#gatherAt ||= now + this.#env.timing.gather;
    return this.#bySeq.get(seq);
  }

  /**
   * @param {{clientId: string, seq: number, timestamp?: string, status: string}} ack
   * @param {number} now
   */
  ack({ clientId, seq, timestamp, status }, now) {
    const record = this.#byClient.get(clientId);
    if (!record || this.push({ seq, clientId, sender: this.#env.user, own: true, text: record.text, timestamp }, now) !== record) return false;
    if (status === "delivered") this.#advance(record, "delivered");
    return true;
  }

  /**
   * What was asked for with a `read` effect has come.
   * @param {Range} request
   * @param {Message[]} messages by number
   * @param {boolean} more
   * @param {number} now
   */
  page({ after, before }, messages, more, now) {
    this.#request = this.#error = undefined;
    this.#failures = this.#retryAt = this.#gatherAt = 0;
    for (const message of messages) this.#add(message);
    const first = after === undefined ? (messages[0]?.seq ?? this.#low) : after + 1;
    const last = before === undefined ? (messages.at(-1)?.seq ?? first - 1) : before - 1;
    if (first <= last || this.#high === undefined) this.#cover(first, last);
    this.#extend();
    if (after === undefined) this.#pagedBack(first, more);
    else if (more && messages.length) this.#stale = true;
    else if (!messages.length && this.#hole) this.#delay(now, true);
    this.#change();
  }

  /**
   * @param {number} first
   * @param {boolean} more
   */
  #pagedBack(first, more) {
    this.#fill = false;
    if (first === this.#low) this.#more = more;
    for (const { resolve } of this.#older.splice(0)) resolve({ more: this.#more });
  }

  /**
   * It could not be read.
   * @param {Range} request
   * @param {ChatError} error
   * @param {number} now
   */
  pageFailed(request, error, now) {
    this.#request = undefined;
    this.#error = error;
    this.#change();
    this.rejectOlder(error);
    if (request.before === undefined) this.#stale = true;
    this.#delay(now, error.retryable);
  }

  /** Compares with the log: something may have been missed. */
  check() {
    this.#stale = true;
    this.#retryAt = 0;
  }

  /** Somebody looks at it from now on. */
  open() {
    if (this.opened) return;
    this.opened = this.#fill = true;
    this.check();
  }

  /**
   * Reads `n` older messages.
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
   * Moves the read mark, never back.
   * @param {number} seq
   */
  markRead(seq) {
    if (!(seq > this.read)) return;
    this.read = seq;
    this.dirty = true;
    this.#change();
  }

  /** Returns what the next start of the page begins with. @returns {ConversationRow} */
  row() {
    const { id, peer, read } = this;
    const high = this.#high;
    const known = this.#log.filter(({ seq }) => seq >= this.#low && seq <= Number(high)).slice(-PAGE);
    const entries = known.map(({ seq, clientId, sender, text, timestamp }) => ({ seq, clientId, sender, text, timestamp }));
    return { id, peer, read, high, entries };
  }

  /** @param {ConversationRow} row */
  restore({ read, high, entries }) {
    this.read = Math.max(this.read, read);
    for (const entry of entries) this.#add({ ...entry, own: entry.sender === this.#env.user });
    if (high !== undefined) this.#cover(entries[0]?.seq ?? high + 1, high);
    this.#extend();
    this.dirty = false;
    this.#change();
  }

  // The queue.

  /**
   * Shows a message at once and queues it; or one of an earlier time, which keeps its place.
   * @param {Pick<OutboxRow, "clientId" | "text" | "order" | "created"> & {saved: boolean}} message
   * @param {number} now
   * @param {number} age of the message
   * @param {ChatError} [error] why it cannot be sent
   * @returns {Record}
   */
  send(message, now, age, error) {
    const { clientId, order, saved } = message;
    const known = this.#byClient.get(clientId);
    if (known) return known;
    const expires = now + this.#env.timing.expire - Math.max(0, age);
    /** @type {Record} */
    const record = { ...message, key: `m:${clientId}`, sender: this.#env.user, own: true, state: "queued", expires, done: deferred() };
    this.#byClient.set(clientId, record);
    const later = this.echoes.findIndex((r) => r !== this.#inFlight && r.order > order);
    this.echoes.splice(later < 0 ? this.echoes.length : later, 0, record);
    this.#change();
    if (error) this.#fail(record, error);
    else if (!saved) this.#emit("save", this, record);
    return record;
  }

  /**
   * The server has refused a message. What may pass waits, anything else ends this message only.
   * @param {string} clientId
   * @param {ChatError} error
   * @param {number} now
   */
  refused(clientId, error, now) {
    const record = this.#inFlight;
    if (!record || record.clientId !== clientId) return;
    if (!error.retryable) return this.#fail(record, error);
    const { sendBackoff, backoffMax } = this.#env.timing;
    this.#waitUntil = now + (error.retryAfterMs ?? jitter(this.#env.random, this.#refusals++, sendBackoff, backoffMax));
    this.#requeue();
  }

  /**
   * A connection is gone: what it carried goes out again, under the same id, unless that was the reason.
   * @param {number | undefined} socket
   * @param {ChatError} [error]
   */
  lost(socket, error) {
    if (this.socket !== socket || !this.#inFlight) return;
    if (error) this.#fail(this.#inFlight, error);
    else this.#requeue();
  }

  /**
   * The connection works: a message whose ack is late goes out again.
   * @param {number} socket
   */
  alive(socket) {
    if (this.socket === socket && this.#late) this.#requeue();
  }

  /**
   * Queues a failed message again, as the last one.
   * @param {Record} record
   * @param {number} now
   * @param {{order: number, created: number}} stamp
   */
  retry(record, now, stamp) {
    if (record.state !== "failed") return;
    this.#move(record, "queued");
    Object.assign(record, stamp, { error: undefined, done: deferred(), expires: now + this.#env.timing.expire, saved: false });
    this.#takeOut(record);
    this.echoes.push(record);
    this.#emit("save", this, record);
  }

  /**
   * Removes a message that has failed or waits.
   * @param {Record} record
   */
  discard(record) {
    if (record.state === "sending" || !this.#takeOut(record)) return;
    if (record.state === "queued") this.#move(record, "failed");
    record.done?.reject(new ChatError("discarded", "The message was discarded."));
    this.#byClient.delete(record.clientId ?? "");
    this.#emit("drop", record);
  }

  /**
   * Older messages will not come.
   * @param {ChatError} error
   */
  rejectOlder(error) {
    for (const { reject } of this.#older.splice(0)) reject(error);
  }

  /**
   * Does what is due. Returns when to call it again.
   * @param {number} now
   * @param {number | undefined} socket that takes frames
   * @param {boolean} reachable whether the history can be asked
   */
  pump(now, socket, reachable) {
    return Math.min(this.#pumpQueue(now, socket), reachable ? this.#pumpLog(now) : Infinity);
  }

  get #queued() {
    return this.echoes.filter((record) => record.state === "queued");
  }

  /**
   * @param {number} now
   * @param {number | undefined} socket
   */
  #pumpQueue(now, socket) {
    for (const record of this.#queued) {
      if (now >= record.expires) this.#fail(record, new ChatError("expired", "The message has waited for a day."));
    }
    const [head] = this.#queued;
    const due = Math.min(...this.#queued.map((record) => record.expires));
    if (this.#inFlight) return Math.min(due, this.#pumpAck(now));
    if (!head?.saved || socket === undefined) return due;
    if (now < this.#waitUntil) return Math.min(due, this.#waitUntil);
    this.#advance(head, "sending");
    this.#inFlight = head;
    this.#late = false;
    this.socket = socket;
    this.#ackAt = now + this.#env.timing.ack;
    this.#emit("send", this, head, socket);
    return Math.min(due, this.#ackAt);
  }

  /** @param {number} now */
  #pumpAck(now) {
    if (now < this.#ackAt) return this.#ackAt;
    this.#emit("probe");
    this.#late = true;
    this.#ackAt = now + this.#env.timing.ack;
    return this.#ackAt;
  }

  /** @param {number} now */
  #pumpLog(now) {
    if (this.#request) return Infinity;
    const [request, at] = this.#wanted();
    if (!request || at > now) return at;
    if (request.before === undefined) this.#stale = false;
    this.#request = request;
    this.#emit("read", this, request);
    this.#change();
    return Infinity;
  }

  /** Returns what is to be read next, and when. @returns {[Range | undefined, number]} */
  #wanted() {
    const [older] = this.#older;
    if (this.#high === undefined) {
      return older || (this.#stale && this.opened) ? [{ limit: older?.n ?? PAGE }, this.#retryAt] : [undefined, Infinity];
    }
    const fill = this.#fill && this.#more && this.#log.length < PAGE;
    if (older || fill) return [{ before: this.#low, limit: older?.n ?? PAGE }, older ? 0 : this.#retryAt];
    const at = this.#stale ? this.#retryAt : this.#hole ? Math.max(this.#retryAt, this.#gatherAt) : Infinity;
    return [{ after: this.#high, limit: 1_000 }, at];
  }

  get #hole() {
    return this.#high !== undefined && this.newest > this.#high;
  }

  /**
   * All from `first` to `last` is known.
   * @param {number} first
   * @param {number} last
   */
  #cover(first, last) {
    const high = this.#high;
    // What is above a hole waits as if it was pushed.
    if (high === undefined || last < this.#low - 1) [this.#low, this.#high] = [first, last];
    else if (first <= high + 1) [this.#low, this.#high] = [Math.min(this.#low, first), Math.max(high, last)];
  }

  #extend() {
    while (this.#high !== undefined && this.#bySeq.has(this.#high + 1)) this.#high++;
    if (!this.#hole) this.#gatherAt = 0;
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
    const echo = this.#echo(message);
    if (echo) return this.#place(echo, seq, timestamp);
    const twin = clientId && own && !this.#byClient.has(clientId);
    const key = twin ? `m:${clientId}` : `#${seq}`;
    const record = /** @type {Record} */ ({ ...message, key, state: own ? "stored" : "delivered" });
    if (twin) this.#byClient.set(clientId, record);
    this.#insert(/** @type {Stored} */ (record));
  }

  /**
   * Returns the entry of an own message that has no number yet.
   * @param {Message} message
   */
  #echo({ own, clientId }) {
    const record = this.#byClient.get((own && clientId) || "");
    return record?.seq === undefined ? record : undefined;
  }

  /**
   * An echo is stored: it takes its place.
   * @param {Record} record
   * @param {number} seq
   * @param {string} [timestamp]
   */
  #place(record, seq, timestamp) {
    this.#takeOut(record);
    if (record === this.#inFlight) this.#land();
    this.#refusals = 0;
    Object.assign(record, { seq, timestamp, error: undefined });
    this.#advance(record, "stored");
    this.#insert(/** @type {Stored} */ (record));
    this.#emit("drop", record);
    this.#emit("stored", this, record);
  }

  /**
   * Takes an echo out of the queue. Returns whether it was there.
   * @param {Record} record
   */
  #takeOut(record) {
    const i = this.echoes.indexOf(record);
    if (i >= 0) this.echoes.splice(i, 1);
    this.#change();
    return i >= 0;
  }

  /** @param {Stored} record */
  #insert(record) {
    const before = this.#log.findLastIndex((other) => other.seq < record.seq);
    this.#log.splice(before + 1, 0, record);
    this.#bySeq.set(record.seq, record);
    this.dirty = true;
    this.#change();
  }

  /**
   * @param {Record} record
   * @param {ChatError} error
   */
  #fail(record, error) {
    if (record === this.#inFlight) this.#land();
    this.#move(record, "failed");
    record.error = error;
    record.done?.reject(error);
    this.#emit("save", this, record);
  }

  #requeue() {
    if (this.#inFlight) this.#move(this.#inFlight, "queued");
    this.#land();
  }

  #land() {
    if (this.socket !== undefined) this.#emit("landed", this.socket);
    this.#inFlight = this.socket = undefined;
  }

  /**
   * @param {Record} record
   * @param {"sending" | "stored" | "delivered"} state
   */
  #advance(record, state) {
    for (const step of statesBetween(record.state, state)) this.#move(record, step);
  }

  /**
   * @param {Record} record
   * @param {EntryState} state
   */
  #move(record, state) {
    move(record, state, this.#env.log);
    this.#change();
  }

  /** @returns {Snapshot} */
  #build() {
    const { id, peer, newest, read, unread } = this;
    return Object.freeze({
      id, peer, newest, read, unread,
      more: this.#more,
      entries: Object.freeze([...this.#log, ...this.echoes].map((record) => view(record, this.#actions))),
      loading: this.#request !== undefined && this.#request.after === undefined,
      readByPeer: 0,
      typing: Object.freeze([]),
      error: this.#error,
    });
  }

  #change() {
    this.#snapshot = undefined;
    this.fresh = true;
  }
}
