// The client on real sockets, against a server that fails on command: the 25 behaviours that a user can rely on.
// Real IndexedDB, Web Locks and tabs are in the tests of the page; here are stand-ins.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { setTimeout as after } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { promisify } from "node:util";

import { ChatError, SignedOut, indexedDbStorage } from "../src/index.js";
import { memoryStorage } from "./memory.js";
import { jitter, TIMING as USUAL } from "../src/timing.js";
import { scenario, TIMING } from "./clients.js";
import { times, token, until } from "./server.js";
import { Databases, Locks, seeded, Tab, wrap } from "./stand-ins.js";

const run = promisify(execFile);

/** Texts `word 1` to `word count`. */
const texts = (word, count) => Array.from({ length: count }, (_, index) => `${word} ${index + 1}`);

/** The entries of a conversation at this moment. */
function shown(talk) {
  let entries;
  talk.onChange((snapshot) => (entries = snapshot.entries))();
  return entries;
}

/** A browser: databases and locks that tabs of any user share. */
class Browser {
  databases = new Databases();
  locks = new Locks();

  tab(user) {
    return new Tab({ storage: indexedDbStorage(user, this.databases), locks: this.locks });
  }

  /** Rows of a user's outbox. */
  outbox(user) {
    return [...(this.databases.data.get(`meetme-chat:${user}`)?.get("outbox")?.values() ?? [])];
  }

  /** All rows of a user's database. */
  kept(user) {
    const stores = [...(this.databases.data.get(`meetme-chat:${user}`)?.values() ?? [])];
    return stores.flatMap((store) => [...store.values()]);
  }
}

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

scenario("7: the tab dies with five unacked: at the next start all five go out once, in order", async (world) => {
  const { server } = world;
  const browser = new Browser();
  server.onFrame = (frame) => (frame.action === "sendMessage" ? { mute: true } : undefined);
  const before = await world.online("ann", { tab: browser.tab("ann") });
  await before.with("ben").loaded();
  for (const text of texts("hi", 5)) before.with("ben").talk.send(text);
  await until(() => server.sends("ann").length === 1 && browser.outbox("ann").length === 5, "the first is on its way, all are kept");
  before.tab.die();
  server.onFrame = () => undefined;
  const ann = world.client("ann", { tab: browser.tab("ann") });
  ann.chat.connect();
  await ann.with("ben").shows(texts("hi", 5));
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 5));
  const again = server.sends("ann").slice(1);
  assert.deepEqual(again.map(({ frame }) => frame.message), texts("hi", 5), "each was sent once by the new one");
  await until(() => browser.outbox("ann").length === 0, "nothing is kept of what is stored");
});

scenario("7: a message leaves only when it is kept", async (world) => {
  const { server } = world;
  const browser = new Browser();
  let keep;
  const kept = new Promise((resolve) => (keep = resolve));
  const storage = wrap(indexedDbStorage("ann", browser.databases), (name, call) => (name === "putRow" ? kept.then(call) : call()));
  const ann = await world.online("ann", { tab: new Tab({ storage, locks: browser.locks }), timing: { storage: 5_000 } });
  const entry = ann.with("ben").talk.send("hi");
  await after(60);
  assert.equal(server.sends("ann").length, 0);
  keep();
  await entry.done;
});

scenario("7: what was closed offline is sent at the next start, and a message that failed is still shown", async (world) => {
  const { server } = world;
  const browser = new Browser();
  server.onFrame = (frame) => (frame.message === "bad" ? { error: { code: "invalid_frame", retryable: false } } : undefined);
  const first = await world.online("ann", { tab: browser.tab("ann") });
  await assert.rejects(first.with("ben").talk.send("bad").done);
  server.cut();
  server.onHandshake = () => ({ status: 503 });
  await first.until("waiting");
  for (const text of texts("hi", 3)) first.with("ben").talk.send(text);
  await first.chat.close();
  server.onHandshake = () => undefined;
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  const view = ann.with("ben");
  await until(() => view.texts.length === 4 && view.entries.filter(({ seq }) => seq).length === 3, "three are stored, and one has failed");
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 3));
  assert.deepEqual([view.entry("bad").state, view.entry("bad").error.code], ["failed", "invalid_frame"]);
  view.entry("bad").discard();
  await until(() => browser.outbox("ann").length === 0, "a discarded message is not kept");
});

scenario("7: what waited for more than a day is not sent unasked: it fails with a way to send it", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const before = world.client("ann", { tab: browser.tab("ann"), now: () => Date.now() - 25 * 3_600_000 });
  before.with("ben").talk.send("yesterday");
  await until(() => browser.outbox("ann").length === 1, "it is kept");
  before.tab.die();
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  const view = ann.with("ben");
  await until(() => view.entry("yesterday")?.state === "failed", "it has failed");
  assert.equal(view.entry("yesterday").error.code, "expired");
  assert.equal(server.sends("ann").length, 0);
  view.entry("yesterday").retry();
  await view.shows(["yesterday"]);
});

scenario("8: another user signs in on this browser: nothing of the first one is seen or sent", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  await ann.with("ben").talk.send("secret").done;
  server.post("ben", "ann", "secret as well");
  await until(() => ann.with("ben").texts.length === 2, "both are shown");
  server.onFrame = () => ({ stall: true });
  ann.with("cat").talk.send("not sent yet");
  await until(() => browser.outbox("ann").length === 1 && server.sends("ann").length === 2, "it is kept, and on its way");
  ann.tab.die();
  server.onFrame = () => undefined;
  const before = server.frames.length;
  const eve = await world.online("eve", { tab: browser.tab("eve") });
  const lists = [];
  eve.chat.onConversations((list) => lists.push(list));
  const views = ["ben", "cat", "ann"].map((peer) => eve.with(peer));
  await until(() => views.every(({ now }) => !now.loading), "all are loaded");
  await after(100);
  assert.deepEqual(views.flatMap(({ texts }) => texts), []);
  assert.deepEqual(lists.flat(), []);
  assert.equal(server.frames.slice(before).filter(({ frame }) => frame.action === "sendMessage").length, 0);
  const again = await world.online("ann", { tab: browser.tab("ann") });
  await again.with("cat").shows(["not sent yet"]);
});

