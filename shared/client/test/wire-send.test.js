// The client on real WebSockets, against a server that fails on command: sending.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { ChatError } from "../src/index.js";
import { scenario, entriesOf, texts } from "./clients.js";
import { memoryStorage } from "./memory.js";
import { seeded } from "./random.js";
import { times, until } from "./server.js";
import { wrap } from "./stand-ins.js";

scenario("send() shows the entry before it returns, even offline and before the first connect()", async (world) => {
  world.server.onHandshake = () => (open ? undefined : { status: 503 });
  let open = false;
  const ann = world.client("ann");
  const { conversation } = ann.with("ben");
  const first = conversation.send("before the first connect");
  assert.equal(first.state, "queued");
  assert.deepEqual(entriesOf(conversation), [first]);
  ann.chat.connect();
  await ann.until("waiting");
  const second = conversation.send("offline");
  assert.deepEqual(entriesOf(conversation).map(({ key, state }) => [key, state]), [[first.key, "queued"], [second.key, "queued"]]);
  open = true;
  await ann.with("ben").shows(["before the first connect", "offline"]);
  assert.deepEqual(ann.with("ben").entries.map(({ key }) => key), [first.key, second.key]);
});

scenario("send() shows the entry at once, however slow the storage is", async (world) => {
  const slow = wrap(memoryStorage(), (_, call) => after(80).then(call));
  const ann = world.client("ann", { storage: slow });
  const entry = ann.with("ben").conversation.send("hi");
  assert.deepEqual(entriesOf(ann.with("ben").conversation), [entry]);
  ann.chat.connect();
  await ann.with("ben").shows(["hi"]);
  assert.equal(ann.with("ben").entries[0].key, entry.key);
});

for (const pushFirst of [false, true]) {
  const when = pushFirst ? "the push to this tab comes before it" : "there is no push to this tab";
  scenario(`the ack makes the same entry stored, and there is never none or a second one (${when})`, async (world) => {
    world.server.onFrame = () => ({ pushFirst, ackDelay: 15, status: "stored" });
    const ann = await world.online("ann");
    const view = ann.with("ben");
    const entries = texts("hi", 5).map((text) => view.conversation.send(text));
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

scenario("a message to oneself is one entry", async (world) => {
  const ann = await world.online("ann");
  const view = ann.with("ann");
  await view.conversation.send("note").done;
  await view.shows(["note"]);
  assert.equal(view.now.unread, 0);
});

scenario("a push of one's own message counts as its ack", async (world) => {
  world.server.onFrame = (frame) => (frame.action === "sendMessage" ? { pushFirst: true, noAck: true } : undefined);
  const ann = await world.online("ann", { timing: { ack: 60_000 } });
  const entry = ann.with("ben").conversation.send("hi");
  await entry.done;
  await ann.with("ben").shows(["hi"]);
  assert.equal(world.server.sends("ann").length, 1);
});

scenario("after a lost ack the message is sent again under the same id, and remains one entry and one message", async (world) => {
  const { server } = world;
  server.onFrame = times(1, { cut: "after" });
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  const { key, clientId, done } = view.conversation.send("hi");
  await done;
  await view.shows(["hi"]);
  assert.deepEqual(server.sends("ann").map(({ frame }) => frame.client_message_id), [clientId, clientId]);
  assert.match(server.allConnections.at(-1).sent.join(), /"duplicate":true/);
  assert.deepEqual([server.texts("ann", "ben"), view.entries[0].key], [["hi"], key]);
});

scenario("a message without an ack is sent again on the same connection", async (world) => {
  const { server } = world;
  server.onFrame = times(1, { noAck: true });
  const ann = await world.online("ann", { timing: { ack: 100 } });
  await ann.with("ben").loaded();
  // The timer starts when the frame leaves, which is before the server has it.
  const start = performance.now();
  await ann.with("ben").conversation.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  const [first, second] = server.sends("ann");
  assert.equal(first.frame.client_message_id, second.frame.client_message_id);
  assert.ok(second.at - start >= 99, "not before the timeout");
  assert.equal(server.allConnections.length, 1, "the connection responds, so it stays");
  assert.ok(server.frames.some(({ frame }) => frame.action === "ping"), "the connection was probed");
  assert.deepEqual(server.texts("ann", "ben"), ["hi"]);
});

scenario("50 messages over three cuts arrive in the order of sending", async (world) => {
  const { server } = world;
  const random = seeded(4);
  const cuts = new Map([[10, "before"], [25, "after"], [40, "before"]]);
  let count = 0;
  server.onFrame = (frame) => ({ delay: random() * 8, cut: frame.action === "sendMessage" ? cuts.get(++count) : undefined });
  const [ann, ben] = [await world.online("ann"), await world.online("ben")];
  const [view, other] = [ann.with("ben"), ben.with("ann")];
  const entries = texts("hi", 50).map((text) => view.conversation.send(text));
  await Promise.all(entries.map(({ done }) => done));
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 50));
  await Promise.all([view.showsLog(), other.showsLog()]);
  assert.ok(server.allConnections.length >= 5, "there were three cuts");
});

scenario("a conversation has one message in flight, and conversations do not wait for each other", async (world) => {
  const { server } = world;
  server.onFrame = (frame) => (frame.receiver_id === "ben" ? { stall: true } : undefined);
  const ann = await world.online("ann", { timing: { ack: 60_000 } });
  for (const text of texts("hi", 3)) ann.with("ben").conversation.send(text);
  for (const text of texts("hi", 3)) ann.with("cat").conversation.send(text);
  await ann.with("cat").shows(texts("hi", 3));
  assert.equal(server.sends("ann").filter(({ frame }) => frame.receiver_id === "ben").length, 1);
  assert.deepEqual(ann.with("ben").entries.map(({ state }) => state), ["sending", "queued", "queued"]);
});

for (const code of ["message_empty", "message_too_long", "invalid_frame", "invalid_user_id", "id_conflict", "sender_mismatch"]) {
  scenario(`a message that is rejected with ${code} fails, the next one is sent, and retry() sends it at the end`, async (world) => {
    const { server } = world;
    let reject = true;
    server.onFrame = (frame) => (reject && frame.message === "bad" ? { error: { code, retryable: false } } : undefined);
    const ann = await world.online("ann");
    const view = ann.with("ben");
    const [first, bad, second] = ["first", "bad", "second"].map((text) => view.conversation.send(text));
    await assert.rejects(bad.done, (error) => error instanceof ChatError && error.code === code && !error.retryable);
    await Promise.all([first.done, second.done]);
    assert.deepEqual(server.texts("ann", "ben"), ["first", "second"]);
    await until(() => view.entry("bad").state === "failed", "the rejected one is shown as failed");
    assert.equal(view.entry("bad").error.code, code);
    reject = false;
    server.onFrame = () => ({ delay: 20 });
    const third = view.conversation.send("third");
    view.entry("bad").retry();
    await until(() => view.entry("bad").state !== "failed", "it is queued again");
    assert.deepEqual(view.texts, ["first", "second", "third", "bad"]);
    await view.entry("bad").done;
    await third.done;
    await view.shows(["first", "second", "third", "bad"]);
    assert.equal(view.entry("bad").key, bad.key);
    assert.equal(view.entry("bad").error, undefined);
  });
}

scenario("a failed message that is discarded disappears, and was never sent", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const long = view.conversation.send("x".repeat(16_385));
  const empty = view.conversation.send("");
  assert.deepEqual([long.state, long.error.code, empty.state, empty.error.code], ["failed", "message_too_long", "failed", "message_empty"]);
  await assert.rejects(long.done, { code: "message_too_long" });
  long.discard();
  empty.discard();
  await view.conversation.send("after").done;
  await view.shows(["after"]);
  assert.equal(server.sends("ann").length, 1);
});

