import { retryableError } from "./error.js";
import { createListeners } from "./listeners.js";

/** @import { Env, Listeners, Request, Settings } from "./types.js" */

/**
 * Returns the settings of the user, which the server keeps.
 * @param {Request} request
 * @param {Env} env
 */
export function createSettings(request, env) {
  const query = { user: env.user };
  /** @type {Listeners<Settings | undefined>} */
  const listeners = createListeners(env);
  /** @type {Settings | undefined} */
  let current;

  /**
   * Takes over settings that the server has told.
   * @param {unknown} settings
   * @returns {Settings}
   * @throws {ChatError} `bad_response`
   */
  function take(settings) {
    const { receipts, presence } = Object(settings);
    if (typeof receipts !== "boolean" || typeof presence !== "boolean") throw retryableError("bad_response", "The settings make no sense.");
    if (current && current.receipts === receipts && current.presence === presence) return current;
    current = Object.freeze({ receipts, presence });
    listeners.notify(current);
    return current;
  }

  /** Reads the settings, if somebody wants to know them. */
  async function refresh() {
    if (!listeners.size) return;
    try {
      take((await request("settings", query, { optional: true })).body);
    } catch (error) {
      env.log("info", "no_settings", { error });
    }
  }

  /**
   * @param {Partial<Settings>} change
   * @throws {ChatError} those of a request; `unsupported`; `bad_response`
   */
  async function change(change) {
    return take((await request("settings", query, { optional: true, change })).body);
  }

  /** @param {(settings: Settings | undefined) => void} listener */
  function onChange(listener) {
    const stop = listeners.add(listener, current);
    if (!current) refresh();
    return stop;
  }

  return {
    take,
    refresh,
    change,
    onChange,
    get current() {
      return current;
    },
  };
}
