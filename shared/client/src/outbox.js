import { deferred, statesBetween, transition } from "./entry.js";
import { ChatError } from "./error.js";
import { jitter } from "./timing.js";

/** @import { Emit, EntryRecord, EntryState, Env, Message, OutboxRow, Timeline, TimelineEffects } from "./types.js" */

/**
 * The user's messages of one conversation that have no number yet, in the order of sending. They are sent one at a time. As its
 * timeline, it is a state machine without I/O.
 */
export class Outbox {
  /** @type {EntryRecord[]} */ records = [];
  /** Own messages, of the outbox and of the log. @type {Map<string, EntryRecord>} */ byClientId = new Map();

  /** The message that was sent and has no ack yet. @type {EntryRecord | undefined} */ #inFlight;
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
    const known = this.byClientId.get(clientId);
    if (known) return known;
    const expires = now + this.#env.timing.expire - Math.max(0, age);
    /** @type {EntryRecord} */
    const record = { ...message, key: `m:${clientId}`, sender: this.#env.user, own: true, state: "queued", expires, done: deferred() };
    this.byClientId.set(clientId, record);
    const later = this.records.findIndex((other) => other !== this.#inFlight && other.order > order);
    this.records.splice(later < 0 ? this.records.length : later, 0, record);
    this.#timeline.markChanged();
    if (error) this.#fail(record, error);
    else if (!saved) this.#emit("save", this.#timeline, record);
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
    if (error.retryable) this.#resendLater(now, error.retryAfterMs);
    else this.#fail(record, error);
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
   * Removes a failed or queued message.
   * @param {EntryRecord} record
   */
  discard(record) {
    if (record.state === "sending" || !this.#remove(record)) return;
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
    for (const record of this.#queued) {
      if (now >= record.expires) this.#fail(record, new ChatError("expired", "The message has waited for a day."));
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
    if (!head?.saved || connection === undefined) return due;
    if (now < this.#waitUntil) return Math.min(due, this.#waitUntil);
    this.advance(head, "sending");
    this.#inFlight = head;
    this.#probed = false;
    this.connection = connection;
    this.#ackAt = now + this.#env.timing.ack;
    this.#emit("send", this.#timeline, head, connection);
    return Math.min(due, this.#ackAt);
  }

  /**
   * A message is stored: gives it its number and removes it, for the timeline to put into the log.
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
    this.#timeline.markChanged();
    return i >= 0;
  }

  /**
   * Returns the record here that a message of the log belongs to, if there is one.
   * @param {Message} message
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
    if (record === this.#inFlight) this.#clearInFlight();
    this.#transition(record, "failed");
    record.error = error;
    record.done?.reject(error);
    this.#emit("save", this.#timeline, record);
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
    this.#timeline.markChanged();
  }
}
