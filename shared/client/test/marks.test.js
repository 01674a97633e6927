// The client with a driven clock: read and delivered marks, ticks, and unread messages.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chatIn, MINUTE, newest, numbered, online, range, settled } from "./chats.js";
import { memoryStorage } from "./memory.js";
import { World } from "./world.js";

/** Returns the marks that were sent: `[time, read, delivered]`. */
const sentMarks = (world) => world.frames.filter(({ frame }) => frame.action === "mark").map(({ time, frame }) => [time, frame.read, frame.delivered]);

/** Returns a world with a conversation that is open. */
async function opened(messages = 0, more = {}) {
  const world = new World();
  numbered(world, "ann", 1, messages);
  const chat = await online(world, more);
  const conversation = chat.with("ann");
  conversation.onChange(() => {});
  await world.advance(3_000);
  world.frames.length = 0;
  return { world, chat, conversation };
}

test("markRead a thousand times sends a frame every two seconds, and the last mark when the page is hidden", async () => {
  const { world, conversation } = await opened(1_000);
  const start = world.time;
  for (const seq of range(1, 1_000)) {
    conversation.markRead(seq);
    if (seq < 1_000) await world.advance(10);
  }
  const sent = sentMarks(world);
  assert.deepEqual(sent.map(([time]) => time - start), [0, 2_000, 4_000, 6_000, 8_000]);
  assert.ok(sent.every(([, read], i) => !i || read > sent[i - 1][1]));
  world.document.visibilityState = "hidden";
  world.wake();
  assert.deepEqual(newest(sentMarks(world)), [world.time, 1_000, undefined]);
  await world.advance(MINUTE);
  assert.equal(sentMarks(world).length, 6);
  assert.equal(world.marks("ann").read, 1_000);
});

test("the last mark goes out when the chat is closed", async () => {
  const { world, chat, conversation } = await opened(3);
  conversation.markRead(1);
  conversation.markRead(3);
  await world.advance(0);
  await settled(world, chat.close());
  assert.deepEqual(sentMarks(world).map(([, read]) => read), [1, 3]);
});

test("unread is what the server counts: after pushes, own messages, and marks of this and another device", async () => {
  const { world, conversation } = await opened(5);
  const expectUnread = async (count) => {
    await world.advance(100);
    assert.equal(world.unread("ann"), count);
    assert.equal(conversation.snapshot.unread, count);
  };
  await expectUnread(5);
  conversation.markRead(2);
  await expectUnread(3);
  world.write("ann", "6");
  await expectUnread(4);
  await settled(world, conversation.send("own").done);
  world.pushAll("ann", world.store("me", "ann", "of another device").message);
  await expectUnread(4);
  assert.equal(conversation.snapshot.firstUnread, 3);
  world.mark("ann", "me", { read: 5 });
  await expectUnread(1);
  world.mark("ann", "me", { read: 2 ** 53 - 1 });
  await expectUnread(0);
  assert.equal(conversation.snapshot.firstUnread, undefined);
  // A mark that arrives late changes nothing.
  world.open[0].push({ type: "receipt", conversation_id: conversation.id, user_id: "me", read: 3, delivered: 3, at: "" });
  await expectUnread(0);
});

test("a message that leaves the outbox an hour late marks nothing as read", async () => {
  const { world, conversation } = await opened(1);
  conversation.markRead();
  await world.advance(3_000);
  world.window.dispatchEvent(new Event("offline"));
  world.open[0].end(1006);
  const { done } = conversation.send("on my way");
  world.write("ann", "2");
  await world.advance(60 * MINUTE);
  world.window.dispatchEvent(new Event("online"));
  await settled(world, done);
  await world.advance(5_000);
  assert.deepEqual([world.marks("ann").read, conversation.snapshot.unread], [1, 1]);
});

test("the list counts the unread messages of a conversation that is not open, up to 100", async () => {
  const world = new World();
  numbered(world, "ann", 1, 300);
  numbered(world, "bob", 1, 40);
  world.mark("bob", "me", { read: 10 });
  const chat = await online(world);
  const unread = (peer) => chat.with(peer).snapshot.unread;
  assert.deepEqual([unread("ann"), unread("bob")], [100, 30]);
  world.write("bob", "41");
  world.write("ann", "301");
  await world.advance(100);
  assert.deepEqual([unread("ann"), unread("bob")], [100, 31]);
  // Another device has read some that are not known here.
  world.mark("ann", "me", { read: 290 });
  world.mark("bob", "me", { read: 35 });
  await world.advance(1_100);
  assert.deepEqual([unread("ann"), unread("bob")], [11, 6]);
  chat.with("ann").markRead();
  await world.advance(3_000);
  assert.deepEqual([unread("ann"), world.unread("ann"), world.marks("ann").read], [0, 0, 301]);
  assert.equal(world.requests.length, 0, "no history was read");
});

