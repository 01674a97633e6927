import { ChatError, networkError, retryableError } from "./error.js";

/**
 * @import { Env, Message, Range, Tokens } from "./types.js"
 */

const MAX_CONCURRENT_REQUESTS = 4;

/** Error codes of the statuses that a retry does not change. @type {{[status: number]: string}} */
const ERROR_CODES = { 400: "bad_request", 401: "unauthorized", 403: "forbidden" };

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
const optionalString = (value) => (typeof value === "string" ? value : undefined);

/**
 * Returns a function that reads pages of the history by HTTP, a few requests at once.
 * @param {Tokens} tokens
 * @param {Env} env
 */
export function createHistory(tokens, env) {
  const { user, historyUrl } = env;
  /** @type {(() => void)[]} */
  const waiting = [];
  let running = 0;

  /**
   * Returns a page, ordered by number, and whether there are more messages in its direction.
   * @param {string} peer
   * @param {Range} range
   * @throws {ChatError} `unauthorized`: the server has rejected a new token too; `forbidden`; `bad_request`; `bad_response`; `network`; `unavailable`
   */
  async function readPage(peer, range) {
    if (running >= MAX_CONCURRENT_REQUESTS) await /** @type {Promise<void>} */ (new Promise((resolve) => waiting.push(resolve)));
    running++;
    try {
      const { status, body, link } = await request(peer, range, false);
      if (status !== 200) throw new ChatError(ERROR_CODES[status] ?? "unavailable", `The history answers ${status}.`, { retryable: !ERROR_CODES[status] });
      const messages = parsePage(body, peer, range);
      const rel = range.after === undefined ? /rel="?prev/ : /rel="?next/;
      return { messages, more: link ? rel.test(link) : messages.length >= range.limit };
    } finally {
      running--;
      waiting.shift()?.();
    }
  }

  /**
   * Requests a page. If the token is rejected, requests it once more with a new token.
   * @param {string} peer
   * @param {Range} range
   * @param {boolean} isRetry
   * @returns {Promise<{status: number, body: unknown, link: string | null}>}
   */
  async function request(peer, range, isRetry) {
    const token = await tokens.get(false);
    const query = new URLSearchParams({ user1: user, user2: peer, .../** @type {object} */ (range) });
    const response = await get(`${historyUrl.replace(/\/$/, "")}/chat/history?${query}`, token?.value);
    if (response.status !== 401 || isRetry || !token) return response;
    tokens.invalidate();
    return request(peer, range, true);
  }

  /**
   * @param {string} url
   * @param {string} [token]
   */
  async function get(url, token) {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    try {
      return await env.withTimeout(env.timing.request, "history", async (signal) => {
        const response = await env.fetch(url, { headers, signal, cache: "no-store" });
        // A body that is not JSON is rejected later, because it is not an array.
        const body = await response.json().catch(() => undefined);
        return { status: response.status, body, link: response.headers.get("link") };
      });
    } catch (error) {
      throw networkError(error);
    }
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
