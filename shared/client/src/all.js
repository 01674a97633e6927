/** @import { ChatError } from "./error.js" */
/** @import { Env, LogEntry, Message, Place, Range, Saved } from "./types.js" */

/** Entries of a page. */
const MESSAGES = 1_000;
/** Failures after which a page is given up, unless the server says when it can be read. */
const PATIENCE = 5;
const FIRST_PAUSE = 500;

/**
 * @template {Place} P
 * @typedef {(of: P, range: Range) => Promise<{entries: LogEntry[], more: boolean}>} ReadPage
 */

/**
 * Reads the messages of a conversation after a number, page by page, and what has changed the group.
 * @template {Place} P
 * @param {P} of
 * @param {ReadPage<P>} readPage
 * @param {number} [after]
 * @returns {AsyncGenerator<Message, void, void>}
 */
export async function* messagesOf(of, readPage, after = Number.MIN_SAFE_INTEGER) {
  for (let more = true; more; ) {
    const page = await readPage(of, { after, limit: MESSAGES });
    for (const { kind, editedSeq, deletedSeq, target, ...message } of page.entries) {
      if (!kind || message.event) yield { ...message, edited: editedSeq > 0 && !deletedSeq, deleted: deletedSeq > 0 };
    }
    after = page.entries.at(-1)?.seq ?? after;
    more = page.more && page.entries.length > 0;
  }
}

/**
 * Reads the messages of all conversations, one conversation after another in the order of their ids. Only one page is in memory.
 * @param {AsyncIterable<Place>} conversations
 * @param {ReadPage<Place>} readPage
 * @param {Pick<Env, "setTimeout" | "clearTimeout" | "closing">} env
 * @param {string} [cursor] of the last message that was read before
 * @returns {AsyncGenerator<Saved, void, void>}
 */
export async function* allMessages(conversations, readPage, env, cursor) {
  const [, seq, last = ""] = /^(-?\d+) (.*)$/s.exec(cursor ?? "") ?? [];
  const rest = [];
  for await (const { id, peer, title } of conversations) if (id >= last) rest.push({ id, peer, title });
  rest.sort((a, b) => (a.id < b.id ? -1 : 1));
  const patient = (/** @type {Place} */ of, /** @type {Range} */ range) => patiently(() => readPage(of, range), env);
  for (const conversation of rest) {
    const after = conversation.id === last ? Number(seq) : undefined;
    for await (const message of messagesOf(conversation, patient, after)) {
      yield { ...message, conversation, cursor: `${message.seq} ${conversation.id}` };
    }
  }
}

/**
 * Runs an operation until it succeeds. The server is given the time that it asks for, as often as it does.
 * @template T
 * @param {() => Promise<T>} run
 * @param {Pick<Env, "setTimeout" | "clearTimeout" | "closing">} env
 * @returns {Promise<T>}
 * @throws {ChatError} one that a retry does not change, or the last one
 */
export async function patiently(run, env) {
  for (let failures = 0; ; ) {
    try {
      return await run();
    } catch (cause) {
      const { retryable, retryAfterMs } = /** @type {ChatError} */ (cause);
      if (retryAfterMs === undefined) failures++;
      if (!retryable || failures === PATIENCE) throw cause;
      await pause(retryAfterMs ?? FIRST_PAUSE * 2 ** failures, env);
      if (env.closing.aborted) throw cause;
    }
  }
}

/**
 * Waits. Ends at once when the chat is closed.
 * @param {number} ms
 * @param {Pick<Env, "setTimeout" | "clearTimeout" | "closing">} env
 */
function pause(ms, { setTimeout, clearTimeout, closing }) {
  return /** @type {Promise<void>} */ (new Promise((resolve) => {
    const end = () => (clearTimeout(timer), closing.removeEventListener("abort", end), resolve());
    const timer = setTimeout(end, ms);
    closing.addEventListener("abort", end);
  }));
}
