// The client on real sockets, against a server that fails on command: servers and clocks that talk nonsense.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { ChatError } from "../src/index.js";
import { scenario } from "./clients.js";
import { seeded } from "./random.js";
import { token, until } from "./server.js";

/** Frames that a server must not send. */
function nonsense(talk) {
  const message = { type: "message", message_id: "f", conversation_id: talk.id, seq: 3, sender_id: "ben", receiver_id: "ann", message: "forged", timestamp: "2026-11-22T11:15:03.123Z" };
  const ack = { type: "ack", client_message_id: "no such", message_id: "f", conversation_id: talk.id, seq: 9, timestamp: "2026-11-22T11:15:03.123Z", status: "stored", duplicate: false };
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

scenario("a server that talks nonsense changes nothing: the connection stays, and messages work", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  server.post("ben", "ann", "one");
  await view.talk.send("two").done;
  for (const frame of nonsense(view.talk)) server.say("ann", frame);
  server.of("ann")[0].ws.send(Buffer.from([0xff, 0xfe, 0]), { binary: true });
  await view.talk.send("three").done;
  await view.shows(["one", "two", "three"]);
  assert.equal(server.past.length, 1);
  assert.deepEqual(ann.chat.with("ben").peer, "ben");
  const errors = ann.logs.filter(([level]) => level === "error");
  assert.deepEqual(errors, [], "none of it is an error of the client");
});

scenario("nonsense in the place of an ack is no ack: the message is sent again until there is one", async (world) => {
  const { server } = world;
  const ann = await world.online("ann", { timing: { ack: 60 } });
  const view = await ann.with("ben").loaded();
  const frames = nonsense(view.talk);
  server.onFrame = (frame) => (frame.action === "sendMessage" && frames.length ? { answer: frames.splice(0, 6).map((f) => (typeof f === "string" ? f : JSON.stringify(f))).join("") } : undefined);
  await view.talk.send("hi").done;
  await view.shows(["hi"]);
  assert.deepEqual(server.texts("ann", "ben"), ["hi"]);
});

