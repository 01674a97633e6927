// The client in a world without real time: generated schedules with invariants, and one test for
// each rule.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

import { Chat, ChatError, SignedOut } from "../src/index.js";
import { memoryStorage } from "./memory.js";
import { TRANSITIONS, transition } from "../src/entry.js";
import { conversationId, peerOf } from "../src/id.js";
import { Link } from "../src/link.js";
import { Clock, TIMING, jitter } from "../src/timing.js";
import { chatIn, settled, texts, Watcher } from "./schedule.js";
import { seeded, World } from "./world.js";

const MINUTE = 60_000;

async function online(world, more) {
  const chat = chatIn(world, more);
  chat.connect();
  await world.advance(50);
  assert.equal(chat.state.state, "online");
  return chat;
}

const newest = (list) => list.at(-1);

test("whatever happens, each send ends once, in order, and what is shown is the log", async () => {
  const schedules = Number(process.env.SCHEDULES ?? 1_200);
  const first = Number(process.env.SEED ?? 1);
  const last = first + (process.env.SEED ? 1 : schedules);
  // In threads of their own: the test runner watches every promise of this one.
  await Promise.all([0, 1].map((part) => new Promise((resolve, reject) => {
    const worker = new Worker(new URL("schedule.js", import.meta.url), { workerData: { first: first + part, last, step: 2 } });
    worker.on("error", reject).on("exit", resolve);
  })));
});

// The entry.

test("an entry moves by the table, and any other transition is told", () => {
  const states = Object.keys(TRANSITIONS);
  const allowed = { queued: "sending failed", sending: "queued stored delivered failed", stored: "delivered", delivered: "read", read: "", failed: "queued" };
  for (const from of states) {
    for (const to of states) {
      const record = { state: from };
      let told;
      transition(record, to, (...log) => (told = log));
      const good = allowed[from].split(" ").includes(to);
      assert.equal(record.state, good ? to : from);
      assert.equal(told === undefined, good, `${from} -> ${to}`);
    }
  }
});

test("an id of a conversation is in the order of UTF-8, and says who is in it", () => {
  assert.equal(conversationId("b", "a"), "direct:1:a:b");
  assert.equal(conversationId("me", "me"), "direct:2:me:me");
  assert.equal(conversationId("ü", "z"), "direct:1:z:ü");
  // In UTF-16 the emoji would come first.
  assert.equal(conversationId("😀", "\uffee"), "direct:3:\uffee:😀");
  const ids = ["a", "b", "a:b", ":", "1:a", "a:1", "direct:1:a", "😀", "ü:ü", " "];
  for (const a of ids) for (const b of ids) assert.equal(peerOf(conversationId(a, b), a), b);
  for (const bad of ["", "direct:1:a:b", "group:x", "direct:9:me:a", "direct:2:me:"]) assert.throws(() => peerOf(bad, "me"), { code: "invalid_conversation_id" });
});

// The connection.

const linkOf = (seed = 1, timing = {}) => {
  const effects = [];
  const link = new Link(seeded(seed), { ...TIMING, ...timing }, (name, value) => effects.push([name, value]));
  const taken = (name) => effects.splice(0).filter(([n]) => n === name).map(([, value]) => value);
  return { link, taken };
};

/** A link that is online at `now` by its first connection. */
function onlineLink(seed, timing, now = 0, token = []) {
  const { link, taken } = linkOf(seed, timing);
  link.connect(now);
  const [id] = taken("open");
  link.dialing(id, now, ...token);
  link.opened(id, now);
  taken();
  return { link, taken, id };
}

test("waits are full jitter: from nothing to the doubled base, at most 30 s", () => {
  const { link, taken } = linkOf(3);
  link.connect(0);
  const waits = [];
  for (let n = 0, now = 0; n < 400; n++) {
    const [id] = taken("open");
    link.closed(id, 1006, now);
    assert.equal(link.state, "waiting");
    waits.push(link.retryAt - now);
    now = link.retryAt;
    link.tick(now);
  }
  waits.slice(0, 6).forEach((wait, n) => assert.ok(wait >= 0 && wait <= Math.min(30_000, 1_000 * 2 ** n), `${n}: ${wait}`));
  const late = waits.slice(5);
  assert.ok(Math.max(...late) <= 30_000 && Math.max(...late) > 29_000 && Math.min(...late) < 1_000);
  const mean = late.reduce((a, b) => a + b) / late.length;
  assert.ok(mean > 13_000 && mean < 17_000, `${mean}`);
});

test("10,000 clients that are cut at once try less than 500 times a second after 15 s, and are all back within a minute", () => {
  const random = seeded(11);
  let waiting = Array.from({ length: 10_000 }, () => {
    const { link, taken } = onlineLink(random() * 2 ** 32);
    link.closed(1, 1006, 0);
    return { link, taken };
  });
  const tries = [];
  for (let second = 0; second < 60 && waiting.length; second++) {
    const due = waiting.filter(({ link }) => link.retryAt < (second + 1) * 1_000);
    tries.push(due.length);
    due.forEach(({ link, taken }, i) => {
      const now = Math.max(link.retryAt, second * 1_000);
      link.tick(now);
      if (i >= 500) link.closed(taken("open").at(-1), 1006, now);
    });
    waiting = waiting.filter(({ link }) => link.state === "waiting");
  }
  assert.equal(waiting.length, 0);
  assert.ok(Math.max(...tries.slice(15)) < 500, `${tries}`);
});

