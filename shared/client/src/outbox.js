import { deferred, statesBetween, transition } from "./entry.js";
import { ChatError, notMember, unsupported } from "./error.js";
import { jitter } from "./timing.js";

/** @import { Emit, Entry, EntryRecord, EntryState, Env, LogEntry, OutgoingMessage, StoredRecord, Timeline, TimelineEffects } from "./types.js" */

/**
 * The user's messages of one conversation that have no number yet, edits and deletes of messages, and changes of the group, in the order of
 * sending. They are sent one at a time. As its timeline, it is a state machine without I/O.
 */
export class Outbox {
  /** @type {EntryRecord[]} */ records = [];
  /** Own messages, of the outbox and of the log, and changes. @type {Map<string, EntryRecord>} */ byClientId = new Map();

  /** The record that was sent and has no ack yet. @type {EntryRecord | undefined} */ #inFlight;
  /** The id of the connection that it was sent on. @type {number | undefined} */ connection;
  /** Time at which its ack is late. */
  #ackAt = 0;
  /** Whether the connection was probed because the ack is late. */
  #probed = false;
  /** Time before which nothing is sent, because the server is busy or limits the rate. */
  #waitUntil = 0;
  /** Consecutive sends that the server could not take, for the backoff. */
  #failures = 0;
  #timeline;
  #env;
  #emit;

  /**
   * @param {Timeline} timeline
   * @param {Pick<Env, "user" | "random" | "timing" | "log">} env
   * @param {Emit<TimelineEffects>} emit
   */
  constructor(timeline, env, emit) {
    this.#timeline = timeline;
    this.#env = env;
    this.#emit = emit;
  }

  /** The messages, without the changes. */
  get messages() {
    return this.records.filter(({ kind }) => !kind);
  }

  /**
   * Returns the changes of a message that are not stored yet.
   * @param {EntryRecord} record
   */
  changes({ seq, clientId }) {
    return this.records.filter(({ target }) => target !== undefined && (target === seq || target === clientId));
  }

  /**
   * Returns the message that a record is about: itself, or the one that it changes, if that is known.
   * @param {EntryRecord} record
   */
  subject(record) {
    const { kind, target } = record;
    return !kind ? record : typeof target === "number" ? this.#timeline.log.get(target) : this.byClientId.get(String(target));
  }

  /**
   * Queues a message or a change, which is shown at once. One that an earlier program has left keeps its place in the order of sending.
   * @param {OutgoingMessage} message
   * @param {number} now
   * @param {number} age of the message
   * @param {ChatError} [error] the reason if it cannot be sent
   * @returns {EntryRecord}
   */
  send(message, now, age, error) {
    const { clientId, order, saved } = message;
    const known = this.byClientId.get(clientId);
    if (known) return known;
    const expires = now + this.#env.timing.expire - Math.max(0, age);
    /** @type {EntryRecord} */
    const record = {
      ...message, key: `m:${clientId}`, sender: this.#env.user, own: true, state: "queued", editedSeq: 0, deletedSeq: 0, expires, done: deferred(),
    };
    this.byClientId.set(clientId, record);
    const later = this.records.findIndex((other) => other !== this.#inFlight && other.order > order);
    this.records.splice(later < 0 ? this.records.length : later, 0, record);
    this.#markChanged(record);
    if (error) this.#fail(record, error);
    else if (!saved) this.#emit("save", this.#timeline, record);
    return record;
  }

  /**
   * Changes a message. One that the server cannot have is changed where it waits; for another one the change is queued.
   * @param {EntryRecord} record
   * @param {Omit<OutgoingMessage, "target" | "saved">} change
   * @param {number} now
   * @returns {Promise<unknown>} resolves when the change is made
   */
  async change(record, change, now) {
    for (const earlier of this.changes(record)) if (earlier.state === "failed") this.discard(earlier);
    const { seq, clientId, attempted, state } = record;
    if (seq === undefined && (!attempted || state === "failed")) return this.#changeHere(record, change);
    return this.send({ ...change, target: seq ?? clientId, saved: false }, now, 0).done?.promise;
  }

  /**
   * @param {EntryRecord} record
   * @param {Pick<OutgoingMessage, "text" | "kind">} change
   */
  #changeHere(record, { kind, text }) {
    if (kind === "delete") return this.discard(record);
    Object.assign(record, { text, saved: false });
    this.#markChanged(record);
    this.#emit("save", this.#timeline, record);
  }

