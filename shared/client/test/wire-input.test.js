// The client on real WebSockets, against a server that fails on command: texts, users and options of any kind.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Chat, ChatError } from "../src/index.js";
import { scenario } from "./clients.js";
import { memoryStorage } from "./memory.js";
import { conversationId, token, until } from "./server.js";

const TEXTS = {
  markup: "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;",
  "16,384 bytes of emoji": "\u{1F600}".repeat(4_096),
  "16,384 bytes of ASCII": "x".repeat(16_384),
  "half a surrogate pair": "a\uD83Db",
  "the other half": "\uDE00",
  "halves in the wrong order": "\uDE00\uD83D",
  "bidi controls": "\u202Egnp.exe\u2066\u2069\u200F",
  "a NUL": "a\0b",
  "all control characters": Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).join(""),
  "line separators": "a\u2028b\u2029c\r\n",
  blanks: "   ",
  JSON: '"}],{"type":"ack"}',
  "a prototype": "__proto__",
  "composed and not": "e\u0301 \u00e9 \u{1F468}\u200D\u{1F469}\u200D\u{1F467}",
};

scenario("texts of any content arrive as they are shown, and a lone surrogate is replaced before it is shown", async (world) => {
  const { server } = world;
  const [ann, ben] = [await world.online("ann"), await world.online("ben")];
  const view = ann.with("ben");
  for (const text of Object.values(TEXTS)) {
    const entry = view.conversation.send(text);
    assert.equal(entry.text, text.toWellFormed());
    await entry.done;
  }
  const expected = Object.values(TEXTS).map((text) => text.toWellFormed());
  assert.deepEqual(server.texts("ann", "ben"), expected);
  await Promise.all([view.showsLog(), ben.with("ann").showsLog()]);
});

const REFUSED = {
  nothing: ["", "message_empty"],
  "one byte too many": ["x".repeat(16_385), "message_too_long"],
  "one emoji too many": ["\u{1F600}".repeat(4_097), "message_too_long"],
  "a megabyte": ["x".repeat(1_000_000), "message_too_long"],
  "halves that grow when they are replaced": ["\uD83D".repeat(5_462), "message_too_long"],
};

for (const [what, [text, code]] of Object.entries(REFUSED)) {
  scenario(`a text that the server would reject fails without a frame: ${what}`, async (world) => {
    const ann = await world.online("ann");
    const view = ann.with("ben");
    const entry = view.conversation.send(text);
    assert.deepEqual([entry.state, entry.error.code, entry.error.retryable], ["failed", code, false]);
    await assert.rejects(entry.done, { code });
    await view.conversation.send("next").done;
    assert.deepEqual(world.server.sends("ann").map(({ frame }) => frame.message), ["next"]);
    await until(() => view.texts.length === 2, "it is shown until it is discarded");
  });
}

scenario("a message whose frame makes the server close with 1009 fails, and the next one is sent", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const large = view.conversation.send("\0".repeat(16_384));
  const next = view.conversation.send("next");
  await assert.rejects(large.done, (error) => error instanceof ChatError && !error.retryable);
  await next.done;
  assert.deepEqual(server.texts("ann", "ben"), ["next"]);
  assert.ok(server.allConnections.length <= 2, "it was sent at most once");
});

scenario("a text that is not a string is sent as a string or throws at once", async (world) => {
  const ann = await world.online("ann");
  const view = ann.with("ben");
  for (const text of [7, null, undefined, { toString: () => "an object" }, ["a", "b"]]) {
    try {
      const entry = view.conversation.send(text);
      await entry.done.catch(() => {});
      assert.equal(typeof entry.text, "string");
    } catch (error) {
      assert.ok(error instanceof TypeError || error instanceof ChatError, String(error));
    }
  }
  await view.conversation.send("next").done;
});

const USERS = ["a", "prof+x@example.com", "a/b %20?&=#", "學生", " ", "x".repeat(254), "\u{1F600}".repeat(63), "direct:1:a", ":", "%", "\u202Ea", "{user}", "$&", "__proto__", "constructor", "\uFF5E", "\u{10000}", "'\"<>`"];

scenario("users of any name can chat, and their conversation ids are those of the server", async (world) => {
  const { server } = world;
  for (const [index, user] of USERS.entries()) {
    const peer = USERS[(index + 1) % USERS.length];
    const [one, other] = [await world.online(user), await world.online(peer)];
    const view = one.with(peer);
    assert.equal(view.conversation.id, conversationId(user, peer));
    assert.equal(one.chat.conversation(view.conversation.id), one.chat.with(peer));
    assert.equal(view.conversation.peer, peer);
    await view.conversation.send("hi").done;
    await other.with(user).shows(server.texts(user, peer));
    assert.equal(other.with(user).conversation.id, view.conversation.id);
    await Promise.all([one.chat.close(), other.chat.close()]);
  }
  assert.deepEqual(server.allConnections.map(({ user }) => user).filter((user) => !USERS.includes(user)), []);
});

