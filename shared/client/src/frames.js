import { ChatError } from "./error.js";
import { parseEntry, toCount } from "./history.js";
import { conversationId, isGroupId } from "./id.js";

/** @import { Conversations, EntryRecord, Env, Link, Timeline, Tokens } from "./types.js" */

/**
 * Returns a function that handles the frames of the server.
 * @param {Env} env
 * @param {Conversations} conversations
 * @param {Link} link
 * @param {Tokens} tokens
 * @param {(settings: unknown) => unknown} setSettings
 */
export function createFrames({ user, log }, conversations, link, tokens, setSettings) {
  /**
   * Lets the list be read again if a frame leaves a doubt about the number of unread messages.
   * @param {Timeline | undefined} timeline
   */
  const doubt = (timeline) => {
    const { list } = conversations;
    if (timeline?.doubtful(list.loading)) list.doubt();
  };

  /**
   * Returns whether a user is another one of a conversation that is known here, and not blocked.
   * @param {Timeline | undefined} timeline
   * @param {unknown} id
   */
  const isOther = (timeline, id) => id !== user && typeof id === "string" && !timeline?.blocked && (timeline?.group !== undefined || timeline?.peer === id);

  /**
   * An entry was pushed. Returns whether it makes sense.
   * @param {any} frame
   * @param {number} now
   */
  function pushed(frame, now) {
    const { conversation_id: id, sender_id: sender, receiver_id: receiver } = frame;
    const peer = isGroupId(id) ? "" : sender === user ? receiver : sender;
    const entry = typeof peer === "string" && parseEntry(frame, user, peer);
    if (!entry || (peer ? id !== conversationId(user, peer) : !isGroupId(id))) return false;
    const { timeline } = conversations.conversation(id);
    // It was on its way when the user blocked its sender. The history has its number.
    if (timeline.blocked && !entry.own) return true;
    timeline.push(entry, now);
    doubt(timeline);
    return true;
  }

  /** Handlers by type. Each returns whether the frame makes sense. @type {Record<string, (frame: any, now: number) => unknown>} */
  const handlers = {
    pong: () => true,
    message: pushed,
    entry: pushed,

    ack: (frame, now) =>
      Number.isSafeInteger(frame.seq) && (conversations.created(frame) || conversations.find(frame.conversation_id)?.timeline.ack(frame, now)),

    // Of a conversation that is not known here, nothing is shown.
    typing({ conversation_id: id, user_id }, now) {
      const timeline = conversations.find(id)?.timeline;
      if (isOther(timeline, user_id)) timeline?.signs.types(user_id, now);
      return true;
    },

    receipt({ conversation_id: id, user_id, read, delivered }, now) {
      const timeline = conversations.find(id)?.timeline;
      if (user_id === user) timeline?.marks.stored(toCount(read), toCount(delivered));
      else if (isOther(timeline, user_id)) {
        timeline?.signs.heard(now);
        timeline?.marks.ofPeer(toCount(read), toCount(delivered));
      }
      doubt(timeline);
      return true;
    },

    settings: (frame) => (setSettings(frame), true),

    conversation: (frame) => (conversations.find(frame.conversation_id)?.timeline.set(frame), true),
  };

  /**
   * @param {number} id of the connection
   * @param {any} frame
   * @param {number} now
   */
  function failed(id, { code, message, retryable, retry_after_ms: wait, client_message_id: clientId }, now) {
    // Errors of the connection, not of the message: it is sent again at once, on a new connection.
    const reconnect = code === "token_expired" || code === "not_connected";
    const retryAfterMs = reconnect ? 0 : wait >= 0 ? Number(wait) : undefined;
    const error = new ChatError(String(code), String(message), { retryable: reconnect || retryable === true, retryAfterMs });
    for (const { outbox, marks } of conversations.timelines) {
      if (typeof clientId !== "string" && error.retryable) marks.refused(now, retryAfterMs);
      outbox.sendFailed(clientId, error, now);
    }
    if (code === "token_expired") tokens.invalidate();
    if (reconnect) link.drop(id, now);
  }

  /**
   * @param {number} id of the connection
   * @param {unknown} data
   * @param {number} now
   */
  return (id, data, now) => {
    const frame = parseFrame(data);
    const { type } = frame;
    // An error of API Gateway itself, such as `{"message":"Too Many Requests","connectionId":"…","requestId":"…"}`.
    const rejected = !type && frame.connectionId;
    if (rejected) {
      for (const { outbox, marks } of conversations.timelines) {
        outbox.rejected(id, now);
        marks.refused(now);
      }
    }
    link.received(id, now, rejected || type === "pong" || type === "ack" || type === "error");
    if (Object.hasOwn(handlers, type) && handlers[type](frame, now)) return;
    log("warn", "frame", { type: String(type), code: frame.code });
    if (type === "error") failed(id, frame, now);
  };
}

/** Actions by the kind of the event that they make. */
const ACTIONS = { create: "createGroup", join: "invite", leave: "leave", rename: "rename", role: "setRole" };

/**
 * Returns the part of a frame that names its conversation. Servers that have no groups know only the peer.
 * @param {{id: string, peer: string}} conversation
 */
export const targetOf = ({ id, peer }) => (peer ? { receiver_id: peer } : id ? { conversation_id: id } : {});

/**
 * Returns the part of a frame to the server that says what it does.
 * @param {EntryRecord} record
 */
export function actionOf({ kind, target: seq, text: message, event, sender }) {
  if (kind === "delete") return { action: "deleteMessage", seq };
  if (!event) return kind ? { action: "editMessage", seq, message } : { action: "sendMessage", message };
  const { users, title, role, history } = event;
  const action = ACTIONS[event.kind];
  if (event.kind === "create" || event.kind === "join") return { action, users, title, history };
  const [user_id] = users;
  if (event.kind !== "leave") return { action, user_id, title, role };
  return user_id === sender ? { action } : { action: "removeMember", user_id };
}

/**
 * @param {unknown} data
 * @returns {any}
 */
function parseFrame(data) {
  try {
    return Object(JSON.parse(String(data)));
  } catch {
    return {};
  }
}
