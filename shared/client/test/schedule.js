// A generated schedule: actions of a user, a peer, the network and the server, and the invariants that must hold.

import assert from "node:assert/strict";
import { isMainThread, workerData } from "node:worker_threads";

import { makeChange, shown, shownOf, textsOf } from "./changes.js";
import { chatIn, MINUTE, settled, Watcher } from "./chats.js";
import { isGroup } from "./groups.js";
import { memoryStorage } from "./memory.js";
import { checkGroup, createdBy, Group } from "./schedule-group.js";
import { World } from "./world.js";

const FAULTS = ["refuse", "losePush", "doublePush", "rateLimit", "unavailable", "cutBefore", "cutAfter", "loseAck", "throttle", "crash", "echoPush", "networkError", "serverError", "nonsense", "expire", "halfChange"];

/** Checks that the marks, the ticks and the number of unread messages are those of the server. */
function checkMarks(world, peer, shown) {
  const { read, unread, readByPeer, deliveredToPeer, entries, marksKnown } = shown;
  const [mine, theirs] = [world.marks(peer), world.marks(peer, peer)];
  assert.ok(marksKnown);
  if (!world.features.modern) return assert.deepEqual([readByPeer, deliveredToPeer], [0, 0]);
  assert.deepEqual([readByPeer, deliveredToPeer], [theirs.read, theirs.delivered], `${peer}: marks of the peer`);
  // Up to own messages, the server needs no mark.
  assert.ok(read >= mine.read, `${peer}: ${read} is less than ${mine.read}`);
  assert.equal(unread, world.unread(peer), `${peer}: unread`);
  for (const { own, seq, state } of entries.filter((e) => e.seq !== undefined)) {
    if (own && readByPeer && seq <= readByPeer) assert.equal(state, "read");
    else if (own && deliveredToPeer && seq <= deliveredToPeer) assert.equal(state, "delivered");
    else assert.ok(state === "stored" || state === "delivered", state);
  }
}

