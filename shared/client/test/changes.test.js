// The client with a driven clock: edits and deletes of the user, and what is stored of them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { shown, shownOf, textsOf } from "./changes.js";
import { changeFrames, chatIn, first, MINUTE, online, sends, settled, texts, Watcher, withMessage } from "./chats.js";
import { memoryStorage } from "./memory.js";
import { World } from "./world.js";

test("an edit is shown at once, sent with the number of its message, and the entry keeps its key", async () => {
  const { world, conversation, watcher, entry } = await withMessage();
  const edited = conversation.edit(entry, "At 4PM? \ud83d");
  const [now] = conversation.snapshot.entries;
  assert.deepEqual([now.key, now.text, now.edited, now.state, now.change.state], [entry.key, "At 4PM? \ufffd", true, entry.state, "queued"]);
  await settled(world, edited);
  const [{ client_message_id, ...frame }] = changeFrames(world);
  assert.deepEqual(frame, { action: "editMessage", seq: 1, message: "At 4PM? \ufffd", receiver_id: "ann", after: 1 });
  assert.deepEqual([first(watcher).change, first(watcher).edited], [undefined, true]);
  assert.deepEqual(watcher.last.entries.map(shown), textsOf(world.log("ann")).map(shownOf));
  assert.equal(watcher.last.newest, 2);
  assert.equal(watcher.error, undefined);
  assert.notEqual(client_message_id, entry.clientId);
});

test("a deleted message stays in the entries, without its text", async () => {
  const { world, conversation, watcher, entry } = await withMessage();
  const done = conversation.remove(entry);
  assert.deepEqual(shown(conversation.snapshot.entries[0]), { seq: 1, text: "", edited: false, deleted: true });
  await settled(world, done);
  assert.deepEqual(changeFrames(world).map(({ action, seq, message }) => [action, seq, message]), [["deleteMessage", 1, undefined]]);
  assert.deepEqual(shown(first(watcher)), { seq: 1, text: "", edited: false, deleted: true });
  await assert.rejects(conversation.edit(first(watcher), "again"), { code: "message_not_found" });
  assert.equal(watcher.error, undefined);
});

test("a change that the server refuses for good is taken back, with the reason, and can be retried or discarded", async () => {
  const { world, conversation, watcher, entry } = await withMessage();
  for (const start of [() => conversation.edit(entry, "fatal"), () => first(watcher).change.retry()]) {
    const edited = start();
    await world.advance(50);
    if (edited) await assert.rejects(edited, { code: "unsupported" });
    const { text, edited: isEdited, change, state } = first(watcher);
    assert.deepEqual([text, isEdited, state, change.state, change.text, change.error.code], ["At 3PM?", false, entry.state, "failed", "fatal", "unsupported"]);
  }
  first(watcher).change.discard();
  await world.advance(0);
  assert.equal(first(watcher).change, undefined);
  conversation.edit(entry, "fatal");
  await world.advance(50);
  // A new change takes the place of one that has failed.
  await settled(world, conversation.edit(entry, "good"));
  assert.deepEqual([first(watcher).text, first(watcher).change], ["good", undefined]);
});

test("only own messages can be changed, and an edit is as long as a message", async () => {
  const { world, conversation, watcher } = await withMessage();
  world.write("ann", "theirs");
  await world.advance(50);
  const [mine, theirs] = watcher.last.entries;
  const before = world.frames.length;
  await assert.rejects(conversation.edit(theirs, "x"), { code: "forbidden" });
  await assert.rejects(conversation.remove(theirs), { code: "forbidden" });
  await assert.rejects(conversation.edit(mine, ""), { code: "message_empty" });
  await assert.rejects(conversation.edit(mine, "x".repeat(16_385)), { code: "message_too_long" });
  await assert.rejects(conversation.edit({ ...mine, key: "unknown" }, "x"), { code: "message_not_found" });
  assert.equal(world.frames.length, before);
});