scenario("8: forget() wipes the store and ends all tabs of the user, and no other's", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = (user) => world.online(user, { tab: browser.tab(user) });
  const [one, two, eve] = [await open("ann"), await open("ann"), await open("eve")];
  await one.with("ben").talk.send("hi").done;
  await eve.with("ben").talk.send("hi").done;
  await two.with("ben").shows(["hi"]);
  server.onFrame = () => ({ stall: true });
  const unsent = one.with("ben").talk.send("not sent");
  await until(() => browser.outbox("ann").length === 1, "it is kept");
  await one.chat.forget();
  await one.until("signed-out");
  await two.until("signed-out");
  await assert.rejects(unsent.done, (error) => error instanceof ChatError);
  await until(() => server.of("ann").length === 0, "its connections are closed");
  await after(150);
  assert.deepEqual([browser.kept("ann"), eve.state, browser.kept("eve").length > 0], [[], "online", true]);
  assert.deepEqual(one.with("ben").texts, []);
  server.onFrame = () => undefined;
  const again = await open("ann");
  await again.with("ben").shows(["hi"]);
});

const FAILURES = {
  "cannot be opened (private window)": (operation) => operation === "open" && new Error("not allowed"),
  "never opens (blocked upgrade)": (operation) => operation === "open" && "hang",
  "is full": (operation) => operation === "put" && new Error("quota"),
  "makes no transaction": (operation) => operation === "transaction" && new Error("closing"),
  "cannot be read": (operation) => operation === "getAll" && new Error("broken"),
  "does not delete": (operation) => operation === "delete" && new Error("broken"),
};

for (const [what, fail] of Object.entries(FAILURES)) {
  scenario(`9: a store that ${what} leaves all working in memory, and the client says so`, async (world) => {
    const browser = new Browser();
    browser.databases.fail = fail;
    const ann = await world.online("ann", { tab: browser.tab("ann"), timing: { storage: 100 } });
    const view = ann.with("ben");
    for (const text of texts("hi", 3)) await view.talk.send(text).done;
    view.talk.markRead();
    await until(() => ann.chat.persistent === false, "it says so");
    await view.shows(texts("hi", 3));
    await ann.chat.close();
  });
}

for (const operation of ["load", "putConversation", "putRow", "deleteRow", "adopt", "clear", "close"]) {
  scenario(`9: a storage whose ${operation} throws, rejects or never ends loses nothing`, async (world) => {
    for (const refuse of [() => { throw new Error("no"); }, () => Promise.reject(new Error("no")), () => new Promise(() => {})]) {
      const user = `ann ${Math.random()}`;
      const storage = wrap({ ...memoryStorage(), persistent: true }, (name, call) => (name === operation ? refuse() : call()));
      const ann = await world.online(user, { tab: new Tab({ storage }), timing: { storage: 60 } });
      await ann.with("ben").talk.send("one").done;
      await ann.with("ben").talk.send("two").done;
      await ann.with("ben").shows(["one", "two"]);
      if (operation === "clear") await ann.chat.forget();
      else if (operation !== "close") await until(() => ann.chat.persistent === false, "it says so");
      await ann.chat.close();
    }
  });
}

scenario("9: the store fails in the middle of things: what was not sent yet goes out all the same", async (world) => {
  const { server } = world;
  const browser = new Browser();
  server.onFrame = () => ({ stall: true });
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  const view = ann.with("ben");
  view.talk.send("one");
  view.talk.send("two");
  await until(() => browser.outbox("ann").length === 2 && server.sends("ann").length === 1, "both are kept");
  browser.databases.fail = () => new Error("the disk is gone");
  view.talk.send("three");
  server.onFrame = () => undefined;
  server.cut();
  await view.shows(["one", "two", "three"]);
  assert.equal(ann.chat.persistent, false);
});

scenario("10: the outbox of a dead tab is adopted once, and no message is stored twice", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = () => world.online("ann", { tab: browser.tab("ann"), timing: { ack: 60_000 } });
  server.onFrame = (frame) => (frame.action === "sendMessage" ? { mute: true } : undefined);
  const dying = await open();
  await dying.with("ben").loaded();
  for (const text of texts("hi", 4)) dying.with("ben").talk.send(text);
  await until(() => server.sends("ann").length === 1 && browser.outbox("ann").length === 4, "the first is on its way");
  const others = [await open(), await open()];
  await after(150);
  assert.equal(server.sends("ann").length, 1, "the outbox of a tab that lives is its own");
  server.onFrame = () => undefined;
  dying.tab.die();
  await until(() => server.texts("ann", "ben").length === 4, "another tab sends them");
  for (const other of others) await other.with("ben").shows(texts("hi", 4));
  await after(100);
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 4));
  const senders = new Set(server.sends("ann").slice(1).map(({ connection }) => connection));
  assert.equal(senders.size, 1, "one tab has adopted them");
  assert.equal(server.sends("ann").length, 5, "and sent each once");
  await until(() => browser.outbox("ann").length === 0, "nothing is kept of what is stored");
});

scenario("10: a tab that is closed leaves its outbox to another", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const [one, two] = [world.client("ann", { tab: browser.tab("ann") }), await world.online("ann", { tab: browser.tab("ann") })];
  for (const text of texts("hi", 3)) one.with("ben").talk.send(text);
  await until(() => browser.outbox("ann").length === 3, "all are kept");
  await one.chat.close();
  await two.with("ben").shows(texts("hi", 3));
  assert.equal(server.sends("ann").length, 3);
});

