// A chat server in this process: real WebSockets by `ws`, and the history over HTTP on the same port. It speaks the
// protocol of the chat, and fails on command: a test sets the rules `onHandshake`, `onFrame`, `onPush` and `onHistory`.
// A rule that returns nothing changes nothing.

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { setTimeout as after } from "node:timers/promises";

import { changeOf, makeChange, oldForm, problemOfChange, textsOf } from "./changes.js";
import { Features } from "./features.js";
import { changesGroup, eventOf, groupId, isGroup, isMemberOf, problemInGroup, readableBy, recipientsOf } from "./groups.js";

const { WebSocketServer } = createRequire(import.meta.url)("ws");

/** Size limit of a client's frame, which is that of API Gateway. A larger frame closes the connection with 1009. */
const MAX_FRAME_BYTES = 32_768;
const MAX_TEXT_BYTES = 16_384;
const CHANGES = ["editMessage", "deleteMessage"];

/** Returns a server that listens on a free port. With `withAuth`, handshakes and requests of the history need a token. */
export async function startServer(options = {}) {
  const server = new ChatServer(options);
  await server.listen();
  return server;
}

/** Returns a rule that applies `rule` to the first `count` calls only. */
export function times(count, rule) {
  let left = count;
  return (...call) => (left-- > 0 ? (typeof rule === "function" ? rule(...call) : rule) : undefined);
}

/** Waits until `condition` returns a true value, and returns that. The error quotes `what`: a text, or a function that
 * returns one. */
export async function until(condition, what, timeout = 5_000) {
  const end = performance.now() + timeout;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (performance.now() > end) throw new Error(`waited ${timeout} ms for: ${typeof what === "function" ? what() : what}`);
    await after(2);
  }
}

/** Returns the id of the conversation of two users, as the server derives it. */
export function conversationId(one, other) {
  const [first, second] = [one, other].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `direct:${Buffer.byteLength(first)}:${first}:${second}`;
}

/** Returns an unsigned JWT with the user and the lifetime. */
export function token(user, { lifetime = 3_600, issued = Date.now() / 1_000, ...claims } = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const [iat, exp] = [Math.floor(issued), Math.floor(issued + lifetime)];
  return `${part({ alg: "none" })}.${part({ sub: user, iat, exp, jti: randomBytes(4).toString("hex"), ...claims })}.signed`;
}

export class ChatServer {
  /** Entries by conversation id, oldest first. */
  logs = new Map();
  /** Open connections, oldest first. */
  connections = [];
  /** All connections since the start, oldest first. */
  allConnections = [];
  /** Handshakes: `{at, user, protocols, status}`. */
  handshakes = [];
  /** Frames of clients: `{at, user, connection, frame, text}`. */
  frames = [];
  /** Requests of the history: `{at, user, query, status}`. */
  requests = [];
  features = new Features();
  /** TCP connections of handshakes; some get no response. */
  #upgrading = new Set();
  /** Whether new connections are dead: the server reads nothing from them, not even a close. */
  dead = false;
  /** Tokens that are rejected. */
  revoked = new Set();

  /** Rule of a handshake: `(request) => {status} | {delay} | {hang} | {protocol}`. */
  onHandshake = () => undefined;
  /**
   * Rule of a frame: `(frame, connection) => fault`. `delay`: ms before it is processed; `stall`: it is ignored; `cut`: the
   * connection breaks "before" or "after" the insert; `error`: fields of the error frame that is sent; `gatewayError`: the
   * sentence of an error frame of API Gateway, which is sent instead of storing the message; `response`: a text that is
   * sent instead of the response; `noAck`: the message is stored and not acknowledged; `ackDelay`: ms between insert and
   * ack; `pushFirst`: the message is pushed to its own connection too, before the ack; `status`: of the ack; `close`: the
   * code of a close.
   */
  onFrame = () => undefined;
  /** Rule of a push: `(message, connection) => [ms, …]`, the delay of each copy; an empty list drops it. */
  onPush = () => undefined;
  /**
   * Rule of a request of the history: `(query) => fault`. `delay`: ms before the response; `fresh`: the page is read after
   * the delay, not before; `status` and `body`: of the response; `cut`: the connection breaks; `hang`: no response.
   */
  onHistory = () => undefined;
  /** Rule of another request, such as of the list: `(name) => fault`, with `delay`, `status` and `body`. */
  onOther = () => undefined;