test("the wait begins anew only after 10 s online and a response", () => {
  for (const [online, response, fresh] of [[9_999, true, false], [10_000, false, false], [10_000, true, true]]) {
    const { link, taken } = linkOf(5);
    link.connect(0);
    let now = 0;
    for (let n = 0; n < 6; n++) {
      link.closed(taken("open")[0], 1006, now);
      now = link.retryAt;
      link.tick(now);
    }
    const [id] = taken("open");
    link.opened(id, now);
    link.received(id, now + 1, response);
    link.random = () => 1;
    link.closed(id, 1006, now + online);
    assert.equal(link.retryAt - (now + online), fresh ? 1_000 : 30_000);
  }
});

test("a close with 1000 is another place: only a person, or the program, goes online again, and once", () => {
  const { link, taken, id } = onlineLink();
  link.closed(id, 1000, 1);
  assert.equal(link.state, "replaced");
  link.wake(2, false);
  link.offline();
  link.tick(10 * MINUTE);
  assert.equal(link.state, "replaced");
  assert.equal(link.due, Infinity);
  link.wake(3, true);
  link.wake(4, true);
  assert.equal(taken("open").length, 1);
  assert.equal(link.state, "connecting");
});

test("any other close is followed by a new connection", () => {
  for (const code of [1001, 1003, 1006, 1009, 1011, 1012]) {
    const { link, taken, id } = onlineLink();
    link.closed(id, code, 1);
    assert.equal(link.state, "waiting", `${code}`);
    link.tick(link.due);
    assert.equal(taken("open").length, 1);
  }
});

test("late events of an old connection change nothing", () => {
  const { link, taken, id } = onlineLink();
  link.closed(id, 1006, 1);
  link.tick(link.due);
  const [next] = taken("open");
  link.opened(next, 2_000);
  const before = JSON.stringify([link, link.due]);
  taken();
  link.opened(id, 2_001);
  link.received(id, 2_001, true);
  link.closed(id, 1000, 2_001);
  link.drop(99, 2_001);
  link.dialing(id, 2_001, 5);
  assert.equal(JSON.stringify([link, link.due]), before);
  assert.equal(link.state, "online");
  assert.equal(taken("open").length, 0);
});

test("a ping goes out after 4.5 min of silence in both directions, and 15 s later the connection is given up", () => {
  const { link, taken, id } = onlineLink();
  link.sent(id, 2 * MINUTE);
  link.received(id, 3 * MINUTE, false);
  link.tick(7.4 * MINUTE);
  assert.deepEqual(taken("ping"), []);
  assert.equal(link.due, 7.5 * MINUTE);
  link.tick(7.5 * MINUTE);
  assert.deepEqual(taken("ping"), [id]);
  link.received(id, 7.5 * MINUTE + 1, false);
  assert.equal(link.due, 7.5 * MINUTE + 15_000, "a push is no response");
  link.tick(7.5 * MINUTE + 15_000);
  assert.deepEqual(taken("close"), [id]);
  assert.equal(link.state, "waiting");
});

test("on wake-up a connection has 5 s to answer, however often it is woken", () => {
  const { link, taken, id } = onlineLink();
  for (const now of [1_000, 3_000, 5_000]) link.wake(now, true);
  assert.equal(link.due, 6_000);
  link.tick(6_000);
  assert.deepEqual(taken("close"), [id]);
  const second = onlineLink();
  second.link.wake(1_000, true);
  second.link.received(second.id, 2_000, true);
  second.link.tick(7_000);
  assert.equal(second.link.state, "online");
});

test("a probe that the machine slept through begins anew", () => {
  const { link, taken } = onlineLink();
  link.probe(1_000);
  link.wake(60 * MINUTE, false);
  link.tick(60 * MINUTE);
  assert.deepEqual(taken("close"), []);
  assert.equal(link.due, 60 * MINUTE + 5_000);
});

test("the hand-over is at random between 100 and 115 min", () => {
  const times = Array.from({ length: 300 }, (_, seed) => {
    const { link, taken, id } = onlineLink(seed);
    let now = 0;
    while (!taken("open").length) {
      now = link.due;
      link.tick(now);
      link.received(id, now, true);
    }
    return now / MINUTE;
  });
  assert.ok(Math.min(...times) >= 100 && Math.min(...times) < 101 && Math.max(...times) <= 115 && Math.max(...times) > 114);
});

test("the hand-over is 60 s before the token ends, and earlier in a short life", () => {
  for (const [lifetime, at] of [[3_600_000, 3_540_000], [60_000, 45_000]]) {
    const { link, taken, id } = onlineLink(1, { ping: Infinity }, 1_000, [1_000 + lifetime, lifetime]);
    assert.equal(link.due, 1_000 + at);
    link.tick(1_000 + at);
    assert.equal(taken("open").length, 1);
    assert.equal(link.open, id);
  }
});

/** A link whose second connection is asked for. */
function handingOver(timing) {
  const at = onlineLink(1, { ping: Infinity, handOverMin: 1_000, handOverMax: 1_000, ...timing });
  at.link.tick(1_000);
  const [next] = at.taken("open");
  at.link.dialing(next, 1_000);
  return { ...at, next };
}

