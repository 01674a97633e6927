import { reword } from "./entry.js";

/** @import { StoredRecord, Wording } from "./types.js" */

/**
 * The entries of a conversation that have a number. All numbers from `low` to `high` are known. An entry above `high` was pushed after
 * one that is missing; there is a gap between.
 *
 * The texts and the events of a group are kept. Of an edit or a delete only the effect is kept, and of an entry of another kind only that
 * its number is not missing.
 */
export class Log {
  low = 1;
  /** Undefined until the first page or push. @type {number | undefined} */ high;
  /** Texts and events, ordered by number. @type {StoredRecord[]} */ shown = [];
  /** @type {Map<number, StoredRecord>} */ #bySeq = new Map();
  /** Numbers above `high` of entries that are not shown. @type {Set<number>} */ #others = new Set();
  /** The newest wordings of texts that are not known here. @type {Map<number, Wording>} */ #wordings = new Map();

  get texts() {
    return this.shown.filter(({ event }) => !event);
  }

  /** The highest number; `-Infinity`: there is none. */
  get newest() {
    return Math.max(this.shown.at(-1)?.seq ?? -Infinity, this.high ?? -Infinity, ...this.#others);
  }

  /**
   * Returns the text or event with a number.
   * @param {number} seq
   */
  get(seq) {
    return this.#bySeq.get(seq);
  }

  /**
   * Returns the wording of a text, if a change of it is known.
   * @param {number} seq
   * @returns {Wording | undefined}
   */
  wording(seq) {
    return this.#bySeq.get(seq) ?? this.#wordings.get(seq);
  }

  /**
   * Returns the newest texts and events of the known range, as they are stored.
   * @param {number} n
   */
  newestShown(n) {
    const known = this.shown.filter(({ seq }) => seq >= this.low && seq <= Number(this.high)).slice(-n);
    return known.map(({ seq, clientId, sender, text, timestamp, editedSeq, deletedSeq, event }) =>
      ({ seq, clientId, sender, text, timestamp, editedSeq, deletedSeq, event }));
  }

  /** @param {StoredRecord} record a text or an event */
  insert(record) {
    const { seq } = record;
    const before = this.shown.findLastIndex((other) => other.seq < seq);
    this.shown.splice(before + 1, 0, record);
    this.#bySeq.set(seq, record);
    const wording = this.#wordings.get(seq);
    if (wording) reword(record, wording);
    this.#wordings.delete(seq);
  }

  /**
   * Notes the number of an entry that is not shown.
   * @param {number} seq
   */
  note(seq) {
    this.#others.add(seq);
  }

  /**
   * Gives a text its newest wording, now or when it is inserted. A change may arrive before the page with its text, which may be older.
   * Returns whether the wording is newer than the one that is known.
   * @param {number} seq
   * @param {Wording} wording
   */
  reword(seq, wording) {
    const known = this.wording(seq);
    if (known) return reword(known, wording);
    const { text, editedSeq, deletedSeq } = wording;
    this.#wordings.set(seq, { text, editedSeq, deletedSeq });
    return true;
  }

  /**
   * All numbers from `first` to `last` are known from now on.
   * @param {number} first
   * @param {number} last
   */
  addRange(first, last) {
    const { low, high } = this;
    // A range above a gap is not joined: its entries wait, as pushed ones do.
    if (high === undefined || last < low - 1) [this.low, this.high] = [first, last];
    else if (first <= high + 1) [this.low, this.high] = [Math.min(low, first), Math.max(high, last)];
  }

  /** Moves `high` up over the entries that follow it without a gap. */
  extend() {
    let { high } = this;
    if (high === undefined) return;
    while (this.#bySeq.has(high + 1) || this.#others.has(high + 1)) high++;
    for (const seq of this.#others) if (seq <= high) this.#others.delete(seq);
    this.high = high;
  }

  /**
   * Returns the number of the last text of the peer up to a number, or the number itself if entries after `from` are not known.
   * @param {number} from
   * @param {number} to
   */
  lastOfPeer(from, to) {
    const known = this.low <= from + 1 && to <= Number(this.high);
    return known ? (this.texts.findLast(({ own, seq }) => !own && seq <= to)?.seq ?? 0) : to;
  }
}
