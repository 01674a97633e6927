import { messagesOf } from "./all.js";
import { textError } from "./entry.js";
import { blockedError, ChatError, unsupported } from "./error.js";
import { groupTitle, isGroupId, newId, userId, userIds, wellFormed } from "./id.js";
import { createListeners } from "./listeners.js";
import { Timeline } from "./timeline.js";

/** @import { Outbox } from "./outbox.js" */
/** @import { ConversationSummary, Driver, Entry, EntryRecord, Env, GroupEvent, Listeners, Message, Preview, Snapshot } from "./types.js" */

/** The most users that one entry names. */
export const MAX_USERS = 49;

/** A conversation with one user, or a group. */
export class Conversation {
  /** @type {Listeners<Snapshot>} */ #listeners;
  /** The summary of a snapshot. @type {{of: Snapshot, summary: ConversationSummary} | undefined} */ #summarized;
  #env;
  #driver;

  /**
   * @param {string} id
   * @param {string} peer "" of a group
   * @param {Env} env
   * @param {Driver} driver
   */
  constructor(id, peer, env, driver) {
    this.id = id;
    this.peer = peer;
    this.#env = env;
    this.#driver = driver;
    this.#listeners = createListeners(env);
    this.timeline = this.#newTimeline();
  }

  /** Whether somebody listens to it. */
  get watched() {
    return this.#listeners.size > 0;
  }

  get isGroup() {
    return isGroupId(this.id);
  }

  /** The conversation as it is now. */
  get snapshot() {
    return this.timeline.snapshot;
  }

  /**
   * Opens the conversation: its newest page is read, and it is kept up to date.
   * @param {(snapshot: Snapshot) => void} listener called at once, and once per turn in which something changes
   * @returns {() => void} removes the listener
   */
  onChange(listener) {
    const { start, run, watch } = this.#driver;
    start();
    run(() => this.timeline.pager.open());
    const stop = this.#listeners.add(listener, this.snapshot);
    run(watch);
    return stop;
  }