scenario("10: without Web Locks a message may be sent by two tabs, and is stored once", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = () => world.online("ann", { tab: browser.tab("ann"), locks: undefined });
  server.onFrame = (frame) => (frame.action === "sendMessage" ? { delay: 60 } : undefined);
  const one = await open();
  for (const text of texts("hi", 3)) one.with("ben").talk.send(text);
  await until(() => browser.outbox("ann").length === 3, "all are kept");
  const two = await open();
  for (const tab of [one, two]) await tab.with("ben").shows(texts("hi", 3));
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 3));
});

scenario("10: a tab that hangs while it looks for the outboxes of others holds up none of them", async (world) => {
  const browser = new Browser();
  const hanging = world.client("ann", {
    tab: new Tab({ locks: browser.locks, storage: wrap(indexedDbStorage("ann", browser.databases), (name, call) => (name === "adopt" ? new Promise(() => {}) : call())) }),
    timing: { storage: 60_000 },
  });
  hanging.chat.connect();
  await after(50);
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  await ann.with("ben").talk.send("hi").done;
  hanging.tab.die();
});

scenario("10: two tabs that write at the same time show the same", async (world) => {
  const browser = new Browser();
  const [one, two] = [await world.online("ann", { tab: browser.tab("ann") }), await world.online("ann", { tab: browser.tab("ann") })];
  for (let index = 0; index < 20; index++) {
    one.with("ben").talk.send(`one ${index}`);
    two.with("ben").talk.send(`two ${index}`);
  }
  await until(() => world.server.texts("ann", "ben").length === 40, "all are stored");
  await Promise.all([one.with("ben").showsLog(), two.with("ben").showsLog()]);
});

scenario("11: a push with a hole: the history is asked once, entries are in order and nothing is there twice", async (world) => {
  const { server } = world;
  const lost = new Set([2, 5, 6, 7]);
  server.onPush = ({ seq }) => (lost.has(seq) ? [] : [0]);
  const ben = await world.online("ben");
  const view = ben.with("ann");
  await until(() => server.requests.length && !view.now.loading, "the newest page is there");
  const asked = server.requests.length;
  for (const text of texts("hi", 3)) server.post("ann", "ben", text);
  await view.shows(texts("hi", 3));
  assert.equal(server.requests.length - asked, 1);
  assert.equal(server.requests.at(-1).query.after, "1");
  for (let index = 4; index <= 12; index++) server.post("ann", "ben", `hi ${index}`);
  await view.shows(texts("hi", 12));
  await after(50);
  assert.equal(server.requests.length - asked, 2);
});

scenario("11: a push that overtakes another by a moment asks nothing", async (world) => {
  const { server } = world;
  assert.equal(USUAL.gather, 100);
  server.onPush = ({ seq }) => [seq % 2 ? 30 : 0];
  const ben = await world.online("ben", { timing: { gather: 150 } });
  const view = await ben.with("ann").loaded();
  const asked = server.requests.length;
  for (let index = 1; index <= 6; index++) server.post("ann", "ben", `hi ${index}`);
  await view.shows(texts("hi", 6));
  await after(200);
  assert.equal(server.requests.length, asked);
});

scenario("11: pushes that come late, twice and in any order end as the log", async (world) => {
  const { server } = world;
  const random = seeded(11);
  server.onPush = () => Array.from({ length: Math.floor(random() * 3) }, () => Math.ceil(random() * 40));
  const [ann, ben] = [await world.online("ann", { timing: { compare: 100 } }), await world.online("ben", { timing: { compare: 100 } })];
  for (let index = 0; index < 40; index++) {
    ann.with("ben").talk.send(`ann ${index}`);
    ben.with("ann").talk.send(`ben ${index}`);
    await after(3);
  }
  await until(() => server.texts("ann", "ben").length === 80, "all are stored");
  await Promise.all([ann.with("ben").showsLog(), ben.with("ann").showsLog()]);
});

for (const fresh of [true, false]) {
  scenario(`12: pushes while a page is on its way: no double and no loss, ${fresh ? "when the page has them too" : "when the page is older"}`, async (world) => {
    const { server } = world;
    for (const text of texts("hi", 120)) server.post("ann", "ben", text, { push: false });
    server.onHistory = () => ({ delay: 60, fresh });
    const ben = await world.online("ben");
    const view = ben.with("ann");
    await until(() => server.requests.length === 1, "the newest page is asked for");
    for (let index = 121; index <= 123; index++) server.post("ann", "ben", `hi ${index}`);
    await until(() => view.texts.at(-1) === "hi 123" && !view.now.loading, "the newest are shown");
    await after(150);
    const newest = view.texts;
    assert.deepEqual(newest, texts("hi", 123).slice(-newest.length));
    const older = view.talk.older(50);
    await until(() => view.now.loading, "an older page is asked for");
    for (let index = 124; index <= 126; index++) server.post("ann", "ben", `hi ${index}`);
    await older;
    while ((await view.talk.older(50)).more);
    await view.shows(texts("hi", 126));
  });
}

scenario("13: the last push is lost and nothing follows: the comparison of the newest number finds it", async (world) => {
  const { server } = world;
  assert.ok(USUAL.compare <= 5 * 60_000, "every five minutes");
  server.onPush = () => [];
  const ben = await world.online("ben", { timing: { compare: 150 } });
  const view = ben.with("ann");
  server.post("ann", "ben", "lost");
  await view.shows(["lost"], 1_000);
  server.post("ann", "ben", "lost as well");
  await view.shows(["lost", "lost as well"], 1_000);
});

scenario("13: the last push is lost and nothing follows: it is seen at once when the user comes back", async (world) => {
  const { server } = world;
  server.onPush = () => [];
  const ben = await world.online("ben");
  const view = ben.with("ann");
  await until(() => server.requests.length && !view.now.loading, "the newest page is there");
  server.post("ann", "ben", "lost");
  ben.tab.hide();
  await after(50);
  assert.deepEqual(view.texts, []);
  ben.tab.show();
  await view.shows(["lost"], 1_000);
});