test("a message that was never sent is changed where it waits", async () => {
  const world = new World();
  const chat = chatIn(world);
  const conversation = chat.with("ann");
  const [one, two] = [conversation.send("one"), conversation.send("two")];
  await conversation.edit(one, "first");
  await conversation.remove(two);
  assert.deepEqual(texts(conversation.snapshot.entries), ["first"]);
  chat.connect();
  await world.advance(100);
  assert.deepEqual(texts(textsOf(world.log("ann"))), ["first"]);
  assert.deepEqual([changeFrames(world), conversation.snapshot.entries[0].edited], [[], false]);
});

test("a change of a message in flight is sent when that is stored, also if its ack is lost and it is sent again", async () => {
  const { world, conversation, watcher } = await withMessage();
  world.faults.loseAck = 1;
  conversation.send("two");
  await world.advance(50);
  const [, two] = conversation.snapshot.entries;
  assert.equal(two.state, "sending");
  const done = conversation.edit(two, "second");
  assert.equal(conversation.snapshot.entries[1].text, "second");
  world.faults = {};
  assert.deepEqual(changeFrames(world), []);
  await settled(world, done);
  assert.deepEqual(sends(world).map(({ frame }) => frame.message), ["At 3PM?", "two", "two"], "under its id, the server may have the old text");
  assert.deepEqual(changeFrames(world).map(({ seq, message }) => [seq, message]), [[2, "second"]]);
  assert.deepEqual(watcher.last.entries.map(shown), textsOf(world.log("ann")).map(shownOf));
});

test("a message that is edited while it is being stored is sent when its new text is stored", async () => {
  const puts = [];
  const memory = memoryStorage();
  const storage = { ...memory, putRow: (row) => new Promise((resolve) => puts.push(() => resolve(memory.putRow(row)))) };
  const world = new World();
  const chat = await online(world, { storage });
  const conversation = chat.with("ann");
  const entry = conversation.send("one");
  await world.advance(10);
  conversation.edit(entry, "first");
  await world.advance(10);
  assert.equal(puts.length, 2);
  puts[0]();
  await world.advance(100);
  assert.deepEqual(sends(world), []);
  puts[1]();
  await world.advance(100);
  assert.deepEqual(sends(world).map(({ frame }) => frame.message), ["first"]);
});

test("a message that is discarded takes its changes with it", async () => {
  const storage = memoryStorage();
  const { world, conversation } = await withMessage("one", { storage });
  world.faults.unavailable = 1;
  conversation.send("two");
  await world.advance(20);
  const [, two] = conversation.snapshot.entries;
  assert.equal(two.state, "queued");
  const edited = conversation.edit(two, "second");
  conversation.snapshot.entries[1].discard();
  await assert.rejects(edited, { code: "discarded" });
  world.faults = {};
  await world.advance(MINUTE);
  assert.deepEqual([texts(conversation.snapshot.entries), await storage.adopt([], "another")], [["one"], []]);
});

test("a message that fails takes its changes with it", async () => {
  const { world, conversation, watcher } = await withMessage();
  world.latency = [500, 500];
  const [one, two] = [conversation.send("fatal 1"), conversation.send("fatal 2")];
  await world.advance(10);
  const edited = conversation.edit(one, "good");
  await world.advance(1_010);
  assert.equal(conversation.snapshot.entries[2].state, "sending");
  const removed = conversation.remove(two);
  watcher.removed.add(two.key);
  await world.advance(5_000);
  await Promise.all([edited, removed]);
  assert.deepEqual(watcher.last.entries.map(({ text, error }) => [text, error?.code]), [["At 3PM?", undefined], ["good", "invalid_frame"]]);
  watcher.last.entries[1].retry();
  await world.advance(5_000);
  assert.deepEqual(texts(textsOf(world.log("ann"))), ["At 3PM?", "good"]);
  assert.deepEqual(changeFrames(world), []);
});

test("a failed change of a message is gone when the message is deleted elsewhere", async () => {
  const { world, conversation, watcher, entry } = await withMessage();
  await assert.rejects(settled(world, conversation.edit(entry, "fatal")));
  assert.equal(first(watcher).change.state, "failed");
  world.change("ann", "me", { action: "deleteMessage", seq: 1 });
  await world.advance(50);
  assert.deepEqual([first(watcher).deleted, first(watcher).change], [true, undefined]);
});

