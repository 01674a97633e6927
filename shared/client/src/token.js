import { passing } from "./error.js";

/** @import { Env, Token, TokenCallback } from "./types.js" */

/**
 * Returns for how long a JWT is good, by its own two times: this machine's date may be wrong.
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
 * The token of the user: one call of the callback at a time, whoever asks.
 * @param {Env} env
 */
export function tokensOf(env) {
  /** @type {Token | undefined} */
  let token;
  /** @type {Promise<Token> | undefined} */
  let pending;

  /** @param {TokenCallback} callback */
  async function call(callback) {
    try {
      const value = await env.within(env.timing.token, "token", async (signal) => (await callback({ signal })).trim());
      if (!value) throw new TypeError("the token is empty");
      const lifetime = lifetimeOf(value);
      return (token = { value, lifetime, ends: env.clock.read() + lifetime });
    } catch (error) {
      throw passing("token_failed", "No token could be had.", error);
    } finally {
      pending = undefined;
    }
  }

  /**
   * Returns a token that is good for a while, or undefined where there are none. Without `fresh` it
   * may end soon, which does for one request.
   * @param {boolean} fresh
   * @returns {Promise<Token | undefined>}
   */
  async function get(fresh) {
    const left = token ? token.ends - env.clock.read() : 0;
    if (!env.token || (token && left > Math.min(2 * env.timing.tokenMargin, token.lifetime / 2))) return token;
    pending ??= call(env.token);
    if (!token || left <= 0 || fresh) return pending;
    pending.catch(() => {});
    return token;
  }

  /** The server does not take the token. */
  const refuse = () => void (token = undefined);

  return { get, refuse };
}
