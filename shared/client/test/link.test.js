// The state machine of the connections.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Link } from "../src/link.js";
import { TIMING } from "../src/timing.js";
import { MINUTE } from "./chats.js";
import { seeded } from "./random.js";

const createLink = (seed = 1, timing = {}) => {
  const effects = [];
  const link = new Link(seeded(seed), { ...TIMING, ...timing }, (name, value) => effects.push([name, value]));
  const takeEffects = (name) => effects.splice(0).filter(([n]) => n === name).map(([, value]) => value);
  return { link, takeEffects };
};

/** Returns a link that is online at `now` with its first connection. */
function onlineLink(seed, timing, now = 0, token = []) {
  const { link, takeEffects } = createLink(seed, timing);
  link.connect(now);
  const [id] = takeEffects("open");
  link.dialing(id, now, ...token);
  link.opened(id, now);
  takeEffects();
  return { link, takeEffects, id };
}

test("reconnect delays have full jitter: from 0 to a bound that doubles, at most 30 s", () => {
  const { link, takeEffects } = createLink(3);
  link.connect(0);
  const waits = [];
  for (let n = 0, now = 0; n < 400; n++) {
    const [id] = takeEffects("open");
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

test("10,000 clients that are cut at once make fewer than 500 attempts a second after 15 s, and are all online within a minute", () => {
  const random = seeded(11);
  let waiting = Array.from({ length: 10_000 }, () => {
    const { link, takeEffects } = onlineLink(random() * 2 ** 32);
    link.closed(1, 1006, 0);
    return { link, takeEffects };
  });
  const tries = [];
  for (let second = 0; second < 60 && waiting.length; second++) {
    const due = waiting.filter(({ link }) => link.retryAt < (second + 1) * 1_000);
    tries.push(due.length);
    due.forEach(({ link, takeEffects }, i) => {
      const now = Math.max(link.retryAt, second * 1_000);
      link.tick(now);
      if (i >= 500) link.closed(takeEffects("open").at(-1), 1006, now);
    });
    waiting = waiting.filter(({ link }) => link.state === "waiting");
  }
  assert.equal(waiting.length, 0);
  assert.ok(Math.max(...tries.slice(15)) < 500, `${tries}`);
});

test("the backoff is reset only after 10 s online and a response", () => {
  for (const [online, response, fresh] of [[9_999, true, false], [10_000, false, false], [10_000, true, true]]) {
    const { link, takeEffects } = createLink(5);
    link.connect(0);
    let now = 0;
    for (let n = 0; n < 6; n++) {
      link.closed(takeEffects("open")[0], 1006, now);
      now = link.retryAt;
      link.tick(now);
    }
    const [id] = takeEffects("open");
    link.opened(id, now);
    link.received(id, now + 1, response);
    link.random = () => 1;
    link.closed(id, 1006, now + online);
    assert.equal(link.retryAt - (now + online), fresh ? 1_000 : 30_000);
  }
});

test("after a close with 1000 only the user's return or the program reconnects, once", () => {
  const { link, takeEffects, id } = onlineLink();
  link.closed(id, 1000, 1);
  assert.equal(link.state, "replaced");
  link.wake(2, false);
  link.offline();
  link.tick(10 * MINUTE);
  assert.equal(link.state, "replaced");
  assert.equal(link.due, Infinity);
  link.wake(3, true);
  link.wake(4, true);
  assert.equal(takeEffects("open").length, 1);
  assert.equal(link.state, "connecting");
});

test("after any other close the client reconnects", () => {
  for (const code of [1001, 1003, 1006, 1009, 1011, 1012]) {
    const { link, takeEffects, id } = onlineLink();
    link.closed(id, code, 1);
    assert.equal(link.state, "waiting", `${code}`);
    link.tick(link.due);
    assert.equal(takeEffects("open").length, 1);
  }
});

test("late events of an old connection change nothing", () => {
  const { link, takeEffects, id } = onlineLink();
  link.closed(id, 1006, 1);
  link.tick(link.due);
  const [next] = takeEffects("open");
  link.opened(next, 2_000);
  const before = JSON.stringify([link, link.due]);
  takeEffects();
  link.opened(id, 2_001);
  link.received(id, 2_001, true);
  link.closed(id, 1000, 2_001);
  link.drop(99, 2_001);
  link.dialing(id, 2_001, 5);
  assert.equal(JSON.stringify([link, link.due]), before);
  assert.equal(link.state, "online");
  assert.equal(takeEffects("open").length, 0);
});

test("a ping is sent after 4.5 min of silence in both directions, and without a response the connection is dropped 15 s later", () => {
  const { link, takeEffects, id } = onlineLink();
  link.sent(id, 2 * MINUTE);
  link.received(id, 3 * MINUTE, false);
  link.tick(7.4 * MINUTE);
  assert.deepEqual(takeEffects("ping"), []);
  assert.equal(link.due, 7.5 * MINUTE);
  link.tick(7.5 * MINUTE);
  assert.deepEqual(takeEffects("ping"), [id]);
  link.received(id, 7.5 * MINUTE + 1, false);
  assert.equal(link.due, 7.5 * MINUTE + 15_000, "a push is not a response");
  link.tick(7.5 * MINUTE + 15_000);
  assert.deepEqual(takeEffects("close"), [id]);
  assert.equal(link.state, "waiting");
});

test("on wake-up a connection has 5 s to respond, however often the page wakes up", () => {
  const { link, takeEffects, id } = onlineLink();
  for (const now of [1_000, 3_000, 5_000]) link.wake(now, true);
  assert.equal(link.due, 6_000);
  link.tick(6_000);
  assert.deepEqual(takeEffects("close"), [id]);
  const second = onlineLink();
  second.link.wake(1_000, true);
  second.link.received(second.id, 2_000, true);
  second.link.tick(7_000);
  assert.equal(second.link.state, "online");
});

test("a probe whose timeout passes while the machine sleeps is sent again", () => {
  const { link, takeEffects } = onlineLink();
  link.probe(1_000);
  link.wake(60 * MINUTE, false);
  link.tick(60 * MINUTE);
  assert.deepEqual(takeEffects("close"), []);
  assert.equal(link.due, 60 * MINUTE + 5_000);
});

test("the hand-over is at a random time between 100 and 115 min", () => {
  const times = Array.from({ length: 300 }, (_, seed) => {
    const { link, takeEffects, id } = onlineLink(seed);
    let now = 0;
    while (!takeEffects("open").length) {
      now = link.due;
      link.tick(now);
      link.received(id, now, true);
    }
    return now / MINUTE;
  });
  assert.ok(Math.min(...times) >= 100 && Math.min(...times) < 101 && Math.max(...times) <= 115 && Math.max(...times) > 114);
});

test("the hand-over is 60 s before the token expires, and earlier for a short lifetime", () => {
  for (const [lifetime, at] of [[3_600_000, 3_540_000], [60_000, 45_000]]) {
    const { link, takeEffects, id } = onlineLink(1, { ping: Infinity }, 1_000, [1_000 + lifetime, lifetime]);
    assert.equal(link.due, 1_000 + at);
    link.tick(1_000 + at);
    assert.equal(takeEffects("open").length, 1);
    assert.equal(link.open, id);
  }
});

/** Returns a link that has begun to open its second connection. */
function handingOver(timing) {
  const at = onlineLink(1, { ping: Infinity, handOverMin: 1_000, handOverMax: 1_000, ...timing });
  at.link.tick(1_000);
  const [next] = at.takeEffects("open");
  at.link.dialing(next, 1_000);
  return { ...at, next };
}

test("a hand-over waits for the first response on the new connection, then the old one has 12 s for its acks", () => {
  const { link, takeEffects, id, next } = handingOver();
  link.opened(next, 1_100);
  assert.deepEqual(takeEffects("ping"), [next]);
  assert.equal(link.open, id);
  link.received(next, 1_200, false);
  assert.equal(link.open, id);
  link.received(next, 1_300, true);
  assert.equal(link.open, next);
  assert.deepEqual(takeEffects("close"), []);
  link.tick(13_299);
  assert.ok(link.has(id));
  link.tick(13_300);
  assert.deepEqual(takeEffects("close"), [id]);
  assert.equal(link.state, "online");
});

test("after a hand-over the old connection is closed when its acks have arrived, which does not change the state", () => {
  for (const end of ["drained", "closed"]) {
    const { link, takeEffects, id, next } = handingOver();
    link.opened(next, 1_100);
    link.received(next, 1_200, true);
    if (end === "drained") link.drained(id, 1_300);
    else link.closed(id, 1000, 1_300);
    assert.equal(link.has(id), false);
    assert.equal(link.open, next);
    assert.equal(link.state, "online");
    assert.equal(takeEffects("open").length, 0);
  }
});

test("a hand-over that fails keeps the old connection and is tried again within a minute", () => {
  const { link, takeEffects, id, next } = handingOver();
  let second = next;
  let now = 1_000;
  for (let i = 0; i < 8; i++) {
    link.closed(second, 1006, now);
    assert.equal(link.open, id);
    assert.equal(link.state, "online");
    assert.ok(link.due > now && link.due <= now + 60_000);
    now = link.due;
    link.tick(now);
    [second] = takeEffects("open");
    assert.ok(second);
  }
});

test("if the old connection is closed during a hand-over, the new one takes its place", () => {
  for (const code of [1000, 1006]) {
    const { link, takeEffects, id, next } = handingOver();
    link.closed(id, code, 1_050);
    assert.equal(link.state, "connecting");
    link.opened(next, 1_100);
    assert.equal(link.state, "online");
    assert.equal(link.open, next);
    assert.deepEqual(takeEffects("open"), []);
  }
});

test("two rejected handshakes in a row are diagnosed, a single one is not", () => {
  const { link, takeEffects } = createLink();
  link.connect(0);
  const checks = [];
  for (let i = 0; i < 4; i++) {
    link.closed(i + 1, 1006, 0);
    checks.push(takeEffects("diagnose").length);
    link.connect(0);
  }
  assert.deepEqual(checks, [0, 1, 0, 1]);
  link.closed(5, 1006, 0);
  link.connect(0);
  link.opened(6, 0);
  link.closed(6, 1006, 1);
  link.connect(1);
  link.closed(7, 1006, 1);
  assert.deepEqual(takeEffects("diagnose"), [], "one before and one after a success are not in a row");
});

test("a handshake without a response is dropped after 20 s", () => {
  const { link, takeEffects } = createLink();
  link.connect(0);
  link.dialing(1, 100);
  takeEffects();
  link.tick(20_099);
  assert.deepEqual(takeEffects("close"), []);
  link.tick(20_100);
  assert.deepEqual(takeEffects("close"), [1]);
  assert.equal(link.state, "waiting");
});

test("offline is shown and stops reconnecting, while an open connection stays open and a response on it means online", () => {
  const { link, takeEffects, id } = onlineLink();
  link.offline();
  assert.equal(link.state, "offline");
  assert.equal(link.open, id);
  link.received(id, 5, true);
  assert.equal(link.state, "online");
  link.offline();
  link.closed(id, 1006, 6);
  assert.equal(link.state, "offline");
  link.tick(10 * MINUTE);
  assert.deepEqual(takeEffects("open"), []);
  link.wake(10 * MINUTE, false);
  assert.equal(link.state, "connecting");
});
