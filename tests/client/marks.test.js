// Marks, unread messages, the list and presence of the client library on the whole chat, under faults. In the end both clients show
// the same marks, and the number of unread messages is what a count over the log gives.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";

import { until } from "../../shared/client/test/server.js";
import { Client, expectAllShown, expectLog, start } from "./clients.js";
import { startChat } from "./stack.js";

/** Short intervals, in ms. */
const timing = { mark: 50, delivered: 20, list: 100, presence: 200 };

/** Returns the row of a client's conversation in the server's list. */
async function rowOf({ stack, user, peer }) {
  const response = await fetch(`${stack.http}/chat/conversations?user=${encodeURIComponent(user)}`);
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()).find((row) => row.peer_id === peer);
}

/** Waits until a client shows the marks and the unread messages of the server, and a count over the log agrees. */
async function expectMarks(one, other) {
  const agrees = ({ snapshot }, row) =>
    snapshot.unread === row.unread && snapshot.readByPeer === row.peer_read && snapshot.deliveredToPeer === row.peer_delivered;
  const shown = ({ snapshot }, row) => {
    const { read, unread, readByPeer, deliveredToPeer } = snapshot;
    return `${JSON.stringify({ read, unread, readByPeer, deliveredToPeer })} shown, ${JSON.stringify(row)} in the list`;
  };
  for (const client of [one, other]) {
    let row;
    const same = async () => agrees(client, (row = await rowOf(client)));
    await until(same, () => `${client.user} has the marks of the server: ${shown(client, row)}`, 15_000);
    const log = await expectLog(client.stack, client);
    assert.equal(row.unread, log.filter(({ sender_id, seq }) => sender_id !== client.user && seq > row.read).length);
    for (const { own, seq, state } of client.snapshot.entries) if (own && seq <= row.peer_read) assert.equal(state, "read");
  }
}

/** Marks what a client shows as read, again and again, while something runs. */
async function readWhile({ conversation }, work) {
  let running = true;
  const reading = (async () => {
    for (; running; await after(40)) conversation.markRead();
  })();
  await work;
  running = false;
  await reading;
}

test("the other side sees what was read, and the unread messages are those of the server", async (t) => {
  const { ann, ben } = await start(t, { timing });
  await ann.write(5);
  await expectAllShown(ann, ben, 5);
  assert.deepEqual([ben.snapshot.unread, ann.snapshot.unread], [5, 0]);
  ben.conversation.markRead(3);
  await until(() => ann.snapshot.entries.map(({ state }) => state).join() === "read,read,read,delivered,delivered", "ann sees three read");
  await expectMarks(ann, ben);
  // A message of the reader marks nothing.
  await ben.write(1);
  await expectAllShown(ann, ben, 6);
  await expectMarks(ann, ben);
  assert.equal(ben.snapshot.unread, 2);
});

test("marks and ticks are the same on both sides while connections are cut and pushes are lost", async (t) => {
  const { ann, ben, chat } = await start(t, { timing });
  await chat.put({ seed: 5, cut: 0.05, pushes: { drop: 0.3, duplicate: 0.2, delay_ms: 100 } });
  await readWhile(ben, Promise.all([ann.write(15), ben.write(15)]));
  await chat.cut();
  await ann.write(5);
  await chat.put({});
  await expectAllShown(ann, ben, 35, 30_000);
  await expectMarks(ann, ben);
  ben.conversation.markRead();
  await until(() => ann.snapshot.entries.every(({ own, state }) => !own || state === "read"), "all is read");
  await expectMarks(ann, ben);
});

test("marks and ticks are the same on both sides after kills of send-message", async (t) => {
  const { ann, ben, chat } = await start(t, { timing });
  await chat.put({ seed: 6, kill: [{ function: "SendMessageFunction", at: "invoke", share: 0.2 }] });
  await readWhile(ben, Promise.all([ann.write(12), ben.write(12)]));
  await until(() => ann.storedCount() + ben.storedCount() >= 20, "most messages are stored", 20_000);
  await chat.put({});
  await expectAllShown(ann, ben, 24);
  await expectMarks(ann, ben);
});

