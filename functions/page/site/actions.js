/** The actions of an own message: the menu with Edit and Delete, and the question before a message is deleted. */

import { editText } from "./composer.js";
import { byId, el, rove } from "./dom.js";

const actions = byId("actions");
const confirmDialog = byId("confirm", HTMLDialogElement);
/** Height of the menu and its distance from the message, in px. */
const MENU_HEIGHT = 110;

/** @type {Conversation | undefined} */
let changed;
/** The message of the menu or the question, and its element. @type {{entry: Entry, element: HTMLElement} | undefined} */
let subject;

const settleActions = rove(actions, "button", ([first]) => first);

/** Makes the messages of a conversation changeable, and those of the one before not. @param {Conversation} [conversation] */
export function openActions(conversation) {
  changed = conversation;
  closeActions();
  confirmDialog.close();
}

/** Returns whether the user may change a message. @param {Entry} entry */
export const isChangeable = ({ own, deleted, state }) => own && !deleted && state !== "failed" && Boolean(changed?.canChange);

/** Returns the button that opens the menu of a message. @param {Entry} entry @param {HTMLElement} element of the message */
export function actionsButton(entry, element) {
  const button = el("button", { className: "more", ariaLabel: "Actions", ariaHasPopup: "menu" }, "⋯");
  button.addEventListener("click", () => openMenu(entry, element));
  return button;
}

/** @param {Entry} entry @param {HTMLElement} element */
export function openMenu(entry, element) {
  subject = { entry, element };
  const { top, bottom, right } = element.getBoundingClientRect();
  const y = bottom + MENU_HEIGHT < innerHeight ? bottom : top - MENU_HEIGHT;
  // A message may be higher than the window.
  actions.style.top = `${Math.max(8, y)}px`;
  actions.style.right = `${Math.max(8, innerWidth - right)}px`;
  actions.hidden = false;
  settleActions();
  actions.querySelector("button")?.focus();
}

/** @param {boolean} [back] whether the focus returns to the message */
export function closeActions(back = false) {
  if (actions.hidden) return;
  actions.hidden = true;
  if (back) subject?.element.focus();
}

/** Lets the user edit a message in the input. @param {Entry} entry */
export function startEdit(entry) {
  const conversation = changed;
  // A change that is refused is shown with the message.
  editText(entry.key, entry.text, (text) => conversation?.edit(entry, text));
}

actions.addEventListener("click", ({ target }) => {
  if (!(target instanceof HTMLButtonElement) || !subject) return;
  closeActions();
  if (target.name === "edit") startEdit(subject.entry);
  else confirmDialog.showModal();
});
actions.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" && event.key !== "Tab") return;
  event.preventDefault();
  // Elsewhere in the conversation, Escape goes to the input.
  event.stopPropagation();
  closeActions(true);
});
// The focus has gone elsewhere, as by a click.
actions.addEventListener("focusout", ({ relatedTarget }) => actions.contains(/** @type {Node | null} */ (relatedTarget)) || closeActions());
byId("log").addEventListener("scroll", () => closeActions(actions.contains(document.activeElement)));

confirmDialog.addEventListener("close", () => {
  if (confirmDialog.returnValue === "delete" && subject) changed?.remove(subject.entry);
  confirmDialog.returnValue = "";
  subject?.element.focus();
});
