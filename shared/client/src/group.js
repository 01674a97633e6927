import { Retry } from "./timing.js";

/** @import { ChatError } from "./error.js" */
/** @import { Emit, Env, GroupEvent, Member, Timeline, TimelineEffects } from "./types.js" */

/** The members of a group up to which they are told of each other's typing. */
const MAX_TOLD = 20;

/** What is known of a group: its title, and its members with their roles. A state machine without I/O. */
export class Group {
  title = "";
  /** The members as the server has told them, the longest first. @type {readonly Member[] | undefined} */ #read;
  /** Number up to which the entries were known when they were requested. */
  #readSeq = 0;
  /** Later changes of the members, ordered by number. Those that the server has told already change nothing. @type {{seq: number, event: GroupEvent}[]} */
  #events = [];
  /** The members as of now, until something changes. @type {readonly Member[] | undefined} */ #members;
  /** Number of the entry that has set the title, or by which the user has joined after it. */
  #titleSeq = 0;
  /** Whether that entry has set it: what happened before the user joined may not be told. */
  #titleTold = false;
  /** Numbers of the entries by which this user has joined and left last. */
  joined = 0;
  #left = 0;
  /** Whether the server has told that this user is not in it. */
  #refused = false;
  /** Whether the members are to be read, because changes of them may never be told. */
  #stale = true;
  /** `joined` when the members were requested; undefined: they are not being read. @type {number | undefined} */ #requested;
  #retry;
  #timeline;
  #user;
  #emit;

  /**
   * @param {Timeline} timeline
   * @param {Pick<Env, "user" | "random" | "timing">} env
   * @param {Emit<TimelineEffects>} emit
   */
  constructor(timeline, env, emit) {
    this.#timeline = timeline;
    this.#user = env.user;
    this.#retry = new Retry(env);
    this.#emit = emit;
  }

  /** Whether this user is in it, as far as is known. */
  get isMember() {
    return !this.#refused && this.joined >= this.#left;
  }

  /** The members as of now, the longest first. Undefined until they were read. */
  get members() {
    return (this.#members ??= this.#read && Object.freeze(this.#events.reduce(afterEvent, this.#read)));
  }

  /** This user's role, if the members are known. */
  get role() {
    return this.members?.find(({ id }) => id === this.#user)?.role;
  }

  /** Whether the others are told that this user types. */
  get isSmall() {
    return !this.members || this.members.length <= MAX_TOLD;
  }

  /**
   * An entry has changed the group. Entries may come late and in any order, but each only once.
   * @param {number} seq
   * @param {GroupEvent} event
   */
  apply(seq, event) {
    const { kind, users, title } = event;
    if (title !== undefined && seq > this.#titleSeq) [this.title, this.#titleSeq, this.#titleTold] = [title, seq, true];
    if (users.includes(this.#user)) this.#applyToUser(seq, kind);
    if (seq <= this.#readSeq) return;
    this.#events.push({ seq, event });
    this.#events.sort((a, b) => a.seq - b.seq);
    this.#members = undefined;
    // A server that does not name the next owner.
    if (this.members?.every(({ role }) => role === "member")) this.#stale = true;
  }

  /**
   * @param {number} seq
   * @param {GroupEvent["kind"]} kind
   */
  #applyToUser(seq, kind) {
    if (kind === "leave") this.#left = Math.max(this.#left, seq);
    if (kind === "role" || kind === "leave" || seq <= this.joined) return;
    this.joined = seq;
    if (this.#refused) this.#timeline.check();
    this.#refused = false;
    // What has happened while the user was not in the group may not be told.
    if (seq > this.#readSeq) this.#stale = true;
    if (seq <= this.#titleSeq) return;
    [this.#titleSeq, this.#titleTold] = [seq, false];
    // The list has the title.
    this.#emit("doubt");
  }

  /**
   * The list has the group.
   * @param {number} newest its newest number then
   * @param {string} title
   */
  listed(newest, title) {
    this.#refused = false;
    if (!this.#titleTold || newest > Number(this.#timeline.high)) this.title = title;
  }

  /** The server does not let this user read the group. */
  refuse() {
    this.#refused = true;
  }

  /**
   * The members were read.
   * @param {readonly Member[]} members the longest first
   * @param {number} seq number up to which the entries were known before
   */
  take(members, seq) {
    this.#read = members;
    this.#readSeq = seq;
    this.#events = this.#events.filter((event) => event.seq > seq);
    this.#members = undefined;
    this.#stale = this.#requested !== undefined && this.#requested !== this.joined;
    this.#requested = undefined;
    this.#retry.succeeded();
    this.#timeline.marksChanged();
  }

  /**
   * The members could not be read.
   * @param {ChatError} error
   * @param {number} now
   */
  failed(error, now) {
    const outdated = this.#requested !== this.joined;
    this.#requested = undefined;
    if (error.code === "forbidden" && !outdated) this.refuse();
    this.#retry.failed(now, error.retryable || outdated);
    this.#timeline.markChanged();
  }

  /** There is a new connection, perhaps to a newer server. */
  check() {
    this.#retry.at = 0;
  }

  /**
   * Reads the members if they are needed. Returns the time at which it is to be called again.
   * @param {number} now
   */
  pump(now) {
    const { opened } = this.#timeline.pager;
    const { high } = this.#timeline;
    if (!opened || high === undefined || !this.#stale || this.#requested !== undefined || !this.isMember) return Infinity;
    if (now < this.#retry.at) return this.#retry.at;
    this.#requested = this.joined;
    this.#emit("readMembers", this.#timeline, high);
    return Infinity;
  }
}

/**
 * Returns the members after an entry.
 * @param {readonly Member[]} members
 * @param {{event: GroupEvent}} entry
 * @returns {readonly Member[]}
 */
function afterEvent(members, { event: { kind, users, role, newOwner } }) {
  if (kind === "create" || kind === "join") {
    const added = users.filter((user) => !members.some(({ id }) => id === user));
    return [...members, ...added.map((id) => member(id, kind === "create" && id === users[0] ? "owner" : "member"))];
  }
  if (kind === "leave") return withRole(members.filter(({ id }) => !users.includes(id)), newOwner === undefined ? [] : [newOwner], "owner");
  return withRole(members, users, role ?? "member");
}

/**
 * @param {readonly Member[]} members
 * @param {readonly string[]} users
 * @param {Member["role"]} role
 */
const withRole = (members, users, role) => members.map((one) => (users.includes(one.id) ? member(one.id, role) : one));

/**
 * @param {string} id
 * @param {Member["role"]} role
 * @returns {Member}
 */
export const member = (id, role) => Object.freeze({ id, role });