test("a flood of marks is slowed down by the user's limit, and the last one arrives", async (t) => {
  const { ann, ben } = await start(t, { timing, flags: ["--parameter", "MarkRate=2", "--parameter", "MarkBurst=2"] });
  await ann.write(10);
  await expectAllShown(ann, ben, 10);
  for (let seq = 1; seq <= 10; seq++) {
    ben.conversation.markRead(seq);
    await after(60);
  }
  await until(() => ben.frames.some((text) => text.includes("rate_limited")), "the limit was reached");
  await until(() => ann.snapshot.readByPeer === 10, "the last mark arrives");
});

test("marks follow to a second device, and a late or too large mark changes nothing", async (t) => {
  const { ann, ben, chat } = await start(t, { timing });
  const phone = new Client(t, chat, "ben", "ann", { timing });
  await until(() => phone.chat.state.state === "online", "the phone is online");
  await ann.write(6);
  await expectAllShown(ann, ben, 6);
  const lists = [];
  phone.chat.onConversations((list) => lists.push(list));
  ben.conversation.markRead(4);
  await until(() => phone.snapshot.unread === 2 && lists.at(-1).unread === 2, "the phone follows");
  const [socket] = phone.opened;
  for (const read of [2, 2 ** 53]) socket.send(JSON.stringify({ action: "mark", conversation_id: ben.conversation.id, read }));
  await until(() => ben.snapshot.unread === 0, "the large one reads all there is");
  await ann.write(1);
  await until(() => ben.snapshot.unread === 1 && phone.snapshot.unread === 1, "and not what comes later");
  await expectMarks(ann, ben);
});

test("typing ends by itself, when nobody sends anything more", async (t) => {
  const { ann, ben } = await start(t, { timing: { ...timing, typingShown: 400 } });
  // Typing is told only while the other one seems to be there: who has just written is.
  await ann.write(1);
  await ben.write(1);
  await expectAllShown(ann, ben, 2);
  const shown = [];
  ben.conversation.onChange(({ typing }) => shown.push(typing.join()));
  ann.conversation.typing();
  await until(() => shown.includes("ann"), "ben sees that ann writes");
  await until(() => shown.at(-1) === "" && ben.snapshot.typing.length === 0, "and that she does not any more");
});

test("the list yields all conversations, newest first", async (t) => {
  const { ann, ben, chat } = await start(t, { timing });
  const peers = Array.from({ length: 12 }, (_, index) => `user ${index}`);
  for (const peer of peers) await ann.chat.with(peer).send(`hello ${peer}`).done;
  await ann.write(1);
  await expectAllShown(ann, ben, 1);
  const yielded = [];
  for await (const { peer, last } of new Client(t, chat, "ann", "ben", { timing }).chat.conversations()) yielded.push([peer, last.text]);
  assert.deepEqual(yielded, [["ben", "ann 0"], ...peers.map((peer) => [peer, `hello ${peer}`]).reverse()]);
});

test("without receipts the other side is told nothing of marks", async (t) => {
  const { ann, ben } = await start(t, { timing });
  const settings = [];
  ben.chat.onSettings((now) => settings.push(now));
  await until(() => settings.at(-1)?.receipts, "the settings are known");
  // Before the first mark, since processes remember settings for a minute.
  await ben.chat.setSettings({ receipts: false });
  await ann.write(2);
  await expectAllShown(ann, ben, 2);
  ben.conversation.markRead();
  await until(async () => (await rowOf(ben)).unread === 0, "the server has the mark");
  await ann.write(1);
  await expectAllShown(ann, ben, 3);
  assert.deepEqual([ann.snapshot.readByPeer, settings.at(-1)], [0, { receipts: false, presence: true }]);
});

test("who has two tabs and closes one is still online, and a stranger is told nothing", async (t) => {
  const chat = await startChat();
  t.after(() => chat.stop());
  const [ann, ben, tab] = [["ann", "ben"], ["ben", "ann"], ["ben", "ann"]].map(([user, peer]) => new Client(t, chat, user, peer, { timing }));
  const eve = new Client(t, chat, "eve", "ben", { timing });
  await Promise.all([ann.write(1), eve.write(1)]);
  await until(() => ben.shows("ann 0"), "ben has the message");
  await ben.write(1);
  await expectAllShown(ann, ben, 2);
  await until(() => ann.snapshot.presence?.online, "ben is online");
  await tab.chat.close();
  await after(3 * timing.presence);
  assert.equal(ann.snapshot.presence.online, true);
  await until(() => eve.snapshot.presence, "eve has an answer");
  assert.deepEqual(eve.snapshot.presence, { online: false, lastSeen: undefined });
});