scenario("13: what came while the client was away is there after it connects again, and on every open conversation", async (world) => {
  const { server } = world;
  const ben = await world.online("ben");
  const views = ["ann", "cat"].map((peer) => ben.with(peer));
  await until(() => server.requests.length === 2 && views.every(({ now }) => !now.loading), "both are loaded");
  server.onHandshake = () => ({ delay: 50 });
  server.cut("ben");
  for (const peer of ["ann", "cat"]) for (const text of texts(peer, 3)) server.post(peer, "ben", text);
  for (const view of views) await view.shows(texts(view.peer, 3));
});

scenario("14: pages lead backward to the first document of the old system, and none is asked for after it", async (world) => {
  const { server } = world;
  server.addOld("ann", "ben", texts("old", 120));
  for (const text of texts("new", 3)) server.post("ann", "ben", text);
  const ben = await world.online("ben");
  const view = ben.with("ann");
  await until(() => !view.now.loading && view.entries.length, "the newest page is there");
  assert.equal(view.now.more, true);
  let rounds = 0;
  while ((await view.talk.older(50)).more) assert.ok(++rounds < 10, "it ends");
  await view.shows([...texts("old", 120), ...texts("new", 3)]);
  assert.equal(view.entries[0].seq, -119);
  assert.equal(view.now.more, false);
  const asked = server.requests.length;
  assert.deepEqual(await view.talk.older(50), { more: false });
  assert.equal(server.requests.length, asked);
  server.post("ann", "ben", "newest");
  await view.shows([...texts("old", 120), ...texts("new", 3), "newest"]);
});

scenario("14: two calls of older() at once load no page twice", async (world) => {
  const { server } = world;
  server.addOld("ann", "ben", texts("old", 200));
  server.onHistory = () => ({ delay: 20 });
  const ben = await world.online("ben");
  const view = ben.with("ann");
  await until(() => !view.now.loading && view.entries.length, "the newest page is there");
  await Promise.all([view.talk.older(50), view.talk.older(50)]);
  while ((await view.talk.older(50)).more);
  await view.shows(texts("old", 200));
  const befores = server.requests.map(({ query }) => query.before);
  assert.equal(new Set(befores).size, befores.length, `asked before ${befores}`);
});

scenario("14: all() reads the whole conversation, oldest first", async (world) => {
  const { server } = world;
  server.addOld("ann", "ben", texts("old", 1_100));
  for (const text of texts("new", 1_100)) server.post("ann", "ben", text, { push: false });
  const ben = await world.online("ben");
  const read = [];
  for await (const { text } of ben.chat.with("ann").all()) read.push(text);
  assert.deepEqual(read, [...texts("old", 1_100), ...texts("new", 1_100)]);
});

