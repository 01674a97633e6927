import { actionOf, targetOf } from "./frames.js";

/** @import { Conversations, Effects, Link, SentEffects } from "./types.js" */

/**
 * Returns the effects that send frames.
 * @param {ReturnType<typeof import("./sockets.js").createSockets>} sockets
 * @param {Link} link
 * @param {Conversations} conversations
 * @returns {Pick<Effects, SentEffects>}
 */
export function createWire(sockets, link, conversations) {
  return {
    close: (id) => sockets.close(id),
    ping: (id) => sockets.send(id, { action: "ping" }),
    send(timeline, record, connection, now) {
      link.sent(connection, now);
      sockets.send(connection, { ...actionOf(record), ...targetOf(timeline), client_message_id: record.clientId, after: timeline.high });
    },
    typing: (timeline) => sockets.send(link.open, { action: "typing", ...targetOf(timeline) }),
    mark(timeline, marks, connection, now) {
      sockets.send(connection, { action: "mark", ...targetOf(timeline), ...marks });
      if (marks.read && timeline.doubtful(false)) conversations.list.doubt(now);
    },
  };
}
