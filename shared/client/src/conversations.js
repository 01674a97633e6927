import { Conversation, groupEvent, MAX_USERS, requestEvent } from "./conversation.js";
import { conversationId, groupTitle, isGroupId, peerOf, userId, userIds } from "./id.js";
import { List } from "./list.js";
import { createListeners } from "./listeners.js";

/** @import { ConversationList, ConversationSummary, Driver, Env, Listeners, ListPage, ListRow, NewGroup } from "./types.js" */

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
   * Returns the outbox of a conversation: by its peer, or of a group by its id; "": of groups that are being created, which have no id yet.
   * @param {{id?: string, peer?: string}} conversation
   */
  outboxOf({ id, peer }) {
    return (peer ? this.with(peer) : id ? this.conversation(id) : this.#get("", "")).timeline.outbox;
  }

  /**
   * Creates a group.
   * @param {NewGroup} group
   * @returns {Promise<Conversation>} resolves when it is stored
   */
  async create({ title, users, history = "joined" }) {
    const ids = userIds(users).filter((id) => id !== this.#env.user);
    const event = { ...groupEvent("create", ids.slice(0, MAX_USERS), { title: groupTitle(title) }), history };
    const group = await requestEvent(this.outboxOf({}), event, this.#env, this.#driver);
    if (ids.length > MAX_USERS) await group.invite(ids.slice(MAX_USERS));
    return group;
  }

  /**
   * An ack has arrived. Returns whether a group was created by that.
   * @param {any} frame
   * @returns {boolean}
   */
  created({ client_message_id, conversation_id: id, seq, timestamp }) {
    const outbox = this.outboxOf({});
    const record = outbox.byClientId.get(client_message_id);
    if (!record || !isGroupId(id)) return false;
    record.done?.resolve(this.conversation(id));
    outbox.stored(record, seq, timestamp);
    this.list.refresh();
    return true;
  }

  /**
   * @param {string} id
   * @param {string} peer "": it is a group
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
   * @param {boolean} isFirst
   */
  take({ rows }, requestedAt, isFirst) {
    if (isFirst) this.#checkMissing(rows);
    return rows.map((row) => {
      const conversation = this.#get(row.id, row.peer);
      conversation.timeline.group?.listed(row.newest, row.title ?? "");
      conversation.timeline.marks.listed(row, requestedAt);
      conversation.timeline.set(row);
      return conversation;
    });
  }

  /**
   * The first page has all groups of the user. One that it lacks was left meanwhile: the history tells when.
   * @param {ListRow[]} rows
   */
  #checkMissing(rows) {
    const listed = new Set(rows.map(({ id }) => id));
    for (const timeline of this.timelines) {
      if (!timeline.group || !timeline.marks.row || listed.has(timeline.id)) continue;
      timeline.marks.row = undefined;
      timeline.check();
      timeline.marksChanged();
    }
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
    const missing = this.timelines.some((timeline) => timeline.pager.opened && timeline.newest > 0 && !timeline.marksKnown);
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
    const direct = [...new Set([...open, ...listed])].filter(({ peer }) => peer);
    return direct.slice(0, MAX_ASKED).map(({ timeline }) => timeline);
  }
}
