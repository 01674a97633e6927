/** @import { Effects, Env } from "./types.js" */

/** An hour: a delay of more than 31 bits would be taken for 0. */
const MAX_DELAY = 3_600_000;

/** Runs the events of the state machines one after another, executes their effects, and sets the timer of the next tick. */
export class Loop {
  /** Whether no event is run any more. */
  ended = false;
  /** Effects to be executed. @type {((now: number) => unknown)[]} */ #effects = [];
  /** Whether effects are being executed. */
  #busy = false;
  /** Whether listeners are to be called in this turn. */
  #publishing = false;
  /** @type {unknown} */ #timer;
  #env;
  #chat;

  /**
   * @param {Env} env
   * @param {object} chat
   * @param {() => Effects} chat.effects
   * @param {(now: number) => number} chat.pump lets the state machines emit what is due, and returns the time of the next tick
   * @param {(now: number, late: number) => void} chat.tick does what is due; `late`: by how much the timer is
   * @param {() => void} chat.publish calls listeners
   */
  constructor(env, chat) {
    this.#env = env;
    this.#chat = chat;
  }

  /** Queues an effect. @type {(name: any, ...values: any[]) => void} */
  emit = (name, ...values) => void this.#effects.push((now) => /** @type {any} */ (this.#chat.effects())[name](...values, now));

  /**
   * Runs an event, and executes its effects.
   * @param {(now: number) => unknown} event
   */
  run = (event) => {
    if (this.ended) return;
    this.#effects.unshift(event);
    // Called within an effect: the event runs now, its effects after those that are queued.
    if (this.#busy) return this.#runNext();
    this.#busy = true;
    let due = this.#runAll();
    while (this.#effects.length) due = this.#runAll();
    this.#busy = false;
    if (this.ended) return;
    this.#schedule(due);
    this.#publish();
  };

  /** Ends the loop. Effects that are queued are executed. */
  end() {
    for (const effect of this.#effects.splice(0)) effect(this.#env.clock.read());
    this.#env.clearTimeout(this.#timer);
  }

  #runAll() {
    while (this.#effects.length) this.#runNext();
    return this.#chat.pump(this.#env.clock.read());
  }

  #runNext() {
    try {
      this.#effects.shift()?.(this.#env.clock.read());
    } catch (error) {
      this.#env.log("error", "failed", { error });
    }
  }

  /** @param {number} due time of the next tick */
  #schedule(due) {
    const { clock, clearTimeout, setTimeout } = this.#env;
    clearTimeout(this.#timer);
    if (due === Infinity) return;
    const delay = Math.min(Math.max(0, Math.ceil(due - clock.read())), MAX_DELAY);
    const at = clock.read() + delay;
    this.#timer = setTimeout(() => this.run((time) => this.#chat.tick(clock.readAfter(at), time - at)), delay);
  }

  /** Calls the listeners at the end of this turn. */
  #publish() {
    if (this.#publishing) return;
    this.#publishing = true;
    queueMicrotask(() => {
      this.#publishing = false;
      if (!this.ended) this.#chat.publish();
    });
  }
}
