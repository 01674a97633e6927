// Clients of the whole chat, for the tests in this folder, and the checks of what they have shown.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { setTimeout as after } from "node:timers/promises";

import { Chat } from "../../shared/client/src/index.js";
import { shown as shownEntry, shownOf, textsOf } from "../../shared/client/test/changes.js";
import { eventsIn, eventsOf, isGroup } from "../../shared/client/test/groups.js";
import { conversationId, until } from "../../shared/client/test/server.js";
import { startChat } from "./stack.js";

const { WebSocket } = createRequire(import.meta.url)("ws");

/** Short durations for the tests, in ms. */
const TIMING = {
  backoff: 50,
  backoffMax: 400,
  sendBackoff: 30,
  stable: 500,
  ack: 1_000,
  pong: 1_000,
  wakePong: 500,
  drain: 1_500,
  gather: 20,
  compare: 500,
  save: 200,
};

/** Order of the states. An entry may go back only between states of rank 0. */
const RANK = { failed: 0, queued: 0, sending: 0, stored: 1, delivered: 2, read: 3 };

/** A client in a conversation, with everything that it has shown. */
export class Client {
  snapshot;
  states = [];
  written = [];
  /** WebSockets that were opened. */
  opened = [];
  /** Frames that have arrived. */
  frames = [];
  #marks = { read: 0, readByPeer: 0, deliveredToPeer: 0 };
  #states = new Map();

  constructor(t, stack, user, peer, { timing, ...options } = {}) {
    const client = this;
    Object.assign(this, { user, stack, token: options.token });
    this.chat = new Chat({
      socketUrl: options.token ? stack.ws : `${stack.ws}?user_id={user}`,
      historyUrl: stack.http,
      timing: { ...TIMING, ...timing },
      WebSocket: class extends WebSocket {
        constructor(...call) {
          super(...call);
          this.once("open", () => client.opened.push(this));
          this.on("message", (data) => client.frames.push(String(data)));
        }
      },
      user,
      ...options,
    });
    t.after(() => this.chat.close());
    this.chat.onState(({ state }) => this.states.push(state));
    this.open(peer);
    this.chat.connect();
  }