test("conversation ids name users in the order of bytes, whatever the names are", () => {
  const chat = (user) => new Chat({ socketUrl: "", historyUrl: "", user, storage: memoryStorage(), WebSocket: class {} });
  for (const one of USERS) {
    for (const other of USERS) {
      assert.equal(chat(one).with(other).id, conversationId(one, other));
      assert.equal(chat(one).conversation(conversationId(one, other)).peer, other);
    }
  }
});

test("an invalid user id or conversation id throws at once", () => {
  const options = { socketUrl: "", historyUrl: "", storage: memoryStorage(), WebSocket: class {} };
  const chat = new Chat({ ...options, user: "ann" });
  for (const bad of ["", "a\nb", "\0", "\x7f", "\x85", "x".repeat(255), "\u{1F600}".repeat(64), undefined, null, 7]) {
    assert.throws(() => chat.with(bad), (error) => error instanceof ChatError && error.code === "invalid_user_id", JSON.stringify(bad));
    assert.throws(() => new Chat({ ...options, user: bad }), { code: "invalid_user_id" }, JSON.stringify(bad));
  }
  for (const bad of ["", "direct:", "direct:3:ben:cat", "direct:1:ann:ben", "direct:3:ben:ann", "direct:99:ann:ben", "direct:x:ann:ben", "group:", 7, null, undefined, "direct:3:ann:"]) {
    assert.throws(() => chat.conversation(bad), (error) => error instanceof ChatError, JSON.stringify(bad));
  }
});

scenario("a token callback that returns no token is called again, and the state has the error", { withAuth: true }, async (world) => {
  const values = [undefined, null, 7, "", {}, token("ann")];
  const errors = new Set();
  const ann = world.client("ann", { token: async () => values.shift() });
  ann.chat.onState(({ error }) => error && errors.add(error.code));
  ann.chat.connect();
  await ann.until("online", 5_000);
  assert.ok(errors.size > 0);
});

scenario("a token callback may throw or return without a promise", { withAuth: true }, async (world) => {
  let calls = 0;
  const thrower = () => {
    if (++calls < 3) throw new Error("no");
    return token("ann");
  };
  const ann = world.client("ann", { token: thrower });
  ann.chat.connect();
  await ann.until("online");
});

scenario("an option that is undefined counts as absent", async (world) => {
  const absent = Object.fromEntries(["fetch", "now", "setTimeout", "clearTimeout", "random", "log", "token", "timing"].map((name) => [name, undefined]));
  const { socketUrl, historyUrl } = world.server;
  const { WebSocket } = world.client("eve").tab.options;
  const chat = new Chat({ ...absent, storage: undefined, window: undefined, document: undefined, locks: undefined, BroadcastChannel: undefined, socketUrl, historyUrl, user: "ann", WebSocket });
  try {
    chat.connect();
    await chat.with("ben").send("hi").done;
  } finally {
    await chat.close();
  }
});

const refuse = () => {
  throw new Error("not allowed");
};
const REFUSING = {
  "Web Locks throw": { locks: { request: refuse, query: refuse } },
  "Web Locks reject": { locks: { request: async () => refuse(), query: async () => refuse() } },
  "a BroadcastChannel cannot be made": { BroadcastChannel: class { constructor() { refuse(); } } },
  "a BroadcastChannel cannot be written to": { BroadcastChannel: class { postMessage() { refuse(); } close() {} } },
};

for (const [what, options] of Object.entries(REFUSING)) {
  scenario(`messages are sent and received where ${what}`, async (world) => {
    const { server } = world;
    const ann = await world.online("ann", options);
    const view = ann.with("ben");
    await view.conversation.send("one").done;
    server.post("ben", "ann", "two");
    await view.shows(["one", "two"]);
    view.conversation.markRead();
    await until(() => view.now.unread === 0, "all are read");
    await ann.chat.forget();
    assert.equal(ann.state, "signed-out");
  });
}

test("the chat works without storage in a browser that throws on access to IndexedDB", async (t) => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "indexedDB");
  t.after(() => (before ? Object.defineProperty(globalThis, "indexedDB", before) : delete globalThis.indexedDB));
  Object.defineProperty(globalThis, "indexedDB", { configurable: true, get: refuse });
  const chat = new Chat({ socketUrl: "", historyUrl: "", user: "ann", WebSocket: class {} });
  assert.equal(chat.persistent, false);
  assert.equal(chat.with("ben").send("one").state, "queued");
  await chat.close();
});

scenario("a WebSocket that cannot be constructed is tried again, and the state has the error", async (world) => {
  const ann = world.client("ann", { WebSocket: class { constructor() { throw new Error("not allowed"); } } });
  const entry = ann.with("ben").conversation.send("typed");
  ann.chat.connect();
  await ann.until("waiting");
  assert.equal(ann.chat.state.error.code, "network");
  assert.equal(entry.state, "queued");
});
