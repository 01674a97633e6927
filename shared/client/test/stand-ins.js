// Stand-ins for a browser: tabs with timers, WebSockets, events and locks, which can die at any moment, and IndexedDB. The
// tests of the page use the real ones.

import { createRequire } from "node:module";

const { WebSocket } = createRequire(import.meta.url)("ws");

/** Web Locks of several tabs: exclusive and shared ones, with `ifAvailable` and `signal`. */
export class Locks {
  #held = [];
  #queue = [];

  /** Returns the `navigator.locks` of a tab. */
  of(tab) {
    return {
      request: (name, ...rest) => this.#request(tab, name, rest.length > 1 ? rest[0] : {}, rest.at(-1)),
      query: async () => ({ held: this.#held.map(info), pending: this.#queue.map(info) }),
    };
  }

  /** Releases the locks and requests of a dead tab. */
  release(tab) {
    this.#queue = this.#queue.filter((request) => request.tab !== tab);
    for (const request of this.heldBy(tab)) this.#free(request);
  }

  /** Returns the locks that a tab holds. */
  heldBy(tab) {
    return this.#held.filter((request) => request.tab === tab);
  }

  #request(tab, name, { ifAvailable = false, signal, mode = "exclusive" }, callback) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const request = { tab, name, mode, callback, resolve, reject };
      if (ifAvailable && !this.#isFree(request)) return resolve(Promise.resolve(null).then(callback));
      const abort = () => {
        this.#queue = this.#queue.filter((other) => other !== request);
        reject(signal.reason);
        this.#grant();
      };
      request.granted = () => signal?.removeEventListener("abort", abort);
      signal?.addEventListener("abort", abort);
      this.#queue.push(request);
      this.#grant();
    });
  }

  /** Returns whether no other request holds the lock or waits for it longer. */
  #isFree({ name, mode }, before = this.#queue) {
    const others = [...this.#held, ...before].filter((other) => other.name === name);
    return others.every((other) => other.mode === "shared" && mode === "shared");
  }

  #grant() {
    for (const request of [...this.#queue]) {
      if (!this.#isFree(request, this.#queue.slice(0, this.#queue.indexOf(request)))) continue;
      this.#queue.splice(this.#queue.indexOf(request), 1);
      this.#held.push(request);
      request.granted();
      Promise.resolve(info(request))
        .then(request.callback)
        .then(request.resolve, request.reject)
        .finally(() => this.#free(request));
    }
  }

  #free(request) {
    if (!this.#held.includes(request)) return;
    this.#held.splice(this.#held.indexOf(request), 1);
    this.#grant();
  }
}

const info = ({ name, mode }) => ({ name, mode });

/**
 * IndexedDB of a browser, with the operations that the library uses. `fail(operation)` may return an error, or `"hang"` for
 * a request that never completes.
 */
export class Databases {
  /** Rows by database, store and key. */
  data = new Map();
  fail = () => undefined;
  #open = new Set();

  open(name) {
    const request = {};
    this.#respond("open", request, () => {
      const fresh = !this.data.has(name);
      if (fresh) this.data.set(name, new Map());
      const database = this.#database(name);
      request.result = database;
      if (fresh) request.onupgradeneeded?.();
      this.#open.add(database);
    });
    return request;
  }

  deleteDatabase(name) {
    const request = {};
    const attempt = () => {
      for (const database of this.#open) if (database.name === name) database.onversionchange?.();
      if ([...this.#open].some((database) => database.name === name)) return setTimeout(attempt, 5);
      this.#respond("deleteDatabase", request, () => this.data.delete(name));
    };
    attempt();
    return request;
  }

  #database(name) {
    const stores = this.data.get(name);
    const open = this.#open;
    let turn = Promise.resolve();
    return {
      name,
      createObjectStore: (store, { keyPath }) => stores.set(store, Object.assign(new Map(), { keyPath })),
      close() {
        open.delete(this);
      },
      transaction: (store) => {
        const failure = this.fail("transaction");
        if (failure instanceof Error) throw failure;
        const transaction = this.#transaction(stores.get(store), turn);
        turn = transaction.completed;
        return transaction;
      },
    };
  }

  /** A transaction. It waits for the one before, and completes when it has no pending request. If one fails, its writes are undone. */
  #transaction(store, before) {
    const saved = new Map(store);
    let pending = 0;
    let end;
    const transaction = { error: null, completed: new Promise((resolve) => (end = resolve)) };
    const settle = () => {
      if (pending) return;
      if (transaction.error) {
        store.clear();
        for (const [key, value] of saved) store.set(key, value);
        transaction.onabort?.();
      } else transaction.oncomplete?.();
      end();
    };
    const request = (operation, work) => {
      const request = {};
      pending++;
      before.then(() =>
        this.#respond(operation, request, () => (request.result = work()), (error) => {
          if (error) transaction.error = error;
          setImmediate(() => (pending--, settle()));
        }),
      );
      return request;
    };
    transaction.objectStore = () => ({
      get: (key) => request("get", () => structuredClone(store.get(key))),
      getAll: () => request("getAll", () => structuredClone([...store.values()])),
      put: (value) => ((value = structuredClone(value)), request("put", () => void store.set(value[store.keyPath], value))),
      delete: (key) => request("delete", () => void store.delete(key)),
    });
    return transaction;
  }

  #respond(operation, request, work, done = () => {}) {
    const failure = this.fail(operation);
    if (failure === "hang") return;
    setImmediate(() => {
      if (failure) request.error = failure;
      else work();
      if (failure) request.onerror?.();
      else request.onsuccess?.();
      done(failure);
    });
  }
}

