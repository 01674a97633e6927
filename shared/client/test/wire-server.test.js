// The client on real WebSockets, against a server that fails on command: servers and clocks that conversation nonsense.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { ChatError } from "../src/index.js";
import { scenario } from "./clients.js";
import { seeded } from "./random.js";
import { token, until } from "./server.js";

/** Returns frames that a server must not send. */
function malformedFrames(conversation) {
  const message = { type: "message", message_id: "f", conversation_id: conversation.id, seq: 3, sender_id: "ben", receiver_id: "ann", message: "forged", timestamp: "2026-11-22T11:15:03.123Z" };
  const ack = { type: "ack", client_message_id: "no such", message_id: "f", conversation_id: conversation.id, seq: 9, timestamp: "2026-11-22T11:15:03.123Z", status: "stored", duplicate: false };
  return [
    ...["", " ", "no JSON", "{", "[]", "null", "7", '"text"', "true", "\0", "[".repeat(10_000), '{"type":7}', '{"type":null}', '{"type":"__proto__"}', '{"type":"toString"}', "{}"],
    '{"message":"Internal server error","connectionId":"abc=","requestId":"def="}',
    ...[{ seq: "3" }, { seq: 3.5 }, { seq: null }, { seq: 1e300 }, { seq: undefined }, { sender_id: 7 }, { sender_id: undefined }, { receiver_id: "eve" }, { sender_id: "eve" }, { message: 7 }, { message: null }, { message: { $gt: "" } }, { conversation_id: "direct:3:ann:cat" }, { conversation_id: 7 }, { sender_id: "\n" }].map((fields) => ({ ...message, ...fields })),
    ...[{}, { client_message_id: 7 }, { conversation_id: undefined }, { conversation_id: "__proto__" }, { seq: "9" }, { seq: NaN }, { status: 7 }].map((fields) => ({ ...ack, ...fields })),
    ...[{}, { code: 7 }, { code: "no_such_code" }, { code: "rate_limited" }, { code: "rate_limited", retry_after_ms: "soon" }, { code: "unavailable", client_message_id: "no such" }, { code: "message_empty", client_message_id: { a: 1 } }].map((fields) => ({ type: "error", ...fields })),
    { type: "pong" },
    { type: "pong", timestamp: 7 },
  ];
}

scenario("malformed frames of the server change nothing, and the connection stays", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  server.post("ben", "ann", "one");
  await view.conversation.send("two").done;
  for (const frame of malformedFrames(view.conversation)) server.sendRaw("ann", frame);
  server.connectionsOf("ann")[0].ws.send(Buffer.from([0xff, 0xfe, 0]), { binary: true });
  await view.conversation.send("three").done;
  await view.shows(["one", "two", "three"]);
  assert.equal(server.allConnections.length, 1);
  assert.deepEqual(ann.chat.with("ben").peer, "ben");
  const errors = ann.logs.filter(([level]) => level === "error");
  assert.deepEqual(errors, [], "the client logs no errors");
});

scenario("a malformed ack is ignored, and the message is sent again until an ack arrives", async (world) => {
  const { server } = world;
  const ann = await world.online("ann", { timing: { ack: 60 } });
  const view = await ann.with("ben").loaded();
  const frames = malformedFrames(view.conversation);
  server.onFrame = (frame) => (frame.action === "sendMessage" && frames.length ? { response: frames.splice(0, 6).map((f) => (typeof f === "string" ? f : JSON.stringify(f))).join("") } : undefined);
  await view.conversation.send("hi").done;
  await view.shows(["hi"]);
  assert.deepEqual(server.texts("ann", "ben"), ["hi"]);
});

scenario("an ack with the number of another message is ignored", async (world) => {
  const { server } = world;
  server.post("ben", "ann", "one");
  const ann = await world.online("ann", { timing: { ack: 100 } });
  const view = await ann.with("ben").loaded();
  let wrong = true;
  server.onFrame = (frame, { user }) => {
    if (frame.action !== "sendMessage" || !wrong) return undefined;
    wrong = false;
    const { client_message_id } = frame;
    return { response: { type: "ack", client_message_id, message_id: "f", conversation_id: view.conversation.id, seq: 1, timestamp: "x", status: "stored", duplicate: false, user } };
  };
  await view.conversation.send("two").done;
  await view.shows(["one", "two"]);
});

