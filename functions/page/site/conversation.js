/** The open conversation: its messages and read marks. */

import { openActions, permitted, startEdit } from "./actions.js";
import { announceChanges, announceEvents, announceNews, FEW, forgetAnnounced } from "./announcements.js";
import { allowWriting, checkEdited, closeDraft, focusInput, openDraft, saveDraft } from "./composer.js";
import { buttonOf, byId, keyOf, session } from "./dom.js";
import { typingText } from "./events.js";
import { drawGroup, openGroup } from "./group.js";
import { showMessages } from "./messages.js";
import { drawOwn, openOwn } from "./own.js";
import { highestInView, isAtBottom, keepingPlace, rows, scrollPosition, toBottom, topLine, toPosition, toThird, watchPlace, watchScroll } from "./scroll.js";
import { presenceText } from "./text.js";

/** Maximum number of messages that are elements of the page. Those at the far end are removed. */
const MAX_SHOWN = 1_000;
const PAGE_SIZE = 50;
/** A message is read when it has been in view for this long. */
const READ_AFTER_MS = 1_000;
/** The divider is scrolled to if at most this many messages have to be loaded for that. */
const MAX_LOADED = 500;

const LEFT = "You are not in this group any more. You can read what was written until then. Ask an owner to add you again.";
const BLOCKED = "You have blocked this user. Unblock them to write, in the menu above.";

const section = byId("conversation");
const trouble = byId("trouble");
const newer = byId("newer", HTMLButtonElement);
const typingLine = byId("typing");
const presenceLine = byId("presence");

/** @type {Conversation | undefined} */
let conversation;
/** @type {Snapshot} */
let now;
/** The user. */
let reader = "";
/** @type {() => void} */
let stopListening = () => {};
/** Returns whether the server has read marks: one that has settings has them too. */
let hasMarks = () => false;
/** Storage key of the scroll position. */
let positionKey = "";
/** The scroll position to return to once its message is loaded. */
let wanted = "";
/** Key of the newest entry that is shown, if newer ones are not. */
let last = "";
/** The divider stands above the peer's first message with a higher number. */
let divider = Infinity;
/** Whether the divider of the opening is still to be placed: what the user has read, here or elsewhere, is not known yet. */
let opening = false;
/** The number up to which messages were announced, or were there before; `Infinity` until the first page is loaded. */
let announced = Infinity;
/** Newest number when the reader was at the bottom. */
let caughtUp = 0;
/** Timer of messages that are in view. */
let reading = 0;
/** The number up to which this page has marked messages as read. The mark itself stays at the peer's last one. */
let marked = 0;
/** Whether older messages are being loaded. */
let loading = false;

const checkEnds = watchScroll(onScroll, loadOlder, () => slide(PAGE_SIZE));

/** Returns whether the user is looking at this page. */
export const attentive = () => document.visibilityState === "visible" && document.hasFocus();

/** Returns the id of the open conversation, or "". */
export const openId = () => conversation?.id ?? "";

/** Opens a conversation. @param {Chat} chat @param {Conversation} opened */
export function openConversation(chat, opened) {
  closeConversation();
  conversation = opened;
  openActions(opened);
  openGroup(opened);
  openOwn(opened);
  reader = chat.user;
  hasMarks = () => chat.settings !== undefined;
  positionKey = keyOf("place", chat.user, opened);
  section.hidden = false;
  opening = true;
  toBottom();
  stopListening = opened.onChange((snapshot) => {
    if (conversation !== opened) return;
    now = snapshot;
    if (announced === Infinity && isLoaded(snapshot)) showFirst();
    else change();
  });
  openDraft(chat.user, opened, { send, typing: () => opened.typing(), editLast });
}

/** @param {string} text */
function send(text) {
  divider = Infinity;
  opening = false;
  last = wanted = "";
  conversation?.send(text);
  toBottom();
}

/** Lets the user edit the last own message. */
function editLast() {
  const own = now?.entries.findLast((entry) => permitted(entry).edit);
  if (own) startEdit(own);
}