test("a hand-over waits for the first response of the second connection, then the old one has 12 s for its acks", () => {
  const { link, taken, id, next } = handingOver();
  link.opened(next, 1_100);
  assert.deepEqual(taken("ping"), [next]);
  assert.equal(link.open, id);
  link.received(next, 1_200, false);
  assert.equal(link.open, id);
  link.received(next, 1_300, true);
  assert.equal(link.open, next);
  assert.deepEqual(taken("close"), []);
  link.tick(13_299);
  assert.ok(link.has(id));
  link.tick(13_300);
  assert.deepEqual(taken("close"), [id]);
  assert.equal(link.state, "online");
});

test("after a hand-over the old connection is closed when its acks are in, and its close is no news", () => {
  for (const end of ["drained", "closed"]) {
    const { link, taken, id, next } = handingOver();
    link.opened(next, 1_100);
    link.received(next, 1_200, true);
    if (end === "drained") link.drained(id, 1_300);
    else link.closed(id, 1000, 1_300);
    assert.equal(link.has(id), false);
    assert.equal(link.open, next);
    assert.equal(link.state, "online");
    assert.equal(taken("open").length, 0);
  }
});

test("a hand-over that fails keeps the first connection and tries again, soon and before the cut", () => {
  const { link, taken, id, next } = handingOver();
  let second = next;
  let now = 1_000;
  for (let i = 0; i < 8; i++) {
    link.closed(second, 1006, now);
    assert.equal(link.open, id);
    assert.equal(link.state, "online");
    assert.ok(link.due > now && link.due <= now + 60_000);
    now = link.due;
    link.tick(now);
    [second] = taken("open");
    assert.ok(second);
  }
});

test("if the first connection ends while the second is being opened, the second is the one", () => {
  for (const code of [1000, 1006]) {
    const { link, taken, id, next } = handingOver();
    link.closed(id, code, 1_050);
    assert.equal(link.state, "connecting");
    link.opened(next, 1_100);
    assert.equal(link.state, "online");
    assert.equal(link.open, next);
    assert.deepEqual(taken("open"), []);
  }
});

test("two refused handshakes in a row are looked into, one is not", () => {
  const { link, taken } = linkOf();
  link.connect(0);
  const checks = [];
  for (let i = 0; i < 4; i++) {
    link.closed(i + 1, 1006, 0);
    checks.push(taken("diagnose").length);
    link.connect(0);
  }
  assert.deepEqual(checks, [0, 1, 0, 1]);
  link.closed(5, 1006, 0);
  link.connect(0);
  link.opened(6, 0);
  link.closed(6, 1006, 1);
  link.connect(1);
  link.closed(7, 1006, 1);
  assert.deepEqual(taken("diagnose"), [], "one before and one after a success are not in a row");
});

test("a handshake without an end is given up after 20 s", () => {
  const { link, taken } = linkOf();
  link.connect(0);
  link.dialing(1, 100);
  taken();
  link.tick(20_099);
  assert.deepEqual(taken("close"), []);
  link.tick(20_100);
  assert.deepEqual(taken("close"), [1]);
  assert.equal(link.state, "waiting");
});

test("offline is shown, nothing is tried, and what is open stays open and is believed", () => {
  const { link, taken, id } = onlineLink();
  link.offline();
  assert.equal(link.state, "offline");
  assert.equal(link.open, id);
  link.received(id, 5, true);
  assert.equal(link.state, "online");
  link.offline();
  link.closed(id, 1006, 6);
  assert.equal(link.state, "offline");
  link.tick(10 * MINUTE);
  assert.deepEqual(taken("open"), []);
  link.wake(10 * MINUTE, false);
  assert.equal(link.state, "connecting");
});

// Time.

test("a clock that jumps stops nothing: only its steps forward count, and a timer that ran has run", () => {
  let now = 1_000_000;
  const clock = new Clock(() => now);
  now += 500;
  assert.equal(clock.read(), 500);
  now -= 50 * 365 * 86_400_000;
  assert.equal(clock.read(), 500);
  assert.equal(clock.readAfter(700), 700);
  now += 100;
  assert.equal(clock.read(), 800);
});

test("full jitter", () => {
  assert.equal(jitter(() => 1, 0, 500, 30_000), 500);
  assert.equal(jitter(() => 0.5, 3, 500, 30_000), 2_000);
  assert.equal(jitter(() => 1, 5_000, 500, 30_000), 30_000);
  assert.equal(jitter(() => 0, 3, 500, 30_000), 0);
});

// The conversation.

const numbered = (world, peer, from, to) => {
  for (let seq = from; seq <= to; seq++) world.log(peer).push({ sender_id: peer, receiver_id: "me", message: `${seq}`, timestamp: "", seq });
};
const numbers = (snapshot) => snapshot.entries.map((e) => e.seq);
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const sends = (world) => world.frames.filter(({ frame }) => frame.action === "sendMessage");

test("a message is shown before send returns, without a connection and before the store is read", async () => {
  const world = new World();
  const chat = chatIn(world, { storage: { ...memoryStorage(), load: () => new Promise(() => {}) } });
  const talk = chat.with("ann");
  const entry = talk.send("hi");
  assert.equal(entry.state, "queued");
  assert.equal(talk.snapshot.entries[0], entry);
  assert.ok(Object.isFrozen(entry) && Object.isFrozen(talk.snapshot) && Object.isFrozen(talk.snapshot.entries));
});

