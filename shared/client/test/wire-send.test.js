// The client on real sockets, against a server that fails on command: sending.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { ChatError } from "../src/index.js";
import { scenario, shown, texts } from "./clients.js";
import { memoryStorage } from "./memory.js";
import { seeded } from "./random.js";
import { times, until } from "./server.js";
import { wrap } from "./stand-ins.js";

scenario("1: send shows the entry before it returns, even offline and before the first connect", async (world) => {
  world.server.onHandshake = () => (open ? undefined : { status: 503 });
  let open = false;
  const ann = world.client("ann");
  const { talk } = ann.with("ben");
  const first = talk.send("before the first connect");
  assert.equal(first.state, "queued");
  assert.deepEqual(shown(talk), [first]);
  ann.chat.connect();
  await ann.until("waiting");
  const second = talk.send("offline");
  assert.deepEqual(shown(talk).map(({ key, state }) => [key, state]), [[first.key, "queued"], [second.key, "queued"]]);
  open = true;
  await ann.with("ben").shows(["before the first connect", "offline"]);
  assert.deepEqual(ann.with("ben").entries.map(({ key }) => key), [first.key, second.key]);
});

scenario("1: send shows the entry at once however slow the storage is", async (world) => {
  const slow = wrap(memoryStorage(), (_, call) => after(80).then(call));
  const ann = world.client("ann", { storage: slow });
  const entry = ann.with("ben").talk.send("hi");
  assert.deepEqual(shown(ann.with("ben").talk), [entry]);
  ann.chat.connect();
  await ann.with("ben").shows(["hi"]);
  assert.equal(ann.with("ben").entries[0].key, entry.key);
});

for (const pushFirst of [false, true]) {
  const when = pushFirst ? "the push to this tab comes before it" : "there is no push to this tab";
  scenario(`2: the ack turns the same entry to stored, and at no moment are there two or none (${when})`, async (world) => {
    world.server.onFrame = () => ({ pushFirst, ackDelay: 15, status: "stored" });
    const ann = await world.online("ann");
    const view = ann.with("ben");
    const entries = texts("hi", 5).map((text) => view.talk.send(text));
    const results = await Promise.all(entries.map(({ done }) => done));
    await view.shows(texts("hi", 5));
    assert.equal(results.length, 5);
    for (const { key, text, clientId } of entries) {
      const all = view.snapshots.map((snapshot) => snapshot.entries.filter((entry) => entry.text === text));
      const since = all.slice(all.findIndex(({ length }) => length > 0));
      assert.ok(since.every(({ length }) => length === 1), `${text}: ${since.map(({ length }) => length)}`);
      assert.ok(since.every(([entry]) => entry.key === key && entry.clientId === clientId), "the key stays");
      assert.equal(view.entry(text).state, "stored");
    }
  });
}

scenario("2: a message to oneself, whose push is on the same connection, is one entry", async (world) => {
  const ann = await world.online("ann");
  const view = ann.with("ann");
  await view.talk.send("note").done;
  await view.shows(["note"]);
  assert.equal(view.now.unread, 0);
});

scenario("2: a push of this tab's message tells as much as its ack", async (world) => {
  world.server.onFrame = (frame) => (frame.action === "sendMessage" ? { pushFirst: true, mute: true } : undefined);
  const ann = await world.online("ann", { timing: { ack: 60_000 } });
  const entry = ann.with("ben").talk.send("hi");
  await entry.done;
  await ann.with("ben").shows(["hi"]);
  assert.equal(world.server.sends("ann").length, 1);
});

scenario("3: an ack that is lost makes a resend under the same id, one entry and one message", async (world) => {
  const { server } = world;
  server.onFrame = times(1, { cut: "after" });
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  const { key, clientId, done } = view.talk.send("hi");
  await done;
  await view.shows(["hi"]);
  assert.deepEqual(server.sends("ann").map(({ frame }) => frame.client_message_id), [clientId, clientId]);
  assert.match(server.past.at(-1).sent.join(), /"duplicate":true/);
  assert.deepEqual([server.texts("ann", "ben"), view.entries[0].key], [["hi"], key]);
});

scenario("3: a server that takes the message and never answers is sent it again on the same connection", async (world) => {
  const { server } = world;
  server.onFrame = times(1, { mute: true });
  const ann = await world.online("ann", { timing: { ack: 100 } });
  await ann.with("ben").loaded();
  await ann.with("ben").talk.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  const [first, second] = server.sends("ann");
  assert.equal(first.frame.client_message_id, second.frame.client_message_id);
  assert.ok(second.at - first.at >= 99, "not before the timeout");
  assert.equal(server.past.length, 1, "the connection answers, so it stays");
  assert.ok(server.frames.some(({ frame }) => frame.action === "ping"), "that was probed");
  assert.deepEqual(server.texts("ann", "ben"), ["hi"]);
});

scenario("4: fifty sends over three cuts arrive in the order of sending", async (world) => {
  const { server } = world;
  const random = seeded(4);
  const cuts = new Map([[10, "before"], [25, "after"], [40, "before"]]);
  let count = 0;
  server.onFrame = (frame) => ({ delay: random() * 8, cut: frame.action === "sendMessage" ? cuts.get(++count) : undefined });
  const [ann, ben] = [await world.online("ann"), await world.online("ben")];
  const [view, other] = [ann.with("ben"), ben.with("ann")];
  const entries = texts("hi", 50).map((text) => view.talk.send(text));
  await Promise.all(entries.map(({ done }) => done));
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 50));
  await Promise.all([view.showsLog(), other.showsLog()]);
  assert.ok(server.past.length >= 5, "there were three cuts");
});

