/** The open conversation: its messages, what is read, and what is said aloud. */

import { closeDraft, focusInput, openDraft, saveDraft } from "./composer.js";
import { buttonOf, byId, el, keyed, keyOf, rove, session } from "./dom.js";
import { highestInView, holding, isAtBottom, place, rows, toBottom, toPlace, toThird, upper, watchScroll } from "./scroll.js";
import { clock, dayLabel, dayOf, linked, millis, onlyEmoji } from "./text.js";

/** At most so many messages are elements of the page; the far end is dropped. */
const SHOWN = 1_000;
const PAGE_SIZE = 50;
const READ_AFTER_MS = 1_000;
/** More new messages at once than these come after a time away. */
const FEW = 3;
const STATES = {
  queued: "Waiting",
  sending: "Sending",
  stored: "Sent",
  delivered: "Delivered",
  read: "Read",
  failed: "Not sent",
};

const section = byId("talk");
const trouble = byId("trouble");
const newer = byId("newer", HTMLButtonElement);
const live = byId("live");

/** @type {Conversation | undefined} */
let talk;
/** @type {Snapshot} */
let now;
/** @type {() => void} */
let stopTalk = () => {};
let placeKey = "";
/** The place to return to, once its message is there: what this browser has kept may be older. */
let wanted = "";
/** The newest entry that is shown, if newer ones are dropped. */
let last = "";
/** The divider stands above the first message of the other with a higher number. */
let divider = Infinity;
/** Up to here messages have been said aloud or were there before. */
let announced = Infinity;
/** Newest number while the reader was at the bottom. */
let caughtUp = 0;
/** @type {Set<string>} */
let failed = new Set();
let reading = 0;
let loading = false;

const show = keyed(rows, {
  key: (/** @type {Row} */ row) => row.key,
  make: ({ kind }) => el(kind === "message" ? "article" : kind === "day" ? "h2" : "p"),
  fill: (element, row, before) => (row.kind === "message" ? fillMessage : fillSeparator)(element, row, before),
  same: (a, b) => a.entry === b.entry && a.look === b.look,
});
const settle = rove(rows, "article", (messages) => messages.at(-1));
const lookAround = watchScroll(onScroll, loadOlder, () => slide(PAGE_SIZE));

/** Whether somebody looks at this page. */
export const attentive = () => document.visibilityState === "visible" && document.hasFocus();

/** The other user of the open conversation, or "". */
export const openPeer = () => talk?.peer ?? "";

/**
 * Shows the conversation with a user.
 * @param {Chat} chat @param {string} peer
 */
export function openTalk(chat, peer) {
  closeTalk();
  const opened = (talk = chat.with(peer));
  placeKey = keyOf("place", chat.user, peer);
  byId("name").textContent = peer;
  section.hidden = false;
  toBottom();
  stopTalk = opened.onChange((snapshot) => {
    if (talk !== opened) return;
    now = snapshot;
    if (announced === Infinity && isLoaded(snapshot)) arrive();
    else change();
  });
  openDraft(chat.user, peer, (text) => {
    divider = Infinity;
    last = wanted = "";
    opened.send(text);
    toBottom();
  });
}

/** Keeps the draft and the place, and shows no conversation. */
export function closeTalk() {
  leavePlace();
  saveDraft();
  closeDraft();
  stopTalk();
  clearTimeout(reading);
  talk = undefined;
  last = wanted = "";
  reading = caughtUp = 0;
  announced = divider = Infinity;
  failed = new Set();
  loading = false;
  show([]);
  section.hidden = true;
}

/** Writes the place of the reader, for the next time this conversation is opened. */
function leavePlace() {
  if (talk && announced < Infinity) session.set(placeKey, wanted || place());
}

/** Whether there is more than what is to be sent. @param {Snapshot} snapshot */
const isLoaded = ({ entries, loading, more }) => !loading && (!more || entries.some(({ seq }) => seq !== undefined));

/** The first full snapshot: the divider is placed, and the reader is where they were. */
function arrive() {
  placeDivider();
  wanted = session.get(placeKey) ?? "";
  announced = Math.max(now.newest, parseFloat(wanted) || 0);
  const back = wanted;
  change();
  const line = rows.querySelector(".divider");
  if (line && !back) toThird(line);
  onScroll();
}

/** Loads pages until the message of a place is there. @param {string} back */
async function returnTo(back) {
  wanted = "";
  const opened = talk;
  const seq = parseFloat(back);
  const oldest = () => now.entries.find((entry) => entry.seq !== undefined)?.seq ?? -Infinity;
  loading = true;
  toPlace(back);
  while (opened && talk === opened && now.more && oldest() > seq) {
    const { more } = await opened.older(PAGE_SIZE).catch(() => ({ more: false }));
    if (!more) break;
  }
  await new Promise((shown) => setTimeout(shown));
  if (talk !== opened) return;
  loading = false;
  if (!toPlace(back)) wanted = back;
}

/** Shows the latest snapshot. */
export function change() {
  if (!talk) return;
  if (divider === Infinity && ofOther(announced).length > FEW) placeDivider();
  holding(draw);
  if (now.newest >= parseFloat(wanted)) returnTo(wanted);
  announce();
  onScroll();
  if (!loading) lookAround();
}

