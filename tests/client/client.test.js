// The client library against the whole chat under faults. Whatever happens, both sides end with what the log has:
// every text once, in the order in which its sender wrote it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";

import { Chat, SignedOut } from "../../shared/client/src/index.js";
import { until } from "../../shared/client/test/server.js";
import { startChat } from "./stack.js";

const { WebSocket } = createRequire(import.meta.url)("ws");

/** Waits of the library, in ms, short enough for a test. */
const TIMING = {
  backoff: 50,
  backoffMax: 400,
  sendBackoff: 30,
  stable: 500,
  ack: 1_000,
  pong: 1_000,
  wakePong: 500,
  drain: 1_500,
  gather: 20,
  compare: 500,
  save: 200,
};

test("two people chat, and see the same", async (t) => {
  const { ann, ben } = await start(t);
  const entry = ann.talk.send("At 3PM?");
  await entry.done;
  await until(() => ben.shows("At 3PM?"), "ben sees it");
  ben.talk.send("At 4PM.");
  await end(ann, ben, 2);
  const [first] = ann.snapshot.entries;
  assert.equal(first.state, "delivered");
  assert.equal(first.key, entry.key);
});

test("connections are cut again and again while both write", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ seed: 1, cut: 0.05 });
  const writing = Promise.all([ann.write(40), ben.write(40)]);
  for (let cut = 0; cut < 4; cut++) {
    await after(150);
    await chat.cut();
  }
  await writing;
  await chat.put({});
  await end(ann, ben, 80);
  assert.ok(ann.states.filter((state) => state === "online").length > 1, "ann was cut and came back");
});

for (const [at, when] of [["invoke", "when it gets a message"], ["before_push", "before it pushes"], ["after_push", "after it has pushed"]]) {
  test(`the function that stores is killed ${when}, again and again`, async (t) => {
    const { ann, ben, chat } = await start(t);
    await chat.put({ seed: 2, kill: [{ function: "SendMessageFunction", at, share: 0.25 }] });
    await Promise.all([ann.write(12), ben.write(12)]);
    await until(() => ann.settled() + ben.settled() >= 20, "most are stored in spite of it", 20_000);
    await chat.put({});
    await end(ann, ben, 24);
    assert.match(chat.log(), /kill|exit|signal/i, "functions were killed");
  });
}

test("pushes are dropped, doubled, and come late and in any order", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ seed: 3, pushes: { drop: 0.3, duplicate: 0.3, delay_ms: 150 } });
  await Promise.all([ann.write(40, 5), ben.write(40, 5)]);
  await end(ann, ben, 80);
});

test("no push arrives at all: the comparison of the newest numbers finds every message", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ pushes: { drop: 1 } });
  await ann.write(10);
  await end(ann, ben, 10);
});

test("posts to connections are answered 429 and 500", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ seed: 4, posts: { 429: 0.3, 500: 0.5 } });
  await Promise.all([ann.write(20), ben.write(20)]);
  await end(ann, ben, 40);
  const pushed = ben.frames.filter((text) => JSON.parse(text).type === "message");
  assert.ok(pushed.length < 20, "some pushes were given up");
});

test("connections live for two seconds: the client hands over before, and is never seen offline", async (t) => {
  const { ann, ben } = await start(t, { flags: ["--lifetime", "2"], timing: { handOverMin: 900, handOverMax: 1_300 } });
  await Promise.all([ann.write(60, 50), ben.write(60, 50)]);
  await end(ann, ben, 120);
  for (const side of [ann, ben]) {
    assert.deepEqual([...new Set(side.states.slice(side.states.indexOf("online")))], ["online"]);
    assert.ok(side.opened.length > 2, "there was more than one hand-over");
  }
});

test("connections live for less than a second, and the client knows of no hand-over", async (t) => {
  const { ann, ben } = await start(t, { flags: ["--lifetime", "0.7"] });
  await Promise.all([ann.write(30, 50), ben.write(30, 50)]);
  await end(ann, ben, 60);
  assert.ok(ann.opened.length > 2, "the server closed some");
});

test("a ping keeps an idle connection open; without one the client comes back by itself", async (t) => {
  const { ann, ben, chat } = await start(t, { flags: ["--idle-timeout", "0.8"], timing: { ping: 250 } });
  const other = new Side(t, chat, "ann", "ben", { timing: { ping: 60_000, compare: 60_000 } });
  await until(() => other.opened.length > 1, "one that does not ping is closed and connects again");
  assert.equal(ann.opened.length, 1, "one that pings is not");
  await Promise.all([ann.write(3), ben.write(3)]);
  await end(ann, ben, 6);
  await agree(chat, other);
});

test("a flood is slowed down by the limit of its user, and nothing of it is lost", async (t) => {
  const { ann, ben } = await start(t, { flags: ["--parameter", "MessageRate=20", "--parameter", "MessageBurst=10"] });
  const entries = Array.from({ length: 50 }, (_, index) => ann.talk.send(`ann ${index}`));
  await Promise.all(entries.map(({ done }) => done));
  await end(ann, ben, 50);
  assert.ok(ann.frames.some((text) => text.includes("rate_limited")), "the limit was met");
});

