// The client with a driven clock: tokens, start and close.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Chat, ChatError, SignedOut } from "../src/index.js";
import { chatIn, MINUTE, newest, numbered, online, sends, settled, texts } from "./chats.js";
import { memoryStorage } from "./memory.js";
import { World } from "./world.js";

test("a client offers chat.v1, and a send has these fields", async () => {
  const world = new World();
  const chat = await online(world);
  await settled(world, chat.with("ann").send("a").done);
  assert.deepEqual(world.sockets[0].protocols, ["chat.v1"]);
  assert.deepEqual(Object.keys(sends(world)[0].frame), ["action", "message", "receiver_id", "client_message_id"]);
});

test("a send tells the server up to which number the client has the conversation", async () => {
  const world = new World();
  numbered(world, "ann", 1, 3);
  const chat = chatIn(world, { timing: { gather: 5_000 } });
  chat.connect();
  await settled(world, chat.with("bob").send("the first").done);
  const conversation = chat.with("ann");
  conversation.onChange(() => {});
  await world.advance(1_000);
  await settled(world, conversation.send("number 4").done);
  world.store("ann", "me", "number 5, whose push is lost");
  world.write("ann", "number 6");
  await world.advance(500);
  await settled(world, conversation.send("number 7").done);
  await world.advance(10_000);
  await settled(world, conversation.send("number 8").done);
  assert.deepEqual(sends(world).map(({ frame }) => frame.after), [undefined, 3, 4, 7]);
});

test("a listener that throws does not stop the others", async () => {
  const world = new World();
  const logs = [];
  const chat = new Chat(world.options({ log: (...log) => logs.push(log) }));
  const received = [];
  const fail = () => {
    throw new Error("mine");
  };
  for (const add of [(f) => chat.onState(f), (f) => chat.onConversations(f), (f) => chat.with("ann").onChange(f)]) [fail, (v) => received.push(v), fail].forEach(add);
  chat.connect();
  world.write("ann", "a");
  await world.advance(100);
  assert.equal(chat.with("ann").snapshot.entries.length, 1);
  assert.ok(received.some((v) => v.state === "online") && received.some((v) => v.entries?.length) && received.some((v) => v.conversations?.length));
  assert.ok(logs.some(([level, event]) => level === "error" && event === "listener_failed"));
});

const jwt = (claims) => `x.${btoa(JSON.stringify(claims))}.x`;
const hour = (n) => jwt({ iat: 5, exp: 3_605, n });

test("the token callback is called once at a time, and again before the token expires", async () => {
  const world = new World();
  numbered(world, "ann", 1, 3);
  let running = 0;
  let most = 0;
  let calls = 0;
  const token = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => world.set(resolve, 500));
    running--;
    return hour(++calls);
  };
  const chat = chatIn(world, { token });
  chat.with("ann").onChange(() => {});
  chat.with("bob").onChange(() => {});
  chat.connect();
  await world.advance(1_000);
  assert.deepEqual([calls, most], [1, 1]);
  assert.deepEqual(world.sockets[0].protocols, ["chat.v1", `bearer.${hour(1)}`]);
  assert.equal(world.requests[0].headers.authorization, `Bearer ${hour(1)}`);
  await world.advance(60 * MINUTE);
  assert.equal(calls, 2);
  assert.equal(world.open.length, 1);
  assert.equal(world.open[0].protocols[1], `bearer.${hour(2)}`);
  assert.equal(chat.state.state, "online");
});

test("SignedOut signs out at once, a second 401 too; a 403 closes the chat with an error", async () => {
  const finalState = async (options, prepare = () => {}) => {
    const world = new World();
    const chat = chatIn(world, options);
    prepare(world);
    chat.with("ann").onChange(() => {});
    chat.connect();
    await world.advance(MINUTE);
    const { length } = world.sockets;
    await world.advance(10 * MINUTE);
    assert.equal(world.sockets.length, length, "no attempt is made any more");
    return chat.state;
  };
  let calls = 0;
  const token = () => hour(++calls);
  const signedOut = await finalState({ token: () => { throw new SignedOut(); } });
  assert.equal(signedOut.state, "signed-out");
  assert.ok(signedOut.error instanceof ChatError);
  const refused = await finalState({ token }, (world) => (world.status = 401));
  assert.deepEqual([refused.state, refused.error.code, calls], ["signed-out", "unauthorized", 2]);
  const foreign = await finalState({ token }, (world) => (world.status = 403));
  assert.deepEqual([foreign.state, foreign.error.code], ["closed", "forbidden"]);
});

