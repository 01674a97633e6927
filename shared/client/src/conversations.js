import { Conversation } from "./conversation.js";
import { conversationId, peerOf, userId } from "./id.js";
import { List } from "./list.js";
import { createListeners } from "./listeners.js";

/** @import { ConversationList, ConversationSummary, Driver, Env, Listeners, ListPage } from "./types.js" */

/** The most users whose presence one request asks for. */
const MAX_ASKED = 100;

/** The conversations that are known, the server's list of them, and the presence of their peers. */
export class Conversations {
  /** @type {Listeners<ConversationList>} */ #listeners;
  /** By id. @type {Map<string, Conversation>} */ #byId = new Map();
  /** Whether the presence of somebody may be missing. */
  #unasked = false;
  /** Time of the next question for the presence of all. */
  #presenceAt = 0;
  #env;
  #driver;

  /**
   * @param {Env} env
   * @param {Driver} driver
   */
  constructor(env, driver) {
    this.#env = env;
    this.#driver = driver;
    this.#listeners = createListeners(env);
    this.list = new List(env, driver.emit);
  }

  /** @param {string} id */
  find(id) {
    return this.#byId.get(id);
  }

  /**
   * Returns the conversation with a user.
   * @param {string} peer
   * @throws {ChatError} `invalid_user_id`
   */
  with(peer) {
    const other = userId(peer);
    return this.#get(conversationId(this.#env.user, other), other);
  }

  /**
   * Returns a conversation by its id.
   * @param {string} id
   * @throws {ChatError} `invalid_conversation_id`
   */
  conversation(id) {
    return this.#get(id, peerOf(id, this.#env.user));
  }

  /**
   * @param {string} id
   * @param {string} peer
   */
  #get(id, peer) {
    const known = this.find(id);
    if (known) return known;
    const conversation = new Conversation(id, peer, this.#env, this.#driver);
    if (this.list.complete) conversation.timeline.marks.areKnown();
    this.#byId.set(id, conversation);
    return conversation;
  }

  get #all() {
    return [...this.#byId.values()];
  }

  get timelines() {
    return this.#all.map(({ timeline }) => timeline);
  }

  // The list.

  /** @param {(list: ConversationList) => void} listener */
  onChange(listener) {
    this.watch();
    return this.#listeners.add(listener, this.#snapshot());
  }

  /** @returns {ConversationList} */
  #snapshot() {
    const conversations = this.summaries();
    const { more, loading, error } = this.list;
    const unread = conversations.reduce((sum, one) => sum + one.unread, 0);
    return Object.freeze({ conversations: Object.freeze(conversations), unread, more, loading, error });
  }

  /**
   * Returns the conversations that this browser knows, newest first.
   * @returns {ConversationSummary[]}
   */
  summaries() {
    const list = this.#all.map((conversation) => conversation.summary()).filter(({ last }) => last);
    // A conversation whose last message has no timestamp yet comes first.
    const time = (/** @type {ConversationSummary} */ { last }) => last?.timestamp ?? "9999";
    return list.sort((a, b) => Number(time(b) > time(a)) - Number(time(b) < time(a)));
  }

  /**
   * Takes over a page of the list. Returns its conversations.
   * @param {ListPage} page
   * @param {number} requestedAt
   */
  take({ rows }, requestedAt) {
    return rows.map((row) => {
      const conversation = this.#get(row.id, row.peer);
      conversation.timeline.marks.listed(row, requestedAt);
      return conversation;
    });
  }

  /** The list was read as far as it is wanted, or there is none: without a row, a conversation has no marks. */
  listRead() {
    const { complete, supported } = this.list;
    this.watch();
    for (const timeline of this.timelines) {
      if (complete) timeline.marks.areKnown();
      // Without a list, each conversation is compared with the history.
      if (supported === false) timeline.check();
    }
  }

  /** Calls the listeners of what has changed. */
  publish() {
    const changed = this.#all.filter((conversation) => conversation.publish());
    if (!changed.length && !this.list.changed) return;
    this.list.changed = false;
    this.#listeners.notify(this.#snapshot());
  }

  reset() {
    for (const conversation of this.#all) conversation.reset();
    this.list = new List(this.#env, this.#driver.emit);
  }

  // Presence.

  /** Notes that there may be somebody whose presence is to be asked for. */
  watch() {
    this.#unasked = true;
  }

  /**
   * Reads what is due. Returns the time at which it is to be called again.
   * @param {number} now
   * @param {boolean} online whether a connection is open
   * @param {boolean} ready whether the list can be requested
   */
  pump(now, online, ready) {
    const missing = this.timelines.some((timeline) => timeline.opened && timeline.newest > 0 && !timeline.marksKnown);
    return Math.min(this.list.pump(now, ready, missing), online ? this.#pumpPresence(now) : Infinity);
  }

  /** @param {number} now */
  #pumpPresence(now) {
    if (!this.list.supported || this.#env.document?.visibilityState === "hidden") return Infinity;
    if (!this.#unasked && now < this.#presenceAt) return this.#presenceAt;
    const all = now >= this.#presenceAt;
    const asked = this.#watched().filter(({ signs }) => all || !signs.asked);
    this.#unasked = false;
    if (all) this.#presenceAt = Infinity;
    if (!asked.length) return this.#presenceAt;
    this.#presenceAt = Math.min(this.#presenceAt, now + this.#env.timing.presence);
    for (const { signs } of asked) signs.asked = true;
    this.#driver.emit("readPresence", asked);
    return this.#presenceAt;
  }

  /** Returns the conversations that are shown: those that are open, and the newest ones of the list. */
  #watched() {
    const open = this.#all.filter((conversation) => conversation.watched);
    const listed = this.#listeners.size ? this.summaries().flatMap(({ id }) => this.find(id) ?? []) : [];
    return [...new Set([...open, ...listed])].slice(0, MAX_ASKED).map(({ timeline }) => timeline);
  }
}
