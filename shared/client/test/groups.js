// What a stand-in server does with groups. A log is an array of entries, ordered by number.

import { createHash } from "node:crypto";

import { problemOfChange, textsOf } from "./changes.js";

export const isGroup = (id) => String(id).startsWith("group:");

/** Returns the id of the group that a user creates under an id of the user's own. */
export const groupId = (creator, clientId) => `group:${createHash("sha256").update(`${creator} ${clientId}`).digest("base64url").slice(0, 22)}`;

/** Kinds of the entries that the actions make. */
const KINDS = { createGroup: "create", invite: "join", removeMember: "leave", leave: "leave", rename: "rename", setRole: "role" };

/** Returns whether an action begins or changes a group. */
export const changesGroup = (action) => Object.hasOwn(KINDS, action);

/** Returns a group as of an entry: its title, and its members, the longest first. `spans`: the numbers by which users have joined and left last. */
export function groupOf(log, seq = Infinity) {
  const group = { title: undefined, history: "joined", members: [], spans: new Map() };
  for (const entry of log) if (entry.kind && entry.seq <= seq) apply(group, entry);
  return group;
}

function apply(group, { kind, seq, users = [], title, role, history, new_owner }) {
  const find = (user) => group.members.find(({ id }) => id === user);
  if (title !== undefined) group.title = title;
  if (kind === "create") group.history = history ?? "joined";
  if (kind === "create" || kind === "join") {
    for (const id of users) {
      group.members.push({ id, role: kind === "create" && id === users[0] ? "owner" : "member" });
      group.spans.set(id, { ...group.spans.get(id), joined: seq });
    }
  }
  if (kind === "leave") {
    group.members = group.members.filter(({ id }) => !users.includes(id));
    for (const id of users) group.spans.set(id, { ...group.spans.get(id), left: seq });
    if (new_owner) find(new_owner).role = "owner";
  }
  if (kind === "role") find(users[0]).role = role;
}

/** Returns whether a user was a member after an entry. */
export const isMemberOf = (log, user, seq) => groupOf(log, seq).members.some(({ id }) => id === user);

const isOwner = ({ members }, user) => members.some(({ id, role }) => id === user && role === "owner");

/** Returns the error code of a frame about a group that the server refuses. */
export function problemInGroup(log, user, frame, max = 100) {
  const group = groupOf(log);
  const { action, user_id, users = [], role } = frame;
  if (action === "createGroup") return log.length ? "forbidden" : users.length >= max ? "group_full" : undefined;
  if (!isMemberOf(log, user)) return "forbidden";
  if (!changesGroup(action)) {
    const problem = action === "sendMessage" ? undefined : problemOfChange(log, user, frame);
    return problem === "forbidden" && action === "deleteMessage" && isOwner(group, user) ? undefined : problem;
  }
  if (action !== "leave" && !isOwner(group, user)) return "forbidden";
  const isIn = (id) => group.members.some((member) => member.id === id);
  if (action === "invite") {
    const joining = users.filter((id) => !isIn(id)).length;
    return !joining ? "no_change" : group.members.length + joining > max ? "group_full" : undefined;
  }
  if (user_id !== undefined && !isIn(user_id)) return "no_change";
  if (action !== "setRole") return;
  const owners = group.members.filter((member) => member.role === "owner");
  const same = isOwner(group, user_id) === (role === "owner");
  return same || (role === "member" && owners.length === 1) ? "no_change" : undefined;
}

/** Returns the fields of the entry that a frame about a group makes. */
export function eventOf(log, user, { action, users = [], user_id, title, role, history }) {
  const kind = KINDS[action];
  const { members } = groupOf(log);
  if (kind === "create") return { kind, users: [user, ...users.filter((id) => id !== user)], title, ...(history === "all" && { history }) };
  if (kind === "join") return { kind, users: users.filter((id) => !members.some((member) => member.id === id)) };
  if (kind === "rename") return { kind, title };
  if (kind === "role") return { kind, users: [user_id], role };
  const leaving = user_id ?? user;
  const others = members.filter(({ id }) => id !== leaving);
  const heir = others.length && !others.some((member) => member.role === "owner") ? { new_owner: others[0].id } : {};
  return { kind, users: [leaving], ...heir };
}

/** Returns the entries that a user may read; undefined for one who never was in the group. */
export function readableBy(log, user) {
  const { history, spans } = groupOf(log);
  const { joined, left = 0 } = spans.get(user) ?? {};
  if (joined === undefined) return;
  return log.filter(({ seq }) => (history === "all" || seq >= joined) && (joined > left || seq <= left));
}

/** Returns the response to a request for the members of a group. */
export function respondMembers(log, user) {
  const { members, spans } = groupOf(log);
  if (!members.some(({ id }) => id === user)) return { status: 403, items: { title: "Forbidden" } };
  return { status: 200, items: members.map(({ id, role }) => ({ user_id: id, role, joined_seq: spans.get(id).joined })) };
}

/** Returns the part of a row of the list that only groups have. */
export function rowOfGroup(log, user) {
  const { title, members } = groupOf(log);
  return { title, role: members.find(({ id }) => id === user).role };
}

/** Returns the number of the entry by which a user has joined. */
export const joinedSeq = (log, user) => groupOf(log).spans.get(user)?.joined ?? 0;

/** Returns the users to whom an entry is pushed: the members, and whom it removes. */
export const recipientsOf = (log, { seq, users = [] }) => new Set([...groupOf(log, seq).members.map(({ id }) => id), ...users]);

/** Returns what a client is to show of the events of a log. */
export const eventsOf = (log) => log.filter(({ kind, users, title }) => kind && (users || title)).map(({ seq, kind, users = [], title, role, new_owner: newOwner }) => ({ seq, kind, users, title, role, newOwner }));

/** Returns what a client shows of the events of its entries. */
export const eventsIn = (entries) => entries.filter(({ event }) => event).map(({ seq, event: { kind, users, title, role, newOwner } }) => ({ seq, kind, users: [...users], title, role, newOwner }));

export { textsOf };
