/** @import { Env, TabMessage } from "./types.js" */

/**
 * Connects the tabs of a user in one browser. Each tab holds a lock as long as it lives. A tab whose lock is free is dead, and
 * another tab adopts the rows of its outbox.
 * @param {string} tab id of this tab
 * @param {Env} env
 * @param {(message: TabMessage) => void} onMessage
 * @param {(liveTabs: string[]) => Promise<void>} adoptRows takes over the rows of all tabs but these
 */
export function createTabs(tab, env, onMessage, adoptRows) {
  const { locks, closing, timing } = env;
  const name = `meetme-chat:${env.user}`;
  const watched = new Set([tab]);
  /** @type {BroadcastChannel | undefined} */
  let channel;
  /** @type {Promise<void> | undefined} */
  let acquired;

  /**
   * @param {string} suffix of the lock's name
   * @param {LockMode} mode
   * @param {() => unknown} whileHeld
   */
  const lock = (suffix, mode, whileHeld) => attempt("no_lock", () => locks?.request(name + suffix, { mode, signal: closing }, whileHeld));

  /**
   * Runs an operation. If it fails, logs that and goes on: the chat works in this tab alone, too.
   * @param {string} event that is logged on failure
   * @param {() => unknown} operation
   */
  async function attempt(event, operation) {
    try {
      await operation();
    } catch (error) {
      if (!closing.aborted) env.log("warn", event, { error });
    }
  }

  /** Resolves when this tab holds its lock. Nothing may be stored before, or another tab would adopt it. */
  const ready = () =>
    (acquired ??= new Promise((resolve) => {
      const closed = new Promise((end) => closing.addEventListener("abort", end));
      lock(`:${tab}`, "exclusive", () => (resolve(), closed)).then(resolve);
    }));

  /** Adopts the rows of dead tabs, now and whenever another tab dies. */
  async function start() {
    attempt("no_channel", () => env.BroadcastChannel && listen(new env.BroadcastChannel(name)));
    await ready();
    // Limited, because a tab that hangs may hold the lock of the adoption.
    await attempt("no_adoption", () => env.withTimeout(timing.storage, "adoption", adopt));
    broadcast({ type: "hello", tab });
  }

  /** @param {TabMessage} message */
  const broadcast = (message) => attempt("no_channel", () => closing.aborted || channel?.postMessage(message));

  /** @param {BroadcastChannel} opened */
  function listen(opened) {
    channel = opened;
    closing.addEventListener("abort", () => opened.close());
    opened.onmessage = ({ data }) => (data.type === "hello" ? watchTab(data.tab) : onMessage(data));
  }

  /** @param {string} other */
  function watchTab(other) {
    if (!locks || watched.has(other)) return;
    watched.add(other);
    // The other tab is dead once this one gets its lock. This one releases it before it adopts, or the other would look alive.
    lock(`:${other}`, "shared", () => {}).then(adopt);
  }

  async function adopt() {
    if (closing.aborted) return;
    if (!locks) return adoptRows([tab]);
    await lock("", "exclusive", async () => {
      const { held = [] } = await locks.query();
      const others = held.flatMap((other) => (other.name?.startsWith(`${name}:`) ? [other.name.slice(name.length + 1)] : []));
      await adoptRows([...others, tab]);
      others.forEach(watchTab);
    });
  }

  return { ready, start, broadcast };
}