scenario("rate_limited delays its conversation by exactly retry_after_ms, and no other conversation", async (world) => {
  const { server } = world;
  const limited = times(1, { error: { code: "rate_limited", retry_after_ms: 400, retryable: true } });
  server.onFrame = (frame) => (frame.receiver_id === "ben" ? limited() : undefined);
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const entries = texts("hi", 3).map((text) => view.conversation.send(text));
  await until(() => server.sends("ann").length === 1, "the first is sent");
  const cat = ann.with("cat").conversation.send("meow");
  await cat.done;
  assert.equal(server.texts("ann", "ben").length, 0, "the other conversation was not delayed");
  await Promise.all(entries.map(({ done }) => done));
  await view.shows(texts("hi", 3));
  const [first, second] = server.sends("ann").filter(({ frame }) => frame.receiver_id === "ben");
  assert.equal(second.frame.client_message_id, first.frame.client_message_id);
  const wait = second.at - first.at;
  assert.ok(wait >= 399 && wait < 500, `the delay was ${wait} ms`);
});

scenario("after unavailable the message is sent again under the same id, with growing delays", async (world) => {
  const { server } = world;
  server.onFrame = times(4, { error: { code: "unavailable", retryable: true } });
  const ann = await world.online("ann", { timing: { sendBackoff: 40, backoffMax: 1_000 }, random: () => 0.999 });
  const entry = ann.with("ben").conversation.send("hi");
  await entry.done;
  const sends = server.sends("ann");
  assert.deepEqual(new Set(sends.map(({ frame }) => frame.client_message_id)), new Set([entry.clientId]));
  const pauses = sends.slice(1).map(({ at }, index) => at - sends[index].at);
  [40, 80, 160, 320].forEach((expected, index) => {
    assert.ok(pauses[index] > expected - 5 && pauses[index] < expected + 60, `delays of ${pauses} ms`);
  });
});

for (const message of ["Too Many Requests", "Internal server error", "Endpoint request timed out", "Forbidden"]) {
  scenario(`after API Gateway's error "${message}" the message is sent again under the same id, long before its ack is late`, async (world) => {
    const { server } = world;
    server.onFrame = times(3, { gatewayError: message });
    const ann = await world.online("ann", { timing: { ack: 60_000, pong: 60_000 } });
    const entry = ann.with("ben").conversation.send("hi");
    await entry.done;
    await ann.with("ben").shows(["hi"]);
    assert.deepEqual(server.sends("ann").map(({ frame }) => frame.client_message_id), Array(4).fill(entry.clientId));
    assert.deepEqual([server.texts("ann", "ben"), server.allConnections.length], [["hi"], 1]);
  });
}

scenario("a ping that API Gateway rejects proves that the connection works", async (world) => {
  const { server } = world;
  server.onFrame = ({ action }) => (action === "ping" ? { gatewayError: "Too Many Requests" } : undefined);
  const ann = await world.online("ann", { timing: { ping: 20, pong: 60 } });
  await until(() => server.frames.filter(({ frame }) => frame.action === "ping").length > 10, "pings are sent");
  await ann.with("ben").conversation.send("hi").done;
  assert.equal(server.allConnections.length, 1);
});

scenario("not_connected makes the client reconnect and loses nothing", async (world) => {
  const { server } = world;
  server.onFrame = times(1, { error: { code: "not_connected", retryable: true } });
  const ann = await world.online("ann");
  await ann.with("ben").conversation.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  assert.equal(server.allConnections.length, 2);
});
