import { Conversation } from "./conversation.js";
import { environment } from "./env.js";
import { ChatError, unreachable } from "./error.js";
import { historyOf, parseMessage } from "./history.js";
import { conversationId, newId, peerOf, userId } from "./id.js";
import { Link } from "./link.js";
import { listenersOf } from "./listeners.js";
import { openSockets } from "./sockets.js";
import { storageOf, withFallback } from "./storage.js";
import { tabsOf } from "./tabs.js";
import { tokensOf } from "./token.js";

/**
 * @import { ChatOptions, ChatState, ConversationSummary, Driver, Effects, Listeners, TabMessage } from "./types.js"
 */

const CLOSED = new ChatError("closed", "The chat is closed.");

/** A user's chat: one connection, and the conversations. Nothing is opened before it is used. */
export class Chat {
  /** @type {Listeners<ChatState>} */ #stateListeners;
  /** @type {Listeners<ConversationSummary[]>} */ #listListeners;
  /** @type {Map<string, Conversation>} */ #talks = new Map();
  /** @type {((now: number) => unknown)[]} What the core has asked for. */ #effects = [];
  /** @type {Promise<unknown>} */ #written = Promise.resolve();
  /** @type {Promise<void> | undefined} */ #starting;
  /** @type {unknown} */ #timer;
  #tab = newId();
  #order = 0;
  #loaded = false;
  #closed = false;
  #busy = false;
  #publishing = false;
  #savedAt = -Infinity;
  #compareAt = Infinity;
  /** @type {ChatState} */ #state = { state: "idle" };

