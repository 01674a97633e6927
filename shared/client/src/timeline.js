import { deferred, view } from "./entry.js";
import { Log } from "./log.js";
import { Marks } from "./marks.js";
import { Outbox } from "./outbox.js";
import { Peer } from "./peer.js";
import { Retry } from "./timing.js";

/**
 * @import { ChatError } from "./error.js"
 * @import { ConversationRow, Deferred, Emit, EntryActions, EntryRecord, Env, LogEntry, Range, Snapshot,
 *   StoredRecord, TimelineEffects, Wording } from "./types.js"
 */

const PAGE = 50;

/**
 * The state machine of one conversation, without any I/O. Each method is an event at a time `now`; `emit` takes the effects.
 *
 * The log holds the entries that have a number. A gap in it is read from the history. The user's messages and changes that have no number
 * yet are in the `outbox`.
 */
export class Timeline {
  /** Whether the snapshot has changed since it was last published. */
  changed = true;
  /** Whether `row()` has changed since it was last stored. */
  dirty = false;
  /** Whether there may be messages below the log. */
  #more = true;
  /** Whether the program shows this conversation. */
  opened = false;
  log = new Log();
  /** The page that is being read. @type {Range | undefined} */ #request;
  /** Calls of `older` that wait for a page. @type {({n: number} & Deferred<{more: boolean}>)[]} */ #older = [];
  /** Whether entries above the log may have been missed. */
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

  /** The number up to which the entries are known. A send tells it to the server, which searches for the newest number from there. */
  get high() {
    return this.log.high;
  }

  /** The highest number that is known, of an entry or from the list. */
  get newest() {
    const newest = Math.max(this.log.newest, this.marks.row?.newest ?? -Infinity);
    return newest > -Infinity ? newest : 0;
  }

  /**
   * Returns whether the number of unread messages may be wrong: they are not all in the log, or being read into it, and the row of the
   * list cannot tell, or is on its way and may count a message that is in the log or not.
   * @param {boolean} onItsWay
   */
  doubtful(onItsWay) {
    const low = this.high === undefined ? Infinity : this.log.low;
    return low > this.marks.own.read + 1 && (onItsWay || this.marks.uncertain(low));
  }

