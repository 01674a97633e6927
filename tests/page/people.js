// People who use the page in a browser, and users without a page.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as after } from "node:timers/promises";

import { load } from "./browser.js";

const WAIT_MS = 10_000;

/** Options of a person on a phone. */
export const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

/** Waits until a condition returns a true value, and returns that. The error quotes `what`. */
export async function until(what, condition, timeout = WAIT_MS) {
  const end = Date.now() + timeout;
  let seen;
  do {
    seen = await condition();
    if (seen) return seen;
    await after(25);
  } while (Date.now() < end);
  throw new Error(`waited ${timeout} ms for: ${what}`);
}

/** A person with a window of the page, in a new browser context unless one is given. */
export class Person {
  /** Opens a URL. `prepare` is called with the page before. */
  static async at(browser, url, { context, prepare, ...options } = {}) {
    const person = new Person();
    person.context = context ?? (await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", ...options }));
    person.page = await person.context.newPage();
    person.page.setDefaultTimeout(WAIT_MS);
    person.errors = [];
    person.page.on("pageerror", (error) => person.errors.push(error.stack));
    await person.page.addInitScript(() => {
      globalThis.violations = [];
      addEventListener("securitypolicyviolation", (event) =>
        globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI}`),
      );
    });
    await prepare?.(person.page);
    await person.page.goto(url);
    return person;
  }

  /** Signs in to a chat without tokens. */
  async signIn(user) {
    this.user = user;
    await this.page.getByLabel("Your user id").fill(user);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.getByRole("list", { name: "Conversations" }).waitFor({ state: "attached" });
    return this;
  }

  /** Opens the conversation with a user, and waits for its history. */
  async open(peer) {
    await this.page.evaluate((address) => (location.hash = address), `#chat=${encodeURIComponent(peer)}`);
    await this.page.getByRole("heading", { name: peer }).waitFor();
    await this.page.getByText(/This is the beginning|No messages yet|Loading…/).first().waitFor({ state: "attached" });
    return this;
  }

  /** Opens the dialog with the settings. */
  async settings() {
    await this.page.getByLabel("Menu").click();
    await this.page.getByRole("button", { name: "Settings" }).click();
    const dialog = this.page.getByRole("dialog", { name: "Settings" });
    await dialog.waitFor();
    return dialog;
  }

  get log() {
    return this.page.getByRole("log");
  }
  get input() {
    return this.page.getByRole("textbox", { name: "Message" });
  }
  get divider() {
    return this.log.getByText("New", { exact: true });
  }
  get banner() {
    return this.page.locator("#banner");
  }

  /** Returns a locator of the messages that contain a text. */
  message(text) {
    return this.log.getByRole("article").filter({ hasText: text });
  }

  /** Returns the row of a conversation in the list. */
  row(peer) {
    return this.page.getByRole("link", { name: peer });
  }

  /** Types a message and sends it by Enter. */
  async send(text) {
    await this.input.fill(text);
    await this.input.press("Enter");
  }

  /** Waits for a message. */
  async sees(text) {
    await until(`${this.user} sees ${JSON.stringify(text)}`, async () => (await this.message(text).count()) > 0);
  }

  /** Waits until the icon of an own message shows a state. */
  async showsState(text, state) {
    await this.message(text).getByRole("img", { name: state, exact: true }).waitFor();
  }

  /** Returns the distance of a message from the top of the window, in px. */
  async topOf(text) {
    return (await this.message(text).first().boundingBox()).y;
  }

  /** Returns the distance of the view from the bottom of the list, in px. */
  fromBottom() {
    return this.log.evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight);
  }

  /** Scrolls the list to a distance from its top, in px. */
  async scrollTo(top) {
    await this.log.evaluate((log, top) => (log.scrollTop = top), top);
  }

  /** Makes the page see its window with or without the focus. */
  async focused(focused) {
    await this.page.evaluate((focused) => {
      document.hasFocus = () => focused;
      dispatchEvent(new Event(focused ? "focus" : "blur"));
    }, focused);
  }

  /** Makes the page see its tab as visible or hidden. */
  async visible(visible) {
    await this.page.evaluate((visible) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, value: visible ? "visible" : "hidden" });
      Object.defineProperty(document, "hidden", { configurable: true, value: !visible });
      document.hasFocus = () => visible;
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
      dispatchEvent(new Event(visible ? "focus" : "blur"));
    }, visible);
  }

  /** Returns the texts in the live region, which screen readers read. */
  announcements() {
    return this.page.locator("#live p").allTextContents();
  }

  /** Checks that no script failed and nothing violated the content security policy. */
  async check() {
    assert.deepEqual(this.errors, [], `errors in the page of ${this.user}`);
    assert.deepEqual(await this.page.evaluate(() => globalThis.violations), [], "content security policy");
  }
}

/** A user without a page, who sends on a WebSocket. */
export class Sender {
  static async open(chat, user) {
    const sender = new Sender();
    const { WebSocket } = load("ws");
    sender.socket = new WebSocket(`${chat.ws}?user_id=${encodeURIComponent(user)}`, ["chat.v1"]);
    sender.waiting = new Map();
    sender.closed = new Promise((resolve) => sender.socket.once("close", resolve));
    sender.socket.on("message", (data) => sender.receive(JSON.parse(data)));
    await new Promise((resolve, reject) => sender.socket.once("open", resolve).once("error", reject));
    return sender;
  }

  receive(frame) {
    const waiting = this.waiting.get(frame.client_message_id);
    if (frame.type === "ack") waiting?.resolve(frame);
    if (frame.type !== "error" || !waiting) return;
    // As any client does. On a busy machine, sends into one conversation at the same time may be too many.
    if (frame.retryable) setTimeout(() => this.socket.send(waiting.text), frame.retry_after_ms ?? 100);
    else waiting.reject(new Error(frame.message));
  }

  /** Sends a message. Resolves to its ack. */
  send(receiver_id, message) {
    const client_message_id = randomUUID();
    const text = JSON.stringify({ action: "sendMessage", receiver_id, message, client_message_id });
    const ack = new Promise((resolve, reject) => this.waiting.set(client_message_id, { resolve, reject, text }));
    this.socket.send(text);
    return ack;
  }

  /** Sends many messages, 16 at a time. They are not stored in the order of sending. */
  async flood(receiver, texts) {
    const queue = [...texts];
    const worker = async () => {
      for (let text; (text = queue.shift()) !== undefined; ) await this.send(receiver, text);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  }

  close() {
    this.socket.close();
    return this.closed;
  }
}

/** Sends texts from one user to another, in order. */
export async function seed(chat, from, to, texts) {
  const sender = await Sender.open(chat, from);
  for (const text of texts) await sender.send(to, text);
  await sender.close();
}

/** Returns the texts `name 1.` to `name n.`. The full stop keeps one from being a part of another. */
export const numbered = (name, n) => Array.from({ length: n }, (_, at) => `${name} ${at + 1}.`);
