/** @import { Env, SocketHandler } from "./types.js" */

/**
 * The open WebSockets. Events of one that was shut are not passed on, however late they come.
 * @param {Env} env
 * @param {SocketHandler} handler
 */
export function openSockets(env, handler) {
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
    // The close event says it all; without this listener some implementations throw.
    ws.onerror = () => {};
    ws.onclose = ({ code }) => all.delete(id) && handler.closed(id, code);
  }

  /**
   * @param {number} id
   * @param {object} frame
   */
  function send(id, frame) {
    const ws = all.get(id);
    if (ws?.readyState === 1) ws.send(JSON.stringify(frame));
  }

  /** @param {number} id */
  function shut(id) {
    const ws = /** @type {any} */ (all.get(id));
    if (!ws) return;
    all.delete(id);
    ws.close(1000);
    if (!ws.terminate) return;
    // In Node a socket waits for the other side, which may be dead, and would keep the process.
    const timer = env.setTimeout(() => ws.terminate(), 200);
    ws.onclose = () => env.clearTimeout(timer);
  }

  return { open, send, shut };
}
