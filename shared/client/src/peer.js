/** @import { Presence, Timing } from "./types.js" */

/** Signs of the peer of a conversation: whether that user types, and is online. A state machine without I/O. */
export class Peer {
  /** Undefined until the server has told it. @type {Presence | undefined} */ presence;
  /** Whether the server was asked for the presence. */
  asked = false;
  /** Time at which the peer is no longer shown as typing; `Infinity`: it is not. */
  #typingUntil = Infinity;
  /** Time of the last sign that the peer is online. */
  #heardAt = -Infinity;
  /** Time at which the peer was last told that this user types. */
  #typedAt = -Infinity;
  #timing;
  #changed;

  /**
   * @param {Timing} timing
   * @param {() => void} changed what is shown has changed
   */
  constructor(timing, changed) {
    this.#timing = timing;
    this.#changed = changed;
  }

  get typing() {
    return this.#typingUntil < Infinity;
  }

  /**
   * A sign that the peer is online.
   * @param {number} now
   */
  heard(now) {
    this.#heardAt = now;
    // Of a user who hides, or a stranger, the server tells neither. Then nothing is shown.
    if (this.presence?.online || this.presence?.lastSeen) this.setPresence({ online: true });
  }

  /**
   * The server tells whether the peer is online.
   * @param {Presence} presence
   */
  setPresence({ online, lastSeen }) {
    if (this.presence?.online === online && this.presence.lastSeen === lastSeen) return;
    this.presence = Object.freeze({ online, lastSeen });
    this.#changed();
  }

  /**
   * The peer types.
   * @param {number} now
   */
  types(now) {
    this.heard(now);
    this.#setTyping(now + this.#timing.typingShown);
  }

  /**
   * A message of the peer has arrived: what was typed is sent.
   * @param {number} now
   */
  wrote(now) {
    this.heard(now);
    this.#setTyping(Infinity);
  }

  /**
   * The user types. Returns whether the peer is to be told: now and then, while it seems to be online.
   * @param {number} now
   */
  typed(now) {
    const { typing, online } = this.#timing;
    if (now < this.#typedAt + typing || (now > this.#heardAt + online && !this.presence?.online)) return false;
    this.#typedAt = now;
    return true;
  }

  /** The user has sent what was typed: the peer is to hear of the next text at once. */
  typedAll() {
    this.#typedAt = -Infinity;
  }

  /**
   * Ends what has expired. Returns the time at which it is to be called again.
   * @param {number} now
   */
  pump(now) {
    if (now >= this.#typingUntil) this.#setTyping(Infinity);
    return this.#typingUntil;
  }

  /** @param {number} until */
  #setTyping(until) {
    if (this.#typingUntil !== until) this.#changed();
    this.#typingUntil = until;
  }
}