function draw() {
  show(rowsOf(shownEntries()));
  settle();
  const { error, entries, more, loading: busy } = now;
  trouble.hidden = !error;
  /** @type {Element} */ (trouble.firstElementChild).textContent =
    error ? `Messages cannot be read now. ${error.message}` : "";
  upper.textContent = more && !error ? "Loading…" : busy || error ? "" : entries.length ? "This is the beginning." : "No messages yet. Say hello.";
}

/** The entries that are elements of the page. */
function shownEntries() {
  const at = last ? now.entries.findIndex(({ key }) => key === last) : -1;
  const end = at < 0 ? now.entries.length : at + 1;
  return now.entries.slice(Math.max(0, end - SHOWN), end);
}

/** Moves what is shown of a very long conversation, by a number of entries. @param {number} by */
function slide(by) {
  const { entries } = now;
  const at = last ? entries.findIndex(({ key }) => key === last) : entries.length - 1;
  const end = Math.min(Math.max(at + by, SHOWN - 1), entries.length - 1);
  if (end === at) return;
  last = end === entries.length - 1 ? "" : entries[end].key;
  holding(draw, false);
  lookAround();
}

async function loadOlder() {
  if (!talk || loading || now.loading) return;
  if (now.entries[0] !== shownEntries()[0]) return slide(-PAGE_SIZE);
  if (!now.more || now.error) return;
  const opened = talk;
  loading = true;
  // Its error is in the next snapshot.
  await opened.older(PAGE_SIZE).catch(() => {});
  if (talk !== opened) return;
  loading = false;
  slide(-PAGE_SIZE);
  lookAround();
}

/** @param {readonly Entry[]} entries @returns {Row[]} */
function rowsOf(entries) {
  /** @type {Row[]} */
  const list = [];
  /** @type {Entry | undefined} */
  let before;
  let day = "";
  const [firstNew] = ofOther(divider);
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

/** Whether a message continues the one before. @param {Entry} a @param {Entry} b */
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
  if (own) meta.append(tick(state));
  element.append(meta);
  if (state === "failed") element.append(failure(entry, error?.message ?? ""));
}

const PATHS = { queued: "M8 2a5 5 0 1 0 .1 0M8 4v3l2 1", stored: "M3 7l3 3 6-7", delivered: "M1 7l3 3 6-7M7 9l1 1 6-7", failed: "M8 1v7M8 10v1.5" };

/** @param {Entry["state"]} state */
function tick(state) {
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

/** Messages of the other with a higher number. @param {number} than */
const ofOther = (than) => now.entries.filter(({ own, seq }) => !own && Number(seq) > than);

/** Says new messages of the other aloud, and own ones that failed. Older pages are silent. */
function announce() {
  const news = ofOther(announced);
  announced = announced < Infinity ? Math.max(announced, now.newest) : announced;
  if (news.length > FEW) say(`${news.length} new messages from ${now.peer}`);
  else for (const { sender, text } of news) say(`${sender}: ${text}`);
  for (const { key, state, error } of now.entries) {
    if (state === "failed" && !failed.has(key) && announced < Infinity) say(`Message not sent. ${error?.message ?? ""}`);
    if (state === "failed") failed.add(key);
    else failed.delete(key);
  }
}

/** @param {string} sentence */
function say(sentence) {
  live.append(el("p", {}, sentence));
  if (live.childNodes.length > 5) live.firstChild?.remove();
}

/** Puts the divider above what is unread. Without a mark, what one has answered counts as read. */
function placeDivider() {
  const answered = now.entries.findLast(({ own, seq }) => own && seq)?.seq ?? 0;
  const read = now.read || answered;
  if (ofOther(read).length && (read || !now.more)) divider = read;
}

function onScroll() {
  if (isAtBottom() && !last) caughtUp = now.newest;
  const count = ofOther(caughtUp).length;
  newer.hidden = isAtBottom() && !last;
  newer.textContent = count ? `${count} new ↓` : "↓";
  newer.ariaLabel = count ? `${count} new, go to the newest message` : "Go to the newest message";
  watchReading();
}

/** Marks as read what stays in view for a second while somebody looks. */
function watchReading() {
  const seen = highestInView();
  if (reading || !attentive() || seen <= now.read) return;
  reading = setTimeout(() => {
    reading = 0;
    const stayed = Math.min(seen, highestInView());
    if (attentive() && stayed > now.read) talk?.markRead(stayed);
    else onScroll();
  }, READ_AFTER_MS);
}

newer.addEventListener("click", () => {
  last = "";
  draw();
  toBottom();
  onScroll();
  focusInput();
});
buttonOf(trouble).addEventListener("click", () => talk?.older(PAGE_SIZE).catch(() => {}));
// Whoever scrolls is where they want to be.
for (const name of ["wheel", "touchmove"]) rows.addEventListener(name, () => (wanted = ""), { passive: true });
section.addEventListener("keydown", ({ key }) => key === "Escape" && focusInput());
addEventListener("focus", () => {
  if (!talk || announced === Infinity) return;
  placeDivider();
  change();
});
addEventListener("visibilitychange", () => talk && change());
addEventListener("pagehide", leavePlace);
