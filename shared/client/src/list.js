import { deferred } from "./entry.js";
import { retryableError } from "./error.js";
import { optionalString, toCount } from "./history.js";
import { conversationId, isGroupId } from "./id.js";
import { Retry } from "./timing.js";

/** @import { ChatError } from "./error.js" */
/** @import { Deferred, Emit, Env, ListEffects, ListPage, ListRange, ListRow, Request } from "./types.js" */

/** Rows of a page of the list. */
const ROWS = 50;
/** Length of a preview. */
export const PREVIEW = 200;
/** The most rows of a page. */
const MAX_ROWS = 100;

/**
 * The state machine that reads the server's list of conversations, without any I/O. It reads the list again from its beginning when that
 * may have changed, as far as it was read before: a conversation with something new has moved to the beginning.
 */
export class List {
  /** Whether the server has a list. Undefined until it has answered. @type {boolean | undefined} */ supported;
  /** Whether the whole of it was read, or there is none. */
  complete = false;
  /** Whether there are older conversations. */
  more = false;
  /** @type {ChatError | undefined} */ error;
  changed = true;
  #stale = false;
  /** Time before which a stale list is not read. */
  #staleAt = 0;
  /** Time of the last request. */
  #requestedAt = -Infinity;
  /** The page that is being read. @type {ListRange | undefined} */ #request;
  /** Whether pages are missing. */
  #active = false;
  /** Rows that were read, since the beginning. */
  #count = 0;
  /** Rows that are wanted. */
  #wanted = ROWS;
  /** Where the next page begins. @type {string | undefined} */ #cursor;
  /** Calls of `older` that wait. @type {Deferred<{more: boolean}>[]} */ #waiting = [];
  #retry;
  #env;
  #emit;

  /**
   * @param {Pick<Env, "random" | "timing">} env
   * @param {Emit<ListEffects>} emit
   */
  constructor(env, emit) {
    this.#env = env;
    this.#emit = emit;
    this.#retry = new Retry(env);
  }

  get loading() {
    return this.#request !== undefined;
  }

  /** The list may have changed: it is read again. */
  refresh() {
    this.#stale = this.supported !== false;
    this.#staleAt = 0;
  }