test("the first push of a conversation that is not in the list reads the list", async () => {
  const world = new World();
  const chat = await online(world);
  numbered(world, "ann", 1, 7);
  world.write("ann", "8");
  await world.advance(1_100);
  assert.equal(chat.with("ann").snapshot.unread, 8);
});

test("a message that arrives while the list is being read is counted once, whether the row counts it or not", async () => {
  for (const counted of [true, false]) {
    const world = new World();
    numbered(world, "ann", 1, 9);
    world.mark("ann", "me", { read: 5 });
    const chat = await online(world);
    const { respond } = world.features;
    world.features.respond = function (...values) {
      const response = respond.apply(this, values);
      // The server counts before or after the insert, and reads the newest number at the other time.
      if (values[1].pathname.endsWith("conversations")) response.items[0].unread += counted ? 1 : 0;
      world.features.respond = respond;
      return response;
    };
    world.wake();
    world.write("ann", "10");
    await world.advance(1_100);
    assert.equal(chat.with("ann").snapshot.unread, 5);
  }
});

test("frames let the list be read once a second at most", async () => {
  const world = new World();
  numbered(world, "ann", 1, 50);
  const chat = await online(world);
  const { length } = world.features.asked("conversations");
  for (const read of range(1, 40)) {
    world.mark("ann", "me", { read });
    await world.advance(100);
  }
  await world.advance(2_000);
  assert.ok(world.features.asked("conversations").length - length <= 5);
  assert.equal(chat.with("ann").snapshot.unread, 10);
});

test("in generated courses, unread is what the server counts after every step, whether the conversation is open or not", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const world = new World(seed);
    const number = (below) => Math.floor(world.random() * below);
    numbered(world, "ann", 1 - number(3), number(130));
    const chat = await online(world);
    const conversation = chat.with("ann");
    const steps = {
      write: () => world.write("ann", "hi"),
      // The push of the first one is lost.
      gap: () => (world.store("ann", "me", "lost", undefined), world.write("ann", "hi")),
      send: () => void conversation.send("own"),
      read: () => conversation.markRead(number(conversation.snapshot.newest + 2)),
      readElsewhere: () => world.mark("ann", "me", { read: number(world.log("ann").length + 2) }),
      open: () => void (world.random() < 0.2 && conversation.onChange(() => {})),
      wake: () => world.wake(),
    };
    const taken = [];
    for (let i = 0; i < 15; i++) {
      const name = Object.keys(steps)[number(7)];
      taken.push(name);
      steps[name]();
      await world.advance(3_500);
      assert.equal(conversation.snapshot.unread, world.unread("ann"), `seed ${seed}: ${taken}`);
    }
  }
});

test("messages of the old system are never unread", async () => {
  const world = new World();
  numbered(world, "ann", -9, 0);
  const chat = await online(world);
  chat.with("ann").onChange(() => {});
  await world.advance(100);
  const { unread, marksKnown, entries } = chat.with("ann").snapshot;
  assert.deepEqual([unread, marksKnown, entries.length], [0, true, 10]);
});

test("a mark that is lost with its connection, or refused, is sent again", async () => {
  const { world, conversation } = await opened(9);
  world.faults.cutBefore = 1;
  conversation.markRead(3);
  await world.advance(20);
  world.faults = {};
  await world.advance(5_000);
  assert.equal(world.marks("ann").read, 3);
  world.faults.rateLimit = 1;
  const start = world.time;
  conversation.markRead(5);
  await world.advance(1_000);
  conversation.markRead(6);
  world.faults = {};
  await world.advance(5_000);
  assert.equal(world.marks("ann").read, 6);
  assert.deepEqual(sentMarks(world).slice(-2).map(([time, read]) => [time - start, read]), [[0, 5], [1_510, 6]]);
});

test("marks that were set offline are sent at the next start", async () => {
  const storage = memoryStorage();
  const { world, chat, conversation } = await opened(9, { storage });
  world.window.dispatchEvent(new Event("offline"));
  world.open[0].end(1006);
  conversation.markRead(7);
  await settled(world, chat.close());
  assert.equal(world.marks("ann").read, 0);
  await online(world, { storage });
  await world.advance(100);
  assert.equal(world.marks("ann").read, 7);
});

