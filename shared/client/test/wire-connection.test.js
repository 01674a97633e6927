// The client on real WebSockets, against a server that fails on command: reconnecting, probes and hand-overs.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";
import { test } from "node:test";

import { jitter, TIMING as USUAL } from "../src/timing.js";
import { scenario, texts, TIMING } from "./clients.js";
import { seeded } from "./random.js";
import { until } from "./server.js";

scenario("reconnect delays are random from 0 to a bound that doubles", async (world) => {
  const drawn = [];
  const random = () => (drawn.push(seed()), drawn.at(-1));
  const seed = seeded(15);
  world.server.onHandshake = () => ({ status: 503 });
  let read;
  const now = () => (read = Date.now());
  const ann = world.client("ann", { now, random, timing: { backoff: 20, backoffMax: 160 } });
  const delays = [];
  ann.chat.onState(({ state, retryAt }) => state === "waiting" && delays.push(retryAt - read));
  ann.chat.connect();
  await until(() => delays.length >= 9, "nine tries", 10_000);
  delays.slice(0, 9).forEach((delay, index) => {
    const bound = Math.min(160, 20 * 2 ** index);
    assert.ok(delay >= -2 && delay <= bound + 1, `${delay} of ${bound} ms`);
    assert.ok(drawn.some((share) => Math.abs(share * bound - delay) < 4), `${delay} ms is a random share of ${bound}`);
  });
  const tries = world.server.handshakes.map(({ at }) => at);
  tries.slice(1, 9).forEach((at, index) => assert.ok(at - tries[index] >= delays[index] - 3, "the delay is kept"));
});

scenario("the bound is reset only after a while online, not by each connection that opens", async (world) => {
  const { server } = world;
  const ann = world.client("ann", { random: () => 0.999, timing: { backoff: 20, backoffMax: 160, stable: 300 } });
  const delays = [];
  ann.chat.onState(({ state, retryAt }) => state === "waiting" && delays.push(retryAt - Date.now()));
  server.onFrame = () => ({ cut: "before" });
  const cutting = setInterval(() => server.cut("ann"), 5);
  ann.chat.connect();
  await until(() => delays.length >= 5, "five cuts");
  clearInterval(cutting);
  assert.ok(delays[4] > 120, `delays of ${delays} ms`);
  server.onFrame = () => undefined;
  await ann.until("online");
  await ann.with("ben").conversation.send("hi").done;
  await after(350);
  server.cut("ann");
  await until(() => delays.length >= 6, "a cut after a while");
  assert.ok(delays[5] <= 40, `delays of ${delays} ms`);
});

test("10,000 clients that are cut at once are back soon, with fewer than 500 handshakes a second", () => {
  const random = seeded(15);
  const clients = Array.from({ length: 10_000 }, () => ({ n: 0, at: jitter(random, 0, USUAL.backoff, USUAL.backoffMax) }));
  const attempts = [];
  let waiting = clients;
  for (let second = 0; waiting.length; second++) {
    assert.ok(second < 90, `${waiting.length} are still offline`);
    attempts[second] = 0;
    let places = 500;
    for (const client of waiting) {
      while (client.at < (second + 1) * 1_000) {
        attempts[second]++;
        if (places-- > 0) client.at = Infinity;
        else client.at += jitter(random, ++client.n, USUAL.backoff, USUAL.backoffMax);
      }
    }
    waiting = waiting.filter(({ at }) => at !== Infinity);
  }
  const busy = attempts.findLastIndex((count) => count >= 500);
  assert.ok(busy < 25, `handshakes a second: ${attempts}`);
});

scenario("a half-dead connection is replaced when the user comes back", async (world) => {
  const { server } = world;
  assert.ok(USUAL.wakePong <= 5_000);
  const ann = await world.online("ann");
  ann.tab.hide();
  server.stall("ann");
  const entry = ann.with("ben").conversation.send("hi");
  const start = performance.now();
  ann.tab.show();
  await until(() => server.allConnections.length === 2, "there is a new connection", 1_000);
  assert.ok(performance.now() - start >= TIMING.wakePong - 5, "it was given the time to response");
  await entry.done;
  await ann.with("ben").shows(["hi"]);
  await until(() => server.connectionsOf("ann").length === 1, "the half-dead one is closed");
});

scenario("coming back again and again does not delay the end of a half-dead connection", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  server.stall("ann");
  const coming = setInterval(() => ann.tab.show(), TIMING.wakePong / 3);
  try {
    // If each coming delayed it, it would never come.
    await until(() => server.allConnections.length === 2, "there is a new connection");
  } finally {
    clearInterval(coming);
  }
});

for (const [target, type, fields] of [["window", "online"], ["window", "pageshow", { persisted: true }], ["document", "visibilitychange"]]) {
  scenario(`a probe is sent on ${type}, and a connection that responds stays`, async (world) => {
    const { server } = world;
    const ann = await world.online("ann");
    await after(20);
    const pings = () => server.frames.filter(({ frame }) => frame.action === "ping").length;
    const before = pings();
    ann.tab[target].fire(type, fields);
    await until(() => pings() > before, "a probe");
    await after(TIMING.wakePong + 50);
    assert.equal(server.allConnections.length, 1);
  });
}