  /**
   * A message was deleted: its changes that are not sent have no meaning any more.
   * @param {number} seq
   */
  abandon(seq) {
    for (const change of this.records.filter(({ target, state }) => target === seq && state !== "sending")) this.#drop(change);
  }

  /**
   * Removes a change that is not to be made any more.
   * @param {EntryRecord} change
   */
  #drop(change) {
    if (change === this.#inFlight) this.#clearInFlight();
    this.#remove(change);
    this.#emit("drop", change);
    if (change.kind === "delete") change.done?.resolve(undefined);
    else change.done?.reject(new ChatError("message_not_found", "The message is deleted."));
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
    if (error.retryable) this.#resendLater(now, error.retryAfterMs);
    else this.#fail(record, record.kind && error.code === "invalid_frame" ? unsupported() : this.#clearer(record, error));
  }

  /**
   * Returns the error of a rejected record. A member who was removed may not know that yet: the history tells.
   * @param {EntryRecord} record
   * @param {ChatError} error
   */
  #clearer({ kind }, error) {
    if (error.code !== "forbidden" || !this.#timeline.group) return error;
    this.#timeline.check();
    return kind ? error : notMember();
  }

  /**
   * API Gateway has rejected a frame of a connection, without saying which one. The message in flight on it is sent again later.
   * @param {number} connection
   * @param {number} now
   */
  rejected(connection, now) {
    if (this.connection === connection) this.#resendLater(now);
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
    this.#remove(record);
    this.records.push(record);
    this.#emit("save", this.#timeline, record);
  }

  /**
   * Removes a failed or queued message with its changes, or a change.
   * @param {EntryRecord} record
   */
  discard(record) {
    if (record.state === "sending" || !this.#remove(record)) return;
    if (!record.kind) this.changes(record).forEach((change) => this.discard(change));
    if (record.state === "queued") this.#transition(record, "failed");
    record.done?.reject(new ChatError("discarded", "The message was discarded."));
    this.byClientId.delete(record.clientId ?? "");
    this.#emit("drop", record);
  }

  get #queued() {
    return this.records.filter((record) => record.state === "queued");
  }

