// Chats in a `World`, for the tests with a driven clock.

import assert from "node:assert/strict";

import { TRANSITIONS } from "../src/entry.js";
import { Chat } from "../src/index.js";
import { World } from "./world.js";

export const MINUTE = 60_000;

/** Checks each snapshot of a conversation against the one before. */
export class Watcher {
  seen = new Map();
  /** Keys of messages that were removed, which may be discarded. */
  removed = new Set();

  constructor(conversation, onSnapshot = () => {}) {
    this.conversation = conversation;
    this.stop = conversation.onChange((snapshot) => {
      this.last = snapshot;
      try {
        this.check(snapshot);
      } catch (error) {
        this.error ??= error;
      }
      onSnapshot(snapshot);
    });
  }

  check({ entries, read, readByPeer, deliveredToPeer }) {
    const keys = new Set(entries.map((e) => e.key));
    assert.equal(keys.size, entries.length, "two entries have the same key");
    const ordered = entries.every(({ seq = Infinity }, i) => !i || entries[i - 1].seq < seq || seq === Infinity);
    if (!ordered) assert.fail(`order: ${entries.map((e) => e.seq)}`);
    for (const key of this.seen.keys()) if (!keys.has(key) && !this.removed.has(key)) assert.fail(`an entry has disappeared: ${key}`);
    for (const entry of entries) this.compare(this.seen.get(entry.key), entry);
    for (const [name, mark] of Object.entries({ read, readByPeer, deliveredToPeer })) {
      assert.ok(mark >= (this[name] ?? 0), `${name} has moved back`);
      this[name] = mark;
    }
  }

  compare(before, entry) {
    this.seen.set(entry.key, entry);
    if (!before || before === entry) return;
    assert.ok(Object.isFrozen(entry));
    assert.ok(reachable(before.state, entry.state), `${before.state} -> ${entry.state}`);
    assert.ok(before.seq === undefined || before.seq === entry.seq);
    const fields = ["state", "seq", "timestamp", "error", "text", "edited", "deleted", "done"];
    const same = fields.every((name) => before[name] === entry[name]) && before.change?.state === entry.change?.state;
    assert.ok(!entry.deleted || entry.text === "", "a deleted message has a text");
    // An entry that was sent and queued again within a turn has changed twice. So has one whose change was.
    assert.ok(!same || entry.change || entry.state === "queued" || entry.state === "sending", "an unchanged entry is a new object");
  }
}

function reachable(from, to, seen = new Set()) {
  if (from === to) return true;
  seen.add(from);
  return TRANSITIONS[from].some((next) => !seen.has(next) && reachable(next, to, seen));
}

export const texts = (items) => items.map((m) => m.message ?? m.text);

export const chatIn = (world, more) =>
  new Chat(world.options({
    log(level, event, fields) {
      if (level === "error") world.error ??= new Error(`${event}: ${fields.message ?? fields.error?.stack}`);
    },
    ...more,
  }));

/** Returns a chat that is online. */
export async function online(world, more) {
  const chat = chatIn(world, more);
  chat.connect();
  await world.advance(50);
  assert.equal(chat.state.state, "online");
  return chat;
}

export const newest = (list) => list.at(-1);

export const numbered = (world, peer, from, to) => {
  for (let seq = from; seq <= to; seq++) world.log(peer).push({ sender_id: peer, receiver_id: "me", message: `${seq}`, timestamp: "", seq });
};
export const numbers = (snapshot) => snapshot.entries.map((e) => e.seq);
export const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
export const sends = (world) => world.frames.filter(({ frame }) => frame.action === "sendMessage");

/** Advances the time until a promise settles, and returns its value. */
export async function settled(world, promise) {
  let result;
  promise.then((value) => (result = { value }), (error) => (result = { error }));
  for (let i = 0; i < 1_000 && !result; i++) await world.advance(50);
  if (result?.error) throw result.error;
  return result.value;
}

/** Returns an online chat with a stored message in the conversation with ann. */
export async function withMessage(text = "At 3PM?", more = {}) {
  const world = new World();
  const chat = await online(world, more);
  const conversation = chat.with("ann");
  const watcher = new Watcher(conversation);
  const entry = await settled(world, conversation.send(text).done);
  return { world, chat, conversation, watcher, entry };
}

/** Returns the frames that edit and delete. */
export const changeFrames = (world) => world.frames.map(({ frame }) => frame).filter(({ action }) => /^(edit|delete)Message$/.test(action));

/** Returns the first entry that a watcher has seen last. */
export const first = ({ last }) => last.entries[0];