test("what cannot be stored is not sent, and what is sent is what is shown", async () => {
  const world = new World();
  const chat = await online(world);
  const talk = chat.with("ann");
  const long = "ü".repeat(8_192);
  assert.deepEqual(["", `${long}a`].map((text) => [talk.send(text).state, newest(talk.snapshot.entries).error.code]), [["failed", "message_empty"], ["failed", "message_too_long"]]);
  talk.send(long);
  talk.send("half \ud83d, whole 😀, half \ude00");
  await world.advance(100);
  assert.deepEqual(texts(world.log("ann")), [long, "half \ufffd, whole 😀, half \ufffd"]);
  assert.deepEqual(texts(talk.snapshot.entries.slice(0, 2)), texts(world.log("ann")));
});

test("numbered entries come first, echoes after them in order of sending", async () => {
  const world = new World();
  const chat = await online(world);
  const talk = chat.with("ann");
  world.dead = true;
  talk.send("a");
  talk.send("b");
  world.dead = false;
  world.write("ann", "c");
  await world.advance(20);
  assert.deepEqual(texts(talk.snapshot.entries), ["c", "a", "b"]);
});

test("one message of a conversation is under way at a time; another conversation does not wait for it", async () => {
  const world = new World();
  const chat = await online(world);
  world.latency = [100, 100];
  for (const peer of ["ann", "bob"]) for (const text of ["1", "2"]) chat.with(peer).send(text);
  await world.advance(50);
  assert.deepEqual(sends(world).map(({ frame }) => frame.receiver_id + frame.message), ["ann1", "bob1"]);
  await world.advance(200);
  assert.deepEqual(sends(world).map(({ frame }) => frame.receiver_id + frame.message), ["ann1", "bob1", "ann2", "bob2"]);
});

test("a message whose ack is late goes out again under its id, after 12 s and a sign of life", async () => {
  const world = new World();
  const chat = await online(world);
  world.faults.loseAck = 1;
  const entry = chat.with("ann").send("a");
  await world.advance(11_000);
  world.faults.loseAck = 0;
  assert.equal(sends(world).length, 1);
  await world.advance(2_000);
  assert.equal((await settled(world, entry.done)).seq, 1);
  assert.deepEqual(sends(world).map(({ frame }) => frame.client_message_id), [entry.clientId, entry.clientId]);
  assert.equal(world.log("ann").length, 1);
});

test("rate_limited waits exactly as long as it says, and holds no other conversation", async () => {
  const world = new World();
  const chat = await online(world);
  world.faults.rateLimit = 1;
  const held = chat.with("ann").send("a");
  await world.advance(9);
  world.faults.rateLimit = 0;
  chat.with("bob").send("b");
  await world.advance(2_000);
  const [first, other, again] = sends(world);
  assert.equal(other.frame.receiver_id, "bob");
  assert.equal(again.frame.client_message_id, held.clientId);
  assert.ok(Math.abs(again.time - (first.time + 10 + 1_500)) <= 1, `${again.time - first.time}`);
});

test("unavailable is tried again with full jitter from 0.5 s to 30 s", async () => {
  const world = new World();
  const chat = await online(world);
  world.faults.unavailable = 1;
  chat.with("ann").send("a");
  await world.advance(10 * MINUTE);
  const times = sends(world).map(({ time }) => time);
  const waits = times.slice(1).map((time, i) => time - times[i] - 10);
  waits.forEach((wait, n) => assert.ok(wait >= -1 && wait <= Math.min(30_000, 500 * 2 ** n) + 1, `${n}: ${wait}`));
  assert.ok(waits.length > 20 && Math.max(...waits) > 15_000);
});

test("a fatal refusal ends that message, the next goes on, and a retry is the last in order", async () => {
  const world = new World();
  const chat = await online(world);
  const talk = chat.with("ann");
  const bad = talk.send("fatal");
  await assert.rejects(settled(world, bad.done), { code: "invalid_frame", retryable: false });
  talk.send("good");
  await world.advance(50);
  world.serve = (serve => function (socket, frame) { return serve.call(this, socket, { ...frame, message: frame.message?.replace("fatal", "mended") }); })(world.serve);
  newest(talk.snapshot.entries).retry();
  assert.equal((await settled(world, newest(talk.snapshot.entries).done)).seq, 2);
  assert.deepEqual(texts(world.log("ann")), ["good", "mended"]);
});

test("a queued message can be discarded, one under way cannot", async () => {
  const world = new World();
  const chat = await online(world);
  const talk = chat.with("ann");
  const [first, second] = [talk.send("1"), talk.send("2")];
  await world.advance(1);
  first.discard();
  second.discard();
  await assert.rejects(second.done, { code: "discarded" });
  await world.advance(100);
  assert.deepEqual(texts(world.log("ann")), ["1"]);
  assert.deepEqual(texts(talk.snapshot.entries), ["1"]);
});

test("after 24 h a message fails and can be sent by hand; a clock that jumps back fails nothing", async () => {
  const world = new World();
  const storage = memoryStorage();
  const chat = chatIn(world, { storage });
  const entry = chat.with("ann").send("a");
  await world.advance(24 * 60 * MINUTE - 1_000);
  world.wrongClock = -50 * 365 * 86_400_000;
  await world.advance(500);
  assert.equal(chat.with("ann").snapshot.entries[0].state, "queued");
  await world.advance(1_000);
  await assert.rejects(entry.done, { code: "expired" });
  chat.connect();
  await world.advance(100);
  assert.equal(world.log("ann").length, 0);
  chat.with("ann").snapshot.entries[0].retry();
  await world.advance(100);
  assert.deepEqual(texts(world.log("ann")), ["a"]);
});

