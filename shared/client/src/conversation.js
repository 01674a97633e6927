import { refusal } from "./entry.js";
import { ChatError } from "./error.js";
import { newId, wellFormed } from "./id.js";
import { listenersOf } from "./listeners.js";
import { Timeline } from "./timeline.js";

/** @import { ConversationSummary, Driver, Entry, Env, Listeners, Message, Record, Snapshot } from "./types.js" */

/** A conversation with one user. */
export class Conversation {
  /** @type {Listeners<Snapshot>} */ #listeners;
  #env;
  #driver;

  /**
   * @param {string} id
   * @param {string} peer
   * @param {Env} env
   * @param {Driver} driver
   */
  constructor(id, peer, env, driver) {
    this.id = id;
    this.peer = peer;
    this.#env = env;
    this.#driver = driver;
    this.#listeners = listenersOf(env);
    this.timeline = this.#newTimeline();
  }

  /** What is known now. */
  get snapshot() {
    return this.timeline.snapshot;
  }

  /**
   * Opens the conversation.
   * @param {(snapshot: Snapshot) => void} listener called at once, and once per turn in which something changes
   * @returns {() => void} stops it
   */
  onChange(listener) {
    const { start, run } = this.#driver;
    start();
    run(() => this.timeline.open());
    return this.#listeners.add(listener, this.snapshot);
  }

  /**
   * Sends a text. It is shown at once, and goes out when it can.
   * @param {string} text
   * @returns {Entry}
   */
  send(text) {
    const sent = wellFormed(text);
    const { start, run, stamp } = this.#driver;
    start();
    const message = { clientId: newId(), text: sent, saved: false, ...stamp() };
    const record = this.timeline.send(message, this.#env.clock.read(), 0, refusal(sent));
    run(() => {});
    return this.timeline.entry(record);
  }

  /**
   * Reads older messages.
   * @param {number} [n] how many, at most 1,000
   * @returns {Promise<{more: boolean}>} whether there are still older ones
   */
  older(n = 50) {
    const { start, run, ended } = this.#driver;
    start();
    const done = this.timeline.older(n);
    const error = ended();
    if (error) this.timeline.rejectOlder(error);
    run(() => {});
    return done;
  }

  /**
   * Marks all up to a number as read; never back.
   * @param {number} [seq]
   */
  markRead(seq = this.timeline.newest) {
    this.#driver.run(() => this.timeline.markRead(Math.min(seq, this.timeline.newest)));
  }

  /** Today's server does not pass on who is typing. */
  typing() {}

  /**
   * @param {Entry} _entry
   * @param {string} _text
   * @returns {Promise<void>}
   */
  async edit(_entry, _text) {
    throw unsupported();
  }

  /**
   * @param {Entry} _entry
   * @returns {Promise<void>}
   */
  async remove(_entry) {
    throw unsupported();
  }

  /**
   * Reads the whole conversation, oldest first.
   * @returns {AsyncGenerator<Message, void, void>}
   */
  async *all() {
    let after = Number.MIN_SAFE_INTEGER;
    for (let more = true; more; ) {
      const page = await this.#driver.page(this.peer, { after, limit: 1_000 });
      yield* page.messages;
      after = page.messages.at(-1)?.seq ?? after;
      more = page.more && page.messages.length > 0;
    }
  }

  /** @returns {ConversationSummary} */
  summary() {
    const { entries, unread, newest } = this.timeline.snapshot;
    return { id: this.id, peer: this.peer, unread, newest, last: entries.at(-1) ?? null };
  }

  /** Passes on a new snapshot, if there is one. */
  publish() {
    const { fresh, snapshot } = this.timeline;
    this.timeline.fresh = false;
    if (fresh) this.#listeners.call(snapshot);
    return fresh;
  }

  /** Forgets all that is known, and what waits. */
  reset() {
    this.timeline.lost(this.timeline.socket);
    for (const record of [...this.timeline.echoes]) this.timeline.discard(record);
    this.timeline = this.#newTimeline();
  }

  #newTimeline() {
    const { run, stamp, emit } = this.#driver;
    const actions = {
      retry: (/** @type {Record} */ record) => run((now) => this.timeline.retry(record, now, stamp())),
      discard: (/** @type {Record} */ record) => run(() => this.timeline.discard(record)),
    };
    return new Timeline(this.id, this.peer, this.#env, actions, emit);
  }
}

const unsupported = () => new ChatError("unsupported", "This server cannot do that yet.");
