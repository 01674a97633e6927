import { ChatError } from "./error.js";
import { newId } from "./id.js";
import { defaultStorage, withFallback } from "./storage.js";
import { createTabs } from "./tabs.js";

/** @import { EntryRecord, Env, OutboxRow, TabMessage, Timeline } from "./types.js" */

/**
 * Returns what a tab keeps in the storage of its user, which it shares with the other tabs.
 * @param {Env} env
 * @param {(message: TabMessage) => void} onTabMessage
 * @param {(rows: ReturnType<typeof adopted>[]) => void} onRows takes over the outboxes of dead tabs
 */
export function createStore(env, onTabMessage, onRows) {
  const { clock, timing, log } = env;
  const tab = newId();
  const storage = withFallback(env.storage ?? defaultStorage(env.user), env, (error) => log("warn", "storage_lost", { error }));
  const tabs = createTabs(tab, env, onTabMessage, async (liveTabs) => {
    const rows = await storage.adopt(liveTabs, tab);
    onRows(rows.sort((a, b) => a.order - b.order).map(adopted));
  });
  /** Resolves when all writes have ended. @type {Promise<unknown>} */
  let writes = Promise.resolve();
  let savedAt = -Infinity;

  /** @param {Promise<unknown>} operation which never rejects */
  function write(operation) {
    writes = writes.then(() => operation);
    return operation;
  }

  /**
   * Stores the conversations that have changed, and tells the other tabs what was read.
   * @param {Timeline[]} timelines
   */
  function save(timelines) {
    for (const timeline of timelines.filter((one) => one.dirty)) {
      timeline.dirty = false;
      tabs.broadcast({ type: "read", id: timeline.id, seq: timeline.marks.own.read });
      write(storage.putConversation(timeline.row()));
    }
    savedAt = clock.read();
  }

  /**
   * Stores them now and then. Returns the time at which it is to be called again.
   * @param {Timeline[]} timelines
   * @param {number} now
   */
  function saveSome(timelines, now) {
    if (!timelines.some((timeline) => timeline.dirty)) return Infinity;
    const saveAt = savedAt + timing.save;
    if (now < saveAt) return saveAt;
    save(timelines);
    return Infinity;
  }

  /**
   * Stores a message or a change of the outbox. Returns the text that is stored.
   * @param {Timeline} timeline
   * @param {EntryRecord} record
   */
  async function putRow({ id, peer }, { clientId = "", text, order, created, error, kind, target, event }) {
    const about = !peer ? { group: { id, kind, target, event } } : kind && target !== undefined ? { change: { kind, target, peer } } : { peer };
    const row = /** @type {OutboxRow} */ ({ clientId, ...about, text, order, created, tab, error: error && { code: error.code, message: error.message } });
    await write(tabs.ready().then(() => storage.putRow(row)));
    return text;
  }

  /** @param {EntryRecord} record */
  const deleteRow = ({ clientId = "" }) => write(tabs.ready().then(() => storage.deleteRow(clientId)));

  /** Signs out the other tabs. */
  const broadcastForget = () => tabs.broadcast({ type: "forget" });

  /** Deletes everything, once it is written. */
  async function clear() {
    await write(storage.clear());
  }

  async function close() {
    await writes;
    await storage.close();
  }

  return {
    load: storage.load,
    startTabs: tabs.start,
    ...{ save, saveSome, putRow, deleteRow, broadcastForget, clear, close },
    settled: () => writes,
    get persistent() {
      return storage.persistent;
    },
  };
}

/**
 * Returns the conversation and the content of a row of another tab.
 * @param {OutboxRow} row
 */
function adopted({ clientId, peer, change, group, text, order, created, error }) {
  const { kind, target, event } = { event: undefined, ...change, ...group };
  const message = { clientId, text, order, created, kind, target, event, saved: true, attempted: true };
  return { peer: peer ?? change?.peer ?? "", id: group?.id, message, error: error && new ChatError(error.code, error.message) };
}
