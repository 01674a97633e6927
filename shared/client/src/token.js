import { retryableError } from "./error.js";

/** @import { Env, Token, TokenCallback } from "./types.js" */

/**
 * Returns the lifetime of a JWT, from `iat` to `exp`. It is not compared with this machine's clock, which may be wrong.
 * @param {string} token
 */
function lifetimeOf(token) {
  try {
    const { exp, iat } = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return exp > iat ? (exp - iat) * 1_000 : Infinity;
  } catch {
    return Infinity;
  }
}

/**
 * Caches the user's token. The token callback is called once at a time, however many callers wait for it.
 * @param {Env} env
 */
export function createTokens(env) {
  /** @type {Token | undefined} */
  let token;
  /** @type {Promise<Token> | undefined} */
  let pending;

  /** @param {TokenCallback} callback */
  async function refresh(callback) {
    try {
      const value = await env.withTimeout(env.timing.token, "token", async (signal) => (await callback({ signal })).trim());
      if (!value) throw new TypeError("the token is empty");
      const lifetime = lifetimeOf(value);
      return (token = { value, lifetime, expiresAt: env.clock.read() + lifetime });
    } catch (error) {
      throw retryableError("token_failed", "No token could be had.", error);
    } finally {
      pending = undefined;
    }
  }

  /**
   * Returns a token, or undefined if the chat uses none. If the token expires soon, gets a new one: with `fresh` the caller waits for
   * it, else it is given the old one, which is good enough for one request.
   * @param {boolean} fresh
   * @returns {Promise<Token | undefined>}
   */
  async function get(fresh) {
    const remaining = token ? token.expiresAt - env.clock.read() : 0;
    if (!env.token || (token && remaining > Math.min(2 * env.timing.tokenMargin, token.lifetime / 2))) return token;
    pending ??= refresh(env.token);
    if (!token || remaining <= 0 || fresh) return pending;
    pending.catch(() => {});
    return token;
  }

  /**
   * Drops the token, because the server has rejected it; one that was rejected, only if no other has replaced it.
   * @param {Token} [rejected]
   */
  const invalidate = (rejected = token) => {
    if (token === rejected) token = undefined;
  };

  return { get, invalidate };
}
