import { retryableError } from "./error.js";
import { conversationId } from "./id.js";

/** @import { EntryKind, Env, LogEntry, Range, Request } from "./types.js" */

/**
 * Returns an entry of the log, or undefined if the item is malformed or not between the two users.
 * @param {any} item an item of the history, or a frame
 * @param {string} user
 * @param {string} peer
 * @returns {LogEntry | undefined}
 */
export function parseEntry(item, user, peer) {
  const { seq, kind, sender_id: sender, receiver_id: receiver, message: text, timestamp, client_message_id: clientId } = item ?? {};
  const own = sender === user;
  const entry = { seq, sender, own, text, timestamp: optionalString(timestamp), clientId: optionalString(clientId) };
  if (!Number.isSafeInteger(seq)) return;
  const change = kind === "edit" || kind === "delete";
  // Of a kind that this library does not know, only the number counts.
  if (kind && !change) return { ...entry, kind: "other", text: "", editedSeq: 0, deletedSeq: 0 };
  if (typeof text !== "string" || (own ? receiver !== peer : sender !== peer || receiver !== user)) return;
  if (!change) return { ...entry, editedSeq: toCount(item.edited_seq), deletedSeq: toCount(item.deleted_seq) };
  return Number.isSafeInteger(item.target_seq) ? { ...entry, kind, target: item.target_seq, ...changeWording(kind, seq, text) } : undefined;
}

/**
 * Returns the wording that a change gives its text. An edit without a text is one of a text that was deleted since.
 * @param {EntryKind} kind
 * @param {number} seq of the change
 * @param {string} text
 */
export const changeWording = (kind, seq, text) => ({ text, editedSeq: seq, deletedSeq: kind === "delete" || !text ? seq : 0 });

/** @param {any} value */
export const toCount = (value) => (Number.isSafeInteger(value) && value > 0 ? value : 0);

/** @param {unknown} value */
export const optionalString = (value) => (typeof value === "string" ? value : undefined);

/**
 * Returns what reads pages of the history.
 * @param {Request} request
 * @param {Env} env
 */
export function createHistory(request, { user }) {
  /** Whether the server has the history by conversation, with the entries of every kind: as far as is known, since the last connection. */
  let numbered = true;

  /**
   * Requests a page: by conversation, or as an older server has it, which rejects that and knows texts only.
   * @param {string} peer
   * @param {Range} range
   */
  async function requestPage(peer, range) {
    const pair = { user1: user, user2: peer, ...range };
    if (!numbered) return request("history", pair);
    return request("history", { conversation_id: conversationId(user, peer), ...range }).catch((error) => {
      if (error.code !== "bad_request") throw error;
      numbered = false;
      return request("history", pair);
    });
  }

  /**
   * Returns a page, ordered by number, and whether there are more entries in its direction.
   * @param {string} peer
   * @param {Range} range
   * @throws {ChatError} those of a request; `bad_response`
   */
  async function readPage(peer, range) {
    const { body, link } = await requestPage(peer, range);
    const entries = parsePage(body, peer, range);
    const rel = range.after === undefined ? /rel="?prev/ : /rel="?next/;
    return { entries, more: link ? rel.test(link) : entries.length >= range.limit };
  }

  /**
   * @param {unknown} body
   * @param {string} peer
   * @param {Range} range
   */
  function parsePage(body, peer, { after = -Infinity, before = Infinity }) {
    let last = after;
    return (Array.isArray(body) ? body : [body]).map((item) => {
      const entry = parseEntry(item, user, peer);
      if (!entry || entry.seq <= last || entry.seq >= before) throw retryableError("bad_response", "The history makes no sense.");
      last = entry.seq;
      return entry;
    });
  }

  return {
    readPage,
    /** There is a new connection, perhaps to a newer server. */
    connected: () => void (numbered = true),
    get numbered() {
      return numbered;
    },
  };
}
