/** The scroll position in the list of messages. It is kept by this module, because not all browsers have `overflow-anchor`. */

import { byId } from "./dom.js";

const log = byId("log");
export const rows = byId("rows");
export const topLine = byId("top");
const end = byId("end");

/** Whether the list is at the bottom and follows new messages. */
let atBottom = true;
/** The position for which that was found. */
let lastTop = 0;

const messages = () => /** @type {HTMLElement[]} */ ([...rows.querySelectorAll("article")]);
/** @param {Element} element */
const offset = (element) => element.getBoundingClientRect().top - log.getBoundingClientRect().top;
/** @param {HTMLElement} message */
const seqOf = (message) => Number(message.dataset.seq ?? NaN);
const firstInView = () => messages().find((message) => offset(message) + message.offsetHeight > 0);

export const isAtBottom = () => atBottom;

/** Scrolls to the newest message and follows new ones. */
export function toBottom() {
  log.scrollTop = log.scrollHeight;
  [atBottom, lastTop] = [true, log.scrollTop];
}

/** Finds out whether a scrolled list is at the bottom: its event may come after the next change. */
function noteScroll() {
  if (log.scrollTop !== lastTop) [atBottom, lastTop] = [nearBottom(), log.scrollTop];
}

/**
 * Changes the list and keeps the messages in view in place, or stays at the bottom.
 * @param {() => void} change @param {boolean} [follow] whether it may stay at the bottom
 */
export function keepingPlace(change, follow = true) {
  noteScroll();
  const bottom = follow && atBottom;
  const anchor = bottom ? undefined : firstInView();
  const before = anchor && offset(anchor);
  change();
  if (bottom) toBottom();
  else if (anchor?.isConnected && before !== undefined) log.scrollTop += offset(anchor) - before;
}

/** Scrolls so that an element is a third of the height below the top. @param {Element} element */
export function toThird(element) {
  log.scrollTop += offset(element) - log.clientHeight / 3;
  atBottom = nearBottom();
}

/** Returns the highest number of a message whose end is in view, or that fills the view. */
export function highestInView() {
  const height = log.clientHeight;
  const seen = messages().reverse().find((message) => {
    const above = offset(message);
    return seqOf(message) <= Infinity && (above + message.offsetHeight <= height + 8 || above <= 0);
  });
  return seen ? seqOf(seen) : -Infinity;
}

/** Returns the scroll position as text: the number of a message and its offset; "" at the bottom. */
export function scrollPosition() {
  const first = !atBottom && messages().find((message) => seqOf(message) <= Infinity && offset(message) + message.offsetHeight > 0);
  return first ? `${seqOf(first)} ${offset(first)}` : "";
}

/** Returns a function that tells whether the messages in view are still where they are now. */
export function watchPlace() {
  const message = firstInView();
  const before = message && offset(message);
  return () => !message || Math.abs(offset(message) - Number(before)) < 2;
}

/** Scrolls to a position. Returns whether that was possible: messages may still be missing. @param {string} text */
export function toPosition(text) {
  const [seq, wanted] = text.split(" ").map(Number);
  const message = messages().find((candidate) => seqOf(candidate) >= seq);
  atBottom = false;
  if (message) log.scrollTop += offset(message) - wanted;
  return message !== undefined && Math.abs(offset(message) - wanted) < 2;
}

const nearBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight <= 40;

/**
 * Watches the list.
 * @param {() => void} onScroll
 * @param {() => void} onTop called when the upper end is less than a screen away
 * @param {() => void} onEnd the same for the lower end
 * @returns {() => void} checks again whether an end is near
 */
export function watchScroll(onScroll, onTop, onEnd) {
  log.addEventListener("scroll", () => {
    atBottom = nearBottom();
    onScroll();
  });
  new ResizeObserver(() => atBottom && toBottom()).observe(log);
  return watchNear(log, [topLine, end], (target) => (target === topLine ? onTop : onEnd)());
}

/**
 * Calls a function when one of the targets is less than a screen away from the visible part of a scrolled element.
 * @param {Element} root @param {Element[]} targets @param {(target: Element) => void} onNear
 * @returns {() => void} checks again: an observer reports only changes, and the current state when it starts to observe
 */
export function watchNear(root, targets, onNear) {
  const near = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) if (isIntersecting) onNear(target);
    },
    { root, rootMargin: "100% 0px" },
  );
  return () => {
    near.disconnect();
    for (const target of targets) near.observe(target);
  };
}
