// A world without real time: a clock and timers that tests advance, and a server that loses, doubles,
// delays and cuts by a seeded random generator.

import { conversationId, peerOf } from "../src/id.js";
import { changeOf, makeChange, oldForm, problemOfChange } from "./changes.js";
import { changesGroup, eventOf, groupId, isGroup, isMemberOf, problemInGroup, readableBy, recipientsOf } from "./groups.js";
import { Features } from "./features.js";
import { seeded } from "./random.js";

const flush = async (turns = 20) => {
  for (let i = 0; i < turns; i++) await null;
};

class Target extends EventTarget {
  listeners = 0;
  addEventListener(...args) {
    this.listeners++;
    super.addEventListener(...args);
  }
  removeEventListener(...args) {
    this.listeners--;
    super.removeEventListener(...args);
  }
}

export class World {
  time = 0;
  timers = new Map();
  ids = 0;
  sockets = [];
  logs = new Map();
  names = new Map();
  frames = [];
  requests = [];
  window = new Target();
  document = Object.assign(new Target(), { visibilityState: "visible" });
  /** The probability of each fault, from 0 to 1. */
  faults = {};
  features = new Features();
  latency = [5, 5];
  wrongClock = 0;
  /** The rule of a request that is beyond the user's limit: returns nothing, or `{status, retryAfter}`. */
  limit = undefined;

  constructor(seed = 1) {
    this.random = seeded(seed);
    const world = this;
    this.WebSocket = class {
      readyState = 0;
      constructor(url, protocols) {
        Object.assign(this, { url, protocols, at: world.time, out: world.time, back: world.time });
        world.user = decodeURIComponent(new URL(url).searchParams.get("user_id"));
        world.sockets.push(this);
        const rejected = world.stall || world.happens("refuse");
        if (!world.stall) world.later(() => this.readyState === 0 && (rejected ? this.end(1006) : this.begin()));
      }
      begin() {
        this.readyState = 1;
        this.onopen?.({});
      }
      /** Closes it, as the server or the network does. */
      end(code) {
        if (this.readyState === 3) return;
        this.readyState = 3;
        this.onclose?.({ code });
      }
      send(text) {
        if (this.readyState !== 1) throw new Error("not open");
        this.sent = world.time;
        world.frames.push({ socket: this, time: world.time, frame: JSON.parse(text) });
        if (!world.dead) world.later(() => this.readyState === 1 && world.serve(this, JSON.parse(text)));
      }
      push(frame) {
        if (!world.dead) world.later(() => this.readyState === 1 && this.onmessage?.({ data: JSON.stringify(frame) }));
      }
      close() {
        this.readyState = 3;
        this.closedAt = world.time;
      }
    };
  }

  options(more = {}) {
    return {
      socketUrl: "ws://server/?user_id={user}", historyUrl: "http://server", user: "me", random: this.random,
      now: () => this.time + this.wrongClock,
      setTimeout: (callback, ms) => this.set(callback, ms),
      clearTimeout: (id) => this.timers.delete(id),
      WebSocket: this.WebSocket, fetch: (url, init) => this.fetch(url, init),
      window: this.window, document: this.document, locks: null, BroadcastChannel: null, ...more,
    };
  }

  happens(fault) {
    return this.random() < (this.faults[fault] ?? 0);
  }

  set(callback, ms) {
    this.timers.set(++this.ids, { at: this.time + Math.max(0, ms), callback });
    return this.ids;
  }

  /** Sets a timer of the world itself, after its latency. */
  later(callback) {
    const [least, most] = this.latency;
    const id = this.set(callback, least + this.random() * (most - least));
    this.timers.get(id).world = true;
  }

  /** Number of timers that the client has. */
  get clientTimers() {
    return [...this.timers.values()].filter((timer) => !timer.world).length;
  }

  async advance(ms) {
    const end = this.time + ms;
    await flush(30);
    for (;;) {
      let next;
      for (const [id, timer] of this.timers) if (timer.at <= end && (!next || timer.at < next.at)) next = { id, ...timer };
      if (!next) break;
      this.timers.delete(next.id);
      this.time = Math.max(this.time, next.at);
      next.callback();
      await flush();
    }
    this.time = end;
  }

  /** Lets time pass while the machine sleeps. Timers run after it, too late. */
  async sleep(ms) {
    this.time += ms;
    await this.advance(0);
  }

  wake() {
    this.document.dispatchEvent(new Event("visibilitychange"));
  }

  id(peer) {
    if (isGroup(peer)) return peer;
    if (!this.names.has(peer)) this.names.set(peer, conversationId("me", peer));
    return this.names.get(peer);
  }