  /** @param {ChatOptions} options */
  constructor(options) {
    const env = (this.#env = environment(options));
    this.user = env.user;
    this.#stateListeners = listenersOf(env);
    this.#listListeners = listenersOf(env);
    this.#storage = withFallback(env.storage ?? storageOf(env.user), env, (error) => env.log("warn", "storage_lost", { error }));
    this.#link = new Link(env.random, env.timing, this.#emit);
    this.#tokens = tokensOf(env);
    this.#page = historyOf(this.#tokens, env);
    this.#tabs = tabsOf(this.#tab, env, (message) => this.#heard(message), (living) => this.#adopt(living));
    this.#sockets = openSockets(env, {
      opened: (id) => this.#run((now) => this.#link.opened(id, now)),
      received: (id, data) => this.#run((now) => this.#received(id, data, now)),
      closed: (id, code) => this.#run((now) => this.#link.closed(id, code, now)),
    });
  }

  #env;
  #storage;
  #link;
  #tokens;
  #page;
  #tabs;
  #sockets;

  /** The connection, and why it is as it is. */
  get state() {
    return this.#state;
  }

  /** Whether what is not sent yet outlives this page. */
  get persistent() {
    return this.#storage.persistent;
  }

  /** Goes online, and stays so; now, if it waits. */
  connect() {
    this.#start();
    this.#run((now) => this.#link.connect(now));
  }

  /** Ends everything, after what is to be stored is stored. */
  async close() {
    if (this.#closed) return;
    this.#save();
    this.#closed = true;
    this.#link.end("closed");
    for (const effect of this.#effects.splice(0)) effect(this.#env.clock.read());
    this.#env.clearTimeout(this.#timer);
    this.#listenToPage("removeEventListener");
    await this.#starting;
    await this.#written;
    await this.#storage.close();
    // Ends requests, and waiting for locks, for tokens and for time limits.
    this.#env.close();
  }

  /** Signs out: deletes what this browser has of the user, and ends the other tabs. */
  async forget() {
    await this.#start();
    this.#tabs.tell({ type: "forget" });
    await this.#forget();
  }

  /**
   * @param {(state: ChatState) => void} listener called at once, and with each change
   * @returns {() => void} stops it
   */
  onState(listener) {
    return this.#stateListeners.add(listener, this.#state);
  }

  /**
   * @param {(list: ConversationSummary[]) => void} listener called at once, and with each change
   * @returns {() => void} stops it
   */
  onConversations(listener) {
    this.#start();
    return this.#listListeners.add(listener, this.#list());
  }

  /** The conversations that this browser knows, newest first. */
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
    return this.#talk(conversationId(this.user, other), other);
  }

  /**
   * Returns a conversation by its id.
   * @param {string} id
   * @throws {ChatError} `invalid_conversation_id`
   */
  conversation(id) {
    return this.#talk(id, peerOf(id, this.user));
  }

  /**
   * @param {string} id
   * @param {string} peer
   */
  #talk(id, peer) {
    const talk = this.#talks.get(id) ?? new Conversation(id, peer, this.#env, this.#driver);
    this.#talks.set(id, talk);
    return talk;
  }

  /** @type {(name: any, ...values: any[]) => void} */
  #emit = (name, ...values) => void this.#effects.push((now) => /** @type {any} */ (this.#do)[name](...values, now));

  /** @type {Driver} */
  #driver = {
    page: (peer, range) => this.#page(peer, range),
    start: () => this.#start(),
    run: (event) => this.#run(event),
    ended: () => this.#ended(),
    // Later than that of any other message, whatever the clock says.
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

  /** @param {string[]} living */
  async #adopt(living) {
    const rows = await this.#storage.adopt(living, this.#tab);
    rows.sort((a, b) => a.order - b.order).forEach((row) => this.#run((now) => {
      const { peer, clientId, text, order, created, error } = row;
      this.#order = Math.max(this.#order, order);
      const failure = error && new ChatError(error.code, error.message);
      this.with(peer).timeline.send({ clientId, text, order, created, saved: true }, now, this.#env.clock.now() - created, failure);
    }));
  }

  async #forget() {
    await this.#written;
    this.#run(() => {
      this.#link.end("signed-out");
      this.#tokens.refuse();
      this.#talks.forEach((talk) => talk.reset());
    });
    await this.#write(this.#storage.clear());
  }

  // Events of the page and of other tabs.

  /** @param {"addEventListener" | "removeEventListener"} what */
  #listenToPage(what) {
    const { document, window } = this.#env;
    document?.[what]("visibilitychange", this.#onPage);
    for (const type of ["pagehide", "pageshow", "focus", "online", "offline"]) window?.[what](type, this.#onPage);
  }

  #onPage = (/** @type {Event} */ { type }) =>
    this.#run((now) => {
      if (type === "offline") this.#link.offline();
      else if (type === "pagehide" || (type === "visibilitychange" && this.#env.document.visibilityState === "hidden")) this.#save();
      else if (type !== "focus" || !this.#link.open) this.#wake(now, type !== "online");
    });

  /**
   * @param {number} now
   * @param {boolean} person
   */
  #wake(now, person) {
    this.#link.wake(now, person);
    this.#catchUp(now);
  }

  /** @param {TabMessage} message */
  #heard(message) {
    if (message.type === "forget") this.#forget();
    if (message.type === "read") this.#run(() => this.#talks.get(message.id)?.timeline.markRead(message.seq));
  }

  // The driver of the core.

  /**
   * Runs an event through the core, and executes what that asks for.
   * @param {(now: number) => void} event
   */
  #run(event) {
    if (this.#closed) return;
    this.#effects.unshift(event);
    // Within an effect: the event is the next one.
    if (this.#busy) return this.#step();
    this.#busy = true;
    let due = this.#settle();
    while (this.#effects.length) due = this.#settle();
    this.#busy = false;
    if (this.#closed) return;
    this.#wait(due);
    this.#publish();
  }

  #step() {
    try {
      this.#effects.shift()?.(this.#env.clock.read());
    } catch (error) {
      this.#env.log("error", "failed", { error });
    }
  }

  #settle() {
    while (this.#effects.length) this.#step();
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

  /** @param {number} due */
  #wait(due) {
    const { clock, clearTimeout, setTimeout } = this.#env;
    clearTimeout(this.#timer);
    if (due === Infinity) return;
    // Longer delays than 31 bits would be none.
    const delay = Math.min(Math.max(0, Math.ceil(due - clock.read())), 3_600_000);
    const at = clock.read() + delay;
    this.#timer = setTimeout(() => this.#run((time) => this.#tick(at, time)), delay);
  }

  /**
   * @param {number} at when it was to run
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
   * Compares with the log.
   * @param {number} now
   * @param {boolean} [all] whether conversations, too, at which nobody looks
   */
  #catchUp(now, all) {
    this.#compareAt = now + this.#env.timing.compare;
    for (const timeline of this.#timelines) if (all || timeline.opened) timeline.check();
  }

  get #all() {
    return [...this.#talks.values()];
  }

  get #timelines() {
    return this.#all.map((talk) => talk.timeline);
  }

  /** @type {Effects} What the core may ask for. */
  #do = {
    state: () => {
      const { state, error, retryAt } = this.#link;
      const { clock } = this.#env;
      const waits = state === "waiting";
      if (this.#state.state === state && this.#state.error === error && !waits) return;
      this.#state = Object.freeze({ state, error, retryAt: waits ? clock.now() + retryAt - clock.read() : undefined });
      const ended = this.#ended();
      if (ended) this.#timelines.forEach((timeline) => timeline.rejectOlder(ended));
      this.#stateListeners.call(this.#state);
    },
    open: async (id) => {
      try {
        const token = await this.#tokens.get(true);
        if (!this.#link.has(id)) return;
        this.#run((now) => this.#link.dialing(id, now, token?.ends, token?.lifetime));
        this.#sockets.open(id, token?.value);
      } catch (cause) {
        const error = unreachable(cause);
        this.#run((now) => this.#refused(error) || this.#link.closed(id, 1006, now, error));
      }
    },
    shut: (id) => this.#sockets.shut(id),
    ping: (id) => this.#sockets.send(id, { action: "ping" }),
    // Handshakes are refused, which a browser does not explain: the history says why.
    check: () => this.#env.token && this.#page(this.user, { limit: 1 }).catch((error) => this.#run(() => this.#refused(error))),
    catchUp: (all, now) => this.#catchUp(now, all),
    alive: (id) => this.#timelines.forEach((timeline) => timeline.alive(id)),
    lost: (id, error) => this.#timelines.forEach((timeline) => timeline.lost(id, error)),
    landed: (id, now) => this.#timelines.some((timeline) => timeline.socket === id) || this.#link.drained(id, now),
    save: async ({ peer }, record) => {
      const { clientId = "", text, order, created, error } = record;
      const row = { clientId, peer, text, order, created, tab: this.#tab, error: error && { code: error.code, message: error.message } };
      await this.#write(this.#tabs.ready().then(() => this.#storage.putRow(row)));
      this.#run(() => (record.saved = true));
    },
    drop: ({ clientId = "" }) => this.#write(this.#tabs.ready().then(() => this.#storage.deleteRow(clientId))),
    stored: (timeline, record) => record.done?.resolve(timeline.entry(record)),
    send: ({ peer }, { text: message, clientId: client_message_id }, socket, now) => {
      this.#link.sent(socket, now);
      this.#sockets.send(socket, { action: "sendMessage", receiver_id: peer, message, client_message_id });
    },
    probe: (now) => this.#link.probe(now),
    read: async (timeline, request) => {
      try {
        const { messages, more } = await this.#page(timeline.peer, request);
        this.#run((now) => timeline.page(request, messages, more, now));
      } catch (cause) {
        const error = unreachable(cause);
        this.#run((now) => timeline.pageFailed(request, error, now));
        this.#run(() => this.#refused(error));
      }
    },
  };

  /** Returns why nothing is read any more. */
  #ended() {
    const { state, error = CLOSED } = this.#state;
    return state === "signed-out" || state === "closed" ? error : undefined;
  }

  /**
   * Ends the connections if the server does not take the user. Returns whether it does not.
   * @param {any} error
   */
  #refused(error) {
    const { code } = error;
    const state = code === "signed_out" || code === "unauthorized" ? "signed-out" : code === "forbidden" && "closed";
    if (!state) return false;
    this.#tokens.refuse();
    this.#link.end(state, error);
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
    this.#link.received(id, now, type === "pong" || type === "ack" || type === "error");
    if (type === "pong" || (type === "message" && this.#message(frame, now)) || (type === "ack" && this.#ack(frame, now))) return;
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
   * @param {any} frame
   * @param {number} now
   */
  #ack({ conversation_id, client_message_id: clientId, seq, timestamp, status }, now) {
    return Number.isSafeInteger(seq) && this.#talks.get(conversation_id)?.timeline.ack({ clientId, seq, timestamp, status }, now);
  }

  /**
   * @param {number} id
   * @param {any} frame
   * @param {number} now
   */
  #error(id, { code, message, retryable, retry_after_ms: wait, client_message_id: clientId }, now) {
    const useless = code === "token_expired" || code === "not_connected";
    const retryAfterMs = useless ? 0 : wait >= 0 ? Number(wait) : undefined;
    const error = new ChatError(String(code), String(message), { retryable: useless || retryable === true, retryAfterMs });
    for (const timeline of this.#timelines) timeline.refused(clientId, error, now);
    if (code === "token_expired") this.#tokens.refuse();
    if (useless) this.#link.drop(id, now);
  }

  // The local store.

  #save() {
    if (!this.#loaded) return;
    for (const timeline of this.#timelines.filter((one) => one.dirty)) {
      timeline.dirty = false;
      this.#tabs.tell({ type: "read", id: timeline.id, seq: timeline.read });
      this.#write(this.#storage.putConversation(timeline.row()));
    }
    this.#savedAt = this.#env.clock.read();
  }

  /** @param {Promise<unknown>} writing which never fails */
  #write(writing) {
    this.#written = this.#written.then(() => writing);
    return writing;
  }

  // What the program sees.

  #publish() {
    if (this.#publishing) return;
    this.#publishing = true;
    queueMicrotask(() => {
      this.#publishing = false;
      const changed = this.#all.filter((talk) => !this.#closed && talk.publish());
      if (changed.length) this.#listListeners.call(this.#list());
    });
  }

  /** @returns {ConversationSummary[]} */
  #list() {
    const list = this.#all.map((talk) => talk.summary()).filter(({ last }) => last);
    // What is not stored yet is the newest.
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