test("the database is stopped and comes back", async (t) => {
  const database = await startDatabase(t);
  // As in production: with shorter ones the client would leave before the server answers `unavailable`.
  const timing = { ack: 12_000, pong: 15_000, wakePong: 5_000 };
  const { ann, ben } = await start(t, { uri: database.uri, timing });
  await Promise.all([ann.write(5), ben.write(5)]);
  await until(() => ann.settled() + ben.settled() === 10, "all are stored");
  await database.stop();
  const writing = [ann.write(5), ben.write(5)];
  await until(() => [ann, ben].every(({ frames }) => frames.some((text) => text.includes('"unavailable"'))), "both are told that it is away", 15_000);
  await database.start();
  await Promise.all(writing);
  await end(ann, ben, 20, 20_000);
});

test("the chat is stopped and comes back on the same database", async (t) => {
  const name = `client_restart_${process.pid}`;
  const first = await startChat({ database: name });
  const address = { ws: first.ws, http: first.http, functions: first.functions };
  const ann = new Side(t, address, "ann", "ben");
  const ben = new Side(t, address, "ben", "ann");
  await ann.write(5);
  await until(() => ann.settled() === 5, "all are stored");
  await first.stop();
  await ben.write(5);
  const port = (url) => new URL(url).port;
  const ports = ["--ws-port", port(first.ws), "--http-port", port(first.http)];
  const second = await startChat({ database: name, flags: ports });
  t.after(() => second.stop());
  await end(ann, ben, 10);
});

test("with tokens: each reads and writes as the user of the token, and a refused one ends signed out", async (t) => {
  const chat = await startChat({ flags: ["--auth", "--user", "ann", "--user", "ben"] });
  t.after(() => chat.stop());
  const ann = new Side(t, chat, "ann", "ben", { token: async () => chat.tokens.ann });
  const ben = new Side(t, chat, "ben", "ann", { token: async () => chat.tokens.ben });
  await Promise.all([ann.write(5), ben.write(5)]);
  await end(ann, ben, 10);
  const forged = new Side(t, chat, "ann", "ben", { token: async () => `${chat.tokens.ann.slice(0, -8)}AAAAAAAA` });
  await until(() => forged.chat.state.state === "signed-out", "a forged token ends the client");
  const out = new Side(t, chat, "ann", "ben", { token: async () => { throw new SignedOut(); } });
  await until(() => out.chat.state.state === "signed-out", "and so does SignedOut");
});

test("a second connection of the same user sees what the first writes", async (t) => {
  const timing = { compare: 60_000 };
  const { ann, ben, chat } = await start(t, { timing });
  const other = new Side(t, chat, "ann", "ben", { timing });
  await until(() => other.chat.state.state === "online", "it is online");
  await ann.write(1);
  await until(() => other.shows("ann 0"), "the second one has it by a push");
  await Promise.all([ann.write(10), other.write(10, 3, "other"), ben.write(10)]);
  await end(ann, ben, 31);
  await agree(chat, other);
  assert.equal(other.snapshot.entries.length, 31);
});

test("texts of any content and users of any name arrive as they were written", async (t) => {
  const [one, two] = ["ann:%2B+/?#&=\u{1F600}", "學生 <b>\u202E'\"\\"];
  const chat = await startChat();
  t.after(() => chat.stop());
  const ann = new Side(t, chat, one, two);
  const ben = new Side(t, chat, two, one);
  const texts = ["<script>alert(1)</script>", "\u{1F600}".repeat(4_096), "half \uD83D", "\u202Egnp.exe\u2066", "a\0b", "\r\n\t", " ", '"}{"'];
  for (const text of texts) ann.talk.send(text);
  await end(ann, ben, texts.length);
  assert.deepEqual(ben.snapshot.entries.map(({ text }) => text), texts.map((text) => text.toWellFormed()));
  const refused = ann.talk.send("\0".repeat(16_384));
  await assert.rejects(refused.done, "a frame that is too large for the gateway fails, whatever is in it");
  refused.discard();
  ann.talk.send("the next");
  await end(ann, ben, texts.length + 1);
});

/** One side of a conversation, with all that it was shown. */
class Side {
  snapshot;
  states = [];
  written = [];
  /** Sockets that were open. */
  opened = [];
  /** Frames of the server. */
  frames = [];