test("after rejected handshakes the history is requested, and a token that it rejects too is replaced", async () => {
  const world = new World();
  let calls = 0;
  const chat = chatIn(world, { token: () => hour(++calls) });
  world.faults.refuse = 1;
  chat.connect();
  const { fetch } = world;
  world.fetch = (url, init) => {
    world.status = init.headers.authorization.endsWith(hour(1)) ? 401 : 200;
    if (world.status === 401) world.faults.refuse = 0;
    return fetch.call(world, url, init);
  };
  await world.advance(MINUTE);
  assert.equal(calls, 2);
  assert.equal(chat.state.state, "online");
  assert.equal(newest(world.sockets).protocols[1], `bearer.${hour(2)}`);
});

test("a token callback that never returns shows in the state and is called again, while an open connection stays open", async () => {
  const world = new World();
  let hang = true;
  const signals = [];
  const token = ({ signal }) => (signals.push(signal), hang ? new Promise(() => {}) : hour(1));
  const chat = chatIn(world, { token });
  chat.connect();
  await world.advance(30_500);
  assert.equal(chat.state.error.code, "token_timeout");
  assert.ok(signals[0].aborted);
  hang = false;
  await world.advance(2 * MINUTE);
  assert.equal(chat.state.state, "online");
  hang = true;
  await world.advance(59 * MINUTE);
  assert.equal(chat.state.state, "online");
  await settled(world, chat.with("ann").send("a").done);
});

test("requests that wait for others are not sent after close()", async () => {
  const world = new World();
  const chat = await online(world);
  world.latency = [MINUTE, MINUTE];
  for (let i = 0; i < 8; i++) chat.with(`peer${i}`).onChange(() => {});
  await world.advance(100);
  const before = world.requests.length;
  assert.ok(before < 8, "some wait");
  await chat.close();
  await world.advance(0);
  assert.deepEqual([world.requests.length, world.clientTimers], [before, 0]);
});

test("the constructor opens nothing, and close() at any moment leaves nothing behind", async () => {
  for (let at = 0; at < 60; at++) {
    const world = new World(at);
    const token = async () => {
      await new Promise((resolve) => world.set(resolve, 20));
      return hour(1);
    };
    const chat = chatIn(world, { token, timing: { handOverMin: 100, handOverMax: 100, backoff: 10 } });
    assert.equal(world.clientTimers + world.window.listeners + world.sockets.length, 0);
    const states = [];
    chat.onState(({ state }) => states.push(state));
    chat.with("ann").onChange(() => {});
    chat.with("ann").send("a");
    chat.connect();
    world.faults.cutAfter = 0.5;
    await world.advance(at * 5);
    const closing = chat.close();
    const { length } = states;
    assert.equal(newest(states), "closed");
    await world.advance(100);
    await closing;
    assert.equal(world.window.listeners + world.document.listeners, 0, `at ${at}`);
    const { frames, sockets } = world;
    const before = [frames.length, sockets.length];
    await world.advance(10 * MINUTE);
    assert.deepEqual([frames.length, sockets.length], before);
    assert.equal(world.clientTimers, 0);
    assert.equal(world.open.length, 0);
    assert.equal(states.length, length);
    assert.equal(world.error, undefined);
    chat.connect();
    chat.with("ann").markRead();
    assert.equal(world.sockets.length, before[1]);
  }
});

test("messages that are queued when the program dies are sent at the next start, once and in order", async () => {
  const world = new World();
  const storage = memoryStorage();
  const first = await online(world, { storage });
  world.dead = true;
  for (const text of ["1", "2", "3", "4", "5"]) first.with("ann").send(text);
  await world.advance(10);
  world.dead = false;
  // It dies: no close, no more of it.
  world.timers.clear();
  world.sockets = [];
  const second = await online(world, { storage });
  await world.advance(500);
  assert.deepEqual(texts(world.log("ann")), ["1", "2", "3", "4", "5"]);
  assert.deepEqual(second.with("ann").snapshot.entries.map((e) => e.state === "stored" || e.state === "delivered"), Array(5).fill(true));
});

test("forget() deletes the storage, fails queued messages and empties the conversations", async () => {
  const world = new World();
  const storage = memoryStorage();
  const chat = await online(world, { storage });
  numbered(world, "ann", 1, 3);
  const watcher = chat.with("ann");
  watcher.onChange(() => {});
  await world.advance(50);
  world.dead = true;
  const entry = watcher.send("a");
  await world.advance(50);
  await chat.forget();
  await assert.rejects(entry.done, { code: "discarded" });
  assert.equal(chat.state.state, "signed-out");
  assert.deepEqual(watcher.snapshot.entries, []);
  await world.advance(5_000);
  assert.deepEqual([await storage.load(), await storage.adopt([], "x")], [[], []]);
});

test("a message that is discarded at once is not sent at the next start", async () => {
  const world = new World();
  const storage = memoryStorage();
  const chat = chatIn(world, { storage });
  chat.with("ann").send("a").discard();
  await world.advance(10);
  assert.deepEqual(chat.with("ann").snapshot.entries, []);
  assert.deepEqual(await storage.adopt([], "x"), []);
});