test("changes that are queued when the program dies are made at the next start, once and in order", async () => {
  const storage = memoryStorage();
  const { world, chat, conversation, entry } = await withMessage("one", { storage });
  world.dead = true;
  const two = conversation.send("two");
  await world.advance(10);
  conversation.edit(entry, "first");
  conversation.edit(two, "second");
  conversation.edit(two, "the second");
  await world.advance(10);
  assert.deepEqual(texts(conversation.snapshot.entries), ["first", "the second"]);
  await chat.close();
  world.dead = false;
  const next = chatIn(world, { storage });
  const watcher = new Watcher(next.with("ann"));
  await world.advance(10);
  assert.deepEqual(texts(watcher.last.entries), ["first", "the second"]);
  next.connect();
  await world.advance(1_000);
  assert.deepEqual(watcher.last.entries.map(shown), textsOf(world.log("ann")).map(shownOf));
  assert.deepEqual(texts(world.log("ann").filter(({ kind }) => kind)), ["first", "second", "the second"]);
  assert.deepEqual(await storage.adopt([], "another"), []);
});

test("a change whose message is not known any more is dropped, and holds nothing up", async () => {
  const storage = memoryStorage();
  const row = { clientId: "c", change: { kind: "edit", target: "gone", peer: "ann" }, text: "x", order: 1, created: 0, tab: "dead" };
  await storage.putRow(row);
  await storage.putRow({ clientId: "m", peer: "ann", text: "after it", order: 2, created: 0, tab: "dead" });
  const world = new World();
  await online(world, { storage });
  await world.advance(100);
  assert.deepEqual([texts(world.log("ann")), changeFrames(world), await storage.adopt([], "another")], [["after it"], [], []]);
});

test("nothing that is stored has the text of a deleted message", async () => {
  const rows = new Map();
  const storage = { ...memoryStorage(), putConversation: async (row) => void rows.set(row.id, structuredClone(row)) };
  const world = new World();
  for (const peer of ["ann", "bob"]) for (const text of ["before", "secret"]) world.store(peer, "me", `${text} of ${peer}`);
  const chat = await online(world, { storage });
  new Watcher(chat.with("ann"));
  const entry = await settled(world, chat.with("ann").send("own secret").done);
  await world.advance(5_000);
  assert.match(JSON.stringify([...rows.values()]), /secret of ann.*own secret.*secret of bob|secret of bob.*secret of ann.*own secret/);
  world.faults.losePush = 1;
  world.change("ann", "ann", { action: "deleteMessage", seq: 2 });
  world.faults.losePush = 0;
  world.change("bob", "bob", { action: "deleteMessage", seq: 2 });
  await settled(world, chat.with("ann").remove(entry));
  await world.advance(5_000);
  await chat.close();
  assert.doesNotMatch(JSON.stringify([...rows.values()]), /secret/);
  assert.match(JSON.stringify([...rows.values()]), /before of ann/);
});

test("what a program that knew no changes has stored is read again", async () => {
  const storage = memoryStorage();
  const { world, chat } = await withMessage("old wording", { storage });
  await world.advance(5_000);
  await chat.close();
  const [{ changed, ...row }] = await storage.load();
  assert.equal(changed, true);
  world.change("ann", "me", { action: "editMessage", seq: 1, message: "new wording" });
  // It has ignored the change and counted its number.
  await storage.putConversation({ ...row, high: 2 });
  const next = chatIn(world, { storage });
  const watcher = new Watcher(next.with("ann"));
  next.connect();
  await world.advance(1_000);
  assert.deepEqual(watcher.last.entries.map(shown), textsOf(world.log("ann")).map(shownOf));
});

test("a program that knows no changes does not send a stored change as a message", async () => {
  const storage = memoryStorage();
  const { world, chat, conversation, entry } = await withMessage("one", { storage });
  world.dead = true;
  conversation.edit(entry, "two");
  await world.advance(10);
  await chat.close();
  const [row] = await storage.adopt([], "another");
  // Its conversation is that with `row.peer`, which is no user.
  assert.deepEqual([row.peer, row.text, row.change], [undefined, "two", { kind: "edit", target: 1, peer: "ann" }]);
});
