import { retryableError } from "./error.js";
import { userId } from "./id.js";
import { Clock, TIMING } from "./timing.js";

/** @import { ChatOptions, Env } from "./types.js" */

/**
 * Returns everything that the library takes from outside: the options, and the globals for those that are not given.
 * @param {ChatOptions} options
 * @returns {Env}
 */
export function environment(options) {
  const { WebSocket, window, document, navigator, BroadcastChannel } = /** @type {any} */ (globalThis);
  const closing = new AbortController();
  /** Rejects each pending `withTimeout`. @type {Set<() => void>} */
  const cancels = new Set();
  const env = {
    WebSocket, window, document, BroadcastChannel,
    locks: navigator?.locks,
    fetch: (/** @type {string} */ url, /** @type {any} */ init) => fetch(url, init),
    setTimeout: (/** @type {() => void} */ callback, /** @type {number} */ ms) => setTimeout(callback, ms),
    clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
    random: Math.random,
    now: Date.now,
    log() {},
    .../** @type {ChatOptions} */ (Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))),
  };

  /** @type {Env["withTimeout"]} */
  async function withTimeout(ms, operation, run) {
    const abort = new AbortController();
    let cancel = () => {};
    try {
      return await new Promise((resolve, reject) => {
        const timer = env.setTimeout(() => reject(retryableError(`${operation}_timeout`, `The ${operation} takes too long.`)), ms);
        cancel = () => (env.clearTimeout(timer), reject(closing.signal.reason));
        cancels.add(cancel);
        run(abort.signal).then(resolve, reject);
      });
    } catch (error) {
      abort.abort();
      throw error;
    } finally {
      cancel();
      cancels.delete(cancel);
    }
  }

  return {
    ...env,
    user: userId(options.user),
    clock: new Clock(env.now),
    timing: { ...TIMING, ...options.timing },
    withTimeout,
    closing: closing.signal,
    close() {
      closing.abort();
      cancels.forEach((cancel) => cancel());
    },
  };
}
