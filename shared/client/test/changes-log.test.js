// The client with a driven clock: edits and deletes in pushes, in the history and in the list.

import assert from "node:assert/strict";
import { test } from "node:test";

import { conversationId } from "../src/id.js";
import { shown, shownOf, textsOf } from "./changes.js";
import { changeFrames, first, MINUTE, numbered, online, settled, texts, Watcher, withMessage } from "./chats.js";
import { World } from "./world.js";

const frameOf = (kind, seq, target, message) => JSON.stringify({ type: "entry", kind, conversation_id: conversationId("me", "ann"), seq, sender_id: "ann", receiver_id: "me", target_seq: target, message });

test("an edit that is older than the wording changes nothing, and a deleted text never comes back", async () => {
  const world = new World();
  numbered(world, "ann", 1, 1);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  const push = (...frame) => (world.open[0].onmessage({ data: frameOf(...frame) }), world.advance(0));
  await push("edit", 3, 1, "newer");
  await push("edit", 2, 1, "older");
  assert.deepEqual(shown(first(watcher)), { seq: 1, text: "newer", edited: true, deleted: false });
  await push("delete", 4, 1, "");
  await push("edit", 5, 1, "late");
  assert.deepEqual(shown(first(watcher)), { seq: 1, text: "", edited: false, deleted: true });
  assert.deepEqual([watcher.last.newest, watcher.last.unread, watcher.last.firstUnread], [5, 0, undefined]);
  assert.equal(world.requests.length, 1, "the numbers of changes are no gaps");
});

test("entries of an unknown kind count as numbers, in pushes and in the history", async () => {
  const world = new World();
  numbered(world, "ann", 1, 2);
  world.log("ann").push({ seq: 3, kind: "join", users: ["carl"], sender_id: "ann", timestamp: "" });
  numbered(world, "ann", 4, 4);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  world.open[0].onmessage({ data: frameOf("rename", 5, undefined, undefined) });
  world.open[0].onmessage({ data: JSON.stringify({ ...JSON.parse(frameOf("", 6)), type: "message", kind: undefined, message: "6" }) });
  await world.advance(MINUTE);
  assert.deepEqual(watcher.last.entries.map(({ seq }) => seq), [1, 2, 4, 6]);
  assert.deepEqual(world.requests.map(({ numbered, after }) => [numbered, after]), [[true, undefined]]);
});

test("a change that arrives before the page with its message is made when that comes", async () => {
  const world = new World();
  numbered(world, "ann", 1, 120);
  world.change("ann", "ann", { action: "editMessage", seq: 40, message: "40, edited" });
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  const before = structuredClone(world.page({ numbered: true, peer: "ann", before: watcher.last.entries[0].seq }));
  const { page } = world;
  // The server reads the page before the changes, and the response arrives after them.
  world.page = (request) => (request.before ? before : page.call(world, request));
  world.latency = [200, 200];
  const older = chat.with("ann").older(100);
  await world.advance(10);
  world.latency = [0, 0];
  world.change("ann", "ann", { action: "editMessage", seq: 40, message: "40, edited again" });
  world.change("ann", "ann", { action: "deleteMessage", seq: 41 });
  await world.advance(10);
  await settled(world, older);
  await world.advance(10);
  assert.deepEqual(watcher.last.entries.map(shown), textsOf(world.log("ann")).map(shownOf));
});

test("missed changes are read from the history, also if they are the last entries", async () => {
  const world = new World();
  numbered(world, "ann", 1, 3);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  world.faults.losePush = 1;
  world.change("ann", "ann", { action: "editMessage", seq: 1, message: "edited" });
  world.change("ann", "ann", { action: "deleteMessage", seq: 2 });
  world.wake();
  await world.advance(500);
  assert.deepEqual(watcher.last.entries.map(shown), textsOf(world.log("ann")).map(shownOf));
  world.requests.length = 0;
  await world.advance(4 * MINUTE);
  assert.equal(world.requests.length, 0, "nothing is missing any more");
});

for (const opened of [true, false]) {
  test(`a deleted message is not unread any more, and the list shows the one before (${opened ? "open" : "never opened"})`, async () => {
    const world = new World();
    numbered(world, "ann", 1, 3);
    const chat = await online(world);
    if (opened) new Watcher(chat.with("ann"));
    let list;
    chat.onConversations((now) => (list = now));
    await world.advance(100);
    assert.deepEqual([list.unread, list.conversations[0].last.text], [3, "3"]);
    world.change("ann", "ann", { action: "deleteMessage", seq: 3 });
    await world.advance(10);
    assert.deepEqual([list.unread, list.conversations[0].last.text], opened ? [2, "2"] : [3, ""]);
    await world.advance(2_000);
    assert.deepEqual([list.unread, list.conversations[0].last.text, list.conversations[0].last.deleted], [2, "2", false]);
    world.change("ann", "ann", { action: "editMessage", seq: 2, message: "second" });
    await world.advance(10);
    assert.deepEqual([list.unread, list.conversations[0].last.text, list.conversations[0].newest], [2, "second", 5]);
    for (const seq of [1, 2]) world.change("ann", "ann", { action: "deleteMessage", seq });
    await world.advance(2_000);
    assert.deepEqual([list.unread, list.conversations.length, list.conversations[0].last.deleted], [0, 1, true]);
  });
}

