/** The page: signs in, and connects the chat with the list and the open conversation. */

import { Chat } from "./client/index.js";
import { closeDraft } from "./composer.js";
import { change, closeConversation, openConversation, openId } from "./conversation.js";
import { addressOf, buttonOf, byId, keyOf, local, session } from "./dom.js";
import { enableDownload } from "./download.js";
import { enableGroups } from "./group.js";
import { refreshList, showList } from "./list.js";
import { sessionOf, showSignIn, storedSession, storeSession, userIdError } from "./session.js";
import { showSettings } from "./settings.js";
import { onNewDay } from "./text.js";

const app = byId("app");
const broken = byId("broken");
const menu = byId("menu", HTMLDetailsElement);
/** The banner is hidden for this long after the connection is lost. */
const QUIET_MS = 2_000;
const banner = byId("banner");
const sentence = /** @type {Element} */ (banner.querySelector("[role]"));
const retryIn = byId("retry-in");
const retryNow = buttonOf(banner);

/** @type {Record<string, string>} */
const SENTENCES = {
  connecting: "Connecting…",
  waiting: "Not connected.",
  offline: "You are offline. Messages are sent when you are back.",
  replaced: "Open elsewhere.",
};
const BUTTONS = { waiting: "Now", offline: "Try now", replaced: "Continue here" };

/** Time when the connection was lost; 0 while it is open. */
let since = 0;
let bannerTimer = 0;

/** @type {Config} */
let config;
/** @type {Chat | undefined} */
let chat;
/** @type {() => void} */
let stopChat = () => {};

/** A token that was in the address. @type {string | undefined} */
let tokenFromLink;

async function load() {
  const response = await fetch("page/config.json").catch(() => undefined);
  const settings = response?.ok && (await response.json().catch(() => undefined));
  broken.hidden = Boolean(settings);
  if (!settings) return;
  config = settings;
  begin();
}

/** Signs in by the token of the link, by the session of this tab, or by the form. */
function begin() {
  const problem = useToken();
  const known = storedSession();
  if (known && !problem && Boolean(known.token) === (config.auth === "jwt")) start(known);
  else showSignIn(config, problem, start);
}

/** Removes the token from the address at once, so that it is neither visible nor in the history. */
function takeToken() {
  const token = /^#token=([^&]*)/.exec(location.hash)?.[1];
  if (token === undefined) return;
  tokenFromLink = token;
  clearAddress();
}

const clearAddress = () => history.replaceState(null, "", location.pathname + location.search);

/** Stores the session of the token from the link. Returns an error message if the token is invalid. */
function useToken() {
  if (tokenFromLink === undefined) return "";
  try {
    storeSession(sessionOf(decodeURIComponent(tokenFromLink), config));
    return "";
  } catch (error) {
    return /** @type {Error} */ (error).message;
  } finally {
    tokenFromLink = undefined;
  }
}

/** Opens the chat of a session. @param {Session} who */
function start(who) {
  storeSession(who);
  // The page must not keep anything of another user.
  if (chat && chat.user !== who.user) return location.reload();
  stopChat();
  chat?.close();
  const opened = (chat = new Chat({
    socketUrl: config.socketUrl,
    historyUrl: "",
    user: who.user,
    token: config.auth === "jwt" ? token : undefined,
  }));
  byId("me").textContent = who.user;
  byId("sign-in").hidden = true;
  app.hidden = false;
  const stops = [showBanner(opened), showList(opened), showSettings(opened), opened.onState(onState)];
  stopChat = () => {
    for (const one of stops) one();
    closeConversation();
  };
  enableGroups(opened);
  enableDownload(opened);
  opened.connect();
  route();
}

/** Returns the token of this tab, or asks for a new one when it has expired. @param {{signal: AbortSignal}} call */
async function token({ signal }) {
  const known = storedSession();
  if (known?.token && !(Date.now() >= (known.until ?? Infinity))) return known.token;
  return new Promise((/** @type {(token: string) => void} */ resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
    askAgain("Your sign-in has ended.", (who) => {
      storeSession(who);
      if (who.user !== chat?.user) location.reload();
      resolve(who.token ?? "");
    });
  });
}