test("a message that waits since before a jump back of the clock is sent at the next start", async () => {
  const world = new World();
  const storage = memoryStorage();
  const before = chatIn(world, { storage });
  before.with("ann").send("a");
  await world.advance(10);
  await before.close();
  world.wrongClock = -50 * 365 * 86_400_000;
  const offline = chatIn(world, { storage });
  offline.with("ann").onChange(() => {});
  await world.advance(24 * 60 * MINUTE - 100);
  assert.equal(offline.with("ann").snapshot.entries[0].state, "queued");
  await offline.close();
  world.wrongClock -= 48 * 60 * MINUTE;
  await online(world, { storage });
  await world.advance(100);
  assert.deepEqual(texts(world.log("ann")), ["a"]);
});

test("a message from the future is not kept for ever, either", async () => {
  const world = new World();
  const storage = memoryStorage();
  await storage.putRow({ clientId: "c", peer: "ann", text: "a", order: 1, created: 1e12, tab: "dead" });
  const chat = chatIn(world, { storage });
  chat.with("ann").onChange(() => {});
  await world.advance(24 * 60 * MINUTE + 100);
  assert.equal(chat.with("ann").snapshot.entries[0].error.code, "expired");
});

test("no frame leaves before its message is stored", async () => {
  const world = new World();
  let stored;
  const chat = await online(world, { storage: { ...memoryStorage(), putRow: () => new Promise((resolve) => (stored = resolve)) } });
  chat.with("ann").send("a");
  await world.advance(1_000);
  assert.equal(sends(world).length, 0);
  stored();
  await world.advance(50);
  assert.equal(sends(world).length, 1);
});

test("what waits since an earlier time goes before what was written now", async () => {
  const world = new World();
  const storage = memoryStorage();
  await storage.putRow({ clientId: "c", peer: "ann", text: "before", order: -5, created: 0, tab: "dead" });
  const chat = chatIn(world, { storage });
  chat.with("ann").send("now");
  chat.connect();
  await world.advance(500);
  assert.deepEqual(texts(world.log("ann")), ["before", "now"]);
});

test("a frame that closes connections is not sent again", async () => {
  for (const code of [1003, 1009]) {
    const world = new World();
    const chat = await online(world);
    const entry = chat.with("ann").send("a");
    await world.advance(1);
    world.open[0].end(code);
    await assert.rejects(settled(world, entry.done), { code: "message_too_long" });
    await world.advance(MINUTE);
    assert.equal(sends(world).length, 1);
    assert.equal(chat.state.state, "online");
  }
});

test("a hole is gathered for 100 ms and asked for once, and what is shown stays in order", async () => {
  const world = new World();
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  world.write("ann", "1");
  await world.advance(50);
  world.requests.length = 0;
  world.faults.losePush = 1;
  world.write("ann", "2");
  world.write("ann", "3");
  world.faults.losePush = 0;
  world.latency = [0, 0];
  world.write("ann", "4");
  const start = world.time;
  await world.advance(50);
  world.write("ann", "5");
  assert.deepEqual(numbers(watcher.last), [1, 4]);
  await world.advance(200);
  assert.deepEqual(numbers(watcher.last), [1, 2, 3, 4, 5]);
  assert.deepEqual(world.requests.map(({ after, time }) => [after, time - start]), [[1, 100]]);
  assert.equal(watcher.error, undefined);
});

test("pushes without a hole, in whatever order, ask for nothing", async () => {
  const world = new World();
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  world.write("ann", "1");
  await world.advance(500);
  world.requests.length = 0;
  const frame = (seq) => JSON.stringify({ type: "message", conversation_id: conversationId("me", "ann"), seq, sender_id: "ann", receiver_id: "me", message: `${seq}` });
  for (const seq of [2, 5, 4, 3, 6, 3]) world.open[0].onmessage({ data: frame(seq) });
  await world.advance(1_000);
  assert.deepEqual(numbers(watcher.last), range(1, 6));
  assert.equal(world.requests.length, 0);
});

test("what was missed is read to its end, page by page", async () => {
  const world = new World();
  numbered(world, "ann", 1, 10);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  numbered(world, "ann", 11, 2_500);
  world.wake();
  await world.advance(500);
  assert.deepEqual(numbers(watcher.last), range(1, 2_500));
  assert.deepEqual(world.requests.slice(1).map(({ after }) => after).filter((after) => after > 10), [1_010, 2_010]);
});

test("a conversation of which only pushes are known reads its newest page when it is opened", async () => {
  const world = new World();
  const chat = await online(world);
  numbered(world, "ann", 1, 80);
  world.write("ann", "81");
  await world.advance(100);
  assert.deepEqual(numbers(chat.with("ann").snapshot), [81]);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(200);
  assert.deepEqual(numbers(watcher.last), range(31, 81));
});

test("late events of a connection that was given up change nothing", async () => {
  const world = new World();
  const chat = await online(world);
  const [old] = world.sockets;
  world.dead = true;
  world.wake();
  await world.advance(5_100);
  world.dead = false;
  await world.advance(2_000);
  assert.equal(chat.state.state, "online");
  const data = JSON.stringify({ type: "message", conversation_id: conversationId("me", "ann"), seq: 1, sender_id: "ann", receiver_id: "me", message: "x" });
  old.onopen({});
  old.onmessage({ data });
  old.onclose({ code: 1000 });
  await world.advance(10);
  assert.equal(chat.state.state, "online");
  assert.equal(chat.with("ann").snapshot.entries.length, 0);
});

