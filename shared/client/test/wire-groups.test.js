// Groups of the client on real WebSockets, with a server that fails on command.

import assert from "node:assert/strict";

import { shown, shownOf, textsOf } from "./changes.js";
import { Browser, scenario } from "./clients.js";
import { eventsOf, groupOf, readableBy } from "./groups.js";
import { times, until } from "./server.js";

/** Returns the views of a group that the first of some users has created. */
async function groupOfUsers(world, ...users) {
  const clients = await Promise.all(users.map((user) => world.online(user)));
  const { id } = await clients[0].chat.createGroup({ title: "Study group", users: users.slice(1) });
  const views = clients.map((client) => client.with(id));
  await until(() => views.every(({ now }) => now.title === "Study group" && now.members?.length === users.length), "all know the group");
  return { id, clients, views };
}

/** Waits until views show what the server has for their users. */
async function showLog(server, id, ...views) {
  for (const view of views) {
    const { user } = view.client;
    const readable = readableBy(server.log("", id), user);
    const same = () => JSON.stringify(view.events) === JSON.stringify(eventsOf(readable)) && view.texts.length === textsOf(readable).length;
    await until(same, () => `${user} shows ${JSON.stringify(view.entries)} of ${JSON.stringify(readable)}`);
    assert.deepEqual(view.entries.filter(({ event }) => !event).map(shown), textsOf(readable).map(shownOf));
  }
}

scenario("three users talk in a group, on several devices, and all show the same", async (world) => {
  const { id, clients, views } = await groupOfUsers(world, "ann", "ben", "carl");
  const phone = (await world.online("carl")).with(id);
  for (const [i, { conversation }] of views.entries()) await conversation.send(`from ${i}`).done;
  await views[0].conversation.rename("Exam");
  await views[0].conversation.setRole("ben", "owner");
  await views[1].conversation.invite(["dora"]);
  const dora = (await world.online("dora")).with(id);
  await dora.conversation.send("thanks").done;
  const [first] = views[0].entries.filter(({ text }) => text === "from 0");
  await views[0].conversation.edit(first, "from ann");
  await views[1].conversation.remove(views[1].entries.find(({ text }) => text === "from 2"));
  await showLog(world.server, id, ...views, phone, dora);
  const all = [...views, phone, dora];
  const names = ["ann owner", "ben owner", "carl member", "dora member"];
  await until(() => all.every(({ now }) => now.members?.map((one) => `${one.id} ${one.role}`).join() === names.join()), "all know the members");
  assert.ok(all.every(({ now }) => now.title === "Exam"));
  let list;
  clients[2].chat.onConversations((now) => (list = now));
  await until(() => list.conversations.length === 1, "it is in the list");
  assert.deepEqual(list.conversations.map(({ isGroup, title, last }) => [isGroup, title, last.text, last.sender]), [[true, "Exam", "thanks", "dora"]]);
});

for (const [name, fault] of Object.entries({
  "the connection breaks before it is stored": { cut: "before" },
  "the connection breaks before the ack": { cut: "after" },
  "the ack is lost": { noAck: true },
  "the database does not respond": { error: { code: "unavailable", retryable: true } },
  "API Gateway throttles": { gatewayError: "Too Many Requests" },
  "the user's limit is reached": { error: { code: "rate_limited", retryable: true, retry_after_ms: 30 } },
})) {
  scenario(`a change of a group is made once when ${name}`, async (world) => {
    const { server } = world;
    const { id, clients: [ann], views } = await groupOfUsers(world, "ann", "ben");
    const once = new Map();
    server.onFrame = (frame) => {
      if (!/Group|invite|removeMember|leave|rename|setRole/.test(frame.action)) return;
      if (!once.has(frame.client_message_id)) once.set(frame.client_message_id, times(1, fault));
      return once.get(frame.client_message_id)();
    };
    const { conversation } = views[0];
    await conversation.invite(["carl"]);
    await conversation.rename("Renamed");
    await conversation.setRole("carl", "owner");
    await conversation.removeMember("ben");
    await conversation.leave();
    const other = await ann.chat.createGroup({ title: "Another", users: ["ben"] });
    assert.equal(server.log("", other.id).length, 1);
    assert.equal([...server.logs].filter(([, log]) => log.length).length, 2);
    assert.deepEqual(server.log("", id).map(({ kind }) => kind), ["create", "join", "rename", "role", "leave", "leave"]);
    await showLog(server, id, ...views);
    assert.deepEqual(views.map(({ now }) => now.isMember), [false, false]);
  });
}