/** @param {string} reason @param {(who: Session) => void} then */
function askAgain(reason, then) {
  showSignIn(config, `${reason} Paste a new token to go on; nothing that you typed is lost.`, then);
}

/** @param {Chat["state"]} state */
function onState({ state, error }) {
  byId("memory").hidden = chat?.persistent !== false;
  if (state !== "signed-out") return;
  if (error) askAgain("The server does not accept your sign-in.", start);
  else signOut();
}

/** Removes everything that this browser has stored of the user. Other tabs are notified and do the same. */
function signOut() {
  const user = chat?.user ?? "";
  chat = undefined;
  closeDraft();
  stopChat();
  stopChat = () => {};
  local.wipe(keyOf("draft", user));
  session.wipe(keyOf("place", user));
  storeSession(null);
  menu.open = false;
  app.hidden = true;
  clearAddress();
  showSignIn(config, "", start);
}

/** Shows the conversation in the address. */
function route() {
  takeToken();
  if (tokenFromLink && config) return begin();
  if (!chat) return;
  const conversation = conversationOfAddress(chat);
  app.classList.toggle("open", conversation !== undefined);
  byId("choose").hidden = conversation !== undefined;
  if (!conversation) closeConversation();
  else if (conversation.id !== openId()) openConversation(chat, conversation);
  refreshList();
}

/** @param {Chat} chat */
function conversationOfAddress(chat) {
  try {
    const [, kind, name] = /^#(chat|group)=(.*)/.exec(location.hash) ?? [];
    if (kind === "group") return chat.conversation(`group:${name}`);
    const peer = decodeURIComponent(name ?? "");
    return userIdError(peer) || peer === chat.user ? undefined : chat.with(peer);
  } catch {
    return undefined;
  }
}

/** Shows the state of the connection. @param {Chat} chat @returns {() => void} stops */
function showBanner(chat) {
  const stopListening = chat.onState(() => drawBanner(chat));
  retryNow.onclick = () => chat.connect();
  return () => {
    stopListening();
    clearTimeout(bannerTimer);
    banner.hidden = true;
    since = 0;
  };
}

/** Draws the banner. It is hidden for two seconds, unless only the user can reconnect. @param {Chat} chat */
function drawBanner(chat) {
  clearTimeout(bannerTimer);
  const { state, retryAt, error } = chat.state;
  // No banner while the sign-in form is shown, which has the reason.
  const text = byId("sign-in").hidden && (SENTENCES[state] ?? (state === "closed" && error?.message));
  since = text ? since || Date.now() : 0;
  const quiet = state === "replaced" ? 0 : since + QUIET_MS - Date.now();
  banner.hidden = !text || quiet > 0;
  if (!text) return;
  // Set only if it changes: a screen reader reads the status each time it is set.
  if (!banner.hidden && sentence.textContent !== text) sentence.textContent = text;
  const seconds = Math.max(0, Math.ceil(((retryAt ?? 0) - Date.now()) / 1000));
  retryIn.textContent = seconds ? `Next try in ${seconds} s.` : "";
  retryNow.textContent = BUTTONS[/** @type {"waiting"} */ (state)] ?? "";
  retryNow.hidden = !retryNow.textContent;
  bannerTimer = setTimeout(() => drawBanner(chat), quiet > 0 ? quiet : 1_000);
}

byId("new", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const peer = byId("peer", HTMLInputElement);
  const why = byId("peer-why");
  why.textContent = peer.value === chat?.user ? "This is you. Enter the user id of somebody else." : userIdError(peer.value);
  if (why.textContent) return;
  location.hash = addressOf({ id: "", peer: peer.value });
  peer.value = "";
});

byId("sign-out").addEventListener("click", () => chat?.forget());
buttonOf(broken).addEventListener("click", load);
addEventListener("hashchange", route);
addEventListener("click", ({ target }) => {
  for (const one of [menu, byId("own", HTMLDetailsElement)]) if (!one.contains(/** @type {Node} */ (target))) one.open = false;
});
onNewDay(() => (change(), refreshList()));

// Safari shows its keyboard on top of the page.
visualViewport?.addEventListener("resize", () => {
  const { height, scale } = /** @type {VisualViewport} */ (visualViewport);
  if (scale === 1) document.documentElement.style.setProperty("--height", `${height}px`);
});

takeToken();
load();
