// The group of a generated schedule: what its members do, and the invariants of its view.

import assert from "node:assert/strict";

import { shown, shownOf } from "./changes.js";
import { eventsIn, eventsOf, groupOf, isGroup, isMemberOf, readableBy, textsOf } from "./groups.js";

/** Users who may be in the group. The last one never writes. */
const USERS = ["ann", "bob", "me", "cat", "dan"];

/** A group in a world, which ann has created, and what its members do. */
export class Group {
  #world;
  #pick;
  #count = 0;

  constructor(world, pick) {
    this.#world = world;
    this.#pick = pick;
    this.id = world.createGroup("ann", "Group", ["bob", "me"], { history: pick(["joined", "all"]) });
  }

  get #log() {
    return this.#world.log(this.id);
  }

  /** A member who is not the user of the test writes a text. */
  write(message) {
    const { members } = groupOf(this.#log);
    const sender = this.#pick(members.filter(({ id }) => id !== "me"));
    if (sender) this.#world.act(this.id, sender.id, { action: "sendMessage", message });
  }

  /** The sender of a text, or an owner, changes it on another device. */
  changeText(change) {
    const target = this.#pick(textsOf(this.#log).slice(-20));
    if (target) this.#world.act(this.id, this.#pick([target.sender_id, "ann"]), { ...change, seq: target.seq });
  }

  /** A member changes the group: others, and the user of the test, come, go and come back. */
  change() {
    const { members } = groupOf(this.#log);
    const sender = this.#pick(members)?.id;
    const user_id = this.#pick(["me", "me", ...USERS]);
    // An owner stays, who lets the user come back.
    if (sender === "ann" || user_id !== "ann") this.#world.act(this.id, sender, this.#frame(user_id, sender === "ann"));
  }

  #frame(user_id, stays) {
    const frames = [
      { action: "invite", users: [user_id] },
      { action: "invite", users: USERS },
      { action: "removeMember", user_id },
      { action: "rename", title: `Title ${this.#count++}` },
      { action: "setRole", user_id, role: this.#pick(["owner", "member"]) },
    ];
    const frame = this.#pick(stays ? frames : [...frames, { action: "leave" }]);
    return user_id === "ann" && frame.action !== "invite" ? frames[3] : frame;
  }

  /** Asks the client for a change. Returns its promise. */
  request(conversation) {
    const { action, user_id, users, title, role } = this.#frame(this.#pick(USERS.slice(1)), true);
    if (action === "invite") return conversation.invite(users);
    if (action === "rename") return conversation.rename(title);
    if (action === "setRole") return conversation.setRole(user_id, role);
    return user_id === "me" ? conversation.leave() : conversation.removeMember(user_id);
  }
}

/** Returns the logs of groups that a user has created. */
export const createdBy = ({ logs }, user) => [...logs].filter(([id, log]) => isGroup(id) && log[0]?.sender_id === user);

const sorted = (members) => members?.map(({ id, role }) => `${id} ${role}`).sort();

/** Checks that a client shows what the user may read of a group, and who is in it. What the user could read earlier may still be shown. */
export function checkGroup(world, id, { entries, title, members, isMember, unread, role }) {
  const log = world.log(id);
  const readable = readableBy(log, "me");
  const first = readable[0].seq;
  const stored = entries.filter(({ seq }) => seq !== undefined);
  const now = stored.filter(({ seq }) => seq >= first);
  // One who has left is not told of later changes, but the history may show them.
  const last = readable.at(-1).seq;
  const told = ({ seq }) => !(log.find((one) => one.seq === seq).edited_seq > last || log.find((one) => one.seq === seq).deleted_seq > last);
  const texts = now.filter(({ event }) => !event);
  assert.deepEqual(texts.map(({ seq }) => seq), textsOf(readable).map(({ seq }) => seq), "numbers of texts");
  assert.deepEqual(texts.filter(told).map(shown), textsOf(readable).filter(told).map(shownOf), "texts");
  assert.deepEqual(eventsIn(now), eventsOf(readable), "events");
  for (const { seq, event, text } of stored.filter((entry) => entry.seq < first)) {
    const entry = log.find((one) => one.seq === seq);
    assert.ok(entry && Boolean(event) === Boolean(entry.kind), `${seq} ${text} is not in the log`);
  }
  assert.equal(isMember, isMemberOf(log, "me"), "is in the group");
  if (!isMember) return;
  const group = groupOf(log);
  assert.equal(title, group.title);
  assert.deepEqual(sorted(members), sorted(group.members), "members");
  assert.equal(role, group.members.find((member) => member.id === "me").role);
  assert.equal(unread, world.unread(id), "unread");
}
