/** Notifications of new messages, if the user has turned them on. */

import { addressOf, byId } from "./dom.js";

const turnOn = byId("notify", HTMLButtonElement);
/** Newest number of each conversation at the last change. @type {Map<string, number> | undefined} */
let known;
/** Time of the newest message at the last change. Older conversations that are only now loaded have no newer one. */
let newestTime = "";
/** @type {Map<string, Notification>} */
const notifications = new Map();

/**
 * Shows notifications of new messages while the page is hidden, and closes those that were read.
 * @param {readonly Summary[]} summaries
 */
export function notify(summaries) {
  for (const { id, peer, newest, last, unread } of summaries) {
    const before = known?.get(id);
    const fresh = before === undefined ? known && timeOf(last) > newestTime : newest > before;
    if (fresh && document.hidden && unread && last && !last.own) showNotification(id, peer, last.text);
    if (!unread) notifications.get(id)?.close();
  }
  known = new Map(summaries.map(({ id, newest }) => [id, newest]));
  for (const { last } of summaries) if (timeOf(last) > newestTime) newestTime = timeOf(last);
}

/** @param {Summary["last"]} last */
const timeOf = (last) => last?.timestamp ?? "";

/** Closes all notifications, and forgets the conversations. */
export function closeNotifications() {
  for (const notification of notifications.values()) notification.close();
  known = undefined;
  newestTime = "";
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
  turnOn.hidden = !("Notification" in window) || Notification.permission !== "default";
}

turnOn.addEventListener("click", () => Notification.requestPermission().then(updateButton));
updateButton();
