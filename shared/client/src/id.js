import { ChatError } from "./error.js";

const encoder = new TextEncoder();

/**
 * Returns the UTF-8 of a text.
 * @param {string} text
 */
export const utf8 = (text) => encoder.encode(text);

/**
 * Replaces halves of surrogate pairs, which have no UTF-8, by U+FFFD. Whole pairs are no surrogates to a pattern with `u`.
 * @param {string} text
 */
export const wellFormed = (text) => String(text).replace(/\p{Surrogate}/gu, "\ufffd");

/**
 * Returns a user id as it goes to the server.
 * @param {string} id
 * @throws {ChatError} `invalid_user_id`
 */
export function userId(id) {
  const text = typeof id === "string" ? wellFormed(id) : "";
  if (!text || utf8(text).length > 254 || /\p{Control}/u.test(text))
    throw new ChatError("invalid_user_id", "This is no user id.");
  return text;
}

/** @param {Uint8Array} bytes */
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Returns the id of the conversation of two users, in the order of their UTF-8; that of UTF-16 is another one.
 * @param {string} a
 * @param {string} b
 * @returns {string}
 */
export function conversationId(a, b) {
  const [x, y] = [utf8(a), utf8(b)];
  return hex(x) <= hex(y) ? `direct:${x.length}:${a}:${b}` : conversationId(b, a);
}

/**
 * Returns with whom a conversation is.
 * @param {string} id
 * @param {string} user
 * @throws {ChatError} `invalid_conversation_id`
 */
export function peerOf(id, user) {
  const pair = String(id).replace(/^direct:\d+:/, "");
  const peers = [pair.slice(user.length + 1), pair.slice(0, -user.length - 1)];
  const peer = peers.find((peer) => peer && conversationId(user, peer) === id);
  if (!peer) throw new ChatError("invalid_conversation_id", "This is no conversation of the user.");
  return peer;
}

/** Returns a new random id. Pages on plain http have no `randomUUID`. */
export const newId = () => hex(crypto.getRandomValues(new Uint8Array(16)));
