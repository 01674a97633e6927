// What a stand-in server has beside the log: marks, the list of conversations, presence and settings.

import { textsOf } from "./changes.js";
import { isGroup, isMemberOf, joinedSeq, readableBy, respondMembers, rowOfGroup } from "./groups.js";

export class Features {
  /** Whether the server has them. An older one responds with 404, and with an error to a mark. */
  modern = true;
  /** Whether the server has edits and deletes, and the history by conversation. */
  changes = true;
  /** Whether the server has groups. */
  groups = true;
  /** Users who are online. */
  here = new Set();
  /** Users of whom nothing is told. */
  hidden = new Set();
  /** Settings by user. */
  #settings = new Map();
  /** Marks by conversation id and user. */
  #marks = new Map();
  /** What users have set for conversations, by conversation id and user. `ranges`: in which the peer's texts are withheld. */
  #set = new Map();
  /** Requests: `{name, user, query, of, at}`. */
  requests = [];

  /** Returns the marks of a user. */
  marks(id, user) {
    const key = `${id} ${user}`;
    if (!this.#marks.has(key)) this.#marks.set(key, { read: 0, delivered: 0 });
    return this.#marks.get(key);
  }

  settings(user) {
    if (!this.#settings.has(user)) this.#settings.set(user, { receipts: true, presence: true });
    return this.#settings.get(user);
  }

  /** Returns what a user has set for a conversation. */
  set(id, user) {
    const key = `${id} ${user}`;
    if (!this.#set.has(key)) this.#set.set(key, { muted: false, blocked: false, ranges: [] });
    return this.#set.get(key);
  }

  /** Changes what a user has set for a conversation, whose newest number is given. Returns the response. */
  change(id, user, { muted, blocked }, newest) {
    const set = this.set(id, user);
    set.muted = muted ?? set.muted;
    if (blocked && !set.blocked) set.ranges.push({ first: newest + 1, last: Infinity });
    if (blocked === false && set.blocked) set.ranges.at(-1).last = newest;
    set.blocked = blocked ?? set.blocked;
    return { conversation_id: id, muted: set.muted, blocked: set.blocked };
  }

  /** Returns the entries of a conversation as a user sees them. */
  seenBy(id, user, log) {
    const { ranges } = this.set(id, user);
    const isWithheld = ({ seq, sender_id }) => sender_id !== user && ranges.some(({ first, last }) => seq >= first && seq <= last);
    return log.map((entry) => (isWithheld(entry) ? { ...entry, message: "", deleted_seq: entry.kind ? undefined : entry.seq, withheld: true } : entry));
  }

  /** Raises marks of a user, up to the newest number. Returns the receipt if they have grown. */
  raise(id, user, log, { read = 0, delivered = 0 }) {
    const marks = this.marks(id, user);
    const before = { ...marks };
    const newest = Math.max(0, log.at(-1)?.seq ?? 0);
    marks.read = Math.max(marks.read, Math.min(newest, read));
    marks.delivered = Math.max(marks.delivered, marks.read, Math.min(newest, delivered));
    if (marks.read === before.read && marks.delivered === before.delivered) return;
    return { type: "receipt", conversation_id: id, user_id: user, ...marks, at: new Date(0).toISOString() };
  }

  /** Returns the number of unread messages of a user. */
  unread(id, user, log) {
    const read = Math.max(this.marks(id, user).read, isGroup(id) ? joinedSeq(log, user) : 0);
    return Math.min(100, textsOf(log).filter((entry) => entry.sender_id !== user && entry.seq > read && entry.seq > 0 && !entry.deleted_seq).length);
  }

  /** Returns the row of a conversation in the list of a user. */
  row(id, user, peer, entries) {
    const whole = this.seenBy(id, user, entries);
    const log = isGroup(id) ? readableBy(whole, user) : whole;
    const { muted, blocked } = this.set(id, user);
    const text = textsOf(log).findLast((entry) => !entry.deleted_seq);
    const { seq, sender_id, message, timestamp } = text ?? log.at(-1);
    const theirs = this.marks(id, peer);
    const receipts = !isGroup(id) && this.settings(user).receipts && this.settings(peer).receipts;
    return {
      conversation_id: id, ...(isGroup(id) ? rowOfGroup(whole, user) : { peer_id: peer }), newest_seq: text?.seq ?? 0, timestamp: log.at(-1).timestamp,
      ...(this.changes && { newest_entry_seq: log.at(-1).seq }),
      preview: { seq, sender_id, message: message.slice(0, 200), timestamp },
      unread: this.unread(id, user, whole), ...this.marks(id, user),
      ...(receipts && { peer_read: theirs.read, peer_delivered: theirs.delivered }), ...(muted && { muted }), ...(blocked && { blocked }),
    };
  }

  /**
   * Returns the response to a request: status, body and link. `logs`: those of the user, `[id, peer, log]`. The cursor of the list is
   * an index, so that a conversation may be on two pages, or on none.
   */
  respond(user, url, init, logs, at) {
    const name = url.pathname.split("/").at(-1);
    const query = Object.fromEntries(url.searchParams);
    const of = url.searchParams.getAll("of");
    this.requests.push({ name, user, query, of, at });
    if (!this.modern || (name === "members" && !this.groups)) return { status: 404, items: { title: "Not Found" } };
    if (name === "members") return respondMembers(logs.find(([id]) => id === query.conversation_id)?.[2] ?? [], user);
    if (name === "conversations" && init.method === "PUT") {
      const body = JSON.parse(init.body);
      const log = logs.find(([id]) => id === body.conversation_id)?.[2] ?? [];
      return { status: 200, items: this.change(body.conversation_id, user, body, log.at(-1)?.seq ?? 0) };
    }
    if (name === "conversations") return this.#list(user, query, logs);
    if (name === "presence") return { status: 200, items: of.map((peer) => this.#presence(peer)) };
    if (init.method === "PUT") Object.assign(this.settings(user), JSON.parse(init.body));
    return { status: 200, items: this.settings(user) };
  }

  #list(user, { limit = 50, before = 0, groups }, logs) {
    const rows = logs.filter(([id, , log]) => log.length && !isGroup(id)).map(([id, peer, log]) => this.row(id, user, peer, log));
    const direct = rows.sort((a, b) => b.timestamp.localeCompare(a.timestamp));
    const end = Number(before) + Number(limit);
    const link = `<?user=${encodeURIComponent(user)}&limit=${limit}&before=${end}>; rel="next"`;
    // The first page has all groups.
    const listed = this.groups && groups === "true" && !before ? logs.filter(([id, , log]) => isGroup(id) && isMemberOf(log, user)) : [];
    const items = [...listed.map(([id, , log]) => this.row(id, user, undefined, log)), ...direct.slice(Number(before), end)];
    return { status: 200, items, link: end < direct.length ? link : undefined };
  }

  #presence(user) {
    if (this.hidden.has(user)) return { user_id: user, online: false };
    return this.here.has(user) ? { user_id: user, online: true } : { user_id: user, online: false, last_seen: "2026-11-29T11:00:00.000Z" };
  }

  /** Returns the requests of a resource, such as `conversations`. */
  asked(name) {
    return this.requests.filter((request) => request.name === name);
  }
}
