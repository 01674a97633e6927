/** Notifications of new messages, if the user has turned them on. */

import { addressOf, byId } from "./dom.js";

const turnOn = byId("notify", HTMLButtonElement);
/** Highest number of a message of each conversation that was known. @type {Map<string, number> | undefined} */
let known;
/** Time of the newest message at the last change. Older conversations that are only now loaded have no newer one. */
let newestTime = "";
/** @type {Map<string, {notification: Notification, last: Summary["last"]}>} */
const notifications = new Map();

/**
 * Shows notifications of new messages while the page is hidden, changes those that were edited, and closes those that were read or deleted.
 * @param {readonly Summary[]} summaries
 */
export function notify(summaries) {
  for (const summary of summaries) {
    const { id, last, unread, muted } = summary;
    const before = known?.get(id);
    const shown = notifications.get(id);
    const fresh = before === undefined ? known && timeOf(last) > newestTime : numberOf(last) > before;
    const edited = shown?.last?.key === last?.key && shown?.last?.text !== last?.text;
    if (!unread || muted || numberOf(last) < numberOf(shown?.last)) closeNotification(id);
    else if ((fresh || edited) && document.hidden && last && !last.own && !last.deleted && !last.event) showNotification(summary, last);
  }
  known = new Map(summaries.map(({ id, last }) => [id, Math.max(known?.get(id) ?? 0, numberOf(last))]));
  for (const { last } of summaries) if (timeOf(last) > newestTime) newestTime = timeOf(last);
}

/** @param {Summary["last"]} [last] */
const numberOf = (last) => last?.seq ?? 0;

/** @param {Summary["last"]} last */
const timeOf = (last) => last?.timestamp ?? "";

/** Closes all notifications, and forgets the conversations. */
export function closeNotifications() {
  for (const id of [...notifications.keys()]) closeNotification(id);
  known = undefined;
  newestTime = "";
}

/** @param {string} id */
function closeNotification(id) {
  notifications.get(id)?.notification.close();
  notifications.delete(id);
}

/** Shows a notification, in place of the one that the conversation has. @param {Summary} summary @param {NonNullable<Summary["last"]>} last */
function showNotification(summary, last) {
  const { id: tag, title, isGroup } = summary;
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  try {
    const notification = new Notification(title || "Group", { body: (isGroup ? `${last.sender}: ` : "") + last.text.slice(0, 200), tag });
    notification.onclick = () => {
      window.focus();
      location.hash = addressOf(summary);
    };
    notifications.set(tag, { notification, last });
  } catch {
    // On some phones only service workers may show notifications.
  }
}

function updateButton() {
  turnOn.hidden = !("Notification" in window) || Notification.permission !== "default";
}

turnOn.addEventListener("click", () => Notification.requestPermission().then(updateButton));
updateButton();