  log(peer) {
    if (!this.logs.has(peer)) this.logs.set(peer, []);
    return this.logs.get(peer);
  }

  /** Stores an entry; `receiver` may be a group. `change`: the fields of an entry that is no text; `half`: the process dies before it changes the target. */
  store(sender, receiver, text, clientId, change, half) {
    const peer = sender === "me" || isGroup(receiver) ? receiver : sender;
    const log = this.log(peer);
    const known = log.find((m) => clientId !== undefined && m.client_message_id === clientId && m.sender_id === sender);
    if (known?.kind && !half) makeChange(log, known);
    if (known) return { message: known, duplicate: true };
    const message = {
      sender_id: sender, receiver_id: isGroup(receiver) ? undefined : receiver, message: text, timestamp: new Date(this.time).toISOString(),
      message_id: `${peer}-${log.length}`, seq: (log.at(-1)?.seq ?? 0) + 1, client_message_id: clientId, ...change,
    };
    log.push(message);
    if (change && !half) makeChange(log, message);
    return { message, duplicate: false };
  }

  /** Stores a message of the peer and pushes it. */
  write(peer, text) {
    this.pushAll(peer, this.store(peer, "me", text, undefined).message);
  }

  /** Edits or deletes a text of a user, and pushes that: `action` and `message` as in a frame. Returns whether it did. */
  change(peer, sender, frame) {
    if (problemOfChange(this.log(peer), sender, frame)) return false;
    const receiver = sender === "me" ? peer : "me";
    this.pushAll(peer, this.store(sender, receiver, frame.message, undefined, changeOf(frame)).message);
    return true;
  }

  /** Does what a frame of a user asks for in a group, and pushes that. Returns whether it did. */
  act(group, sender, frame) {
    const log = this.log(group);
    if (problemInGroup(log, sender, frame)) return false;
    this.pushAll(group, this.store(sender, group, frame.message ?? "", undefined, this.#fields(log, sender, frame)).message);
    return true;
  }

  /** Creates a group of a user, and pushes that. Returns its id. */
  createGroup(creator, title, users, more) {
    const id = groupId(creator, title);
    this.act(id, creator, { action: "createGroup", title, users, ...more });
    return id;
  }

  /** Returns the fields of the entry that a frame makes, if that is no text. */
  #fields(log, sender, frame) {
    if (changesGroup(frame.action)) return eventOf(log, sender, frame);
    return frame.action === "sendMessage" ? undefined : changeOf(frame);
  }

  pushAll(peer, message, except) {
    if (isGroup(peer) && !recipientsOf(this.log(peer), message).has("me")) return;
    const frame = structuredClone({ type: message.kind || isGroup(peer) ? "entry" : "message", conversation_id: this.id(peer), ...message });
    for (const socket of this.open) {
      if (socket === except || this.happens("losePush")) continue;
      socket.push(frame);
      if (this.happens("doublePush")) socket.push(frame);
    }
  }

  get open() {
    return this.sockets.filter((socket) => socket.readyState === 1);
  }

  serve(socket, frame) {
    const gatewayError = (message) => socket.push({ message, connectionId: "AAAAAAAAAAAAAAA=", requestId: "AAAAAAAAAAAAAAA=" });
    if (this.happens("throttle")) return gatewayError("Too Many Requests");
    if (frame.action === "typing") return;
    if (frame.action === "mark") return this.#mark(socket, frame);
    if (frame.action === "ping") return socket.push({ type: "pong", timestamp: "" });
    const { action, message: text = "", client_message_id: id } = frame;
    const peer = frame.receiver_id ?? (action === "createGroup" ? groupId("me", id) : frame.conversation_id);
    const reject = (code, retryable, more = {}) =>
      socket.push({ type: "error", code, message: code, client_message_id: id, retryable, ...more });
    if (text.startsWith("fatal")) return reject("invalid_frame", false);
    if (this.happens("rateLimit")) return reject("rate_limited", true, { retry_after_ms: 1_500 });
    if (this.happens("unavailable")) return reject("unavailable", true);
    if (this.happens("expire")) return reject("token_expired", false), socket.end(1006);
    if (this.happens("cutBefore")) return socket.end(1006);
    const isChange = action !== "sendMessage";
    if (isChange && !this.features.changes) return reject("invalid_frame", false);
    if (isGroup(peer) && !this.features.groups) return reject("invalid_frame", false);
    const log = this.log(peer);
    const known = log.find((entry) => entry.client_message_id === id && entry.sender_id === "me");
    const problem = !known && (isGroup(peer) ? problemInGroup(log, "me", frame) : isChange && problemOfChange(log, "me", frame));
    if (problem) return reject(problem, false);
    const half = isChange && this.happens("halfChange");
    const { message, duplicate } = this.store("me", peer, text, id, known ?? this.#fields(log, "me", frame), half);
    if (half) return gatewayError("Internal server error");
    this.pushAll(peer, message, this.happens("echoPush") ? undefined : socket);
    if (this.happens("cutAfter")) return socket.end(1006);
    if (this.happens("crash")) return gatewayError("Internal server error");
    if (this.happens("loseAck")) return;
    const status = this.random() < 0.5 ? "delivered" : "stored";
    const { message_id, seq, timestamp } = message;
    socket.push({ type: "ack", client_message_id: id, message_id, conversation_id: this.id(peer), seq, timestamp, status, duplicate });
  }

  #mark(socket, frame) {
    const reject = (code, retryable, more) => socket.push({ type: "error", code, message: code, retryable, ...more });
    if (!this.features.modern) return reject("invalid_frame", false);
    if (this.happens("rateLimit")) return reject("rate_limited", true, { retry_after_ms: 1_500 });
    if (this.happens("cutBefore")) return socket.end(1006);
    const peer = frame.receiver_id ?? frame.conversation_id;
    if (!isGroup(peer) || isMemberOf(this.log(peer), "me")) this.mark(peer, "me", frame, socket);
  }

  /** Raises marks of a user, and pushes the receipt. */
  mark(peer, user, marks, except) {
    const receipt = this.features.raise(this.id(peer), user, this.log(peer), marks);
    if (isGroup(peer) && !isMemberOf(this.log(peer), "me")) return;
    if (receipt) for (const socket of this.open) if (socket !== except && !this.happens("losePush")) socket.push(receipt);
  }

  /** Returns the marks of a user in the conversation with `peer`. */
  marks(peer, user = "me") {
    return this.features.marks(this.id(peer), user);
  }

  /** Returns the number of unread messages, as the server counts them. */
  unread(peer) {
    return this.features.unread(this.id(peer), "me", this.log(peer));
  }

  #respondOther(url, init) {
    const logs = [...this.logs].map(([peer, log]) => [this.id(peer), peer, log]);
    return this.features.respond("me", url, init, logs, this.time);
  }

