// The client on real WebSockets, against a server that fails on command: pushes, the history and read marks.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { TIMING as USUAL } from "../src/timing.js";
import { Browser, scenario, texts } from "./clients.js";
import { memoryStorage } from "./memory.js";
import { seeded } from "./random.js";
import { until } from "./server.js";
import { Tab, wrap } from "./stand-ins.js";

scenario("a gap is read by one request, and entries are in order and not doubled", async (world) => {
  const { server } = world;
  const lost = new Set([2, 5, 6, 7]);
  server.onPush = ({ seq }) => (lost.has(seq) ? [] : [0]);
  const ben = await world.online("ben");
  const view = ben.with("ann");
  await until(() => server.requests.length && !view.now.loading, "the newest page was read");
  const requests = server.requests.length;
  for (const text of texts("hi", 3)) server.post("ann", "ben", text);
  await view.shows(texts("hi", 3));
  assert.equal(server.requests.length - requests, 1);
  assert.equal(server.requests.at(-1).query.after, "1");
  for (let index = 4; index <= 12; index++) server.post("ann", "ben", `hi ${index}`);
  await view.shows(texts("hi", 12));
  await after(50);
  assert.equal(server.requests.length - requests, 2);
});

scenario("a push that briefly overtakes another causes no request", async (world) => {
  const { server } = world;
  assert.equal(USUAL.gather, 100);
  server.onPush = ({ seq }) => [seq % 2 ? 30 : 0];
  const ben = await world.online("ben", { timing: { gather: 150 } });
  const view = await ben.with("ann").loaded();
  const requests = server.requests.length;
  for (let index = 1; index <= 6; index++) server.post("ann", "ben", `hi ${index}`);
  await view.shows(texts("hi", 6));
  await after(200);
  assert.equal(server.requests.length, requests);
});

scenario("pushes that arrive late, twice and in any order end up as the log", async (world) => {
  const { server } = world;
  const random = seeded(11);
  server.onPush = () => Array.from({ length: Math.floor(random() * 3) }, () => Math.ceil(random() * 40));
  const [ann, ben] = [await world.online("ann", { timing: { compare: 100 } }), await world.online("ben", { timing: { compare: 100 } })];
  for (let index = 0; index < 40; index++) {
    ann.with("ben").conversation.send(`ann ${index}`);
    ben.with("ann").conversation.send(`ben ${index}`);
    await after(3);
  }
  await until(() => server.texts("ann", "ben").length === 80, "all are stored");
  await Promise.all([ann.with("ben").showsLog(), ben.with("ann").showsLog()]);
});

for (const fresh of [true, false]) {
  scenario(`pushes that arrive while a page is being read are neither lost nor doubled, ${fresh ? "if the page has them too" : "if the page is older"}`, async (world) => {
    const { server } = world;
    for (const text of texts("hi", 120)) server.post("ann", "ben", text, { push: false });
    server.onHistory = () => ({ delay: 60, fresh });
    const ben = await world.online("ben");
    const view = ben.with("ann");
    await until(() => server.requests.length === 1, "the newest page is requested");
    for (let index = 121; index <= 123; index++) server.post("ann", "ben", `hi ${index}`);
    await until(() => view.texts.at(-1) === "hi 123" && !view.now.loading, "the newest are shown");
    await after(150);
    const newest = view.texts;
    assert.deepEqual(newest, texts("hi", 123).slice(-newest.length));
    const older = view.conversation.older(50);
    await until(() => view.now.loading, "an older page is requested");
    for (let index = 124; index <= 126; index++) server.post("ann", "ben", `hi ${index}`);
    await older;
    while ((await view.conversation.older(50)).more);
    await view.shows(texts("hi", 126));
  });
}

