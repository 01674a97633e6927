/** The message input: sending, editing, the size limit, and drafts. */

import { buttonOf, byId, keyOf, local } from "./dom.js";
import { bytes } from "./text.js";

const MAX_MESSAGE_BYTES = 16_384;
const form = byId("composer", HTMLFormElement);
const input = byId("text", HTMLTextAreaElement);
const counter = byId("count");
const touch = matchMedia("(pointer: coarse)");
const editingBar = byId("editing");
const sendButton = /** @type {HTMLButtonElement} */ (form.querySelector("button:not([type])"));

/** Storage key of the draft of the open conversation; "" while none is open. */
let key = "";
/** The draft as it is stored. */
let saved = "";
/** The functions of the open conversation. @type {Writing} */
let writing = { send() {}, typing() {}, editLast() {} };
/** The message that is being edited; the draft waits. @type {{key: string, text: string, done: (text: string) => unknown} | undefined} */
let editing;
let timer = 0;

/** Returns the draft of a conversation. @param {string} user @param {{id: string, peer: string}} conversation */
export const draftOf = (user, conversation) => local.get(keyOf("draft", user, conversation)) ?? "";

/**
 * Shows the draft of a conversation, and stores what is typed from now on as its draft.
 * @param {string} user @param {{id: string, peer: string}} conversation @param {Writing} functions
 */
export function openDraft(user, conversation, functions) {
  saveDraft();
  key = keyOf("draft", user, conversation);
  writing = functions;
  showDraft(draftOf(user, conversation));
  if (!touch.matches) input.focus();
}

/** Empties the input. The stored draft is kept. */
export function closeDraft() {
  clearTimeout(timer);
  endEdit();
  key = "";
  showDraft("");
}

/**
 * Shows the text of a message, to be edited. The draft is shown again afterwards.
 * @param {string} message its key @param {string} text @param {(text: string) => unknown} done called with the new text
 */
export function editText(message, text, done) {
  saveDraft();
  editing = { key: message, text, done };
  showEditing(text);
  showDraft(text);
  input.focus();
  input.setSelectionRange(text.length, text.length);
}

/** Ends editing if the message is deleted. @param {readonly Entry[]} entries */
export function checkEdited(entries) {
  if (editing && entries.some(({ key, deleted }) => deleted && key === editing?.key)) endEdit();
}

/** Ends editing, and shows the draft again. */
function endEdit() {
  if (!editing) return;
  editing = undefined;
  showEditing("");
  showDraft(local.get(key) ?? "");
}

/** @param {string} text of the message that is edited, "": none is */
function showEditing(text) {
  editingBar.hidden = !text;
  /** @type {HTMLElement} */ (editingBar.querySelector("q")).textContent = text.slice(0, 200);
  sendButton.textContent = text ? "Save" : "Send";
}

/** Hides the input in a group that the user has left. @param {boolean} allowed */
export function allowWriting(allowed) {
  form.hidden = !allowed;
}

/** Puts the cursor into the input. */
export const focusInput = () => input.focus();

/** Stores the draft if it was changed in this tab. Otherwise another tab may have stored a newer one. */
export function saveDraft() {
  clearTimeout(timer);
  if (!key || editing || input.value === saved) return;
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
  if (editing) {
    const { done, text: before } = editing;
    endEdit();
    if (text !== before) done(text);
    return;
  }
  writing.send(text);
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
  if (input.value && !editing) writing.typing();
  clearTimeout(timer);
  timer = setTimeout(saveDraft, 500);
});

input.addEventListener("keydown", (event) => {
  // While an input method composes, Enter chooses a word. Safari shows that only by the key code.
  if (event.isComposing || event.keyCode === 229) return;
  if (event.key === "Escape") endEdit();
  if (event.key === "ArrowUp" && !input.value && !editing) {
    event.preventDefault();
    writing.editLast();
  }
  if (event.key !== "Enter") return;
  if (event.shiftKey || touch.matches) return;
  event.preventDefault();
  submit();
});

buttonOf(editingBar).addEventListener("click", () => {
  endEdit();
  input.focus();
});

addEventListener("pagehide", saveDraft);
addEventListener("visibilitychange", saveDraft);
addEventListener("storage", (event) => {
  dispatchEvent(new Event("draft"));
  if (event.key === key && !editing && input.value === saved) showDraft(event.newValue ?? "");
});