/** An event target that counts its listeners. */
class Target extends EventTarget {
  listeners = new Set();

  addEventListener(type, listener, options) {
    this.listeners.add(`${type} ${id(listener)}`);
    options?.signal?.addEventListener("abort", () => this.listeners.delete(`${type} ${id(listener)}`));
    super.addEventListener(type, listener, options);
  }

  removeEventListener(type, listener, options) {
    this.listeners.delete(`${type} ${id(listener)}`);
    super.removeEventListener(type, listener, options);
  }

  fire(type, fields = {}) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }
}

const ids = new WeakMap();
function id(listener) {
  if (!ids.has(listener)) ids.set(listener, Math.random());
  return ids.get(listener);
}

/** A tab of a browser. Its `options` are for the constructor of `Chat`. */
export class Tab {
  alive = true;
  timers = new Set();
  /** WebSockets that were opened, oldest first. */
  sockets = [];
  channels = new Set();
  window = new Target();
  document = Object.assign(new Target(), { visibilityState: "visible", hidden: false, hasFocus: () => !this.document.hidden });

  constructor({ locks = new Locks(), storage } = {}) {
    this.sharedLocks = locks;
    this.storage = storage && mortal(storage, this);
  }

  get options() {
    const { window, document, storage } = this;
    return {
      ...{ window, document, ...(storage && { storage }) },
      locks: this.sharedLocks.of(this),
      WebSocket: this.#webSocket(),
      BroadcastChannel: this.#broadcastChannel(),
      fetch: (...call) => (this.alive ? fetch(...call) : new Promise(() => {})),
      setTimeout: (callback, ms) => {
        if (!this.alive) return undefined;
        const timer = setTimeout(() => {
          this.timers.delete(timer);
          callback();
        }, ms);
        this.timers.add(timer);
        return timer;
      },
      clearTimeout: (timer) => {
        this.timers.delete(timer);
        clearTimeout(timer);
      },
    };
  }

  /** The tab goes into the background. */
  hide() {
    Object.assign(this.document, { visibilityState: "hidden", hidden: true });
    this.document.fire("visibilitychange");
  }

  /** The user comes back to the tab. */
  show() {
    Object.assign(this.document, { visibilityState: "visible", hidden: false });
    this.document.fire("visibilitychange");
    this.window.fire("focus");
  }

  /** Kills the tab: timers and pending operations never complete, and the browser releases its locks. */
  die() {
    this.alive = false;
    for (const timer of this.timers) clearTimeout(timer);
    for (const socket of this.sockets) {
      socket.removeAllListeners();
      socket.on("error", () => {});
      socket.terminate();
    }
    for (const channel of this.channels) channel.close();
    this.sharedLocks.release(this);
  }

  #webSocket() {
    const tab = this;
    return class extends WebSocket {
      constructor(...call) {
        super(...call);
        tab.sockets.push(this);
      }
    };
  }

  #broadcastChannel() {
    const tab = this;
    return class extends BroadcastChannel {
      constructor(name) {
        super(name);
        tab.channels.add(this);
      }

      postMessage(message) {
        if (tab.alive) super.postMessage(message);
      }

      close() {
        tab.channels.delete(this);
        super.close();
      }
    };
  }
}

/** Returns a storage that no longer responds once the tab is dead. Operations that were begun are completed. */
function mortal(storage, tab) {
  return wrap(storage, (name, call) => (tab.alive ? call() : new Promise(() => {})));
}

/** Returns a storage that passes every operation to `around(name, call, arguments)`. */
export function wrap(storage, around) {
  return new Proxy(storage, {
    get(target, name) {
      const value = target[name];
      if (typeof value !== "function") return value;
      return (...call) => around(String(name), () => value.apply(target, call), call);
    },
  });
}
