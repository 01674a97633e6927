// Clients for the tests on real WebSockets. Each lives in a tab, and every snapshot that it shows is checked.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Chat, indexedDbStorage } from "../src/index.js";
import { shown, shownOf, textsOf } from "./changes.js";
import { eventsIn, isGroup } from "./groups.js";
import { memoryStorage } from "./memory.js";
import { conversationId, startServer, until } from "./server.js";
import { Databases, Locks, Tab } from "./stand-ins.js";

/** Short durations for the tests, in ms. A test sets those that it is about itself. */
export const TIMING = {
  backoff: 20,
  backoffMax: 100,
  sendBackoff: 10,
  stable: 50,
  connect: 1_000,
  ack: 300,
  pong: 200,
  wakePong: 150,
  handOverRetry: 20,
  handOverRetryMax: 60,
  drain: 300,
  token: 1_000,
  request: 1_000,
  gather: 5,
  mark: 50,
  delivered: 5,
  save: 50,
  storage: 500,
};

/** Warnings of Node, such as of too many listeners. */
const warnings = [];
process.on("warning", (warning) => warnings.push(warning));

/** Order of the states. An entry may go back only between states of rank 0. */
const RANK = { failed: 0, queued: 0, sending: 0, stored: 1, delivered: 2, read: 3 };

/** Runs a test with its own server and clients, and then checks all snapshots that they have shown. */
export function scenario(name, ...rest) {
  const [options, body] = rest.length > 1 ? rest : [{}, rest[0]];
  test(name, { timeout: 20_000 }, async (t) => {
    const world = new World(t, await startServer(options));
    try {
      await body(world);
    } finally {
      await world.close();
    }
    world.check();
  });
}

/** A server and its clients. */
export class World {
  clients = [];

  constructor(t, server) {
    Object.assign(this, { t, server, servers: [server] });
  }

  /** Returns a client that is not connected yet. */
  client(user, options) {
    const client = new Client(this.server, user, options);
    this.clients.push(client);
    return client;
  }

  /** Returns a client that is online. */
  async online(user, options) {
    const client = this.client(user, options);
    client.chat.connect();
    await client.until("online");
    return client;
  }

  /** Returns another server. */
  async addServer(options) {
    const server = await startServer(options);
    this.servers.push(server);
    return server;
  }

  async close() {
    for (const { chat, tab } of this.clients) if (tab.alive) await chat.close();
    for (const server of this.servers) await server.stop();
  }

  check() {
    for (const { problems } of this.clients) if (problems.length) throw problems[0];
    assert.deepEqual(warnings.splice(0).map(String), [], "warnings of Node");
  }
}

/** The library in a tab, with everything that it has shown. */
export class Client {
  states = [];
  problems = [];
  logs = [];
  views = new Map();

  constructor(server, user, { tab = new Tab({ storage: memoryStorage() }), timing, ...options } = {}) {
    Object.assign(this, { server, user, tab });
    const { socketUrl, historyUrl } = server;
    const log = (...line) => this.logs.push(line);
    this.chat = new Chat({ socketUrl, historyUrl, user, log, ...tab.options, timing: { ...TIMING, ...timing }, ...options });
    this.chat.onState((state) => this.states.push(state));
  }

  /** Opens the conversation with `peer`, or a group by its id. */
  with(peer) {
    if (!this.views.has(peer)) this.views.set(peer, new View(this, peer));
    return this.views.get(peer);
  }

  get state() {
    return this.chat.state.state;
  }

  until(state, timeout) {
    return until(() => this.state === state, () => `${this.user} is ${state}, not ${this.state}`, timeout);
  }
}

/** A conversation as it is shown. */
export class View {
  snapshots = [];

  constructor(client, peer) {
    Object.assign(this, { client, peer, conversation: isGroup(peer) ? client.chat.conversation(peer) : client.chat.with(peer) });
    this.stop = this.conversation.onChange((snapshot) => {
      try {
        this.#check(snapshot, this.snapshots.at(-1));
      } catch (problem) {
        client.problems.push(problem);
      }
      this.snapshots.push(snapshot);
    });
  }

  get now() {
    return this.snapshots.at(-1);
  }

  get entries() {
    return this.now.entries;
  }

  get texts() {
    return this.entries.filter(({ event }) => !event).map(({ text }) => text);
  }

  get events() {
    return eventsIn(this.entries);
  }

  /** Returns the newest entry with a text. */
  entry(text) {
    return this.entries.findLast((entry) => entry.text === text);
  }