test("what was read offline does not count, while the messages after it are not known yet", async () => {
  for (const [missed, unread] of [[2, 2], [300, 100]]) {
    const storage = memoryStorage();
    const { world, chat, conversation } = await opened(15, { storage });
    conversation.markRead(12);
    await world.advance(3_000);
    world.window.dispatchEvent(new Event("offline"));
    world.open[0].end(1006);
    conversation.markRead(15);
    await settled(world, chat.close());
    numbered(world, "ann", 16, 15 + missed);
    const { page } = world;
    world.page = () => ({ status: 503, items: [] });
    const again = await online(world, { storage });
    assert.deepEqual(again.with("ann").snapshot.unread, unread);
    world.page = page;
    await world.advance(MINUTE);
    assert.equal(again.with("ann").snapshot.unread, unread);
  }
});

test("delivered marks are sent for what came by catching up, not for pushes, and not for what is read", async () => {
  const { world, conversation } = await opened();
  world.write("ann", "1");
  await world.advance(10_000);
  assert.deepEqual(sentMarks(world), []);
  world.open[0].end(1006);
  world.write("ann", "2");
  world.write("bob", "hello");
  await world.advance(10_000);
  assert.deepEqual(sentMarks(world).map(([, ...marks]) => marks), [[undefined, 2], [undefined, 1]]);
  assert.deepEqual([world.marks("ann").delivered, world.marks("bob").delivered], [2, 1]);
  conversation.markRead();
  await world.advance(10_000);
  assert.equal(sentMarks(world).length, 3);
});

test("after an absence, the marks of many conversations are spread, while a read mark goes at once", async () => {
  const world = new World();
  for (const i of range(1, 40)) world.store(`peer${i}`, "me", "hello", undefined);
  const chat = await online(world);
  await world.advance(1_000);
  chat.with("peer40").markRead();
  await world.advance(20_000);
  const sent = sentMarks(world);
  assert.equal(sent.length, 40);
  const delivered = sent.filter(([, read]) => !read).map(([time]) => time);
  assert.ok(delivered.every((time, i) => !i || time - delivered[i - 1] === 250));
  assert.deepEqual(sent.filter(([, read]) => read).map(([time]) => time), [1_050]);
  assert.ok(range(1, 40).every((i) => world.marks(`peer${i}`).delivered === 1));
});

test("the ticks follow the marks of the peer, and never go back", async () => {
  const { world, conversation } = await opened();
  world.faults.loseAck = 0;
  const states = () => conversation.snapshot.entries.map(({ state }) => (state === "delivered" ? "stored" : state));
  for (const text of ["1", "2", "3"]) await settled(world, conversation.send(text).done);
  world.mark("ann", "ann", { read: 2, delivered: 3 });
  await world.advance(100);
  assert.deepEqual(conversation.snapshot.entries.map(({ state }) => state), ["read", "read", "delivered"]);
  const before = conversation.snapshot.entries;
  world.open[0].push({ type: "receipt", conversation_id: conversation.id, user_id: "ann", read: 1, delivered: 1, at: "" });
  await world.advance(100);
  assert.deepEqual(conversation.snapshot.entries, before);
  // The receipt overtakes the ack.
  world.faults.loseAck = 1;
  conversation.send("4");
  await world.advance(100);
  world.mark("ann", "ann", { read: 4 });
  await world.advance(MINUTE);
  world.faults = {};
  await world.advance(MINUTE);
  assert.deepEqual(states(), ["read", "read", "read", "read"]);
  const { readByPeer, deliveredToPeer } = conversation.snapshot;
  assert.deepEqual([readByPeer, deliveredToPeer], [4, 4]);
});

test("receipts that are lost come with the list", async () => {
  const { world, conversation } = await opened();
  await settled(world, conversation.send("1").done);
  world.faults.losePush = 1;
  world.mark("ann", "ann", { read: 1 });
  await world.advance(100);
  assert.notEqual(conversation.snapshot.entries[0].state, "read");
  await world.advance(6 * MINUTE);
  assert.equal(conversation.snapshot.entries[0].state, "read");
});

test("own messages need no mark", async () => {
  const { world, conversation } = await opened();
  await settled(world, conversation.send("1").done);
  conversation.markRead();
  await world.advance(5_000);
  assert.deepEqual(sentMarks(world), []);
});

test("marks are known once the list was read, also of a conversation far down in it", async () => {
  const world = new World();
  for (const i of range(1, 130)) world.store(`peer${i}`, "me", "hello", undefined), (world.time += 1_000);
  world.mark("peer1", "me", { read: 1 });
  const chat = chatIn(world);
  const conversation = chat.with("peer1");
  conversation.onChange(() => {});
  assert.equal(conversation.snapshot.marksKnown, false);
  chat.connect();
  await world.advance(500);
  assert.deepEqual([conversation.snapshot.marksKnown, conversation.snapshot.read, conversation.snapshot.unread], [true, 1, 0]);
  assert.equal(chat.with("nobody").snapshot.marksKnown, true, "the whole list was read");
});
