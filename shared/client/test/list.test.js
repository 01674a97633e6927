// The client with a driven clock: the list of conversations, presence and settings.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chatIn, MINUTE, numbered, online, range, settled } from "./chats.js";
import { memoryStorage } from "./memory.js";
import { World } from "./world.js";

/** Returns a world with conversations, of which the last is the newest. */
function crowded(count) {
  const world = new World();
  for (const i of range(1, count)) {
    world.store(`peer${i}`, "me", `hello ${i}`, undefined);
    world.time += 1_000;
  }
  return world;
}

/** Returns a function that returns the list as it is shown. */
function shown(chat) {
  let list;
  chat.onConversations((now) => (list = now));
  return () => list;
}

const peers = (from, to) => range(from, to).reverse().map((i) => `peer${i}`);

test("the list shows the newest conversations with preview, time and unread messages, and reads older ones when asked", async () => {
  const world = crowded(120);
  world.store("peer7", "me", "x".repeat(300), undefined);
  const chat = await online(world);
  const list = shown(chat);
  assert.equal(list().more, true);
  assert.equal(list().conversations.length, 50);
  const [first, second] = list().conversations;
  assert.deepEqual([first.peer, first.unread, first.newest, first.last.text.length, first.last.own], ["peer7", 2, 2, 200, false]);
  assert.deepEqual([second.peer, second.last.text, second.last.timestamp], ["peer120", "hello 120", world.log("peer120")[0].timestamp]);
  assert.equal(list().unread, 51);
  assert.deepEqual(await settled(world, chat.moreConversations(50)), { more: true });
  assert.deepEqual(await settled(world, chat.moreConversations()), { more: false });
  assert.deepEqual(list().conversations.map(({ peer }) => peer), ["peer7", ...peers(1, 120).filter((peer) => peer !== "peer7")]);
  assert.deepEqual([list().more, list().unread], [false, 121]);
  const { length } = world.features.requests;
  assert.deepEqual(await settled(world, chat.moreConversations()), { more: false });
  assert.equal(world.features.requests.length, length);
});

test("the rows of conversations in which nothing has changed are the same objects", async () => {
  const world = crowded(3);
  const chat = await online(world);
  const list = shown(chat);
  await world.advance(1_000);
  const before = list().conversations;
  world.write("peer1", "again");
  await world.advance(100);
  const [first, ...others] = list().conversations;
  assert.deepEqual([first.peer, first.last.text, first.unread], ["peer1", "again", 2]);
  assert.ok(others.length === 2 && others.every((one, i) => one === before[i]));
});

test("conversations() yields the whole list page by page, each conversation once", async () => {
  const world = crowded(250);
  const chat = await online(world);
  const yielded = [];
  await settled(world, (async () => {
    for await (const { peer, unread } of chat.conversations()) {
      yielded.push([peer, unread]);
      // A conversation that moves to the top does not come again.
      if (peer === "peer200") world.write("peer10", "again");
    }
  })());
  assert.equal(new Set(yielded.map(([peer]) => peer)).size, yielded.length);
  assert.ok(yielded.length >= 249);
  assert.ok(yielded.every(([, unread]) => unread === 1));
});

test("after a reconnect the list is read again as far as before, and what has changed is read from the history", async () => {
  const world = crowded(120);
  const chat = await online(world);
  const list = shown(chat);
  await settled(world, chat.moreConversations(70));
  const conversation = chat.with("peer3");
  conversation.onChange(() => {});
  await world.advance(1_000);
  world.open[0].end(1006);
  for (const peer of ["peer3", "peer9"]) world.write(peer, "missed");
  const before = world.features.asked("conversations").length;
  world.requests.length = 0;
  await world.advance(5_000);
  assert.deepEqual(world.features.asked("conversations").slice(before).map(({ query }) => Number(query.limit)), [100, 50]);
  assert.deepEqual(list().conversations.slice(0, 2).map(({ peer, unread }) => [peer, unread]).sort(), [["peer3", 2], ["peer9", 2]]);
  assert.deepEqual(new Set(world.requests.map(({ peer }) => peer)), new Set(["peer3"]), "the others have nothing to be brought up to date");
  assert.equal(conversation.snapshot.entries.length, 2);
});

test("a list that cannot be read shows the error, and is read again with growing delays", async () => {
  const world = crowded(3);
  world.faults.serverError = 1;
  const chat = await online(world);
  const list = shown(chat);
  const older = chat.moreConversations();
  await assert.rejects(settled(world, older), { code: "unavailable" });
  assert.equal(list().error.code, "unavailable");
  await world.advance(5 * MINUTE);
  const { length } = world.features.asked("conversations");
  assert.ok(length >= 10 && length < 60, `${length} requests`);
  world.faults = {};
  await world.advance(MINUTE);
  assert.deepEqual([list().error, list().conversations.length], [undefined, 3]);
});

test("the list is shown from the storage before there is a connection", async () => {
  const storage = memoryStorage();
  const world = crowded(3);
  world.mark("peer2", "me", { read: 1 });
  const first = await online(world, { storage });
  await settled(world, first.close());
  const chat = chatIn(world, { storage });
  const list = shown(chat);
  await world.advance(10);
  assert.deepEqual(list().conversations.map(({ peer, unread, last }) => [peer, unread, last.text]), [
    ["peer3", 1, "hello 3"], ["peer2", 0, "hello 2"], ["peer1", 1, "hello 1"],
  ]);
});

