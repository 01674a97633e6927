import { allMessages, patiently } from "./all.js";
import { networkError } from "./error.js";
import { createHistory, optionalString } from "./history.js";
import { conversationId } from "./id.js";
import { createListReader } from "./list.js";

/** @import { ChatError } from "./error.js" */
/** @import { Conversations, ConversationSummary, Env, ListPage, ListRange, Place, Range, Request, Timeline } from "./types.js" */

/**
 * Returns the functions that read from the HTTP API. Those that execute an effect pass what they have read to its state machine.
 * @param {Request} request
 * @param {Env} env
 * @param {Conversations} conversations
 * @param {(event: (now: number) => unknown) => void} run runs an event and executes its effects
 * @param {(error: unknown) => unknown} rejectedUser closes the connections if the server rejects the user
 */
export function createReads(request, env, conversations, run, rejectedUser) {
  const { user, clock, log } = env;
  const pages = createHistory(request, env);
  const { readPage } = pages;
  const readList = createListReader(request, env);

  /**
   * @param {Timeline} timeline
   * @param {Range} range
   */
  async function history(timeline, range) {
    try {
      const { entries, more } = await readPage(timeline, range);
      run((now) => timeline.page(range, entries, more, now));
    } catch (cause) {
      const error = networkError(cause);
      run((now) => timeline.pageFailed(range, error, now));
      rejectedUnlessGroup(timeline, error);
    }
  }

  /**
   * @param {Timeline} timeline
   * @param {ChatError} error of a group, it may be that the user is not in it
   */
  const rejectedUnlessGroup = ({ group }, error) => (group && error.code === "forbidden") || run(() => rejectedUser(error));

  /**
   * @param {Timeline} timeline of a group
   * @param {number} high number up to which its entries are known
   */
  async function members(timeline, high) {
    const { id, group } = timeline;
    try {
      const read = await pages.readMembers(id);
      run(() => group?.take(read, high));
    } catch (cause) {
      const error = networkError(cause);
      run((now) => group?.failed(error, now));
      rejectedUnlessGroup(timeline, error);
    }
  }

  /**
   * @param {ListRange} range
   * @param {number} requestedAt
   */
  async function list(range, requestedAt) {
    const { list } = conversations;
    try {
      const page = await readList(range);
      // Meanwhile the user may have signed out.
      if (list !== conversations.list) return;
      run(() => {
        conversations.take(page, requestedAt, range.before === undefined);
        list.page(page);
        conversations.listRead();
      });
    } catch (cause) {
      const error = networkError(cause);
      run((now) => {
        list.failed(error, now);
        conversations.listRead();
      });
      run(() => rejectedUser(error));
    }
  }

  /**
   * Changes what the user has set for a conversation.
   * @param {{id: string}} of
   * @param {{muted?: boolean, blocked?: boolean}} change
   */
  async function set({ id }, change) {
    const { body } = await request("conversations", { user }, { optional: true, change: { conversation_id: id, ...change } });
    run(() => {
      conversations.find(id)?.timeline.set(Object(body));
      // A page that is on its way may not have it.
      conversations.list.refresh();
    });
  }

  /** @param {Timeline[]} timelines whose peers are asked for, at most 100 */
  async function presence(timelines) {
    try {
      const query = [["user", user], ...timelines.map(({ peer }) => ["of", peer])];
      const { body } = await request("presence", query, { optional: true });
      const items = new Map(Array.isArray(body) ? body.map((item) => [item?.user_id, item]) : []);
      run(() => timelines.forEach(({ peer, signs }) => {
        const { online, last_seen } = Object(items.get(peer));
        signs.setPresence({ online: online === true, lastSeen: optionalString(last_seen) });
      }));
    } catch (error) {
      log("info", "no_presence", { error });
      run(() => rejectedUser(error));
    }
  }

  /**
   * Reads the whole list.
   * @returns {AsyncGenerator<ConversationSummary, void, void>}
   */
  async function* all() {
    const seen = new Set();
    let page = /** @type {ListPage | void} */ (undefined);
    do {
      const requestedAt = clock.read();
      const before = page?.next;
      page = await readList({ before, limit: 100 }).catch(ifUnsupported);
      if (!page) return yield* conversations.summaries();
      const taken = conversations.take(page, requestedAt, before === undefined);
      run(() => {});
      yield* taken.filter((one) => !seen.has(one)).map((one) => one.summary());
      taken.forEach((one) => seen.add(one));
    } while (page.next !== undefined);
  }

  /** Returns the conversations of the whole list, each once. @returns {AsyncGenerator<Place, void, void>} */
  async function* places() {
    const seen = new Set();
    let page = /** @type {ListPage | void} */ (undefined);
    do {
      const before = page?.next;
      page = await patiently(() => readList({ before, limit: 100 }), env).catch(ifUnsupported);
      if (!page) return yield* conversations.summaries();
      for (const row of page.rows) if (!seen.has(row.id)) yield (seen.add(row.id), row);
    } while (page.next !== undefined);
  }

  /** Returns all messages of all conversations. @param {string} [cursor] */
  const messages = (cursor) => allMessages(places(), readPage, env, cursor);

  /** A browser does not tell why a handshake was rejected. A request of the history does. */
  const diagnose = () => readPage({ id: conversationId(user, user), peer: user }, { limit: 1 }).catch((error) => run(() => rejectedUser(error)));

  return { pages, all, messages, set, diagnose, effects: { read: history, readMembers: members, readList: list, readPresence: presence } };
}

/**
 * Returns nothing for an operation that the server does not have.
 * @param {ChatError} error
 */
function ifUnsupported(error) {
  if (error.code !== "unsupported") throw error;
}