scenario("15: delays before a new try are random from 0 to a bound that doubles", async (world) => {
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

scenario("15: the bound starts again only after a while online, not with each connection that opens", async (world) => {
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
  await ann.with("ben").talk.send("hi").done;
  await after(350);
  server.cut("ann");
  await until(() => delays.length >= 6, "a cut after a while");
  assert.ok(delays[5] <= 40, `delays of ${delays} ms`);
});

test("15: ten thousand clients that are cut at once are back soon, and ask for less than 500 handshakes a second", () => {
  const random = seeded(15);
  const clients = Array.from({ length: 10_000 }, () => ({ n: 0, at: jitter(random, 0, USUAL.backoff, USUAL.backoffMax) }));
  const asked = [];
  let waiting = clients;
  for (let second = 0; waiting.length; second++) {
    assert.ok(second < 90, `${waiting.length} are still not back`);
    asked[second] = 0;
    let places = 500;
    for (const client of waiting) {
      while (client.at < (second + 1) * 1_000) {
        asked[second]++;
        if (places-- > 0) client.at = Infinity;
        else client.at += jitter(random, ++client.n, USUAL.backoff, USUAL.backoffMax);
      }
    }
    waiting = waiting.filter(({ at }) => at !== Infinity);
  }
  const busy = asked.findLastIndex((count) => count >= 500);
  assert.ok(busy < 25, `handshakes a second: ${asked}`);
});

scenario("16: a connection that is half dead is found when the user comes back", async (world) => {
  const { server } = world;
  assert.ok(USUAL.wakePong <= 5_000);
  const ann = await world.online("ann");
  ann.tab.hide();
  server.stall("ann");
  const entry = ann.with("ben").talk.send("hi");
  const start = performance.now();
  ann.tab.show();
  await until(() => server.past.length === 2, "there is a new connection", 1_000);
  assert.ok(performance.now() - start >= TIMING.wakePong - 5, "it was given the time to answer");
  await entry.done;
  await ann.with("ben").shows(["hi"]);
  await until(() => server.of("ann").length === 1, "the half dead one is closed");
});

scenario("16: coming back again and again does not put off the end of a connection that is half dead", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  server.stall("ann");
  const coming = setInterval(() => ann.tab.show(), TIMING.wakePong / 3);
  try {
    await until(() => server.past.length === 2, "there is a new connection", 1_000);
  } finally {
    clearInterval(coming);
  }
});

for (const [target, type, fields] of [["window", "online"], ["window", "pageshow", { persisted: true }], ["document", "visibilitychange"]]) {
  scenario(`16: a probe goes out on ${type}, and a connection that answers stays`, async (world) => {
    const { server } = world;
    const ann = await world.online("ann");
    await after(20);
    const pings = () => server.frames.filter(({ frame }) => frame.action === "ping").length;
    const before = pings();
    ann.tab[target].fire(type, fields);
    await until(() => pings() > before, "a probe");
    await after(TIMING.wakePong + 50);
    assert.equal(server.past.length, 1);
  });
}

scenario("16: a timer that is far too late means that the machine slept: the connection is probed", async (world) => {
  const { server } = world;
  let slept = 0;
  const ann = await world.online("ann", { now: () => Date.now() + slept, timing: { compare: 100, late: 20_000 } });
  ann.with("ben");
  await after(50);
  server.stall("ann");
  slept = 60_000;
  await until(() => server.past.length === 2, "there is a new connection", 2_000);
});

scenario("16: a connection that is half dead is found by the ping if nothing else finds it", async (world) => {
  const { server } = world;
  assert.ok(USUAL.ping <= 5 * 60_000);
  const ann = await world.online("ann", { timing: { ping: 150, pong: 100 } });
  server.stall("ann");
  await until(() => server.past.length === 2, "there is a new connection", 1_500);
  const entry = ann.with("ben").talk.send("hi");
  await entry.done;
});

scenario("16: pings go out after a silence in both directions, and not while there is traffic", async (world) => {
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
  assert.equal(server.past.length, 1);
  assert.equal(ann.state, "online");
});

scenario("17: hand-over under traffic of 20 messages a second both ways: no gap, no double, no state back", async (world) => {
  const { server } = world;
  const random = seeded(17);
  server.onFrame = () => ({ delay: random() * 20, ackDelay: random() * 60 });
  server.onPush = () => [Math.ceil(random() * 20)];
  const options = { timing: { handOverMin: 350, handOverMax: 500 } };
  const [ann, ben] = [await world.online("ann", options), await world.online("ben", options)];
  const sides = [[ann, ann.with("ben")], [ben, ben.with("ann")]];
  const entries = [];
  for (let index = 0; index < 60; index++) {
    for (const [client, view] of sides) entries.push(view.talk.send(`${client.user} ${index}`));
    await after(50);
  }
  await Promise.all(entries.map(({ done }) => done));
  for (const [client, view] of sides) {
    await view.showsLog();
    const own = server.texts("ann", "ben").filter((text) => text.startsWith(client.user));
    assert.deepEqual(own, Array.from({ length: 60 }, (_, index) => `${client.user} ${index}`));
    const past = server.past.filter(({ user }) => user === client.user);
    assert.ok(past.length >= 4, `${past.length} connections`);
    const states = client.states.map(({ state }) => state);
    assert.deepEqual(states.slice(states.indexOf("online")), ["online"], "nobody saw it");
    const ids = server.sends(client.user).map(({ frame }) => frame.client_message_id);
    assert.equal(new Set(ids).size, ids.length, "nothing had to be sent again");
    await until(() => server.of(client.user).length <= 2, "old connections are closed");
    assert.ok(past.slice(0, -2).every(({ code }) => code === 1_000 || code === 1_005), `closed with ${past.map(({ code }) => code)}`);
  }
});

scenario("17: a hand-over keeps the old connection until the new one has answered and the old one's acks are in", async (world) => {
  const { server } = world;
  server.onHandshake = ({ at }) => (server.handshakes.length > 1 ? { delay: 100 } : at && undefined);
  server.onFrame = (frame) => (frame.message === "slow" ? { delay: 400 } : undefined);
  let drawn = 0;
  const random = () => (drawn++ ? 0.999 : 0);
  const ann = await world.online("ann", { random, timing: { handOverMin: 200, handOverMax: 100_000, ack: 2_000, drain: 2_000 } });
  const [first] = server.past;
  await after(120);
  const slow = ann.with("ben").talk.send("slow");
  await until(() => server.past.length === 2, "the second opens");
  await until(() => server.frames.some(({ frame, connection }) => frame.action === "ping" && connection === server.past[1]), "it is probed");
  const other = ann.with("cat").talk.send("new frames");
  await other.done;
  assert.equal(server.sends("ann").at(-1).connection, server.past[1], "new frames go over the second");
  assert.equal(first.code, undefined, "the first is open, since an ack is to come");
  await slow.done;
  await until(() => first.code !== undefined, "then it is closed", 700);
  assert.equal(server.sends("ann").length, 2, "nothing was sent again");
  assert.ok(ann.states.every(({ state }) => ["idle", "connecting", "online"].includes(state)));
});

scenario("17: what is pushed while the hand-over is under way is there once", async (world) => {
  const { server } = world;
  server.onHandshake = () => (server.handshakes.length > 1 ? { delay: 150 } : undefined);
  const ben = await world.online("ben", { timing: { handOverMin: 150, handOverMax: 150 } });
  const view = ben.with("ann");
  for (let index = 1; index <= 60; index++) {
    server.post("ann", "ben", `hi ${index}`);
    await after(10);
  }
  assert.ok(server.past.length >= 2);
  await view.shows(texts("hi", 60));
});

test("17: a hand-over is between 100 and 115 minutes after the start, before the cut of two hours", () => {
  assert.ok(USUAL.handOverMin >= 100 * 60_000 && USUAL.handOverMax <= 115 * 60_000 && USUAL.handOverMin < USUAL.handOverMax);
});

for (const [how, rule] of [["refused", { status: 503 }], ["never answered", { hang: true }]]) {
  scenario(`18: a hand-over whose second connection is ${how} keeps the first, and is tried again`, async (world) => {
    const { server } = world;
    let fail = true;
    server.onHandshake = () => (fail && server.handshakes.length > 1 ? rule : undefined);
    const ann = await world.online("ann", { timing: { handOverMin: 100, handOverMax: 100, connect: 100 } });
    await until(() => server.handshakes.length >= 3, "it is tried again");
    const [first] = server.past;
    await ann.with("ben").talk.send("over the first").done;
    assert.equal(server.sends("ann").at(-1).connection, first);
    assert.deepEqual([server.past.length, first.code], [1, undefined]);
    fail = false;
    await until(() => server.past.length >= 2, "it succeeds at last");
    await until(() => first.code !== undefined, "the first is closed");
    await ann.with("ben").talk.send("over the second").done;
    assert.deepEqual(ann.states.map(({ state }) => state).filter((state) => state === "waiting" || state === "offline"), []);
    assert.equal(ann.states.filter(({ state }) => state === "connecting").length, 1);
  });
}

scenario("18: the first connection is cut while a hand-over is under way: the second takes over", async (world) => {
  const { server } = world;
  server.onHandshake = () => (server.handshakes.length > 1 ? { delay: 100 } : undefined);
  const ann = await world.online("ann", { timing: { handOverMin: 60, handOverMax: 60 } });
  await until(() => server.handshakes.length === 2, "the second is on its way");
  server.cut("ann");
  await ann.with("ben").talk.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  await until(() => server.of("ann").length >= 1, "a connection is open");
});

/** A token callback that counts, and takes a while. */
function issuer(user, { ms = 0, ...claims } = {}) {
  const issue = async ({ signal }) => {
    issue.signals.push(signal);
    issue.calls++;
    issue.most = Math.max(issue.most, ++issue.open);
    await after(ms);
    issue.open--;
    return token(user, claims);
  };
  return Object.assign(issue, { calls: 0, open: 0, most: 0, signals: [] });
}

scenario("19: one call of the token callback is in flight, whatever asks for it", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann", { ms: 80 });
  const ann = await world.online("ann", { token: issue });
  for (const peer of ["ben", "cat", "dan"]) ann.with(peer);
  await until(() => server.requests.length >= 3, "the conversations are loaded");
  for (const { token: old } of [...server.past]) server.revoked.add(old);
  server.cut("ann");
  for (const peer of ["eve", "fay"]) ann.with(peer);
  ann.tab.show();
  await ann.until("online");
  await ann.with("ben").talk.send("hi").done;
  assert.equal(issue.most, 1);
});

