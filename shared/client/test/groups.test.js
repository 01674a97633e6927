// The client with a driven clock: groups.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Group, member } from "../src/group.js";
import { parseEntry } from "../src/history.js";
import { shown, shownOf } from "./changes.js";
import { chatIn, MINUTE, online, sends, settled, texts, Watcher } from "./chats.js";
import { eventOf, eventsIn, eventsOf, groupOf, problemInGroup, textsOf } from "./groups.js";
import { memoryStorage } from "./memory.js";
import { seeded } from "./random.js";
import { World } from "./world.js";

/** Returns the entries of a group that random frames of its members have made. */
function randomLog(random, length) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const users = ["ann", "bob", "carl", "me"];
  const log = [];
  const append = (user, frame) => {
    if (!problemInGroup(log, user, frame)) log.push({ seq: log.length + 1, sender_id: user, ...eventOf(log, user, frame) });
  };
  append("ann", { action: "createGroup", title: "0", users: ["bob", "me"] });
  for (let i = 0; i < length; i++) {
    const [user_id, role] = [pick(users), pick(["owner", "member"])];
    const frame = pick([{ action: "invite", users: [user_id] }, { action: "removeMember", user_id }, { action: "leave" }, { action: "rename", title: `${i}` }, { action: "setRole", user_id, role }]);
    append(pick(users), frame);
  }
  return log;
}

const roles = (members) => Object.fromEntries(members.map(({ id, role }) => [id, role]));
const frames = (world, action) => world.frames.map(({ frame }) => frame).filter((frame) => frame.action === action);
const asked = (world, name) => world.features.asked(name).length;

/** Returns an online chat with a group that ann has created, in which the user is an owner if `owner` is set. */
async function inGroup({ users = ["me", "bob"], owner = false, history, ...options } = {}) {
  const world = new World();
  const id = owner ? world.createGroup("me", "Group", ["ann", "bob"], { history }) : world.createGroup("ann", "Group", users, { history });
  const chat = await online(world, options);
  const conversation = chat.conversation(id);
  const watcher = new Watcher(conversation);
  await world.advance(200);
  return { world, chat, id, conversation, watcher };
}

test("members, roles and title are those of the log, in whatever order its entries come, and however old the members are that were read", () => {
  for (let seed = 0; seed < 3_000; seed++) {
    const random = seeded(seed);
    const log = randomLog(random, Math.floor(random() * 20));
    const at = (from) => from + Math.floor(random() * (log.length + 1 - from));
    // The entries up to `known` were known when the members were requested, which the server read as of a later one.
    const known = at(0);
    const read = groupOf(log, at(known)).members.map(({ id, role }) => member(id, role));
    const group = new Group({ high: known, pager: {}, check() {}, marksChanged() {}, markChanged() {} }, { user: "me", random, timing: {} }, () => {});
    const entries = log.slice(known).map((entry) => [random(), entry]).sort(([a], [b]) => a - b).map(([, entry]) => entry);
    for (const entry of log.slice(0, known)) group.apply(entry.seq, parseEntry({ ...entry, message: "" }, "me", "").event);
    const early = Math.floor(random() * (entries.length + 1));
    entries.slice(0, early).forEach((entry) => group.apply(entry.seq, parseEntry({ ...entry, message: "" }, "me", "").event));
    group.take(read, known);
    entries.slice(early).forEach((entry) => group.apply(entry.seq, parseEntry({ ...entry, message: "" }, "me", "").event));
    const expected = groupOf(log);
    // Only if the user has joined after the last title, the list is needed to know it.
    const titled = log.findLast(({ title }) => title !== undefined).seq;
    group.listed(0, expected.spans.get("me")?.joined > titled ? expected.title : "an older one");
    assert.deepEqual(roles(group.members), roles(expected.members), `seed ${seed}`);
    assert.equal(group.title, expected.title, `seed ${seed}`);
    assert.equal(group.isMember, expected.members.some(({ id }) => id === "me"), `seed ${seed}`);
  }
});

