// The client on real WebSockets: marks, the list and settings between users, devices and tabs.

import assert from "node:assert/strict";

import { Browser, scenario, texts } from "./clients.js";
import { token, until } from "./server.js";

/** Returns the frames with read marks of a user. */
const marksOf = (server, user) => server.frames.filter(({ user: by, frame }) => by === user && frame.read !== undefined);

scenario("the ticks of the sender and the unread messages of the receiver follow what the receiver does", async (world) => {
  const [ann, ben] = [await world.online("ann"), await world.online("ben")];
  const [view, other] = [ann.with("ben"), ben.with("ann")];
  for (const text of texts("hi", 3)) view.conversation.send(text);
  await other.shows(texts("hi", 3));
  assert.deepEqual([other.now.unread, other.now.firstUnread, view.now.unread], [3, 1, 0]);
  other.conversation.markRead(2);
  await until(() => view.entries.map(({ state }) => state).join() === "read,read,delivered", "the sender sees two ticks filled");
  assert.equal(other.now.unread, 1);
  // Both come back and see the same.
  world.server.cut();
  await until(() => [ann, ben].every(({ state }) => state !== "online"), "both are cut");
  await Promise.all([ann.until("online"), ben.until("online")]);
  other.conversation.markRead();
  await until(() => view.entries.every(({ state }) => state === "read"), "all are read");
  assert.deepEqual([view.now.readByPeer, other.now.read, other.now.unread], [3, 3, 0]);
});

scenario("marks follow to another device of the user, which sends none of its own", async (world) => {
  const { server } = world;
  const [phone, laptop] = [await world.online("ann"), await world.online("ann")];
  const lists = [];
  laptop.chat.onConversations((list) => lists.push(list));
  const view = phone.with("ben");
  for (const text of texts("hi", 3)) server.post("ben", "ann", text);
  await until(() => lists.at(-1)?.unread === 3, "the other device shows three");
  view.conversation.markRead();
  await until(() => lists.at(-1).unread === 0, "it follows");
  await laptop.chat.close();
  assert.deepEqual(marksOf(server, "ann").map(({ frame }) => frame.read), [3]);
});

scenario("a mark of a tab is sent once, whichever of its tabs hears of it", async (world) => {
  const { server } = world;
  const browser = new Browser();
  const open = () => world.online("ann", { tab: browser.tab("ann") });
  const [one, two] = [await open(), await open()];
  const [view, other] = [one.with("ben"), two.with("ben")];
  for (const text of texts("hi", 3)) server.post("ben", "ann", text);
  await until(() => view.now.unread === 3 && other.now.unread === 3, "both show three");
  view.conversation.markRead();
  await until(() => other.now.unread === 0, "the other tab follows");
  await until(() => marksOf(server, "ann").length > 0, "the server has it");
  await two.chat.close();
  assert.deepEqual(marksOf(server, "ann").map(({ frame }) => frame.read), [3]);
});

scenario("without receipts, ticks stay as they are, and settings follow to another device", async (world) => {
  const { server } = world;
  const [ann, ben, phone] = [await world.online("ann"), await world.online("ben"), await world.online("ben")];
  const seen = [];
  phone.chat.onSettings((settings) => seen.push(settings));
  await until(() => seen.at(-1)?.receipts, "the settings are known");
  assert.deepEqual(await ben.chat.setSettings({ receipts: false }), { receipts: false, presence: true });
  await until(() => seen.at(-1).receipts === false, "the other device follows");
  const [view, other] = [ann.with("ben"), ben.with("ann")];
  await view.conversation.send("hi").done;
  await other.shows(["hi"]);
  other.conversation.markRead();
  await until(() => server.features.marks(view.conversation.id, "ben").read === 1, "the server has the mark");
  const requested = () => server.features.asked("conversations").filter(({ user }) => user === "ann").length;
  const before = requested();
  let list;
  ann.chat.onConversations((now) => (list = now));
  ann.tab.show();
  await until(() => requested() > before && !list.loading, "the list was read again");
  assert.deepEqual([view.entries[0].state, view.now.readByPeer], ["delivered", 0]);
});

scenario("presence comes from the server, with tokens too", { withAuth: true }, async (world) => {
  const { server } = world;
  const ann = await world.online("ann", { token: async () => token("ann") });
  server.features.here.add("ben");
  const view = ann.with("ben");
  await until(() => view.now.presence?.online, "ben is online");
  assert.ok(server.features.requests.every(({ user }) => user === "ann"));
});
