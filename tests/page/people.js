// People who use the page in a browser, and the server's side of a conversation.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as after } from "node:timers/promises";

import { load } from "./browser.js";

const WAIT_MS = 10_000;

/** Waits until a condition holds, and says what it waited for if that never comes. Returns what the condition gave. */
export async function until(what, condition, timeout = WAIT_MS) {
  const end = Date.now() + timeout;
  let seen;
  do {
    seen = await condition();
    if (seen) return seen;
    await after(25);
  } while (Date.now() < end);
  throw new Error(`after ${timeout} ms there was still not: ${what}`);
}

/** One window of the page, in a context of its own unless one is given. */
export class Person {
  /** Opens the page at an address. `prepare` is called with the page before that. */
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

  /** Signs in where anybody may be anybody. */
  async signIn(user) {
    this.user = user;
    await this.page.getByLabel("Your user id").fill(user);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.getByRole("list", { name: "Conversations" }).waitFor({ state: "attached" });
    return this;
  }

  /** Opens the conversation with somebody, and waits for its history. */
  async open(peer) {
    await this.page.evaluate((address) => (location.hash = address), `#chat=${encodeURIComponent(peer)}`);
    await this.page.getByRole("heading", { name: peer }).waitFor();
    await this.page.getByText(/This is the beginning|No messages yet|Loading…/).first().waitFor({ state: "attached" });
    return this;
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

  /** The messages that hold a text, as a locator. */
  message(text) {
    return this.log.getByRole("article").filter({ hasText: text });
  }

  /** The row of a conversation in the list. */
  row(peer) {
    return this.page.getByRole("link", { name: peer });
  }

  /** Types a message and sends it by Enter. */
  async say(text) {
    await this.input.fill(text);
    await this.input.press("Enter");
  }

  /** Waits for a message. */
  async sees(text) {
    await until(`${this.user} sees ${JSON.stringify(text)}`, async () => (await this.message(text).count()) > 0);
  }

  /** Waits for a state of an own message, as its tick says it. */
  async ticked(text, state) {
    await this.message(text).getByRole("img", { name: state, exact: true }).waitFor();
  }

  /** Where a message stands, in px below the upper edge of the window. */
  async topOf(text) {
    return (await this.message(text).first().boundingBox()).y;
  }

  /** Distance from the bottom of the list, in px. */
  fromBottom() {
    return this.log.evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight);
  }

  /** Scrolls the list to a distance from its upper end. */
  async scrollTo(top) {
    await this.log.evaluate((log, top) => (log.scrollTop = top), top);
  }

  /** Makes the page believe that its window has the focus, or not. */
  async focused(focused) {
    await this.page.evaluate((focused) => {
      document.hasFocus = () => focused;
      dispatchEvent(new Event(focused ? "focus" : "blur"));
    }, focused);
  }

  /** Makes the page believe that its tab is in front, or not. */
  async visible(visible) {
    await this.page.evaluate((visible) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, value: visible ? "visible" : "hidden" });
      Object.defineProperty(document, "hidden", { configurable: true, value: !visible });
      document.hasFocus = () => visible;
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
      dispatchEvent(new Event(visible ? "focus" : "blur"));
    }, visible);
  }

  /** Sentences in the live region. */
  spoken() {
    return this.page.locator("#live p").allTextContents();
  }

  /** No script failed, and nothing broke the content security policy. */
  async check() {
    assert.deepEqual(this.errors, [], `errors in the page of ${this.user}`);
    assert.deepEqual(await this.page.evaluate(() => globalThis.violations), [], "content security policy");
  }
}

/** A user without a page: sends through a socket of its own. */
export class Sender {
  static async open(chat, user) {
    const sender = new Sender();
    const { WebSocket } = load("ws");
    sender.socket = new WebSocket(`${chat.ws}?user_id=${encodeURIComponent(user)}`, ["chat.v1"]);
    sender.waiting = new Map();
    sender.closed = new Promise((resolve) => sender.socket.once("close", resolve));
    sender.socket.on("message", (data) => sender.take(JSON.parse(data)));
    await new Promise((resolve, reject) => sender.socket.once("open", resolve).once("error", reject));
    return sender;
  }

  take(frame) {
    const waiting = this.waiting.get(frame.client_message_id);
    if (frame.type === "ack") waiting?.resolve(frame);
    if (frame.type === "error") waiting?.reject(new Error(frame.message));
  }

  /** Sends a message; the promise is its ack. */
  send(receiver_id, message) {
    const client_message_id = randomUUID();
    const ack = new Promise((resolve, reject) => this.waiting.set(client_message_id, { resolve, reject }));
    this.socket.send(JSON.stringify({ action: "sendMessage", receiver_id, message, client_message_id }));
    return ack;
  }

  /** Sends many, a few at a time; their order is not that of sending. */
  async flood(receiver, texts) {
    const left = [...texts];
    const one = async () => {
      for (let text; (text = left.shift()) !== undefined; ) await this.send(receiver, text);
    };
    await Promise.all(Array.from({ length: 16 }, one));
  }

  close() {
    this.socket.close();
    return this.closed;
  }
}

/** Sends texts from one user to another in this order. */
export async function seed(chat, from, to, texts) {
  const sender = await Sender.open(chat, from);
  for (const text of texts) await sender.send(to, text);
  await sender.close();
}

/** `name 1` to `name n`. The words keep one from being a part of another. */
export const numbered = (name, n) => Array.from({ length: n }, (_, at) => `${name} ${at + 1}.`);