test("a machine that slept probes its connection, and finds it dead within 5 s", async () => {
  const world = new World();
  const chat = await online(world);
  const states = [];
  chat.onState(({ state }) => states.push(state));
  world.dead = true;
  await world.sleep(3 * MINUTE);
  await world.sleep(3 * MINUTE);
  const pings = world.frames.filter(({ frame }) => frame.action === "ping").length;
  assert.ok(pings >= 1);
  await world.advance(5_100);
  assert.deepEqual(states.slice(0, 2), ["online", "waiting"]);
});

test("pushes while a page is on its way: none is lost or doubled, whichever is first", async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const world = new World(seed);
    const chat = await online(world);
    numbered(world, "ann", -5, 3);
    world.latency = [0, 60];
    const watcher = new Watcher(chat.with("ann"));
    for (let i = 0; i < 6; i++) {
      world.write("ann", "x");
      await world.advance(world.random() * 20);
    }
    await world.advance(1_000);
    assert.deepEqual(numbers(watcher.last), range(-5, 9));
    assert.equal(watcher.error, undefined);
  }
});

test("a last push that is lost is seen within five minutes, and at once on wake-up", async () => {
  for (const wake of [false, true]) {
    const world = new World();
    const chat = await online(world);
    const watcher = new Watcher(chat.with("ann"));
    await world.advance(1_000);
    world.faults.losePush = 1;
    world.write("ann", "lost");
    if (wake) world.wake();
    await world.advance(wake ? 50 : 5 * MINUTE);
    assert.deepEqual(texts(watcher.last.entries), ["lost"], `wake: ${wake}`);
  }
});

test("what came while the connection was away is read when it is back, in conversations at which nobody looks, too", async () => {
  const world = new World();
  const chat = await online(world);
  const peers = range(1, 9).map((i) => `peer${i}`);
  for (const peer of peers) world.write(peer, "1");
  await world.advance(3_000);
  world.open[0].end(1006);
  for (const peer of peers) world.write(peer, "2");
  let running = 0;
  let most = 0;
  const { fetch } = world;
  world.fetch = async (...args) => {
    most = Math.max(most, ++running);
    return fetch.apply(world, args).finally(() => running--);
  };
  await world.advance(5_000);
  for (const peer of peers) assert.equal(chat.with(peer).snapshot.unread, 2);
  assert.equal(most, 4);
});

test("pages go back to the first message of the old system, and then nothing is asked", async () => {
  const world = new World();
  numbered(world, "ann", -119, 10);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(50);
  assert.deepEqual(numbers(watcher.last), range(-39, 10));
  const more = [];
  for (let i = 0; i < 3; i++) more.push((await settled(world, chat.with("ann").older(50))).more);
  assert.deepEqual(more, [true, false, false]);
  assert.deepEqual(numbers(watcher.last), range(-119, 10));
  assert.equal(watcher.last.more, false);
  assert.equal(world.requests.filter(({ after }) => after === undefined).length, 3);
  const all = [];
  for await (const message of paged(world, chat.with("ann").all())) all.push(message.seq);
  assert.deepEqual(all, range(-119, 10));
});

async function* paged(world, iterator) {
  for (;;) {
    const { value, done } = await settled(world, iterator.next());
    if (done) return;
    yield value;
  }
}

test("a page that cannot be read is tried again, and the snapshot says why", async () => {
  const world = new World();
  numbered(world, "ann", 1, 3);
  const chat = await online(world);
  for (const [fault, code] of [["networkError", "network"], ["serverError", "unavailable"], ["nonsense", "bad_response"]]) {
    world.faults = { [fault]: 1 };
    const watcher = new Watcher(chat.with(fault === "networkError" ? "ann" : fault));
    await world.advance(10_000);
    assert.equal(watcher.last.error.code, code);
    await assert.rejects(settled(world, chat.with(watcher.talk.peer).older()), { code });
    world.faults = {};
    await world.advance(31_000);
    assert.equal(watcher.last.error, undefined);
  }
  assert.deepEqual(numbers(chat.with("ann").snapshot), [1, 2, 3]);
});

test("a page of what was not asked for, or out of order, is none", async () => {
  const world = new World();
  numbered(world, "ann", 1, 60);
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  await world.advance(100);
  const { page } = world;
  for (const wrong of [(items) => [...items].reverse(), (items) => [items[0], ...items], (items) => items.map((m) => ({ ...m, seq: m.seq + 30 })), (items) => items.map((m) => ({ ...m, sender_id: "eve" }))]) {
    world.page = (request) => ({ items: wrong(page.call(world, request).items) });
    await assert.rejects(settled(world, chat.with("ann").older(20)), { code: "bad_response" });
  }
  world.page = page;
  await settled(world, chat.with("ann").older(20));
  assert.deepEqual(numbers(watcher.last), range(1, 60));
});

test("read marks never go back, own messages are never unread, and 1,000 marks are one write per 2 s", async () => {
  const world = new World();
  numbered(world, "ann", 1, 50);
  const storage = memoryStorage();
  const written = [];
  const chat = await online(world, { storage: { ...storage, putConversation: async (row) => (written.push([world.time, row.read]), storage.putConversation(row)) } });
  const talk = chat.with("ann");
  new Watcher(talk);
  await world.advance(5_000);
  written.length = 0;
  talk.send("own");
  await world.advance(5_000);
  assert.equal(talk.snapshot.unread, 50);
  written.length = 0;
  const start = world.time;
  for (let i = 0; i < 1_000; i++) {
    talk.markRead(1 + (i % 40));
    if (i % 100 === 99) await world.advance(300);
  }
  talk.markRead(3);
  assert.equal(talk.snapshot.read, 40);
  assert.equal(talk.snapshot.unread, 10);
  assert.ok(written.length <= 2 + Math.floor((world.time - start) / 2_000), `${written}`);
  talk.markRead(1_000);
  assert.equal(talk.snapshot.read, 51);
  world.document.visibilityState = "hidden";
  world.wake();
  assert.equal(newest(written)[1], 51);
});

