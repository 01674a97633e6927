import { Conversation } from "./conversation.js";
import { environment } from "./env.js";
import { ChatError, networkError } from "./error.js";
import { createHistory, parseMessage } from "./history.js";
import { conversationId, newId, peerOf, userId } from "./id.js";
import { Link } from "./link.js";
import { createListeners } from "./listeners.js";
import { createSockets } from "./sockets.js";
import { defaultStorage, withFallback } from "./storage.js";
import { createTabs } from "./tabs.js";
import { createTokens } from "./token.js";

/**
 * @import { ChatOptions, ChatState, ConversationSummary, Driver, Effects, Listeners, TabMessage } from "./types.js"
 */

const CLOSED = new ChatError("closed", "The chat is closed.");

/** A user's chat: a connection and conversations. The constructor opens nothing. */
export class Chat {
  /** @type {Listeners<ChatState>} */ #stateListeners;
  /** @type {Listeners<ConversationSummary[]>} */ #listListeners;
  /** By id. @type {Map<string, Conversation>} */ #conversations = new Map();
  /** Effects to be executed. @type {((now: number) => unknown)[]} */ #effects = [];
  /** Resolves when all writes to the storage have ended. @type {Promise<unknown>} */ #writes = Promise.resolve();
  /** @type {Promise<void> | undefined} */ #starting;
  /** @type {unknown} */ #timer;
  #tab = newId();
  /** The place of the last message in the order of sending. */
  #order = 0;
  /** Whether the storage was read. Nothing is sent or stored before. */
  #loaded = false;
  #closed = false;
  /** Whether effects are being executed. */
  #busy = false;
  /** Whether listeners are to be called in this turn. */
  #publishing = false;
  #savedAt = -Infinity;
  /** Time of the next comparison with the history. */
  #compareAt = Infinity;
  /** @type {ChatState} */ #state = { state: "idle" };