scenario("19: the token is refreshed before it expires, by its lifetime and not by this machine's clock", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann", { lifetime: 1, issued: 1_000_000_000 });
  const ann = await world.online("ann", { token: issue, timing: { tokenMargin: 200 } });
  const start = server.past[0].opened;
  assert.equal(USUAL.tokenMargin, 60_000);
  await until(() => server.past.length >= 2, "there is a connection with a new token", 1_500);
  const wait = server.past[1].opened - start;
  assert.ok(wait > 700 && wait < 1_000, `after ${wait} ms`);
  assert.notEqual(server.past[1].token, server.past[0].token);
  await ann.with("ben").talk.send("hi").done;
  assert.deepEqual(ann.states.map(({ state }) => state).filter((state) => state !== "idle"), ["connecting", "online"]);
  assert.ok(issue.calls <= 4, `${issue.calls} calls`);
});

scenario("19: a token that cannot be read is used until it is refused", { guarded: true }, async (world) => {
  const { server } = world;
  const good = token("ann");
  server.onHandshake = () => undefined;
  const ann = await world.online("ann", { token: async () => good.replace(/\.signed$/, ".") });
  await ann.with("ben").talk.send("hi").done;
  assert.equal(server.handshakes.length, 1);
});

scenario("19: SignedOut ends the client at once", { guarded: true }, async (world) => {
  const { server } = world;
  let out = false;
  const issue = issuer("ann");
  const callback = async (call) => {
    if (out) throw new SignedOut();
    return issue(call);
  };
  const ann = await world.online("ann", { token: callback });
  const view = ann.with("ben");
  await view.talk.send("hi").done;
  out = true;
  server.onFrame = () => ({ error: { code: "token_expired", retryable: true } });
  const entry = view.talk.send("too late");
  await ann.until("signed-out");
  const before = server.handshakes.length;
  await after(250);
  assert.deepEqual([server.handshakes.length, issue.calls], [before, 1]);
  assert.equal(view.entry("too late").key, entry.key, "nothing that was typed is lost");
});

scenario("19: a token that is refused is asked for anew, and the second refusal ends the client", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  server.onHandshake = () => ({ status: 401 });
  server.onHistory = () => ({ status: 401 });
  const ann = world.client("ann", { token: issue });
  ann.chat.connect();
  await ann.until("signed-out");
  assert.ok(issue.calls === 2, `${issue.calls} calls`);
  assert.equal(ann.chat.state.error.code, "unauthorized");
  const before = server.handshakes.length;
  await after(250);
  assert.equal(server.handshakes.length, before);
  assert.ok(before >= 2, "two handshakes in a row were refused before the history was asked");
});

scenario("19: a refused token, and a good new one: the client goes on", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  const stale = token("ann");
  server.revoked.add(stale);
  const ann = world.client("ann", { token: async (call) => (issue.calls++ ? issue(call) : stale) });
  ann.chat.connect();
  await ann.until("online");
  await ann.with("ben").talk.send("hi").done;
});

scenario("19: a handshake that is refused while the history lets one in goes on being tried", { guarded: true }, async (world) => {
  const { server } = world;
  server.onHandshake = () => (server.handshakes.length <= 5 ? { status: 500 } : undefined);
  const ann = world.client("ann", { token: issuer("ann") });
  ann.chat.connect();
  await ann.until("online");
  assert.equal(server.handshakes.length, 6);
});

scenario("19: a token callback that is slow does not block an open connection", { guarded: true }, async (world) => {
  const { server } = world;
  let slow = false;
  let slowCalls = 0;
  const issue = issuer("ann", { lifetime: 1 });
  const callback = (call) => (slow ? (slowCalls++, new Promise(() => {})) : issue(call));
  const ann = await world.online("ann", { token: callback, timing: { tokenMargin: 500 } });
  const view = ann.with("ben");
  slow = true;
  await until(() => slowCalls > 0, "the token is to be refreshed", 1_500);
  for (const text of texts("hi", 5)) await view.talk.send(text).done;
  server.post("ben", "ann", "push");
  await view.shows([...texts("hi", 5), "push"]);
  assert.equal(ann.state, "online");
  assert.equal(server.past.length, 1);
});

scenario("19: a token callback that never returns is given up, its signal fires, and it is called again", { guarded: true }, async (world) => {
  const signals = [];
  const callback = ({ signal }) => {
    signals.push(signal);
    return signals.length < 3 ? new Promise(() => {}) : Promise.resolve(token("ann"));
  };
  const ann = world.client("ann", { token: callback, timing: { token: 80 } });
  const entry = ann.with("ben").talk.send("typed");
  ann.chat.connect();
  await ann.until("online");
  await entry.done;
  assert.ok(signals[0].aborted && signals[1].aborted);
});

