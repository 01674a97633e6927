/** Notifications of new messages, if the user has turned them on. */

import { addressOf, byId } from "./dom.js";

const turnOn = byId("notify", HTMLButtonElement);
/** Newest number of each conversation at the last change. @type {Map<string, number> | undefined} */
let known;
/** @type {Map<string, Notification>} */
const notifications = new Map();

/**
 * Shows notifications of new messages while the page is hidden, and closes those that were read.
 * @param {readonly Summary[]} summaries
 */
export function notify(summaries) {
  for (const { id, peer, newest, last, unread } of summaries) {
    const fresh = known && newest > (known.get(id) ?? 0) && unread && last && !last.own;
    if (fresh && document.hidden) showNotification(id, peer, last.text);
    if (!unread) notifications.get(id)?.close();
  }
  known = new Map(summaries.map(({ id, newest }) => [id, newest]));
}

/** Closes all notifications, and forgets the conversations. */
export function closeNotifications() {
  for (const notification of notifications.values()) notification.close();
  known = undefined;
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
