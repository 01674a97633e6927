// Muted conversations and blocked users.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chatIn, newest, numbers, online, sends, settled, texts, Watcher } from "./chats.js";
import { World } from "./world.js";

/** Returns an online chat with an open conversation with ann, in which she has written once. */
async function open() {
  const world = new World();
  const chat = await online(world);
  const conversation = chat.with("ann");
  const watcher = new Watcher(conversation);
  let list;
  chat.onConversations((now) => (list = now));
  world.write("ann", "before");
  await world.advance(2_000);
  return { world, chat, conversation, watcher, list: () => list };
}

test("a muted conversation says so in its snapshot and in the list, and its messages are unread as ever", async () => {
  const { world, conversation, watcher, list } = await open();
  assert.deepEqual([watcher.last.muted, list().conversations[0].muted], [false, false]);
  await settled(world, conversation.mute());
  world.write("ann", "more");
  await world.advance(100);
  assert.deepEqual([watcher.last.muted, watcher.last.unread], [true, 2]);
  assert.deepEqual([list().conversations[0].muted, list().unread], [true, 2]);
  await settled(world, conversation.unmute());
  assert.equal(watcher.last.muted, false);
});

test("what another device sets is heard by a frame, or by the list", async () => {
  const { world, conversation, watcher, chat } = await open();
  const told = world.features.change(conversation.id, "me", { muted: true, blocked: true }, 1);
  for (const socket of world.open) socket.push({ type: "conversation", ...told });
  await world.advance(100);
  assert.deepEqual([watcher.last.muted, watcher.last.blocked], [true, true]);
  world.features.change(conversation.id, "me", { muted: false, blocked: false }, 1);
  world.wake();
  await world.advance(2_000);
  assert.deepEqual([watcher.last.muted, watcher.last.blocked], [false, false]);
  await chat.close();
});

test("of a blocked user nothing is shown, also what was written meanwhile when the block has ended", async () => {
  const { world, chat, conversation, watcher, list } = await open();
  await settled(world, conversation.block());
  assert.equal(watcher.last.blocked, true);
  // A server pushes nothing more; these were on their way.
  world.write("ann", "withheld");
  for (const socket of world.open) socket.push({ type: "typing", conversation_id: conversation.id, user_id: "ann" });
  await world.advance(2_000);
  assert.deepEqual(texts(watcher.last.entries), ["before"]);
  assert.deepEqual([watcher.last.typing, list().conversations[0].last.text], [[], "before"]);
  const refused = conversation.send("hello?");
  await assert.rejects(refused.done, { code: "blocked", retryable: false });
  conversation.typing();
  await world.advance(20_000);
  assert.deepEqual([sends(world), world.frames.filter(({ frame }) => frame.action === "typing")], [[], []]);

  watcher.removed.add(refused.key);
  newest(watcher.last.entries).discard();
  world.store("ann", "me", "withheld too");
  await settled(world, conversation.unblock());
  world.write("ann", "after");
  await world.advance(2_000);
  assert.deepEqual(texts(watcher.last.entries), ["before", "after"]);
  assert.deepEqual([numbers(watcher.last), watcher.last.newest, watcher.last.unread], [[1, 4], 4, 2]);
  const read = [];
  const reading = (async () => {
    for await (const { text } of conversation.all()) read.push(text);
  })();
  await settled(world, reading);
  assert.deepEqual(read, ["before", "after"]);
  await chat.close();
});

test("a block is kept for the next start, and one that cannot be made rejects", async () => {
  const { world, chat, conversation, watcher } = await open();
  world.status = 400;
  await assert.rejects(settled(world, conversation.block()), { code: "bad_request" });
  world.status = 404;
  await assert.rejects(settled(world, conversation.block()), { code: "unsupported" });
  world.status = undefined;
  assert.equal(watcher.last.blocked, false);
  await settled(world, conversation.block());
  await chat.close();
  await assert.rejects(conversation.unblock(), { code: "closed" });
  const again = chatIn(world);
  const view = new Watcher(again.with("ann"));
  again.connect();
  await world.advance(2_000);
  assert.equal(view.last.blocked, true);
  await again.close();
});
