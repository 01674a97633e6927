/** All durations, in milliseconds; the option `timing` replaces single ones. */
export const TIMING = {
  backoff: 1_000,
  backoffMax: 30_000,
  sendBackoff: 500,
  stable: 10_000,
  connect: 20_000,
  ack: 12_000,
  expire: 24 * 3_600_000,
  ping: 270_000,
  pong: 15_000,
  wakePong: 5_000,
  late: 20_000,
  handOverMin: 100 * 60_000,
  handOverMax: 115 * 60_000,
  drain: 12_000,
  tokenMargin: 60_000,
  token: 30_000,
  request: 30_000,
  gather: 100,
  compare: 300_000,
  save: 2_000,
  storage: 5_000,
};

/**
 * Full jitter: a delay between 0 and the smaller of `max` and `base` doubled `n` times.
 * @param {() => number} random
 * @param {number} n
 * @param {number} base
 * @param {number} max
 */
export const jitter = (random, n, base, max) => random() * Math.min(max, base * 2 ** n);

/**
 * Time that never goes back. Only durations are taken from the machine's clock, which may be wrong
 * and may jump.
 */
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
   * Returns the time, which is at least `time`: a timer has run, so it has passed.
   * @param {number} time
   */
  readAfter(time) {
    this.#elapsed = Math.max(this.read(), time);
    return this.#elapsed;
  }
}
