/** The message input: sending, the size limit, and drafts. */

import { byId, keyOf, local } from "./dom.js";
import { bytes } from "./text.js";

const MAX_MESSAGE_BYTES = 16_384;
const form = byId("composer", HTMLFormElement);
const input = byId("text", HTMLTextAreaElement);
const counter = byId("count");
const touch = matchMedia("(pointer: coarse)");

/** Storage key of the draft of the open conversation; "" while none is open. */
let key = "";
/** The draft as it is stored. */
let saved = "";
/** @type {(text: string) => void} */
let send = () => {};
let typing = () => {};
let timer = 0;

/** Returns the draft of a conversation. @param {string} user @param {string} peer */
export const draftOf = (user, peer) => local.get(keyOf("draft", user, peer)) ?? "";

/**
 * Shows the draft of a conversation, and stores what is typed from now on as its draft.
 * @param {string} user @param {string} peer @param {(text: string) => void} onSend @param {() => void} onTyping
 */
export function openDraft(user, peer, onSend, onTyping) {
  saveDraft();
  key = keyOf("draft", user, peer);
  send = onSend;
  typing = onTyping;
  showDraft(draftOf(user, peer));
  if (!touch.matches) input.focus();
}

/** Empties the input. The stored draft is kept. */
export function closeDraft() {
  clearTimeout(timer);
  key = "";
  showDraft("");
}

/** Puts the cursor into the input. */
export const focusInput = () => input.focus();

/** Stores the draft if it was changed in this tab. Otherwise another tab may have stored a newer one. */
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
  fitInput();
}

/** Fits the height to the text, and shows the counter in the last tenth. Returns whether the text may be sent. */
function fitInput() {
  input.style.height = "0";
  input.style.height = `${input.scrollHeight + 2}px`;
  const left = MAX_MESSAGE_BYTES - bytes(input.value);
  const over = left < 0;
  input.ariaInvalid = String(over);
  // A screen reader reads only that the text is too long, not every count.
  counter.ariaLive = over ? "polite" : "off";
  counter.textContent =
    left > MAX_MESSAGE_BYTES / 10 ? "" : over ? `${-left} bytes too long. Shorten the message to send it.` : `${left} bytes left`;
  return !over;
}

function submit() {
  const text = input.value.trim();
  if (!key || !text || !fitInput()) return;
  send(text);
  // After sending, so that the text is kept if that throws.
  input.value = "";
  fitInput();
  saveDraft();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  input.focus();
});

input.addEventListener("input", () => {
  fitInput();
  if (input.value) typing();
  clearTimeout(timer);
  timer = setTimeout(saveDraft, 500);
});

input.addEventListener("keydown", (event) => {
  // While an input method composes, Enter chooses a word. Safari shows that only by the key code.
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
