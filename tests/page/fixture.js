// The browser, the chat and the people of the tests in this folder that share them. Each test has users of its own.

import { after, afterEach, before } from "node:test";

import { startChat } from "../client/stack.js";
import { launch } from "./browser.js";
import { Person } from "./people.js";

export const SOCKETS_PER_USER = 3;

export let browser, chat;
/** The people of the running test. */
let people = [];
let users = 0;

before(async () => {
  [browser, chat] = await Promise.all([
    launch(),
    startChat({ flags: ["--parameter", `SocketsPerUser=${SOCKETS_PER_USER}`] }),
  ]);
});
after(() => Promise.allSettled([browser?.close(), chat?.stop()]));
afterEach(async () => {
  const leaving = people;
  people = [];
  try {
    for (const person of leaving) await person.check();
  } finally {
    await Promise.all(leaving.map(({ context }) => context.close()));
  }
});

/** Returns a user id that no other test has. */
export const fresh = (name) => `${name}.${++users}@example.com`;

/** Opens the page in a new window. `http` is the address of a chat of the test's own. */
export async function visit({ http = chat.http, ...options } = {}) {
  const one = await Person.at(browser, http, options);
  people.push(one);
  return one;
}

/** Opens the page and signs in. */
export async function person(user, options) {
  const one = await visit(options);
  return one.signIn(user);
}

/** Signs in two people, each with the conversation with the other open. */
export async function pair(options) {
  const ann = await person(fresh("ann"), options);
  const ben = await person(fresh("ben"), { http: options?.http });
  await Promise.all([ann.open(ben.user), ben.open(ann.user)]);
  return { ann, ben };
}

/** Opens a second tab of the same person. */
export async function tab(one) {
  const other = await visit({ context: one.context });
  return other.signIn(one.user);
}

/** Returns a control by which a test rejects WebSockets of a page and responds to its frames. */
export function wire() {
  const control = { reject: false, respond: () => undefined, sockets: [] };
  control.prepare = (page) =>
    page.routeWebSocket(/user_id=/, (socket) => {
      if (control.reject) return socket.close({ code: 1011 });
      const server = socket.connectToServer();
      control.sockets.push(socket);
      socket.onMessage((data) => {
        const response = control.respond(JSON.parse(data));
        if (response) socket.send(JSON.stringify(response));
        else if (response !== null) server.send(data);
      });
    });
  return control;
}

/** Returns a route that serves the history of a conversation of `n` messages that were never sent. */
export function fakeHistory(from, to, n) {
  const message = (seq) => ({
    ...{ seq, sender_id: from, receiver_id: to, message: `Line ${seq}.`, message_id: `${seq}` },
    timestamp: new Date(Date.now() - (n - seq) * 1_000).toISOString(),
  });
  return (route) => {
    const query = new URL(route.request().url()).searchParams;
    const limit = Number(query.get("limit") ?? 1_000);
    const [before, after] = [Number(query.get("before") ?? n + 1), query.get("after")];
    const first = after === null ? Math.max(1, before - limit) : Number(after) + 1;
    const count = Math.min(limit, (after === null ? before : n + 1) - first);
    const link = after === null && first > 1 ? { link: `<?before=${first}>; rel="prev"` } : {};
    return route.fulfill({ headers: link, json: Array.from({ length: count }, (_, at) => message(first + at)) });
  };
}

/** Returns a route that serves a list of `n` conversations of a user, with `unread` messages each, that were never begun. */
export function fakeList(user, n, unread = 0) {
  const row = (at) => {
    const peer = `peer${at}@example.com`;
    const [first, second] = [user, peer].sort();
    const timestamp = new Date(Date.now() - at * 60_000).toISOString();
    return {
      ...{ conversation_id: `direct:${first.length}:${first}:${second}`, peer_id: peer, newest_seq: 9, timestamp, unread, read: 9 - unread, delivered: 9 },
      preview: { seq: 9, sender_id: peer, message: `Newest of ${at}.`, timestamp },
    };
  };
  return (route) => {
    const query = new URL(route.request().url()).searchParams;
    const [first, limit] = [Number(query.get("before") ?? 0), Number(query.get("limit"))];
    const end = Math.min(n, first + limit);
    const headers = end < n ? { link: `<?user=${encodeURIComponent(user)}&limit=${limit}&before=${end}>; rel="next"` } : {};
    return route.fulfill({ headers, json: Array.from({ length: end - first }, (_, at) => row(first + at)) });
  };
}

/** Runs in the page: notes notifications instead of showing them. */
export function fakeNotifications() {
  globalThis.shown = [];
  globalThis.Notification = class {
    static permission = "default";
    static async requestPermission() {
      return (Notification.permission = "granted");
    }
    constructor(title, { tag, body }) {
      globalThis.shown.push(this);
      Object.assign(this, { title, tag, body, closed: false });
    }
    close() {
      this.closed = true;
    }
  };
}

/** Returns the notifications of a page with `fakeNotifications`, oldest first. */
export const notificationsOf = (page) => page.evaluate(() => globalThis.shown.map(({ title, tag, body, closed }) => ({ title, tag, body, closed })));

/** Returns a route that serves the same presence of all users. */
export function fakePresence(presence) {
  return (route) => {
    const users = new URL(route.request().url()).searchParams.getAll("of");
    return route.fulfill({ json: users.map((user_id) => ({ user_id, ...presence })) });
  };
}

/** Makes a page see a server from before the list, marks, presence and settings, and from before edits and deletes. */
export async function oldServer(page) {
  await page.route(/\/chat\/history\?conversation_id/, (route) => route.fulfill({ status: 400, json: { status: 400, title: "Invalid request" } }));
  await page.route(/\/chat\/(conversations|presence|settings|members)/, (route) => route.fulfill({ status: 404, json: { status: 404, title: "Not found" } }));
  await page.routeWebSocket(/user_id=/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((data) => {
      const { action, client_message_id } = JSON.parse(data);
      if (!["mark", "editMessage", "deleteMessage", "createGroup"].includes(action)) return server.send(data);
      socket.send(JSON.stringify({ type: "error", code: "invalid_frame", message: "Unknown action.", client_message_id, retryable: false }));
    });
    server.onMessage((data) => ["receipt", "settings", "entry"].includes(JSON.parse(data).type) || socket.send(data));
  });
}