  constructor(t, stack, user, peer, { timing, ...options } = {}) {
    const side = this;
    Object.assign(this, { user, peer, stack, token: options.token });
    this.chat = new Chat({
      socketUrl: options.token ? stack.ws : `${stack.ws}?user_id={user}`,
      historyUrl: stack.http,
      timing: { ...TIMING, ...timing },
      WebSocket: class extends WebSocket {
        constructor(...call) {
          super(...call);
          this.once("open", () => side.opened.push(this));
          this.on("message", (data) => side.frames.push(String(data)));
        }
      },
      user,
      ...options,
    });
    t.after(() => this.chat.close());
    this.chat.onState(({ state }) => this.states.push(state));
    this.talk = this.chat.with(peer);
    this.talk.onChange((snapshot) => this.#check(snapshot));
    this.chat.connect();
  }

  /** What must hold in every snapshot: one entry for each number and key, numbers ascend, own ones that wait come last. */
  #check(snapshot) {
    this.snapshot = snapshot;
    const { entries } = snapshot;
    const numbers = entries.filter(({ seq }) => seq !== undefined).map(({ seq }) => seq);
    const sound =
      new Set(entries.map(({ key }) => key)).size === entries.length &&
      numbers.every((seq, index) => index === 0 || seq > numbers[index - 1]) &&
      entries.slice(0, numbers.length).every(({ seq }) => seq !== undefined);
    if (!sound) this.problem ??= new Error(`${this.user} was shown ${JSON.stringify(entries)}`);
  }

  /** Sends `count` texts, one each `ms`. */
  async write(count, ms = 10, word = this.user) {
    for (let index = 0; index < count; index++) {
      const text = `${word} ${this.written.length}`;
      this.written.push(text);
      this.talk.send(text);
      await after(ms);
    }
  }

  shows(text) {
    return this.snapshot.entries.some((entry) => entry.text === text);
  }

  /** How many own messages are stored. */
  settled() {
    return this.snapshot.entries.filter(({ own, seq }) => own && seq !== undefined).length;
  }
}

/** Starts a chat with Ann and Ben on it. */
async function start(t, { timing, ...options } = {}) {
  const chat = await startChat(options);
  t.after(() => chat.stop());
  const ann = new Side(t, chat, "ann", "ben", { timing });
  const ben = new Side(t, chat, "ben", "ann", { timing });
  await until(() => [ann, ben].every((side) => side.chat.state.state === "online"), "both are online", 10_000);
  return { chat, ann, ben };
}

/** Waits until both sides show the log, and checks that it has `count` messages, each once, in the order of its sender. */
async function end(ann, ben, count, timeout = 15_000) {
  const complete = ({ snapshot }) => snapshot.entries.length === count && snapshot.entries.every(({ seq }) => seq !== undefined);
  const shown = ({ user, snapshot, chat }) => `${user} (${chat.state.state}) shows ${snapshot.entries.map(({ text, state }) => `${text.slice(0, 20)} ${state}`).join(", ")}`;
  await until(() => [ann, ben].every(complete), () => `${count} stored entries on both sides; ${[ann, ben].map(shown).join("; ")}`, timeout);
  for (const side of [ann, ben]) {
    const log = await agree(side.stack, side);
    assert.equal(log.length, count);
    assert.deepEqual(log.map(({ seq }) => seq), log.map((_, index) => index + 1), "numbers are dense");
    const own = log.filter(({ sender_id, message }) => sender_id === side.user && side.written.includes(message));
    assert.deepEqual(own.map(({ message }) => message), side.written, `${side.user}'s texts are in the order of writing`);
  }
}

/** Checks that a side shows exactly the log, and returns it. */
async function agree(stack, side) {
  const log = await history(side);
  const shown = () => side.snapshot.entries.map(({ seq, sender, text, timestamp }) => ({ seq, sender, text, timestamp }));
  const stored = log.map(({ seq, sender_id, message, timestamp }) => ({ seq, sender: sender_id, text: message, timestamp }));
  await until(() => side.snapshot.entries.length >= log.length, `${side.user} shows the log`);
  assert.deepEqual(shown(), stored, `${side.user} shows the log`);
  if (side.problem) throw side.problem;
  return log;
}

/** The whole log as the history has it. */
async function history({ stack, user, peer, token }) {
  const log = [];
  const query = `user1=${encodeURIComponent(user)}&user2=${encodeURIComponent(peer)}`;
  let url = `${stack.http}/chat/history?${query}`;
  while (url) {
    const headers = token ? { authorization: `Bearer ${await token({})}` } : {};
    const response = await fetch(url, { headers });
    assert.equal(response.status, 200, await response.clone().text());
    log.unshift(...(await response.json()));
    const previous = /<([^>]*)>; rel="prev"/.exec(response.headers.get("link") ?? "");
    url = previous && new URL(previous[1], url).href;
  }
  return log;
}

/** A database server of the test's own, which it may stop and start again. */
async function startDatabase(t) {
  const command = process.env.DATABASE_COMMAND;
  assert.ok(command, "DATABASE_COMMAND is not set: run these tests by `cargo test -p tests --test client`");
  const [program, ...flags] = JSON.parse(command);
  const port = Number(flags[flags.indexOf("--port") + 1]);
  let child;
  const database = {
    uri: `mongodb://127.0.0.1:${port}/?directConnection=true`,
    async start() {
      child = spawn(program, flags, { stdio: "ignore" });
      process.on("exit", () => child.kill("SIGKILL"));
      await until(() => listens(port), "the database listens", 20_000);
    },
    async stop() {
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await ended;
    },
  };
  t.after(() => database.stop());
  await database.start();
  return database;
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
