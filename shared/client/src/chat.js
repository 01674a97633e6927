import { Conversations } from "./conversations.js";
import { environment } from "./env.js";
import { ChatError, networkError } from "./error.js";
import { createFrames } from "./frames.js";
import { Link } from "./link.js";
import { Loop } from "./loop.js";
import { createListeners } from "./listeners.js";
import { listenToPage } from "./page-events.js";
import { createReads } from "./reads.js";
import { createRequest } from "./request.js";
import { createSettings } from "./settings.js";
import { createSockets } from "./sockets.js";
import { createStore } from "./store.js";
import { createTokens } from "./token.js";
import { createWire } from "./wire.js";

/** @import { ChatOptions, ChatState, ConversationList, ConversationSummary, Driver, Effects, Listeners } from "./types.js" */
/** @import { Conversation } from "./conversation.js" */
/** @import { NewGroup, ReadEffects, Saved, SentEffects, Settings, TabMessage } from "./types.js" */

const CLOSED = new ChatError("closed", "The chat is closed.");

/** A user's chat: a connection and conversations. The constructor opens nothing. */
export class Chat {
  /** @type {Listeners<ChatState>} */ #stateListeners;
  /** @type {Promise<void> | undefined} */ #starting;
  /** Removes the listeners to events of the page. */ #stopListening = () => {};
  /** The place of the last message in the order of sending. */ #order = 0;
  /** Whether the storage was read. Nothing is sent or stored before. */ #loaded = false;
  /** Time of the next comparison with the history. */ #compareAt = Infinity;
  /** Pace of marks, of all conversations. */ #pace = { deliveredAt: 0 };
  /** @type {ChatState} */ #state = { state: "idle" };