test("a created group is in the list, its members are known, and its creation is an event", async () => {
  const world = new World();
  const chat = await online(world);
  let list;
  chat.onConversations((now) => (list = now));
  const conversation = await settled(world, chat.createGroup({ title: "Study group \ud83d", users: ["ann", "me", "bob", "ann"], history: "all" }));
  assert.deepEqual(frames(world, "createGroup").map(({ client_message_id, ...frame }) => frame), [
    { action: "createGroup", title: "Study group \ufffd", users: ["ann", "bob"], history: "all" },
  ]);
  assert.equal(chat.conversation(conversation.id), conversation);
  assert.ok(conversation.isGroup && conversation.peer === "");
  const watcher = new Watcher(conversation);
  await world.advance(200);
  assert.deepEqual(list.conversations.map(({ id, isGroup, title, peer }) => [id, isGroup, title, peer]), [[conversation.id, true, "Study group \ufffd", ""]]);
  const { title, members, role, isMember, isGroup, entries } = watcher.last;
  assert.deepEqual([title, role, isMember, isGroup], ["Study group \ufffd", "owner", true, true]);
  assert.deepEqual(roles(members), { me: "owner", ann: "member", bob: "member" });
  assert.deepEqual(eventsIn(entries), eventsOf(world.log(conversation.id)));
  assert.ok(Object.isFrozen(members) && Object.isFrozen(members[0]) && Object.isFrozen(entries[0].event));
});

test("a group is created once, whatever is lost, and after a reload too", async () => {
  for (const fault of ["cutBefore", "cutAfter", "loseAck", "crash", "unavailable", "rateLimit"]) {
    const world = new World();
    const storage = memoryStorage();
    const first = await online(world, { storage });
    world.faults[fault] = 1;
    first.createGroup({ title: fault, users: ["ann"] }).catch(() => {});
    await world.advance(2_000);
    await settled(world, first.close());
    world.faults = {};
    const chat = await online(world, { storage });
    let list;
    chat.onConversations((now) => (list = now));
    await world.advance(MINUTE);
    assert.deepEqual(list.conversations.map(({ title }) => title), [fault]);
    assert.equal([...world.logs.values()].filter((log) => log.length).length, 1, fault);
    await settled(world, chat.close());
  }
});

test("members, title and roles follow the entries, and are read from the server once", async () => {
  const { world, conversation, watcher } = await inGroup({ owner: true });
  await settled(world, conversation.invite(["carl", "bob", "dan"]));
  await settled(world, conversation.rename("New name"));
  await settled(world, conversation.setRole("bob", "owner"));
  await settled(world, conversation.removeMember("ann"));
  await world.advance(200);
  assert.deepEqual(frames(world, "removeMember").map(({ user_id, conversation_id }) => [user_id, conversation_id]), [["ann", conversation.id]]);
  assert.deepEqual(roles(watcher.last.members), { me: "owner", bob: "owner", carl: "member", dan: "member" });
  assert.equal(watcher.last.title, "New name");
  assert.deepEqual(eventsIn(watcher.last.entries), eventsOf(world.log(conversation.id)));
  // The invitation left out who was in the group.
  assert.deepEqual(watcher.last.entries[1].event.users, ["carl", "dan"]);
  await settled(world, conversation.leave());
  await world.advance(200);
  assert.deepEqual([watcher.last.isMember, watcher.last.members.length, watcher.last.role], [false, 3, undefined]);
  assert.equal(asked(world, "members"), 1);
  assert.equal(watcher.error, undefined);
});

for (const named of [true, false]) {
  test(`the member who becomes an owner when the last one leaves is known${named ? "" : ", from a server that does not name it"}`, async () => {
    const { world, id, watcher } = await inGroup();
    const { page } = world;
    if (!named) {
      world.faults.losePush = 1;
      world.page = (request) => {
        const response = page.call(world, request);
        return { ...response, items: response.items.map(({ new_owner, ...entry }) => entry) };
      };
    }
    world.act(id, "ann", { action: "leave" });
    world.wake();
    await world.advance(500);
    assert.deepEqual(roles(watcher.last.members), roles(groupOf(world.log(id)).members));
    assert.equal(asked(world, "members"), named ? 1 : 2);
  });
}

