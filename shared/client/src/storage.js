/** @import { ConversationRow, Env, OutboxRow, Storage } from "./types.js" */

/**
 * Merges the rows that two tabs have of one conversation.
 * @param {ConversationRow | undefined} a
 * @param {ConversationRow} b
 */
const merge = (a, b) => (a ? { ...(Number(a.high) > Number(b.high) ? a : b), read: Math.max(a.read, b.read) } : b);

/**
 * Returns the IndexedDB storage of a user, or undefined where there is none. Some browsers throw on access to `indexedDB` if storage
 * is forbidden.
 * @param {string} user
 */
export function defaultStorage(user) {
  try {
    return globalThis.indexedDB && indexedDbStorage(user);
  } catch {}
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/**
 * Returns a storage in IndexedDB, for one user.
 * @param {string} user
 * @param {IDBFactory} [factory]
 * @returns {Storage}
 */
export function indexedDbStorage(user, factory = globalThis.indexedDB) {
  const name = `meetme-chat:${user}`;
  /** @type {Promise<IDBDatabase> | undefined} */
  let opened;

  const open = () => {
    const request = factory.open(name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("outbox", { keyPath: "clientId" });
      request.result.createObjectStore("conversations", { keyPath: "id" });
    };
    return result(request).then((db) => {
      // Another tab deletes the database, or the browser closes it: the next operation opens it again.
      db.onversionchange = db.onclose = () => (db.close(), (opened = undefined));
      return db;
    });
  };

  /**
   * Runs `operation` in one transaction, and waits until that is on disk.
   * @template T
   * @param {"outbox" | "conversations"} store
   * @param {(store: IDBObjectStore) => T | Promise<T>} operation
   * @param {IDBTransactionMode} mode
   * @returns {Promise<T>}
   */
  const run = async (store, operation, mode = "readwrite") => {
    const db = await (opened ??= open());
    const transaction = db.transaction(store, mode);
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
    const [value] = await Promise.all([operation(transaction.objectStore(store)), done]);
    return value;
  };

  const close = async () => {
    (await opened?.catch(() => undefined))?.close();
    opened = undefined;
  };

  return {
    persistent: true,
    load: () => run("conversations", (s) => result(s.getAll()), "readonly"),
    putConversation: (row) => run("conversations", async (s) => void s.put(merge(await result(s.get(row.id)), row))),
    putRow: (row) => run("outbox", (s) => void s.put(row)),
    deleteRow: (clientId) => run("outbox", (s) => void s.delete(clientId)),
    adopt: (liveTabs, tab) =>
      run("outbox", async (s) => {
        const all = /** @type {OutboxRow[]} */ (await result(s.getAll()));
        const rows = all.filter((row) => !liveTabs.includes(row.tab));
        for (const row of rows) s.put({ ...row, tab });
        return rows;
      }),
    clear: async () => {
      await close();
      await result(factory.deleteDatabase(name));
    },
    close,
  };
}

/**
 * Returns a storage that never fails. At the first error it calls `onFailure` and stores nothing from then on; the chat itself has in
 * memory what it shows and sends.
 * @param {Storage | undefined} storage
 * @param {Env} env
 * @param {(error: unknown) => void} onFailure
 * @returns {Storage}
 */
export function withFallback(storage, env, onFailure) {
  let current = storage;

  /** @param {keyof Storage} operation */
  const safe = (operation) => async (/** @type {any[]} */ ...values) => {
    try {
      // A row that is left in a broken storage would be sent again at the next start, so its deletion is still tried.
      if (storage && (current || operation === "deleteRow"))
        return await env.withTimeout(env.timing.storage, "storage", async () => /** @type {any} */ (storage[operation])(...values));
    } catch (error) {
      if (current) onFailure(error);
      current = undefined;
    }
    // No rows, for the operations that read some.
    return [];
  };

  return /** @type {Storage} */ (new Proxy({}, {
    get: (_, /** @type {keyof Storage} */ name) => (name === "persistent" ? Boolean(current?.persistent) : safe(name)),
  }));
}