scenario("a timer that runs far too late means that the machine slept, and the connection is probed", async (world) => {
  const { server } = world;
  let slept = 0;
  const ann = await world.online("ann", { now: () => Date.now() + slept, timing: { compare: 100, late: 20_000 } });
  ann.with("ben");
  await after(50);
  server.stall("ann");
  slept = 60_000;
  await until(() => server.allConnections.length === 2, "there is a new connection", 2_000);
});

scenario("a half-dead connection is found by the ping if nothing else finds it", async (world) => {
  const { server } = world;
  assert.ok(USUAL.ping <= 5 * 60_000);
  const ann = await world.online("ann", { timing: { ping: 150, pong: 100 } });
  server.stall("ann");
  await until(() => server.allConnections.length === 2, "there is a new connection", 1_500);
  const entry = ann.with("ben").conversation.send("hi");
  await entry.done;
});

scenario("pings are sent after a silence in both directions, and not while there is traffic", async (world) => {
  const { server } = world;
  const ann = await world.online("ann", { timing: { ping: 150 } });
  const pings = () => server.frames.filter(({ frame }) => frame.action === "ping").length;
  await until(() => pings() >= 2, "pings when it is quiet", 1_000);
  const before = pings();
  for (let index = 0; index < 10; index++) {
    server.post("ben", "ann", `hi ${index}`);
    await after(50);
  }
  assert.ok(pings() - before <= 1, `${pings() - before} pings beside frames`);
  assert.equal(server.allConnections.length, 1);
  assert.equal(ann.state, "online");
});

scenario("a hand-over under 20 messages a second both ways loses and doubles nothing, and stays online", async (world) => {
  const { server } = world;
  const random = seeded(17);
  server.onFrame = () => ({ delay: random() * 20, ackDelay: random() * 60 });
  server.onPush = () => [Math.ceil(random() * 20)];
  const options = { timing: { handOverMin: 350, handOverMax: 500 } };
  const [ann, ben] = [await world.online("ann", options), await world.online("ben", options)];
  const sides = [[ann, ann.with("ben")], [ben, ben.with("ann")]];
  const entries = [];
  for (let index = 0; index < 60; index++) {
    for (const [client, view] of sides) entries.push(view.conversation.send(`${client.user} ${index}`));
    await after(50);
  }
  await Promise.all(entries.map(({ done }) => done));
  for (const [client, view] of sides) {
    await view.showsLog();
    const own = server.texts("ann", "ben").filter((text) => text.startsWith(client.user));
    assert.deepEqual(own, Array.from({ length: 60 }, (_, index) => `${client.user} ${index}`));
    const allConnections = server.allConnections.filter(({ user }) => user === client.user);
    assert.ok(allConnections.length >= 4, `${allConnections.length} connections`);
    const states = client.states.map(({ state }) => state);
    assert.deepEqual(states.slice(states.indexOf("online")), ["online"], "the state stayed online");
    const ids = server.sends(client.user).map(({ frame }) => frame.client_message_id);
    assert.equal(new Set(ids).size, ids.length, "no message was sent again");
    await until(() => server.connectionsOf(client.user).length <= 2, "old connections are closed");
    assert.ok(allConnections.slice(0, -2).every(({ code }) => code === 1_000 || code === 1_005), `closed with ${allConnections.map(({ code }) => code)}`);
  }
});

scenario("a hand-over keeps the old connection until the new one has responded and the old one's acks have arrived", async (world) => {
  const { server } = world;
  server.onHandshake = ({ at }) => (server.handshakes.length > 1 ? { delay: 100 } : at && undefined);
  server.onFrame = (frame) => (frame.message === "slow" ? { delay: 400 } : undefined);
  let drawn = 0;
  const random = () => (drawn++ ? 0.999 : 0);
  const ann = await world.online("ann", { random, timing: { handOverMin: 200, handOverMax: 100_000, ack: 2_000, drain: 2_000 } });
  const [first] = server.allConnections;
  await after(120);
  const slow = ann.with("ben").conversation.send("slow");
  await until(() => server.allConnections.length === 2, "the second opens");
  await until(() => server.frames.some(({ frame, connection }) => frame.action === "ping" && connection === server.allConnections[1]), "it is probed");
  const other = ann.with("cat").conversation.send("new frames");
  await other.done;
  assert.equal(server.sends("ann").at(-1).connection, server.allConnections[1], "new frames are sent on the second");
  assert.equal(first.code, undefined, "the first stays open until its ack arrives");
  await slow.done;
  await until(() => first.code !== undefined, "then it is closed", 700);
  assert.equal(server.sends("ann").length, 2, "no message was sent again");
  assert.ok(ann.states.every(({ state }) => ["idle", "connecting", "online"].includes(state)));
});

