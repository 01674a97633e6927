// Groups on the whole chat, under faults. In the end all members show what the log says, and who is in the group.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";

import { until } from "../../shared/client/test/server.js";
import { Client, expectLog } from "./clients.js";
import { startChat } from "./stack.js";

/** Starts a chat with a group of users, which the first one creates. Returns their clients, by user, with the group open. */
async function startGroup(t, users, { timing, ...options } = {}) {
  const chat = await startChat(options);
  t.after(() => chat.stop());
  const clients = users.map((user) => new Client(t, chat, user, "nobody", { timing }));
  await until(() => clients.every((client) => client.chat.state.state === "online"), "all are online", 10_000);
  const { id } = await clients[0].chat.createGroup({ title: "Study group", users: users.slice(1) });
  for (const client of clients) client.open(id);
  await until(() => clients.every(({ snapshot }) => snapshot.members?.length === users.length), "all know the members");
  return { chat, id, ...Object.fromEntries(clients.map((client) => [client.user, client])) };
}

const rolesIn = ({ snapshot }) => snapshot.members.map(({ id, role }) => `${id} ${role}`).sort().join();

/** Returns the members and their roles, as the server tells a user. */
async function roles({ stack, user, peer }) {
  const response = await fetch(`${stack.http}/chat/members?user=${user}&conversation_id=${peer}`);
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()).map(({ user_id, role }) => `${user_id} ${role}`).sort().join();
}

/** Waits until clients have nothing left to send, show the log, and know the members. Returns the log of the first one. */
async function expectSame(...clients) {
  const settled = ({ snapshot }) => snapshot.entries.every(({ seq, change }) => seq !== undefined && !change);
  await until(() => clients.every(settled), "everything is stored", 30_000);
  const logs = [];
  for (const client of clients) logs.push(await expectLog(client.stack, client));
  const expected = await roles(clients[0]);
  await until(() => clients.every((client) => rolesIn(client) === expected), () => `all know ${expected}, not ${clients.map(rolesIn)}`);
  const [{ snapshot }] = clients;
  for (const client of clients) assert.equal(client.snapshot.title, snapshot.title);
  assert.deepEqual(logs[0].map(({ seq }) => seq), logs[0].map((_, index) => logs[0][0].seq + index), "numbers are dense");
  return logs[0];
}

test("three people talk in a group, one on two devices, and members and names follow", async (t) => {
  const { chat, id, ann, ben, carl } = await startGroup(t, ["ann", "ben", "carl"]);
  const phone = new Client(t, chat, "carl", id);
  await Promise.all([ann, ben, carl].map((client) => client.write(5)));
  await ann.conversation.rename("Exam");
  await ann.conversation.setRole("ben", "owner");
  await ben.conversation.invite(["dora"]);
  const dora = new Client(t, chat, "dora", id);
  await until(() => dora.snapshot.isMember && dora.snapshot.title === "Exam", "dora is in");
  await dora.write(1);
  await carl.conversation.edit(carl.snapshot.entries.find(({ text }) => text === "carl 0"), "first");
  await ben.conversation.remove(ben.snapshot.entries.find(({ text }) => text === "carl 1"));
  await assert.rejects(carl.conversation.rename("Mine"), { code: "forbidden" });
  await assert.rejects(ann.conversation.invite(["ben"]), { code: "no_change" });
  const log = await expectSame(ann, ben, carl, phone);
  assert.equal(log.filter(({ kind }) => !kind).length, 16);
  // Who joins later reads from there on.
  const own = await expectLog(chat, dora);
  assert.deepEqual([own[0].kind, own[0].users], ["join", ["dora"]]);
  const lists = [];
  dora.chat.onConversations((list) => lists.push(list));
  await until(() => lists.at(-1).conversations.some((one) => one.title === "Exam" && one.last.text === "dora 0"), "it is in the list");
});

test("who is removed while writing is stopped, keeps the history, and comes back", async (t) => {
  const { id, ann, ben, carl } = await startGroup(t, ["ann", "ben", "carl"]);
  const writing = ben.write(30, 10);
  await until(() => ben.storedCount() > 5, "some are stored");
  await ann.conversation.removeMember("ben");
  await writing;
  await until(() => !ben.snapshot.isMember && ben.snapshot.entries.every(({ state }) => !/queued|sending/.test(state)), "ben is stopped");
  const failed = ben.snapshot.entries.filter(({ state }) => state === "failed");
  assert.ok(failed.length > 0 && failed.every(({ error }) => error.code === "forbidden" && /not in this group/.test(error.message)));
  const log = await expectLog(ann.stack, ann);
  const removal = log.find(({ kind }) => kind === "leave").seq;
  assert.ok(log.every(({ sender_id, seq }) => sender_id !== "ben" || seq < removal));
  await carl.write(2);
  await until(() => carl.storedCount() === 2, "carl's are stored");
  await ann.conversation.invite(["ben"]);
  await until(() => ben.snapshot.isMember, "ben is back");
  for (const entry of failed) entry.retry();
  await until(() => ben.snapshot.entries.every(({ state }) => state !== "failed"), "the rest is sent");
  await expectSame(ann, carl);
  assert.ok(!ben.snapshot.entries.some(({ text }) => text.startsWith("carl")), "what was written meanwhile is hidden");
  assert.equal(ben.conversation.id, id);
});

