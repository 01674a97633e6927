import { tooLong } from "./entry.js";
import { jitter } from "./timing.js";

/**
 * @import { ChatError } from "./error.js"
 * @import { Emit, LinkEffects, LinkState, Socket, Timing } from "./types.js"
 */

/**
 * The life of the connections, without any I/O: each method is an event at a time `now`, and
 * `emit` takes what is to be done. The `main` one carries new frames. While it hands over there is a
 * second: the `next` one that is being opened, or the `old` one that waits for its last acks.
 */
export class Link {
  /** @type {LinkState} */ state = "idle";
  /** @type {ChatError | undefined} */ error;
  /** When the next try is, in state `waiting`. */
  retryAt = Infinity;
  /** @type {Map<number, Socket>} */ #sockets = new Map();
  #ids = 0;
  #emit;
  #timing;
  #failures = 0;
  #refused = 0;

  /**
   * @param {() => number} random
   * @param {Timing} timing
   * @param {Emit<LinkEffects>} emit takes what is to be done
   */
  constructor(random, timing, emit) {
    this.#emit = emit;
    this.random = random;
    this.#timing = timing;
  }

  /** The id of the connection that takes new frames, if one does. */
  get open() {
    const main = this.#get("main");
    return main?.open ? main.id : undefined;
  }

  /** Whether requests to the server make sense now. */
  get reachable() {
    return this.state === "waiting" || this.#get("main") !== undefined;
  }

  /** When `tick` is to be called next. */
  get due() {
    const times = this.#all.flatMap((s) => [s.deadline, s.pingAt, this.#get("next") ? Infinity : s.handOverAt]);
    return Math.min(this.retryAt, ...times);
  }

  /** @param {number} id */
  has(id) {
    return this.#sockets.has(id);
  }

