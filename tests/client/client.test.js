// The client library against the whole chat under faults. In the end both clients show the log: every text once, in the
// order in which its sender wrote it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";

import { SignedOut } from "../../shared/client/src/index.js";
import { until } from "../../shared/client/test/server.js";
import { Client, expectAllShown, expectLog, start } from "./clients.js";
import { startDatabase } from "./database.js";
import { startChat } from "./stack.js";

test("two people chat and see the same messages", async (t) => {
  const { ann, ben } = await start(t);
  const entry = ann.conversation.send("At 3PM?");
  await entry.done;
  await until(() => ben.shows("At 3PM?"), "ben sees it");
  ben.conversation.send("At 4PM.");
  await expectAllShown(ann, ben, 2);
  const [first] = ann.snapshot.entries;
  assert.equal(first.state, "delivered");
  assert.equal(first.key, entry.key);
});

test("no message is lost while connections are cut again and again", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ seed: 1, cut: 0.05 });
  const writing = Promise.all([ann.write(40), ben.write(40)]);
  for (let cut = 0; cut < 4; cut++) {
    await after(150);
    await chat.cut();
  }
  await writing;
  await chat.put({});
  await expectAllShown(ann, ben, 80);
  assert.ok(ann.states.filter((state) => state === "online").length > 1, "ann reconnected after a cut");
});

for (const [at, when] of [["invoke", "when it gets a message"], ["before_push", "before it pushes"], ["after_push", "after it has pushed"]]) {
  test(`no message is lost while send-message is killed again and again, ${when}`, async (t) => {
    const { ann, ben, chat } = await start(t);
    await chat.put({ seed: 2, kill: [{ function: "SendMessageFunction", at, share: 0.25 }] });
    await Promise.all([ann.write(12), ben.write(12)]);
    await until(() => ann.storedCount() + ben.storedCount() >= 20, "most messages are stored", 20_000);
    await chat.put({});
    await expectAllShown(ann, ben, 24);
    assert.match(chat.log(), /kill|exit|signal/i, "functions were killed");
  });
}

test("no message is lost while pushes are dropped, doubled, delayed and reordered", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ seed: 3, pushes: { drop: 0.3, duplicate: 0.3, delay_ms: 150 } });
  await Promise.all([ann.write(40, 5), ben.write(40, 5)]);
  await expectAllShown(ann, ben, 80);
});

test("without any push, the comparison with the history finds every message", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ pushes: { drop: 1 } });
  await ann.write(10);
  await expectAllShown(ann, ben, 10);
});

test("no message is lost while @connections responds with 429 and 500", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ seed: 4, posts: { 429: 0.3, 500: 0.5 } });
  await Promise.all([ann.write(20), ben.write(20)]);
  await expectAllShown(ann, ben, 40);
  const pushed = new Set(ben.frames.map((text) => JSON.parse(text)).flatMap(({ type, seq }) => (type === "message" ? [seq] : [])));
  assert.ok(pushed.size < 20, "some pushes were given up");
});

test("with a connection lifetime of two seconds, hand-overs keep the client online", async (t) => {
  const { ann, ben } = await start(t, { flags: ["--lifetime", "2"], timing: { handOverMin: 900, handOverMax: 1_300 } });
  await Promise.all([ann.write(60, 50), ben.write(60, 50)]);
  await expectAllShown(ann, ben, 120);
  for (const client of [ann, ben]) {
    assert.deepEqual([...new Set(client.states.slice(client.states.indexOf("online")))], ["online"]);
    assert.ok(client.opened.length > 2, "there was more than one hand-over");
  }
});

test("with a connection lifetime of less than a second and no hand-over, the client reconnects", async (t) => {
  const { ann, ben } = await start(t, { flags: ["--lifetime", "0.7"] });
  await Promise.all([ann.write(30, 50), ben.write(30, 50)]);
  await expectAllShown(ann, ben, 60);
  assert.ok(ann.opened.length > 2, "the server closed some");
});

test("a ping keeps an idle connection open, and without pings the client reconnects", async (t) => {
  const { ann, ben, chat } = await start(t, { flags: ["--idle-timeout", "0.8"], timing: { ping: 250 } });
  const other = new Client(t, chat, "ann", "ben", { timing: { ping: 60_000, compare: 60_000 } });
  await until(() => other.opened.length > 1, "a client that sends no ping is closed and reconnects");
  assert.equal(ann.opened.length, 1, "a client that sends pings is not closed");
  await Promise.all([ann.write(3), ben.write(3)]);
  await expectAllShown(ann, ben, 6);
  await expectLog(chat, other);
});

test("a flood is slowed down by the user's rate limit, and no message is lost", async (t) => {
  const { ann, ben } = await start(t, { flags: ["--parameter", "MessageRate=20", "--parameter", "MessageBurst=10"] });
  const entries = Array.from({ length: 50 }, (_, index) => ann.conversation.send(`ann ${index}`));
  await Promise.all(entries.map(({ done }) => done));
  await expectAllShown(ann, ben, 50);
  assert.ok(ann.frames.some((text) => text.includes("rate_limited")), "the limit was reached");
});