scenario("4: one message of a conversation is under way, and conversations do not wait for each other", async (world) => {
  const { server } = world;
  server.onFrame = (frame) => (frame.receiver_id === "ben" ? { stall: true } : undefined);
  const ann = await world.online("ann", { timing: { ack: 60_000 } });
  for (const text of texts("hi", 3)) ann.with("ben").talk.send(text);
  for (const text of texts("hi", 3)) ann.with("cat").talk.send(text);
  await ann.with("cat").shows(texts("hi", 3));
  assert.equal(server.sends("ann").filter(({ frame }) => frame.receiver_id === "ben").length, 1);
  assert.deepEqual(ann.with("ben").entries.map(({ state }) => state), ["sending", "queued", "queued"]);
});

for (const code of ["message_empty", "message_too_long", "invalid_frame", "invalid_user_id", "sender_mismatch"]) {
  scenario(`5: a fatal refusal (${code}) fails that one, the next goes on, and retry() sends it later in a new place`, async (world) => {
    const { server } = world;
    let refuse = true;
    server.onFrame = (frame) => (refuse && frame.message === "bad" ? { error: { code, retryable: false } } : undefined);
    const ann = await world.online("ann");
    const view = ann.with("ben");
    const [first, bad, second] = ["first", "bad", "second"].map((text) => view.talk.send(text));
    await assert.rejects(bad.done, (error) => error instanceof ChatError && error.code === code && !error.retryable);
    await Promise.all([first.done, second.done]);
    assert.deepEqual(server.texts("ann", "ben"), ["first", "second"]);
    await until(() => view.entry("bad").state === "failed", "the refused one is shown as failed");
    assert.equal(view.entry("bad").error.code, code);
    refuse = false;
    server.onFrame = () => ({ delay: 20 });
    const third = view.talk.send("third");
    view.entry("bad").retry();
    await until(() => view.entry("bad").state !== "failed", "it waits again");
    assert.deepEqual(view.texts, ["first", "second", "third", "bad"]);
    await view.entry("bad").done;
    await third.done;
    await view.shows(["first", "second", "third", "bad"]);
    assert.equal(view.entry("bad").key, bad.key);
    assert.equal(view.entry("bad").error, undefined);
  });
}

scenario("5: a failed message that is discarded is gone, and was never sent", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const long = view.talk.send("x".repeat(16_385));
  const empty = view.talk.send("");
  assert.deepEqual([long.state, long.error.code, empty.state, empty.error.code], ["failed", "message_too_long", "failed", "message_empty"]);
  await assert.rejects(long.done, { code: "message_too_long" });
  long.discard();
  empty.discard();
  await view.talk.send("after").done;
  await view.shows(["after"]);
  assert.equal(server.sends("ann").length, 1);
});

scenario("6: rate_limited waits exactly retry_after_ms, loses nothing, and holds no other conversation", async (world) => {
  const { server } = world;
  const limited = times(1, { error: { code: "rate_limited", retry_after_ms: 400, retryable: true } });
  server.onFrame = (frame) => (frame.receiver_id === "ben" ? limited() : undefined);
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const entries = texts("hi", 3).map((text) => view.talk.send(text));
  await until(() => server.sends("ann").length === 1, "the first is sent");
  const cat = ann.with("cat").talk.send("meow");
  await cat.done;
  assert.equal(server.texts("ann", "ben").length, 0, "the other conversation has not waited");
  await Promise.all(entries.map(({ done }) => done));
  await view.shows(texts("hi", 3));
  const [first, second] = server.sends("ann").filter(({ frame }) => frame.receiver_id === "ben");
  assert.equal(second.frame.client_message_id, first.frame.client_message_id);
  const wait = second.at - first.at;
  assert.ok(wait >= 399 && wait < 500, `it waited ${wait} ms`);
});

scenario("6: unavailable is tried again, under the same id and with pauses", async (world) => {
  const { server } = world;
  server.onFrame = times(4, { error: { code: "unavailable", retryable: true } });
  const ann = await world.online("ann", { timing: { sendBackoff: 40, backoffMax: 1_000 }, random: () => 0.999 });
  const entry = ann.with("ben").talk.send("hi");
  await entry.done;
  const sends = server.sends("ann");
  assert.deepEqual(new Set(sends.map(({ frame }) => frame.client_message_id)), new Set([entry.clientId]));
  const pauses = sends.slice(1).map(({ at }, index) => at - sends[index].at);
  [40, 80, 160, 320].forEach((expected, index) => {
    assert.ok(pauses[index] > expected - 5 && pauses[index] < expected + 60, `pauses of ${pauses} ms`);
  });
});

scenario("6: not_connected makes a new connection and loses nothing", async (world) => {
  const { server } = world;
  server.onFrame = times(1, { error: { code: "not_connected", retryable: true } });
  const ann = await world.online("ann");
  await ann.with("ben").talk.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  assert.equal(server.past.length, 2);
});
