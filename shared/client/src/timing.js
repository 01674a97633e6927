/** @import { Timing } from "./types.js" */

/** All durations, in milliseconds. The option `timing` replaces single ones. */
export const TIMING = {
  /** Upper bound of the delay before the first reconnect; doubled at each failure. */
  backoff: 1_000,
  /** Largest upper bound of any delay before a retry. */
  backoffMax: 30_000,
  /** Upper bound of the delay before the first resend after `unavailable` or an error of API Gateway; doubled at each one. */
  sendBackoff: 500,
  /** A connection that lived this long, and got a response, resets the backoff. */
  stable: 10_000,
  /** Timeout of opening a connection. */
  connect: 20_000,
  /** Timeout of an ack. Then the connection is probed, and the message is sent again if that works. */
  ack: 12_000,
  /** A message that was not sent for this long fails. */
  expire: 24 * 3_600_000,
  /** Silence in both directions after which a ping is sent; API Gateway closes idle connections after 10 minutes. */
  ping: 270_000,
  /** Timeout of the response to such a ping. */
  pong: 15_000,
  /** Timeout of the response to a probe, after the page or the machine wakes up. */
  wakePong: 5_000,
  /** A timer that runs this much too late means that the machine has slept. */
  late: 20_000,
  /** A connection is replaced at a random age between these two; API Gateway closes it after two hours. */
  handOverMin: 100 * 60_000,
  handOverMax: 115 * 60_000,
  /** Time that a replaced connection has for its last acks. */
  drain: 12_000,
  /** A connection is replaced this long before its token expires. */
  tokenMargin: 60_000,
  /** Timeout of the token callback. */
  token: 30_000,
  /** Timeout of a request of the history. */
  request: 30_000,
  /** Time that a push which was overtaken has to arrive before its gap is read from the history. */
  gather: 100,
  /** Interval of comparing open conversations with the history. */
  compare: 300_000,
  /** Minimum interval between readings of the list that frames cause. */
  list: 1_000,
  /** Minimum interval between frames that the user types. */
  typing: 10_000,
  /** Time for which the peer is shown as typing after such a frame. */
  typingShown: 12_000,
  /** Time for which the peer is taken for online after a sign of it. */
  online: 300_000,
  /** Minimum interval between frames with the marks of a conversation. */
  mark: 2_000,
  /** Minimum interval between frames, of all conversations, that only tell what was delivered; the server takes five marks a second. */
  delivered: 250,
  /** Interval of asking for the presence of the users that are shown. */
  presence: 60_000,
  /** Minimum interval between writes of changed conversations to the storage. */
  save: 2_000,
  /** Timeout of an operation of the storage. */
  storage: 5_000,
};

/**
 * Returns a delay with full jitter: random between 0 and `base` doubled `n` times, `max` at most.
 * @param {() => number} random
 * @param {number} n
 * @param {number} base
 * @param {number} max
 */
export const jitter = (random, n, base, max) => random() * Math.min(max, base * 2 ** n);

/** When something that has failed is tried again: at growing delays with full jitter. */
export class Retry {
  /** Time of the next attempt; `Infinity`: there is none. */
  at = 0;
  #failures = 0;
  #env;

  /** @param {{random: () => number, timing: Timing}} env */
  constructor(env) {
    this.#env = env;
  }

  /**
   * @param {number} now
   * @param {boolean} retryable
   */
  failed(now, retryable) {
    const { backoff, backoffMax } = this.#env.timing;
    this.at = retryable ? now + jitter(this.#env.random, this.#failures++, backoff, backoffMax) : Infinity;
  }

  succeeded() {
    this.at = this.#failures = 0;
  }
}

/** A monotonic clock on top of the machine's, which may be wrong and may jump: it adds up the steps forward. */
export class Clock {
  #elapsed = 0;
  #last;

  /** @param {() => number} now */
  constructor(now) {
    this.now = now;
    this.#last = now();
  }

  /** Returns the time since the start. */
  read() {
    const now = this.now();
    this.#elapsed += Math.max(0, now - this.#last);
    this.#last = now;
    return this.#elapsed;
  }

  /**
   * Returns the time, which is at least `time`. Called when a timer for `time` runs: it has passed, even if the machine's clock
   * went back meanwhile.
   * @param {number} time
   */
  readAfter(time) {
    this.#elapsed = Math.max(this.read(), time);
    return this.#elapsed;
  }
}
