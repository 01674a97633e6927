import { retryableError } from "./error.js";

/** @import { Env, Message, Range, Request } from "./types.js" */

/**
 * Returns a message of the log, or undefined if the item is malformed or not between the two users.
 * @param {any} item an item of the history, or a frame
 * @param {string} user
 * @param {string} peer
 * @returns {Message | undefined}
 */
export function parseMessage(item, user, peer) {
  const { seq, sender_id: sender, receiver_id: receiver, message: text, timestamp, client_message_id: clientId } = item ?? {};
  const own = sender === user;
  if (!Number.isSafeInteger(seq) || typeof text !== "string") return;
  if (own ? receiver !== peer : sender !== peer || receiver !== user) return;
  return { seq, sender, own, text, timestamp: optionalString(timestamp), clientId: optionalString(clientId) };
}

/** @param {unknown} value */
export const optionalString = (value) => (typeof value === "string" ? value : undefined);

/**
 * Returns a function that reads pages of the history.
 * @param {Request} request
 * @param {Env} env
 */
export function createHistory(request, { user }) {
  /**
   * Returns a page, ordered by number, and whether there are more messages in its direction.
   * @param {string} peer
   * @param {Range} range
   * @throws {ChatError} those of a request; `bad_response`
   */
  async function readPage(peer, range) {
    const { body, link } = await request("history", { user1: user, user2: peer, ...range });
    const messages = parsePage(body, peer, range);
    const rel = range.after === undefined ? /rel="?prev/ : /rel="?next/;
    return { messages, more: link ? rel.test(link) : messages.length >= range.limit };
  }

  /**
   * @param {unknown} body
   * @param {string} peer
   * @param {Range} range
   */
  function parsePage(body, peer, { after = -Infinity, before = Infinity }) {
    let last = after;
    return (Array.isArray(body) ? body : [body]).map((item) => {
      const message = parseMessage(item, user, peer);
      if (!message || message.seq <= last || message.seq >= before) throw retryableError("bad_response", "The history makes no sense.");
      last = message.seq;
      return message;
    });
  }

  return readPage;
}