  /** @param {ChatOptions} options */
  constructor(options) {
    const env = (this.#env = environment(options));
    this.user = env.user;
    this.#stateListeners = createListeners(env);
    this.#listListeners = createListeners(env);
    this.#storage = withFallback(env.storage ?? defaultStorage(env.user), env, (error) => env.log("warn", "storage_lost", { error }));
    this.#link = new Link(env.random, env.timing, this.#emit);
    this.#tokens = createTokens(env);
    this.#readPage = createHistory(this.#tokens, env);
    this.#tabs = createTabs(this.#tab, env, (message) => this.#onTabMessage(message), (liveTabs) => this.#adopt(liveTabs));
    this.#sockets = createSockets(env, {
      opened: (id) => this.#run((now) => this.#link.opened(id, now)),
      received: (id, data) => this.#run((now) => this.#received(id, data, now)),
      closed: (id, code) => this.#run((now) => this.#link.closed(id, code, now)),
    });
  }

  #env;
  #storage;
  #link;
  #tokens;
  #readPage;
  #tabs;
  #sockets;

  /** The state of the connection. */
  get state() {
    return this.#state;
  }

  /** Whether messages that are not sent yet are kept when the page is closed. */
  get persistent() {
    return this.#storage.persistent;
  }

  /** Connects, and reconnects whenever the connection is lost. In state `waiting` it connects at once. */
  connect() {
    this.#start();
    this.#run((now) => this.#link.connect(now));
  }

  /** Closes the chat: writes what is to be stored, and closes connections, timers and listeners. */
  async close() {
    if (this.#closed) return;
    this.#save();
    this.#closed = true;
    this.#link.shutdown("closed");
    for (const effect of this.#effects.splice(0)) effect(this.#env.clock.read());
    this.#env.clearTimeout(this.#timer);
    this.#listenToPage("removeEventListener");
    await this.#starting;
    await this.#writes;
    await this.#storage.close();
    // Cancels requests, locks and timeouts.
    this.#env.close();
  }

  /** Signs out, in all tabs: deletes everything that this browser has stored of the user. */
  async forget() {
    await this.#start();
    this.#tabs.broadcast({ type: "forget" });
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
   * @param {(list: ConversationSummary[]) => void} listener called at once and at each change
   * @returns {() => void} removes the listener
   */
  onConversations(listener) {
    this.#start();
    return this.#listListeners.add(listener, this.#list());
  }

  /** Yields the conversations that this browser knows, newest first. */
  async *conversations() {
    await this.#start();
    yield* this.#list();
  }

  /**
   * Returns the conversation with a user.
   * @param {string} peer
   * @throws {ChatError} `invalid_user_id`
   */
  with(peer) {
    const other = userId(peer);
    return this.#getConversation(conversationId(this.user, other), other);
  }

  /**
   * Returns a conversation by its id.
   * @param {string} id
   * @throws {ChatError} `invalid_conversation_id`
   */
  conversation(id) {
    return this.#getConversation(id, peerOf(id, this.user));
  }

  /**
   * @param {string} id
   * @param {string} peer
   */
  #getConversation(id, peer) {
    const conversation = this.#conversations.get(id) ?? new Conversation(id, peer, this.#env, this.#driver);
    this.#conversations.set(id, conversation);
    return conversation;
  }

  /** Queues an effect. @type {(name: any, ...values: any[]) => void} */
  #emit = (name, ...values) => void this.#effects.push((now) => /** @type {any} */ (this.#execute)[name](...values, now));

  /** @type {Driver} */
  #driver = {
    readPage: (peer, range) => this.#readPage(peer, range),
    start: () => this.#start(),
    run: (event) => this.#run(event),
    closeReason: () => this.#closeReason(),
    // Always after the last message, even if the clock goes back.
    stamp: () => {
      const created = this.#env.clock.now();
      return { created, order: (this.#order = Math.max(this.#order + 1, created)) };
    },
    emit: this.#emit,
  };

  // Start.

  async #start() {
    if (!this.#closed) await (this.#starting ??= this.#load());
  }

  async #load() {
    this.#listenToPage("addEventListener");
    for (const row of await this.#storage.load()) this.#run(() => this.with(row.peer).timeline.restore(row));
    await this.#tabs.start();
    this.#run(() => (this.#loaded = true));
  }

  /**
   * Takes over the outboxes of dead tabs.
   * @param {string[]} liveTabs
   */
  async #adopt(liveTabs) {
    const rows = await this.#storage.adopt(liveTabs, this.#tab);
    rows.sort((a, b) => a.order - b.order).forEach((row) => this.#run((now) => {
      const { peer, clientId, text, order, created, error } = row;
      this.#order = Math.max(this.#order, order);
      const failure = error && new ChatError(error.code, error.message);
      this.with(peer).timeline.outbox.send({ clientId, text, order, created, saved: true }, now, this.#env.clock.now() - created, failure);
    }));
  }

  async #forget() {
    await this.#writes;
    this.#run(() => {
      this.#link.shutdown("signed-out");
      this.#tokens.invalidate();
      this.#conversations.forEach((conversation) => conversation.reset());
    });
    await this.#write(this.#storage.clear());
  }

  // Events of the page and messages of other tabs.

  /** @param {"addEventListener" | "removeEventListener"} method */
  #listenToPage(method) {
    const { document, window } = this.#env;
    document?.[method]("visibilitychange", this.#onPageEvent);
    for (const type of ["pagehide", "pageshow", "focus", "online", "offline"]) window?.[method](type, this.#onPageEvent);
  }

  #onPageEvent = (/** @type {Event} */ { type }) =>
    this.#run((now) => {
      if (type === "offline") this.#link.offline();
      else if (type === "pagehide" || (type === "visibilitychange" && this.#env.document.visibilityState === "hidden")) this.#save();
      else if (type !== "focus" || !this.#link.open) this.#wake(now, type !== "online");
    });

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
    if (message.type === "read") this.#run(() => this.#conversations.get(message.id)?.timeline.markRead(message.seq));
  }

  // The driver of the state machines.

  /**
   * Runs an event, and executes its effects.
   * @param {(now: number) => void} event
   */
  #run(event) {
    if (this.#closed) return;
    this.#effects.unshift(event);
    // Called within an effect: the event runs now, its effects after those that are queued.
    if (this.#busy) return this.#runNext();
    this.#busy = true;
    let due = this.#runEffects();
    while (this.#effects.length) due = this.#runEffects();
    this.#busy = false;
    if (this.#closed) return;
    this.#schedule(due);
    this.#publish();
  }

  #runNext() {
    try {
      this.#effects.shift()?.(this.#env.clock.read());
    } catch (error) {
      this.#env.log("error", "failed", { error });
    }
  }

  /** Executes the effects, and lets each conversation emit what is due. Returns the time of the next tick. */
  #runEffects() {
    while (this.#effects.length) this.#runNext();
    const now = this.#env.clock.read();
    const link = this.#link;
    const timelines = this.#loaded && !this.#closed ? this.#timelines : [];
    const times = timelines.map((timeline) => timeline.pump(now, link.open, link.reachable));
    const due = Math.min(link.due, this.#compareAt, ...times);
    if (!timelines.some((timeline) => timeline.dirty)) return due;
    const saveAt = this.#savedAt + this.#env.timing.save;
    if (now < saveAt) return Math.min(due, saveAt);
    this.#save();
    return due;
  }

  /**
   * Sets the timer of the next tick.
   * @param {number} due
   */
  #schedule(due) {
    const { clock, clearTimeout, setTimeout } = this.#env;
    clearTimeout(this.#timer);
    if (due === Infinity) return;
    // At most an hour: a delay of more than 31 bits would be taken for 0.
    const delay = Math.min(Math.max(0, Math.ceil(due - clock.read())), 3_600_000);
    const at = clock.read() + delay;
    this.#timer = setTimeout(() => this.#run((time) => this.#tick(at, time)), delay);
  }

  /**
   * Does what is due.
   * @param {number} at time for which the timer was set
   * @param {number} time at which it runs
   */
  #tick(at, time) {
    const { clock, timing } = this.#env;
    const now = clock.readAfter(at);
    if (time - at > timing.late) this.#wake(now, false);
    this.#link.tick(now);
    if (now >= this.#compareAt) this.#catchUp(now);
  }

  /**
   * Compares conversations with the history.
   * @param {number} now
   * @param {boolean} [all] all of them, not only the open ones
   */
  #catchUp(now, all) {
    this.#compareAt = now + this.#env.timing.compare;
    for (const timeline of this.#timelines) if (all || timeline.opened) timeline.check();
  }

  get #all() {
    return [...this.#conversations.values()];
  }

  get #timelines() {
    return this.#all.map(({ timeline }) => timeline);
  }

  /** The effects of the state machines. @type {Effects} */
  #execute = {
    state: () => {
      const { state, error, retryAt } = this.#link;
      const { clock } = this.#env;
      const waits = state === "waiting";
      if (this.#state.state === state && this.#state.error === error && !waits) return;
      this.#state = Object.freeze({ state, error, retryAt: waits ? clock.now() + retryAt - clock.read() : undefined });
      const closeReason = this.#closeReason();
      if (closeReason) this.#timelines.forEach((timeline) => timeline.rejectOlder(closeReason));
      this.#stateListeners.notify(this.#state);
    },
    open: async (id) => {
      try {
        const token = await this.#tokens.get(true);
        if (!this.#link.has(id)) return;
        this.#run((now) => this.#link.dialing(id, now, token?.expiresAt, token?.lifetime));
        this.#sockets.open(id, token?.value);
      } catch (cause) {
        const error = networkError(cause);
        this.#run((now) => this.#rejectedUser(error) || this.#link.closed(id, 1006, now, error));
      }
    },
    close: (id) => this.#sockets.close(id),
    ping: (id) => this.#sockets.send(id, { action: "ping" }),
    // A browser does not tell why a handshake was rejected. A request of the history does.
    diagnose: () => this.#env.token && this.#readPage(this.user, { limit: 1 }).catch((error) => this.#run(() => this.#rejectedUser(error))),
    catchUp: (all, now) => this.#catchUp(now, all),
    alive: (id) => this.#timelines.forEach((timeline) => timeline.outbox.alive(id)),
    lost: (id, error) => this.#timelines.forEach((timeline) => timeline.outbox.lost(id, error)),
    checkDrained: (id, now) => this.#timelines.some((timeline) => timeline.outbox.connection === id) || this.#link.drained(id, now),
    save: async ({ peer }, record) => {
      const { clientId = "", text, order, created, error } = record;
      const row = { clientId, peer, text, order, created, tab: this.#tab, error: error && { code: error.code, message: error.message } };
      await this.#write(this.#tabs.ready().then(() => this.#storage.putRow(row)));
      this.#run(() => (record.saved = true));
    },
    drop: ({ clientId = "" }) => this.#write(this.#tabs.ready().then(() => this.#storage.deleteRow(clientId))),
    stored: (timeline, record) => record.done?.resolve(timeline.entry(record)),
    send: ({ peer, high: after }, { text: message, clientId: client_message_id }, connection, now) => {
      this.#link.sent(connection, now);
      this.#sockets.send(connection, { action: "sendMessage", receiver_id: peer, message, client_message_id, after });
    },
    typing: ({ peer }) => {
      const connection = this.#link.open;
      if (connection !== undefined) this.#sockets.send(connection, { action: "typing", receiver_id: peer });
    },
    probe: (now) => this.#link.probe(now),
    read: async (timeline, request) => {
      try {
        const { messages, more } = await this.#readPage(timeline.peer, request);
        this.#run((now) => timeline.page(request, messages, more, now));
      } catch (cause) {
        const error = networkError(cause);
        this.#run((now) => timeline.pageFailed(request, error, now));
        this.#run(() => this.#rejectedUser(error));
      }
    },
  };

  /** Returns the error with which the chat was closed or signed out, if it was. */
  #closeReason() {
    const { state, error = CLOSED } = this.#state;
    return state === "signed-out" || state === "closed" ? error : undefined;
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

  // Frames.

  /**
   * @param {number} id
   * @param {unknown} data
   * @param {number} now
   */
  #received(id, data, now) {
    const frame = parseFrame(data);
    const { type } = frame;
    // An error of API Gateway itself, such as `{"message":"Too Many Requests","connectionId":"…","requestId":"…"}`.
    const rejected = !type && frame.connectionId;
    if (rejected) for (const timeline of this.#timelines) timeline.outbox.rejected(id, now);
    this.#link.received(id, now, rejected || type === "pong" || type === "ack" || type === "error");
    if (type === "pong" || (type === "message" && this.#message(frame, now)) || (type === "ack" && this.#ack(frame, now))) return;
    if (type === "typing") return this.#typing(frame, now);
    this.#env.log("warn", "frame", { type: String(type), code: frame.code });
    if (type === "error") this.#error(id, frame, now);
  }

  /**
   * @param {any} frame
   * @param {number} now
   */
  #message(frame, now) {
    const peer = frame.sender_id === this.user ? frame.receiver_id : frame.sender_id;
    const message = typeof peer === "string" && parseMessage(frame, this.user, peer);
    if (!message || frame.conversation_id !== conversationId(this.user, peer)) return false;
    this.with(peer).timeline.push(message, now);
    return true;
  }

  /**
   * Shows that the peer of a conversation types. Of one that is not known here, nothing is shown.
   * @param {any} frame
   * @param {number} now
   */
  #typing({ conversation_id: id, user_id: user }, now) {
    const conversation = this.#conversations.get(id);
    if (conversation?.peer === user && user !== this.user) conversation?.timeline.peerTypes(now);
  }

  /**
   * @param {any} frame
   * @param {number} now
   */
  #ack(frame, now) {
    return Number.isSafeInteger(frame.seq) && this.#conversations.get(frame.conversation_id)?.timeline.ack(frame, now);
  }

  /**
   * @param {number} id
   * @param {any} frame
   * @param {number} now
   */
  #error(id, { code, message, retryable, retry_after_ms: wait, client_message_id: clientId }, now) {
    // Errors of the connection, not of the message: it is sent again at once, on a new connection.
    const reconnect = code === "token_expired" || code === "not_connected";
    const retryAfterMs = reconnect ? 0 : wait >= 0 ? Number(wait) : undefined;
    const error = new ChatError(String(code), String(message), { retryable: reconnect || retryable === true, retryAfterMs });
    for (const timeline of this.#timelines) timeline.outbox.sendFailed(clientId, error, now);
    if (code === "token_expired") this.#tokens.invalidate();
    if (reconnect) this.#link.drop(id, now);
  }

  // The storage.

  #save() {
    if (!this.#loaded) return;
    for (const timeline of this.#timelines.filter((one) => one.dirty)) {
      timeline.dirty = false;
      this.#tabs.broadcast({ type: "read", id: timeline.id, seq: timeline.read });
      this.#write(this.#storage.putConversation(timeline.row()));
    }
    this.#savedAt = this.#env.clock.read();
  }

  /** @param {Promise<unknown>} write which never rejects */
  #write(write) {
    this.#writes = this.#writes.then(() => write);
    return write;
  }

  // Listeners.

  /** Calls the listeners at the end of this turn. */
  #publish() {
    if (this.#publishing) return;
    this.#publishing = true;
    queueMicrotask(() => {
      this.#publishing = false;
      const changed = this.#all.filter((conversation) => !this.#closed && conversation.publish());
      if (changed.length) this.#listListeners.notify(this.#list());
    });
  }

  /** @returns {ConversationSummary[]} */
  #list() {
    const list = this.#all.map((conversation) => conversation.summary()).filter(({ last }) => last);
    // A conversation whose last message has no timestamp yet comes first.
    const time = (/** @type {ConversationSummary} */ { last }) => last?.timestamp ?? "9999";
    return list.sort((a, b) => time(b).localeCompare(time(a)));
  }
}

/**
 * @param {unknown} data
 * @returns {any}
 */
function parseFrame(data) {
  try {
    return Object(JSON.parse(String(data)));
  } catch {
    return {};
  }
}
