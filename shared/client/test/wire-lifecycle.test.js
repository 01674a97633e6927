// The client on real sockets, against a server that fails on command: closing, listeners and logs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { setTimeout as after } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { ChatError } from "../src/index.js";
import { scenario, texts } from "./clients.js";
import { times, token, until } from "./server.js";

const run = promisify(execFile);

/** Rules of a server for each point at which a client is closed. */
const POINTS = {
  constructed: () => {},
  "connect() in the same turn": () => {},
  token: () => {},
  handshake: (server) => (server.onHandshake = () => ({ hang: true })),
  online: () => {},
  history: (server) => (server.onHistory = () => ({ hang: true })),
  "hand-over": (server) => (server.onHandshake = () => (server.handshakes.length > 1 ? { hang: true } : undefined)),
  stalled: (server) => (server.onFrame = () => ({ stall: true })),
  waiting: (server) => (server.onHandshake = () => ({ status: 503 })),
  "online with a dead peer": (server) => (server.dead = true),
};

for (const [point, prepare] of Object.entries(POINTS)) {
  scenario(`22: close() is silent and leaves no timer, no listener and no connection (${point})`, async (world) => {
    const { server } = world;
    prepare(server);
    const timing = { handOverMin: 30, handOverMax: 30, connect: 60_000, token: 60_000, request: 60_000 };
    const ann = world.client("ann", { timing, ...(point === "token" && { token: () => new Promise(() => {}) }) });
    const { tab, chat } = ann;
    if (point !== "constructed") {
      const view = ann.with("ben");
      chat.connect();
      if (["online", "history", "hand-over", "stalled", "online with a dead peer"].includes(point)) await ann.until("online");
      if (point === "waiting") await ann.until("waiting");
      if (point === "stalled") view.talk.send("hi");
      if (point === "hand-over") await until(() => server.handshakes.length > 1, "the second is on its way");
      if (!point.startsWith("connect()")) await after(20);
    }
    const states = ann.states.length;
    await Promise.all([chat.close(), chat.close()]);
    assert.equal(chat.state.state, "closed");
    // What is under way may go on for a moment, and must leave nothing behind.
    await after(20);
    await until(() => tab.sockets.every(({ readyState }) => readyState === 3), "the connections are closed", 2_000);
    await until(() => tab.timers.size === 0, () => `${tab.timers.size} timers are gone`, 1_000);
    assert.deepEqual([...tab.window.listeners, ...tab.document.listeners], []);
    assert.equal(tab.channels.size, 0);
    assert.deepEqual(tab.sharedLocks.heldBy(tab), []);
    assert.ok(ann.states.length - states <= 1, "at most the state closed is told");
    const handshakes = server.handshakes.length;
    tab.show();
    tab.window.fire("online");
    chat.connect();
    await after(60);
    assert.equal(server.handshakes.length, handshakes, "nothing wakes it up");
    assert.deepEqual(ann.logs.filter(([level]) => level === "error"), []);
  });
}

scenario("22: who waits for older pages is told that the chat is closed", async (world) => {
  const { server } = world;
  server.addOld("ben", "ann", texts("old", 100));
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  server.onHistory = () => ({ hang: true });
  const older = view.talk.older();
  const all = view.talk.all().next();
  await until(() => view.now.loading, "it is asked for");
  const ends = [older, all].map((promise) => assert.rejects(promise, (error) => error instanceof ChatError));
  await ann.chat.close();
  await Promise.race([Promise.all(ends), after(500).then(() => assert.fail("somebody waits for ever"))]);
  const late = view.talk.older().catch((error) => error);
  assert.ok((await Promise.race([late, after(500)])) instanceof ChatError, "after the end, too");
});

scenario("22: two clients that come and go at once, as in React's StrictMode, leave one connection", async (world) => {
  const first = world.client("ann");
  first.chat.connect();
  const closing = first.chat.close();
  const second = await world.online("ann");
  await closing;
  await second.with("ben").talk.send("hi").done;
  await until(() => world.server.of("ann").length === 1, "one connection");
  assert.deepEqual([first.tab.channels.size, first.tab.timers.size], [0, 0]);
});

scenario("22: Node ends by itself after close(), at every point", async (world) => {
  const { server } = world;
  const ended = Object.entries(POINTS).map(async ([point, prepare]) => {
    const own = await world.another();
    prepare(own);
    const program = fileURLToPath(new URL("exits.js", import.meta.url));
    const { stdout, stderr } = await run(process.execPath, [program, point, own.socketUrl, own.historyUrl], { timeout: 10_000 });
    assert.deepEqual([point, stdout, stderr], [point, "closed\n", ""]);
  });
  await Promise.all(ended);
  assert.ok(server);
});

scenario("24: a handler that throws stops neither the client nor the other handlers", async (world) => {
  const { server } = world;
  const ann = world.client("ann");
  const { chat } = ann;
  const fail = () => { throw new Error("a handler fails"); };
  const seen = { states: [], lists: [], snapshots: [] };
  chat.onState(fail);
  chat.onState((state) => seen.states.push(state.state));
  chat.onConversations(fail);
  chat.onConversations((list) => seen.lists.push(list));
  const talk = chat.with("ben");
  talk.onChange(fail);
  talk.onChange((snapshot) => seen.snapshots.push(snapshot));
  chat.connect();
  await ann.until("online");
  await talk.send("hi").done;
  server.post("ben", "ann", "hello");
  await until(() => seen.snapshots.at(-1).entries.length === 2, "the other handler sees both");
  await until(() => seen.lists.at(-1)?.[0]?.last?.text === "hello", "so does that of the list");
  assert.equal(seen.states.at(-1), "online");
  assert.ok(ann.logs.some(([level, event]) => level === "error" && event === "listener_failed"), "it is logged");
});

scenario("24: a handler that is added twice is called twice, and one that is removed by another is not called", async (world) => {
  const ann = await world.online("ann");
  const talk = ann.chat.with("ben");
  let calls = 0;
  const count = () => calls++;
  const [stop, stopAgain] = [talk.onChange(count), talk.onChange(count)];
  await until(() => calls >= 2, "each was called");
  stop();
  const before = calls;
  await talk.send("hi").done;
  await until(() => calls > before, "the other is still called");
  stopAgain();
  await after(20);
  const end = calls;
  await talk.send("hi").done;
  await after(20);
  assert.equal(calls, end);
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
