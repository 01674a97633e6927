/** The elements of the open conversation: messages, days, and the divider above the new ones. */

import { focusInput } from "./composer.js";
import { el, keyed, rove } from "./dom.js";
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

const PATHS = { queued: "M8 2a5 5 0 1 0 .1 0M8 4v3l2 1", stored: "M3 7l3 3 6-7", delivered: "M1 7l3 3 6-7M7 9l1 1 6-7", failed: "M8 1v7M8 10v1.5" };

const show = keyed(rows, {
  key: (/** @type {Row} */ row) => row.key,
  make: ({ kind }) => el(kind === "message" ? "article" : kind === "day" ? "h2" : "p"),
  fill: (element, row, before) => (row.kind === "message" ? fillMessage : fillSeparator)(element, row, before),
  same: (a, b) => a.entry === b.entry && a.look === b.look,
});
const updateTabStop = rove(rows, "article", (messages) => messages.at(-1));

/**
 * Shows messages, and removes all others. `firstNew` gets the divider above it.
 * @param {readonly Entry[]} entries @param {Entry} [firstNew]
 */
export function showMessages(entries, firstNew) {
  show(rowsOf(entries, firstNew));
  updateTabStop();
}

/** @param {readonly Entry[]} entries @param {Entry} [firstNew] @returns {Row[]} */
function rowsOf(entries, firstNew) {
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
    list.push({ kind: "message", key: entry.key, entry, look: before && joins(before, entry) ? "joined" : "" });
    before = entry;
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
}

/** @param {HTMLElement} element @param {Row} row @param {Row} [before] */
function fillMessage(element, { entry, look }, before) {
  const { own, text, seq, state, timestamp, error } = entry;
  element.className = `${own ? "own" : "other"} ${look} ${state}`;
  if (seq !== undefined) element.dataset.seq = String(seq);
  const about = [timestamp && clock(timestamp), own && STATES[state]].filter(Boolean).join(", ");
  element.ariaLabel = `${own ? "You" : entry.sender}: ${text.slice(0, 500)}, ${about}`;
  if (before?.entry.text !== text || !element.firstChild) {
    const size = onlyEmoji(text) ? "large" : "";
    element.replaceChildren(el("p", { dir: "auto", className: size }, ...linked(text)));
  }
  while (element.childNodes.length > 1) element.lastChild?.remove();
  const meta = el("span", { className: "meta" });
  if (timestamp) meta.append(el("time", { dateTime: String(timestamp) }, clock(timestamp)));
  if (own) meta.append(stateIcon(state));
  element.append(meta);
  if (state === "failed") element.append(failure(entry, error?.message ?? ""));
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

/** @param {Entry} entry @param {string} reason */
function failure(entry, reason) {
  const again = el("button", { onclick: () => entry.retry() }, "Try again");
  const away = el("button", { onclick: () => (entry.discard(), focusInput()) }, "Discard");
  return el("div", { className: "failure" }, `Not sent. ${reason}`, again, away);
}
