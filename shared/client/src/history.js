import { ChatError, passing, unreachable } from "./error.js";

/**
 * @import { Env, Message, Range, Tokens } from "./types.js"
 */

const AT_ONCE = 4;

/** What is the same the next time. @type {{[status: number]: string}} */
const REFUSALS = { 400: "bad_request", 401: "unauthorized", 403: "forbidden" };

/**
 * Returns a message of the log, or undefined if it is none between the two users.
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
  return { seq, sender, own, text, timestamp: textOf(timestamp), clientId: textOf(clientId) };
}

/** @param {unknown} value */
const textOf = (value) => (typeof value === "string" ? value : undefined);

/**
 * Reads the history by HTTP, a few requests at once.
 * @param {Tokens} tokens
 * @param {Env} env
 */
export function historyOf(tokens, env) {
  const { user, historyUrl } = env;
  /** @type {(() => void)[]} */
  const waiting = [];
  let running = 0;

  /**
   * Returns a page by number, and whether there is more in its direction.
   * @param {string} peer
   * @param {Range} range
   * @throws {ChatError} `unauthorized`: a new token was refused, too; `forbidden`; `bad_response`; `network`; `unavailable`
   */
  async function page(peer, range) {
    if (running >= AT_ONCE) await /** @type {Promise<void>} */ (new Promise((resolve) => waiting.push(resolve)));
    running++;
    try {
      const { status, body, link } = await ask(peer, range, false);
      if (status !== 200) throw new ChatError(REFUSALS[status] ?? "unavailable", `The history answers ${status}.`, { retryable: !REFUSALS[status] });
      const messages = parse(body, peer, range);
      const rel = range.after === undefined ? /rel="?prev/ : /rel="?next/;
      return { messages, more: link ? rel.test(link) : messages.length >= range.limit };
    } finally {
      running--;
      waiting.shift()?.();
    }
  }

  /**
   * Asks, and once more with a new token if that is refused.
   * @param {string} peer
   * @param {Range} range
   * @param {boolean} again
   * @returns {Promise<{status: number, body: unknown, link: string | null}>}
   */
  async function ask(peer, range, again) {
    const token = await tokens.get(false);
    const query = new URLSearchParams({ user1: user, user2: peer, .../** @type {object} */ (range) });
    const response = await get(`${historyUrl.replace(/\/$/, "")}/chat/history?${query}`, token?.value);
    if (response.status !== 401 || again || !token) return response;
    tokens.refuse();
    return ask(peer, range, true);
  }

  /**
   * @param {string} url
   * @param {string} [token]
   */
  async function get(url, token) {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    try {
      return await env.within(env.timing.request, "history", async (signal) => {
        const response = await env.fetch(url, { headers, signal, cache: "no-store" });
        // What is no JSON is no array, either.
        const body = await response.json().catch(() => undefined);
        return { status: response.status, body, link: response.headers.get("link") };
      });
    } catch (error) {
      throw unreachable(error);
    }
  }

  /**
   * @param {unknown} body
   * @param {string} peer
   * @param {Range} range
   */
  function parse(body, peer, { after = -Infinity, before = Infinity }) {
    let last = after;
    return (Array.isArray(body) ? body : [body]).map((item) => {
      const message = parseMessage(item, user, peer);
      if (!message || message.seq <= last || message.seq >= before) throw passing("bad_response", "The history makes no sense.");
      last = message.seq;
      return message;
    });
  }

  return page;
}