test("frames that make no sense change nothing, and the chat goes on", async () => {
  const world = new World();
  const chat = await online(world);
  const watcher = new Watcher(chat.with("ann"));
  const entry = chat.with("ann").send("a");
  const id = conversationId("me", "ann");
  const bad = [
    "", "{", "[]", "7", "null", "{}", '{"type":"receipt"}', '{"type":"message"}', '{"type":"ack"}', '{"type":"error"}',
    JSON.stringify({ type: "ack", client_message_id: entry.clientId, conversation_id: id, seq: "1" }),
    JSON.stringify({ type: "ack", client_message_id: entry.clientId, conversation_id: "group:x", seq: 1 }),
    JSON.stringify({ type: "message", conversation_id: id, seq: 1.5, sender_id: "ann", receiver_id: "me", message: "x" }),
    JSON.stringify({ type: "message", conversation_id: id, seq: 1, sender_id: "ann", receiver_id: "bob", message: "x" }),
    JSON.stringify({ type: "message", conversation_id: "direct:1:a:b", seq: 1, sender_id: "ann", receiver_id: "me", message: "x" }),
    JSON.stringify({ type: "message", conversation_id: id, seq: 1, sender_id: "ann", receiver_id: "me", message: { $ne: 1 } }),
    new ArrayBuffer(4),
  ];
  for (const data of bad) world.open[0].onmessage({ data });
  await world.advance(100);
  assert.equal(watcher.error ?? world.error, undefined);
  assert.deepEqual(watcher.last.entries.map((e) => [e.text, e.seq]), [["a", 1]]);
});

test("an unknown code is fatal or not as the server says", async () => {
  for (const retryable of [true, false]) {
    const world = new World();
    const chat = await online(world);
    const entry = chat.with("ann").send("a");
    await world.advance(1);
    world.open[0].onmessage({ data: JSON.stringify({ type: "error", code: "id_conflict", message: "m", client_message_id: entry.clientId, retryable }) });
    assert.equal(chat.with("ann").snapshot.entries[0].state, retryable ? "queued" : "failed");
  }
});

test("what today's server cannot do is unsupported, and sends nothing", async () => {
  const world = new World();
  const chat = await online(world);
  const talk = chat.with("ann");
  const entry = await settled(world, talk.send("a").done);
  const before = world.frames.length;
  talk.typing();
  await assert.rejects(talk.edit(entry, "b"), { code: "unsupported" });
  await assert.rejects(talk.remove(entry), { code: "unsupported" });
  assert.equal(world.frames.length, before);
  assert.deepEqual(world.sockets[0].protocols, ["chat.v1"]);
  assert.deepEqual(Object.keys(sends(world)[0].frame), ["action", "receiver_id", "message", "client_message_id"]);
});

test("a listener that throws stops nobody", async () => {
  const world = new World();
  const logs = [];
  const chat = new Chat(world.options({ log: (...log) => logs.push(log) }));
  const heard = [];
  const fail = () => {
    throw new Error("mine");
  };
  for (const add of [(f) => chat.onState(f), (f) => chat.onConversations(f), (f) => chat.with("ann").onChange(f)]) [fail, (v) => heard.push(v), fail].forEach(add);
  chat.connect();
  world.write("ann", "a");
  await world.advance(100);
  assert.equal(chat.with("ann").snapshot.entries.length, 1);
  assert.ok(heard.some((v) => v.state === "online") && heard.some((v) => v.entries?.length) && heard.some((v) => v.length));
  assert.ok(logs.some(([level, event]) => level === "error" && event === "listener_failed"));
});

// The token.

const jwt = (claims) => `x.${btoa(JSON.stringify(claims))}.x`;
const hour = (n) => jwt({ iat: 5, exp: 3_605, n });

test("one call of the token callback at a time, and a new token before the old one ends", async () => {
  const world = new World();
  numbered(world, "ann", 1, 3);
  let running = 0;
  let most = 0;
  let calls = 0;
  const token = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => world.set(resolve, 500));
    running--;
    return hour(++calls);
  };
  const chat = chatIn(world, { token });
  chat.with("ann").onChange(() => {});
  chat.with("bob").onChange(() => {});
  chat.connect();
  await world.advance(1_000);
  assert.deepEqual([calls, most], [1, 1]);
  assert.deepEqual(world.sockets[0].protocols, ["chat.v1", `bearer.${hour(1)}`]);
  assert.equal(world.requests[0].headers.authorization, `Bearer ${hour(1)}`);
  await world.advance(60 * MINUTE);
  assert.equal(calls, 2);
  assert.equal(world.open.length, 1);
  assert.equal(world.open[0].protocols[1], `bearer.${hour(2)}`);
  assert.equal(chat.state.state, "online");
});

