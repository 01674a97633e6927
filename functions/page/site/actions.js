/** The actions of a message: the menu with Edit and Delete, and the question before a message is deleted. */

import { editText } from "./composer.js";
import { ask, closeQuestion } from "./confirm.js";
import { byId, el, rove } from "./dom.js";

const actions = byId("actions");
const editButton = /** @type {HTMLElement} */ (actions.querySelector('[name="edit"]'));
const deleteButton = /** @type {HTMLElement} */ (actions.querySelector('[name="delete"]'));
/** Height of the menu and its distance from the message, in px. */
const MENU_HEIGHT = 110;

/** @type {Conversation | undefined} */
let changed;
/** The message of the menu or the question, and its element. @type {{entry: Entry, element: HTMLElement} | undefined} */
let subject;

/** Keys of messages that the server calls too old to be edited, or deleted. */
const tooLate = { edit: new Set(), delete: new Set() };

const settleActions = rove(actions, "button:not([hidden])", ([first]) => first);

/** Makes the messages of a conversation changeable, and those of the one before not. @param {Conversation} [conversation] */
export function openActions(conversation) {
  changed = conversation;
  closeActions();
  closeQuestion();
}

/** Returns whether the user may edit or delete a message, as far as is known. @param {Entry} entry */
export function permitted({ key, own, deleted, state, event, change }) {
  if (change?.error?.code === "too_late") tooLate[change.kind].add(key);
  const possible = !event && !deleted && state !== "failed" && Boolean(changed?.canChange) && changed?.snapshot.isMember;
  return {
    edit: possible && own && !tooLate.edit.has(key),
    delete: possible && (own || changed?.snapshot.role === "owner") && !tooLate.delete.has(key),
  };
}

/** Returns whether the user may do anything with a message. @param {Entry} entry */
export function isChangeable(entry) {
  const may = permitted(entry);
  return Boolean(may.edit || may.delete);
}

/** Returns the button that opens the menu of a message. @param {Entry} entry @param {HTMLElement} element of the message */
export function actionsButton(entry, element) {
  const button = el("button", { className: "more", ariaLabel: "Actions", ariaHasPopup: "menu" }, "⋯");
  button.addEventListener("click", () => openMenu(entry, element));
  return button;
}

/** @param {Entry} entry @param {HTMLElement} element */
export function openMenu(entry, element) {
  subject = { entry, element };
  const may = permitted(entry);
  editButton.hidden = !may.edit;
  deleteButton.hidden = !may.delete;
  const { top, bottom, right } = element.getBoundingClientRect();
  const y = bottom + MENU_HEIGHT < innerHeight ? bottom : top - MENU_HEIGHT;
  // A message may be higher than the window.
  actions.style.top = `${Math.max(8, y)}px`;
  actions.style.right = `${Math.max(8, innerWidth - right)}px`;
  actions.hidden = false;
  settleActions();
  (may.edit ? editButton : deleteButton).focus();
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
  else confirmDelete(subject);
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

/** @param {{entry: Entry, element: HTMLElement}} of */
function confirmDelete({ entry, element }) {
  const question = { title: "Delete this message?", text: "It is removed for everybody in this conversation.", action: "Delete" };
  ask(question, () => changed?.remove(entry), () => element.focus());
}
