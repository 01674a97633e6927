/** The menu of the open conversation: what the user has set for it. */

import { ask } from "./confirm.js";
import { byId } from "./dom.js";

const ownMenu = byId("own", HTMLDetailsElement);
const ownSummary = /** @type {HTMLElement} */ (ownMenu.querySelector("summary"));
const muteButton = byId("mute", HTMLButtonElement);
const blockButton = byId("block", HTMLButtonElement);
const ownProblem = byId("own-why");

/** @type {Conversation | undefined} */
let ofOwn;
/** Whether a change is on its way. */
let ownChanging = false;

/** Makes the menu that of a conversation. @param {Conversation} [opened] */
export function openOwn(opened) {
  ofOwn = opened;
  ownMenu.open = false;
  ownProblem.textContent = "";
}

/** Shows what the user has set. The menu is hidden if the server cannot change that. @param {Snapshot} snapshot @param {string} user @param {boolean} supported */
export function drawOwn({ muted, blocked, isGroup, isMember, peer }, user, supported) {
  ownMenu.hidden = !supported || !isMember;
  muteButton.textContent = muted ? "Unmute" : "Mute";
  blockButton.textContent = blocked ? "Unblock" : "Block";
  blockButton.hidden = isGroup || peer === user;
}

/** @param {Promise<void>} change */
async function actOwn(change) {
  ownChanging = true;
  ownProblem.textContent = "";
  const opened = ofOwn;
  const failed = await change.then(() => "", ({ message }) => `Not done. ${message}`);
  ownChanging = false;
  if (ofOwn !== opened) return;
  ownProblem.textContent = failed;
  ownMenu.open = failed !== "";
  ownSummary.focus();
}

muteButton.addEventListener("click", () => {
  if (!ofOwn || ownChanging) return;
  actOwn(ofOwn.snapshot.muted ? ofOwn.unmute() : ofOwn.mute());
});

blockButton.addEventListener("click", () => {
  const opened = ofOwn;
  if (!opened || ownChanging) return;
  if (opened.snapshot.blocked) return void actOwn(opened.unblock());
  const question = {
    title: `Block ${opened.peer}?`,
    text: "You get nothing of what they write from now on, on any device, also after you unblock them. They are not told, and you do not see when the other is here. Groups stay as they are.",
    action: "Block",
  };
  ownMenu.open = false;
  ask(question, () => actOwn(opened.block()), () => ownSummary.focus());
});

ownMenu.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  ownMenu.open = false;
  ownSummary.focus();
});
