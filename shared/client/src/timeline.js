import { view } from "./entry.js";
import { Group } from "./group.js";
import { stamped } from "./history.js";
import { isGroupId } from "./id.js";
import { Log } from "./log.js";
import { Marks } from "./marks.js";
import { Outbox } from "./outbox.js";
import { Pager } from "./pager.js";
import { Peer } from "./peer.js";

/**
 * @import { ChatError } from "./error.js"
 * @import { ConversationRow, Emit, EntryActions, EntryRecord, Env, GroupEvent, LogEntry, Range, Snapshot,
 *   StoredRecord, TimelineEffects, Wording } from "./types.js"
 */

/** Entries that are stored. */
const STORED = 50;

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
  log = new Log();
  /** What the user has set: whether messages make no notifications, and whether the peer is blocked. */
  muted = false;
  blocked = false;
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
    this.pager = new Pager(this, env, emit);
    this.outbox = new Outbox(this, env, emit);
    this.marks = new Marks(this, env.timing, emit);
    this.signs = new Peer(env.timing, () => this.markChanged());
    /** Undefined in a direct conversation. */
    this.group = isGroupId(id) ? new Group(this, env, emit) : undefined;
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

  /** Whether this user may write, as far as is known. */
  get isMember() {
    return this.group?.isMember ?? true;
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
    const { seq, own, sender } = entry;
    if (!own) this.signs.wrote(sender, now);
    // An entry below the known range is left to the pages of the history.
    if (this.high !== undefined && seq < this.log.low && !this.outbox.waiting(entry)) return;
    this.#add(entry);
    if (this.high === undefined) this.log.addRange(seq, seq);
    this.log.extend();
    this.pager.extended(now);
  }

  /**
   * An ack arrived. Returns whether it belongs to a message or a change of ours.
   * @param {{client_message_id: string, seq: number, timestamp?: string, status: string}} frame
   * @param {number} now
   */
  ack({ client_message_id: clientId, seq, timestamp, status }, now) {
    const record = this.outbox.byClientId.get(clientId);
    if (!record) return false;
    if (record.event) return this.#groupAck(record, seq, timestamp);
    this.push(stamped(record, seq, timestamp), now);
    if (record.seq !== seq) return false;
    if (status !== "delivered") return true;
    if (!record.kind) this.outbox.advance(record, "delivered");
    this.signs.heard(now);
    return true;
  }

  /**
   * A change of the group is stored. Only the history tells what it says: an invitation leaves out who is in the group already.
   * @param {EntryRecord} record
   * @param {number} seq
   * @param {string} [timestamp]
   */
  #groupAck(record, seq, timestamp) {
    if (record.seq === undefined) this.outbox.stored(record, seq, timestamp);
    this.check();
    return true;
  }

  /** Asks for a comparison with the history, because pushes may have been missed. */
  check() {
    this.pager.check();
    this.group?.check();
  }

  /**
   * The user types.
   * @param {number} now
   */
  typed(now) {
    if (this.isMember && !this.blocked && this.signs.typed(now, this.group?.isSmall)) this.#emit("typing", this);
  }

  /**
   * The server has what the user has set. When a block has ended, what was written meanwhile is read.
   * @param {{muted?: boolean, blocked?: boolean}} set
   */
  set({ muted = false, blocked = false }) {
    if (this.muted === muted && this.blocked === blocked) return;
    if (this.blocked && !blocked) this.check();
    Object.assign(this, { muted, blocked });
    this.marksChanged();
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
  page(request, entries, more, now) {
    const { after, before } = request;
    for (const entry of entries) this.#add(entry);
    const got = entries.findLast(({ own, kind }) => !own && !kind)?.seq ?? 0;
    if (before === undefined) this.marks.raise(0, got);
    const first = after === undefined ? (entries[0]?.seq ?? this.log.low) : after + 1;
    const last = before === undefined ? (entries.at(-1)?.seq ?? first - 1) : before - 1;
    if (first <= last || this.high === undefined) this.log.addRange(first, last);
    this.log.extend();
    this.pager.arrived(request, entries, first, more, now);
    this.markChanged();
  }

  /**
   * A page could not be read.
   * @param {Range} request
   * @param {ChatError} error
   * @param {number} now
   */
  pageFailed(request, error, now) {
    this.pager.failed(request, error, now);
    if (error.code === "forbidden") this.group?.refuse();
    this.markChanged();
  }

  /** Returns what is stored of the conversation, for the next start of the program. @returns {ConversationRow} */
  row() {
    const { id, peer } = this;
    const { own, row: listed } = this.marks;
    const { title, members } = this.group ?? {};
    return { id, peer, title, members, read: own.read, high: this.high, entries: this.log.newestShown(STORED), listed, changed: true };
  }

  /**
   * Takes over what an earlier program has stored.
   * @param {ConversationRow} row
   */
  restore({ read, high, entries, listed, changed, title, members }) {
    this.marks.raise(read);
    // The entries of a program that knew no changes may be out of date: they are read again.
    if (changed) {
      for (const entry of entries) this.#add({ editedSeq: 0, deletedSeq: 0, ...entry, own: entry.sender === this.#env.user });
      if (high !== undefined) this.log.addRange(entries[0]?.seq ?? high + 1, high);
      this.log.extend();
    }
    if (listed) {
      this.marks.restore(listed);
      this.set(listed);
    }
    if (this.group && title !== undefined) this.group.title = title;
    if (members) this.group?.take(members, Number(high));
    this.dirty = false;
    this.markChanged();
  }

  /**
   * Sends and reads what is due. Returns the time at which it is to be called again.
   * @param {number} now
   * @param {number | undefined} connection that takes frames
   * @param {{deliveredAt: number} | false | undefined} pace of marks, if the server takes some
   * @param {boolean} reachable whether the history can be requested
   */
  pump(now, connection, pace, reachable) {
    const marksAt = pace && this.isMember ? this.marks.pump(now, connection, pace) : Infinity;
    const readAt = reachable ? Math.min(this.pager.pump(now), this.group?.pump(now) ?? Infinity) : Infinity;
    return Math.min(this.signs.pump(now), marksAt, this.outbox.pump(now, connection), readAt);
  }

  /** Whether entries between the log and the highest number are missing. */
  get hasGap() {
    return this.high !== undefined && this.newest > this.high;
  }

  /** @param {LogEntry} entry */
  #add(entry) {
    const { seq, kind, timestamp, target, event } = entry;
    if ((!kind || event) && this.log.get(seq)) return this.#reword(seq, entry);
    const sent = this.outbox.waiting(entry);
    if (sent) this.outbox.stored(sent, seq, timestamp);
    if (!kind || event) return this.#insert(entry, /** @type {StoredRecord | undefined} */ (event ? undefined : sent));
    this.log.note(seq);
    if (target !== undefined) this.#reword(target, entry);
    this.marksChanged();
  }

  /**
   * @param {LogEntry} entry a text or an event that is not in the log
   * @param {StoredRecord} [sent] our message that it is
   */
  #insert(entry, sent) {
    const record = sent ?? this.outbox.fromElsewhere(entry);
    this.outbox.advance(record, this.marks.stateOf(record));
    this.log.insert(record);
    if (record.event) this.#happened(record.seq, record.event);
    this.marksChanged();
  }

  /**
   * An entry has changed the group.
   * @param {number} seq
   * @param {GroupEvent} event
   */
  #happened(seq, event) {
    this.group?.apply(seq, event);
    if (event.kind === "leave") for (const user of event.users) this.signs.stopped(user);
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
    const { id, peer, newest, marksKnown, signs, marks, group, pager, muted, blocked } = this;
    const { low, high, shown, texts } = this.log;
    const { read } = marks.own;
    // What was written before the user joined counts as read.
    const joined = group?.joined ?? 0;
    return Object.freeze({
      id, peer, newest, read, marksKnown, muted, blocked,
      isGroup: group !== undefined,
      title: group ? group.title : peer,
      members: group?.members,
      role: group?.role,
      isMember: this.isMember,
      unread: marks.unread(texts, low, Number(high), joined),
      firstUnread: texts.find(({ own, seq, deletedSeq }) => !own && seq > Math.max(read, joined) && !deletedSeq)?.seq,
      readByPeer: marks.peer.read,
      deliveredToPeer: marks.peer.delivered,
      presence: signs.presence,
      more: pager.more,
      entries: Object.freeze([...shown, ...this.outbox.messages].map((record) => this.entry(record))),
      loading: pager.loading,
      typing: signs.typing,
      error: pager.error,
    });
  }

  /** Notes that the snapshot has changed. */
  markChanged() {
    this.#snapshot = undefined;
    this.changed = true;
  }
}
