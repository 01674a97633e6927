// Bad input on real sockets: texts and users of any kind, servers that answer nonsense, clocks that are wrong. The
// client goes on, says what is wrong, and loses nothing that was typed.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";
import { test } from "node:test";

import { Chat, ChatError } from "../src/index.js";
import { memoryStorage } from "./memory.js";
import { scenario } from "./clients.js";
import { conversationId, times, token, until } from "./server.js";
import { seeded } from "./stand-ins.js";

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

scenario("texts of any content arrive as they are shown, and half a pair is replaced before it is shown", async (world) => {
  const { server } = world;
  const [ann, ben] = [await world.online("ann"), await world.online("ben")];
  const view = ann.with("ben");
  for (const text of Object.values(TEXTS)) {
    const entry = view.talk.send(text);
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
  scenario(`a text that no server takes fails without a frame, and says why: ${what}`, async (world) => {
    const ann = await world.online("ann");
    const view = ann.with("ben");
    const entry = view.talk.send(text);
    assert.deepEqual([entry.state, entry.error.code, entry.error.retryable], ["failed", code, false]);
    await assert.rejects(entry.done, { code });
    await view.talk.send("next").done;
    assert.deepEqual(world.server.sends("ann").map(({ frame }) => frame.message), ["next"]);
    await until(() => view.texts.length === 2, "it is shown until it is discarded");
  });
}

scenario("a text whose frame is too large for the server closes the connection with 1009: it fails, and the next goes on", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const large = view.talk.send("\0".repeat(16_384));
  const next = view.talk.send("next");
  await assert.rejects(large.done, (error) => error instanceof ChatError && !error.retryable);
  await next.done;
  assert.deepEqual(server.texts("ann", "ben"), ["next"]);
  assert.ok(server.past.length <= 2, "it was sent once at most");
});

scenario("text that is not a string is sent as a string or fails, and throws nothing later", async (world) => {
  const ann = await world.online("ann");
  const view = ann.with("ben");
  for (const text of [7, null, undefined, { toString: () => "an object" }, ["a", "b"]]) {
    try {
      const entry = view.talk.send(text);
      await entry.done.catch(() => {});
      assert.equal(typeof entry.text, "string");
    } catch (error) {
      assert.ok(error instanceof TypeError || error instanceof ChatError, String(error));
    }
  }
  await view.talk.send("next").done;
});

const USERS = ["a", "prof+x@example.com", "a/b %20?&=#", "學生", " ", "x".repeat(254), "\u{1F600}".repeat(63), "direct:1:a", ":", "%", "\u202Ea", "{user}", "$&", "__proto__", "constructor", "\uFF5E", "\u{10000}", "'\"<>`"];

scenario("users of any name write to each other, and the ids of their conversations are those of the server", async (world) => {
  const { server } = world;
  for (const [index, user] of USERS.entries()) {
    const peer = USERS[(index + 1) % USERS.length];
    const [one, other] = [await world.online(user), await world.online(peer)];
    const view = one.with(peer);
    assert.equal(view.talk.id, conversationId(user, peer));
    assert.equal(one.chat.conversation(view.talk.id), one.chat.with(peer));
    assert.equal(view.talk.peer, peer);
    await view.talk.send("hi").done;
    await other.with(user).shows(server.texts(user, peer));
    assert.equal(other.with(user).talk.id, view.talk.id);
    await Promise.all([one.chat.close(), other.chat.close()]);
  }
  assert.deepEqual(server.past.map(({ user }) => user).filter((user) => !USERS.includes(user)), []);
});

test("ids of conversations are in the order of bytes, whatever the users are", () => {
  const chat = (user) => new Chat({ socketUrl: "", historyUrl: "", user, storage: memoryStorage(), WebSocket: class {} });
  for (const one of USERS) {
    for (const other of USERS) {
      assert.equal(chat(one).with(other).id, conversationId(one, other));
      assert.equal(chat(one).conversation(conversationId(one, other)).peer, other);
    }
  }
});

test("what is no user id, or no conversation of the user, is refused at once", () => {
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

/** Frames that a server must not send. */
function nonsense(talk) {
  const message = { type: "message", message_id: "f", conversation_id: talk.id, seq: 3, sender_id: "ben", receiver_id: "ann", message: "forged", timestamp: "2026-11-22T11:15:03.123Z" };
  const ack = { type: "ack", client_message_id: "no such", message_id: "f", conversation_id: talk.id, seq: 9, timestamp: "2026-11-22T11:15:03.123Z", status: "stored", duplicate: false };
  return [
    ...["", " ", "no JSON", "{", "[]", "null", "7", '"text"', "true", "\0", "[".repeat(10_000), '{"type":7}', '{"type":null}', '{"type":"__proto__"}', '{"type":"toString"}', "{}"],
    '{"message":"Internal server error","connectionId":"abc=","requestId":"def="}',
    ...[{ seq: "3" }, { seq: 3.5 }, { seq: null }, { seq: 1e300 }, { seq: undefined }, { sender_id: 7 }, { sender_id: undefined }, { receiver_id: "eve" }, { sender_id: "eve" }, { message: 7 }, { message: null }, { message: { $gt: "" } }, { conversation_id: "direct:3:ann:cat" }, { conversation_id: 7 }, { sender_id: "\n" }].map((fields) => ({ ...message, ...fields })),
    ...[{}, { client_message_id: 7 }, { conversation_id: undefined }, { conversation_id: "__proto__" }, { seq: "9" }, { seq: NaN }, { status: 7 }].map((fields) => ({ ...ack, ...fields })),
    ...[{}, { code: 7 }, { code: "no_such_code" }, { code: "rate_limited" }, { code: "rate_limited", retry_after_ms: "soon" }, { code: "unavailable", client_message_id: "no such" }, { code: "message_empty", client_message_id: { a: 1 } }].map((fields) => ({ type: "error", ...fields })),
    { type: "pong" },
    { type: "pong", timestamp: 7 },
  ];
}

scenario("a server that talks nonsense changes nothing: the connection stays, and messages work", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  server.post("ben", "ann", "one");
  await view.talk.send("two").done;
  for (const frame of nonsense(view.talk)) server.say("ann", frame);
  server.of("ann")[0].ws.send(Buffer.from([0xff, 0xfe, 0]), { binary: true });
  await view.talk.send("three").done;
  await view.shows(["one", "two", "three"]);
  assert.equal(server.past.length, 1);
  assert.deepEqual(ann.chat.with("ben").peer, "ben");
  const errors = ann.logs.filter(([level]) => level === "error");
  assert.deepEqual(errors, [], "none of it is an error of the client");
});

scenario("nonsense in the place of an ack is no ack: the message is sent again until there is one", async (world) => {
  const { server } = world;
  const ann = await world.online("ann", { timing: { ack: 60 } });
  const view = await ann.with("ben").loaded();
  const frames = nonsense(view.talk);
  server.onFrame = (frame) => (frame.action === "sendMessage" && frames.length ? { answer: frames.splice(0, 6).map((f) => (typeof f === "string" ? f : JSON.stringify(f))).join("") } : undefined);
  await view.talk.send("hi").done;
  await view.shows(["hi"]);
  assert.deepEqual(server.texts("ann", "ben"), ["hi"]);
});

scenario("an ack under the number of another message moves nothing", async (world) => {
  const { server } = world;
  server.post("ben", "ann", "one");
  const ann = await world.online("ann", { timing: { ack: 100 } });
  const view = await ann.with("ben").loaded();
  let wrong = true;
  server.onFrame = (frame, { user }) => {
    if (frame.action !== "sendMessage" || !wrong) return undefined;
    wrong = false;
    const { client_message_id } = frame;
    return { answer: { type: "ack", client_message_id, message_id: "f", conversation_id: view.talk.id, seq: 1, timestamp: "x", status: "stored", duplicate: false, user } };
  };
  await view.talk.send("two").done;
  await view.shows(["one", "two"]);
});

const HISTORIES = {
  "no JSON": "no JSON",
  nothing: "",
  "an object": "{}",
  null: "null",
  "a list of nonsense": '[1,null,"a",[]]',
  "numbers that are none": '[{"seq":"1","sender_id":"ben","receiver_id":"ann","message":"forged","timestamp":""}]',
  "messages of others": '[{"seq":1,"sender_id":"eve","receiver_id":"dan","message":"forged","timestamp":""}]',
  "texts that are none": '[{"seq":1,"sender_id":"ben","receiver_id":"ann","message":{},"timestamp":""}]',
  "numbers that go back": '[{"seq":2,"sender_id":"ben","receiver_id":"ann","message":"forged","timestamp":""},{"seq":1,"sender_id":"ben","receiver_id":"ann","message":"forged","timestamp":""}]',
};

for (const [what, body] of Object.entries(HISTORIES)) {
  scenario(`a history that answers with ${what} is said to be bad, and read when it is good again`, async (world) => {
    const { server } = world;
    server.post("ben", "ann", "one");
    let bad = true;
    server.onHistory = () => (bad ? { body } : undefined);
    const ann = await world.online("ann");
    const view = ann.with("ben");
    await until(() => view.now.error, "the snapshot has the error");
    assert.equal(view.now.error.code, "bad_response");
    assert.deepEqual(view.texts, []);
    await view.talk.send("two").done;
    bad = false;
    await view.shows(["one", "two"]);
    assert.equal(view.now.error, undefined);
  });
}

for (const [what, fault, code] of [
  ["500", { status: 500 }, /^unavailable$/],
  ["503", { status: 503 }, /^unavailable$/],
  ["429", { status: 429 }, /^unavailable$/],
  ["nothing, and breaks", { cut: true }, /^network$/],
  ["nothing at all", { hang: true }, /^network$|timeout/],
]) {
  scenario(`a history that answers ${what} is tried again, and messages work meanwhile`, async (world) => {
    const { server } = world;
    server.post("ben", "ann", "one");
    let bad = true;
    server.onHistory = () => (bad ? fault : undefined);
    const ann = await world.online("ann", { timing: { request: 150 } });
    const view = ann.with("ben");
    await until(() => view.now.error, "the snapshot has the error");
    assert.match(view.now.error.code, code);
    assert.equal(view.now.error.retryable, true);
    await view.talk.send("two").done;
    await assert.rejects(view.talk.older(), (error) => error instanceof ChatError);
    bad = false;
    await view.shows(["one", "two"]);
    assert.ok(server.requests.length >= 2 && server.requests.length < 40, `${server.requests.length} requests`);
  });
}

scenario("a history that answers 403 tells the developer, and is not asked again and again", { guarded: true }, async (world) => {
  const { server } = world;
  const ann = world.client("ann", { token: async () => token("eve") });
  ann.with("ben");
  ann.chat.connect();
  await until(() => ann.chat.state.error ?? ann.with("ben").now.error, "it says so");
  assert.equal((ann.chat.state.error ?? ann.with("ben").now.error).code, "forbidden");
  await after(250);
  assert.ok(server.requests.length <= 3, `${server.requests.length} requests`);
});

scenario("a history that is slow holds up nothing else", async (world) => {
  const { server } = world;
  server.post("ben", "ann", "one");
  server.onHistory = () => ({ delay: 300 });
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const start = performance.now();
  await view.talk.send("two").done;
  assert.ok(performance.now() - start < 250, "the message did not wait");
  server.post("ben", "ann", "three");
  await until(() => view.texts.includes("three"), "a push did not wait, either", 200).catch(() => {});
  await view.shows(["one", "two", "three"]);
});

scenario("handshakes that are slow, hang or come to nothing are tried again", async (world) => {
  const { server } = world;
  const faults = [{ hang: true }, { status: 500 }, { delay: 400 }, { status: 403 }, { hang: true }];
  server.onHandshake = () => faults.shift();
  const ann = await world.online("ann", { timing: { connect: 150 } });
  await ann.with("ben").talk.send("hi").done;
  assert.equal(server.handshakes.length, 6);
});

scenario("a server that is away for a while: the client comes back, and nothing is lost", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  const { port } = server;
  await server.stop();
  const entries = ["one", "two"].map((text) => view.talk.send(text));
  await ann.until("waiting");
  await after(200);
  await server.listen(port);
  await Promise.all(entries.map(({ done }) => done));
  await view.showsLog();
});

const CLOCKS = {
  "in 1970": () => (ms) => ms - 1_700_000_000_000,
  "in 2099": () => (ms) => ms + 2_300_000_000_000,
  "back by a year in the middle": (start) => (ms) => (ms - start > 300 ? ms - 365 * 86_400_000 : ms),
  "ahead by an hour in the middle": (start) => (ms) => (ms - start > 300 ? ms + 3_600_000 : ms),
  "jumping by minutes, ten times a second": () => (ms) => ms + seeded(Math.floor(ms / 100))() * 10 * 60_000,
};

for (const [what, clock] of Object.entries(CLOCKS)) {
  scenario(`with a clock that is ${what}, messages go out and in, in order and without a storm of requests`, { guarded: true }, async (world) => {
    const { server } = world;
    const shift = clock(Date.now());
    const now = () => shift(Date.now());
    const random = seeded(2);
    server.onFrame = () => ({ delay: random() * 5 });
    let calls = 0;
    const callback = async () => (calls++, token("ann"));
    const ann = await world.online("ann", { now, token: callback });
    const ben = await world.online("ben", { token: async () => token("ben") });
    const [view, other] = [ann.with("ben"), ben.with("ann")];
    for (let index = 0; index < 12; index++) {
      view.talk.send(`ann ${index}`);
      other.talk.send(`ben ${index}`);
      if (index === 6) server.cut("ann");
      await after(50);
    }
    await until(() => server.texts("ann", "ben").length === 24, "all are stored");
    await Promise.all([view.showsLog(), other.showsLog()]);
    assert.deepEqual(server.texts("ann", "ben").filter((text) => text.startsWith("ann")), Array.from({ length: 12 }, (_, index) => `ann ${index}`));
    assert.ok(calls < 12 && server.requests.length < 60 && server.handshakes.length < 20, `${calls} tokens, ${server.requests.length} requests, ${server.handshakes.length} handshakes`);
  });
}

scenario("a token callback that returns what is no token is called again, and says what is wrong", { guarded: true }, async (world) => {
  const values = [undefined, null, 7, "", {}, token("ann")];
  const errors = new Set();
  const ann = world.client("ann", { token: async () => values.shift() });
  ann.chat.onState(({ error }) => error && errors.add(error.code));
  ann.chat.connect();
  await ann.until("online", 5_000);
  assert.ok(errors.size > 0);
});

scenario("a token callback that throws at once, and one that is no promise, are as good as any", { guarded: true }, async (world) => {
  let calls = 0;
  const thrower = () => {
    if (++calls < 3) throw new Error("no");
    return token("ann");
  };
  const ann = world.client("ann", { token: thrower });
  ann.chat.connect();
  await ann.until("online");
});

scenario("an option that is undefined is as good as absent", async (world) => {
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
  scenario(`where ${what}, messages go out and in all the same`, async (world) => {
    const { server } = world;
    const ann = await world.online("ann", options);
    const view = ann.with("ben");
    await view.talk.send("one").done;
    server.post("ben", "ann", "two");
    await view.shows(["one", "two"]);
    view.talk.markRead();
    await until(() => view.now.unread === 0, "all are read");
    await ann.chat.forget();
    assert.equal(ann.state, "signed-out");
  });
}

test("where a browser throws as soon as it is asked for IndexedDB, the chat keeps nothing and works", async (t) => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "indexedDB");
  t.after(() => (before ? Object.defineProperty(globalThis, "indexedDB", before) : delete globalThis.indexedDB));
  Object.defineProperty(globalThis, "indexedDB", { configurable: true, get: refuse });
  const chat = new Chat({ socketUrl: "", historyUrl: "", user: "ann", WebSocket: class {} });
  assert.equal(chat.persistent, false);
  assert.equal(chat.with("ben").send("one").state, "queued");
  await chat.close();
});

