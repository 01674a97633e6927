// The client on real WebSockets: edits and deletes, between people, tabs and devices.

import assert from "node:assert/strict";

import { shown, shownOf, textsOf } from "./changes.js";
import { Browser, scenario } from "./clients.js";
import { times, until } from "./server.js";

/** Waits until a view shows the log of the server, with its edits and deletes. */
async function showsLog(view) {
  const { server, user } = view.client;
  const log = () => textsOf(server.log(user, view.peer)).map(shownOf);
  const same = () => JSON.stringify(view.entries.map(shown)) === JSON.stringify(log());
  await until(same, `${user} shows the log`).catch(() => assert.deepEqual(view.entries.map(shown), log()));
}

const changeFrames = (server) => server.frames.filter(({ frame }) => /^(edit|delete)Message$/.test(frame?.action));

scenario("edits and deletes are shown by both people and all their devices, also by one who was away", async (world) => {
  const { server } = world;
  const [ann, other, ben] = await Promise.all(["ann", "ann", "ben"].map((user) => world.online(user)));
  const views = [ann.with("ben"), other.with("ben"), ben.with("ann")];
  const [mine, , theirs] = views;
  for (const text of ["one", "two", "three"]) await mine.conversation.send(text).done;
  await theirs.shows(["one", "two", "three"]);
  await mine.conversation.edit(mine.entry("one"), "first");
  for (const view of views) await showsLog(view);
  server.onHandshake = ({ user }) => (user === "ben" ? { status: 503 } : undefined);
  server.cut("ben");
  await mine.conversation.remove(mine.entry("two"));
  await views[1].conversation.edit(views[1].entry("first"), "the first");
  await mine.conversation.edit(mine.entry("three"), "third");
  await mine.conversation.send("four").done;
  server.onHandshake = () => undefined;
  for (const view of views) await showsLog(view);
  assert.deepEqual(theirs.texts, ["the first", "", "third", "four"]);
  assert.deepEqual(theirs.now.unread, 3);
});

for (const [name, fault] of Object.entries({
  "whose ack is lost": { noAck: true },
  "whose connection is cut before it is stored": { cut: "before" },
  "whose connection is cut after it is stored": { cut: "after" },
  "that API Gateway rejects": { gatewayError: "Internal server error" },
  "that the server cannot take now": { error: { code: "unavailable", retryable: true } },
})) {
  scenario(`a change ${name} is sent again under its id, and made once`, async (world) => {
    const { server } = world;
    const ann = await world.online("ann");
    const view = ann.with("ben");
    await view.conversation.send("one").done;
    const once = times(1, fault);
    server.onFrame = (frame) => (frame.action === "editMessage" ? once() : undefined);
    await view.conversation.edit(view.entry("one"), "first");
    await view.conversation.remove(view.entry("first"));
    await showsLog(view);
    // The history may tell that it is stored before it is sent again.
    const ids = new Set(changeFrames(server).map(({ frame }) => `${frame.action} ${frame.client_message_id}`));
    assert.equal(ids.size, 2);
    assert.deepEqual(server.log("ann", "ben").map(({ seq, kind }) => [seq, kind]), [[1, undefined], [2, "edit"], [3, "delete"]]);
  });
}

scenario("changes that a tab leaves behind are made by another one, once", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const first = await world.online("ann", { tab: browser.tab("ann") });
  const view = first.with("ben");
  await view.conversation.send("one").done;
  server.onFrame = () => ({ stall: true });
  const two = view.conversation.send("two");
  await until(() => server.sends("ann").length === 2, "the second message is sent");
  view.conversation.edit(view.entry("one"), "first");
  view.conversation.edit(two, "second");
  await until(() => browser.outbox("ann").length === 3, "the storage has them");
  first.tab.die();
  server.onFrame = () => undefined;
  const next = await world.online("ann", { tab: browser.tab("ann") });
  const now = next.with("ben");
  await until(() => changeFrames(server).length >= 2, "the changes are sent");
  await showsLog(now);
  assert.deepEqual(now.texts, ["first", "second"]);
  assert.equal(server.log("ann", "ben").length, 4);
  await until(() => browser.outbox("ann").length === 0, "the storage has none any more");
});

scenario("a tab that has made its change late finds the message deleted by another device", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  await view.conversation.send("one").done;
  server.onFrame = (frame) => (frame.action === "editMessage" ? { delay: 60 } : undefined);
  const edited = view.conversation.edit(view.entry("one"), "first");
  server.change("ann", "ben", 1);
  await assert.rejects(edited, { code: "message_not_found" });
  await showsLog(view);
  assert.deepEqual(view.entries.map(({ text, change }) => [text, change]), [["", undefined]]);
});

scenario("too late: the edit is taken back and the error says so", async (world) => {
  const { server } = world;
  const ann = await world.online("ann");
  const view = ann.with("ben");
  await view.conversation.send("one").done;
  server.onFrame = (frame) => (frame.action === "editMessage" ? { error: { code: "too_late", message: "A message can be edited for a day.", retryable: false } } : undefined);
  await assert.rejects(view.conversation.edit(view.entry("one"), "first"), { code: "too_late", retryable: false });
  await until(() => view.entries[0].change?.state === "failed", "the change has failed");
  const [{ text, change }] = view.entries;
  assert.deepEqual([text, change.text, change.error.message], ["one", "first", "A message can be edited for a day."]);
  assert.equal(server.log("ann", "ben").length, 1);
});
