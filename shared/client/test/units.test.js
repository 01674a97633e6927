// The rules of entries, ids and time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { transition, TRANSITIONS } from "../src/entry.js";
import { conversationId, peerOf } from "../src/id.js";
import { Clock, jitter } from "../src/timing.js";

test("an entry makes the transitions of the table, and any other one is logged", () => {
  const states = Object.keys(TRANSITIONS);
  const allowed = { queued: "sending failed", sending: "queued stored delivered failed", stored: "delivered", delivered: "read", read: "", failed: "queued" };
  for (const from of states) {
    for (const to of states) {
      const record = { state: from };
      let logged;
      transition(record, to, (...log) => (logged = log));
      const good = allowed[from].split(" ").includes(to);
      assert.equal(record.state, good ? to : from);
      assert.equal(logged === undefined, good, `${from} -> ${to}`);
    }
  }
});

test("a conversation id names its users in the order of UTF-8, and they can be read from it", () => {
  assert.equal(conversationId("b", "a"), "direct:1:a:b");
  assert.equal(conversationId("me", "me"), "direct:2:me:me");
  assert.equal(conversationId("ü", "z"), "direct:1:z:ü");
  // In UTF-16 the emoji would come first.
  assert.equal(conversationId("😀", "\uffee"), "direct:3:\uffee:😀");
  const ids = ["a", "b", "a:b", ":", "1:a", "a:1", "direct:1:a", "😀", "ü:ü", " "];
  for (const a of ids) for (const b of ids) assert.equal(peerOf(conversationId(a, b), a), b);
  for (const bad of ["", "direct:1:a:b", "group:x", "direct:9:me:a", "direct:2:me:"]) assert.throws(() => peerOf(bad, "me"), { code: "invalid_conversation_id" });
});

test("the clock counts only steps forward, and at least the time of a timer that ran", () => {
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

test("jitter is a random share of a bound that doubles up to a maximum", () => {
  assert.equal(jitter(() => 1, 0, 500, 30_000), 500);
  assert.equal(jitter(() => 0.5, 3, 500, 30_000), 2_000);
  assert.equal(jitter(() => 1, 5_000, 500, 30_000), 30_000);
  assert.equal(jitter(() => 0, 3, 500, 30_000), 0);
});
