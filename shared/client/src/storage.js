/** @import { ConversationRow, Env, OutboxRow, Storage } from "./types.js" */

/**
 * Merges what two tabs know of a conversation.
 * @param {ConversationRow | undefined} a
 * @param {ConversationRow} b
 */
const merge = (a, b) => (a ? { ...(Number(a.high) > Number(b.high) ? a : b), read: Math.max(a.read, b.read) } : b);

const nothing = async () => {};

/** Keeps nothing: the chat itself has in memory what it shows and sends. @type {Storage} */
const NO_STORAGE = {
  persistent: false,
  load: async () => [],
  putConversation: nothing,
  putRow: nothing,
  deleteRow: nothing,
  adopt: async () => [],
  clear: nothing,
  close: nothing,
};

/**
 * Returns the store of a user on this machine. Where it is forbidden, some browsers throw as soon as they are asked for it.
 * @param {string} user
 */
export function storageOf(user) {
  try {
    return globalThis.indexedDB ? indexedDbStorage(user) : NO_STORAGE;
  } catch {
    return NO_STORAGE;
  }
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
 * A store in the browser, for one user.
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
      // Another tab deletes the store, or the browser closes it: the next use opens it anew.
      db.onversionchange = db.onclose = () => (db.close(), (opened = undefined));
      return db;
    });
  };

  /**
   * Runs `use` in one transaction, and waits until that is on disk.
   * @template T
   * @param {"outbox" | "conversations"} store
   * @param {(store: IDBObjectStore) => T | Promise<T>} use
   * @param {IDBTransactionMode} mode
   * @returns {Promise<T>}
   */
  const run = async (store, use, mode = "readwrite") => {
    const db = await (opened ??= open());
    const transaction = db.transaction(store, mode);
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
    const [value] = await Promise.all([use(transaction.objectStore(store)), done]);
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
    adopt: (living, tab) =>
      run("outbox", async (s) => {
        const all = /** @type {OutboxRow[]} */ (await result(s.getAll()));
        const rows = all.filter((row) => !living.includes(row.tab));
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
 * A store that never fails: on any error it goes on without, and tells `lost` once.
 * @param {Storage} storage
 * @param {Env} env
 * @param {(error: unknown) => void} lost
 * @returns {Storage}
 */
export function withFallback(storage, env, lost) {
  let current = storage;

  /** @param {keyof Storage} operation */
  const safe = (operation) => async (/** @type {any[]} */ ...values) => {
    /** @param {any} store */
    const use = async (store) => store[operation](...values);
    try {
      // A row that the broken store kept would go out again at the next start: removing it is still tried.
      if (current === storage || operation === "deleteRow") return await env.within(env.timing.storage, "storage", () => use(storage));
    } catch (error) {
      if (current === storage) lost(error);
      current = NO_STORAGE;
    }
    return use(NO_STORAGE);
  };

  return new Proxy(storage, {
    get: (_, /** @type {keyof Storage} */ name) => (name === "persistent" ? current.persistent : safe(name)),
  });
}
