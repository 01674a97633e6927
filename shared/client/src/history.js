import { retryableError } from "./error.js";
import { member } from "./group.js";

/** @import { EntryKind, EntryRecord, Env, GroupEvent, LogEntry, Member, Range, Request, Timeline } from "./types.js" */

const EVENTS = ["create", "join", "leave", "rename", "role"];

/**
 * Returns an entry of the log, or undefined if the item is malformed or not between the two users.
 * @param {any} item an item of the history, or a frame
 * @param {string} user
 * @param {string} peer "": the conversation is a group
 * @returns {LogEntry | undefined}
 */
export function parseEntry(item, user, peer) {
  const { seq, kind, sender_id: sender, receiver_id: receiver, message: text, timestamp, client_message_id: clientId } = item ?? {};
  const own = sender === user;
  const entry = { seq, sender, own, text, timestamp: optionalString(timestamp), clientId: optionalString(clientId) };
  const unchanged = { editedSeq: 0, deletedSeq: 0 };
  if (!Number.isSafeInteger(seq)) return;
  const change = kind === "edit" || kind === "delete";
  if (!peer && EVENTS.includes(kind)) return { ...entry, kind: "event", event: parseEvent(item), text: "", ...unchanged };
  // Of a kind that this library does not know, only the number counts.
  if (kind && !change) return { ...entry, kind: "other", text: "", ...unchanged };
  if (typeof text !== "string" || typeof sender !== "string") return;
  // The user had blocked its sender. What was shown before stays.
  if (item.withheld === true) return { ...entry, kind: "other", text: "", ...unchanged };
  if (peer && (own ? receiver !== peer : sender !== peer || receiver !== user)) return;
  if (!change) return { ...entry, editedSeq: toCount(item.edited_seq), deletedSeq: toCount(item.deleted_seq) };
  return Number.isSafeInteger(item.target_seq) ? { ...entry, kind, target: item.target_seq, ...changeWording(kind, seq, text) } : undefined;
}

/**
 * Returns what an entry changes in its group.
 * @param {any} item
 * @returns {GroupEvent}
 */
function parseEvent({ kind, users, title, role, new_owner: newOwner }) {
  const names = Array.isArray(users) ? users.filter((user) => typeof user === "string") : [];
  return Object.freeze({ kind, users: Object.freeze(names), title: optionalString(title), role: optionalRole(role), newOwner: optionalString(newOwner) });
}

/** @param {unknown} role @returns {Member["role"] | undefined} */
const optionalRole = (role) => (role === "owner" || role === "member" ? role : undefined);

/**
 * Returns the wording that a change gives its text. An edit without a text is one of a text that was deleted since.
 * @param {EntryKind} kind
 * @param {number} seq of the change
 * @param {string} text
 */
export const changeWording = (kind, seq, text) => ({ text, editedSeq: seq, deletedSeq: kind === "delete" || !text ? seq : 0 });

/**
 * Returns the entry of the log that a record becomes.
 * @param {EntryRecord} record
 * @param {number} seq
 * @param {string} [timestamp]
 * @returns {LogEntry}
 */
export function stamped({ clientId, sender, kind, target, text }, seq, timestamp) {
  const entry = { seq, clientId, sender, own: true, text, timestamp, editedSeq: 0, deletedSeq: 0 };
  return kind === "edit" || kind === "delete" ? { ...entry, kind, target: Number(target), ...changeWording(kind, seq, text) } : entry;
}

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
   * Requests a page: by conversation, or as an older server has it, which rejects that and knows texts of two users only.
   * @param {Pick<Timeline, "id" | "peer">} of
   * @param {Range} range
   */
  async function requestPage({ id, peer }, range) {
    const pair = { user1: user, user2: peer, ...range };
    if (!numbered && peer) return request("history", pair);
    // Without authorization, the server does not know who reads.
    return request("history", { conversation_id: id, user, ...range }).catch((error) => {
      if (error.code !== "bad_request" || !peer) throw error;
      numbered = false;
      return request("history", pair);
    });
  }

  /**
   * Returns a page, ordered by number, and whether there are more entries in its direction.
   * @param {Pick<Timeline, "id" | "peer">} of
   * @param {Range} range
   * @throws {ChatError} those of a request; `bad_response`
   */
  async function readPage(of, range) {
    const { body, link } = await requestPage(of, range);
    const entries = parsePage(body, of.peer, range);
    const rel = range.after === undefined ? /rel="?prev/ : /rel="?next/;
    return { entries, more: link ? rel.test(link) : entries.length >= range.limit };
  }

  /**
   * Returns the members of a group, the longest first.
   * @param {string} id
   * @throws {ChatError} those of a request; `unsupported`; `bad_response`
   */
  async function readMembers(id) {
    const { body } = await request("members", { user, conversation_id: id }, { optional: true });
    if (!Array.isArray(body)) throw retryableError("bad_response", "The list of members makes no sense.");
    return body.map(({ user_id, role }) => member(String(user_id), optionalRole(role) ?? "member"));
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
    readMembers,
    /** There is a new connection, perhaps to a newer server. */
    connected: () => void (numbered = true),
    get numbered() {
      return numbered;
    },
  };
}