  constructor({ withAuth = false } = {}) {
    this.withAuth = withAuth;
    this.http = createServer((request, response) => this.#serve(request, response));
    this.sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => offered.has("chat.v1") && "chat.v1" });
    this.http.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
  }

  async listen(port = 0) {
    await new Promise((resolve) => this.http.listen(port, "127.0.0.1", resolve));
    this.port = this.http.address().port;
    this.socketUrl = this.withAuth ? `ws://127.0.0.1:${this.port}/prod` : `ws://127.0.0.1:${this.port}/?user_id={user}`;
    this.historyUrl = `http://127.0.0.1:${this.port}`;
  }

  /** Breaks all connections and stops listening. The log is kept; `listen(port)` starts the server again. */
  async stop() {
    const closed = new Promise((resolve) => this.http.close(resolve));
    this.cut();
    for (const socket of this.#upgrading) socket.destroy();
    this.http.closeAllConnections();
    await closed;
  }

  /** Returns the entries of the conversation of two users, or of a group by its id, oldest first. */
  log(one, other) {
    const id = isGroup(other) ? other : conversationId(one, other);
    if (!this.logs.has(id)) this.logs.set(id, []);
    return this.logs.get(id);
  }

  /** Returns the texts of a conversation, oldest first. */
  texts(one, other) {
    return textsOf(this.log(one, other)).map((entry) => entry.message);
  }

  /** Returns the open connections of a user. */
  connectionsOf(user) {
    return this.connections.filter((connection) => connection.user === user);
  }

  /** Returns the `sendMessage` frames of a user. */
  sends(user) {
    return this.frames.filter((received) => received.user === user && received.frame?.action === "sendMessage");
  }

  /** Stores a message as if a client had sent it, and pushes it unless `push` is false. */
  post(sender, receiver, message, { push = true, id } = {}) {
    const entry = this.#insert(sender, { receiver_id: receiver, message, client_message_id: id });
    if (push) this.#push(entry);
    return entry;
  }

  /** Edits the text with a number, or deletes it if `message` is undefined, as if a client had done it, and pushes that unless `push` is false. */
  change(sender, receiver, seq, message, { push = true } = {}) {
    const frame = { action: message === undefined ? "deleteMessage" : "editMessage", receiver_id: receiver, seq, message };
    const problem = problemOfChange(this.log(sender, receiver), sender, frame);
    if (problem) throw new Error(problem);
    const entry = this.#insert(sender, frame);
    if (push) this.#push(entry);
    return entry;
  }

  /** Does what a frame of a user asks for in a group, which `createGroup` creates, and pushes that unless `push` is false. Returns the entry. */
  act(user, frame, { push = true } = {}) {
    const id = frame.conversation_id ?? groupId(user, frame.title);
    const problem = problemInGroup(this.log(user, id), user, frame);
    if (problem) throw new Error(problem);
    const entry = this.#insert(user, { message: "", ...frame, receiver_id: id });
    if (push) this.#push(entry);
    return entry;
  }

  /** Adds messages of the old system. Their numbers count up to 0, the number of the last text. */
  addOld(sender, receiver, texts) {
    const log = this.log(sender, receiver);
    const old = texts.map((message, index) => this.#entry(sender, { receiver_id: receiver, message }, index + 1 - texts.length));
    log.unshift(...old);
  }

  /** Breaks the connections of `user`, or all, without a close frame. */
  cut(user) {
    for (const connection of [...this.connections]) if (!user || connection.user === user) connection.ws.terminate();
  }

  /** Closes the connections of `user`, or all, with a code. */
  close(code, user) {
    for (const connection of [...this.connections]) if (!user || connection.user === user) connection.ws.close(code);
  }

  /** Sends any text to the connections of a user. */
  sendRaw(user, text) {
    for (const connection of this.connectionsOf(user)) this.#send(connection, text);
  }

  /** Makes the connections of a user half-dead: they accept frames and send nothing. */
  stall(user) {
    for (const connection of this.connectionsOf(user)) connection.stalled = true;
  }

  // Handshakes

  async #upgrade(request, socket, head) {
    socket.on("error", () => {});
    this.#upgrading.add(socket);
    const protocols = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((text) => text.trim());
    const url = new URL(request.url, "ws://here");
    const bearer = protocols.find((text) => text.startsWith("bearer."))?.slice(7);
    const user = this.withAuth ? this.#userOf(bearer) : url.searchParams.get("user_id");
    const handshake = { at: performance.now(), user, protocols, token: bearer, url: request.url };
    this.handshakes.push(handshake);
    const fault = (await this.onHandshake(handshake)) ?? {};
    if (fault.delay) await after(fault.delay);
    if (fault.hang) return;
    const status = fault.status ?? (user ? 101 : this.withAuth ? 401 : 400);
    handshake.status = status;
    if (status !== 101) {
      socket.end(`HTTP/1.1 ${status} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      return;
    }
    if (socket.destroyed) return;
    this.sockets.handleUpgrade(request, socket, head, (ws) => this.#open(ws, user, bearer));
  }

  #open(ws, user, bearer) {
    const connection = { ws, user, token: bearer, opened: performance.now(), sent: [], code: undefined };
    this.connections.push(connection);
    this.allConnections.push(connection);
    ws.on("error", () => {});
    ws.on("close", (code) => {
      connection.code = code;
      this.connections = this.connections.filter((other) => other !== connection);
    });
    ws.on("message", (data) => this.#receive(connection, String(data)));
    if (this.dead) ws.pause();
  }

  /** Returns the user of a valid token, else null. */
  #userOf(bearer) {
    try {
      const claims = JSON.parse(Buffer.from(bearer.split(".")[1], "base64url").toString());
      return this.revoked.has(bearer) ? null : claims.sub;
    } catch {
      return null;
    }
  }

  // Frames

  async #receive(connection, text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {}
    const { user } = connection;
    this.frames.push({ at: performance.now(), user, connection, frame, text });
    if (connection.stalled) return;
    if (Buffer.byteLength(text) > MAX_FRAME_BYTES) return connection.ws.close(1009);
    const fault = (await this.onFrame(frame, connection)) ?? {};
    if (fault.delay) await after(fault.delay);
    if (fault.stall) return;
    if (fault.close) return connection.ws.close(fault.close);
    if (fault.cut === "before") return connection.ws.terminate();
    if (fault.error) return this.#error(connection, fault.error, frame);
    if (fault.gatewayError) return this.#send(connection, gatewayError(fault.gatewayError));
    if (frame?.action === "ping") return this.#send(connection, fault.response ?? { type: "pong", timestamp: new Date().toISOString() });
    if (frame?.action === "typing") return;
    if (frame?.action === "mark" && this.features.modern) return this.mark(user, targetOf(frame, user), frame, connection);
    await this.#store(connection, frame, fault);
  }

  /** Raises marks of a user, and pushes the receipt to both users, but not to the connection that it came from. */
  mark(user, peer, marks, origin) {
    if (isGroup(peer) && !isMemberOf(this.log(user, peer), user)) return;
    const receipt = this.features.raise(isGroup(peer) ? peer : conversationId(user, peer), user, this.log(user, peer), marks);
    if (!receipt) return;
    if (isGroup(peer)) {
      const told = (connection) => connection !== origin && isMemberOf(this.log(user, peer), connection.user);
      return this.connections.filter(told).forEach((connection) => this.#send(connection, receipt));
    }
    const shown = this.features.settings(user).receipts && this.features.settings(peer).receipts;
    for (const connection of this.connections) {
      if (connection !== origin && (connection.user === user || (connection.user === peer && shown))) this.#send(connection, receipt);
    }
  }

  async #store(connection, frame, fault) {
    const { user } = connection;
    const isChange = this.features.changes && CHANGES.includes(frame?.action);
    const target = targetOf(frame, user);
    const inGroup = this.features.groups && isGroup(target);
    const log = this.log(user, target);
    const before = log.find((entry) => entry.sender_id === user && entry.client_message_id && entry.client_message_id === frame.client_message_id);
    const problem = inGroup ? !before && problemInGroup(log, user, frame) : isChange ? !before && problemOfChange(log, user, frame) : problemOf(frame);
    if (problem) return this.#error(connection, { code: problem, retryable: false }, frame);
    const entry = before ?? this.#insert(user, { message: "", ...frame, receiver_id: target });
    if (fault.pushFirst) this.#send(connection, pushOf(entry));
    const delivered = this.#push(entry, connection);
    if (fault.cut === "after") return connection.ws.terminate();
    if (fault.noAck) return;
    if (fault.ackDelay) await after(fault.ackDelay);
    if (fault.response !== undefined) return this.#send(connection, fault.response);
    const { message_id, conversation_id, seq, timestamp, client_message_id } = entry;
    const status = fault.status ?? (delivered ? "delivered" : "stored");
    this.#send(connection, { type: "ack", client_message_id, message_id, conversation_id, seq, timestamp, status, duplicate: Boolean(before) });
  }

  /** Sends an error frame. As the real server, it closes a connection whose token has expired with 1000. */
  #error(connection, fields, frame) {
    const { client_message_id } = frame ?? {};
    this.#send(connection, { type: "error", message: "That did not work.", retryable: true, client_message_id, ...fields });
    if (fields.code === "token_expired") connection.ws.close(1000);
  }

  #insert(sender, frame) {
    const log = this.log(sender, frame.receiver_id);
    const entry = this.#entry(sender, frame, Math.max(0, log.at(-1)?.seq ?? 0) + 1);
    if (changesGroup(frame.action)) Object.assign(entry, eventOf(log, sender, frame));
    log.push(entry);
    if (!CHANGES.includes(frame.action)) return entry;
    Object.assign(entry, changeOf(frame));
    makeChange(log, entry);
    return entry;
  }

  #entry(sender_id, { receiver_id, message, client_message_id }, seq) {
    const conversation_id = isGroup(receiver_id) ? receiver_id : conversationId(sender_id, receiver_id);
    const [message_id, timestamp] = [randomBytes(12).toString("hex"), new Date().toISOString()];
    const receiver = isGroup(receiver_id) ? {} : { receiver_id };
    return { message_id, conversation_id, seq, sender_id, ...receiver, message, timestamp, client_message_id };
  }

  /** Pushes to the receivers and to the sender's other connections. Returns whether a receiver has one. */
  #push(entry, origin) {
    const { sender_id, receiver_id, conversation_id: id } = entry;
    const toSelf = sender_id === receiver_id;
    const recipients = isGroup(id) ? recipientsOf(this.logs.get(id), entry) : new Set([receiver_id, sender_id]);
    for (const connection of this.connections) {
      if (!recipients.has(connection.user)) continue;
      if (connection === origin && !toSelf) continue;
      for (const ms of this.onPush(entry, connection) ?? [0]) {
        const frame = pushOf(entry);
        if (ms) setTimeout(() => this.#send(connection, frame), ms).unref();
        else this.#send(connection, frame);
      }
    }
    return this.connections.some(({ user }) => recipients.has(user) && (toSelf || user !== sender_id));
  }

  #send(connection, frame) {
    if (connection.stalled || connection.ws.readyState !== 1) return;
    const text = typeof frame === "string" ? frame : JSON.stringify(frame);
    connection.sent.push(text);
    connection.ws.send(text);
  }

  // The history

  async #serve(request, response) {
    const url = new URL(request.url, "http://here");
    const query = Object.fromEntries(url.searchParams);
    const user = this.withAuth ? this.#userOf(request.headers.authorization?.replace(/^Bearer /, "")) : undefined;
    if (url.pathname !== "/chat/history") return this.#serveOther(user ?? (this.withAuth ? null : query.user), url, request, response);
    const logged = { at: performance.now(), user, query, url: request.url, authorization: request.headers.authorization };
    this.requests.push(logged);
    // The page is read when the request arrives, as if the response were on its way from then on.
    const reader = user ?? query.user;
    const page = this.#page(query, reader);
    const fault = (await this.onHistory(query, logged)) ?? {};
    if (fault.delay) await after(fault.delay);
    if (fault.hang) return;
    if (fault.cut) return response.destroy();
    const id = query.conversation_id;
    const users = id === undefined ? [query.user1, query.user2] : isGroup(id) ? [query.user] : usersOf(id);
    const rejection = this.withAuth && (!user ? 401 : !users.includes(user) ? 403 : undefined);
    const unknown = id !== undefined && (!this.features.changes || (isGroup(id) && !(this.features.groups && query.user))) && 400;
    const stranger = isGroup(id) && !readableBy(this.logs.get(id) ?? [], reader) && 403;
    logged.status = fault.status ?? (rejection || unknown || stranger || 200);
    const { body, links } = fault.fresh ? this.#page(query, reader) : page;
    if (logged.status === 200 && links) response.setHeader("link", links);
    response.writeHead(logged.status, { "content-type": "application/json" });
    response.end(fault.body ?? (logged.status === 200 ? body : JSON.stringify({ status: logged.status, title: "Refused" })));
  }

  async #serveOther(user, url, request, response) {
    const chunks = await request.toArray();
    const init = { method: request.method, body: Buffer.concat(chunks).toString() };
    const logs = [...this.logs].flatMap(([id, log]) => {
      if (isGroup(id)) return [[id, undefined, log]];
      const { sender_id, receiver_id } = log[0] ?? {};
      return sender_id === user ? [[id, receiver_id, log]] : receiver_id === user ? [[id, sender_id, log]] : [];
    });
    const rejection = this.withAuth && (!user ? 401 : user !== url.searchParams.get("user") ? 403 : undefined);
    const fault = (await this.onOther(url.pathname.split("/").at(-1))) ?? {};
    if (fault.delay) await after(fault.delay);
    const { status, items, link } = rejection ? { status: rejection } : this.features.respond(user, url, init, logs, performance.now());
    if (link) response.setHeader("link", link);
    response.writeHead(fault.status ?? status, { "content-type": "application/json" });
    response.end(fault.body ?? JSON.stringify(items ?? { title: "Refused" }));
    if (init.method === "PUT" && status === 200) this.sendRaw(user, JSON.stringify({ type: "settings", ...this.features.settings(user) }));
  }

  #page({ conversation_id: id, user1 = "", user2 = "", limit = 1_000, after: from, before }, reader) {
    const inGroup = isGroup(id) && (readableBy(this.logs.get(id) ?? [], reader) ?? []);
    const log = inGroup || (id === undefined ? oldForm(this.log(user1, user2)) : this.log(...usersOf(id)));
    const range = log.filter(({ seq }) => (from === undefined || seq > Number(from)) && (before === undefined || seq < Number(before)));
    const forward = from !== undefined;
    const entries = forward ? range.slice(0, Number(limit)) : range.slice(-Number(limit));
    const [first, last] = [entries[0]?.seq, entries.at(-1)?.seq];
    const user = (id) => encodeURIComponent(id);
    const of = id === undefined ? `user1=${user(user1)}&user2=${user(user2)}` : `conversation_id=${user(id)}`;
    const link = (rest, rel) => `<?${of}&limit=${limit}&${rest}>; rel="${rel}"`;
    const links = [];
    if (log.some(({ seq }) => seq < first)) links.push(link(`before=${first}`, "prev"));
    if (log.some(({ seq }) => seq > last)) links.push(link(`after=${last}`, "next"));
    const body = JSON.stringify(entries.map(({ conversation_id, ...shown }) => shown));
    return { body, links: links.join(", ") };
  }
}

/** Returns the frame that pushes an entry. */
const pushOf = (entry) => ({ type: entry.kind || isGroup(entry.conversation_id) ? "entry" : "message", ...entry });

/** Returns the receiver or the group of a frame of a user. */
const targetOf = (frame, user) => frame?.receiver_id ?? (frame?.action === "createGroup" ? groupId(user, frame.client_message_id) : frame?.conversation_id) ?? "";

/** Returns the users of a conversation. */
function usersOf(id) {
  const [, length, pair] = /^direct:(\d+):(.*)$/s.exec(id);
  const bytes = Buffer.from(pair);
  return [bytes.subarray(0, Number(length)), bytes.subarray(Number(length) + 1)].map(String);
}

/** Returns an error frame of API Gateway, with its spaces. */
function gatewayError(message) {
  return `{"message": "${message}", "connectionId":"PJqB0fHsqRcCHlw=", "requestId":"XDmGEE2RoE0FRdQ="}`;
}

/** Returns the error code of a malformed message frame. */
function problemOf(frame) {
  if (typeof frame !== "object" || frame === null || (frame.action !== undefined && frame.action !== "sendMessage")) return "invalid_frame";
  const { receiver_id, message, client_message_id = "1" } = frame;
  if (typeof receiver_id !== "string" || typeof message !== "string" || typeof client_message_id !== "string") return "invalid_frame";
  if (!receiver_id || Buffer.byteLength(receiver_id) > 254 || /\p{Cc}/u.test(receiver_id)) return "invalid_user_id";
  if (!client_message_id || Buffer.byteLength(client_message_id) > 128) return "invalid_frame";
  if (!message) return "message_empty";
  return Buffer.byteLength(message) > MAX_TEXT_BYTES ? "message_too_long" : undefined;
}