test("who is removed while writing keeps the history and is told so, and can write again after an invitation", async () => {
  const { world, id, conversation, watcher } = await inGroup();
  world.faults.losePush = 1;
  world.act(id, "ann", { action: "removeMember", user_id: "me" });
  const [one, two] = [conversation.send("one"), conversation.send("two")];
  await world.advance(200);
  for (const entry of [one, two]) await assert.rejects(settled(world, entry.done), { code: "forbidden", message: "You are not in this group any more." });
  assert.equal(watcher.last.isMember, false);
  assert.deepEqual(watcher.last.entries.map(({ state, text }) => [state, text]).slice(-2), [["failed", "one"], ["failed", "two"]]);
  assert.equal(watcher.last.entries.find(({ event }) => event?.kind === "leave").event.users[0], "me");
  const before = world.frames.length;
  await assert.rejects(settled(world, conversation.send("three").done), { code: "forbidden" });
  await assert.rejects(settled(world, conversation.rename("Mine")), { code: "forbidden" });
  conversation.typing();
  conversation.markRead();
  await world.advance(10_000);
  assert.equal(world.frames.length, before, "nothing is sent");
  world.faults = {};
  world.act(id, "ann", { action: "invite", users: ["me"] });
  await world.advance(200);
  assert.equal(watcher.last.isMember, true);
  watcher.last.entries.filter(({ state }) => state === "failed").forEach((entry) => entry.retry());
  await world.advance(500);
  assert.deepEqual(texts(textsOf(world.log(id))), ["one", "two", "three"]);
  assert.equal(watcher.error, undefined);
});

test("who comes back is told who is in the group, although what has happened meanwhile is hidden", async () => {
  const { world, id, watcher } = await inGroup();
  world.faults.losePush = 1;
  world.act(id, "ann", { action: "removeMember", user_id: "me" });
  world.act(id, "ann", { action: "invite", users: ["carl"] });
  world.act(id, "ann", { action: "removeMember", user_id: "bob" });
  world.act(id, "ann", { action: "rename", title: "Renamed" });
  world.act(id, "ann", { action: "sendMessage", message: "secret" });
  world.act(id, "ann", { action: "invite", users: ["me"] });
  world.faults = {};
  world.act(id, "ann", { action: "sendMessage", message: "welcome" });
  await world.advance(500);
  assert.deepEqual(roles(watcher.last.members), { ann: "owner", carl: "member", me: "member" });
  assert.deepEqual(watcher.last.entries.map(({ seq, text, event }) => event?.kind ?? `${seq} ${text}`), ["create", "join", "8 welcome"]);
  await world.advance(1_500);
  assert.equal(watcher.last.title, "Renamed");
  assert.deepEqual([watcher.last.isMember, watcher.last.unread, asked(world, "members")], [true, 1, 2]);
  await world.advance(10 * MINUTE);
  assert.equal(asked(world, "members"), 2);
});

test("what was written before the user joined counts as read", async () => {
  const { world, id, watcher } = await inGroup({ users: ["bob"], history: "all" });
  assert.equal(watcher.last.isMember, false);
  for (const message of ["one", "two"]) world.act(id, "ann", { action: "sendMessage", message });
  world.act(id, "ann", { action: "invite", users: ["me"] });
  world.act(id, "bob", { action: "sendMessage", message: "three" });
  await world.advance(1_500);
  const { isMember, entries, unread, firstUnread } = watcher.last;
  assert.deepEqual(entries.map(({ event, text }) => event?.kind ?? text), ["create", "one", "two", "join", "three"]);
  assert.deepEqual([isMember, unread, firstUnread, world.unread(id)], [true, 1, 5, 1]);
});

