/** @import { Presence, Timing } from "./types.js" */

/** Signs of the other users of a conversation: who types, and whether the peer is online. A state machine without I/O. */
export class Peer {
  /** Undefined until the server has told it. @type {Presence | undefined} */ presence;
  /** Whether the server was asked for the presence. */
  asked = false;
  /** Times at which users are no longer shown as typing. @type {Map<string, number>} */ #typingUntil = new Map();
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

  /** The users who type. */
  get typing() {
    return Object.freeze([...this.#typingUntil.keys()]);
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
   * A user types.
   * @param {string} user
   * @param {number} now
   */
  types(user, now) {
    this.heard(now);
    if (!this.#typingUntil.has(user)) this.#changed();
    this.#typingUntil.set(user, now + this.#timing.typingShown);
  }

  /**
   * A message of a user has arrived: what was typed is sent.
   * @param {string} user
   * @param {number} now
   */
  wrote(user, now) {
    this.heard(now);
    this.stopped(user);
  }

  /**
   * The user types. Returns whether the others are to be told: now and then, in a direct conversation only while the peer seems to be
   * online.
   * @param {number} now
   * @param {boolean} [told] whether they are, in a group
   */
  typed(now, told = now <= this.#heardAt + this.#timing.online || this.presence?.online) {
    if (now < this.#typedAt + this.#timing.typing || !told) return false;
    this.#typedAt = now;
    return true;
  }

  /** The user has sent what was typed: the others are to hear of the next text at once. */
  typedAll() {
    this.#typedAt = -Infinity;
  }

  /**
   * Ends what has expired. Returns the time at which it is to be called again.
   * @param {number} now
   */
  pump(now) {
    for (const [user, until] of this.#typingUntil) if (now >= until) this.stopped(user);
    return Math.min(...this.#typingUntil.values());
  }

  /**
   * A user types no more.
   * @param {string} user
   */
  stopped(user) {
    if (this.#typingUntil.delete(user)) this.#changed();
  }
}
