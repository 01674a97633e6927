/** Announcements for screen readers: what is new in the open conversation. */

import { byId, el } from "./dom.js";
import { eventText, inWords } from "./events.js";

/** More new messages than these at once are announced as a number, and get a divider: the page was offline. */
export const FEW = 3;

const live = byId("live");
/** Keys of messages that wait to be sent or changed, which are announced if that fails. @type {Set<string>} */
let waitingKeys = new Set();
/** The peer's entries at the last change, by key. @type {Map<string, Entry>} */
let heard = new Map();

/** Another conversation is opened. */
export function forgetAnnounced() {
  waitingKeys = new Set();
  heard = new Map();
}

/** Announces new messages of the peer. @param {Entry[]} news */
export function announceNews(news) {
  if (news.length > FEW) say(`${news.length} new messages from ${inWords([...new Set(news.map(({ sender }) => sender))])}`);
  else for (const { sender, text } of news) say(`${sender}: ${text}`);
}

/** Announces what others have changed in the group. Many at once were made while the page was offline. @param {Entry[]} events @param {string} user */
export function announceEvents(events, user) {
  if (events.length <= FEW) for (const event of events) say(eventText(event, user));
}

/** Announces own messages and changes that have failed, and what the peer has changed. @param {readonly Entry[]} entries */
export function announceChanges(entries) {
  for (const entry of entries) announceFailure(entry);
  const before = heard;
  heard = new Map(entries.filter(({ own }) => !own).map((entry) => [entry.key, entry]));
  const changes = [...heard.values()].filter(({ key, text }) => text !== (before.get(key)?.text ?? text));
  // The text may be among the last sentences.
  if (changes.some(({ deleted }) => deleted)) live.replaceChildren();
  // Many at once were made while the page was offline.
  if (changes.length > FEW) return;
  for (const { sender, text, deleted } of changes) say(deleted ? `${sender} deleted a message` : `${sender} edited: ${text}`);
}

/** @param {Entry} entry */
function announceFailure({ key, change, ...entry }) {
  const { state, error } = change ?? entry;
  if (state === "queued" || state === "sending") waitingKeys.add(key);
  else if (waitingKeys.delete(key) && state === "failed") say(`Message not ${change ? "changed" : "sent"}. ${error?.message ?? ""}`);
}

/** @param {string} sentence */
function say(sentence) {
  live.append(el("p", {}, sentence));
  if (live.childNodes.length > 5) live.firstChild?.remove();
}