test("SignedOut ends at once; a 401 means a new token, and a second one the end; a 403 is an error", async () => {
  const ends = async (options, prepare = () => {}) => {
    const world = new World();
    const chat = chatIn(world, options);
    prepare(world);
    chat.with("ann").onChange(() => {});
    chat.connect();
    await world.advance(MINUTE);
    const { length } = world.sockets;
    await world.advance(10 * MINUTE);
    assert.equal(world.sockets.length, length, "nothing is tried any more");
    return chat.state;
  };
  let calls = 0;
  const token = () => hour(++calls);
  const out = await ends({ token: () => { throw new SignedOut(); } });
  assert.equal(out.state, "signed-out");
  assert.ok(out.error instanceof ChatError);
  const refused = await ends({ token }, (world) => (world.status = 401));
  assert.deepEqual([refused.state, refused.error.code, calls], ["signed-out", "unauthorized", 2]);
  const foreign = await ends({ token }, (world) => (world.status = 403));
  assert.deepEqual([foreign.state, foreign.error.code], ["closed", "forbidden"]);
});

test("refused handshakes are looked into by the history: a token that it does not take either is replaced", async () => {
  const world = new World();
  let calls = 0;
  const chat = chatIn(world, { token: () => hour(++calls) });
  world.faults.refuse = 1;
  chat.connect();
  const { fetch } = world;
  world.fetch = (url, init) => {
    world.status = init.headers.authorization.endsWith(hour(1)) ? 401 : 200;
    if (world.status === 401) world.faults.refuse = 0;
    return fetch.call(world, url, init);
  };
  await world.advance(MINUTE);
  assert.equal(calls, 2);
  assert.equal(chat.state.state, "online");
  assert.equal(newest(world.sockets).protocols[1], `bearer.${hour(2)}`);
});

test("a token callback that never returns: the state says so, it is tried again, and an open connection does not care", async () => {
  const world = new World();
  let hang = true;
  const signals = [];
  const token = ({ signal }) => (signals.push(signal), hang ? new Promise(() => {}) : hour(1));
  const chat = chatIn(world, { token });
  chat.connect();
  await world.advance(30_500);
  assert.equal(chat.state.error.code, "token_timeout");
  assert.ok(signals[0].aborted);
  hang = false;
  await world.advance(2 * MINUTE);
  assert.equal(chat.state.state, "online");
  hang = true;
  await world.advance(59 * MINUTE);
  assert.equal(chat.state.state, "online");
  await settled(world, chat.with("ann").send("a").done);
});

// The life of the whole.

test("constructing opens nothing; close is silent wherever it comes, and leaves nothing behind", async () => {
  for (let at = 0; at < 60; at++) {
    const world = new World(at);
    const token = async () => {
      await new Promise((resolve) => world.set(resolve, 20));
      return hour(1);
    };
    const chat = chatIn(world, { token, timing: { handOverMin: 100, handOverMax: 100, backoff: 10 } });
    assert.equal(world.clientTimers + world.window.listeners + world.sockets.length, 0);
    const states = [];
    chat.onState(({ state }) => states.push(state));
    chat.with("ann").onChange(() => {});
    chat.with("ann").send("a");
    chat.connect();
    world.faults.cutAfter = 0.5;
    await world.advance(at * 5);
    const closing = chat.close();
    const { length } = states;
    assert.equal(newest(states), "closed");
    await world.advance(100);
    await closing;
    assert.equal(world.window.listeners + world.document.listeners, 0, `at ${at}`);
    const { frames, sockets } = world;
    const before = [frames.length, sockets.length];
    await world.advance(10 * MINUTE);
    assert.deepEqual([frames.length, sockets.length], before);
    assert.equal(world.clientTimers, 0);
    assert.equal(world.open.length, 0);
    assert.equal(states.length, length);
    assert.equal(world.error, undefined);
    chat.connect();
    chat.with("ann").markRead();
    assert.equal(world.sockets.length, before[1]);
  }
});

test("what waits when the program ends goes out at the next start, once and in order", async () => {
  const world = new World();
  const storage = memoryStorage();
  const first = await online(world, { storage });
  world.dead = true;
  for (const text of ["1", "2", "3", "4", "5"]) first.with("ann").send(text);
  await world.advance(10);
  world.dead = false;
  // It dies: no close, no more of it.
  world.timers.clear();
  world.sockets = [];
  const second = await online(world, { storage });
  await world.advance(500);
  assert.deepEqual(texts(world.log("ann")), ["1", "2", "3", "4", "5"]);
  assert.deepEqual(second.with("ann").snapshot.entries.map((e) => e.state === "stored" || e.state === "delivered"), Array(5).fill(true));
});

test("forget deletes what is stored, fails what waits and shows nothing", async () => {
  const world = new World();
  const storage = memoryStorage();
  const chat = await online(world, { storage });
  numbered(world, "ann", 1, 3);
  const watcher = chat.with("ann");
  watcher.onChange(() => {});
  await world.advance(50);
  world.dead = true;
  const entry = watcher.send("a");
  await world.advance(50);
  await chat.forget();
  await assert.rejects(entry.done, { code: "discarded" });
  assert.equal(chat.state.state, "signed-out");
  assert.deepEqual(watcher.snapshot.entries, []);
  await world.advance(5_000);
  assert.deepEqual([await storage.load(), await storage.adopt([], "x")], [[], []]);
});

test("what is discarded at once is not sent at the next start", async () => {
  const world = new World();
  const storage = memoryStorage();
  const chat = chatIn(world, { storage });
  chat.with("ann").send("a").discard();
  await world.advance(10);
  assert.deepEqual(chat.with("ann").snapshot.entries, []);
  assert.deepEqual(await storage.adopt([], "x"), []);
});
