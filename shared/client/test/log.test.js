// The client with a driven clock: pushes, the history and read marks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { conversationId } from "../src/id.js";
import { MINUTE, newest, numbered, numbers, online, range, settled, texts, Watcher } from "./chats.js";
import { memoryStorage } from "./memory.js";
import { World } from "./world.js";

test("a gap is read by one request after 100 ms, and the entries stay in order", async () => {
  const world = new World();
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  world.write("ann", "1");
  await world.advance(50);
  world.requests.length = 0;
  world.faults.losePush = 1;
  world.write("ann", "2");
  world.write("ann", "3");
  world.faults.losePush = 0;
  world.latency = [0, 0];
  world.write("ann", "4");
  const start = world.time;
  await world.advance(50);
  world.write("ann", "5");
  assert.deepEqual(numbers(watcher.last), [1, 4]);
  await world.advance(200);
  assert.deepEqual(numbers(watcher.last), [1, 2, 3, 4, 5]);
  assert.deepEqual(world.requests.map(({ after, time }) => [after, time - start]), [[1, 100]]);
  assert.equal(watcher.error, undefined);
});

test("pushes without a gap cause no request, in whatever order they arrive", async () => {
  const world = new World();
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  world.write("ann", "1");
  await world.advance(500);
  world.requests.length = 0;
  const frame = (seq) => JSON.stringify({ type: "message", conversation_id: conversationId("me", "ann"), seq, sender_id: "ann", receiver_id: "me", message: `${seq}` });
  for (const seq of [2, 5, 4, 3, 6, 3]) world.open[0].onmessage({ data: frame(seq) });
  await world.advance(1_000);
  assert.deepEqual(numbers(watcher.last), range(1, 6));
  assert.equal(world.requests.length, 0);
});

test("a number that the history does not have is asked for again at growing delays", async () => {
  const world = new World();
  numbered(world, "ann", 1, 3);
  const { row } = world.features;
  world.features.row = (...of) => ({ ...row.apply(world.features, of), newest_entry_seq: 4 });
  const chat = await online(world);
  new Watcher(chat.with("ann"));
  await world.advance(MINUTE);
  world.requests.length = 0;
  await world.advance(4 * MINUTE);
  assert.ok(world.requests.length > 2, `${world.requests.length} requests`);
  assert.ok(world.requests.length < 40, `${world.requests.length} requests`);
});

test("missed messages are read to the end, page by page", async () => {
  const world = new World();
  numbered(world, "ann", 1, 10);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  numbered(world, "ann", 11, 2_500);
  world.wake();
  await world.advance(500);
  assert.deepEqual(numbers(watcher.last), range(1, 2_500));
  assert.deepEqual(world.requests.slice(1).map(({ after }) => after).filter((after) => after > 10), [1_010, 2_010]);
});

test("a conversation that knows only pushes reads its newest page when it is opened", async () => {
  const world = new World();
  const chat = await online(world);
  numbered(world, "ann", 1, 80);
  world.write("ann", "81");
  await world.advance(100);
  assert.deepEqual(numbers(chat.with("ann").snapshot), [81]);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(200);
  assert.deepEqual(numbers(watcher.last), range(31, 81));
});

test("late events of a dropped connection change nothing", async () => {
  const world = new World();
  const chat = await online(world);
  const [old] = world.sockets;
  world.dead = true;
  world.wake();
  await world.advance(5_100);
  world.dead = false;
  await world.advance(2_000);
  assert.equal(chat.state.state, "online");
  const data = JSON.stringify({ type: "message", conversation_id: conversationId("me", "ann"), seq: 1, sender_id: "ann", receiver_id: "me", message: "x" });
  old.onopen({});
  old.onmessage({ data });
  old.onclose({ code: 1000 });
  await world.advance(10);
  assert.equal(chat.state.state, "online");
  assert.equal(chat.with("ann").snapshot.entries.length, 0);
});

test("a machine that slept probes its connection, and finds it dead within 5 s", async () => {
  const world = new World();
  const chat = await online(world);
  const states = [];
  chat.onState(({ state }) => states.push(state));
  world.dead = true;
  await world.sleep(3 * MINUTE);
  await world.sleep(3 * MINUTE);
  const pings = world.frames.filter(({ frame }) => frame.action === "ping").length;
  assert.ok(pings >= 1);
  await world.advance(5_100);
  assert.deepEqual(states.slice(0, 2), ["online", "waiting"]);
});