  /** Opens the conversation with a user, or a group by its id, in place of the one that is open. */
  open(peer) {
    this.stop?.();
    this.peer = peer;
    this.#marks = { read: 0, readByPeer: 0, deliveredToPeer: 0 };
    this.conversation = isGroup(peer) ? this.chat.conversation(peer) : this.chat.with(peer);
    this.stop = this.conversation.onChange((snapshot) => this.#check(snapshot));
    return this;
  }

  /**
   * Checks the invariants of a snapshot: numbers and keys are unique, numbers ascend, entries without a number come last. Marks and
   * ticks do not go back.
   */
  #check(snapshot) {
    this.snapshot = snapshot;
    const { entries } = snapshot;
    const numbers = entries.filter(({ seq }) => seq !== undefined).map(({ seq }) => seq);
    const valid =
      new Set(entries.map(({ key }) => key)).size === entries.length &&
      numbers.every((seq, index) => index === 0 || seq > numbers[index - 1]) &&
      entries.slice(0, numbers.length).every(({ seq }) => seq !== undefined);
    const marks = this.#marks;
    for (const name of Object.keys(marks)) {
      if (snapshot[name] < marks[name]) this.problem ??= new Error(`${this.user}: ${name} went back from ${marks[name]} to ${snapshot[name]}`);
      marks[name] = snapshot[name];
    }
    for (const { key, state } of entries) {
      if (RANK[state] < RANK[this.#states.get(key)]) this.problem ??= new Error(`${this.user}: ${this.#states.get(key)} became ${state}`);
      this.#states.set(key, state);
    }
    if (!valid) this.problem ??= new Error(`${this.user} has shown ${JSON.stringify(entries)}`);
  }

  /** Sends `count` texts, one every `ms`. */
  async write(count, ms = 10, word = this.user) {
    for (let index = 0; index < count; index++) {
      const text = `${word} ${this.written.length}`;
      this.written.push(text);
      this.conversation.send(text);
      await after(ms);
    }
  }

  shows(text) {
    return this.snapshot.entries.some((entry) => entry.text === text);
  }

  /** Returns the number of own messages that are stored. */
  storedCount() {
    return this.snapshot.entries.filter(({ own, seq }) => own && seq !== undefined).length;
  }
}

/** Starts a chat with the clients of Ann and Ben. */
export async function start(t, { timing, ...options } = {}) {
  const chat = await startChat(options);
  t.after(() => chat.stop());
  const ann = new Client(t, chat, "ann", "ben", { timing });
  const ben = new Client(t, chat, "ben", "ann", { timing });
  await until(() => [ann, ben].every((client) => client.chat.state.state === "online"), "both are online", 10_000);
  return { chat, ann, ben };
}

/** Waits until both sides show the log, and checks that it has `count` messages, each once, in the order of its sender. */
export async function expectAllShown(ann, ben, count, timeout = 15_000) {
  const complete = ({ snapshot }) => snapshot.entries.length === count && snapshot.entries.every(({ seq }) => seq !== undefined);
  const shown = ({ user, snapshot, chat }) => `${user} (${chat.state.state}) shows ${snapshot.entries.map(({ text, state }) => `${text.slice(0, 20)} ${state}`).join(", ")}`;
  await until(() => [ann, ben].every(complete), () => `${count} stored entries on both sides; ${[ann, ben].map(shown).join("; ")}`, timeout);
  for (const client of [ann, ben]) {
    const log = await expectLog(client.stack, client);
    assert.equal(log.length, count);
    assert.deepEqual(log.map(({ seq }) => seq), log.map((_, index) => index + 1), "numbers are dense");
    const own = log.filter(({ sender_id, message }) => sender_id === client.user && client.written.includes(message));
    assert.deepEqual(own.map(({ message }) => message), client.written, `${client.user}'s texts are in the order of writing`);
  }
}

/** Waits until a client shows the log, which is complete, checks that it shows exactly that, and returns it. */
export async function expectLog(stack, client) {
  const log = await history(client);
  const shown = () => client.snapshot.entries.filter(({ event }) => !event).map(({ sender, timestamp, ...entry }) => ({ sender, timestamp, ...shownEntry(entry) }));
  const stored = textsOf(log).map(({ sender_id: sender, timestamp, ...item }) => ({ sender, timestamp, ...shownOf(item) }));
  const same = () => JSON.stringify(shown()) === JSON.stringify(stored);
  await until(same, `${client.user} shows the log`).catch(() => assert.deepEqual(shown(), stored, `${client.user} shows the log`));
  const events = () => JSON.stringify(eventsIn(client.snapshot.entries)) === JSON.stringify(isGroup(client.peer) ? eventsOf(log) : []);
  await until(events, () => `${client.user} shows the events of the log, not ${JSON.stringify(eventsIn(client.snapshot.entries))}`);
  if (client.problem) throw client.problem;
  return log;
}

/** Reads the whole log from the history. */
async function history({ stack, user, peer, token }) {
  const log = [];
  const query = isGroup(peer) ? `conversation_id=${peer}&user=${encodeURIComponent(user)}` : `conversation_id=${encodeURIComponent(conversationId(user, peer))}`;
  let url = `${stack.http}/chat/history?${query}`;
  while (url) {
    const headers = token ? { authorization: `Bearer ${await token({})}` } : {};
    const request = async () => {
      const response = await fetch(url, { headers });
      return response.status !== 429 && response;
    };
    const response = await until(request, "the history is not throttled");
    assert.equal(response.status, 200, await response.clone().text());
    log.unshift(...(await response.json()));
    const previous = /<([^>]*)>; rel="prev"/.exec(response.headers.get("link") ?? "");
    url = previous && new URL(previous[1], url).href;
  }
  return log;
}