const HISTORIES = {
  "no JSON": "no JSON",
  nothing: "",
  "an object": "{}",
  null: "null",
  "a list of nonsense": '[1,null,"a",[]]',
  "numbers that are none": '[{"seq":"1","sender_id":"ben","receiver_id":"ann","message":"forged","timestamp":""}]',
  "messages of others": '[{"seq":1,"sender_id":"eve","receiver_id":"dan","message":"forged","timestamp":""}]',
  "texts that are none": '[{"seq":1,"sender_id":"ben","receiver_id":"ann","message":{},"timestamp":""}]',
  "numbers that go back": '[{"seq":2,"sender_id":"ben","receiver_id":"ann","message":"forged","timestamp":""},{"seq":1,"sender_id":"ben","receiver_id":"ann","message":"forged","timestamp":""}]',
};

for (const [what, body] of Object.entries(HISTORIES)) {
  scenario(`a history response with ${what} is an error in the snapshot, and is requested again`, async (world) => {
    const { server } = world;
    server.post("ben", "ann", "one");
    let bad = true;
    server.onHistory = () => (bad ? { body } : undefined);
    const ann = await world.online("ann");
    const view = ann.with("ben");
    await until(() => view.now.error, "the snapshot has the error");
    assert.equal(view.now.error.code, "bad_response");
    assert.deepEqual(view.texts, []);
    await view.conversation.send("two").done;
    bad = false;
    await view.shows(["one", "two"]);
    assert.equal(view.now.error, undefined);
  });
}

for (const [what, fault, code] of [
  ["500", { status: 500 }, /^unavailable$/],
  ["503", { status: 503 }, /^unavailable$/],
  ["429", { status: 429 }, /^unavailable$/],
  ["nothing, and breaks", { cut: true }, /^network$/],
  ["nothing at all", { hang: true }, /^network$|timeout/],
]) {
  scenario(`a history that responds with ${what} is requested again, while messages work`, async (world) => {
    const { server } = world;
    server.post("ben", "ann", "one");
    let bad = true;
    server.onHistory = () => (bad ? fault : undefined);
    const ann = await world.online("ann", { timing: { request: 150 } });
    const view = ann.with("ben");
    await until(() => view.now.error, "the snapshot has the error");
    assert.match(view.now.error.code, code);
    assert.equal(view.now.error.retryable, true);
    await view.conversation.send("two").done;
    await assert.rejects(view.conversation.older(), (error) => error instanceof ChatError);
    bad = false;
    await view.shows(["one", "two"]);
    assert.ok(server.requests.length >= 2 && server.requests.length < 40, `${server.requests.length} requests`);
  });
}

scenario("a history that responds with 403 shows in the state, and is not requested again and again", { withAuth: true }, async (world) => {
  const { server } = world;
  const ann = world.client("ann", { token: async () => token("eve") });
  ann.with("ben");
  ann.chat.connect();
  await until(() => ann.chat.state.error ?? ann.with("ben").now.error, "there is an error");
  assert.equal((ann.chat.state.error ?? ann.with("ben").now.error).code, "forbidden");
  await after(250);
  assert.ok(server.requests.length <= 3, `${server.requests.length} requests`);
});

scenario("a slow history delays nothing else", async (world) => {
  const { server } = world;
  server.post("ben", "ann", "one");
  server.onHistory = () => ({ delay: 300 });
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const start = performance.now();
  await view.conversation.send("two").done;
  assert.ok(performance.now() - start < 250, "the message was not delayed");
  server.post("ben", "ann", "three");
  await until(() => view.texts.includes("three"), "the push was not delayed", 200).catch(() => {});
  await view.shows(["one", "two", "three"]);
});

scenario("handshakes that are slow, hang or fail are tried again", async (world) => {
  const { server } = world;
  const faults = [{ hang: true }, { status: 500 }, { delay: 400 }, { status: 403 }, { hang: true }];
  server.onHandshake = () => faults.shift();
  const ann = await world.online("ann", { timing: { connect: 150 } });
  await ann.with("ben").conversation.send("hi").done;
  assert.equal(server.handshakes.length, 6);
});

scenario("after a server outage the client reconnects, and nothing is lost", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  const { port } = server;
  await server.stop();
  const entries = ["one", "two"].map((text) => view.conversation.send(text));
  await ann.until("waiting");
  await after(200);
  await server.listen(port);
  await Promise.all(entries.map(({ done }) => done));
  await view.showsLog();
});

