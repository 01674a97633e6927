import { ChatError } from "./error.js";
import { utf8 } from "./id.js";

/** @import { Change, Deferred, Entry, EntryActions, EntryRecord, EntryState, Log, Wording } from "./types.js" */

/** Allowed transitions of an entry, from its first state to its last. Received messages begin as `delivered`. */
export const TRANSITIONS = /** @type {const} */ ({
  failed: ["queued"],
  queued: ["sending", "failed"],
  sending: ["queued", "stored", "delivered", "failed"],
  stored: ["delivered"],
  delivered: ["read"],
  read: [],
});

/** The states in order. Each can be reached from the one before it. */
const STATE_ORDER = /** @type {EntryState[]} */ (Object.keys(TRANSITIONS));

/**
 * Moves an entry to another state. A transition that is not in the table is logged and not made.
 * @param {EntryRecord} record
 * @param {EntryState} to
 * @param {Log} log
 */
export function transition(record, to, log) {
  const allowed = /** @type {readonly string[]} */ (TRANSITIONS[record.state]);
  if (!allowed.includes(to)) return log("error", "illegal_move", { from: record.state, to });
  record.state = to;
  record.view = undefined;
}

/**
 * Returns the states after `from` up to `to`; none if `to` is the same state or an earlier one.
 * @param {EntryState} from
 * @param {EntryState} to
 */
export const statesBetween = (from, to) => STATE_ORDER.slice(STATE_ORDER.indexOf(from) + 1, STATE_ORDER.indexOf(to) + 1);

/**
 * Returns a promise with the functions that settle it. A rejection that nobody handles is not reported.
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
 * Gives a text a newer wording. Returns false if the one that it has is as new. A deleted text never comes back.
 * @param {Wording & {view?: Entry}} record
 * @param {Wording} wording
 */
export function reword(record, { text, editedSeq, deletedSeq }) {
  if (record.deletedSeq || !(deletedSeq || editedSeq > record.editedSeq)) return false;
  Object.assign(record, { text: deletedSeq ? "" : text, editedSeq, deletedSeq, view: undefined });
  return true;
}

/**
 * Returns the frozen entry that users of the library see: the same object until something changes.
 * @param {EntryRecord} record
 * @param {EntryRecord | undefined} change the last one of the text that is not stored yet. Unless it has failed, it is shown as made
 * @param {EntryActions} actions
 * @returns {Entry}
 */
export function view(record, change, actions) {
  const { order, created, saved, expires, view, done, attempted, kind, target, editedSeq, deletedSeq, ...shown } = record;
  const made = change?.state === "failed" ? undefined : change;
  const deleted = deletedSeq > 0 || made?.kind === "delete";
  return (record.view = Object.freeze({
    ...shown,
    text: deleted ? "" : (made ?? record).text,
    edited: !deleted && (editedSeq > 0 || made !== undefined),
    deleted,
    change: change && changeView(change, actions),
    done: /** @type {Promise<Entry> | undefined} */ (done?.promise),
    retry: () => actions.retry(record),
    discard: () => actions.discard(record),
  }));
}

/**
 * @param {EntryRecord} change
 * @param {EntryActions} actions
 */
function changeView(change, actions) {
  const { kind, text, state, error } = change;
  return Object.freeze({ kind: /** @type {Change["kind"]} */ (kind), text, state, error, retry: () => actions.retry(change), discard: () => actions.discard(change) });
}

/** Size limit of a message, in bytes of UTF-8. */
const MAX_BYTES = 16_384;

export const tooLongError = () => new ChatError("message_too_long", "The message is too long.");

/**
 * Returns the error with which the server would reject a text, if it would.
 * @param {string} text
 */
export function textError(text) {
  if (!text) return new ChatError("message_empty", "The message is empty.");
  if (utf8(text).length > MAX_BYTES) return tooLongError();
}