  /**
   * A frame leaves a doubt about unread messages: the list is read again, at most once a second.
   * @param {number} [sentAt] time at which the frame was sent, which the server is given a second to process
   */
  doubt(sentAt = -Infinity) {
    if (this.supported === false) return;
    const at = Math.max(this.#requestedAt, sentAt) + this.#env.timing.list;
    this.#staleAt = this.#stale ? Math.max(this.#staleAt, at) : at;
    this.#stale = true;
  }

  /** There is a new connection, perhaps to a newer server: the list is read again, at once. */
  connected() {
    this.#stale = true;
    this.#staleAt = this.#retry.at = 0;
  }

  /**
   * Asks for `n` older conversations.
   * @param {number} n
   * @returns {Promise<{more: boolean}>}
   */
  older(n) {
    if (this.complete) return Promise.resolve({ more: false });
    /** @type {Deferred<{more: boolean}>} */
    const done = deferred();
    this.#waiting.push(done);
    this.#wanted += Math.max(1, Math.trunc(n) || ROWS);
    this.#active = true;
    return done.promise;
  }

  /** @param {ChatError} error */
  rejectOlder(error) {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /**
   * A page has arrived.
   * @param {Pick<ListPage, "count" | "next">} page
   */
  page({ count, next }) {
    this.#request = this.error = undefined;
    this.#retry.succeeded();
    this.supported = this.changed = true;
    this.#count += count;
    this.#cursor = next;
    if (next === undefined || this.#count >= this.#wanted) this.#end(next !== undefined);
  }

  /**
   * @param {ChatError} error
   * @param {number} now
   */
  failed(error, now) {
    this.#request = undefined;
    this.changed = true;
    this.#retry.failed(now, error.retryable);
    if (error.code === "unsupported") {
      this.supported = false;
      return this.#end(false);
    }
    this.error = error;
    this.rejectOlder(error);
  }

  /** @param {boolean} more */
  #end(more) {
    this.#active = false;
    this.more = more;
    this.complete = !more;
    this.#wanted = Math.max(ROWS, this.#count);
    for (const { resolve } of this.#waiting.splice(0)) resolve({ more: this.more });
  }

  /**
   * Reads what is due. Returns the time at which it is to be called again.
   * @param {number} now
   * @param {boolean} ready whether the list can be requested
   * @param {boolean} missing whether a conversation that is shown has no row yet
   */
  pump(now, ready, missing) {
    if (this.#request || !ready || !(this.#stale || this.#active || (this.more && missing))) return Infinity;
    const at = Math.max(this.#retry.at, this.#active ? 0 : this.#staleAt);
    if (now < at) return at;
    if (this.#stale) {
      this.#stale = false;
      this.#active = true;
      this.#count = 0;
      this.#cursor = undefined;
    }
    const limit = Math.min(MAX_ROWS, Math.max(ROWS, this.#wanted - this.#count));
    this.#request = { before: this.#cursor, limit };
    this.#requestedAt = now;
    this.changed = true;
    this.#emit("readList", this.#request);
    return Infinity;
  }
}

/**
 * Returns a function that reads pages of the server's list.
 * @param {Request} request
 * @param {Pick<Env, "user">} env
 */
export function createListReader(request, { user }) {
  /**
   * @param {ListRange} range
   * @returns {Promise<ListPage>}
   * @throws {ChatError} those of a request; `unsupported`; `bad_response`
   */
  return async ({ before, limit }) => {
    const query = { user, limit, groups: true, ...(before !== undefined && { before }) };
    const { body, link } = await request("conversations", query, { optional: true });
    if (!Array.isArray(body)) throw retryableError("bad_response", "The list makes no sense.");
    const [, next] = /<[^>]*\?([^>]*)>;\s*rel="?next/.exec(link ?? "") ?? [];
    const cursor = (body.length && new URLSearchParams(next).get("before")) || undefined;
    // The first page has all groups, whatever its limit.
    const direct = body.filter((item) => !isGroupId(item?.conversation_id));
    return { rows: body.flatMap((item) => parseRow(item, user)), count: direct.length, next: cursor };
  };
}

/**
 * Returns the row of a conversation, or nothing if this library does not know such conversations.
 * @param {any} item
 * @param {string} user
 * @returns {ListRow[]}
 */
function parseRow(item, user) {
  const { conversation_id: id, peer_id, newest_seq, newest_entry_seq: newest = newest_seq, preview, timestamp } = item ?? {};
  const peer = isGroupId(id) ? "" : peer_id;
  if (typeof peer !== "string" || !Number.isSafeInteger(newest) || (peer ? id !== conversationId(user, peer) : !isGroupId(id))) return [];
  const { unread, read, delivered, peer_read, peer_delivered, title, muted, blocked } = item;
  const row = { id, peer, title: optionalString(title), newest, unread: toCount(unread), read: toCount(read), delivered: toCount(delivered), peerRead: toCount(peer_read), peerDelivered: toCount(peer_delivered), muted: muted === true, blocked: blocked === true };
  const shown = parsePreview(preview, user);
  // Of a group without a text, the preview is what has changed it last.
  const event = !peer && newest_seq === 0;
  return [{ ...row, timestamp: optionalString(timestamp), preview: shown && { ...shown, deleted: shown.deleted && !event } }];
}

/**
 * @param {any} preview
 * @param {string} user
 */
function parsePreview(preview, user) {
  const { seq, sender_id: sender, message: text, timestamp } = preview ?? {};
  if (!Number.isSafeInteger(seq) || typeof sender !== "string" || typeof text !== "string") return;
  return { seq, sender, own: sender === user, text, timestamp: optionalString(timestamp), deleted: !text };
}
