/** The place of the reader in the list of messages. `overflow-anchor` is off: this does it everywhere. */

import { byId } from "./dom.js";

const log = byId("log");
export const rows = byId("rows");
export const upper = byId("top");
const end = byId("end");

/** Whether the reader is at the bottom and stays there. */
let stuck = true;

const messages = () => /** @type {HTMLElement[]} */ ([...rows.querySelectorAll("article")]);
/** @param {Element} element */
const offset = (element) => element.getBoundingClientRect().top - log.getBoundingClientRect().top;
/** @param {HTMLElement} message */
const seqOf = (message) => Number(message.dataset.seq ?? NaN);
const firstInView = () => messages().find((message) => offset(message) + message.offsetHeight > 0);

export const isAtBottom = () => stuck;

/** Scrolls to the newest message and stays there. */
export function toBottom() {
  stuck = true;
  log.scrollTop = log.scrollHeight;
}

/**
 * Changes the list so that what is being read stays where it is, which may be the bottom.
 * @param {() => void} change @param {boolean} [bottom]
 */
export function holding(change, bottom = stuck) {
  const held = bottom ? undefined : firstInView();
  const before = held && offset(held);
  change();
  if (bottom) toBottom();
  else if (held?.isConnected && before !== undefined) log.scrollTop += offset(held) - before;
}

/** Brings an element to a third of the height. @param {Element} element */
export function toThird(element) {
  log.scrollTop += offset(element) - log.clientHeight / 3;
  stuck = nearBottom();
}

/** The highest number whose message is in view to its end, or fills the view. */
export function highestInView() {
  const height = log.clientHeight;
  const seen = messages().reverse().find((message) => {
    const above = offset(message);
    return seqOf(message) <= Infinity && (above + message.offsetHeight <= height + 8 || above <= 0);
  });
  return seen ? seqOf(seen) : -Infinity;
}

/** The place as text, "" at the bottom. */
export function place() {
  const first = !stuck && messages().find((message) => seqOf(message) <= Infinity && offset(message) + message.offsetHeight > 0);
  return first ? `${seqOf(first)} ${offset(first)}` : "";
}

/** Returns to a place. Says whether that could be done: its message, or what is below, may still be missing. @param {string} text */
export function toPlace(text) {
  const [seq, wanted] = text.split(" ").map(Number);
  const message = messages().find((candidate) => seqOf(candidate) >= seq);
  stuck = false;
  if (message) log.scrollTop += offset(message) - wanted;
  return message !== undefined && Math.abs(offset(message) - wanted) < 2;
}

const nearBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight <= 40;

/**
 * @param {() => void} onScroll
 * @param {() => void} onTop the upper end is less than a screen away
 * @param {() => void} onEnd likewise the lower one
 * @returns {() => void} looks again whether an end is near
 */
export function watchScroll(onScroll, onTop, onEnd) {
  log.addEventListener("scroll", () => {
    stuck = nearBottom();
    onScroll();
  });
  new ResizeObserver(() => stuck && toBottom()).observe(log);
  const near = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) if (isIntersecting) (target === upper ? onTop : onEnd)();
    },
    { root: log, rootMargin: "100% 0px" },
  );
  return () => {
    // An observer reports changes only, and one that begins reports what is.
    near.disconnect();
    near.observe(upper);
    near.observe(end);
  };
}