  /**
   * Queues a text, which is shown at once and sent as soon as possible.
   * @param {string} text
   * @returns {Entry}
   */
  send(text) {
    const sent = wellFormed(text);
    const { start, run, stamp } = this.#driver;
    start();
    const message = { clientId: newId(), text: sent, saved: false, ...stamp() };
    this.timeline.signs.typedAll();
    const error = this.timeline.blocked ? blockedError() : textError(sent);
    const record = this.timeline.outbox.send(message, this.#env.clock.read(), 0, error);
    run(() => {});
    return this.timeline.entry(record);
  }

  /**
   * Reads older messages.
   * @param {number} [n] how many, at most 1,000
   * @returns {Promise<{more: boolean}>} whether there are more
   */
  older(n = 50) {
    const { start, run, closeReason } = this.#driver;
    start();
    const { pager } = this.timeline;
    const done = pager.older(n);
    const error = closeReason();
    if (error) pager.rejectOlder(error);
    run(() => {});
    return done;
  }

  /**
   * Marks all messages up to a number as read. The mark never goes back.
   * @param {number} [seq]
   */
  markRead(seq = this.timeline.newest) {
    this.#driver.run(() => this.timeline.markRead(seq));
  }

  /** The user types: to be called at each change of the text. Tells the peer now and then. */
  typing() {
    this.#driver.run((now) => this.timeline.typed(now));
  }

  /** Whether the server can edit and delete messages, as far as is known: an older one cannot. */
  get canChange() {
    return this.#driver.canChange();
  }

  /**
   * Replaces the text of an own message. The new one is shown at once; if the server refuses it for good, the old one is shown again.
   * @param {Entry} entry
   * @param {string} text
   * @returns {Promise<void>} resolves when it is stored
   */
  edit(entry, text) {
    return this.#change(entry, "edit", wellFormed(text));
  }

  /**
   * Deletes an own message; an owner of a group, any. It stays in the entries, without its text. One that was not sent yet is discarded.
   * @param {Entry} entry
   * @returns {Promise<void>} resolves when that is stored
   */
  remove(entry) {
    return this.#change(entry, "delete", "");
  }

  /**
   * @param {Entry} entry
   * @param {"edit" | "delete"} kind
   * @param {string} text
   */
  #change({ key }, kind, text) {
    const { start, run, stamp } = this.#driver;
    start();
    const record = this.timeline.record(key);
    const shown = record && this.timeline.entry(record);
    const error = !this.canChange && record?.seq !== undefined ? unsupported()
      : !record || !shown || shown.deleted ? new ChatError("message_not_found", "There is no such message, or it is deleted.")
      : !record.own && !(kind === "delete" && this.snapshot.role === "owner") ? new ChatError("forbidden", "This is a message of somebody else.")
      : kind === "edit" ? textError(text) : undefined;
    const done = error || !record ? Promise.reject(error)
      : this.timeline.outbox.change(record, { clientId: newId(), kind, text, ...stamp() }, this.#env.clock.read());
    run(() => {});
    const settled = done.then(() => {});
    // A rejection that nobody handles is not reported.
    settled.catch(() => {});
    return settled;
  }

  // Groups. Each of these resolves when the change is stored, and rejects if it will not be made. It is kept and sent like a message.

  /**
   * Adds users to the group. Those who are in it already stay.
   * @param {Iterable<string>} users
   */
  async invite(users) {
    const ids = userIds(users);
    const parts = ids.flatMap((_, i) => (i % MAX_USERS ? [] : [ids.slice(i, i + MAX_USERS)]));
    await Promise.all(parts.map((part) => this.#changeGroup(groupEvent("join", part))));
  }

  /** @param {string} user */
  async removeMember(user) {
    await this.#changeGroup(groupEvent("leave", [userId(user)]));
  }

  /** Takes this user out of the group. */
  async leave() {
    await this.#changeGroup(groupEvent("leave", [this.#env.user]));
  }

  /** @param {string} title */
  async rename(title) {
    await this.#changeGroup(groupEvent("rename", [], { title: groupTitle(title) }));
  }

  /**
   * @param {string} user
   * @param {"owner" | "member"} role
   */
  async setRole(user, role) {
    await this.#changeGroup(groupEvent("role", [userId(user)], { role }));
  }

  /** @param {GroupEvent} event */
  async #changeGroup(event) {
    if (!this.isGroup) throw new ChatError("invalid_conversation_id", "This is no group.");
    await requestEvent(this.timeline.outbox, event, this.#env, this.#driver);
  }

  /**
   * Reads the whole conversation, oldest first: messages, and what has changed the group.
   * @returns {AsyncGenerator<Message, void, void>}
   */
  all() {
    return messagesOf(this, this.#driver.readPage);
  }

  // What the user has set, on all devices. Each of these resolves when it is in force, and rejects if it is not changed.

  /** New messages make no notifications from now on. They are unread as ever. @returns {Promise<void>} */
  mute() {
    return this.#driver.set(this, { muted: true });
  }

  /** @returns {Promise<void>} */
  unmute() {
    return this.#driver.set(this, { muted: false });
  }

  /** Nothing that the peer writes from now on is shown on any device, also after `unblock()`. The peer does not learn of it. @returns {Promise<void>} */
  block() {
    return this.#driver.set(this, { blocked: true });
  }

  /** @returns {Promise<void>} */
  unblock() {
    return this.#driver.set(this, { blocked: false });
  }

  /**
   * Returns the row of the list: the same object until something changes.
   * @returns {ConversationSummary}
   */
  summary() {
    const { id, peer, snapshot } = this;
    if (this.#summarized?.of === snapshot) return this.#summarized.summary;
    const { unread, newest, typing, presence, isGroup, title, muted, blocked } = snapshot;
    const summary = Object.freeze({ id, peer, isGroup, title, muted, blocked, unread, newest, last: this.#last(), typing: typing.length > 0, presence });
    this.#summarized = { of: snapshot, summary };
    return summary;
  }

  /**
   * Returns the newest message that is not deleted, from the list if it is not in the log. Without one, returns the newest entry.
   * @returns {Preview | null}
   */
  #last() {
    const { snapshot, marks } = this.timeline;
    const { entries } = snapshot;
    const last = entries.findLast(({ deleted, event }) => !deleted && !event);
    const preview = marks.row?.preview;
    if (!preview || (last && (preview.deleted || !(Number(last.seq) < preview.seq)))) return last ?? entries.at(-1) ?? null;
    return { ...preview, key: `#${preview.seq}`, state: marks.stateOf(preview) };
  }

  /** Calls the listeners if the snapshot has changed. Returns whether it has. */
  publish() {
    const { changed, snapshot } = this.timeline;
    this.timeline.changed = false;
    if (changed) this.#listeners.notify(snapshot);
    return changed;
  }

  /** Discards the outbox and everything that is known of the conversation. */
  reset() {
    const { outbox } = this.timeline;
    outbox.lost(outbox.connection);
    for (const record of [...outbox.records]) outbox.discard(record);
    this.timeline = this.#newTimeline();
  }

  #newTimeline() {
    const { run, stamp, emit } = this.#driver;
    const actions = {
      retry: (/** @type {EntryRecord} */ record) => run((now) => this.timeline.outbox.retry(record, now, stamp())),
      discard: (/** @type {EntryRecord} */ record) => run(() => this.timeline.outbox.discard(record)),
    };
    return new Timeline(this.id, this.peer, this.#env, actions, emit);
  }
}

/**
 * @param {GroupEvent["kind"]} kind
 * @param {string[]} users
 * @param {Partial<GroupEvent>} [fields]
 * @returns {GroupEvent}
 */
export const groupEvent = (kind, users, fields) => ({ kind, users, ...fields });

/**
 * Queues a change of a group.
 * @param {Outbox} outbox
 * @param {GroupEvent} event
 * @param {Env} env
 * @param {Driver} driver
 * @returns {Promise<any>} resolves when it is stored
 */
export async function requestEvent(outbox, event, env, { start, run, stamp }) {
  start();
  const { done } = outbox.send({ clientId: newId(), kind: "event", event, text: "", saved: false, ...stamp() }, env.clock.read(), 0);
  run(() => {});
  return done?.promise;
}