scenario("who is removed while writing many messages loses none silently, and all that is stored is before the removal", async (world) => {
  const { server } = world;
  const { id, views: [ann, ben] } = await groupOfUsers(world, "ann", "ben", "carl");
  const entries = Array.from({ length: 20 }, (_, i) => ben.conversation.send(`ben ${i}`));
  await entries[4].done;
  await ann.conversation.removeMember("ben");
  const settled = await Promise.allSettled(entries.map(({ done }) => done));
  const stored = settled.filter(({ status }) => status === "fulfilled").length;
  assert.ok(stored >= 5);
  for (const { reason } of settled.slice(stored)) assert.deepEqual([reason.code, reason.message], ["forbidden", "You are not in this group any more."]);
  const removal = server.log("", id).find(({ kind }) => kind === "leave").seq;
  assert.deepEqual(server.log("", id).filter(({ sender_id, kind, seq }) => sender_id === "ben" && !kind && seq > removal), []);
  await until(() => !ben.now.isMember && ben.entries.filter(({ state }) => state === "failed").length === 20 - stored, "ben knows");
  await ann.conversation.invite(["ben"]);
  await until(() => ben.now.isMember, "ben is back");
  ben.entries.filter(({ state }) => state === "failed").forEach((entry) => entry.retry());
  await until(() => server.texts("", id).length === 20, "the others are sent");
  assert.deepEqual(server.texts("", id), Array.from({ length: 20 }, (_, i) => `ben ${i}`));
});

scenario("one who was away while the group changed, and was removed and invited again, ends with what the server has", async (world) => {
  const { server } = world;
  const { id, views: [ann] } = await groupOfUsers(world, "ann", "ben");
  const browser = new Browser();
  const tab = browser.tab("ben");
  const away = await world.online("ben", { tab });
  await away.with(id).conversation.send("before").done;
  await away.chat.close();
  tab.die();
  await ann.conversation.removeMember("ben");
  await ann.conversation.invite(["carl"]);
  await ann.conversation.send("secret").done;
  await ann.conversation.invite(["ben"]);
  await ann.conversation.rename("Again");
  await ann.conversation.send("welcome back").done;
  const ben = (await world.online("ben", { tab: browser.tab("ben") })).with(id);
  await until(() => ben.now.title === "Again" && ben.texts.includes("welcome back"), "ben has caught up");
  await until(() => ben.now.members?.length === 3, "and knows the members");
  assert.deepEqual(ben.texts, ["before", "welcome back"]);
  assert.deepEqual([ben.now.isMember, ben.now.unread], [true, 1]);
  assert.deepEqual(ben.now.members.map((one) => one.id), groupOf(server.log("", id)).members.map((one) => one.id));
});

scenario("groups and changes that a tab leaves behind are made by another one, once", async (world) => {
  const { server } = world;
  const { id } = await groupOfUsers(world, "ann", "ben");
  const browser = new Browser();
  const first = await world.online("ann", { tab: browser.tab("ann") });
  const view = first.with(id);
  await until(() => view.now.members, "the tab knows the group");
  server.onFrame = () => ({ stall: true });
  view.conversation.invite(["carl"]).catch(() => {});
  view.conversation.send("welcome");
  first.chat.createGroup({ title: "Left behind", users: ["carl"] }).catch(() => {});
  await until(() => browser.outbox("ann").length === 3, "the storage has them");
  first.tab.die();
  server.onFrame = () => undefined;
  const next = await world.online("ann", { tab: browser.tab("ann") });
  let list;
  next.chat.onConversations((now) => (list = now));
  await until(() => list.conversations.map(({ title }) => title).sort().join() === "Left behind,Study group", "both groups are listed");
  await until(() => browser.outbox("ann").length === 0, "the storage has none any more");
  assert.deepEqual(server.log("", id).map(({ kind, message }) => kind ?? message), ["create", "join", "welcome"]);
  assert.equal([...server.logs].filter(([, log]) => log.length).length, 2);
});

scenario("frames about groups that make no sense change nothing", async (world) => {
  const { id, views: [ann], clients } = await groupOfUsers(world, "ann", "ben");
  const entry = { type: "entry", conversation_id: id, seq: 2, sender_id: "ben", message: "hello" };
  const nonsense = [
    { ...entry, conversation_id: "group:short" }, { ...entry, seq: "2" }, { ...entry, sender_id: 7 }, { ...entry, message: null },
    { ...entry, kind: "edit" }, { type: "typing", conversation_id: id, user_id: 7 }, { type: "receipt", conversation_id: id, user_id: null, read: 9 },
    { type: "ack", conversation_id: "group:short", client_message_id: "x", seq: 1 },
  ];
  for (const frame of nonsense) world.server.sendRaw("ann", JSON.stringify(frame));
  // Fields of a change that make no sense are left out.
  world.server.sendRaw("ann", JSON.stringify({ ...entry, seq: 3, kind: "role", users: "ben", role: "king", title: 7, new_owner: [] }));
  await ann.conversation.send("still here").done;
  await until(() => ann.texts.includes("still here"), "messages go on");
  assert.deepEqual([ann.now.title, ann.now.typing, ann.now.readByPeer], ["Study group", [], 0]);
  assert.ok(clients[0].logs.every(([level]) => level !== "error"), JSON.stringify(clients[0].logs));
});
