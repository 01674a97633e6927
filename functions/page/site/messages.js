/** The elements of the open conversation: messages, days, and the divider above the new ones. */

import { actionsButton, isChangeable, openMenu } from "./actions.js";
import { focusInput } from "./composer.js";
import { el, keyed, rove } from "./dom.js";
import { eventText } from "./events.js";
import { rows } from "./scroll.js";
import { clock, dayLabel, dayOf, linked, millis, onlyEmoji } from "./text.js";

/** Labels of the states of own messages. */
const STATES = {
  queued: "Waiting",
  sending: "Sending",
  stored: "Sent",
  delivered: "Delivered",
  read: "Read",
  failed: "Not sent",
};

export const GONE = "Message deleted";

const PATHS = { queued: "M8 2a5 5 0 1 0 .1 0M8 4v3l2 1", stored: "M3 7l3 3 6-7", delivered: "M1 7l3 3 6-7M7 9l1 1 6-7", failed: "M8 1v7M8 10v1.5" };

const show = keyed(rows, {
  key: (/** @type {Row} */ row) => row.key,
  make: ({ kind }) => el(kind === "message" ? "article" : kind === "day" ? "h2" : "p"),
  fill: (element, row, before) => (row.kind === "message" ? fillMessage : fillSeparator)(element, row, before),
  same: (a, b) => a.entry === b.entry && a.look === b.look,
});
const updateTabStop = rove(rows, "article", (messages) => messages.at(-1));

/**
 * Shows messages and events, and removes all others. `firstNew` gets the divider above it.
 * @param {readonly Entry[]} entries @param {string} user @param {boolean} [named] whether others' messages have a name @param {Entry} [firstNew]
 */
export function showMessages(entries, user, named = false, firstNew = undefined) {
  show(rowsOf(entries, user, named, firstNew));
  updateTabStop();
}

/** @param {readonly Entry[]} entries @param {string} user @param {boolean} named @param {Entry} [firstNew] @returns {Row[]} */
function rowsOf(entries, user, named, firstNew) {
  /** @type {Row[]} */
  const list = [];
  /** @type {Entry | undefined} */
  let before;
  let day = "";
  for (const entry of entries) {
    if (entry.timestamp && dayOf(entry.timestamp) !== day) {
      day = dayOf(entry.timestamp);
      list.push({ kind: "day", key: `day ${entry.key}`, entry, look: dayLabel(entry.timestamp) });
      before = undefined;
    }
    if (entry === firstNew) {
      list.push({ kind: "divider", key: "divider", entry, look: "New" });
      before = undefined;
    }
    const event = eventText(entry, user);
    if (event) list.push({ kind: "event", key: entry.key, entry, look: event });
    else list.push({ kind: "message", key: entry.key, entry, look: before && joins(before, entry) ? "joined" : named && !entry.own ? "named" : "" });
    before = event ? undefined : entry;
  }
  return list;
}

/** Returns whether a message is joined to the one before. @param {Entry} a @param {Entry} b */
function joins(a, b) {
  return a.sender === b.sender && !(millis(b.timestamp) - millis(a.timestamp) > 5 * 60_000);
}

/** @param {HTMLElement} element @param {Row} row */
function fillSeparator(element, { kind, entry, look }) {
  element.className = kind;
  const dateTime = String(entry.timestamp);
  element.replaceChildren(kind === "day" ? el("time", { dateTime }, look) : look);
  if (kind === "event") element.append(" ", el("time", { dateTime }, clock(entry.timestamp)));
}

/** @param {HTMLElement} element @param {Row} row @param {Row} [before] */
function fillMessage(element, { entry, look }, before) {
  const { own, text, seq, state, deleted, change } = entry;
  const changeFailed = change?.state === "failed";
  element.className = `${own ? "own" : "other"} ${look} ${deleted ? "deleted" : changeFailed ? "failed" : state}`;
  if (seq !== undefined) element.dataset.seq = String(seq);
  element.ariaLabel = `${own ? "You" : entry.sender}: ${about(entry)}`;
  const focused = element.contains(document.activeElement);
  element.querySelector(".sender")?.remove();
  if (before?.entry.text !== text || !element.firstChild) element.replaceChildren(body(entry));
  while (element.childNodes.length > 1) element.lastChild?.remove();
  element.append(meta(entry));
  if (look === "named") element.prepend(el("bdi", { className: "sender" }, entry.sender));
  if (isChangeable(entry)) element.append(actionsButton(entry, element));
  element.oncontextmenu = isChangeable(entry) ? (event) => openByKey(event, entry, element) : null;
  if (state === "failed") element.append(failure("Not sent.", entry));
  if (changeFailed) element.append(failure(change.kind === "edit" ? "Not edited." : "Not deleted.", change));
  // What had the focus inside is another element now.
  if (focused && !element.contains(document.activeElement)) element.focus({ preventScroll: true });
}

/** Opens the menu by the key for menus. A click on the text opens the browser's. @param {MouseEvent} event @param {Entry} entry @param {HTMLElement} element */
function openByKey(event, entry, element) {
  if (event.target !== element) return;
  event.preventDefault();
  openMenu(entry, element);
}

/** Returns the label of a message, without its sender. @param {Entry} entry */
function about(entry) {
  const { text, timestamp, edited, deleted } = entry;
  return [deleted ? GONE : text.slice(0, 500), edited && "edited", timestamp && clock(timestamp), hasState(entry) && STATES[stateOf(entry)]].filter(Boolean).join(", ");
}

/** @param {Entry} entry */
function body({ text, deleted }) {
  if (deleted) return el("p", {}, GONE);
  return el("p", { dir: "auto", className: onlyEmoji(text) ? "large" : "" }, ...linked(text));
}

/** Returns the state of an own message, or of its change that is on its way. @param {Entry} entry */
const stateOf = ({ state, change }) => (change && change.state !== "failed" ? change.state : state);

/** Returns whether a message shows its state: one that is deleted only until that is stored. @param {Entry} entry */
const hasState = ({ own, deleted, change }) => own && (!deleted || change !== undefined);

/** @param {Entry} entry */
function meta(entry) {
  const { timestamp, edited } = entry;
  const element = el("span", { className: "meta" });
  if (edited) element.append(el("span", {}, "edited"));
  if (timestamp) element.append(el("time", { dateTime: String(timestamp) }, clock(timestamp)));
  if (hasState(entry)) element.append(stateIcon(stateOf(entry)));
  return element;
}

/** @param {Entry["state"]} state */
function stateIcon(state) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS(svg.namespaceURI, "path");
  const shape = state === "sending" ? "queued" : state === "read" ? "delivered" : state;
  path.setAttribute("d", PATHS[shape]);
  svg.setAttribute("viewBox", "0 0 16 13");
  svg.role = "img";
  svg.ariaLabel = STATES[state];
  svg.append(path);
  return svg;
}

/** @param {string} what @param {Pick<Entry, "error" | "retry" | "discard">} failed a message or a change */
function failure(what, { error, retry, discard }) {
  const away = el("button", { onclick: () => (discard(), focusInput()) }, "Discard");
  const element = el("div", { className: "failure" }, `${what} ${error?.message ?? ""}`);
  // It will be too late for ever.
  if (error?.code !== "too_late") element.append(el("button", { onclick: retry }, "Try again"));
  element.append(away);
  return element;
}