test("a group of others can be neither read nor joined, and is asked for a few times only", async () => {
  const world = new World();
  const id = world.createGroup("ann", "Theirs", ["bob"]);
  const chat = await online(world);
  const watcher = new Watcher(chat.conversation(id));
  await world.advance(1_000);
  assert.deepEqual([watcher.last.isMember, watcher.last.error.code, chat.state.state], [false, "forbidden", "online"]);
  await assert.rejects(settled(world, chat.conversation(id).send("let me in").done), { code: "forbidden" });
  await assert.rejects(chat.conversation(id).invite(["me"]), { code: "forbidden" });
  await world.advance(60 * MINUTE);
  assert.ok(world.requests.length <= 14, `${world.requests.length} requests`);
  assert.equal(asked(world, "members"), 0);
});

test("a group that was left on another device while this one was away is known as left", async () => {
  const world = new World();
  const id = world.createGroup("ann", "Group", ["me"]);
  const chat = await online(world);
  let list;
  chat.onConversations((now) => (list = now));
  world.act(id, "ann", { action: "sendMessage", message: "hello" });
  await world.advance(1_500);
  assert.deepEqual(list.conversations.map(({ title, last }) => [title, last.text]), [["Group", "hello"]]);
  world.open[0].end(1006);
  world.act(id, "me", { action: "leave" });
  await world.advance(5_000);
  assert.equal(chat.conversation(id).snapshot.isMember, false);
  assert.deepEqual(list.conversations.map(({ id }) => id), [id], "its history is kept");
});

test("an older list does not take back a title", async () => {
  const { world, id, chat, conversation } = await inGroup();
  const { respond } = world.features;
  world.features.respond = function (...values) {
    const response = respond.apply(this, values);
    for (const row of response.items) if (row.title) Object.assign(row, { title: "Group", newest_entry_seq: 1 });
    return response;
  };
  world.act(id, "ann", { action: "rename", title: "Renamed" });
  await world.advance(100);
  world.wake();
  await world.advance(100);
  assert.equal(conversation.snapshot.title, "Renamed");
  world.features.respond = respond;
  world.faults.losePush = 1;
  world.act(id, "ann", { action: "rename", title: "Again" });
  world.wake();
  await world.advance(100);
  assert.equal(conversation.snapshot.title, "Again");
  assert.equal(chat.state.state, "online");
});

test("an offline browser shows what it has stored: title, members, events and messages", async () => {
  const storage = memoryStorage();
  const { world, id, chat, conversation } = await inGroup({ storage });
  world.act(id, "ann", { action: "invite", users: ["carl"] });
  world.act(id, "carl", { action: "sendMessage", message: "hello" });
  await settled(world, conversation.send("mine").done);
  await settled(world, chat.close());
  const offline = chatIn(world, { storage });
  const watcher = new Watcher(offline.conversation(id));
  let list;
  offline.onConversations((now) => (list = now));
  await world.advance(100);
  const { title, members, isMember, entries } = watcher.last;
  assert.deepEqual([title, isMember, roles(members)], ["Group", true, { ann: "owner", me: "member", bob: "member", carl: "member" }]);
  assert.deepEqual(eventsIn(entries), eventsOf(world.log(id)));
  assert.deepEqual(entries.filter(({ event }) => !event).map(shown), textsOf(world.log(id)).map(shownOf));
  assert.deepEqual(list.conversations.map(({ title, last, isGroup }) => [title, last.text, isGroup]), [["Group", "mine", true]]);
  const members1 = asked(world, "members");
  world.act(id, "ann", { action: "setRole", user_id: "carl", role: "owner" });
  offline.connect();
  await world.advance(500);
  assert.equal(watcher.last.members.find((member) => member.id === "carl").role, "owner");
  assert.equal(asked(world, "members"), members1, "the entries tell the rest");
});