/** Closes the conversation. Stores its draft and the scroll position. */
export function closeConversation() {
  savePosition();
  saveDraft();
  closeDraft();
  stopListening();
  clearTimeout(reading);
  conversation = undefined;
  openActions();
  openGroup();
  openOwn();
  last = wanted = "";
  reading = caughtUp = marked = 0;
  announced = divider = Infinity;
  forgetAnnounced();
  loading = opening = false;
  showMessages([], reader);
  section.hidden = true;
}

/** Stores the scroll position, for the next time this conversation is opened. */
function savePosition() {
  if (conversation && announced < Infinity) session.set(positionKey, wanted || scrollPosition());
}

/** Returns whether the first page is loaded, and not only the outbox. @param {Snapshot} snapshot */
const isLoaded = ({ entries, loading, more }) => !loading && (!more || entries.some(({ seq }) => seq !== undefined));

/** Returns whether it is known what the user has read, and the first unread message is loaded. @param {Snapshot} snapshot */
const isReadKnown = ({ marksKnown, unread, firstUnread }) => marksKnown && (unread === 0 || firstUnread !== undefined);

/** Shows the first page, at the position of the last time. */
function showFirst() {
  wanted = session.get(positionKey) ?? "";
  announced = Math.max(now.newest, parseFloat(wanted) || 0);
  change();
}

/** Loads pages until the message of a scroll position is there, and scrolls to it. @param {string} back */
async function returnTo(back) {
  wanted = "";
  loading = true;
  toPosition(back);
  if ((await loadBackTo(parseFloat(back))) && !toPosition(back)) wanted = back;
}

/**
 * Scrolls to the divider. Loads the unread messages that are not loaded yet, unless they are very many, and then scrolls again, unless
 * the reader has scrolled meanwhile.
 */
async function toDivider() {
  const toLine = () => {
    const line = rows.querySelector(".divider");
    if (line) toThird(line);
  };
  toLine();
  const isStill = watchPlace();
  if (now.newest - divider <= MAX_LOADED && (await loadBackTo(divider + 1)) && isStill()) toLine();
}

/** Loads older pages until a number is among them. Returns whether the conversation is still open. @param {number} seq */
async function loadBackTo(seq) {
  const opened = conversation;
  const oldest = () => now.entries.find((entry) => entry.seq !== undefined)?.seq ?? -Infinity;
  loading = true;
  while (opened && conversation === opened && now.more && oldest() > seq) {
    const { more } = await opened.older(PAGE_SIZE).catch(() => ({ more: false }));
    if (!more) break;
  }
  await new Promise((drawn) => setTimeout(drawn));
  if (conversation !== opened) return false;
  loading = false;
  return true;
}

/** Shows the latest snapshot. */
export function change() {
  if (!conversation) return;
  const first = opening && announced < Infinity && isReadKnown(now);
  if (first || (divider === Infinity && fromPeerAfter(announced).length > FEW)) placeDivider();
  opening &&= !first;
  keepingPlace(draw);
  if (first && divider < Infinity && !wanted && isAtBottom()) toDivider();
  if (now.newest >= parseFloat(wanted)) returnTo(wanted);
  announce();
  onScroll();
  if (!loading) checkEnds();
}

function draw() {
  checkEdited(now.entries);
  const { error, entries, more, loading: busy, title, isGroup, isMember, blocked } = now;
  showMessages(shownEntries(), reader, isGroup, fromPeerAfter(divider)[0]);
  byId("name").textContent = title || "Group";
  drawGroup(now);
  drawOwn(now, reader, hasMarks());
  drawReadOnly(isMember ? (blocked ? BLOCKED : "") : LEFT);
  trouble.hidden = !error;
  /** @type {Element} */ (trouble.firstElementChild).textContent =
    error ? `Messages cannot be read now. ${error.message}` : "";
  drawPresence();
  typingLine.textContent = typingText(now.typing);
  topLine.textContent = more && !error ? "Loading…" : busy || error ? "" : entries.length ? "This is the beginning." : "No messages yet. Say hello.";
}

/** Shows a sentence in place of the input where the user cannot write. @param {string} reason "": the user can */
function drawReadOnly(reason) {
  const sentence = byId("left");
  if (sentence.textContent === reason && sentence.hidden === !reason) return;
  sentence.hidden = !reason;
  sentence.textContent = reason;
  allowWriting(!reason);
}

