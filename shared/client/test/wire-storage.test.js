// The client on real WebSockets, against a server that fails on command: the storage of the browser, and several tabs.
// IndexedDB, Web Locks and tabs are stand-ins here; the tests of the page use real ones.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { ChatError, indexedDbStorage } from "../src/index.js";
import { Browser, scenario, texts } from "./clients.js";
import { memoryStorage } from "./memory.js";
import { until } from "./server.js";
import { Tab, wrap } from "./stand-ins.js";

scenario("five unacknowledged messages of a dead tab are sent at the next start, once and in order", async (world) => {
  const { server } = world;
  const browser = new Browser();
  server.onFrame = (frame) => (frame.action === "sendMessage" ? { noAck: true } : undefined);
  const before = await world.online("ann", { tab: browser.tab("ann") });
  await before.with("ben").loaded();
  for (const text of texts("hi", 5)) before.with("ben").conversation.send(text);
  await until(() => server.sends("ann").length === 1 && browser.outbox("ann").length === 5, "the first is sent, and the storage has all");
  before.tab.die();
  server.onFrame = () => undefined;
  const ann = world.client("ann", { tab: browser.tab("ann") });
  ann.chat.connect();
  await ann.with("ben").shows(texts("hi", 5));
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 5));
  const again = server.sends("ann").slice(1);
  assert.deepEqual(again.map(({ frame }) => frame.message), texts("hi", 5), "each was sent once by the new one");
  await until(() => browser.outbox("ann").length === 0, "the outbox is empty");
});

scenario("a message is sent only when the storage has it", async (world) => {
  const { server } = world;
  const browser = new Browser();
  let store;
  const stored = new Promise((resolve) => (store = resolve));
  const storage = wrap(indexedDbStorage("ann", browser.databases), (name, call) => (name === "putRow" ? stored.then(call) : call()));
  const ann = await world.online("ann", { tab: new Tab({ storage, locks: browser.locks }), timing: { storage: 5_000 } });
  const entry = ann.with("ben").conversation.send("hi");
  await after(60);
  assert.equal(server.sends("ann").length, 0);
  store();
  await entry.done;
});

scenario("messages that were queued at close() are sent at the next start, and a failed one is still shown", async (world) => {
  const { server } = world;
  const browser = new Browser();
  server.onFrame = (frame) => (frame.message === "bad" ? { error: { code: "invalid_frame", retryable: false } } : undefined);
  const first = await world.online("ann", { tab: browser.tab("ann") });
  await assert.rejects(first.with("ben").conversation.send("bad").done);
  server.cut();
  server.onHandshake = () => ({ status: 503 });
  await first.until("waiting");
  for (const text of texts("hi", 3)) first.with("ben").conversation.send(text);
  await first.chat.close();
  server.onHandshake = () => undefined;
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  const view = ann.with("ben");
  await until(() => view.texts.length === 4 && view.entries.filter(({ seq }) => seq).length === 3, "three are stored, and one has failed");
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 3));
  assert.deepEqual([view.entry("bad").state, view.entry("bad").error.code], ["failed", "invalid_frame"]);
  view.entry("bad").discard();
  await until(() => browser.outbox("ann").length === 0, "the outbox is empty");
});

scenario("a message that was queued for more than a day fails, and is sent only by retry()", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const before = world.client("ann", { tab: browser.tab("ann"), now: () => Date.now() - 25 * 3_600_000 });
  before.with("ben").conversation.send("yesterday");
  await until(() => browser.outbox("ann").length === 1, "the storage has it");
  before.tab.die();
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  const view = ann.with("ben");
  await until(() => view.entry("yesterday")?.state === "failed", "it has failed");
  assert.equal(view.entry("yesterday").error.code, "expired");
  assert.equal(server.sends("ann").length, 0);
  view.entry("yesterday").retry();
  await view.shows(["yesterday"]);
});

