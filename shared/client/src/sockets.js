/** @import { Env, SocketHandler } from "./types.js" */

/**
 * Opens WebSockets and passes on their events. Events of one that was closed here are dropped, however late they come.
 * @param {Env} env
 * @param {SocketHandler} handler
 */
export function createSockets(env, handler) {
  const url = env.socketUrl.replaceAll("{user}", encodeURIComponent(env.user));
  /** @type {Map<number, WebSocket>} */
  const all = new Map();

  /**
   * @param {number} id
   * @param {string} [token]
   */
  function open(id, token) {
    /** @type {WebSocket} */
    const ws = new env.WebSocket(url, token === undefined ? ["chat.v1"] : ["chat.v1", `bearer.${token}`]);
    all.set(id, ws);
    ws.onopen = () => all.has(id) && handler.opened(id);
    ws.onmessage = ({ data }) => all.has(id) && handler.received(id, data);
    // A close event follows each error. Without this listener, some implementations throw.
    ws.onerror = () => {};
    ws.onclose = ({ code }) => all.delete(id) && handler.closed(id, code);
  }

  /**
   * @param {number | undefined} id
   * @param {object} frame
   */
  function send(id, frame) {
    const ws = all.get(Number(id));
    if (ws?.readyState === 1) ws.send(JSON.stringify(frame));
  }

  /** @param {number} id */
  function close(id) {
    const ws = /** @type {any} */ (all.get(id));
    if (!ws) return;
    all.delete(id);
    ws.close(1000);
    if (!ws.terminate) return;
    // In Node a closing WebSocket waits for the other side, which may be dead, and keeps the process running.
    const timer = env.setTimeout(() => ws.terminate(), 200);
    ws.onclose = () => env.clearTimeout(timer);
  }

  return { open, send, close };
}