  /**
   * Goes online; now, if it waits.
   * @param {number} now
   */
  connect(now) {
    if (this.#get("main")) this.probe(now);
    else this.#dial();
  }

  /**
   * A connection has its token, which is good until `tokenEnds`, and is being opened.
   * @param {number} id
   * @param {number} now
   * @param {number} [tokenEnds]
   * @param {number} [lifetime] of the token
   */
  dialing(id, now, tokenEnds = Infinity, lifetime = Infinity) {
    const s = this.#sockets.get(id);
    if (!s) return;
    s.deadline = now + this.#timing.connect;
    // A part of a short life, or the hand-over would be due at once.
    s.tokenAt = tokenEnds - Math.min(this.#timing.tokenMargin, lifetime / 4);
  }

  /**
   * @param {number} id
   * @param {number} now
   */
  opened(id, now) {
    const s = this.#sockets.get(id);
    if (!s) return;
    const { handOverMin, handOverMax, ping } = this.#timing;
    s.open = true;
    s.openedAt = now;
    s.pingAt = now + ping;
    s.deadline = Infinity;
    s.handOverAt = Math.min(now + handOverMin + this.random() * (handOverMax - handOverMin), s.tokenAt);
    this.#refused = 0;
    if (s.role === "next") this.#ping(s, now, this.#timing.pong);
    else this.#online(true);
  }

  /**
   * A frame has come. Only a response proves that the way there works as well.
   * @param {number} id
   * @param {number} now
   * @param {boolean} response
   */
  received(id, now, response) {
    const s = this.#sockets.get(id);
    if (!s) return;
    s.pingAt = now + this.#timing.ping;
    if (!response || s.role === "old") return;
    s.answered = true;
    s.deadline = Infinity;
    if (s.role === "next") return this.#handOver(s, now);
    this.#emit("alive", id);
    if (this.state === "offline") this.#set("online");
  }

  /**
   * A frame has left.
   * @param {number} id
   * @param {number} now
   */
  sent(id, now) {
    const s = this.#sockets.get(id);
    if (s) s.pingAt = now + this.#timing.ping;
  }

  /**
   * A connection was closed by the server or the network, or could not be opened.
   * @param {number} id
   * @param {number} code of the close
   * @param {number} now
   * @param {ChatError} [error]
   */
  closed(id, code, now, error) {
    const s = this.#sockets.get(id);
    if (!s) return;
    this.#sockets.delete(id);
    if (!s.open && !error && ++this.#refused % 2 === 0) this.#emit("check");
    this.#emit("lost", id, code === 1009 || code === 1003 ? tooLong() : undefined);
    const main = this.#get("main");
    if (s.role === "main") this.#lostMain(s, code, now, error);
    if (s.role === "next" && main) main.handOverAt = now + this.#backoff();
  }

  /**
   * A connection is of no use any more.
   * @param {number} id
   * @param {number} now
   */
  drop(id, now) {
    this.#emit("shut", id);
    this.closed(id, 1006, now);
  }

  /**
   * The last ack of a connection is in.
   * @param {number} id
   * @param {number} now
   */
  drained(id, now) {
    if (this.#sockets.get(id)?.role === "old") this.drop(id, now);
  }

  /**
   * Asks for a sign of life.
   * @param {number} now
   */
  probe(now) {
    const main = this.#get("main");
    if (main?.open) this.#ping(main, now, this.#timing.wakePong);
  }

  /**
   * The machine, the page or the network may have been away. `person`: somebody is there.
   * @param {number} now
   * @param {boolean} person
   */
  wake(now, person) {
    // What was due while the machine slept has not been waited for.
    for (const s of this.#all) if (s.deadline <= now) s.deadline = now + this.#timing.wakePong;
    const away = this.state === "waiting" || this.state === "offline" || (person && this.state === "replaced");
    if (away || this.open) this.connect(now);
  }

  /** The machine says that it has no network. That may be wrong, so what is open stays open. */
  offline() {
    if (!this.reachable) return;
    if (!this.open) this.#endAll();
    this.#set("offline");
  }

  /**
   * Ends all connections.
   * @param {LinkState} state
   * @param {ChatError} [error]
   */
  end(state, error) {
    this.#endAll();
    this.#set(state, error);
  }

  /** @param {number} now */
  tick(now) {
    if (now >= this.retryAt) this.#dial();
    for (const s of this.#all) {
      if (now >= s.deadline) this.drop(s.id, now);
      else if (now >= s.pingAt) this.#ping(s, now, this.#timing.pong);
      if (now >= s.handOverAt && s.role === "main" && this.has(s.id) && !this.#get("next")) this.#create("next");
    }
  }

  #dial() {
    this.#create("main");
    this.#set("connecting");
  }

  /** @param {Socket["role"]} role */
  #create(role) {
    const id = ++this.#ids;
    const never = Infinity;
    const s = { id, role, open: false, answered: false, openedAt: 0, pingAt: never, deadline: never, tokenAt: never, handOverAt: never };
    this.#sockets.set(id, s);
    this.#emit("open", id);
  }

  /** @param {Socket["role"]} role */
  #get(role) {
    return this.#all.find((s) => s.role === role);
  }

  get #all() {
    return [...this.#sockets.values()];
  }

  #endAll() {
    for (const id of this.#sockets.keys()) {
      this.#emit("shut", id);
      this.#emit("lost", id, undefined);
    }
    this.#sockets.clear();
  }

  /**
   * @param {Socket} s
   * @param {number} code
   * @param {number} now
   * @param {ChatError} [error]
   */
  #lostMain(s, code, now, error) {
    if (s.answered && now - s.openedAt >= this.#timing.stable) this.#failures = 0;
    const next = this.#get("next");
    if (next) {
      // The second connection was on its way: it is the one now.
      next.role = "main";
      if (next.open) this.#online(true);
      else this.#set("connecting");
    } else if (code === 1000) this.#set("replaced");
    else if (this.state !== "offline") this.#set("waiting", error, now + this.#backoff());
  }

  #backoff() {
    const { backoff, backoffMax } = this.#timing;
    return jitter(this.random, this.#failures++, backoff, backoffMax);
  }

  /**
   * The second connection works: it carries all new frames.
   * @param {Socket} next
   * @param {number} now
   */
  #handOver(next, now) {
    const main = this.#get("main");
    const old = this.#get("old");
    if (old) this.drop(old.id, now);
    next.role = "main";
    if (main) {
      Object.assign(main, { role: "old", deadline: now + this.#timing.drain, pingAt: Infinity, handOverAt: Infinity });
      this.#emit("landed", main.id);
    }
    this.#online(false);
  }

  /**
   * @param {Socket} s
   * @param {number} now
   * @param {number} within
   */
  #ping(s, now, within) {
    s.pingAt = now + this.#timing.ping;
    s.deadline = Math.min(s.deadline, now + within);
    this.#emit("ping", s.id);
  }

  /** @param {boolean} all whether anything may have been missed */
  #online(all) {
    this.#set("online");
    this.#emit("catchUp", all);
  }

  /**
   * @param {LinkState} state
   * @param {ChatError} [error]
   * @param {number} [retryAt]
   */
  #set(state, error, retryAt = Infinity) {
    this.state = state;
    this.error = error;
    this.retryAt = retryAt;
    this.#emit("state");
  }
}