  /**
   * Sends what is due. Returns the time at which it is to be called again.
   * @param {number} now
   * @param {number | undefined} connection that takes frames
   */
  pump(now, connection) {
    const { isMember, pager } = this.#timeline;
    const left = !isMember && !pager.behind;
    for (const record of this.#queued) {
      if (left) this.#fail(record, notMember());
      else if (now >= record.expires) this.#fail(record, new ChatError("expired", "The message has waited for a day."));
    }
    const [head] = this.#queued;
    const due = Math.min(...this.#queued.map((record) => record.expires));
    if (this.#inFlight) {
      if (now >= this.#ackAt) {
        this.#emit("probe");
        this.#probed = true;
        this.#ackAt = now + this.#env.timing.ack;
      }
      return Math.min(due, this.#ackAt);
    }
    if (!head?.saved || connection === undefined || !isMember) return due;
    if (head.kind && !head.event && typeof head.target !== "number") {
      // Its message, which was before it, is not known any more.
      this.#drop(head);
      return now;
    }
    if (now < this.#waitUntil) return Math.min(due, this.#waitUntil);
    this.advance(head, "sending");
    this.#inFlight = head;
    head.attempted = true;
    this.#probed = false;
    this.connection = connection;
    this.#ackAt = now + this.#env.timing.ack;
    this.#emit("send", this.#timeline, head, connection);
    return Math.min(due, this.#ackAt);
  }

  /**
   * A record is stored: gives it its number and removes it. A message is then put into the log, and its changes can be sent.
   * @param {EntryRecord} record
   * @param {number} seq
   * @param {string} [timestamp]
   */
  stored(record, seq, timestamp) {
    this.#remove(record);
    if (record === this.#inFlight) this.#clearInFlight();
    this.#failures = 0;
    Object.assign(record, { seq, timestamp, error: undefined });
    this.advance(record, "stored");
    for (const change of record.kind ? [] : this.changes(record)) {
      change.target = seq;
      this.#emit("save", this.#timeline, change);
    }
    this.#emit("drop", record);
    this.#emit("stored", this.#timeline, record);
  }

  /**
   * Removes a record. Returns whether it was there.
   * @param {EntryRecord} record
   */
  #remove(record) {
    const i = this.records.indexOf(record);
    if (i >= 0) this.records.splice(i, 1);
    this.#markChanged(record);
    return i >= 0;
  }

  /**
   * Returns the record of a text that was not sent from here.
   * @param {LogEntry} text
   */
  fromElsewhere(text) {
    const { seq, clientId, own } = text;
    // Sent by another tab, whose outbox this tab may adopt later. That must not make a second entry.
    const fromOtherTab = clientId && own && !this.byClientId.has(clientId);
    const key = fromOtherTab ? `m:${clientId}` : `#${seq}`;
    const record = /** @type {StoredRecord} */ ({ ...text, key, state: "stored" });
    if (fromOtherTab) this.byClientId.set(clientId, record);
    return record;
  }

  /**
   * Returns the record here that an entry of the log belongs to, if there is one.
   * @param {LogEntry} entry
   */
  waiting({ own, clientId }) {
    const record = this.byClientId.get((own && clientId) || "");
    return record?.seq === undefined ? record : undefined;
  }

  /**
   * @param {EntryRecord} record
   * @param {ChatError} error
   */
  #fail(record, error) {
    if (record.kind && this.subject(record)?.deletedSeq) return this.#drop(record);
    if (record === this.#inFlight) this.#clearInFlight();
    // Nothing shows a change of a group that has failed: who has asked for it is told.
    if (record.event) return this.#end(record, error);
    this.#transition(record, "failed");
    record.error = error;
    record.done?.reject(error);
    this.#emit("save", this.#timeline, record);
    // The server does not have the message: its changes are made here.
    for (const change of record.kind ? [] : this.changes(record)) {
      this.#remove(change);
      this.#emit("drop", change);
      this.#changeHere(record, change);
      change.done?.resolve(undefined);
    }
  }

  /**
   * Removes a change of a group that will not be made.
   * @param {EntryRecord} record
   * @param {ChatError} error
   */
  #end(record, error) {
    this.#remove(record);
    this.byClientId.delete(record.clientId ?? "");
    this.#emit("drop", record);
    record.done?.reject(error);
  }

  /**
   * @param {number} now
   * @param {number} [delay]
   */
  #resendLater(now, delay) {
    const { sendBackoff, backoffMax } = this.#env.timing;
    this.#waitUntil = now + (delay ?? jitter(this.#env.random, this.#failures++, sendBackoff, backoffMax));
    this.#requeue();
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
   * Moves a record forward to a state, through those between.
   * @param {EntryRecord} record
   * @param {EntryState} state
   */
  advance(record, state) {
    for (const step of statesBetween(record.state, state)) this.#transition(record, step);
  }

  /**
   * @param {EntryRecord} record
   * @param {EntryState} state
   */
  #transition(record, state) {
    transition(record, state, this.#env.log);
    this.#markChanged(record);
  }

  /**
   * Notes that a record has changed, and the message that it is about.
   * @param {EntryRecord} record
   */
  #markChanged(record) {
    const shown = this.subject(record);
    if (shown) shown.view = undefined;
    this.#timeline.markChanged();
  }
}
