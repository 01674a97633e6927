import { ChatError, networkError } from "./error.js";

/** @import { Env, RequestOptions, Response, Tokens } from "./types.js" */

const MAX_CONCURRENT_REQUESTS = 4;

/** Error codes of the statuses that a retry does not change. @type {{[status: number]: string}} */
const ERROR_CODES = { 400: "bad_request", 401: "unauthorized", 403: "forbidden" };

/**
 * Returns a function that sends requests to the HTTP API, a few at once.
 * @param {Tokens} tokens
 * @param {Env} env
 */
export function createRequest(tokens, env) {
  /** @type {(() => void)[]} */
  const waiting = [];
  let running = 0;

  /**
   * Returns the response to a request of `/chat/…`, whose status is 200.
   * @param {string} name of the resource
   * @param {Record<string, any> | string[][]} query
   * @param {RequestOptions} [options]
   * @returns {Promise<Response>}
   * @throws {ChatError} `unauthorized`: the server has rejected a new token too; `forbidden`; `bad_request`; `unsupported`; `network`; `unavailable`
   */
  async function request(name, query, { optional, change } = {}) {
    if (running >= MAX_CONCURRENT_REQUESTS) await /** @type {Promise<void>} */ (new Promise((resolve) => waiting.push(resolve)));
    running++;
    try {
      // Closed while it waited.
      env.closing.throwIfAborted();
      const url = `${env.historyUrl.replace(/\/$/, "")}/chat/${name}?${new URLSearchParams(query)}`;
      const response = await send(name, url, change, false);
      const { status } = response;
      if (status === 200) return response;
      const code = optional && status === 404 ? "unsupported" : ERROR_CODES[status];
      const retryAfterMs = response.retryAfter > 0 ? response.retryAfter * 1_000 : undefined;
      throw new ChatError(code ?? "unavailable", `The ${name} answers ${status}.`, { retryable: !code, retryAfterMs });
    } finally {
      running--;
      waiting.shift()?.();
    }
  }

  /**
   * Sends a request. If the token is rejected, sends it once more with a new token.
   * @param {string} name
   * @param {string} url
   * @param {object | undefined} change
   * @param {boolean} isRetry
   * @returns {Promise<Response>}
   */
  async function send(name, url, change, isRetry) {
    const token = await tokens.get(false);
    const response = await fetchJson(name, url, change, token?.value);
    if (response.status !== 401 || isRetry || !token) return response;
    tokens.invalidate(token);
    return send(name, url, change, true);
  }

  /**
   * @param {string} name
   * @param {string} url
   * @param {object} [change]
   * @param {string} [token]
   */
  async function fetchJson(name, url, change, token) {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const put = change && { method: "PUT", body: JSON.stringify(change) };
    try {
      return await env.withTimeout(env.timing.request, name, async (signal) => {
        const response = await env.fetch(url, { headers, signal, cache: "no-store", ...put });
        // A body that is not JSON is rejected later, because it has not the expected form.
        const body = await response.json().catch(() => undefined);
        const header = (/** @type {string} */ name) => response.headers.get(name);
        return { status: response.status, body, link: header("link"), retryAfter: Number(header("retry-after")) };
      });
    } catch (error) {
      throw networkError(error);
    }
  }

  return request;
}
