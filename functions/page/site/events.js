/** The words for what has changed a group, and for its members. */

/** Returns names in a sentence: "a", "a and b", "a, b and c". @param {readonly string[]} names */
export const inWords = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/**
 * Returns a sentence about an event of a group, or "" if the entry is a message.
 * @param {Pick<Entry, "event" | "sender" | "own">} entry @param {string} user who reads it
 */
export function eventText({ event, sender, own }, user) {
  if (!event) return "";
  const { kind, users, title, role, newOwner } = event;
  const who = own ? "You" : sender;
  const whom = inWords(users.map((id) => (id === user ? "you" : id)));
  if (kind === "create") return `${who} created the group “${title}”`;
  if (kind === "join") return `${who} added ${whom}`;
  if (kind === "rename") return `${who} named the group “${title}”`;
  if (kind === "role") return `${who} made ${whom} ${role === "owner" ? "an owner" : "a member without special rights"}`;
  const next = newOwner === undefined ? "" : `. ${newOwner === user ? "You are" : `${newOwner} is`} an owner now`;
  return (users.includes(sender) ? `${who} left` : `${who} removed ${whom}`) + next;
}

/** Returns who types, as a sentence. @param {readonly string[]} users */
export function typingText(users) {
  if (!users.length) return "";
  const names = users.length > 3 ? [...users.slice(0, 2), `${users.length - 2} others`] : users;
  return `${inWords(names)} ${users.length > 1 ? "are" : "is"} typing…`;
}

/** What the user can do about an error, by its code. @type {Record<string, string>} */
const ADVICE = {
  forbidden: "Ask an owner of the group.",
  group_full: "Remove somebody first, or begin another group.",
  expired: "Please try again.",
  unsupported: "Ask who runs this chat for a newer server.",
};

/** Returns why something failed, and what to do. @param {any} error */
export const failureText = ({ code, message }) => `Not done. ${message} ${ADVICE[code] ?? ""}`.trim();