  /** Waits until the newest page was read. */
  async loaded() {
    const { user, server } = this.client;
    const isNewestPage = ({ query, status }) =>
      status === 200 && (query.conversation_id === conversationId(user, this.peer) || (query.user1 === user && query.user2 === this.peer));
    await until(() => server.requests.some(isNewestPage) && !this.now.loading, `${user} has the newest page`);
    return this;
  }

  /** Waits until exactly these texts are shown, in this order, each with a number. */
  async shows(texts, timeout) {
    const stored = () => this.texts.join("\n") === texts.join("\n") && this.entries.every(({ seq }) => seq !== undefined);
    await until(stored, "the texts are stored and shown", timeout).catch(() => {
      const shown = this.entries.map(({ text, seq }) => (seq === undefined ? `${text} (not stored)` : text));
      assert.deepEqual(shown, texts, `what ${this.client.user} is shown`);
    });
  }

  /** Waits until this view shows the server's log. */
  async showsLog(timeout) {
    await this.shows(this.client.server.texts(this.client.user, this.peer), timeout);
    const log = textsOf(this.client.server.log(this.client.user, this.peer));
    assert.deepEqual(this.entries.map(shown), log.map(shownOf));
    assert.deepEqual(this.entries.map(({ timestamp }) => timestamp), log.map(({ timestamp }) => timestamp));
  }

  /** Checks the invariants of a snapshot, and of the change from the one before. */
  #check(snapshot, before) {
    const { entries } = snapshot;
    const about = `${this.client.user} is shown ${JSON.stringify(entries.map(({ key, seq, text, state }) => ({ key, seq, text: text.slice(0, 20), state })))}`;
    assert.ok(Object.isFrozen(snapshot) && Object.isFrozen(entries), "a snapshot is frozen");
    assert.equal(new Set(entries.map(({ key }) => key)).size, entries.length, `duplicate key: ${about}`);
    const numbers = entries.map(({ seq }) => seq);
    const numbered = numbers.filter((seq) => seq !== undefined);
    assert.deepEqual(numbers.slice(0, numbered.length), numbered, `an entry without a number comes before one with a number: ${about}`);
    numbered.forEach((seq, index) => assert.ok(index === 0 || seq > numbered[index - 1], `numbers are not ascending: ${about}`));
    const ids = entries.map(({ clientId }) => clientId).filter((id) => id !== undefined);
    assert.equal(new Set(ids).size, ids.length, `duplicate client id: ${about}`);
    if (before) this.#compare(entries, before.entries, about);
  }

  #compare(entries, before, about) {
    const now = new Map(entries.map((entry) => [entry.key, entry]));
    const signedOut = this.client.state === "signed-out" && !entries.length;
    for (const old of signedOut ? [] : before) {
      const entry = now.get(old.key);
      if (!entry) {
        assert.ok(old.state === "failed" || !old.own || old.seq !== undefined, `an entry disappeared: ${old.text.slice(0, 20)}; ${about}`);
        continue;
      }
      assert.ok(Object.isFrozen(entry), "an entry is frozen");
      assert.ok(RANK[entry.state] >= RANK[old.state], `${old.state} became ${entry.state}: ${about}`);
      assert.ok(old.seq === undefined || entry.seq === old.seq, `a number changed: ${about}`);
      const same = ["seq", "text", "state", "error", "timestamp", "sender", "edited", "deleted"].every((field) => entry[field] === old[field]);
      // An entry that was queued and sent again within a turn, as one whose change was, looks the same but is a new object.
      if (same && !entry.change && !old.change && entry.state !== "sending") assert.equal(entry, old, `an entry that did not change is another object: ${about}`);
    }
  }
}

/** Returns the texts `word 1` to `word count`. */
export const texts = (word, count) => Array.from({ length: count }, (_, index) => `${word} ${index + 1}`);

/** Returns the current entries of a conversation. */
export function entriesOf(conversation) {
  let entries;
  conversation.onChange((snapshot) => (entries = snapshot.entries))();
  return entries;
}

/** A browser: the databases and locks that its tabs share. */
export class Browser {
  databases = new Databases();
  locks = new Locks();

  tab(user) {
    return new Tab({ storage: indexedDbStorage(user, this.databases), locks: this.locks });
  }

  /** Returns the rows of a user's outbox. */
  outbox(user) {
    return [...(this.databases.data.get(`meetme-chat:${user}`)?.get("outbox")?.values() ?? [])];
  }

  /** Returns all rows of a user's database. */
  rows(user) {
    const stores = [...(this.databases.data.get(`meetme-chat:${user}`)?.values() ?? [])];
    return stores.flatMap((store) => [...store.values()]);
  }
}