scenario("a WebSocket that cannot be made is tried again, and the state says why", async (world) => {
  const ann = world.client("ann", { WebSocket: class { constructor() { throw new Error("not allowed"); } } });
  const entry = ann.with("ben").talk.send("typed");
  ann.chat.connect();
  await ann.until("waiting");
  assert.equal(ann.chat.state.error.code, "network");
  assert.equal(entry.state, "queued");
});

scenario("logs hold no text and no token", { guarded: true }, async (world) => {
  const { server } = world;
  const SECRET = "xyzzy";
  const secret = () => token("ann", { secret: SECRET });
  const faults = [{ error: { code: "unavailable" } }, { error: { code: "invalid_frame", retryable: false, message: SECRET } }, { error: { code: "token_expired" } }, { cut: "after" }, { close: 1_009 }];
  const ann = await world.online("ann", { token: async () => secret() });
  const view = ann.with("ben");
  server.onFrame = (frame) => (frame.action === "sendMessage" ? faults.shift() : undefined);
  const entries = Array.from({ length: 4 }, (_, index) => view.talk.send(`${SECRET} ${index}`));
  await Promise.allSettled(entries.map(({ done }) => done));
  server.onHistory = times(2, { body: `[{"message":"${SECRET}"}]` });
  for (const text of [SECRET, `{"type":"${SECRET}"`, `{"type":"message","message":"${SECRET}"}`]) server.say("ann", text);
  ann.tab.show();
  await after(100);
  const show = (value) => (value instanceof Error ? `${value.stack} ${value.cause && show(value.cause)}` : value);
  const logs = JSON.stringify(ann.logs, (_, value) => show(value));
  assert.ok(ann.logs.length > 3, "there are logs");
  assert.ok(!logs.includes(SECRET), logs);
  for (const { token: used } of server.past) assert.ok(!logs.includes(used), "no token");
  assert.ok(server.handshakes.every(({ url }) => !url.includes("bearer") && !url.includes("token")), "nor in a URL");
});