scenario("a lost last push is found by the comparison with the history", async (world) => {
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

scenario("a lost last push is found at once when the user comes back", async (world) => {
  const { server } = world;
  server.onPush = () => [];
  const ben = await world.online("ben");
  const view = ben.with("ann");
  await until(() => server.requests.length && !view.now.loading, "the newest page was read");
  server.post("ann", "ben", "lost");
  ben.tab.hide();
  await after(50);
  assert.deepEqual(view.texts, []);
  ben.tab.show();
  await view.shows(["lost"], 1_000);
});

scenario("messages that were missed while offline are shown after reconnecting, in every open conversation", async (world) => {
  const { server } = world;
  const ben = await world.online("ben");
  const views = ["ann", "cat"].map((peer) => ben.with(peer));
  await until(() => server.requests.length === 2 && views.every(({ now }) => !now.loading), "both were read");
  server.onHandshake = () => ({ delay: 50 });
  server.cut("ben");
  for (const peer of ["ann", "cat"]) for (const text of texts(peer, 3)) server.post(peer, "ben", text);
  for (const view of views) await view.shows(texts(view.peer, 3));
});

scenario("older pages go back to the first document of the old system, and then no request is made", async (world) => {
  const { server } = world;
  server.addOld("ann", "ben", texts("old", 120));
  for (const text of texts("new", 3)) server.post("ann", "ben", text);
  const ben = await world.online("ben");
  const view = ben.with("ann");
  await until(() => !view.now.loading && view.entries.length, "the newest page was read");
  assert.equal(view.now.more, true);
  let rounds = 0;
  while ((await view.conversation.older(50)).more) assert.ok(++rounds < 10, "it ends");
  await view.shows([...texts("old", 120), ...texts("new", 3)]);
  assert.equal(view.entries[0].seq, -119);
  assert.equal(view.now.more, false);
  const requests = server.requests.length;
  assert.deepEqual(await view.conversation.older(50), { more: false });
  assert.equal(server.requests.length, requests);
  server.post("ann", "ben", "newest");
  await view.shows([...texts("old", 120), ...texts("new", 3), "newest"]);
});

scenario("two concurrent calls of older() read no page twice", async (world) => {
  const { server } = world;
  server.addOld("ann", "ben", texts("old", 200));
  server.onHistory = () => ({ delay: 20 });
  const ben = await world.online("ben");
  const view = ben.with("ann");
  await until(() => !view.now.loading && view.entries.length, "the newest page was read");
  await Promise.all([view.conversation.older(50), view.conversation.older(50)]);
  while ((await view.conversation.older(50)).more);
  await view.shows(texts("old", 200));
  const befores = server.requests.map(({ query }) => query.before);
  assert.equal(new Set(befores).size, befores.length, `requested before ${befores}`);
});

scenario("all() reads the whole conversation, oldest first", async (world) => {
  const { server } = world;
  server.addOld("ann", "ben", texts("old", 1_100));
  for (const text of texts("new", 1_100)) server.post("ann", "ben", text, { push: false });
  const ben = await world.online("ben");
  const read = [];
  for await (const { text } of ben.chat.with("ann").all()) read.push(text);
  assert.deepEqual(read, [...texts("old", 1_100), ...texts("new", 1_100)]);
});

scenario("read marks never go back, and own messages are never unread", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  for (const text of texts("hi", 6)) server.post("ben", "ann", text);
  await until(() => view.now.unread === 6, "six are unread");
  view.conversation.markRead(4);
  view.conversation.markRead(2);
  await until(() => view.now.read === 4, "the mark is at four");
  assert.equal(view.now.unread, 2);
  await view.conversation.send("own").done;
  await until(() => view.texts.includes("own"), "the own message is shown");
  assert.equal(view.now.unread, 2);
  view.conversation.markRead(1_000);
  await until(() => view.now.unread === 0, "all are read");
  assert.equal(view.now.read, 7, "not beyond the newest");
  server.post("ben", "ann", "one more");
  await until(() => view.now.unread === 1, "a new one is unread");
  view.conversation.markRead(NaN);
  view.conversation.markRead(-5);
  view.conversation.markRead();
  await until(() => view.now.unread === 0, "markRead() reads all");
  const reads = view.snapshots.map(({ read }) => read);
  assert.deepEqual(reads, [...reads].sort((a, b) => a - b));
});

scenario("1,000 read marks are stored and sent at most every two seconds, and the last one when the page is hidden", async (world) => {
  const { server } = world;
  assert.deepEqual([USUAL.save, USUAL.mark], [2_000, 2_000]);
  const written = [];
  const storage = wrap(memoryStorage(), (name, call, [row]) => {
    if (name === "putConversation") written.push({ at: performance.now(), read: row.read });
    return call();
  });
  const ann = await world.online("ann", { tab: new Tab({ storage }), timing: { save: 300, mark: 300 } });
  const view = ann.with("ben");
  for (let index = 0; index < 1_000; index++) server.post("ben", "ann", "hi", { push: false });
  await until(() => view.now.loading, "the newest page is requested");
  await until(() => view.now.newest === 1_000, "all are known");
  await after(350);
  written.length = 0;
  const start = performance.now();
  for (let seq = 1; seq <= 1_000; seq++) {
    view.conversation.markRead(seq);
    if (seq % 10 === 0) await after(1);
  }
  const most = Math.ceil((performance.now() - start) / 300) + 1;
  const marks = () => server.frames.flatMap(({ frame }) => (frame.action === "mark" ? (frame.read ?? []) : []));
  assert.ok(written.length <= most, `${written.length} writes`);
  assert.ok(marks().length <= most, `${marks().length} frames`);
  const hidden = written.length;
  ann.tab.hide();
  await until(() => written.at(-1)?.read === 1_000, "the last one is written when the page is hidden", 100);
  assert.ok(written.length <= hidden + 1);
  await until(() => marks().at(-1) === 1_000, "and sent", 100);
  assert.deepEqual(marks(), [...marks()].sort((a, b) => a - b));
});

scenario("read marks reach another tab, and are kept after both are closed", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = () => world.online("ann", { tab: browser.tab("ann") });
  const [one, two] = [await open(), await open()];
  const [view, other] = [one.with("ben"), two.with("ben")];
  for (const text of texts("hi", 3)) server.post("ben", "ann", text);
  await until(() => view.now.unread === 3 && other.now.unread === 3, "both show three");
  view.conversation.markRead(2);
  await until(() => other.now.read === 2, "the other tab follows");
  other.conversation.markRead(1);
  other.conversation.markRead(3);
  await until(() => view.now.read === 3, "and the first one, too");
  await one.chat.close();
  await two.chat.close();
  const third = await open();
  await until(() => third.with("ben").now.read === 3, "a new tab knows the mark");
  assert.equal(third.with("ben").now.unread, 0);
});
