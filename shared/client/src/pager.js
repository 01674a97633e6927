import { deferred } from "./entry.js";
import { Retry } from "./timing.js";

/** @import { ChatError } from "./error.js" */
/** @import { Deferred, Emit, Env, LogEntry, Range, Timeline, TimelineEffects } from "./types.js" */

const PAGE = 50;

/** The state machine that decides which page of a conversation's history is read, and when, without any I/O. */
export class Pager {
  /** Whether there may be entries below the log. */
  more = true;
  /** Whether the program shows this conversation. */
  opened = false;
  /** Why the last page could not be read. @type {ChatError | undefined} */ error;
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
  #timeline;
  #timing;
  #emit;

  /**
   * @param {Timeline} timeline
   * @param {Pick<Env, "random" | "timing">} env
   * @param {Emit<TimelineEffects>} emit
   */
  constructor(timeline, env, emit) {
    this.#timeline = timeline;
    this.#timing = env.timing;
    this.#retry = new Retry(env);
    this.#emit = emit;
  }

  /** Whether a page of older entries, or the first one, is being read. */
  get loading() {
    return this.#request !== undefined && this.#request.after === undefined;
  }

  /** Whether entries may be missing in the log. */
  get behind() {
    return this.#stale || this.#request !== undefined || this.#timeline.hasGap;
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
    if (!this.more) return Promise.resolve({ more: false });
    /** @type {Deferred<{more: boolean}>} */
    const done = deferred();
    this.#older.push({ n: Math.max(1, Math.min(1_000, Math.trunc(n) || PAGE)), ...done });
    return done.promise;
  }

  /**
   * Rejects all calls of `older` that wait.
   * @param {ChatError} error
   */
  rejectOlder(error) {
    for (const { reject } of this.#older.splice(0)) reject(error);
  }

  /**
   * The log has grown. A gap is read a little later, since the missing push may still arrive.
   * @param {number} now
   */
  extended(now) {
    this.#gatherAt = this.#timeline.hasGap ? this.#gatherAt || now + this.#timing.gather : 0;
  }

  /**
   * The requested page is in the log.
   * @param {Range} request
   * @param {LogEntry[]} entries
   * @param {number} first its first number
   * @param {boolean} more whether there are more in its direction
   * @param {number} now
   */
  arrived({ after }, entries, first, more, now) {
    this.#request = this.error = undefined;
    this.#gatherAt = 0;
    if (after === undefined) this.#olderArrived(first, more);
    else if (more && entries.length) this.#stale = true;
    // The history lacks a number that something else has told.
    if (after !== undefined && !entries.length && this.#timeline.hasGap) this.#retry.failed(now, true);
    else this.#retry.succeeded();
  }

  /**
   * @param {number} first
   * @param {boolean} more
   */
  #olderArrived(first, more) {
    this.#fill = false;
    if (first === this.#timeline.log.low) this.more = more;
    for (const { resolve } of this.#older.splice(0)) resolve({ more: this.more });
  }

  /**
   * A page could not be read.
   * @param {Range} request
   * @param {ChatError} error
   * @param {number} now
   */
  failed(request, error, now) {
    this.#request = undefined;
    this.error = error;
    this.rejectOlder(error);
    if (request.before === undefined) this.#stale ||= error.retryable;
    this.#retry.failed(now, error.retryable);
  }

  /**
   * Reads what is due. Returns the time at which it is to be called again.
   * @param {number} now
   */
  pump(now) {
    if (this.#request) return Infinity;
    const [request, at] = this.#next();
    if (!request || at > now) return at;
    if (request.before === undefined) this.#stale = false;
    this.#request = request;
    this.#emit("read", this.#timeline, request);
    this.#timeline.markChanged();
    return Infinity;
  }

  /** Returns the page that is to be read next, and the time. @returns {[Range | undefined, number]} */
  #next() {
    const [older] = this.#older;
    const { log, hasGap } = this.#timeline;
    const { low, high, shown } = log;
    if (high === undefined) {
      return older || (this.#stale && this.opened) ? [{ limit: older?.n ?? PAGE }, this.#retry.at] : [undefined, Infinity];
    }
    const fill = this.#fill && this.more && shown.length < PAGE;
    if (older || fill) return [{ before: low, limit: older?.n ?? PAGE }, older ? 0 : this.#retry.at];
    const at = this.#stale ? this.#retry.at : hasGap ? Math.max(this.#retry.at, this.#gatherAt) : Infinity;
    return [{ after: high, limit: 1_000 }, at];
  }
}
