/** The question before something that cannot be undone. */

import { byId } from "./dom.js";

const questionDialog = byId("confirm", HTMLDialogElement);
/** @type {() => void} */
let agreed = () => {};
/** @type {() => void} */
let ended = () => {};

/**
 * Asks a question.
 * @param {{title: string, text: string, action: string}} question `action`: the label of the button that agrees
 * @param {() => void} then called if the user agrees
 * @param {() => void} end called in any case, after that
 */
export function ask({ title, text, action }, then, end) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = action;
  [agreed, ended] = [then, end];
  questionDialog.returnValue = "";
  questionDialog.showModal();
}

/** Takes the question back. */
export function closeQuestion() {
  agreed = ended = () => {};
  questionDialog.close();
}

questionDialog.addEventListener("close", () => {
  if (questionDialog.returnValue === "yes") agreed();
  ended();
});
