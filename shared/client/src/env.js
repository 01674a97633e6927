import { passing } from "./error.js";
import { userId } from "./id.js";
import { Clock, TIMING } from "./timing.js";

/** @import { ChatOptions, Env } from "./types.js" */

/**
 * Returns all that is outside: what the options give, else what this machine has.
 * @param {ChatOptions} options
 * @returns {Env}
 */
export function environment(options) {
  const { WebSocket, window, document, navigator, BroadcastChannel } = /** @type {any} */ (globalThis);
  const closing = new AbortController();
  /** @type {Set<() => void>} */
  const waiting = new Set();
  const env = {
    WebSocket, window, document, BroadcastChannel,
    locks: navigator?.locks,
    fetch: (/** @type {string} */ url, /** @type {any} */ init) => fetch(url, init),
    setTimeout: (/** @type {() => void} */ use, /** @type {number} */ ms) => setTimeout(use, ms),
    clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
    random: Math.random,
    now: Date.now,
    log() {},
    .../** @type {ChatOptions} */ (Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))),
  };

  /** @type {Env["within"]} */
  async function within(ms, what, use) {
    const abort = new AbortController();
    let end = () => {};
    try {
      return await new Promise((resolve, reject) => {
        const timer = env.setTimeout(() => reject(passing(`${what}_timeout`, `The ${what} takes too long.`)), ms);
        end = () => (env.clearTimeout(timer), reject(closing.signal.reason));
        waiting.add(end);
        use(abort.signal).then(resolve, reject);
      });
    } catch (error) {
      abort.abort();
      throw error;
    } finally {
      end();
      waiting.delete(end);
    }
  }

  return {
    ...env,
    user: userId(options.user),
    clock: new Clock(env.now),
    timing: { ...TIMING, ...options.timing },
    within,
    closing: closing.signal,
    close() {
      closing.abort();
      waiting.forEach((end) => end());
    },
  };
}
