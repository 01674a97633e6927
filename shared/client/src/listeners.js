/** @import { Env } from "./types.js" */

/**
 * Those who want to know about changes. One that throws stops nobody.
 * @template T
 * @param {Pick<Env, "log">} env
 */
export function listenersOf({ log }) {
  /** @type {Set<(value: T) => void>} */
  const all = new Set();

  /**
   * Calls the listener now, and with each change until the function that it returns is called.
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
  const call = (value) => [...all].forEach((listener) => listener(value));

  return { add, call };
}