scenario("an ack under the number of another message moves nothing", async (world) => {
  const { server } = world;
  server.post("ben", "ann", "one");
  const ann = await world.online("ann", { timing: { ack: 100 } });
  const view = await ann.with("ben").loaded();
  let wrong = true;
  server.onFrame = (frame, { user }) => {
    if (frame.action !== "sendMessage" || !wrong) return undefined;
    wrong = false;
    const { client_message_id } = frame;
    return { answer: { type: "ack", client_message_id, message_id: "f", conversation_id: view.talk.id, seq: 1, timestamp: "x", status: "stored", duplicate: false, user } };
  };
  await view.talk.send("two").done;
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
  scenario(`a history that answers with ${what} is said to be bad, and read when it is good again`, async (world) => {
    const { server } = world;
    server.post("ben", "ann", "one");
    let bad = true;
    server.onHistory = () => (bad ? { body } : undefined);
    const ann = await world.online("ann");
    const view = ann.with("ben");
    await until(() => view.now.error, "the snapshot has the error");
    assert.equal(view.now.error.code, "bad_response");
    assert.deepEqual(view.texts, []);
    await view.talk.send("two").done;
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
  scenario(`a history that answers ${what} is tried again, and messages work meanwhile`, async (world) => {
    const { server } = world;
    server.post("ben", "ann", "one");
    let bad = true;
    server.onHistory = () => (bad ? fault : undefined);
    const ann = await world.online("ann", { timing: { request: 150 } });
    const view = ann.with("ben");
    await until(() => view.now.error, "the snapshot has the error");
    assert.match(view.now.error.code, code);
    assert.equal(view.now.error.retryable, true);
    await view.talk.send("two").done;
    await assert.rejects(view.talk.older(), (error) => error instanceof ChatError);
    bad = false;
    await view.shows(["one", "two"]);
    assert.ok(server.requests.length >= 2 && server.requests.length < 40, `${server.requests.length} requests`);
  });
}

scenario("a history that answers 403 tells the developer, and is not asked again and again", { guarded: true }, async (world) => {
  const { server } = world;
  const ann = world.client("ann", { token: async () => token("eve") });
  ann.with("ben");
  ann.chat.connect();
  await until(() => ann.chat.state.error ?? ann.with("ben").now.error, "it says so");
  assert.equal((ann.chat.state.error ?? ann.with("ben").now.error).code, "forbidden");
  await after(250);
  assert.ok(server.requests.length <= 3, `${server.requests.length} requests`);
});

scenario("a history that is slow holds up nothing else", async (world) => {
  const { server } = world;
  server.post("ben", "ann", "one");
  server.onHistory = () => ({ delay: 300 });
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const start = performance.now();
  await view.talk.send("two").done;
  assert.ok(performance.now() - start < 250, "the message did not wait");
  server.post("ben", "ann", "three");
  await until(() => view.texts.includes("three"), "a push did not wait, either", 200).catch(() => {});
  await view.shows(["one", "two", "three"]);
});

scenario("handshakes that are slow, hang or come to nothing are tried again", async (world) => {
  const { server } = world;
  const faults = [{ hang: true }, { status: 500 }, { delay: 400 }, { status: 403 }, { hang: true }];
  server.onHandshake = () => faults.shift();
  const ann = await world.online("ann", { timing: { connect: 150 } });
  await ann.with("ben").talk.send("hi").done;
  assert.equal(server.handshakes.length, 6);
});

scenario("a server that is away for a while: the client comes back, and nothing is lost", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  const { port } = server;
  await server.stop();
  const entries = ["one", "two"].map((text) => view.talk.send(text));
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
  scenario(`with a clock that is ${what}, messages go out and in, in order and without a storm of requests`, { guarded: true }, async (world) => {
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
      view.talk.send(`ann ${index}`);
      other.talk.send(`ben ${index}`);
      if (index === 6) server.cut("ann");
      await after(50);
    }
    await until(() => server.texts("ann", "ben").length === 24, "all are stored");
    await Promise.all([view.showsLog(), other.showsLog()]);
    assert.deepEqual(server.texts("ann", "ben").filter((text) => text.startsWith("ann")), Array.from({ length: 12 }, (_, index) => `ann ${index}`));
    assert.ok(calls < 12 && server.requests.length < 60 && server.handshakes.length < 20, `${calls} tokens, ${server.requests.length} requests, ${server.handshakes.length} handshakes`);
  });
}

scenario("25: a server of today: messages work, what it cannot do reports unsupported and sends nothing", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  const entry = view.talk.send("hi");
  await entry.done;
  const unsupported = (error) => error instanceof ChatError && error.code === "unsupported" && !error.retryable;
  await assert.rejects(view.talk.edit(view.entries[0], "bye"), unsupported);
  await assert.rejects(view.talk.remove(view.entries[0]), unsupported);
  for (let index = 0; index < 10; index++) view.talk.typing();
  view.talk.markRead();
  await after(50);
  assert.deepEqual(server.frames.filter(({ frame }) => frame.action !== "ping").map(({ frame }) => frame.action), ["sendMessage"]);
  assert.deepEqual(server.handshakes[0].protocols, ["chat.v1"]);
  assert.deepEqual([view.now.typing, view.now.readByPeer, view.texts], [[], 0, ["hi"]]);
});

scenario("25: frames of a later server that are not known are ignored, and so are fields", async (world) => {
  const { server } = world;
  server.onFrame = (frame) => (frame.action === "sendMessage" ? { pushFirst: true } : undefined);
  const ann = await world.online("ann");
  const view = ann.with("ben");
  server.say("ann", { type: "receipt", conversation_id: view.talk.id, user_id: "ben", read: 5, delivered: 5 });
  server.say("ann", { type: "typing", conversation_id: view.talk.id, user_id: "ben" });
  server.say("ann", { type: "presence", users: { ben: "online" } });
  server.say("ann", { ...server.post("ben", "ann", "with more", { push: false }), type: "message", reactions: [], kind: null });
  await view.shows(["with more"]);
  await view.talk.send("hi").done;
  assert.deepEqual([ann.state, server.past.length], ["online", 1]);
});