const CLOCKS = {
  "in 1970": () => (ms) => ms - 1_700_000_000_000,
  "in 2099": () => (ms) => ms + 2_300_000_000_000,
  "back by a year in the middle": (start) => (ms) => (ms - start > 300 ? ms - 365 * 86_400_000 : ms),
  "ahead by an hour in the middle": (start) => (ms) => (ms - start > 300 ? ms + 3_600_000 : ms),
  "jumping by minutes, ten times a second": () => (ms) => ms + seeded(Math.floor(ms / 100))() * 10 * 60_000,
};

for (const [what, clock] of Object.entries(CLOCKS)) {
  scenario(`with a clock that is ${what}, messages are sent and received in order, without a storm of requests`, { withAuth: true }, async (world) => {
    const { server } = world;
    const shift = clock(Date.now());
    const now = () => shift(Date.now());
    const random = seeded(2);
    server.onFrame = () => ({ delay: random() * 5 });
    let calls = 0;
    const callback = async () => (calls++, token("ann"));
    const ann = await world.online("ann", { now, token: callback });
    const ben = await world.online("ben", { token: async () => token("ben") });
    const [view, other] = [ann.with("ben"), ben.with("ann")];
    for (let index = 0; index < 12; index++) {
      view.conversation.send(`ann ${index}`);
      other.conversation.send(`ben ${index}`);
      if (index === 6) server.cut("ann");
      await after(50);
    }
    await until(() => server.texts("ann", "ben").length === 24, "all are stored");
    await Promise.all([view.showsLog(), other.showsLog()]);
    assert.deepEqual(server.texts("ann", "ben").filter((text) => text.startsWith("ann")), Array.from({ length: 12 }, (_, index) => `ann ${index}`));
    assert.ok(calls < 12 && server.requests.length < 60 && server.handshakes.length < 20, `${calls} tokens, ${server.requests.length} requests, ${server.handshakes.length} handshakes`);
  });
}

scenario("with an older server messages work, unsupported calls reject, and no unknown frame is sent", async (world) => {
  const { server } = world;
  server.features.modern = server.features.changes = false;
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  const entry = view.conversation.send("hi");
  await entry.done;
  const unsupported = (error) => error instanceof ChatError && error.code === "unsupported" && !error.retryable;
  await assert.rejects(view.conversation.edit(view.entries[0], "bye"), unsupported);
  await assert.rejects(view.conversation.remove(view.entries[0]), unsupported);
  for (let index = 0; index < 10; index++) view.conversation.typing();
  // Nobody has heard of the peer, so it is not told that the user types.
  server.post("ben", "ann", "hello");
  await view.shows(["hi", "hello"]);
  assert.equal(view.now.unread, 1);
  view.conversation.markRead();
  let list;
  ann.chat.onConversations((now) => (list = now));
  ann.chat.onSettings((settings) => assert.equal(settings, undefined));
  await assert.rejects(ann.chat.setSettings({ receipts: false }), unsupported);
  const known = [];
  for await (const { peer, unread } of ann.chat.conversations()) known.push([peer, unread]);
  await after(50);
  assert.deepEqual(known, [["ben", 0]]);
  assert.deepEqual([list.conversations.length, list.more, list.error, await ann.chat.moreConversations()], [1, false, undefined, { more: false }]);
  assert.deepEqual(server.features.asked("presence"), []);
  assert.deepEqual(server.frames.filter(({ frame }) => frame.action !== "ping").map(({ frame }) => frame.action), ["sendMessage"]);
  assert.deepEqual(server.handshakes[0].protocols, ["chat.v1"]);
  assert.deepEqual([view.now.typing, view.now.readByPeer, view.texts], [[], 0, ["hi", "hello"]]);
});

scenario("unknown frames and fields of a later server are ignored", async (world) => {
  const { server } = world;
  server.onFrame = (frame) => (frame.action === "sendMessage" ? { pushFirst: true } : undefined);
  const ann = await world.online("ann");
  const view = ann.with("ben");
  server.sendRaw("ann", { type: "receipt", conversation_id: view.conversation.id, user_id: "ben", read: 5, delivered: 5 });
  server.sendRaw("ann", { type: "typing", conversation_id: "group:7", user_id: "ben" });
  server.sendRaw("ann", { type: "presence", users: { ben: "online" } });
  server.sendRaw("ann", { ...server.post("ben", "ann", "with more", { push: false }), type: "message", reactions: [], kind: null });
  await view.shows(["with more"]);
  await view.conversation.send("hi").done;
  assert.deepEqual([ann.state, server.allConnections.length], ["online", 1]);
});
