/** Signing in, and the session of this tab. */

import { byId, session } from "./dom.js";
import { bytes } from "./text.js";

const signInForm = byId("sign-in", HTMLFormElement);
const whoInput = byId("who", HTMLInputElement);
const why = byId("why");

/** Returns an error message if a text is not a user id, else "". @param {string} id */
export function userIdError(id) {
  if (!id) return "Enter a user id.";
  if (bytes(id) > 254) return "This user id is too long: at most 254 bytes.";
  return /[\p{Cc}\p{Cs}]/u.test(id) ? "A user id has no control characters." : "";
}

/** Returns the session of this tab. @returns {Session | undefined} */
export function storedSession() {
  try {
    return JSON.parse(session.get("meetme-session") ?? "") ?? undefined;
  } catch {
    return undefined;
  }
}

/** @param {Session | null} value */
export const storeSession = (value) => session.set("meetme-session", value && JSON.stringify(value));

/**
 * Returns the session of a token. Only the server verifies the token; this reads the user. Its lifetime starts now, so that it
 * does not depend on this machine's clock being right.
 * @param {string} text @param {Config} config @returns {Session}
 */
export function sessionOf(text, { userClaim }) {
  const token = text.trim().replace(/^Bearer /i, "");
  const { exp, iat = Date.now() / 1000, ...claims } = claimsOf(token);
  const user = claims[userClaim] ?? claims.sub ?? claims.email;
  if (typeof user !== "string" || userIdError(user)) throw new Error("This token names no user.");
  return { user, token, until: exp ? Date.now() + (exp - iat) * 1000 : undefined };
}

/** @param {string} token @returns {Record<string, any>} */
function claimsOf(token) {
  try {
    const part = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const json = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
    return Object(JSON.parse(new TextDecoder().decode(json)));
  } catch {
    throw new Error("This is no token. It has three parts with dots between them; paste it whole.");
  }
}

/**
 * Shows the sign-in form.
 * @param {Config} config @param {string} reason shown above the form, or ""
 * @param {(session: Session) => void} then called with the session
 */
export function showSignIn(config, reason, then) {
  const open = config.auth === "open";
  signInForm.hidden = false;
  if (why.textContent !== reason) why.textContent = reason;
  /** @type {Element} */ (signInForm.querySelector("label")).textContent = open ? "Your user id" : "Your token";
  byId("hint").textContent = open
    ? "Nobody checks it here: this chat is for trying out."
    : "Paste the token (JWT) that your sign-in gave you, or open a link with #token=…";
  // Does not take the focus from a user who is writing a message.
  if (document.activeElement === document.body) whoInput.focus();
  signInForm.onsubmit = (event) => {
    event.preventDefault();
    try {
      const who = open ? openSession(whoInput.value) : sessionOf(whoInput.value, config);
      whoInput.value = "";
      signInForm.hidden = true;
      then(who);
    } catch (error) {
      why.textContent = /** @type {Error} */ (error).message;
    }
  };
}

/** @param {string} user @returns {Session} */
function openSession(user) {
  const problem = userIdError(user);
  if (problem) throw new Error(problem);
  return { user };
}