scenario("another user of the same browser sees and sends nothing of the first one", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  await ann.with("ben").conversation.send("secret").done;
  server.post("ben", "ann", "secret as well");
  await until(() => ann.with("ben").texts.length === 2, "both are shown");
  server.onFrame = () => ({ stall: true });
  ann.with("cat").conversation.send("not sent yet");
  await until(() => browser.outbox("ann").length === 1 && server.sends("ann").length === 2, "the storage has it, and it is sent");
  ann.tab.die();
  server.onFrame = () => undefined;
  const before = server.frames.length;
  const eve = await world.online("eve", { tab: browser.tab("eve") });
  const lists = [];
  eve.chat.onConversations((list) => lists.push(list));
  const views = ["ben", "cat", "ann"].map((peer) => eve.with(peer));
  await until(() => views.every(({ now }) => !now.loading), "all were read");
  await after(100);
  assert.deepEqual(views.flatMap(({ texts }) => texts), []);
  assert.deepEqual(lists.flatMap(({ conversations }) => conversations), []);
  assert.equal(server.frames.slice(before).filter(({ frame }) => frame.action === "sendMessage").length, 0);
  const again = await world.online("ann", { tab: browser.tab("ann") });
  await again.with("cat").shows(["not sent yet"]);
});

scenario("forget() deletes the storage and signs out all tabs of the user, and no other user's", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = (user) => world.online(user, { tab: browser.tab(user) });
  const [one, two, eve] = [await open("ann"), await open("ann"), await open("eve")];
  await one.with("ben").conversation.send("hi").done;
  await eve.with("ben").conversation.send("hi").done;
  await two.with("ben").shows(["hi"]);
  server.onFrame = () => ({ stall: true });
  const unsent = one.with("ben").conversation.send("not sent");
  await until(() => browser.outbox("ann").length === 1, "the storage has it");
  await one.chat.forget();
  await one.until("signed-out");
  await two.until("signed-out");
  await assert.rejects(unsent.done, (error) => error instanceof ChatError);
  await until(() => server.connectionsOf("ann").length === 0, "its connections are closed");
  await after(150);
  assert.deepEqual([browser.rows("ann"), eve.state, browser.rows("eve").length > 0], [[], "online", true]);
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
  scenario(`with a database that ${what} the client works in memory, and is not persistent`, async (world) => {
    const browser = new Browser();
    browser.databases.fail = fail;
    const ann = await world.online("ann", { tab: browser.tab("ann"), timing: { storage: 100 } });
    const view = ann.with("ben");
    for (const text of texts("hi", 3)) await view.conversation.send(text).done;
    view.conversation.markRead();
    await until(() => ann.chat.persistent === false, "the client is not persistent");
    await view.shows(texts("hi", 3));
    await ann.chat.close();
  });
}

for (const operation of ["load", "putConversation", "putRow", "deleteRow", "adopt", "clear", "close"]) {
  scenario(`a storage whose ${operation} throws, rejects or never settles loses no message`, async (world) => {
    for (const refuse of [() => { throw new Error("no"); }, () => Promise.reject(new Error("no")), () => new Promise(() => {})]) {
      const user = `ann ${Math.random()}`;
      const storage = wrap({ ...memoryStorage(), persistent: true }, (name, call) => (name === operation ? refuse() : call()));
      const ann = await world.online(user, { tab: new Tab({ storage }), timing: { storage: 60 } });
      await ann.with("ben").conversation.send("one").done;
      await ann.with("ben").conversation.send("two").done;
      await ann.with("ben").shows(["one", "two"]);
      if (operation === "clear") await ann.chat.forget();
      else if (operation !== "close") await until(() => ann.chat.persistent === false, "the client is not persistent");
      await ann.chat.close();
    }
  });
}

