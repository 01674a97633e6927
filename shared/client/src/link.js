import { tooLongError } from "./entry.js";
import { jitter } from "./timing.js";

/**
 * @import { ChatError } from "./error.js"
 * @import { Connection, Emit, LinkEffects, LinkState, Timing } from "./types.js"
 */

/**
 * The state machine of the connections, without any I/O. Each method is an event at a time `now`; `emit` takes the effects.
 *
 * The `main` connection carries new frames. During a hand-over there is a second one: first the `next` one, which is being opened,
 * then the `old` one, which waits for its last acks.
 */
export class Link {
  /** @type {LinkState} */ state = "idle";
  /** @type {ChatError | undefined} */ error;
  /** Time of the next attempt, in state `waiting`. */
  retryAt = Infinity;
  /** @type {Map<number, Connection>} */ #connections = new Map();
  #ids = 0;
  #emit;
  #timing;
  /** Consecutive failures, for the backoff. */
  #failures = 0;
  /** Consecutive handshakes that were rejected. */
  #rejected = 0;

  /**
   * @param {() => number} random
   * @param {Timing} timing
   * @param {Emit<LinkEffects>} emit
   */
  constructor(random, timing, emit) {
    this.#emit = emit;
    this.random = random;
    this.#timing = timing;
  }

  /** The id of the connection that takes new frames, if one is open. */
  get open() {
    const main = this.#get("main");
    return main?.open ? main.id : undefined;
  }

  /** Whether requests to the server make sense now. */
  get reachable() {
    return this.state === "waiting" || this.#get("main") !== undefined;
  }

  /** Time at which `tick` is to be called. */
  get due() {
    const times = this.#all.flatMap((c) => [c.deadline, c.pingAt, this.#get("next") ? Infinity : c.handOverAt]);
    return Math.min(this.retryAt, ...times);
  }

  /** @param {number} id */
  has(id) {
    return this.#connections.has(id);
  }

