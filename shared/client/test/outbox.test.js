// The client with a driven clock: sending.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chatIn, MINUTE, newest, online, sends, settled, texts } from "./chats.js";
import { memoryStorage } from "./memory.js";
import { World } from "./world.js";

test("a message is shown before send() returns, even without a connection and before the storage is read", async () => {
  const world = new World();
  const chat = chatIn(world, { storage: { ...memoryStorage(), load: () => new Promise(() => {}) } });
  const conversation = chat.with("ann");
  const entry = conversation.send("hi");
  assert.equal(entry.state, "queued");
  assert.equal(conversation.snapshot.entries[0], entry);
  assert.ok(Object.isFrozen(entry) && Object.isFrozen(conversation.snapshot) && Object.isFrozen(conversation.snapshot.entries));
});

test("an empty or too long message is not sent, and the text that is sent is the text that is shown", async () => {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  const long = "ü".repeat(8_192);
  assert.deepEqual(["", `${long}a`].map((text) => [conversation.send(text).state, newest(conversation.snapshot.entries).error.code]), [["failed", "message_empty"], ["failed", "message_too_long"]]);
  conversation.send(long);
  conversation.send("half \ud83d, whole 😀, half \ude00");
  await world.advance(100);
  assert.deepEqual(texts(world.log("ann")), [long, "half \ufffd, whole 😀, half \ufffd"]);
  assert.deepEqual(texts(conversation.snapshot.entries.slice(0, 2)), texts(world.log("ann")));
});

test("numbered entries come first, then the outbox in the order of sending", async () => {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  world.dead = true;
  conversation.send("a");
  conversation.send("b");
  world.dead = false;
  world.write("ann", "c");
  await world.advance(20);
  assert.deepEqual(texts(conversation.snapshot.entries), ["c", "a", "b"]);
});

test("a conversation has one message in flight, and does not wait for another conversation", async () => {
  const world = new World();
  const chat = await online(world);
  world.latency = [100, 100];
  for (const peer of ["ann", "bob"]) for (const text of ["1", "2"]) chat.with(peer).send(text);
  await world.advance(50);
  assert.deepEqual(sends(world).map(({ frame }) => frame.receiver_id + frame.message), ["ann1", "bob1"]);
  await world.advance(200);
  assert.deepEqual(sends(world).map(({ frame }) => frame.receiver_id + frame.message), ["ann1", "bob1", "ann2", "bob2"]);
});

test("a message whose ack is late is sent again under its id, after 12 s and a response to a probe", async () => {
  const world = new World();
  const chat = await online(world);
  world.faults.loseAck = 1;
  const entry = chat.with("ann").send("a");
  await world.advance(11_000);
  world.faults.loseAck = 0;
  assert.equal(sends(world).length, 1);
  await world.advance(2_000);
  assert.equal((await settled(world, entry.done)).seq, 1);
  assert.deepEqual(sends(world).map(({ frame }) => frame.client_message_id), [entry.clientId, entry.clientId]);
  assert.equal(world.log("ann").length, 1);
});

test("rate_limited delays its conversation by exactly retry_after_ms, and no other conversation", async () => {
  const world = new World();
  const chat = await online(world);
  world.faults.rateLimit = 1;
  const held = chat.with("ann").send("a");
  await world.advance(9);
  world.faults.rateLimit = 0;
  chat.with("bob").send("b");
  await world.advance(2_000);
  const [first, other, again] = sends(world);
  assert.equal(other.frame.receiver_id, "bob");
  assert.equal(again.frame.client_message_id, held.clientId);
  assert.ok(Math.abs(again.time - (first.time + 10 + 1_500)) <= 1, `${again.time - first.time}`);
});

test("after unavailable a message is sent again with full jitter from 0.5 s to 30 s", async () => {
  const world = new World();
  const chat = await online(world);
  world.faults.unavailable = 1;
  chat.with("ann").send("a");
  await world.advance(10 * MINUTE);
  const times = sends(world).map(({ time }) => time);
  const waits = times.slice(1).map((time, i) => time - times[i] - 10);
  waits.forEach((wait, n) => assert.ok(wait >= -1 && wait <= Math.min(30_000, 500 * 2 ** n) + 1, `${n}: ${wait}`));
  assert.ok(waits.length > 20 && Math.max(...waits) > 15_000);
});

for (const [fault, cause] of [["throttle", "before the message is stored"], ["crash", "after it is stored"]]) {
  test(`after an error of API Gateway ${cause}, what is in flight on the connection is sent again with full jitter`, async () => {
    const world = new World();
    const chat = await online(world);
    world.faults[fault] = 1;
    const entries = ["ann", "bob"].map((peer) => chat.with(peer).send("a"));
    await world.advance(10 * MINUTE);
    for (const [i, peer] of ["ann", "bob"].entries()) {
      const times = sends(world).filter(({ frame }) => frame.receiver_id === peer).map(({ time }) => time);
      const waits = times.slice(1).map((time, n) => time - times[n]);
      // Another conversation's error, on the same connection, may come first.
      waits.forEach((wait, n) => assert.ok(wait <= Math.min(30_000, 500 * 2 ** n) + 11, `${n}: ${wait}`));
      assert.ok(waits.length > 20 && Math.max(...waits) > 15_000);
      assert.equal(entries[i].state, "queued");
    }
    world.faults = {};
    await world.advance(MINUTE);
    for (const peer of ["ann", "bob"]) assert.deepEqual(texts(world.log(peer)), ["a"]);
    assert.deepEqual((await Promise.all(entries.map(({ done }) => settled(world, done)))).map(({ seq }) => seq), [1, 1]);
    assert.equal(world.sockets.length, 1, "the connection stays");
  });
}