test("one who was away finds the group as it is, also after a removal and an invitation", async (t) => {
  const { chat, id, ann, ben, carl } = await startGroup(t, ["ann", "ben", "carl"]);
  await ben.write(2);
  await until(() => ben.storedCount() === 2, "they are stored");
  await ben.chat.close();
  await ann.conversation.removeMember("ben");
  await ann.conversation.setRole("carl", "owner");
  await carl.write(1);
  const gone = new Client(t, chat, "ben", id);
  await until(() => !gone.snapshot.isMember, "ben is out");
  await expectLog(chat, gone);
  assert.equal(gone.snapshot.entries.at(-1).event.kind, "leave");
  await gone.chat.close();
  await ann.conversation.leave();
  await carl.conversation.invite(["ben"]);
  await carl.write(1);
  const back = new Client(t, chat, "ben", id);
  await expectSame(carl, new Client(t, chat, "carl", id));
  await expectLog(chat, back);
  await until(() => back.snapshot.members?.length === 2, "ben knows the members");
  assert.equal(rolesIn(back), "ben member,carl owner");
  assert.deepEqual([back.snapshot.isMember, back.snapshot.unread, ann.snapshot.isMember], [true, 1, false]);
});

for (const at of ["invoke", "before_push", "after_push"]) {
  test(`changes of a group are made once while send-message is killed again and again (${at})`, async (t) => {
    const { chat, ann, ben, carl } = await startGroup(t, ["ann", "ben", "carl"]);
    await chat.put({ seed: 8, kill: [{ function: "SendMessageFunction", at, share: 0.2 }] });
    const changes = async () => {
      for (let i = 0; i < 3; i++) {
        await ann.conversation.invite([`user ${i}`]);
        await ann.conversation.rename(`Title ${i}`);
        await ann.conversation.setRole(`user ${i}`, "owner");
      }
      await ann.conversation.removeMember("user 0");
      return ann.chat.createGroup({ title: "Another", users: ["ben"] });
    };
    const [other] = await Promise.all([changes(), ben.write(8, 30), carl.write(8, 30)]);
    await chat.put({});
    const log = await expectSame(ann, ben, carl);
    const ids = log.flatMap(({ client_message_id }) => client_message_id ?? []);
    assert.equal(new Set(ids).size, ids.length, "nothing is stored twice");
    assert.equal(log.filter(({ kind }) => kind && kind !== "create").length, 10);
    const titles = [];
    for await (const { id, title } of ann.chat.conversations()) titles.push([id, title]);
    assert.deepEqual(titles.filter(([, title]) => title === "Another"), [[other.id, "Another"]]);
    assert.match(chat.log(), /kill|exit|signal/i, "functions were killed");
  });
}

test("a group stays the same for all while connections are cut and pushes are lost", async (t) => {
  const { chat, ann, ben, carl } = await startGroup(t, ["ann", "ben", "carl"]);
  await chat.put({ seed: 9, cut: 0.05, pushes: { drop: 0.3, duplicate: 0.3, delay_ms: 100 } });
  const changing = (async () => {
    for (let i = 0; i < 6; i++) {
      await ann.conversation.invite([`user ${i}`]);
      await ann.conversation.setRole("carl", i % 2 ? "member" : "owner");
      await after(50);
    }
    await carl.conversation.leave();
    await ann.conversation.invite(["carl"]);
  })();
  await Promise.all([changing, ann.write(15, 30), ben.write(15, 30)]);
  await chat.put({});
  await chat.cut();
  await expectSame(ann, ben);
  await until(() => rolesIn(carl) === rolesIn(ann), "carl knows the members");
  // The history begins with the last invitation; what came before may still be shown.
  const { seq: joined } = ann.snapshot.entries.findLast(({ event }) => event?.kind === "join" && event.users.includes("carl"));
  const since = ({ snapshot }) => snapshot.entries.filter(({ seq }) => seq >= joined).map(({ seq, text, event }) => `${seq} ${event?.kind ?? text}`);
  await until(() => since(carl).join() === since(ann).join(), () => `carl shows ${since(carl)}`);
});

test("with tokens, only members read a group", async (t) => {
  const users = ["ann", "ben", "eve"];
  const chat = await startChat({ flags: ["--auth", ...users.flatMap((user) => ["--user", user])] });
  t.after(() => chat.stop());
  const [ann, ben, eve] = users.map((user) => new Client(t, chat, user, "nobody", { token: async () => chat.tokens[user] }));
  const { id } = await ann.chat.createGroup({ title: "Two", users: ["ben"] });
  await ann.open(id).conversation.send("hello").done;
  await until(() => ben.open(id).shows("hello"), "ben sees it");
  await until(() => ben.snapshot.members?.length === 2, "ben knows the members");
  eve.open(id);
  await until(() => eve.snapshot.error, "eve is told");
  assert.deepEqual([eve.snapshot.error.code, eve.snapshot.isMember, eve.snapshot.entries, eve.chat.state.state], ["forbidden", false, [], "online"]);
});
