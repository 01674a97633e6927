// Edits and deletes on the whole chat under faults. In the end all clients show what the log says, and no deleted text is anywhere.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";

import { until } from "../../shared/client/test/server.js";
import { Client, expectLog, start } from "./clients.js";

/** Writes texts and changes own ones, one action every `ms`. Returns promises of the changes. */
async function writeAndChange(client, count, ms = 15) {
  const changes = [];
  for (let index = 0; index < count; index++) {
    await client.write(1, ms);
    const own = client.snapshot.entries.filter((entry) => entry.own && !entry.deleted);
    const entry = own[(index * 7) % own.length];
    if (index % 3 === 1) changes.push(client.conversation.edit(entry, `${client.user} edited ${index}`));
    if (index % 5 === 4) changes.push(client.conversation.remove(entry));
    await after(ms);
  }
  return changes;
}

/** Waits until clients have nothing left to send, and checks that they show the log. */
async function expectSameLog(stack, ...clients) {
  const settled = ({ snapshot }) => snapshot.entries.every(({ seq, change }) => seq !== undefined && !change);
  await until(() => clients.every(settled), "everything is stored", 30_000);
  const logs = [];
  for (const client of clients) logs.push(await expectLog(stack, client));
  assert.deepEqual(logs[0].map(({ seq }) => seq), logs[0].map((_, index) => index + 1), "numbers are dense");
  const ids = logs[0].flatMap(({ client_message_id }) => client_message_id ?? []);
  assert.equal(new Set(ids).size, ids.length, "nothing is stored twice");
  for (const { kind, target_seq, message } of logs[0]) {
    const target = logs[0].find(({ seq }) => seq === target_seq);
    if (kind && target.deleted_seq) assert.equal(message, "", "an edit of a deleted text has no text");
  }
  return logs[0];
}

test("edits and deletes reach both people and another device, and one who was away", async (t) => {
  const { ann, ben, chat } = await start(t);
  const other = new Client(t, chat, "ann", "ben");
  await ann.write(4);
  await until(() => ben.storedCount() === 0 && ben.shows("ann 3") && other.shows("ann 3"), "all have the texts");
  const entry = (text) => ann.snapshot.entries.find((one) => one.text === text);
  await ann.conversation.edit(entry("ann 0"), "first");
  await until(() => ben.shows("first") && other.shows("first"), "all see the edit");
  await ben.chat.close();
  await ann.conversation.remove(entry("ann 1"));
  await other.conversation.edit(other.snapshot.entries.find((one) => one.text === "first"), "the first");
  await ann.conversation.edit(entry("ann 3"), "the last");
  const back = new Client(t, chat, "ben", "ann");
  await expectSameLog(chat, ann, other, back);
  assert.deepEqual(back.snapshot.entries.map(({ text }) => text), ["the first", "", "ann 2", "the last"]);
  assert.deepEqual(back.snapshot.entries.map(({ edited, deleted }) => [edited, deleted]), [[true, false], [false, true], [false, false], [true, false]]);
  assert.equal(back.snapshot.unread, 3);
});

test("edits and deletes are made once while connections are cut again and again", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ seed: 5, cut: 0.05 });
  const writing = Promise.all([writeAndChange(ann, 30), writeAndChange(ben, 30)]);
  for (let cut = 0; cut < 4; cut++) {
    await after(200);
    await chat.cut();
  }
  const changes = (await writing).flat();
  await chat.put({});
  await Promise.all(changes);
  await expectSameLog(chat, ann, ben);
});

for (const at of ["invoke", "before_push", "after_push"]) {
  test(`edits and deletes are made once while send-message is killed again and again (${at})`, async (t) => {
    const { ann, ben, chat } = await start(t);
    await chat.put({ seed: 6, kill: [{ function: "SendMessageFunction", at, share: 0.2 }] });
    const changes = (await Promise.all([writeAndChange(ann, 12), writeAndChange(ben, 12)])).flat();
    await Promise.all(changes.slice(0, 6));
    await chat.put({});
    await Promise.all(changes);
    await expectSameLog(chat, ann, ben);
    assert.match(chat.log(), /kill|exit|signal/i, "functions were killed");
  });
}

test("pushes of edits and deletes may be dropped, doubled and reordered", async (t) => {
  const { ann, ben, chat } = await start(t);
  await chat.put({ seed: 7, pushes: { drop: 0.3, duplicate: 0.3, delay_ms: 150 } });
  await Promise.all((await Promise.all([writeAndChange(ann, 30, 5), writeAndChange(ben, 30, 5)])).flat());
  await expectSameLog(chat, ann, ben);
});

test("an edit and a delete of two devices at the same time leave the message deleted everywhere", async (t) => {
  const { ann, ben, chat } = await start(t);
  const other = new Client(t, chat, "ann", "ben");
  await ann.write(10);
  await until(() => other.shows("ann 9") && ann.storedCount() === 10, "both devices have the texts");
  const of = (client, index) => client.snapshot.entries.find(({ text }) => text === `ann ${index}`);
  const races = Array.from({ length: 10 }, (_, index) => Promise.allSettled([ann.conversation.edit(of(ann, index), `edited ${index}`), other.conversation.remove(of(other, index))]));
  for (const [edit, remove] of await Promise.all(races)) {
    assert.equal(remove.status, "fulfilled");
    if (edit.status === "rejected") assert.equal(edit.reason.code, "message_not_found");
  }
  await expectSameLog(chat, ann, other, ben);
  assert.ok(ben.snapshot.entries.every(({ deleted, text }) => deleted && text === ""));
});