scenario("messages that are pushed during a hand-over are shown once", async (world) => {
  const { server } = world;
  server.onHandshake = () => (server.handshakes.length > 1 ? { delay: 150 } : undefined);
  const ben = await world.online("ben", { timing: { handOverMin: 150, handOverMax: 150 } });
  const view = ben.with("ann");
  for (let index = 1; index <= 60; index++) {
    server.post("ann", "ben", `hi ${index}`);
    await after(10);
  }
  assert.ok(server.allConnections.length >= 2);
  await view.shows(texts("hi", 60));
});

test("a hand-over is 100 to 115 minutes after the start, before the server's limit of two hours", () => {
  assert.ok(USUAL.handOverMin >= 100 * 60_000 && USUAL.handOverMax <= 115 * 60_000 && USUAL.handOverMin < USUAL.handOverMax);
});

for (const [how, rule] of [["rejected", { status: 503 }], ["never accepted", { hang: true }]]) {
  scenario(`a hand-over whose new connection is ${how} keeps the old one, and is tried again`, async (world) => {
    const { server } = world;
    let fail = true;
    server.onHandshake = () => (fail && server.handshakes.length > 1 ? rule : undefined);
    const ann = await world.online("ann", { timing: { handOverMin: 100, handOverMax: 100, connect: 100 } });
    await until(() => server.handshakes.length >= 3, "it is tried again");
    const [first] = server.allConnections;
    await ann.with("ben").conversation.send("on the first").done;
    assert.equal(server.sends("ann").at(-1).connection, first);
    assert.deepEqual([server.allConnections.length, first.code], [1, undefined]);
    fail = false;
    await until(() => server.allConnections.length >= 2, "it succeeds at last");
    await until(() => first.code !== undefined, "the first is closed");
    await ann.with("ben").conversation.send("on the second").done;
    assert.deepEqual(ann.states.map(({ state }) => state).filter((state) => state === "waiting" || state === "offline"), []);
    assert.equal(ann.states.filter(({ state }) => state === "connecting").length, 1);
  });
}

scenario("the new connection takes over if the old one is cut during a hand-over", async (world) => {
  const { server } = world;
  server.onHandshake = () => (server.handshakes.length > 1 ? { delay: 100 } : undefined);
  const ann = await world.online("ann", { timing: { handOverMin: 60, handOverMax: 60 } });
  await until(() => server.handshakes.length === 2, "the second is being opened");
  server.cut("ann");
  await ann.with("ben").conversation.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  await until(() => server.connectionsOf("ann").length >= 1, "a connection is open");
});

scenario("after a close with 1000 the client reconnects only when the user comes back, once", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  server.close(1_000, "ann");
  await ann.until("replaced");
  const entry = ann.with("ben").conversation.send("waits");
  await after(4 * TIMING.backoffMax);
  assert.equal(server.handshakes.length, 1);
  assert.equal(entry.state, "queued");
  ann.tab.show();
  await ann.until("online");
  await entry.done;
  await after(100);
  assert.equal(server.handshakes.length, 2);
});

scenario("connect() reconnects a replaced client", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  server.close(1_000, "ann");
  await ann.until("replaced");
  ann.chat.connect();
  ann.chat.connect();
  await ann.until("online");
  await after(50);
  assert.equal(server.handshakes.length, 2);
});

for (const code of [1_001, 1_011, 1_012]) {
  scenario(`after a close with ${code} the client reconnects by itself`, async (world) => {
    const { server } = world;
    const ann = await world.online("ann");
    server.close(code, "ann");
    await until(() => server.allConnections.length === 2, "a new connection");
    await ann.until("online");
    await ann.with("ben").conversation.send("hi").done;
  });
}

scenario("late events of an old connection change nothing", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  await view.conversation.send("hi").done;
  server.stall("ann");
  ann.tab.show();
  await until(() => server.allConnections.length === 2, "a new connection");
  await ann.until("online");
  const [old] = ann.tab.sockets;
  const states = ann.states.length;
  const late = (type, ...event) => old.listenerCount(type) && old.emit(type, ...event);
  const frame = { ...server.log("ann", "ben")[0], type: "message", seq: 2, message: "late", message_id: "late", client_message_id: undefined };
  late("open");
  late("message", Buffer.from(JSON.stringify(frame)), false);
  late("message", Buffer.from('{"type":"error","code":"token_expired","message":"","retryable":true}'), false);
  late("error", new Error("late"));
  late("close", 1_000, Buffer.from(""));
  late("close", 1_006, Buffer.from(""));
  await after(200);
  assert.deepEqual(view.texts, ["hi"]);
  assert.equal(ann.states.length, states, `states since: ${ann.states.slice(states).map(({ state }) => state)}`);
  assert.equal(server.allConnections.length, 2);
  assert.equal(server.handshakes.length, 2);
});