scenario("19: a token callback that fails is called again, with pauses", { guarded: true }, async (world) => {
  let calls = 0;
  const callback = async () => {
    if (++calls < 4) throw new Error("no network");
    return token("ann");
  };
  const ann = world.client("ann", { token: callback });
  ann.chat.connect();
  await ann.until("online");
  assert.equal(calls, 4);
  assert.ok(ann.states.some(({ state }) => state === "waiting"));
});

scenario("19: token_expired, which the server closes with 1000, leads to a new token and not to replaced", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  server.onFrame = times(1, { error: { code: "token_expired", retryable: true } });
  const ann = await world.online("ann", { token: issue });
  await ann.with("ben").talk.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  assert.equal(issue.calls, 2);
  assert.equal(server.past.length, 2);
  assert.ok(!ann.states.some(({ state }) => state === "replaced"));
});

scenario("19: a history that answers 401 gets a new token once, while the connection stays", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  const ann = await world.online("ann", { token: issue });
  server.onHistory = times(1, { status: 401 });
  server.post("ben", "ann", "hi", { push: false });
  await ann.with("ben").shows(["hi"]);
  assert.equal(issue.calls, 2);
  assert.equal(ann.state, "online");
});

scenario("20: closed with 1000 by the server: no new connection until the user comes back, then one", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  server.close(1_000, "ann");
  await ann.until("replaced");
  const entry = ann.with("ben").talk.send("waits");
  await after(4 * TIMING.backoffMax);
  assert.equal(server.handshakes.length, 1);
  assert.equal(entry.state, "queued");
  ann.tab.show();
  await ann.until("online");
  await entry.done;
  await after(100);
  assert.equal(server.handshakes.length, 2);
});

scenario("20: connect() ends the wait of a replaced client too", async (world) => {
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
  scenario(`20: closed with ${code}, the client connects again by itself`, async (world) => {
    const { server } = world;
    const ann = await world.online("ann");
    server.close(code, "ann");
    await until(() => server.past.length === 2, "a new connection");
    await ann.until("online");
    await ann.with("ben").talk.send("hi").done;
  });
}

scenario("21: late events of an old connection change nothing", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  await view.talk.send("hi").done;
  server.stall("ann");
  ann.tab.show();
  await until(() => server.past.length === 2, "a new connection");
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
  assert.equal(server.past.length, 2);
  assert.equal(server.handshakes.length, 2);
});

/** Rules of a server for each point at which a client is closed. */
const POINTS = {
  constructed: () => {},
  "connect() in the same turn": () => {},
  token: () => {},
  handshake: (server) => (server.onHandshake = () => ({ hang: true })),
  online: () => {},
  history: (server) => (server.onHistory = () => ({ hang: true })),
  "hand-over": (server) => (server.onHandshake = () => (server.handshakes.length > 1 ? { hang: true } : undefined)),
  stalled: (server) => (server.onFrame = () => ({ stall: true })),
  waiting: (server) => (server.onHandshake = () => ({ status: 503 })),
  "online with a dead peer": (server) => (server.dead = true),
};

for (const [point, prepare] of Object.entries(POINTS)) {
  scenario(`22: close() is silent and leaves no timer, no listener and no connection (${point})`, async (world) => {
    const { server } = world;
    prepare(server);
    const timing = { handOverMin: 30, handOverMax: 30, connect: 60_000, token: 60_000, request: 60_000 };
    const ann = world.client("ann", { timing, ...(point === "token" && { token: () => new Promise(() => {}) }) });
    const { tab, chat } = ann;
    if (point !== "constructed") {
      const view = ann.with("ben");
      chat.connect();
      if (["online", "history", "hand-over", "stalled", "online with a dead peer"].includes(point)) await ann.until("online");
      if (point === "waiting") await ann.until("waiting");
      if (point === "stalled") view.talk.send("hi");
      if (point === "hand-over") await until(() => server.handshakes.length > 1, "the second is on its way");
      if (!point.startsWith("connect()")) await after(20);
    }
    const states = ann.states.length;
    await Promise.all([chat.close(), chat.close()]);
    assert.equal(chat.state.state, "closed");
    // What is under way may go on for a moment, and must leave nothing behind.
    await after(20);
    await until(() => tab.sockets.every(({ readyState }) => readyState === 3), "the connections are closed", 2_000);
    await until(() => tab.timers.size === 0, () => `${tab.timers.size} timers are gone`, 1_000);
    assert.deepEqual([...tab.window.listeners, ...tab.document.listeners], []);
    assert.equal(tab.channels.size, 0);
    assert.deepEqual(tab.sharedLocks.heldBy(tab), []);
    assert.ok(ann.states.length - states <= 1, "at most the state closed is told");
    const handshakes = server.handshakes.length;
    tab.show();
    tab.window.fire("online");
    chat.connect();
    await after(60);
    assert.equal(server.handshakes.length, handshakes, "nothing wakes it up");
    assert.deepEqual(ann.logs.filter(([level]) => level === "error"), []);
  });
}

scenario("22: who waits for older pages is told that the chat is closed", async (world) => {
  const { server } = world;
  server.addOld("ben", "ann", texts("old", 100));
  const ann = await world.online("ann");
  const view = await ann.with("ben").loaded();
  server.onHistory = () => ({ hang: true });
  const older = view.talk.older();
  const all = view.talk.all().next();
  await until(() => view.now.loading, "it is asked for");
  const ends = [older, all].map((promise) => assert.rejects(promise, (error) => error instanceof ChatError));
  await ann.chat.close();
  await Promise.race([Promise.all(ends), after(500).then(() => assert.fail("somebody waits for ever"))]);
  const late = view.talk.older().catch((error) => error);
  assert.ok((await Promise.race([late, after(500)])) instanceof ChatError, "after the end, too");
});

