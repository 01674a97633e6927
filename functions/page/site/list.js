/** The list of conversations, and the title of the tab. */

import { draftOf } from "./composer.js";
import { attentive, openPeer } from "./conversation.js";
import { addressOf, byId, el, keyed, rove } from "./dom.js";
import { closeNotifications, notify } from "./notifications.js";
import { shortTime } from "./text.js";

const list = byId("list");

/** @type {readonly Summary[]} */
let summaries = [];
let user = "";

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
  const stop = chat.onConversations(({ conversations }) => {
    summaries = conversations;
    notify(conversations);
    refreshList();
  });
  return () => {
    stop();
    summaries = [];
    closeNotifications();
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

addEventListener("draft", refreshList);
addEventListener("focus", refreshList);
addEventListener("blur", refreshList);
addEventListener("visibilitychange", refreshList);
