/** Text of messages, with links and emoji but never as markup; and labels of times. */

import { el } from "./dom.js";

// Without quotes, angle brackets and bidirectional control characters.
const URL_PATTERN = /\bhttps?:\/\/[^\s<>"\u200e\u200f\u202a-\u202e\u2066-\u2069]+/giu;
const EMOJI = /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|[\d#*]\ufe0f?\u20e3)/u;

/** Returns a URL without the punctuation of the sentence around it. A closing bracket belongs to a URL that has the opening one. @param {string} url */
function withoutPunctuation(url) {
  for (;;) {
    const last = url.at(-1) ?? "";
    const open = { ")": "(", "]": "[" }[last];
    const unopened = open && url.split(last).length > url.split(open).length;
    if (!unopened && !/[.,:;!?'*_~]/.test(last)) return url;
    url = url.slice(0, -1);
  }
}

/** @param {string} text @returns {Node | string} */
function link(text) {
  if (!URL.canParse(text)) return text;
  const { protocol, href } = new URL(text);
  if (!/^https?:$/.test(protocol)) return text;
  return el("a", { href, title: href, target: "_blank", rel: "noopener noreferrer nofollow", tabIndex: -1 }, text);
}

/** Returns a text as nodes, with links. @param {string} text */
export function linked(text) {
  /** @type {(Node | string)[]} */
  const nodes = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(URL_PATTERN)) {
    const url = withoutPunctuation(match);
    nodes.push(text.slice(end, index), link(url));
    end = index + url.length;
  }
  return [...nodes, text.slice(end)];
}

/** Returns whether a text is one to three emoji and nothing else. @param {string} text */
export function onlyEmoji(text) {
  if (!Intl.Segmenter || text.length > 100) return false;
  const parts = [...new Intl.Segmenter().segment(text.replace(/\s/g, ""))];
  return parts.length > 0 && parts.length < 4 && parts.every(({ segment }) => EMOJI.test(segment));
}

const textEncoder = new TextEncoder();

/** Returns the length in bytes of UTF-8. @param {string} text */
export const bytes = (text) => textEncoder.encode(text).length;

// Labels of the server's timestamps, in the user's time zone and language.

/** @param {Intl.DateTimeFormatOptions} options */
const format = (options) => {
  const formatter = new Intl.DateTimeFormat(undefined, options);
  /** @param {Date} date */
  return (date) => (isNaN(+date) ? "" : formatter.format(date));
};
const hours = format({ timeStyle: "short" });
const short = format({ day: "numeric", month: "short" });
const thisYear = format({ weekday: "long", day: "numeric", month: "long" });
const otherYear = format({ day: "numeric", month: "long", year: "numeric" });

/** Returns a time in milliseconds, `NaN` if it is invalid. @param {Time} time */
export const millis = (time) => +new Date(time ?? NaN);

/** Returns the hour and minute. @param {Time} time */
export const clock = (time) => hours(new Date(millis(time)));

/** Returns a text that is the same for all times of one local day. @param {Time} time */
export const dayOf = (time) => new Date(millis(time)).toDateString();

/** @param {number} days */
function dayFromNow(days) {
  const now = new Date();
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days);
}

/** Returns "Today", "Yesterday", or the date. @param {Time} time */
export function dayLabel(time) {
  const date = new Date(millis(time));
  if (dayOf(time) === dayFromNow(0).toDateString()) return "Today";
  if (dayOf(time) === dayFromNow(-1).toDateString()) return "Yesterday";
  return date.getFullYear() === new Date().getFullYear() ? thisYear(date) : otherYear(date);
}

/** Returns the label in the list: the time if it is today, else the day. @param {Time} time */
export function shortTime(time) {
  return dayLabel(time) === "Today" ? clock(time) : short(new Date(millis(time)));
}

const ago = new Intl.RelativeTimeFormat("en");

/** Returns "online", "last seen 5 minutes ago" in the steps that the server tells, or "" if nothing is known. @param {Presence} [presence] */
export function presenceText({ online, lastSeen } = { online: false }) {
  if (online) return "online";
  const minutes = Math.floor((Date.now() - millis(lastSeen)) / 60_000);
  // The clock of this machine is wrong.
  if (!(minutes >= 0)) return lastSeen ? `last seen ${dayLabel(lastSeen)}` : "";
  if (minutes < 1) return "last seen just now";
  const [count, unit] = minutes < 60 ? [minutes, "minute"] : minutes < 1_440 ? [minutes / 60, "hour"] : [minutes / 1_440, "day"];
  return `last seen ${ago.format(-Math.floor(count), /** @type {"day"} */ (unit))}`;
}

/** Calls a function at each midnight, and when the page is shown again on another day. @param {() => void} call */
export function onNewDay(call) {
  let day = dayFromNow(0).toDateString();
  const check = () => {
    if (day === (day = dayFromNow(0).toDateString())) return;
    call();
  };
  const wait = () => {
    setTimeout(() => (check(), wait()), +dayFromNow(1) - Date.now());
  };
  wait();
  addEventListener("visibilitychange", check);
}
