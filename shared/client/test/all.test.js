// All messages of all conversations.

import assert from "node:assert/strict";
import { test } from "node:test";

import { numbered, online, settled } from "./chats.js";
import { World } from "./world.js";

const PEERS = ["ann", "ben", "cleo"];

/** Returns an online chat with three conversations and a group, of which none is open. */
async function begin() {
  const world = new World();
  for (const [index, peer] of PEERS.entries()) numbered(world, peer, 1, 3 + index * 2);
  const group = world.createGroup("ann", "t", ["me"]);
  world.act(group, "ann", { action: "sendMessage", message: "in the group" });
  return { world, chat: await online(world), group };
}

/** Reads up to `limit` messages. */
async function read(world, messages, limit = Infinity) {
  const all = [];
  const reading = (async () => {
    for await (const message of messages) if (all.push(message) >= limit) return;
  })();
  await settled(world, reading);
  return all;
}

const places = (messages) => messages.map(({ conversation, seq }) => `${conversation.id} ${seq}`);

test("all() reads every message of every conversation once, and what has changed a group", async () => {
  const { world, chat, group } = await begin();
  const all = await read(world, chat.all());
  const expected = PEERS.flatMap((peer) => world.log(peer).map(({ seq }) => `${world.id(peer)} ${seq}`));
  assert.deepEqual(places(all).sort(), [...expected, `${group} 1`, `${group} 2`].sort());
  const { conversation, text, sender } = all.at(-1);
  assert.deepEqual([conversation, text, sender], [{ id: group, peer: "", title: "t" }, "in the group", "ann"]);
  await chat.close();
});

test("all() goes on after any message, with the rest and nothing twice", async () => {
  const { world, chat } = await begin();
  const all = await read(world, chat.all());
  for (const [index, { cursor }] of all.entries()) {
    const rest = await read(world, chat.all({ cursor }));
    assert.deepEqual(places(rest), places(all.slice(index + 1)), cursor);
  }
  await chat.close();
});

test("all() keeps one page in memory, and reads no further than it is asked", async () => {
  const { world, chat } = await begin();
  numbered(world, "zoe", 1, 2_500);
  const pages = () => world.requests.filter(({ peer }) => peer === "zoe").length;
  const before = pages();
  const messages = chat.all({ cursor: `0 ${world.id("zoe")}` });
  assert.equal((await settled(world, messages.next())).value.seq, 1);
  assert.equal(pages() - before, 1);
  await read(world, messages, 1_001);
  assert.equal(pages() - before, 2);
  await chat.close();
});

test("all() waits as long as the server asks for, however often", async () => {
  const { world, chat } = await begin();
  const all = await read(world, chat.all());
  let refused = 0;
  world.limit = () => (refused++ % 8 < 7 ? { status: 429, retryAfter: 1 } : undefined);
  const start = world.time;
  assert.deepEqual(places(await read(world, chat.all())), places(all));
  // Four conversations and the list, seven refusals each.
  assert.ok(refused >= 40 && world.time - start >= 35 * 1_000, `${refused} requests`);
  await chat.close();
});

test("all() rejects after some failures, and when the chat is closed", async () => {
  const { world, chat } = await begin();
  world.status = 503;
  await assert.rejects(settled(world, chat.all().next()), { code: "unavailable" });
  world.status = 400;
  await assert.rejects(settled(world, chat.all().next()), { code: "bad_request" });
  world.status = undefined;
  world.limit = () => ({ status: 429, retryAfter: 3_600 });
  const next = chat.all().next();
  next.catch(() => {});
  await world.advance(1_000);
  await chat.close();
  await assert.rejects(next, { code: "unavailable" });
  assert.equal(world.clientTimers, 0);
});
