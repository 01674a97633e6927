/** @import { Env, TabMessage } from "./types.js" */

/**
 * The other tabs of the user in this browser. Each tab holds a lock as long as it lives, so that the
 * messages of a dead one can be told from those of a living one.
 * @param {string} tab id of this one
 * @param {Env} env
 * @param {(message: TabMessage) => void} heard
 * @param {(living: string[]) => Promise<void>} adoptRows
 */
export function tabsOf(tab, env, heard, adoptRows) {
  const { locks, closing, timing } = env;
  const name = `meetme-chat:${env.user}`;
  const watched = new Set([tab]);
  /** @type {BroadcastChannel | undefined} */
  let channel;
  /** @type {Promise<void> | undefined} */
  let held;

  /**
   * @param {string} suffix of the name
   * @param {LockMode} mode
   * @param {() => unknown} use
   */
  const lock = (suffix, mode, use) => attempt("no_lock", () => locks?.request(name + suffix, { mode, signal: closing }, use));

  /**
   * What other tabs are needed for may fail.
   * @param {string} event that is logged then
   * @param {() => unknown} use
   */
  async function attempt(event, use) {
    try {
      await use();
    } catch (error) {
      if (!closing.aborted) env.log("warn", event, { error });
    }
  }

  /** Settles when this tab holds its lock: nothing may be stored before. */
  const ready = () =>
    (held ??= new Promise((resolve) => {
      const life = new Promise((end) => closing.addEventListener("abort", end));
      lock(`:${tab}`, "exclusive", () => (resolve(), life)).then(resolve);
    }));

  /** Takes over what dead tabs have left, now and whenever another one dies. */
  async function start() {
    attempt("no_channel", () => env.BroadcastChannel && listen(new env.BroadcastChannel(name)));
    await ready();
    // Another tab that does not let go of the lock holds up nothing.
    await attempt("no_adoption", () => env.within(timing.storage, "adoption", adopt));
    tell({ type: "hello", tab });
  }

  /** @param {TabMessage} message */
  const tell = (message) => attempt("no_channel", () => closing.aborted || channel?.postMessage(message));

  /** @param {BroadcastChannel} opened */
  function listen(opened) {
    channel = opened;
    closing.addEventListener("abort", () => opened.close());
    opened.onmessage = ({ data }) => (data.type === "hello" ? watch(data.tab) : heard(data));
  }

  /** @param {string} other */
  function watch(other) {
    if (!locks || watched.has(other)) return;
    watched.add(other);
    // Once this tab has the lock, the other one is dead; while it holds it, that one looks alive.
    lock(`:${other}`, "shared", () => {}).then(adopt);
  }

  async function adopt() {
    if (closing.aborted) return;
    if (!locks) return adoptRows([tab]);
    await lock("", "exclusive", async () => {
      const { held = [] } = await locks.query();
      const others = held.flatMap((other) => (other.name?.startsWith(`${name}:`) ? [other.name.slice(name.length + 1)] : []));
      await adoptRows([...others, tab]);
      others.forEach(watch);
    });
  }

  return { ready, start, tell };
}