test("changes that a closed page has left are made, in order with the messages", async () => {
  const storage = memoryStorage();
  const { world, id, chat, conversation } = await inGroup({ storage, owner: true });
  world.dead = true;
  conversation.invite(["carl"]).catch(() => {});
  conversation.send("welcome, carl");
  conversation.rename("With carl").catch(() => {});
  await world.advance(100);
  await settled(world, chat.close());
  world.dead = false;
  await online(world, { storage });
  await world.advance(MINUTE);
  assert.deepEqual(world.log(id).map(({ kind, message }) => kind ?? message), ["create", "join", "welcome, carl", "rename"]);
});

test("more members than a frame can name are invited with several", async () => {
  const world = new World();
  const chat = await online(world);
  const users = Array.from({ length: 80 }, (_, i) => `user ${i}`);
  const conversation = await settled(world, chat.createGroup({ title: "Class", users }));
  assert.deepEqual([...frames(world, "createGroup"), ...frames(world, "invite")].map((frame) => frame.users.length), [49, 31]);
  assert.equal(groupOf(world.log(conversation.id)).members.length, 81);
});

test("a refused change rejects with its reason, and leaves nothing behind", async () => {
  const { world, chat, conversation, watcher } = await inGroup();
  await assert.rejects(settled(world, conversation.rename("Mine")), { code: "forbidden", retryable: false });
  assert.equal(watcher.last.isMember, true);
  world.act(conversation.id, "ann", { action: "setRole", user_id: "me", role: "owner" });
  await world.advance(100);
  for (const change of [conversation.invite(["bob"]), conversation.removeMember("nobody"), conversation.setRole("bob", "member")])
    await assert.rejects(settled(world, change), { code: "no_change" });
  await assert.rejects(settled(world, conversation.invite(Array.from({ length: 98 }, (_, i) => `user ${i}`))), { code: "group_full" });
  const before = world.frames.length;
  for (const title of ["", "x".repeat(257), "a\nb", undefined]) await assert.rejects(conversation.rename(title), { code: "invalid_title" });
  await assert.rejects(conversation.invite(["a\0"]), { code: "invalid_user_id" });
  await assert.rejects(chat.createGroup({ title: "x", users: ["y".repeat(255)] }), { code: "invalid_user_id" });
  await assert.rejects(chat.createGroup({ title: "", users: [] }), { code: "invalid_title" });
  await assert.rejects(chat.with("ann").rename("Title"), { code: "invalid_conversation_id" });
  await world.advance(MINUTE);
  assert.equal(world.frames.filter(({ frame }) => frame.action !== "mark").length, before);
  assert.equal(watcher.error, undefined);
});

test("a change that is limited is made a little later", async () => {
  const { world, conversation, watcher } = await inGroup({ owner: true });
  world.faults.rateLimit = 1;
  const renamed = conversation.rename("Later");
  await world.advance(100);
  world.faults = {};
  const from = world.time;
  await settled(world, renamed);
  assert.ok(world.time - from > 1_000);
  await world.advance(200);
  assert.equal(watcher.last.title, "Later");
});

test("owners delete any message, others their own", async () => {
  const { world, id, conversation, watcher } = await inGroup();
  world.act(id, "ann", { action: "sendMessage", message: "theirs" });
  await world.advance(200);
  const entry = () => watcher.last.entries.at(-1);
  await assert.rejects(conversation.remove(entry()), { code: "forbidden" });
  world.act(id, "ann", { action: "setRole", user_id: "me", role: "owner" });
  await world.advance(200);
  const theirs = watcher.last.entries.find(({ text }) => text === "theirs");
  await assert.rejects(conversation.edit(theirs, "mine"), { code: "forbidden" });
  await settled(world, conversation.remove(theirs));
  assert.deepEqual(textsOf(world.log(id)).map(shownOf), [shown(watcher.last.entries.find(({ seq }) => seq === theirs.seq))]);
});

