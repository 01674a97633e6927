/** @import { Env } from "./types.js" */

/**
 * Returns a set of change listeners. A listener that throws is logged and does not stop the others.
 * @template T
 * @param {Pick<Env, "log">} env
 */
export function createListeners({ log }) {
  /** @type {Set<(value: T) => void>} */
  const all = new Set();

  /**
   * Calls the listener now and at each change. Returns a function that removes it.
   * @param {(value: T) => void} listener
   * @param {T} value
   */
  function add(listener, value) {
    /** @param {T} value */
    const call = (value) => {
      try {
        listener(value);
      } catch (error) {
        log("error", "listener_failed", { error });
        /** @type {any} */ (globalThis).reportError?.(error);
      }
    };
    all.add(call);
    call(value);
    return () => void all.delete(call);
  }

  /** @param {T} value */
  const notify = (value) => [...all].forEach((listener) => listener(value));

  return {
    add,
    notify,
    get size() {
      return all.size;
    },
  };
}
