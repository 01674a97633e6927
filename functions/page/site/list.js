/** The list of conversations, the title of the tab, and notifications. */

import { draftOf } from "./composer.js";
import { byId, el, keyed, rove } from "./dom.js";
import { attentive, openPeer } from "./conversation.js";
import { shortTime } from "./text.js";

const list = byId("list");
const notify = byId("notify", HTMLButtonElement);

/** @type {readonly Summary[]} */
let summaries = [];
let user = "";
/** Newest number of each conversation at the last change. @type {Map<string, number> | undefined} */
let known;
/** @type {Map<string, Notification>} */
const notifications = new Map();

/** Returns the address of a conversation in this page. @param {string} peer */
export const addressOf = (peer) => `#chat=${encodeURIComponent(peer)}`;

const showSummaries = keyed(list, {
  key: (/** @type {ListRow} */ { summary }) => summary.id,
  make: () => el("li"),
  fill,
  same: (a, b) => a.look === b.look,
});
const settleList = rove(list, "li > a", (links) => links.find((link) => link.ariaCurrent) ?? links[0]);

/** Shows the conversations of a chat. @param {Chat} chat @returns {() => void} stops */
export function showList(chat) {
  user = chat.user;
  known = undefined;
  const stop = chat.onConversations(({ conversations }) => {
    summaries = conversations;
    updateNotifications();
    refreshList();
  });
  return () => {
    stop();
    summaries = [];
    for (const notification of notifications.values()) notification.close();
    refreshList();
  };
}

/** Shows the list again, after a change of drafts, the day, or the open conversation. */
export function refreshList() {
  showSummaries(summaries.map(rowOf));
  settleList();
  byId("none").hidden = summaries.length > 0;
  const unread = summaries.reduce((sum, one) => sum + (one.peer === openPeer() && attentive() ? 0 : one.unread), 0);
  document.title = unread ? `(${unread > 99 ? "99+" : unread}) MeetMe` : "MeetMe";
}

/** @param {Summary} summary @returns {ListRow} */
function rowOf(summary) {
  const { peer, last, unread } = summary;
  const open = peer === openPeer();
  const draft = open ? "" : draftOf(user, peer);
  const look = JSON.stringify([open, draft, unread, last?.key, last?.text, last?.state, shortTime(last?.timestamp)]);
  return { summary, draft, look };
}

/** @param {HTMLElement} element @param {ListRow} row */
function fill(element, { summary: { peer, last, unread }, draft }) {
  const link = element.querySelector("a") ?? element.appendChild(el("a", { href: addressOf(peer), tabIndex: -1 }));
  link.ariaCurrent = peer === openPeer() ? "true" : null;
  const face = el("span", { className: "face", ariaHidden: "true" }, [...peer][0].toUpperCase());
  face.style.setProperty("--hue", String(hue(peer)));
  const line = draft ? `Draft: ${draft}` : last ? `${last.own ? "You: " : ""}${last.text}` : "";
  link.replaceChildren(
    face,
    el("bdi", { className: "peer" }, peer),
    el("time", { dateTime: String(last?.timestamp ?? "") }, shortTime(last?.timestamp)),
    el("span", { className: draft ? "line draft" : "line" }, line.slice(0, 200)),
  );
  if (unread) {
    const count = unread > 99 ? "99+" : String(unread);
    link.append(el("span", { className: "count" }, count, el("span", { className: "unseen" }, " unread")));
  }
}

/** Returns the hue of a user's avatar. @param {string} peer */
const hue = (peer) => [...peer].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);

/** Shows notifications of new messages while the page is hidden, and closes those that were read. */
function updateNotifications() {
  for (const { id, peer, newest, last, unread } of summaries) {
    const fresh = known && newest > (known.get(id) ?? 0) && unread && last && !last.own;
    if (fresh && document.hidden) showNotification(id, peer, last.text);
    if (!unread) notifications.get(id)?.close();
  }
  known = new Map(summaries.map(({ id, newest }) => [id, newest]));
}

/** @param {string} tag @param {string} peer @param {string} body */
function showNotification(tag, peer, body) {
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  try {
    const shown = new Notification(peer, { body: body.slice(0, 200), tag });
    shown.onclick = () => {
      window.focus();
      location.hash = addressOf(peer);
    };
    notifications.set(tag, shown);
  } catch {
    // On some phones only service workers may show notifications.
  }
}

function updateButton() {
  notify.hidden = !("Notification" in window) || Notification.permission !== "default";
}

notify.addEventListener("click", () => Notification.requestPermission().then(updateButton));
updateButton();
addEventListener("draft", refreshList);
addEventListener("focus", refreshList);
addEventListener("blur", refreshList);
addEventListener("visibilitychange", refreshList);