/** Shows whether the peer is online. */
function drawPresence() {
  const text = presenceText(now.presence);
  if (presenceLine.textContent !== text) presenceLine.textContent = text;
  presenceLine.className = now.presence?.online ? "here" : "";
}

/** Returns the entries that are elements of the page. */
function shownEntries() {
  const at = last ? now.entries.findIndex(({ key }) => key === last) : -1;
  const end = at < 0 ? now.entries.length : at + 1;
  return now.entries.slice(Math.max(0, end - MAX_SHOWN), end);
}

/** Moves the part that is shown of a very long conversation, by a number of entries. @param {number} by */
function slide(by) {
  const { entries } = now;
  const at = last ? entries.findIndex(({ key }) => key === last) : entries.length - 1;
  const end = Math.min(Math.max(at + by, MAX_SHOWN - 1), entries.length - 1);
  if (end === at) return;
  last = end === entries.length - 1 ? "" : entries[end].key;
  keepingPlace(draw, false);
  checkEnds();
}

async function loadOlder() {
  if (!conversation || loading || now.loading) return;
  if (now.entries[0] !== shownEntries()[0]) return slide(-PAGE_SIZE);
  if (!now.more || now.error) return;
  const opened = conversation;
  loading = true;
  // The next snapshot has the error.
  await opened.older(PAGE_SIZE).catch(() => {});
  if (conversation !== opened) return;
  loading = false;
  slide(-PAGE_SIZE);
  checkEnds();
}

/** Returns others' messages with a higher number that are not deleted. @param {number} than */
const fromPeerAfter = (than) => now.entries.filter(({ own, seq, deleted, event }) => !own && !event && !deleted && Number(seq) > than);

/** Announces what is new. Older pages are not announced. */
function announce() {
  const news = fromPeerAfter(announced);
  announceEvents(now.entries.filter(({ own, seq, event }) => event && !own && Number(seq) > announced), reader);
  announced = announced < Infinity ? Math.max(announced, now.newest) : announced;
  announceNews(news);
  announceChanges(now.entries);
}

/**
 * Places the divider above the unread messages. With an older server, which has no marks, messages before the last own one count as
 * read, and those of an earlier page.
 */
function placeDivider() {
  if (!now.marksKnown) return;
  const replied = now.entries.findLast(({ own, seq }) => own && seq)?.seq ?? 0;
  const read = now.read || (hasMarks() ? 0 : replied);
  if (fromPeerAfter(read).length && (read || hasMarks() || !now.more)) divider = read;
}

function onScroll() {
  if (isAtBottom() && !last) caughtUp = now.newest;
  const count = fromPeerAfter(caughtUp).length;
  newer.hidden = isAtBottom() && !last;
  newer.textContent = count ? `${count} new ↓` : "↓";
  newer.ariaLabel = count ? `${count} new, go to the newest message` : "Go to the newest message";
  watchReading();
}

/** Marks messages as read that stay in view for a second while the user is looking. */
function watchReading() {
  const seen = highestInView();
  if (reading || !attentive() || seen <= Math.max(now.read, marked)) return;
  reading = setTimeout(() => {
    reading = 0;
    const stayed = Math.min(seen, highestInView());
    if (attentive() && stayed > marked) conversation?.markRead((marked = stayed));
    // A message that has come meanwhile is still to be looked at.
    watchReading();
  }, READ_AFTER_MS);
}

newer.addEventListener("click", () => {
  last = "";
  draw();
  toBottom();
  onScroll();
  focusInput();
});
buttonOf(trouble).addEventListener("click", () => conversation?.older(PAGE_SIZE).catch(() => {}));
// A user who scrolls does not want to return to the old position.
for (const name of ["wheel", "touchmove"]) rows.addEventListener(name, () => (wanted = ""), { passive: true });
section.addEventListener("keydown", ({ key }) => key === "Escape" && focusInput());
addEventListener("focus", () => {
  if (!conversation || announced === Infinity) return;
  placeDivider();
  change();
});
addEventListener("visibilitychange", () => conversation && change());
addEventListener("pagehide", savePosition);
// "5 minutes ago" becomes "6 minutes ago".
setInterval(() => conversation && now && drawPresence(), 30_000);
