import { ChatError } from "./error.js";
import { utf8 } from "./id.js";

/** @import { Deferred, Entry, EntryActions, EntryState, Log, Record } from "./types.js" */

/** The allowed moves of an entry, from its first state to its last. Received messages begin as `delivered`. */
export const MOVES = /** @type {const} */ ({
  failed: ["queued"],
  queued: ["sending", "failed"],
  sending: ["queued", "stored", "delivered", "failed"],
  stored: ["delivered"],
  delivered: ["read"],
  read: [],
});

/** Each is an allowed move from the one before. */
const WAY = /** @type {EntryState[]} */ (Object.keys(MOVES));

/**
 * Moves an entry; one that is not in the table is only logged.
 * @param {Record} record
 * @param {EntryState} to
 * @param {Log} log
 */
export function move(record, to, log) {
  const allowed = /** @type {readonly string[]} */ (MOVES[record.state]);
  if (!allowed.includes(to)) return log("error", "illegal_move", { from: record.state, to });
  record.state = to;
  record.view = undefined;
}

/**
 * Returns the states of the way forward from one to another; none back.
 * @param {EntryState} from
 * @param {EntryState} to
 */
export const statesBetween = (from, to) => WAY.slice(WAY.indexOf(from) + 1, WAY.indexOf(to) + 1);

/**
 * A promise that another place settles. Nobody need listen to it.
 * @template T
 */
export function deferred() {
  /** @type {any} */
  const settle = {};
  const promise = new Promise((resolve, reject) => Object.assign(settle, { resolve, reject }));
  promise.catch(() => {});
  return /** @type {Deferred<T>} */ ({ promise, ...settle });
}

/**
 * Returns the frozen entry that users of the library see: the same object until something changes.
 * @param {Record} record
 * @param {EntryActions} actions
 * @returns {Entry}
 */
export function view(record, actions) {
  const { order, created, saved, expires, view, done, ...shown } = record;
  return (record.view ??= Object.freeze({
    ...shown,
    done: done?.promise,
    retry: () => actions.retry(record),
    discard: () => actions.discard(record),
  }));
}

const MAX_BYTES = 16_384;

export const tooLong = () => new ChatError("message_too_long", "The message is too long.");

/**
 * Returns why the server would refuse a text, if it would.
 * @param {string} text
 */
export function refusal(text) {
  if (!text) return new ChatError("message_empty", "The message is empty.");
  if (utf8(text).length > MAX_BYTES) return tooLong();
}