test("pushes that arrive while a page is being read are neither lost nor doubled", async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const world = new World(seed);
    const chat = await online(world);
    numbered(world, "ann", -5, 3);
    world.latency = [0, 60];
    const watcher = new Watcher(chat.with("ann"));
    for (let i = 0; i < 6; i++) {
      world.write("ann", "x");
      await world.advance(world.random() * 20);
    }
    await world.advance(1_000);
    assert.deepEqual(numbers(watcher.last), range(-5, 9));
    assert.equal(watcher.error, undefined);
  }
});

test("a lost last push is found within five minutes, and at once on wake-up", async () => {
  for (const wake of [false, true]) {
    const world = new World();
    const chat = await online(world);
    const watcher = new Watcher(chat.with("ann"));
    await world.advance(1_000);
    world.faults.losePush = 1;
    world.write("ann", "lost");
    if (wake) world.wake();
    await world.advance(wake ? 50 : 5 * MINUTE);
    assert.deepEqual(texts(watcher.last.entries), ["lost"], `wake: ${wake}`);
  }
});

test("messages that were missed while offline are read after reconnecting, in conversations that are not open too", async () => {
  const world = new World();
  const chat = await online(world);
  const peers = range(1, 9).map((i) => `peer${i}`);
  for (const peer of peers) world.write(peer, "1");
  await world.advance(3_000);
  world.open[0].end(1006);
  for (const peer of peers) world.write(peer, "2");
  let running = 0;
  let most = 0;
  const { fetch } = world;
  world.fetch = async (...args) => {
    most = Math.max(most, ++running);
    return fetch.apply(world, args).finally(() => running--);
  };
  await world.advance(5_000);
  for (const peer of peers) assert.equal(chat.with(peer).snapshot.unread, 2);
  assert.equal(most, 4);
});

test("older pages go back to the first message of the old system, and then no request is made", async () => {
  const world = new World();
  numbered(world, "ann", -119, 10);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(50);
  assert.deepEqual(numbers(watcher.last), range(-39, 10));
  const more = [];
  for (let i = 0; i < 3; i++) more.push((await settled(world, chat.with("ann").older(50))).more);
  assert.deepEqual(more, [true, false, false]);
  assert.deepEqual(numbers(watcher.last), range(-119, 10));
  assert.equal(watcher.last.more, false);
  assert.equal(world.requests.filter(({ after }) => after === undefined).length, 3);
  const all = [];
  for await (const message of paged(world, chat.with("ann").all())) all.push(message.seq);
  assert.deepEqual(all, range(-119, 10));
});

async function* paged(world, iterator) {
  for (;;) {
    const { value, done } = await settled(world, iterator.next());
    if (done) return;
    yield value;
  }
}

test("a page that cannot be read is requested again, and the snapshot has the error", async () => {
  const world = new World();
  numbered(world, "ann", 1, 3);
  const chat = await online(world);
  for (const [fault, code] of [["networkError", "network"], ["serverError", "unavailable"], ["nonsense", "bad_response"]]) {
    world.faults = { [fault]: 1 };
    const watcher = new Watcher(chat.with(fault === "networkError" ? "ann" : fault));
    await world.advance(10_000);
    assert.equal(watcher.last.error.code, code);
    await assert.rejects(settled(world, chat.with(watcher.conversation.peer).older()), { code });
    world.faults = {};
    await world.advance(31_000);
    assert.equal(watcher.last.error, undefined);
  }
  assert.deepEqual(numbers(chat.with("ann").snapshot), [1, 2, 3]);
});

test("a page with wrong or unordered messages is rejected", async () => {
  const world = new World();
  numbered(world, "ann", 1, 60);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  const { page } = world;
  for (const wrong of [(items) => [...items].reverse(), (items) => [items[0], ...items], (items) => items.map((m) => ({ ...m, seq: m.seq + 30 })), (items) => items.map((m) => ({ ...m, sender_id: "eve" }))]) {
    world.page = (request) => ({ items: wrong(page.call(world, request).items) });
    await assert.rejects(settled(world, chat.with("ann").older(20)), { code: "bad_response" });
  }
  world.page = page;
  await settled(world, chat.with("ann").older(20));
  assert.deepEqual(numbers(watcher.last), range(1, 60));
});

