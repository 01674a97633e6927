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

/** Opens the page in a new window. */
export async function visit(options) {
  const one = await Person.at(browser, chat.http, options);
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
  const ben = await person(fresh("ben"));
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