  /** Whether the read mark is that of the server. A conversation without new messages needs none. */
  get marksKnown() {
    return this.marks.known || (this.high !== undefined && this.newest <= 0);
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
    return record.view ?? view(record, this.outbox.changes(record).at(-1), this.#actions);
  }

  /**
   * Returns the record of an entry.
   * @param {string} key
   * @returns {EntryRecord | undefined}
   */
  record(key) {
    const is = (/** @type {EntryRecord} */ record) => record.key === key;
    return this.log.texts.find(is) ?? this.outbox.messages.find(is);
  }

  // The log.

  /**
   * An entry was pushed, or one of ours was acknowledged.
   * @param {LogEntry} entry
   * @param {number} now
   */
  push(entry, now) {
    const { seq } = entry;
    if (!entry.own) this.signs.wrote(now);
    // An entry below the known range is left to the pages of the history.
    if (this.high !== undefined && seq < this.log.low && !this.outbox.waiting(entry)) return;
    this.#add(entry);
    if (this.high === undefined) this.log.addRange(seq, seq);
    this.#extend();
    if (this.#hasGap) this.#gatherAt ||= now + this.#env.timing.gather;
  }

  /**
   * An ack arrived. Returns whether it belongs to a message or a change of ours.
   * @param {{client_message_id: string, seq: number, timestamp?: string, status: string}} frame
   * @param {number} now
   */
  ack({ client_message_id: clientId, seq, timestamp, status }, now) {
    const record = this.outbox.byClientId.get(clientId);
    if (!record) return false;
    this.push(this.outbox.stamped(record, seq, timestamp), now);
    if (record.seq !== seq) return false;
    if (status !== "delivered") return true;
    if (!record.kind) this.outbox.advance(record, "delivered");
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

  marksChanged() {
    this.dirty = true;
    this.markChanged();
  }

  /** The peer has read or got more of the messages. */
  peerMarksChanged() {
    for (const record of this.log.texts) this.outbox.advance(record, this.marks.stateOf(record));
    this.marksChanged();
  }

  /**
   * A page that was requested by a `read` effect arrived.
   * @param {Range} request
   * @param {LogEntry[]} entries ordered by number
   * @param {boolean} more whether there are more in its direction
   * @param {number} now
   */
  page({ after, before }, entries, more, now) {
    this.#request = this.#error = undefined;
    this.#gatherAt = 0;
    for (const entry of entries) this.#add(entry);
    const got = entries.findLast(({ own, kind }) => !own && !kind)?.seq ?? 0;
    if (before === undefined) this.marks.raise(0, got);
    const first = after === undefined ? (entries[0]?.seq ?? this.log.low) : after + 1;
    const last = before === undefined ? (entries.at(-1)?.seq ?? first - 1) : before - 1;
    if (first <= last || this.high === undefined) this.log.addRange(first, last);
    this.#extend();
    if (after === undefined) this.#olderArrived(first, more);
    else if (more && entries.length) this.#stale = true;
    // The history lacks a number that something else has told.
    if (after !== undefined && !entries.length && this.#hasGap) this.#retry.failed(now, true);
    else this.#retry.succeeded();
    this.markChanged();
  }

  /**
   * @param {number} first
   * @param {boolean} more
   */
  #olderArrived(first, more) {
    this.#fill = false;
    if (first === this.log.low) this.#more = more;
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
    return { id, peer, read: own.read, high: this.high, entries: this.log.newestTexts(PAGE), listed, changed: true };
  }

  /**
   * Takes over what an earlier program has stored.
   * @param {ConversationRow} row
   */
  restore({ read, high, entries, listed, changed }) {
    this.marks.raise(read);
    // The entries of a program that knew no changes may be out of date: they are read again.
    if (changed) {
      for (const entry of entries) this.#add({ editedSeq: 0, deletedSeq: 0, ...entry, own: entry.sender === this.#env.user });
      if (high !== undefined) this.log.addRange(entries[0]?.seq ?? high + 1, high);
      this.#extend();
    }
    if (listed) this.marks.restore(listed);
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
    const { low, high, texts } = this.log;
    if (high === undefined) {
      return older || (this.#stale && this.opened) ? [{ limit: older?.n ?? PAGE }, this.#retry.at] : [undefined, Infinity];
    }
    const fill = this.#fill && this.#more && texts.length < PAGE;
    if (older || fill) return [{ before: low, limit: older?.n ?? PAGE }, older ? 0 : this.#retry.at];
    const at = this.#stale ? this.#retry.at : this.#hasGap ? Math.max(this.#retry.at, this.#gatherAt) : Infinity;
    return [{ after: high, limit: 1_000 }, at];
  }

  get #hasGap() {
    return this.high !== undefined && this.newest > this.high;
  }

  #extend() {
    this.log.extend();
    if (!this.#hasGap) this.#gatherAt = 0;
  }

  /** @param {LogEntry} entry */
  #add(entry) {
    const { seq, kind, timestamp, target } = entry;
    if (!kind && this.log.get(seq)) return this.#reword(seq, entry);
    const sent = this.outbox.waiting(entry);
    if (sent) this.outbox.stored(sent, seq, timestamp);
    if (!kind) return this.#insert(entry, /** @type {StoredRecord | undefined} */ (sent));
    this.log.note(seq);
    if (target !== undefined) this.#reword(target, entry);
    this.marksChanged();
  }

  /**
   * @param {LogEntry} entry a text that is not in the log
   * @param {StoredRecord} [sent] our message that it is
   */
  #insert(entry, sent) {
    const record = sent ?? this.outbox.fromElsewhere(entry);
    this.outbox.advance(record, this.marks.stateOf(record));
    this.log.insert(record);
    this.marksChanged();
  }

  /**
   * A text was edited or deleted, unless a newer change of it is known.
   * @param {number} seq
   * @param {Wording} wording
   */
  #reword(seq, wording) {
    if (!this.log.reword(seq, wording)) return;
    const { row, own } = this.marks;
    this.marks.reword(seq, wording);
    if (wording.deletedSeq) {
      this.outbox.abandon(seq);
      // The list counts or shows it, and only the server knows what it would show instead.
      if (!this.log.get(seq) && (seq > own.read || seq === row?.preview?.seq)) this.#emit("doubt");
    }
    this.marksChanged();
  }

  /** @returns {Snapshot} */
  #build() {
    const { id, peer, newest, marksKnown, signs, marks } = this;
    const { low, high, texts } = this.log;
    const { read } = marks.own;
    return Object.freeze({
      id, peer, newest, read, marksKnown,
      unread: marks.unread(texts, low, Number(high)),
      firstUnread: texts.find(({ own, seq, deletedSeq }) => !own && seq > read && !deletedSeq)?.seq,
      readByPeer: marks.peer.read,
      deliveredToPeer: marks.peer.delivered,
      presence: signs.presence,
      more: this.#more,
      entries: Object.freeze([...texts, ...this.outbox.messages].map((record) => this.entry(record))),
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
