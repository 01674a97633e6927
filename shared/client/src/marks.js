import { PREVIEW } from "./list.js";

/** @import { Emit, ListRow, StoredRecord, Timeline, TimelineEffects, Timing, Wording } from "./types.js" */

/** The most unread messages that are counted. */
const MAX_UNREAD = 100;

/**
 * The marks of a conversation: the numbers up to which its two users have read and got the other's messages. They only grow. A state
 * machine without I/O.
 */
export class Marks {
  /** This user's, on any device. `delivered` is raised by what came by catching up; of a push, the ack tells the sender. */
  own = { read: 0, delivered: 0 };
  peer = { read: 0, delivered: 0 };
  /** The row of the server's list. @type {ListRow | undefined} */ row;
  /** Whether the marks of the server are known, or it has none. */
  known = false;
  /** This user's marks that the server certainly has. */
  #stored = { read: 0, delivered: 0 };
  /** And those that were sent to it, by this tab or another one. */
  #told = { read: 0, delivered: 0 };
  /** Connection and time of the last frame. @type {number | undefined} */ #connection;
  #sentAt = -Infinity;
  /** Time before which no frame is sent. */
  #nextAt = 0;
  /** Whether the next one does not wait for those of other conversations. */
  #urgent = false;
  /** Time before which the server accepts none. */
  #refusedUntil = 0;
  #timeline;
  #timing;
  #emit;

  /**
   * @param {Timeline} timeline
   * @param {Timing} timing
   * @param {Emit<TimelineEffects>} emit
   */
  constructor(timeline, timing, emit) {
    this.#timeline = timeline;
    this.#timing = timing;
    this.#emit = emit;
  }

  /**
   * The user has read up to a number, and got the messages up to another.
   * @param {number} read
   * @param {number} [delivered]
   */
  raise(read, delivered = 0) {
    if (raise(this.own, read, delivered)) this.#timeline.marksChanged();
  }