test("several members type, each until a message comes, the member leaves, or time passes", async () => {
  const { world, id, conversation, watcher } = await inGroup();
  const type = (user_id) => world.open[0].push({ type: "typing", conversation_id: id, user_id });
  type("ann");
  type("bob");
  type("me");
  await world.advance(100);
  assert.deepEqual(watcher.last.typing, ["ann", "bob"]);
  world.act(id, "ann", { action: "sendMessage", message: "done" });
  await world.advance(100);
  assert.deepEqual(watcher.last.typing, ["bob"]);
  await world.advance(12_000);
  assert.deepEqual(watcher.last.typing, []);
  type("bob");
  await world.advance(100);
  assert.deepEqual(watcher.last.typing, ["bob"]);
  world.act(id, "ann", { action: "removeMember", user_id: "bob" });
  await world.advance(100);
  assert.deepEqual(watcher.last.typing, []);
  conversation.typing();
  await world.advance(100);
  assert.deepEqual(frames(world, "typing"), [{ action: "typing", conversation_id: id }]);
  world.act(id, "ann", { action: "invite", users: Array.from({ length: 19 }, (_, i) => `user ${i}`) });
  await world.advance(11_000);
  conversation.typing();
  await world.advance(100);
  assert.equal(frames(world, "typing").length, 1, "nobody is told in a large group");
});

test("own marks follow from other devices, and a message is read when one of the others has read it", async () => {
  const { world, id, conversation, watcher } = await inGroup();
  const entry = await settled(world, conversation.send("mine").done);
  world.act(id, "ann", { action: "sendMessage", message: "theirs" });
  await world.advance(100);
  assert.equal(watcher.last.unread, 1);
  world.mark(id, "me", { read: 3 });
  world.mark(id, "bob", { read: 2 });
  await world.advance(100);
  assert.deepEqual([watcher.last.unread, watcher.last.read], [0, 3]);
  assert.equal(watcher.last.entries.find(({ key }) => key === entry.key).state, "read");
  conversation.markRead();
  await world.advance(5_000);
  assert.deepEqual(frames(world, "mark"), [], "the server has it");
  world.act(id, "ann", { action: "sendMessage", message: "more" });
  await world.advance(100);
  conversation.markRead();
  await world.advance(5_000);
  assert.deepEqual(frames(world, "mark"), [{ action: "mark", conversation_id: id, read: 4 }]);
});

test("an older server has no groups: the list works, and creating one is an error", async () => {
  const world = new World();
  world.features.groups = false;
  world.store("ann", "me", "hello", undefined);
  const chat = await online(world);
  let list;
  chat.onConversations((now) => (list = now));
  await world.advance(100);
  assert.deepEqual(list.conversations.map(({ peer }) => peer), ["ann"]);
  await assert.rejects(settled(world, chat.createGroup({ title: "Group", users: ["ann"] })), { code: "unsupported" });
  assert.equal(frames(world, "createGroup").length, 1);
  const watcher = new Watcher(chat.conversation(`group:${"x".repeat(22)}`));
  await world.advance(60 * MINUTE);
  assert.equal(watcher.last.error.code, "bad_request");
  assert.ok(world.requests.length <= 14, `${world.requests.length} requests`);
  assert.equal(chat.state.state, "online");
});

test("the list is read again as far as before, however many groups its first page has", async () => {
  const world = new World();
  for (let i = 0; i < 70; i++) world.createGroup("ann", `Group ${i}`, ["me"]);
  for (let i = 0; i < 70; i++) world.store(`peer${i}`, "me", "hello", undefined);
  const chat = await online(world);
  let list;
  chat.onConversations((now) => (list = now));
  await world.advance(100);
  assert.deepEqual([list.conversations.length, list.more], [120, true]);
  world.wake();
  await world.advance(100);
  assert.deepEqual(world.features.asked("conversations").map(({ query }) => query.limit), ["50", "50"]);
});

test("all() yields messages and events", async () => {
  const { world, id, conversation } = await inGroup({ owner: true });
  await settled(world, conversation.send("one").done);
  const all = [];
  await settled(world, (async () => {
    for await (const { seq, text, event } of conversation.all()) all.push([seq, event?.kind ?? text]);
  })());
  assert.deepEqual(all, [[1, "create"], [2, "one"]]);
  assert.equal(world.log(id).length, 2);
});