  /**
   * Connects at once, or probes the connection that there is.
   * @param {number} now
   */
  connect(now) {
    if (this.#get("main")) this.probe(now);
    else this.#dial();
  }

  /**
   * A connection has its token and is being opened.
   * @param {number} id
   * @param {number} now
   * @param {number} [expiresAt] of the token
   * @param {number} [lifetime] of the token
   */
  dialing(id, now, expiresAt = Infinity, lifetime = Infinity) {
    const c = this.#connections.get(id);
    if (!c) return;
    c.deadline = now + this.#timing.connect;
    // At most a quarter of a short lifetime, or the hand-over would be due at once.
    c.tokenAt = expiresAt - Math.min(this.#timing.tokenMargin, lifetime / 4);
  }

  /**
   * A connection is open.
   * @param {number} id
   * @param {number} now
   */
  opened(id, now) {
    const c = this.#connections.get(id);
    if (!c) return;
    const { handOverMin, handOverMax, ping } = this.#timing;
    c.open = true;
    c.openedAt = now;
    c.pingAt = now + ping;
    c.deadline = Infinity;
    c.handOverAt = Math.min(now + handOverMin + this.random() * (handOverMax - handOverMin), c.tokenAt);
    this.#rejected = 0;
    if (c.role === "next") this.#ping(c, now, this.#timing.pong);
    else this.#online(true);
  }

  /**
   * A frame has arrived. Only a response proves that our frames reach the server, too.
   * @param {number} id
   * @param {number} now
   * @param {boolean} isResponse
   */
  received(id, now, isResponse) {
    const c = this.#connections.get(id);
    if (!c) return;
    c.pingAt = now + this.#timing.ping;
    if (!isResponse || c.role === "old") return;
    c.proven = true;
    c.deadline = Infinity;
    if (c.role === "next") return this.#handOver(c, now);
    this.#emit("alive", id);
    if (this.state === "offline") this.#set("online");
  }

  /**
   * A frame was sent.
   * @param {number} id
   * @param {number} now
   */
  sent(id, now) {
    const c = this.#connections.get(id);
    if (c) c.pingAt = now + this.#timing.ping;
  }

  /**
   * A connection was closed by the server or the network, or could not be opened.
   * @param {number} id
   * @param {number} code of the close
   * @param {number} now
   * @param {ChatError} [error]
   */
  closed(id, code, now, error) {
    const c = this.#connections.get(id);
    if (!c) return;
    this.#connections.delete(id);
    if (!c.open && !error && ++this.#rejected % 2 === 0) this.#emit("diagnose");
    this.#emit("lost", id, code === 1009 || code === 1003 ? tooLongError() : undefined);
    const main = this.#get("main");
    if (c.role === "main") this.#mainClosed(c, code, now, error);
    if (c.role === "next" && main) main.handOverAt = now + this.#backoff();
  }

  /**
   * Closes a connection that does not work, or is not needed any more.
   * @param {number} id
   * @param {number} now
   */
  drop(id, now) {
    this.#emit("close", id);
    this.closed(id, 1006, now);
  }

  /**
   * No ack is outstanding on a connection. An old one is closed then.
   * @param {number} id
   * @param {number} now
   */
  drained(id, now) {
    if (this.#connections.get(id)?.role === "old") this.drop(id, now);
  }

  /**
   * Sends a ping whose response has a short timeout.
   * @param {number} now
   */
  probe(now) {
    const main = this.#get("main");
    if (main?.open) this.#ping(main, now, this.#timing.wakePong);
  }

  /**
   * The machine, the page or the network is back, perhaps after a long time.
   * @param {number} now
   * @param {boolean} userPresent whether the user is known to be there
   */
  wake(now, userPresent) {
    // A deadline that passed while the machine slept starts again: no response could arrive meanwhile.
    for (const c of this.#all) if (c.deadline <= now) c.deadline = now + this.#timing.wakePong;
    const away = this.state === "waiting" || this.state === "offline" || (userPresent && this.state === "replaced");
    if (away || this.open) this.connect(now);
  }

  /** The machine says that it has no network. That may be wrong, so an open connection stays open. */
  offline() {
    if (!this.reachable) return;
    if (!this.open) this.#closeAll();
    this.#set("offline");
  }

  /**
   * Closes all connections.
   * @param {LinkState} state
   * @param {ChatError} [error]
   */
  shutdown(state, error) {
    this.#closeAll();
    this.#set(state, error);
  }

  /**
   * Does what is due.
   * @param {number} now
   */
  tick(now) {
    if (now >= this.retryAt) this.#dial();
    for (const c of this.#all) {
      if (now >= c.deadline) this.drop(c.id, now);
      else if (now >= c.pingAt) this.#ping(c, now, this.#timing.pong);
      if (now >= c.handOverAt && c.role === "main" && this.has(c.id) && !this.#get("next")) this.#create("next");
    }
  }

  #dial() {
    this.#create("main");
    this.#set("connecting");
  }

  /** @param {Connection["role"]} role */
  #create(role) {
    const id = ++this.#ids;
    const never = Infinity;
    const c = { id, role, open: false, proven: false, openedAt: 0, pingAt: never, deadline: never, tokenAt: never, handOverAt: never };
    this.#connections.set(id, c);
    this.#emit("open", id);
  }

  /** @param {Connection["role"]} role */
  #get(role) {
    return this.#all.find((c) => c.role === role);
  }

  get #all() {
    return [...this.#connections.values()];
  }

  #closeAll() {
    for (const id of this.#connections.keys()) {
      this.#emit("close", id);
      this.#emit("lost", id, undefined);
    }
    this.#connections.clear();
  }

  /**
   * @param {Connection} c
   * @param {number} code
   * @param {number} now
   * @param {ChatError} [error]
   */
  #mainClosed(c, code, now, error) {
    if (c.proven && now - c.openedAt >= this.#timing.stable) this.#failures = 0;
    const next = this.#get("next");
    if (next) {
      // A hand-over was under way: its connection becomes the main one.
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
   * Makes the next connection, which works, the main one.
   * @param {Connection} next
   * @param {number} now
   */
  #handOver(next, now) {
    const main = this.#get("main");
    const old = this.#get("old");
    if (old) this.drop(old.id, now);
    next.role = "main";
    if (main) {
      Object.assign(main, { role: "old", deadline: now + this.#timing.drain, pingAt: Infinity, handOverAt: Infinity });
      this.#emit("checkDrained", main.id);
    }
    this.#online(false);
  }

  /**
   * @param {Connection} c
   * @param {number} now
   * @param {number} timeout of the response
   */
  #ping(c, now, timeout) {
    c.pingAt = now + this.#timing.ping;
    c.deadline = Math.min(c.deadline, now + timeout);
    this.#emit("ping", c.id);
  }

  /** @param {boolean} mayHaveMissed whether pushes may have been missed */
  #online(mayHaveMissed) {
    this.#set("online");
    this.#emit("catchUp", mayHaveMissed);
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