test("of many unread messages, a deleted one that the list has counted is not counted any more", async () => {
  const world = new World();
  numbered(world, "ann", 1, 80);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  assert.deepEqual([watcher.last.unread, watcher.last.entries.length], [80, 50]);
  const lists = world.features.asked("conversations").length;
  world.change("ann", "ann", { action: "deleteMessage", seq: 60 });
  await world.advance(50);
  assert.deepEqual([watcher.last.unread, world.features.asked("conversations").length], [79, lists]);
  world.change("ann", "ann", { action: "deleteMessage", seq: 10 });
  await world.advance(2_000);
  assert.deepEqual([watcher.last.unread, world.features.asked("conversations").length], [78, lists + 1], "only the server knows whether that was unread");
});

for (const [change, shown] of [[{ action: "deleteMessage", seq: 3 }, "2"], [{ action: "editMessage", seq: 3, message: "third" }, "third"]]) {
  test(`a list that was read before a change does not bring the text back (${change.action})`, async () => {
    const world = new World();
    numbered(world, "ann", 1, 3);
    const chat = await online(world);
    let list;
    const texts = [];
    chat.onConversations((now) => texts.push((list = now).conversations[0]?.last.text));
    await world.advance(5_000);
    // The server makes the response at once, and it arrives after the push.
    world.random = () => 0;
    world.latency = [500, 500];
    world.wake();
    await world.advance(0);
    world.latency = [5, 5];
    world.change("ann", "ann", change);
    await world.advance(100);
    texts.length = 0;
    await world.advance(500);
    assert.equal(world.features.asked("conversations").length, 2);
    await world.advance(5_000);
    assert.ok(!texts.includes("3"), texts.join());
    assert.equal(list.conversations[0].last.text, shown);
  });
}

test("with an older server the history is read by users after one rejection, and changes are unsupported", async () => {
  const world = new World();
  world.features.changes = false;
  for (const peer of ["ann", "bob"]) numbered(world, peer, 1, 60);
  const chat = await online(world);
  const conversation = chat.with("ann");
  const watcher = new Watcher(conversation);
  await world.advance(100);
  new Watcher(chat.with("bob"));
  await settled(world, conversation.older(20));
  await world.advance(100);
  assert.deepEqual(world.requests.map(({ numbered }) => numbered), [true, false, false, false]);
  assert.equal(conversation.canChange, false);
  const entry = await settled(world, conversation.send("a").done);
  await assert.rejects(conversation.edit(entry, "b"), { code: "unsupported" });
  await assert.rejects(conversation.remove(entry), { code: "unsupported" });
  assert.deepEqual([changeFrames(world), watcher.last.entries.at(-1).text], [[], "a"]);
  // The server is upgraded. A new connection finds out.
  world.features.changes = true;
  world.open[0].end(1001);
  await world.advance(10_000);
  assert.equal(conversation.canChange, true);
  await settled(world, conversation.edit(entry, "b"));
  assert.equal(watcher.last.entries.at(-1).text, "b");
});

test("an older server that is not known as such refuses a change, which is taken back", async () => {
  const world = new World();
  world.features.changes = false;
  const chat = await online(world);
  const entry = await settled(world, chat.with("ann").send("a").done);
  assert.equal(chat.with("ann").canChange, true);
  await assert.rejects(settled(world, chat.with("ann").edit(entry, "b")), { code: "unsupported" });
  assert.deepEqual(texts(chat.with("ann").snapshot.entries), ["a"]);
  assert.equal(changeFrames(world).length, 1);
});

test("all() has the newest wordings, and no changes", async () => {
  const { world, conversation, entry } = await withMessage("one");
  await settled(world, conversation.edit(entry, "first"));
  await settled(world, conversation.remove(await settled(world, conversation.send("two").done)));
  const all = async () => {
    const found = [];
    for await (const message of conversation.all()) found.push(message);
    return found;
  };
  const found = await settled(world, all());
  assert.deepEqual(found.map(({ text, edited, deleted }) => [text, edited, deleted]), [["first", true, false], ["", false, true]]);
  assert.deepEqual(Object.keys(found[0]).sort(), ["clientId", "deleted", "edited", "own", "sender", "seq", "text", "timestamp"]);
});