scenario("22: two clients that come and go at once, as in React's StrictMode, leave one connection", async (world) => {
  const first = world.client("ann");
  first.chat.connect();
  const closing = first.chat.close();
  const second = await world.online("ann");
  await closing;
  await second.with("ben").talk.send("hi").done;
  await until(() => world.server.of("ann").length === 1, "one connection");
  assert.deepEqual([first.tab.channels.size, first.tab.timers.size], [0, 0]);
});

scenario("22: Node ends by itself after close(), at every point", async (world) => {
  const { server } = world;
  const ended = Object.entries(POINTS).map(async ([point, prepare]) => {
    const own = await world.another();
    prepare(own);
    const program = fileURLToPath(new URL("exits.js", import.meta.url));
    const { stdout, stderr } = await run(process.execPath, [program, point, own.socketUrl, own.historyUrl], { timeout: 10_000 });
    assert.deepEqual([point, stdout, stderr], [point, "closed\n", ""]);
  });
  await Promise.all(ended);
  assert.ok(server);
});

scenario("23: read marks never move back, and own messages are never unread", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  for (const text of texts("hi", 6)) server.post("ben", "ann", text);
  await until(() => view.now.unread === 6, "six are unread");
  view.talk.markRead(4);
  view.talk.markRead(2);
  await until(() => view.now.read === 4, "the mark is at four");
  assert.equal(view.now.unread, 2);
  await view.talk.send("own").done;
  await until(() => view.texts.includes("own"), "the own message is shown");
  assert.equal(view.now.unread, 2);
  view.talk.markRead(1_000);
  await until(() => view.now.unread === 0, "all are read");
  assert.equal(view.now.read, 7, "not beyond the newest");
  server.post("ben", "ann", "one more");
  await until(() => view.now.unread === 1, "a new one is unread");
  view.talk.markRead(NaN);
  view.talk.markRead(-5);
  view.talk.markRead();
  await until(() => view.now.unread === 0, "markRead() reads all");
  const reads = view.snapshots.map(({ read }) => read);
  assert.deepEqual(reads, [...reads].sort((a, b) => a - b));
});

scenario("23: a thousand marks are written at most every two seconds, and the last one when the page is hidden", async (world) => {
  const { server } = world;
  assert.equal(USUAL.save, 2_000);
  const written = [];
  const storage = wrap(memoryStorage(), (name, call, [row]) => {
    if (name === "putConversation") written.push({ at: performance.now(), read: row.read });
    return call();
  });
  const ann = await world.online("ann", { tab: new Tab({ storage }), timing: { save: 300 } });
  const view = ann.with("ben");
  for (let index = 0; index < 1_000; index++) server.post("ben", "ann", "hi", { push: false });
  await until(() => view.now.loading, "the newest page is asked for");
  await until(() => view.now.newest === 1_000, "all are known");
  await after(350);
  written.length = 0;
  const start = performance.now();
  for (let seq = 1; seq <= 1_000; seq++) {
    view.talk.markRead(seq);
    if (seq % 10 === 0) await after(1);
  }
  const most = Math.ceil((performance.now() - start) / 300) + 1;
  assert.ok(written.length <= most, `${written.length} writes`);
  const hidden = written.length;
  ann.tab.hide();
  await until(() => written.at(-1)?.read === 1_000, "the last one is written when the page is hidden", 100);
  assert.ok(written.length <= hidden + 1);
  assert.ok(server.frames.every(({ frame }) => ["sendMessage", "ping"].includes(frame.action)), "no frame goes to today's server");
});

scenario("23: read marks follow in another tab, and outlive both", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = () => world.online("ann", { tab: browser.tab("ann") });
  const [one, two] = [await open(), await open()];
  const [view, other] = [one.with("ben"), two.with("ben")];
  for (const text of texts("hi", 3)) server.post("ben", "ann", text);
  await until(() => view.now.unread === 3 && other.now.unread === 3, "both show three");
  view.talk.markRead(2);
  await until(() => other.now.read === 2, "the other tab follows");
  other.talk.markRead(1);
  other.talk.markRead(3);
  await until(() => view.now.read === 3, "and the first one, too");
  await one.chat.close();
  await two.chat.close();
  const third = await open();
  await until(() => third.with("ben").now.read === 3, "a new tab knows the mark");
  assert.equal(third.with("ben").now.unread, 0);
});

scenario("24: a handler that throws stops neither the client nor the other handlers", async (world) => {
  const { server } = world;
  const ann = world.client("ann");
  const { chat } = ann;
  const fail = () => { throw new Error("a handler fails"); };
  const seen = { states: [], lists: [], snapshots: [] };
  chat.onState(fail);
  chat.onState((state) => seen.states.push(state.state));
  chat.onConversations(fail);
  chat.onConversations((list) => seen.lists.push(list));
  const talk = chat.with("ben");
  talk.onChange(fail);
  talk.onChange((snapshot) => seen.snapshots.push(snapshot));
  chat.connect();
  await ann.until("online");
  await talk.send("hi").done;
  server.post("ben", "ann", "hello");
  await until(() => seen.snapshots.at(-1).entries.length === 2, "the other handler sees both");
  await until(() => seen.lists.at(-1)?.[0]?.last?.text === "hello", "so does that of the list");
  assert.equal(seen.states.at(-1), "online");
  assert.ok(ann.logs.some(([level, event]) => level === "error" && event === "listener_failed"), "it is logged");
});

scenario("24: a handler that is added twice is called twice, and one that is removed by another is not called", async (world) => {
  const ann = await world.online("ann");
  const talk = ann.chat.with("ben");
  let calls = 0;
  const count = () => calls++;
  const [stop, stopAgain] = [talk.onChange(count), talk.onChange(count)];
  await until(() => calls >= 2, "each was called");
  stop();
  const before = calls;
  await talk.send("hi").done;
  await until(() => calls > before, "the other is still called");
  stopAgain();
  await after(20);
  const end = calls;
  await talk.send("hi").done;
  await after(20);
  assert.equal(calls, end);
});

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