test("a rejected message fails, the next one is sent, and a retry goes to the end of the queue", async () => {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  const bad = conversation.send("fatal");
  await assert.rejects(settled(world, bad.done), { code: "invalid_frame", retryable: false });
  conversation.send("good");
  await world.advance(50);
  world.serve = (serve => function (socket, frame) { return serve.call(this, socket, { ...frame, message: frame.message?.replace("fatal", "mended") }); })(world.serve);
  newest(conversation.snapshot.entries).retry();
  assert.equal((await settled(world, newest(conversation.snapshot.entries).done)).seq, 2);
  assert.deepEqual(texts(world.log("ann")), ["good", "mended"]);
});

test("a queued message can be discarded, a message in flight cannot", async () => {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  const [first, second] = [conversation.send("1"), conversation.send("2")];
  await world.advance(1);
  first.discard();
  second.discard();
  await assert.rejects(second.done, { code: "discarded" });
  await world.advance(100);
  assert.deepEqual(texts(world.log("ann")), ["1"]);
  assert.deepEqual(texts(conversation.snapshot.entries), ["1"]);
});

test("a message fails after 24 h and can be retried, and a clock that jumps back fails nothing", async () => {
  const world = new World();
  const storage = memoryStorage();
  const chat = chatIn(world, { storage });
  const entry = chat.with("ann").send("a");
  await world.advance(24 * 60 * MINUTE - 1_000);
  world.wrongClock = -50 * 365 * 86_400_000;
  await world.advance(500);
  assert.equal(chat.with("ann").snapshot.entries[0].state, "queued");
  await world.advance(1_000);
  await assert.rejects(entry.done, { code: "expired" });
  chat.connect();
  await world.advance(100);
  assert.equal(world.log("ann").length, 0);
  chat.with("ann").snapshot.entries[0].retry();
  await world.advance(100);
  assert.deepEqual(texts(world.log("ann")), ["a"]);
});

test("a message that was queued before the clock jumped back is sent at the next start", async () => {
  const world = new World();
  const storage = memoryStorage();
  const before = chatIn(world, { storage });
  before.with("ann").send("a");
  await world.advance(10);
  await before.close();
  world.wrongClock = -50 * 365 * 86_400_000;
  const offline = chatIn(world, { storage });
  offline.with("ann").onChange(() => {});
  await world.advance(24 * 60 * MINUTE - 100);
  assert.equal(offline.with("ann").snapshot.entries[0].state, "queued");
  await offline.close();
  world.wrongClock -= 48 * 60 * MINUTE;
  await online(world, { storage });
  await world.advance(100);
  assert.deepEqual(texts(world.log("ann")), ["a"]);
});

test("a message with a time in the future expires too", async () => {
  const world = new World();
  const storage = memoryStorage();
  await storage.putRow({ clientId: "c", peer: "ann", text: "a", order: 1, created: 1e12, tab: "dead" });
  const chat = chatIn(world, { storage });
  chat.with("ann").onChange(() => {});
  await world.advance(24 * 60 * MINUTE + 100);
  assert.equal(chat.with("ann").snapshot.entries[0].error.code, "expired");
});

test("no message is sent before the storage has it", async () => {
  const world = new World();
  let stored;
  const chat = await online(world, { storage: { ...memoryStorage(), putRow: () => new Promise((resolve) => (stored = resolve)) } });
  chat.with("ann").send("a");
  await world.advance(1_000);
  assert.equal(sends(world).length, 0);
  stored();
  await world.advance(50);
  assert.equal(sends(world).length, 1);
});

test("messages of an earlier start are sent before new ones", async () => {
  const world = new World();
  const storage = memoryStorage();
  await storage.putRow({ clientId: "c", peer: "ann", text: "before", order: -5, created: 0, tab: "dead" });
  const chat = chatIn(world, { storage });
  chat.with("ann").send("now");
  chat.connect();
  await world.advance(500);
  assert.deepEqual(texts(world.log("ann")), ["before", "now"]);
});

test("a message that makes the server close the connection is not sent again", async () => {
  for (const code of [1003, 1009]) {
    const world = new World();
    const chat = await online(world);
    const entry = chat.with("ann").send("a");
    await world.advance(1);
    world.open[0].end(code);
    await assert.rejects(settled(world, entry.done), { code: "message_too_long" });
    await world.advance(MINUTE);
    assert.equal(sends(world).length, 1);
    assert.equal(chat.state.state, "online");
  }
});

test("an error with an unknown code is retried if the server says retryable", async () => {
  for (const retryable of [true, false]) {
    const world = new World();
    const chat = await online(world);
    const entry = chat.with("ann").send("a");
    await world.advance(1);
    world.open[0].onmessage({ data: JSON.stringify({ type: "error", code: "id_conflict", message: "m", client_message_id: entry.clientId, retryable }) });
    assert.equal(chat.with("ann").snapshot.entries[0].state, retryable ? "queued" : "failed");
  }
});