  fetch(url, init = {}) {
    const { headers = {}, signal } = init;
    const { pathname, searchParams: query } = new URL(url);
    if (pathname !== "/chat/history") return this.respond(signal, () => this.#respondOther(new URL(url), init));
    const number = (name) => (query.has(name) ? Number(query.get(name)) : undefined);
    const id = query.get("conversation_id");
    const peer = id === null ? query.get("user2") : isGroup(id) ? id : peerOf(id, "me");
    const request = { numbered: id !== null, peer, user: query.get("user"), after: number("after"), before: number("before"), limit: number("limit"), headers, time: this.time };
    this.requests.push(request);
    return this.respond(signal, () => this.page(request));
  }

  /** Returns the response to a request that is processed when it arrives, or when the response leaves. */
  respond(signal, process) {
    const early = this.random() < 0.5 && structuredClone(process());
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
      this.later(() => {
        if (this.happens("networkError")) return reject(new TypeError("fetch failed"));
        const { items, link, retryAfter, status: answer = 200 } = this.limit?.() ?? (early || process());
        const status = this.status ?? (this.happens("serverError") ? 503 : answer);
        const body = this.happens("nonsense") ? [{}, 7, null] : items;
        resolve({ status, headers: new Headers({ ...(link && { link }), ...(retryAfter && { "retry-after": `${retryAfter}` }) }), json: async () => JSON.parse(JSON.stringify(body)) });
      });
    });
  }

  page({ numbered, peer, user, after, before, limit = 1_000 }) {
    const unknown = numbered && (!this.features.changes || (isGroup(peer) && !(this.features.groups && user === "me")));
    if (unknown) return { status: 400, items: { title: "Bad Request" } };
    const seen = this.features.seenBy(this.id(peer), "me", this.log(peer));
    const log = isGroup(peer) ? readableBy(seen, "me") : numbered ? seen : oldForm(seen);
    if (!log) return { status: 403, items: { title: "Forbidden" } };
    const all = log.filter((m) => m.seq > (after ?? -Infinity) && m.seq < (before ?? Infinity));
    const items = after === undefined ? all.slice(-limit) : all.slice(0, limit);
    const rel = after === undefined ? "prev" : "next";
    return { items, link: items.length < all.length ? `<?x>; rel="${rel}"` : undefined };
  }
}
