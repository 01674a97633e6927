/** @import { Env } from "./types.js" */

/**
 * Listens to events of the page, in a browser. Returns a function that stops it.
 * @param {Pick<Env, "document" | "window">} env
 * @param {object} handler
 * @param {() => void} handler.offline the machine says that it has no network
 * @param {() => void} handler.leave the page may never run again
 * @param {(type: string) => void} handler.wake the page, the machine or the network is back
 */
export function listenToPage({ document, window }, { offline, leave, wake }) {
  const listener = (/** @type {Event} */ { type }) => {
    if (type === "offline") offline();
    else if (type === "pagehide" || (type === "visibilitychange" && document.visibilityState === "hidden")) leave();
    else wake(type);
  };
  const each = (/** @type {"addEventListener" | "removeEventListener"} */ method) => {
    document?.[method]("visibilitychange", listener);
    for (const type of ["pagehide", "pageshow", "focus", "online", "offline"]) window?.[method](type, listener);
  };
  each("addEventListener");
  return () => each("removeEventListener");
}
