import { ChatError } from "./error.js";

const encoder = new TextEncoder();

/**
 * Returns the UTF-8 encoding of a text.
 * @param {string} text
 */
export const utf8 = (text) => encoder.encode(text);

/**
 * Replaces lone surrogates, which have no UTF-8 encoding, by U+FFFD. A pattern with the flag `u` matches no surrogate of a whole pair.
 * @param {string} text
 */
export const wellFormed = (text) => String(text).replace(/\p{Surrogate}/gu, "\ufffd");

/**
 * Returns a user id as it is sent to the server.
 * @param {string} id
 * @throws {ChatError} `invalid_user_id`
 */
export function userId(id) {
  const text = typeof id === "string" ? wellFormed(id) : "";
  if (!text || utf8(text).length > 254 || /\p{Control}/u.test(text))
    throw new ChatError("invalid_user_id", "This is no user id.");
  return text;
}

/**
 * Returns user ids as they are sent to the server, each once.
 * @param {Iterable<string>} ids
 * @throws {ChatError} `invalid_user_id`
 */
export const userIds = (ids) => [...new Set(Array.from(ids, userId))];

/**
 * Returns the title of a group as it is sent to the server.
 * @param {string} title
 * @throws {ChatError} `invalid_title`
 */
export function groupTitle(title) {
  const text = typeof title === "string" ? wellFormed(title) : "";
  if (!text || utf8(text).length > 256 || /\p{Control}/u.test(text))
    throw new ChatError("invalid_title", "A group needs a name of at most 256 bytes.");
  return text;
}

/** @param {Uint8Array} bytes */
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Returns the id of the conversation of two users. It names them in the order of their UTF-8 bytes, which differs from the order
 * of JavaScript strings (UTF-16).
 * @param {string} a
 * @param {string} b
 * @returns {string}
 */
export function conversationId(a, b) {
  const [x, y] = [utf8(a), utf8(b)];
  return hex(x) <= hex(y) ? `direct:${x.length}:${a}:${b}` : conversationId(b, a);
}

/**
 * Returns whether an id is that of a group.
 * @param {unknown} id
 */
export const isGroupId = (id) => /^group:[\w-]{22}$/.test(String(id));

/**
 * Returns the other user of a conversation; "" if it is a group.
 * @param {string} id
 * @param {string} user
 * @throws {ChatError} `invalid_conversation_id`
 */
export function peerOf(id, user) {
  if (isGroupId(id)) return "";
  const pair = String(id).replace(/^direct:\d+:/, "");
  const peers = [pair.slice(user.length + 1), pair.slice(0, -user.length - 1)];
  const peer = peers.find((peer) => peer && conversationId(user, peer) === id);
  if (!peer) throw new ChatError("invalid_conversation_id", "This is no conversation of the user.");
  return peer;
}

/** Returns a new random id. Not by `crypto.randomUUID`: pages on plain HTTP do not have it. */
export const newId = () => hex(crypto.getRandomValues(new Uint8Array(16)));