/** Runs the schedule of a seed. */
export async function schedule(seed) {
  const world = new World(seed);
  const { random } = world;
  const pick = (list) => list[Math.floor(random() * list.length)];
  for (const fault of FAULTS) if (random() < 0.5) world.faults[fault] = random() * 0.3;
  world.latency = [1, pick([10, 200, 3_000])];
  world.features.modern = random() < 0.8;
  world.features.changes = world.features.modern && random() < 0.9;
  world.features.groups = world.features.changes && random() < 0.9;
  const direct = ["ann", "bob"];
  const group = world.features.groups ? new Group(world, pick) : undefined;
  const peers = group ? [...direct, group.id] : direct;
  // The conversation with the last one is never opened.
  const everybody = [...peers, "cat"];
  const others = [...direct, "cat"];
  const old = Math.floor(random() * 80);
  for (const peer of others) {
    const log = world.log(peer);
    for (let i = 0; i < old; i++) log.push({ sender_id: pick([peer, "me"]), receiver_id: "", message: `old ${i}`, timestamp: "", seq: i - old + 1 + 20 });
    for (const m of log) m.receiver_id = m.sender_id === "me" ? peer : "me";
  }
  const storage = memoryStorage();
  let chat = chatIn(world, { storage });
  const conversation = (peer) => (isGroup(peer) ? chat.conversation(peer) : chat.with(peer));
  let watchers = peers.map((peer) => new Watcher(conversation(peer)));
  /** Client ids of what was sent, in order. */
  const sent = peers.map(() => []);
  /** Keys of messages that were edited. */
  const edited = new Set();
  let count = 0;
  const text = () => `${random() < 0.1 ? "fatal" : "text"} ${count++}`;

  const check = () => {
    for (const error of [world.error, ...watchers.map((watcher) => watcher.error)]) if (error) throw error;
  };
  const restart = async () => {
    await chat.close();
    check();
    assert.equal(world.clientTimers, 0);
    assert.equal(world.window.listeners + world.document.listeners, 0);
    chat = chatIn(world, { storage });
    const removed = watchers.map((watcher) => watcher.removed);
    watchers = peers.map((peer) => new Watcher(conversation(peer)));
    watchers.forEach((watcher, i) => (watcher.removed = removed[i]));
    chat.connect();
    await world.advance(0);
  };
  const someChange = () => (random() < 0.6 ? { action: "editMessage", message: text() } : { action: "deleteMessage" });
  const someMarks = () => ({ read: Math.floor(random() * 40), delivered: Math.floor(random() * 50) });
  /** Changes of groups that the user has asked for. */
  const requests = [];
  let created = 0;
  const onlyRejected = (error) => assert.equal(error.name, "ChatError", error.stack);
  const actions = {
    send() {
      const i = Math.floor(random() * peers.length);
      sent[i].push(conversation(peers[i]).send(text()).clientId);
    },
    edit() {
      const i = Math.floor(random() * peers.length);
      const entry = pick(watchers[i].last.entries.slice(-8).filter(({ own }) => own));
      if (!entry) return;
      edited.add(entry.key);
      conversation(peers[i]).edit(entry, text());
    },
    remove() {
      const i = Math.floor(random() * peers.length);
      const entry = pick(watchers[i].last.entries.slice(-8).filter(({ own }) => own));
      if (!entry) return;
      if (entry.seq === undefined) watchers[i].removed.add(entry.key);
      conversation(peers[i]).remove(entry);
    },
    // The peer, and another device of the user, change messages.
    changeElsewhere() {
      const peer = pick(everybody);
      if (isGroup(peer)) return group.changeText(someChange());
      const user = random() < 0.7 ? peer : "me";
      const target = pick(textsOf(world.log(peer)).slice(-20).filter((entry) => entry.sender_id === user));
      if (target && world.features.changes) world.change(peer, user, { ...someChange(), seq: target.seq });
    },
    write() {
      const peer = pick(everybody);
      if (isGroup(peer)) group.write(`from a member ${count++}`);
      else world.write(peer, `from peer ${count++}`);
    },
    changeGroup: () => group?.change(),
    // The user changes the group, or creates another one.
    changeOwn: () => group && void requests.push(group.request(chat.conversation(group.id)).catch(onlyRejected)),
    create: () => void requests.push(chat.createGroup({ title: `group ${created++}`, users: ["ann", "bob"] }).catch(onlyRejected)),
    pass: () => world.advance(random() * pick([20, 500, 15_000, 10 * MINUTE])),
    cut: () => pick(world.open)?.end(pick([1001, 1006, 1011, 1012])),
    wake: () => world.wake(),
    replaced: () => pick(world.open)?.end(1000),
    network: async () => {
      world.window.dispatchEvent(new Event("offline"));
      await world.advance(random() * 30_000);
      world.window.dispatchEvent(new Event("online"));
    },
    older: () => void conversation(pick(peers)).older(1 + Math.floor(random() * 60)).catch(() => {}),
    read: () => conversation(pick(everybody)).markRead(),
    readSome() {
      const { entries } = conversation(pick(peers)).snapshot;
      conversation(pick(peers)).markRead(pick(entries)?.seq);
    },
    // Another device of the user, and the peer, mark and get messages.
    readElsewhere: () => world.features.modern && world.mark(pick(everybody), "me", someMarks()),
    peerMarks() {
      const peer = pick(everybody);
      if (world.features.modern) world.mark(peer, isGroup(peer) ? "bob" : peer, someMarks());
    },
    connect: () => chat.connect(),
    handOver: () => world.advance(116 * MINUTE),
    die: async () => {
      world.dead = true;
      await world.advance(random() * MINUTE);
      world.dead = false;
    },
    clock: () => (world.wrongClock += pick([-50 * 365 * 86_400_000, -1_000, 3_600_000])),
    retry: () => watchers.forEach(({ last }, i) => last.entries.filter((e) => e.state === "failed" && random() < 0.5).forEach((e) => {
      e.retry();
      sent[i].push(...sent[i].splice(sent[i].indexOf(e.clientId), 1));
    })),
    retryChanges: () => watchers.forEach(({ last }) => last.entries.forEach(({ change }) => change?.state === "failed" && change.retry())),
    restart,
  };
  const often = ["send", "send", "send", "send", "write", "write", "edit", "remove", "changeElsewhere", "changeGroup", "pass", "pass", "pass", "cut", "peerMarks"];
  const rare = Object.keys(actions);
  for (let i = 0; i < 30; i++) {
    await actions[random() < 0.75 ? pick(often) : pick(rare)]();
    await world.advance(random() < 0.5 ? 0 : random() * 50);
    check();
  }

  world.faults = {};
  world.wake();
  chat.connect();
  await world.advance(3 * MINUTE);
  world.wake();
  await world.advance(3 * MINUTE);
  assert.equal(chat.state.state, "online");
  if (world.features.modern) checkMarks(world, "cat", chat.with("cat").snapshot);
  const groups = createdBy(world, "me");
  assert.equal(groups.length, world.features.groups ? created : 0, "each call creates one group");
  for (const [i, peer] of peers.entries()) {
    while ((await settled(world, conversation(peer).older(50))).more);
    await world.advance(10);
    const log = world.log(peer);
    // As the operator does with changes whose process has died, which the entries show already.
    log.filter(({ kind }) => kind).forEach((change) => makeChange(log, change));
    const { last } = watchers[i];
    if (process.env.SEED) console.log(peer, last.entries.filter((e) => e.own && e.clientId).map((e) => [e.text, e.state, e.error?.code, e.change]), chat.state);
    const stored = last.entries.filter((e) => e.seq !== undefined);
    const failed = last.entries.filter((e) => e.seq === undefined);
    // An older server shows its history without numbers of other kinds, but has none either.
    if (isGroup(peer)) checkGroup(world, peer, last);
    else assert.deepEqual(stored.map(shown), textsOf(log).map(shownOf), `${peer}: shown and log`);
    const inLog = textsOf(log).flatMap((m) => m.client_message_id ?? []);
    assert.deepEqual(inLog, sent[i].filter((id) => inLog.includes(id)), `${peer}: order of sending`);
    const lost = sent[i].filter((id) => !inLog.includes(id) && !failed.some((e) => e.clientId === id) && !watchers[i].removed.has(`m:${id}`));
    assert.deepEqual(lost, [], `${peer}: lost`);
    // One that has failed and is edited stays failed until it is retried.
    const isRefused = ({ error }) => isGroup(peer) && error?.code === "forbidden";
    for (const entry of failed) assert.ok(entry.state === "failed" && (entry.text.startsWith("fatal") || edited.has(entry.key) || isRefused(entry)), `${peer}: ${entry.text} is ${entry.state}, ${entry.error}`);
    const ids = log.flatMap((m) => m.client_message_id ?? []);
    assert.equal(new Set(ids).size, ids.length, "nothing is stored twice");
    for (const { change } of stored) {
      if (!change) continue;
      assert.equal(change.state, "failed", `${peer}: a change is neither stored nor failed`);
      assert.ok(change.text.startsWith("fatal") || !world.features.changes || isRefused(change), `${peer}: ${change.kind} failed: ${change.error}`);
    }
    if (!isGroup(peer)) checkMarks(world, peer, last);
    for (const entry of last.entries.filter((e) => e.done))
      assert.equal(await entry.done.then(() => "stored", () => "failed"), entry.seq === undefined ? "failed" : "stored");
  }
  await restart();
  await chat.close();
  assert.equal(world.clientTimers, 0);
  assert.equal(world.open.length, 0, "a connection is left open");
}

if (!isMainThread && workerData?.step) {
  for (let seed = workerData.first; seed < workerData.last; seed += workerData.step) {
    try {
      await schedule(seed);
    } catch (error) {
      error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
}