test("no message is lost while API Gateway throttles the route of all users", async (t) => {
  // As in production: an ack that is late would send the message again as well.
  const timing = { ack: 12_000, pong: 15_000, wakePong: 5_000 };
  const { ann, ben } = await start(t, { flags: ["--parameter", "ThrottleRate=10", "--parameter", "ThrottleBurst=2"], timing });
  await Promise.all([ann.write(20), ben.write(20)]);
  await expectAllShown(ann, ben, 40, 30_000);
  assert.ok(ann.frames.concat(ben.frames).some((text) => text.includes("Too Many Requests")), "the throttle was reached");
});

test("no message is lost while the database is down", async (t) => {
  const database = await startDatabase(t);
  // As in production. With shorter timeouts the client would reconnect before the server responds with `unavailable`.
  const timing = { ack: 12_000, pong: 15_000, wakePong: 5_000 };
  const { ann, ben } = await start(t, { uri: database.uri, timing });
  await Promise.all([ann.write(5), ben.write(5)]);
  await until(() => ann.storedCount() + ben.storedCount() === 10, "all are stored");
  await database.stop();
  const writing = [ann.write(5), ben.write(5)];
  await until(() => [ann, ben].every(({ frames }) => frames.some((text) => text.includes('"unavailable"'))), "both get the error unavailable", 15_000);
  await database.start();
  await Promise.all(writing);
  await expectAllShown(ann, ben, 20, 20_000);
});

test("no message is lost while the chat is restarted on the same database", async (t) => {
  const name = `client_restart_${process.pid}`;
  const first = await startChat({ database: name });
  const address = { ws: first.ws, http: first.http, functions: first.functions };
  const ann = new Client(t, address, "ann", "ben");
  const ben = new Client(t, address, "ben", "ann");
  await ann.write(5);
  await until(() => ann.storedCount() === 5, "all are stored");
  await first.stop();
  await ben.write(5);
  const port = (url) => new URL(url).port;
  const ports = ["--ws-port", port(first.ws), "--http-port", port(first.http)];
  const second = await startChat({ database: name, flags: ports });
  t.after(() => second.stop());
  await expectAllShown(ann, ben, 10);
});

test("with tokens, each client acts as the user of its token, and a rejected token signs out", async (t) => {
  const chat = await startChat({ flags: ["--auth", "--user", "ann", "--user", "ben"] });
  t.after(() => chat.stop());
  const ann = new Client(t, chat, "ann", "ben", { token: async () => chat.tokens.ann });
  const ben = new Client(t, chat, "ben", "ann", { token: async () => chat.tokens.ben });
  await Promise.all([ann.write(5), ben.write(5)]);
  await expectAllShown(ann, ben, 10);
  const forged = new Client(t, chat, "ann", "ben", { token: async () => `${chat.tokens.ann.slice(0, -8)}AAAAAAAA` });
  await until(() => forged.chat.state.state === "signed-out", "a forged token signs out");
  const signedOut = new Client(t, chat, "ann", "ben", { token: async () => { throw new SignedOut(); } });
  await until(() => signedOut.chat.state.state === "signed-out", "SignedOut signs out");
});

test("a second client of the same user shows what the first one sends", async (t) => {
  const timing = { compare: 60_000 };
  const { ann, ben, chat } = await start(t, { timing });
  const other = new Client(t, chat, "ann", "ben", { timing });
  await until(() => other.chat.state.state === "online", "it is online");
  await ann.write(1);
  await until(() => other.shows("ann 0"), "the push has reached the second client");
  await Promise.all([ann.write(10), other.write(10, 3, "other"), ben.write(10)]);
  await expectAllShown(ann, ben, 31);
  await expectLog(chat, other);
  assert.equal(other.snapshot.entries.length, 31);
});

test("texts of any content and users of any name arrive as they were written", async (t) => {
  const [one, two] = ["ann:%2B+/?#&=\u{1F600}", "學生 <b>\u202E'\"\\"];
  const chat = await startChat();
  t.after(() => chat.stop());
  const ann = new Client(t, chat, one, two);
  const ben = new Client(t, chat, two, one);
  const texts = ["<script>alert(1)</script>", "\u{1F600}".repeat(4_096), "half \uD83D", "\u202Egnp.exe\u2066", "a\0b", "\r\n\t", " ", '"}{"'];
  for (const text of texts) ann.conversation.send(text);
  await expectAllShown(ann, ben, texts.length);
  assert.deepEqual(ben.snapshot.entries.map(({ text }) => text), texts.map((text) => text.toWellFormed()));
  const rejected = ann.conversation.send("\0".repeat(16_384));
  await assert.rejects(rejected.done, "a message whose frame is too large for the gateway fails");
  rejected.discard();
  ann.conversation.send("the next");
  await expectAllShown(ann, ben, texts.length + 1);
});
