/** "Download my messages": a file with all messages that the user can read, one JSON object a line. */

import { byId, el } from "./dom.js";

const savingDialog = byId("saving", HTMLDialogElement);
const savedLine = byId("saved");
const goOn = byId("go-on", HTMLButtonElement);
/** Lines that are kept as texts, before they become part of the file. */
const FILE_PART = 1_000;

/** @type {Chat | undefined} */
let chatOfFile;
/** The file so far. @type {Blob[]} */
let fileParts = [];
let savedCount = 0;
/** Where to go on after a failure. @type {string | undefined} */
let savedCursor;
/** The run that writes. Another one, or the end of the dialog, stops it. @type {object | undefined} */
let savingRun;

/** Lets the user download what is in a chat. @param {Chat} opened */
export function enableDownload(opened) {
  chatOfFile = opened;
  savingDialog.close();
}

/** Returns a line of the file. @param {Saved} message */
function lineOf({ conversation: { id, peer, title }, seq, sender, timestamp, text, edited, deleted, event }) {
  return `${JSON.stringify({ conversation_id: id, with: peer || title, seq, sender_id: sender, timestamp, message: text, edited, deleted, event })}\n`;
}

/** Reads what is left, and offers the file. */
async function saveAll() {
  const own = (savingRun = {});
  goOn.hidden = true;
  /** @type {string[]} */
  const lines = [];
  const keep = () => fileParts.push(new Blob(lines.splice(0)));
  drawSaved();
  try {
    for await (const message of chatOfFile?.all({ cursor: savedCursor }) ?? []) {
      if (savingRun !== own) return;
      savedCursor = message.cursor;
      savedCount++;
      if (lines.push(lineOf(message)) === FILE_PART) (keep(), drawSaved());
    }
    if (savingRun !== own) return;
    keep();
    offerFile();
  } catch (error) {
    if (savingRun !== own) return;
    keep();
    savedLine.textContent = `${savedText()} so far. The others cannot be read now. ${/** @type {Error} */ (error).message}`;
    goOn.hidden = false;
  }
}

const savedText = () => (savedCount === 1 ? "1 message" : `${savedCount.toLocaleString("en")} messages`);

function drawSaved() {
  savedLine.textContent = `Reading… ${savedText()}`;
}

function offerFile() {
  const href = URL.createObjectURL(new Blob(fileParts, { type: "application/x-ndjson" }));
  el("a", { href, download: "messages.ndjson" }).click();
  // The browser may begin to read it later.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
  savingDialog.close();
}

byId("download").addEventListener("click", () => {
  byId("menu", HTMLDetailsElement).open = false;
  [fileParts, savedCount, savedCursor] = [[], 0, undefined];
  savingDialog.showModal();
  saveAll();
});
goOn.addEventListener("click", saveAll);
savingDialog.addEventListener("close", () => {
  savingRun = undefined;
  fileParts = [];
});