test("rows that the library does not know are skipped, and a list that is none is an error", async () => {
  const world = crowded(2);
  const { respond } = world.features;
  let change = (items) => [{ conversation_id: "group:7", newest_seq: 3 }, null, 7, ...items];
  world.features.respond = function (...values) {
    const response = respond.apply(this, values);
    return { ...response, items: change(response.items) };
  };
  const chat = await online(world);
  const list = shown(chat);
  assert.deepEqual(list().conversations.map(({ peer }) => peer), peers(1, 2));
  change = () => ({ conversations: [] });
  world.wake();
  await world.advance(100);
  assert.equal(list().error.code, "bad_response");
  assert.equal(list().conversations.length, 2);
});

test("presence is asked for when the list is shown and every minute, while the page is visible", async () => {
  const world = crowded(3);
  world.features.here.add("peer2");
  const chat = await online(world);
  const asked = () => world.features.asked("presence").map(({ of }) => of);
  await world.advance(5 * MINUTE);
  assert.deepEqual(asked(), [], "nobody looks");
  const list = shown(chat);
  await world.advance(100);
  assert.deepEqual(asked(), [["peer3", "peer2", "peer1"]]);
  const [away, here] = list().conversations;
  assert.deepEqual([here.presence, away.presence], [{ online: true, lastSeen: undefined }, { online: false, lastSeen: "2026-11-29T11:00:00.000Z" }]);
  chat.with("new").onChange(() => {});
  await world.advance(100);
  assert.deepEqual(asked().slice(1), [["new"]]);
  world.features.here.add("peer3");
  await world.advance(MINUTE);
  assert.deepEqual(asked().slice(2), [["new", "peer3", "peer2", "peer1"]]);
  assert.equal(list().conversations[0].presence.online, true);
  world.document.visibilityState = "hidden";
  world.wake();
  await world.advance(10 * MINUTE);
  assert.equal(asked().length, 3);
  world.document.visibilityState = "visible";
  world.wake();
  await world.advance(100);
  assert.equal(asked().length, 4);
});

test("a frame of the peer makes it online", async () => {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  conversation.onChange(() => {});
  await world.advance(100);
  assert.equal(conversation.snapshot.presence.online, false);
  world.write("ann", "here");
  await world.advance(100);
  assert.equal(conversation.snapshot.presence.online, true);
  await world.advance(2 * MINUTE);
  assert.equal(conversation.snapshot.presence.online, false);
  world.mark("ann", "ann", { read: 1 });
  await world.advance(100);
  assert.equal(conversation.snapshot.presence.online, true);
});

test("a frame of a user who hides, or of a stranger, makes nobody online", async () => {
  const world = new World();
  world.features.hidden.add("ann");
  const chat = await online(world);
  const conversation = chat.with("ann");
  conversation.onChange(() => {});
  await world.advance(100);
  world.write("ann", "here");
  world.mark("ann", "ann", { read: 1 });
  await world.advance(100);
  assert.deepEqual(conversation.snapshot.presence, { online: false, lastSeen: undefined });
});

test("the peer is told that the user types only if it is online, or was heard of within five minutes", async () => {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  conversation.onChange(() => {});
  const typed = async () => {
    const { length } = world.frames;
    conversation.typing();
    await world.advance(11_000);
    return world.frames.slice(length).filter(({ frame }) => frame.action === "typing").length;
  };
  assert.equal(await typed(), 0);
  world.features.here.add("ann");
  await world.advance(MINUTE);
  assert.equal(await typed(), 1);
  world.features.here.clear();
  await world.advance(MINUTE);
  assert.equal(await typed(), 0);
  world.write("ann", "here");
  await world.advance(4 * MINUTE);
  assert.equal(await typed(), 1);
  await world.advance(2 * MINUTE);
  assert.equal(await typed(), 0);
});

test("at most 100 users are asked for, first those whose conversations are open", async () => {
  const world = crowded(130);
  const chat = await online(world);
  await settled(world, chat.moreConversations(100));
  chat.with("peer1").onChange(() => {});
  shown(chat);
  await world.advance(MINUTE + 1_000);
  const requests = world.features.asked("presence").map(({ of }) => of);
  assert.ok(requests.every((of) => of.length <= 100 && new Set(of).size === of.length));
  assert.deepEqual(requests.at(-1), ["peer1", ...peers(32, 130)]);
});

test("settings are read for the first listener, changed, and follow other devices", async () => {
  const world = new World();
  const chat = await online(world);
  assert.deepEqual([chat.settings, world.features.asked("settings").length], [undefined, 0]);
  const seen = [];
  const stop = chat.onSettings((settings) => seen.push(settings));
  await world.advance(100);
  assert.deepEqual(await settled(world, chat.setSettings({ receipts: false })), { receipts: false, presence: true });
  assert.deepEqual(world.features.settings("me"), { receipts: false, presence: true });
  world.open[0].push({ type: "settings", receipts: false, presence: false });
  world.open[0].push({ type: "settings", receipts: "yes" });
  await world.advance(100);
  assert.deepEqual(seen, [undefined, { receipts: true, presence: true }, { receipts: false, presence: true }, { receipts: false, presence: false }]);
  assert.equal(chat.settings, seen.at(-1));
  // Another device changes them while this one is away.
  world.open[0].end(1006);
  Object.assign(world.features.settings("me"), { receipts: true, presence: true });
  await world.advance(5_000);
  assert.deepEqual(seen.at(-1), { receipts: true, presence: true });
  stop();
  world.faults.networkError = 1;
  await assert.rejects(settled(world, chat.setSettings({ presence: false })), { code: "network" });
  await settled(world, chat.close());
  await assert.rejects(chat.setSettings({ presence: false }), { code: "closed" });
});
