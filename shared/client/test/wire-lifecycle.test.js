// The client on real WebSockets, against a server that fails on command: closing, listeners and logs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { setTimeout as after } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { ChatError } from "../src/index.js";
import { scenario, texts } from "./clients.js";
import { times, token, until } from "./server.js";

const run = promisify(execFile);

/** The points at which a client is closed, with the server's rules for each. */
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
  scenario(`close() leaves no timer, no listener and no connection (${point})`, async (world) => {
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
      if (point === "stalled") view.conversation.send("hi");
      if (point === "hand-over") await until(() => server.handshakes.length > 1, "the second is being opened");
      if (!point.startsWith("connect()")) await after(20);
    }
    const states = ann.states.length;
    await Promise.all([chat.close(), chat.close()]);
    assert.equal(chat.state.state, "closed");
    // Pending operations may take a moment to end, and must leave nothing behind.
    await after(20);
    await until(() => tab.sockets.every(({ readyState }) => readyState === 3), "the connections are closed", 2_000);
    await until(() => tab.timers.size === 0, () => `${tab.timers.size} timers are gone`, 1_000);
    assert.deepEqual([...tab.window.listeners, ...tab.document.listeners], []);
    assert.equal(tab.channels.size, 0);
    assert.deepEqual(tab.sharedLocks.heldBy(tab), []);
    assert.ok(ann.states.length - states <= 1, "at most the change to closed is notified");
    const handshakes = server.handshakes.length;
    tab.show();
    tab.window.fire("online");
    chat.connect();
    await after(60);
    assert.equal(server.handshakes.length, handshakes, "no event makes it reconnect");
    assert.deepEqual(ann.logs.filter(([level]) => level === "error"), []);
  });
}

scenario("calls that wait for older pages reject when the chat is closed", async (world) => {
  const { server } = world;
  server.addOld("ben", "ann", texts("old", 100));
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  server.onHistory = () => ({ hang: true });
  const older = view.conversation.older();
  const all = view.conversation.all().next();
  await until(() => view.now.loading, "it is requested");
  const rejections = [older, all].map((promise) => assert.rejects(promise, (error) => error instanceof ChatError));
  await ann.chat.close();
  await Promise.race([Promise.all(rejections), after(500).then(() => assert.fail("a call never settles"))]);
  const late = view.conversation.older().catch((error) => error);
  assert.ok((await Promise.race([late, after(500)])) instanceof ChatError, "after close(), too");
});

scenario("two clients, one of them closed at once as in React's StrictMode, leave one connection", async (world) => {
  const first = world.client("ann");
  first.chat.connect();
  const closing = first.chat.close();
  const second = await world.online("ann");
  await closing;
  await second.with("ben").conversation.send("hi").done;
  await until(() => world.server.connectionsOf("ann").length === 1, "one connection");
  assert.deepEqual([first.tab.channels.size, first.tab.timers.size], [0, 0]);
});

scenario("Node exits by itself after close() at every point", async (world) => {
  const { server } = world;
  const ended = Object.entries(POINTS).map(async ([point, prepare]) => {
    const own = await world.addServer();
    prepare(own);
    const program = fileURLToPath(new URL("exits.js", import.meta.url));
    const { stdout, stderr } = await run(process.execPath, [program, point, own.socketUrl, own.historyUrl], { timeout: 10_000 });
    assert.deepEqual([point, stdout, stderr], [point, "closed\n", ""]);
  });
  await Promise.all(ended);
  assert.ok(server);
});

scenario("a listener that throws stops neither the client nor the other listeners", async (world) => {
  const { server } = world;
  const ann = world.client("ann");
  const { chat } = ann;
  const fail = () => { throw new Error("a listener fails"); };
  const received = { states: [], lists: [], snapshots: [] };
  chat.onState(fail);
  chat.onState((state) => received.states.push(state.state));
  chat.onConversations(fail);
  chat.onConversations((list) => received.lists.push(list));
  const conversation = chat.with("ben");
  conversation.onChange(fail);
  conversation.onChange((snapshot) => received.snapshots.push(snapshot));
  chat.connect();
  await ann.until("online");
  await conversation.send("hi").done;
  server.post("ben", "ann", "hello");
  await until(() => received.snapshots.at(-1).entries.length === 2, "the other listener gets both");
  await until(() => received.lists.at(-1)?.conversations[0]?.last?.text === "hello", "so does the list's");
  assert.equal(received.states.at(-1), "online");
  assert.ok(ann.logs.some(([level, event]) => level === "error" && event === "listener_failed"), "it is logged");
});

scenario("a listener that is added twice is called twice, until each is removed", async (world) => {
  const ann = await world.online("ann");
  const conversation = ann.chat.with("ben");
  let calls = 0;
  const count = () => calls++;
  const [stop, stopAgain] = [conversation.onChange(count), conversation.onChange(count)];
  await until(() => calls >= 2, "each was called");
  stop();
  const before = calls;
  await conversation.send("hi").done;
  await until(() => calls > before, "the other is still called");
  stopAgain();
  await after(20);
  const end = calls;
  await conversation.send("hi").done;
  await after(20);
  assert.equal(calls, end);
});

scenario("logs contain no text and no token", { withAuth: true }, async (world) => {
  const { server } = world;
  const SECRET = "xyzzy";
  const secret = () => token("ann", { secret: SECRET });
  const faults = [{ error: { code: "unavailable" } }, { error: { code: "invalid_frame", retryable: false, message: SECRET } }, { error: { code: "token_expired" } }, { cut: "after" }, { close: 1_009 }];
  const ann = await world.online("ann", { token: async () => secret() });
  const view = ann.with("ben");
  server.onFrame = (frame) => (frame.action === "sendMessage" ? faults.shift() : undefined);
  const entries = Array.from({ length: 4 }, (_, index) => view.conversation.send(`${SECRET} ${index}`));
  await Promise.allSettled(entries.map(({ done }) => done));
  server.onHistory = times(2, { body: `[{"message":"${SECRET}"}]` });
  for (const text of [SECRET, `{"type":"${SECRET}"`, `{"type":"message","message":"${SECRET}"}`]) server.sendRaw("ann", text);
  ann.tab.show();
  await after(100);
  const show = (value) => (value instanceof Error ? `${value.stack} ${value.cause && show(value.cause)}` : value);
  const logs = JSON.stringify(ann.logs, (_, value) => show(value));
  assert.ok(ann.logs.length > 3, "there are logs");
  assert.ok(!logs.includes(SECRET), logs);
  for (const { token: used } of server.allConnections) assert.ok(!logs.includes(used), "no token");
  assert.ok(server.handshakes.every(({ url }) => !url.includes("bearer") && !url.includes("token")), "nor in a URL");
});
