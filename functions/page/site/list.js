/** The list of conversations, and the title of the tab. */

import { draftOf } from "./composer.js";
import { attentive, openId } from "./conversation.js";
import { addressOf, byId, el, keyed, rove } from "./dom.js";
import { eventText } from "./events.js";
import { GONE } from "./messages.js";
import { closeNotifications, notify } from "./notifications.js";
import { watchNear } from "./scroll.js";
import { shortTime } from "./text.js";

/** @type {List} */
const EMPTY = { conversations: [], unread: 0, more: false, loading: false };
const list = byId("list");
const older = byId("older", HTMLButtonElement);
const note = byId("list-note");

let listed = EMPTY;
/** @type {Chat | undefined} */
let chatOfList;
/** Whether older conversations are being loaded. */
let loadingOlder = false;

const showSummaries = keyed(list, {
  key: (/** @type {ListRow} */ { summary }) => summary.id,
  make: () => el("li"),
  fill,
  same: (a, b) => a.look === b.look,
});
const settleList = rove(list, "li > a", (links) => links.find((link) => link.ariaCurrent) ?? links[0]);
// After a failure only the button loads older conversations.
const checkEnd = watchNear(byId("list-scroll"), [older], () => !listed.error && loadConversations());

/** Shows the conversations of a chat. @param {Chat} opened @returns {() => void} stops */
export function showList(opened) {
  chatOfList = opened;
  const stop = opened.onConversations((conversations) => {
    listed = conversations;
    notify(listed.conversations);
    refreshList();
  });
  return () => {
    stop();
    listed = EMPTY;
    closeNotifications();
    refreshList();
  };
}

/** Shows the list again, after a change of drafts, the day, or the open conversation. */
export function refreshList() {
  const { conversations, more, loading, error } = listed;
  showSummaries(conversations.map(rowOf));
  settleList();
  note.textContent = error
    ? `The conversations cannot be loaded now. ${error.message}`
    : conversations.length ? "" : loading ? "Loading…" : "No conversations yet. Enter a user id above to start one.";
  older.hidden = !more;
  checkEnd();
  const open = attentive() && conversations.find(({ id }) => id === openId());
  const unread = listed.unread - (open ? open.unread : 0);
  document.title = unread > 0 ? `(${counted(unread)}) MeetMe` : "MeetMe";
}

async function loadConversations() {
  if (!chatOfList || loadingOlder || !listed.more) return;
  loadingOlder = true;
  // The next list has the error.
  await chatOfList.moreConversations().catch(() => {});
  loadingOlder = false;
  checkEnd();
}

/** Returns the text of a number of messages. @param {number} unread */
const counted = (unread) => (unread > 99 ? "99+" : String(unread));

/** @param {Summary} summary @returns {ListRow} */
function rowOf(summary) {
  const { id, title, last, unread, typing, presence, muted, blocked } = summary;
  const open = id === openId();
  const draft = open ? "" : draftOf(chatOfList?.user ?? "", summary);
  const look = JSON.stringify([open, title, draft, muted, blocked, unread, typing, presence?.online, last?.key, preview(summary), shortTime(last?.timestamp)]);
  return { summary, draft, look };
}

/** @param {HTMLElement} element @param {ListRow} row */
function fill(element, { summary, draft }) {
  const { id, peer, isGroup, last, unread, typing, presence, muted, blocked } = summary;
  const title = summary.title || "Group";
  const link = element.querySelector("a") ?? element.appendChild(el("a", { href: addressOf(summary), tabIndex: -1 }));
  link.ariaCurrent = id === openId() ? "true" : null;
  const face = el("span", { className: `face ${presence?.online ? "online" : isGroup ? "group" : ""}`, ariaHidden: "true" }, [...title][0].toUpperCase());
  face.style.setProperty("--hue", String(hue(peer || id)));
  const [kind, line] = typing ? ["typing", "typing…"] : draft ? ["draft", `Draft: ${draft}`] : ["", preview(summary)];
  link.replaceChildren(
    face,
    el("span", { className: "peer" }, el("bdi", {}, title), ...(blocked ? [sign("⊘", "blocked")] : muted ? [sign("🔕", "muted")] : [])),
    el("time", { dateTime: String(last?.timestamp ?? "") }, shortTime(last?.timestamp)),
    el("span", { className: `line ${kind}` }, line.slice(0, 200)),
  );
  if (presence?.online) link.append(el("span", { className: "unseen" }, "online"));
  if (unread) link.append(el("span", { className: "count" }, counted(unread), el("span", { className: "unseen" }, " unread")));
}

/** Returns a sign behind a name. @param {string} shown @param {string} meaning */
const sign = (shown, meaning) => el("span", { title: meaning }, el("span", { ariaHidden: "true" }, shown), el("span", { className: "unseen" }, ` ${meaning}`));

/** @param {Summary} summary */
function preview({ last, isGroup }) {
  if (!last) return "";
  const { own, deleted, event, sender, text } = last;
  if (event) return eventText(last, chatOfList?.user ?? "");
  return deleted ? GONE : `${own ? "You: " : isGroup && text ? `${sender}: ` : ""}${text}`;
}

/** Returns the hue of a user's avatar. @param {string} peer */
const hue = (peer) => [...peer].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);

older.addEventListener("click", loadConversations);
addEventListener("draft", refreshList);
addEventListener("focus", refreshList);
addEventListener("blur", refreshList);
addEventListener("visibilitychange", refreshList);