  /** @param {ChatOptions} options */
  constructor(options) {
    const env = (this.#env = environment(options));
    this.user = env.user;
    this.#stateListeners = createListeners(env);
    this.#loop = new Loop(env, {
      effects: () => this.#effects,
      pump: (now) => this.#pump(now),
      tick: (now, late) => this.#tick(now, late),
      publish: () => this.#conversations.publish(),
    });
    const { run } = this.#loop;
    this.#link = new Link(env.random, env.timing, this.#loop.emit);
    this.#tokens = createTokens(env);
    const request = createRequest(this.#tokens, env);
    this.#settings = createSettings(request, env);
    this.#conversations = new Conversations(env, this.#driver());
    this.#reads = createReads(request, env, this.#conversations, run, (error) => this.#rejectedUser(error));
    const receive = createFrames(env, this.#conversations, this.#link, this.#tokens, this.#settings.take);
    this.#store = createStore(env, (message) => this.#onTabMessage(message), (rows) => this.#adopt(rows));
    this.#sockets = createSockets(env, {
      opened: (id) => run((now) => this.#link.opened(id, now)),
      received: (id, data) => run((now) => receive(id, data, now)),
      closed: (id, code) => run((now) => this.#link.closed(id, code, now)),
    });
    this.#effects = { ...this.#ownEffects, ...this.#reads.effects, ...createWire(this.#sockets, this.#link, this.#conversations) };
  }

  #env;
  #store;
  #loop;
  #link;
  #tokens;
  #reads;
  #settings;
  #conversations;
  #sockets;
  /** @type {Effects} */ #effects;

  /** The state of the connection. */
  get state() {
    return this.#state;
  }

  /** Whether messages that are not sent yet are kept when the page is closed. */
  get persistent() {
    return this.#store.persistent;
  }

  /** Connects, and reconnects whenever the connection is lost. In state `waiting` it connects at once. */
  connect() {
    this.#start();
    this.#loop.run((now) => this.#link.connect(now));
  }

  /** Closes the chat: writes what is to be stored, and closes connections, timers and listeners. */
  async close() {
    const loop = this.#loop;
    if (loop.ended) return;
    loop.run(() => this.#leave());
    loop.ended = true;
    this.#link.shutdown("closed");
    loop.end();
    this.#stopListening();
    await this.#starting;
    await this.#store.close();
    // Cancels requests, locks and timeouts.
    this.#env.close();
  }

  /** Signs out, in all tabs: deletes everything that this browser has stored of the user. */
  async forget() {
    await this.#start();
    this.#store.broadcastForget();
    await this.#forget();
  }

  /**
   * @param {(state: ChatState) => void} listener called at once and at each change
   * @returns {() => void} removes the listener
   */
  onState(listener) {
    return this.#stateListeners.add(listener, this.#state);
  }

  /**
   * @param {(list: ConversationList) => void} listener called at once and at each change
   * @returns {() => void} removes the listener
   */
  onConversations(listener) {
    this.#start();
    const stop = this.#conversations.onChange(listener);
    this.#loop.run(() => {});
    return stop;
  }

  /**
   * Reads older conversations of the server's list.
   * @param {number} [n] how many
   * @returns {Promise<{more: boolean}>} whether there are more
   */
  moreConversations(n = 50) {
    const { list } = this.#conversations;
    this.#start();
    const done = list.older(n);
    const error = this.#closeReason();
    if (error) list.rejectOlder(error);
    this.#loop.run(() => {});
    return done;
  }

  /**
   * Reads the server's whole list, page by page, newest first. With an older server, which has none: the conversations that this browser
   * knows.
   * @returns {AsyncGenerator<ConversationSummary, void, void>}
   */
  async *conversations() {
    await this.#start();
    yield* this.#reads.all();
  }

  /**
   * Reads all messages of all conversations, page by page, in an order that stays the same. Waits where the server asks for that.
   * @param {{cursor?: string}} [options] `cursor`: that of the last message of an earlier run, which is continued
   * @returns {AsyncGenerator<Saved, void, void>}
   */
  async *all({ cursor } = {}) {
    await this.#start();
    yield* this.#reads.messages(cursor);
  }

  /** The user's settings; undefined until the server has told them. */
  get settings() {
    return this.#settings.current;
  }

  /**
   * @param {(settings: Settings | undefined) => void} listener called at once and at each change
   * @returns {() => void} removes the listener
   */
  onSettings(listener) {
    return this.#settings.onChange(listener);
  }

  /**
   * Changes settings of the user, on all devices.
   * @param {Partial<Settings>} change
   * @returns {Promise<Settings>}
   */
  async setSettings(change) {
    this.#checkOpen();
    return this.#settings.change(change);
  }

  /**
   * Creates a group of this user and others, as soon as possible, after a reload too.
   * @param {NewGroup} group
   * @returns {Promise<Conversation>} resolves when it is stored
   */
  createGroup(group) {
    return this.#conversations.create(group);
  }

  /**
   * Returns the conversation with a user.
   * @param {string} peer
   * @throws {ChatError} `invalid_user_id`
   */
  with(peer) {
    return this.#conversations.with(peer);
  }

  /**
   * Returns a conversation by its id.
   * @param {string} id
   * @throws {ChatError} `invalid_conversation_id`
   */
  conversation(id) {
    return this.#conversations.conversation(id);
  }

  /** @returns {Driver} */
  #driver() {
    return {
      readPage: (of, range) => this.#reads.pages.readPage(of, range),
      canChange: () => this.#reads.pages.numbered,
      set: async (of, change) => (this.#checkOpen(), this.#reads.set(of, change)),
      start: () => this.#start(),
      run: this.#loop.run,
      emit: this.#loop.emit,
      closeReason: () => this.#closeReason(),
      // Always after the last message, even if the clock goes back.
      stamp: () => {
        const created = this.#env.clock.now();
        return { created, order: (this.#order = Math.max(this.#order + 1, created)) };
      },
      watch: () => this.#conversations.watch(),
    };
  }

  // Start.

  async #start() {
    if (!this.#loop.ended) await (this.#starting ??= this.#load());
  }

  async #load() {
    const { run } = this.#loop;
    this.#stopListening = listenToPage(this.#env, {
      offline: () => run(() => this.#link.offline()),
      leave: () => run(() => this.#leave()),
      wake: (type) => run((now) => (type === "focus" && this.#link.open) || this.#wake(now, type !== "online")),
    });
    for (const row of await this.#store.load()) run(() => this.conversation(row.id).timeline.restore(row));
    await this.#store.startTabs();
    run(() => (this.#loaded = true));
  }

  /** Takes over the outboxes of dead tabs. @type {Parameters<typeof createStore>[2]} */
  #adopt(rows) {
    for (const { message, error, ...of } of rows) this.#loop.run((now) => {
      this.#order = Math.max(this.#order, message.order);
      this.#conversations.outboxOf(of).send(message, now, this.#env.clock.now() - message.created, error);
    });
  }

  async #forget() {
    await this.#store.settled();
    this.#loop.run(() => (this.#link.shutdown("signed-out"), this.#tokens.invalidate(), this.#conversations.reset()));
    await this.#store.clear();
  }

  // Events of the page and messages of other tabs.

  /** The page may never run again: stores and sends what is to be. */
  #leave() {
    if (!this.#loaded) return;
    this.#store.save(this.#timelines);
    for (const { marks } of this.#timelines) marks.flush();
  }

  /**
   * @param {number} now
   * @param {boolean} userPresent
   */
  #wake(now, userPresent) {
    this.#link.wake(now, userPresent);
    this.#catchUp(now);
  }

  /** @param {TabMessage} message */
  #onTabMessage(message) {
    if (message.type === "forget") this.#forget();
    if (message.type === "read") this.#loop.run(() => this.#conversations.find(message.id)?.timeline.marks.told(message.seq, 0));
  }

  /**
   * Lets each conversation emit what is due. Returns the time of the next tick.
   * @param {number} now
   */
  #pump(now) {
    const link = this.#link;
    if (!this.#loaded || this.#loop.ended) return Math.min(link.due, this.#compareAt);
    const { list } = this.#conversations;
    const timelines = this.#timelines;
    const times = timelines.map((timeline) => timeline.pump(now, link.open, list.supported && this.#pace, link.reachable));
    // The list is read once the connection is open, since what is stored until then is not pushed.
    const open = link.open !== undefined;
    const due = Math.min(link.due, this.#compareAt, this.#conversations.pump(now, open, open || link.state === "waiting"), ...times);
    return Math.min(due, this.#store.saveSome(timelines, now));
  }

  /**
   * Does what is due.
   * @param {number} now
   * @param {number} late by how much the timer is
   */
  #tick(now, late) {
    if (late > this.#env.timing.late) this.#wake(now, false);
    this.#link.tick(now);
    if (now >= this.#compareAt) this.#catchUp(now);
  }

  /**
   * Compares with the server what may have changed: the list, which tells which conversations have, and the open conversations.
   * @param {number} now
   * @param {boolean} [connected] whether there is a new connection
   */
  #catchUp(now, connected) {
    const { list } = this.#conversations;
    this.#compareAt = now + this.#env.timing.compare;
    if (connected) {
      list.connected();
      this.#reads.pages.connected();
      this.#settings.refresh();
    } else list.refresh();
    for (const timeline of this.#timelines) if (timeline.pager.opened) timeline.check();
  }

  get #timelines() {
    return this.#conversations.timelines;
  }

  /** The effects of the state machines that are executed here. @type {Omit<Effects, SentEffects | ReadEffects>} */
  #ownEffects = {
    state: () => {
      const { state, error, retryAt } = this.#link;
      const { clock } = this.#env;
      const waits = state === "waiting";
      if (this.#state.state === state && this.#state.error === error && !waits) return;
      this.#state = Object.freeze({ state, error, retryAt: waits ? clock.now() + retryAt - clock.read() : undefined });
      const closeReason = this.#closeReason();
      if (closeReason) [this.#conversations.list, ...this.#timelines.map(({ pager }) => pager)].forEach((one) => one.rejectOlder(closeReason));
      this.#stateListeners.notify(this.#state);
    },
    open: async (id) => {
      try {
        const token = await this.#tokens.get(true);
        if (!this.#link.has(id)) return;
        this.#loop.run((now) => this.#link.dialing(id, now, token?.expiresAt, token?.lifetime));
        this.#sockets.open(id, token?.value);
      } catch (cause) {
        const error = networkError(cause);
        this.#loop.run((now) => this.#rejectedUser(error) || this.#link.closed(id, 1006, now, error));
      }
    },
    catchUp: (connected, now) => this.#catchUp(now, connected),
    alive: (id) => this.#timelines.forEach((timeline) => timeline.outbox.alive(id)),
    lost: (id, error) => this.#timelines.forEach(({ outbox, marks }) => (outbox.lost(id, error), marks.lost(id))),
    checkDrained: (id, now) => this.#timelines.some((timeline) => timeline.outbox.connection === id) || this.#link.drained(id, now),
    save: async (timeline, record) => {
      const text = await this.#store.putRow(timeline, record);
      // Meanwhile it may have got another text, which is being stored.
      this.#loop.run(() => (record.saved ||= record.text === text));
    },
    drop: (record) => this.#store.deleteRow(record),
    stored: (timeline, record) => record.done?.resolve(timeline.entry(record)),
    doubt: () => this.#conversations.list.doubt(),
    probe: (now) => this.#link.probe(now),
    diagnose: () => this.#env.token && this.#reads.diagnose(),
  };

  /** Returns the error with which the chat was closed or signed out, if it was. */
  #closeReason() {
    const { state, error = CLOSED } = this.#state;
    return state === "signed-out" || state === "closed" ? error : undefined;
  }

  #checkOpen() {
    const error = this.#closeReason();
    if (error) throw error;
  }

  /**
   * Closes the connections if an error says that the server rejects the user. Returns whether it does.
   * @param {any} error
   */
  #rejectedUser(error) {
    const { code } = error;
    const state = code === "signed_out" || code === "unauthorized" ? "signed-out" : code === "forbidden" && "closed";
    if (!state) return false;
    this.#tokens.invalidate();
    this.#link.shutdown(state, error);
    return true;
  }
}
