/** The input: what sends, how long it may be, and the drafts. */

import { byId, keyOf, local } from "./dom.js";
import { bytes } from "./text.js";

const LIMIT = 16_384;
const form = byId("composer", HTMLFormElement);
const input = byId("text", HTMLTextAreaElement);
const count = byId("count");
const touch = matchMedia("(pointer: coarse)");

/** Where the draft of the open conversation is kept; "" while none is open. */
let key = "";
/** The draft as it was read or written last. */
let saved = "";
/** @type {(text: string) => void} */
let send = () => {};
let timer = 0;

/** The draft of a conversation. @param {string} user @param {string} peer */
export const draftOf = (user, peer) => local.get(keyOf("draft", user, peer)) ?? "";

/**
 * Shows the draft of a conversation; what is typed from now on belongs to it.
 * @param {string} user @param {string} peer @param {(text: string) => void} onSend
 */
export function openDraft(user, peer, onSend) {
  saveDraft();
  key = keyOf("draft", user, peer);
  send = onSend;
  showDraft(draftOf(user, peer));
  if (!touch.matches) input.focus();
}

/** Leaves the input empty, and the drafts as they are. */
export function closeDraft() {
  clearTimeout(timer);
  key = "";
  showDraft("");
}

/** Puts the cursor into the input. */
export const focusInput = () => input.focus();

/** Writes what was typed. What was not touched here gives way to what another tab wrote. */
export function saveDraft() {
  clearTimeout(timer);
  if (!key || input.value === saved) return;
  saved = input.value;
  local.set(key, saved);
  dispatchEvent(new Event("draft"));
}

/** @param {string} text */
function showDraft(text) {
  input.value = saved = text;
  measure();
}

/** The height follows the text; the counter appears in the last tenth. */
function measure() {
  input.style.height = "0";
  input.style.height = `${input.scrollHeight + 2}px`;
  const left = LIMIT - bytes(input.value);
  const over = left < 0;
  input.ariaInvalid = String(over);
  // To be told every byte is too much; to be told that it cannot be sent is not.
  count.ariaLive = over ? "polite" : "off";
  count.textContent =
    left > LIMIT / 10 ? "" : over ? `${-left} bytes too long. Shorten the message to send it.` : `${left} bytes left`;
  return !over;
}

function submit() {
  const text = input.value.trim();
  if (!key || !text || !measure()) return;
  send(text);
  // Only now: if sending throws, the text is still here.
  input.value = "";
  measure();
  saveDraft();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  input.focus();
});

input.addEventListener("input", () => {
  measure();
  clearTimeout(timer);
  timer = setTimeout(saveDraft, 500);
});

input.addEventListener("keydown", (event) => {
  // While an input method composes, Enter chooses a word. Safari says so by the key code alone.
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
  if (event.shiftKey || touch.matches) return;
  event.preventDefault();
  submit();
});

addEventListener("pagehide", saveDraft);
addEventListener("visibilitychange", saveDraft);
addEventListener("storage", (event) => {
  dispatchEvent(new Event("draft"));
  if (event.key === key && input.value === saved) showDraft(event.newValue ?? "");
});