scenario("queued messages are sent even if the storage fails meanwhile", async (world) => {
  const { server } = world;
  const browser = new Browser();
  server.onFrame = () => ({ stall: true });
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  const view = ann.with("ben");
  view.conversation.send("one");
  view.conversation.send("two");
  await until(() => browser.outbox("ann").length === 2 && server.sends("ann").length === 1, "the storage has both");
  browser.databases.fail = () => new Error("the disk is gone");
  view.conversation.send("three");
  server.onFrame = () => undefined;
  server.cut();
  await view.shows(["one", "two", "three"]);
  assert.equal(ann.chat.persistent, false);
});

scenario("the outbox of a dead tab is adopted by one tab, and no message is stored twice", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = () => world.online("ann", { tab: browser.tab("ann"), timing: { ack: 60_000 } });
  server.onFrame = (frame) => (frame.action === "sendMessage" ? { noAck: true } : undefined);
  const dying = await open();
  await dying.with("ben").loaded();
  for (const text of texts("hi", 4)) dying.with("ben").conversation.send(text);
  await until(() => server.sends("ann").length === 1 && browser.outbox("ann").length === 4, "the first is sent");
  const others = [await open(), await open()];
  await after(150);
  assert.equal(server.sends("ann").length, 1, "the outbox of a live tab is not adopted");
  server.onFrame = () => undefined;
  dying.tab.die();
  await until(() => server.texts("ann", "ben").length === 4, "another tab sends them");
  for (const other of others) await other.with("ben").shows(texts("hi", 4));
  await after(100);
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 4));
  const senders = new Set(server.sends("ann").slice(1).map(({ connection }) => connection));
  assert.equal(senders.size, 1, "one tab has adopted them");
  assert.equal(server.sends("ann").length, 5, "and sent each once");
  await until(() => browser.outbox("ann").length === 0, "the outbox is empty");
});

scenario("the outbox of a closed tab is adopted by another", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const [one, two] = [world.client("ann", { tab: browser.tab("ann") }), await world.online("ann", { tab: browser.tab("ann") })];
  for (const text of texts("hi", 3)) one.with("ben").conversation.send(text);
  await until(() => browser.outbox("ann").length === 3, "the storage has all");
  await one.chat.close();
  await two.with("ben").shows(texts("hi", 3));
  assert.equal(server.sends("ann").length, 3);
});

scenario("without Web Locks a message may be sent by two tabs, and is stored once", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = () => world.online("ann", { tab: browser.tab("ann"), locks: undefined });
  server.onFrame = (frame) => (frame.action === "sendMessage" ? { delay: 60 } : undefined);
  const one = await open();
  for (const text of texts("hi", 3)) one.with("ben").conversation.send(text);
  await until(() => browser.outbox("ann").length === 3, "the storage has all");
  const two = await open();
  for (const tab of [one, two]) await tab.with("ben").shows(texts("hi", 3));
  assert.deepEqual(server.texts("ann", "ben"), texts("hi", 3));
});

scenario("a tab that hangs while it adopts outboxes does not delay the others", async (world) => {
  const browser = new Browser();
  const hanging = world.client("ann", {
    tab: new Tab({ locks: browser.locks, storage: wrap(indexedDbStorage("ann", browser.databases), (name, call) => (name === "adopt" ? new Promise(() => {}) : call())) }),
    timing: { storage: 60_000 },
  });
  hanging.chat.connect();
  await after(50);
  const ann = await world.online("ann", { tab: browser.tab("ann") });
  await ann.with("ben").conversation.send("hi").done;
  hanging.tab.die();
});

scenario("two tabs that send at the same time show the same messages", async (world) => {
  const browser = new Browser();
  const [one, two] = [await world.online("ann", { tab: browser.tab("ann") }), await world.online("ann", { tab: browser.tab("ann") })];
  for (let index = 0; index < 20; index++) {
    one.with("ben").conversation.send(`one ${index}`);
    two.with("ben").conversation.send(`two ${index}`);
  }
  await until(() => world.server.texts("ann", "ben").length === 40, "all are stored");
  await Promise.all([one.with("ben").showsLog(), two.with("ben").showsLog()]);
});