  /**
   * Another tab tells the server these marks.
   * @param {number} read
   * @param {number} delivered
   */
  told(read, delivered) {
    raise(this.#told, read, delivered);
    this.raise(read, delivered);
  }

  /**
   * The server has these marks.
   * @param {number} read
   * @param {number} delivered
   */
  stored(read, delivered) {
    raise(this.#stored, read, delivered);
    this.told(read, delivered);
  }

  /**
   * The peer has these marks.
   * @param {number} read
   * @param {number} delivered
   */
  ofPeer(read, delivered) {
    if (raise(this.peer, read, delivered)) this.#timeline.peerMarksChanged();
  }

  /**
   * The list has this row. A frame that was sent since its request may not be in it yet; an earlier one is lost if it is not.
   * @param {ListRow} row
   * @param {number} requestedAt
   */
  listed(row, requestedAt) {
    const { read, delivered, unread, newest } = row;
    if (this.#sentAt < requestedAt) this.#told = { ...this.#stored };
    this.areKnown();
    this.stored(read, delivered);
    this.restore(row);
    // The user has got the messages by the list. Without an unread one, there was none to get.
    if (unread) this.raise(0, newest);
  }

  /**
   * This row was in the list.
   * @param {ListRow} row
   */
  restore(row) {
    if (JSON.stringify(row) === JSON.stringify(this.row)) return;
    this.row = row;
    // The list was read before the text was changed.
    const wording = this.#timeline.log.wording(row.preview?.seq ?? NaN);
    if (wording && (wording.deletedSeq || wording.editedSeq > row.newest)) this.reword(Number(row.preview?.seq), wording);
    this.ofPeer(row.peerRead, row.peerDelivered);
    this.#timeline.marksChanged();
  }

  /**
   * A text was edited or deleted, which the row may show.
   * @param {number} seq
   * @param {Wording} wording
   */
  reword(seq, { text, deletedSeq }) {
    const { preview } = this.row ?? {};
    if (!this.row || preview?.seq !== seq) return;
    this.row = { ...this.row, preview: { ...preview, text: text.slice(0, PREVIEW), deleted: deletedSeq > 0 } };
  }

  /** The list was read: without a row, the server has no marks. */
  areKnown() {
    if (!this.known) this.#timeline.markChanged();
    this.known = true;
  }

  /**
   * Returns the state of a message in the log.
   * @param {{own: boolean, seq: number}} message
   * @returns {"stored" | "delivered" | "read"}
   */
  stateOf({ own, seq }) {
    const { read, delivered } = this.peer;
    if (own && read && seq <= read) return "read";
    return !own || (delivered && seq <= delivered) ? "delivered" : "stored";
  }

  /**
   * Returns the number of unread messages, as the server counts them. Those that are not known here are counted by the row of the list.
   * @param {readonly StoredRecord[]} texts of the log
   * @param {number} low all numbers from here
   * @param {number} high to here are known
   * @param {number} joined what was written before counts as read
   */
  unread(texts, low, high, joined) {
    const { row } = this;
    const read = Math.max(this.own.read, joined);
    const theirs = texts.filter(({ own }) => !own);
    const count = (/** @type {number} */ after, to = Infinity) => theirs.filter(({ seq, deletedSeq }) => seq > after && seq <= to && !deletedSeq).length;
    if (!row || read >= row.newest || (low <= read + 1 && high >= row.newest)) return Math.min(MAX_UNREAD, count(read));
    if (row.unread >= MAX_UNREAD) return MAX_UNREAD;
    const { newest } = row;
    const counted = Math.max(row.read, joined);
    // The row counts them as well.
    const deleted = theirs.filter(({ seq, deletedSeq }) => seq > counted && seq <= newest && deletedSeq > newest).length;
    return Math.min(MAX_UNREAD, Math.max(0, row.unread - count(counted, read) - deleted + count(newest)));
  }

  /**
   * Returns whether the row of the list cannot tell the number of unread messages: between it and the log is a gap, or it counts messages
   * that have been read since.
   * @param {number} low the first number of the log; `Infinity`: there is none
   */
  uncertain(low) {
    const { newest = 0, read: counted = 0 } = this.row ?? {};
    const { read } = this.own;
    return (low < Infinity && low > Math.max(newest, read) + 1) || (read > counted && read < newest);
  }

  /**
   * A connection was closed: its last frames may be lost. A mark that is sent twice does no harm.
   * @param {number} connection
   */
  lost(connection) {
    if (this.#connection === connection) this.#told = { ...this.#stored };
  }

  /**
   * The server has rejected a frame, without saying which one. Those of the last seconds are sent again.
   * @param {number} now
   * @param {number} [wait]
   */
  refused(now, wait = this.#timing.mark) {
    if (now > this.#sentAt + this.#timing.ack) return;
    this.#told = { ...this.#stored };
    this.#nextAt = this.#refusedUntil = now + wait;
  }

  /** Lets the last mark go at once, because the page is hidden or closed. */
  flush() {
    this.#nextAt = this.#refusedUntil;
    this.#urgent = true;
  }

  /**
   * Sends what the server does not know. Returns the time at which it is to be called again.
   * @param {number} now
   * @param {number | undefined} connection that takes frames
   * @param {{deliveredAt: number}} pace of all conversations: time before which no frame is sent that only tells what was delivered
   */
  pump(now, connection, pace) {
    const { own } = this;
    const told = this.#told;
    // Own messages need no mark: else each one that is sent would cost a mark as well.
    const last = own.read > told.read ? this.#timeline.log.lastOfPeer(told.read, own.read) : 0;
    const read = last > told.read ? last : undefined;
    // `read` implies `delivered`.
    const delivered = own.delivered > Math.max(own.read, told.delivered) ? own.delivered : undefined;
    if (connection === undefined || (read ?? delivered) === undefined) return Infinity;
    const at = Math.max(this.#nextAt, read || this.#urgent ? 0 : pace.deliveredAt);
    if (now < at) return at;
    this.#emit("mark", this.#timeline, { read, delivered }, connection);
    raise(told, last, delivered ?? 0);
    this.#connection = connection;
    this.#sentAt = now;
    this.#urgent = false;
    this.#nextAt = now + this.#timing.mark;
    // After an absence, many conversations have something to tell at once.
    if (!read) pace.deliveredAt = now + this.#timing.delivered;
    return Infinity;
  }
}

/**
 * Raises marks. Returns whether one has grown.
 * @param {{read: number, delivered: number}} marks
 * @param {number} read
 * @param {number} delivered
 */
function raise(marks, read, delivered) {
  const before = marks.read + marks.delivered;
  marks.read = Math.max(marks.read, read);
  marks.delivered = Math.max(marks.delivered, read, delivered);
  return marks.read + marks.delivered > before;
}
