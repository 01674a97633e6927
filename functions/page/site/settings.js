/** The dialog with the user's settings. */

import { byId } from "./dom.js";

const dialog = byId("settings", HTMLDialogElement);
const openButton = byId("open-settings");
const summary = /** @type {HTMLElement} */ (openButton.closest("details")?.querySelector("summary"));
const problem = byId("settings-why");
const switches = /** @type {NodeListOf<HTMLInputElement>} */ (dialog.querySelectorAll("input"));

/** @type {Chat | undefined} */
let chatOfSettings;
/** Resolves when the changes so far are saved. They are sent one after another, so that the last one counts. */
let saving = Promise.resolve();

/** Shows the settings of a chat. The button that opens them is hidden if the server has none. @param {Chat} opened @returns {() => void} stops */
export function showSettings(opened) {
  chatOfSettings = opened;
  const stop = opened.onSettings(drawSettings);
  return () => {
    stop();
    drawSettings();
  };
}

/** @param {Settings} [settings] */
function drawSettings(settings) {
  openButton.hidden = !settings;
  if (!settings) dialog.close();
  for (const one of switches) one.checked = Boolean(settings?.[/** @type {keyof Settings} */ (one.name)]);
}

/** Saves a switch that the user has changed; puts it back if that fails. @param {HTMLInputElement} input */
async function save({ name, checked }) {
  problem.textContent = "";
  await chatOfSettings?.setSettings({ [name]: checked }).catch((error) => {
    problem.textContent = `Not saved. ${error.message}`;
    drawSettings(chatOfSettings?.settings);
  });
}

openButton.addEventListener("click", () => {
  summary.click();
  problem.textContent = "";
  dialog.showModal();
});
// The button that had the focus is hidden with the menu.
dialog.addEventListener("close", () => summary.focus());
for (const one of switches) one.addEventListener("change", () => (saving = saving.then(() => save(one))));
