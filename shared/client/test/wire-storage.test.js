// The client on real sockets, against a server that fails on command: what is kept in the browser, and tabs.
// Real IndexedDB, Web Locks and tabs are in the tests of the page; here are stand-ins.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { ChatError, indexedDbStorage } from "../src/index.js";
import { Browser, scenario, texts } from "./clients.js";
import { memoryStorage } from "./memory.js";
import { until } from "./server.js";
import { Tab, wrap } from "./stand-ins.js";

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