test("read marks never go back, own messages are never unread, and 1,000 marks cause one write in 2 s", async () => {
  const world = new World();
  numbered(world, "ann", 1, 50);
  const storage = memoryStorage();
  const written = [];
  const chat = await online(world, { storage: { ...storage, putConversation: async (row) => (written.push([world.time, row.read]), storage.putConversation(row)) } });
  const conversation = chat.with("ann");
  new Watcher(conversation);
  await world.advance(5_000);
  written.length = 0;
  conversation.send("own");
  await world.advance(5_000);
  assert.equal(conversation.snapshot.unread, 50);
  written.length = 0;
  const start = world.time;
  for (let i = 0; i < 1_000; i++) {
    conversation.markRead(1 + (i % 40));
    if (i % 100 === 99) await world.advance(300);
  }
  conversation.markRead(3);
  assert.equal(conversation.snapshot.read, 40);
  assert.equal(conversation.snapshot.unread, 10);
  assert.ok(written.length <= 2 + Math.floor((world.time - start) / 2_000), `${written}`);
  conversation.markRead(1_000);
  assert.equal(conversation.snapshot.read, 51);
  world.document.visibilityState = "hidden";
  world.wake();
  assert.equal(newest(written)[1], 51);
});

test("malformed frames change nothing", async () => {
  const world = new World();
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  const entry = chat.with("ann").send("a");
  const id = conversationId("me", "ann");
  const bad = [
    "", "{", "[]", "7", "null", "{}", '{"type":"receipt"}', '{"type":"message"}', '{"type":"ack"}', '{"type":"error"}',
    JSON.stringify({ type: "ack", client_message_id: entry.clientId, conversation_id: id, seq: "1" }),
    JSON.stringify({ type: "ack", client_message_id: entry.clientId, conversation_id: "group:x", seq: 1 }),
    JSON.stringify({ type: "message", conversation_id: id, seq: 1.5, sender_id: "ann", receiver_id: "me", message: "x" }),
    JSON.stringify({ type: "message", conversation_id: id, seq: 1, sender_id: "ann", receiver_id: "bob", message: "x" }),
    JSON.stringify({ type: "message", conversation_id: "direct:1:a:b", seq: 1, sender_id: "ann", receiver_id: "me", message: "x" }),
    JSON.stringify({ type: "message", conversation_id: id, seq: 1, sender_id: "ann", receiver_id: "me", message: { $ne: 1 } }),
    new ArrayBuffer(4),
  ];
  for (const data of bad) world.open[0].onmessage({ data });
  await world.advance(100);
  assert.equal(watcher.error ?? world.error, undefined);
  assert.deepEqual(watcher.last.entries.map((e) => [e.text, e.seq]), [["a", 1]]);
});

test("the peer types until twelve seconds have passed, or its message comes", async () => {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  const watcher = new Watcher(conversation);
  const types = (user_id, id = conversation.id) => world.open[0].push({ type: "typing", conversation_id: id, user_id });
  types("ann");
  await world.advance(1_000);
  assert.deepEqual(watcher.last.typing, ["ann"]);
  await world.advance(9_000);
  types("ann");
  await world.advance(11_000);
  assert.deepEqual(watcher.last.typing, ["ann"]);
  await world.advance(2_000);
  assert.deepEqual(watcher.last.typing, []);
  types("ann");
  await world.advance(1_000);
  world.write("ann", "done");
  await world.advance(1_000);
  assert.deepEqual([texts(watcher.last.entries), watcher.last.typing], [["done"], []]);
  for (const [user, id] of [["me"], ["ben"], ["ann", conversationId("me", "ben")], ["ann", 7], [7]]) types(user, id);
  await world.advance(1_000);
  assert.deepEqual(watcher.last.typing, []);
});

test("the peer is told every ten seconds that the user types, if it was heard of lately", async () => {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  new Watcher(conversation);
  const told = async (ms) => {
    const before = world.frames.length;
    for (let passed = 0; passed < ms; passed += 500) {
      conversation.typing();
      await world.advance(500);
    }
    const frames = world.frames.slice(before).map(({ frame }) => frame);
    for (const frame of frames) assert.deepEqual(frame, { action: "typing", receiver_id: "ann" });
    return frames.length;
  };
  assert.equal(await told(30_000), 0);
  world.write("ann", "hello");
  await world.advance(500);
  assert.equal(await told(30_000), 3);
  await settled(world, conversation.send("hi").done);
  assert.equal(await told(1_000), 1, "the next text is told of at once");
  await world.advance(6 * MINUTE);
  assert.equal(await told(10_000), 0, "it was not heard of for long");
});
