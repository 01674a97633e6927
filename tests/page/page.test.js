// The page in a browser against the whole chat: what it must do to feel right, one test for each behavior.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";

import { startChat } from "../client/stack.js";
import { launch, load } from "./browser.js";
import { numbered, Person, seed, Sender, until } from "./people.js";
import { picture, sideBySide } from "./pictures.js";

const SOCKETS_PER_USER = 3;
const MARKUP = [
  "<script>document.title='owned'</script>",
  "<img src=x onerror=\"document.title='owned'\">",
  "<svg/onload=document.title='owned'>",
  "\"><iframe srcdoc='<script>parent.document.title=1</script>'>",
  "javascript:document.title='owned'",
  "[x](javascript:alert(1)) https://example.com/\"onmouseover=\"alert(1)",
  "{{constructor.constructor('document.title=1')()}} ${document.title=1}",
  "&lt;b&gt; &amp; \u0000 \u202Etxt.exe",
];

let browser, chat;
/** The people of the running test. */
let people = [];
let users = 0;

before(async () => {
  [browser, chat] = await Promise.all([
    launch(),
    startChat({ flags: ["--parameter", `SocketsPerUser=${SOCKETS_PER_USER}`] }),
  ]);
});
after(() => Promise.allSettled([browser?.close(), chat?.stop()]));
afterEach(async () => {
  const leaving = people;
  people = [];
  try {
    for (const person of leaving) await person.check();
  } finally {
    await Promise.all(leaving.map(({ context }) => context.close()));
  }
});

/** A user id that no other test has. */
const fresh = (name) => `${name}.${++users}@example.com`;

/** Somebody who is signed in, in a window. */
async function person(user, options) {
  const one = await Person.at(browser, chat.http, options);
  people.push(one);
  return one.signIn(user);
}

/** Two people who have their conversation open. */
async function pair(options) {
  const ann = await person(fresh("ann"), options);
  const ben = await person(fresh("ben"));
  await Promise.all([ann.open(ben.user), ben.open(ann.user)]);
  return { ann, ben };
}

/** A second tab of the same person. */
async function tab(one) {
  const other = await Person.at(browser, chat.http, { context: one.context });
  people.push(other);
  return other.signIn(one.user);
}

/** Lets a test refuse sockets of a page and answer its frames. */
function wire() {
  const control = { refuse: false, answer: () => undefined, sockets: [] };
  control.prepare = (page) =>
    page.routeWebSocket(/user_id=/, (socket) => {
      if (control.refuse) return socket.close({ code: 1011 });
      const server = socket.connectToServer();
      control.sockets.push(socket);
      socket.onMessage((data) => {
        const answer = control.answer(JSON.parse(data));
        if (answer) socket.send(JSON.stringify(answer));
        else if (answer !== null) server.send(data);
      });
    });
  return control;
}

/** Answers for the history with a conversation of `n` messages that nobody has sent. */
function madeUp(from, to, n) {
  const message = (seq) => ({
    ...{ seq, sender_id: from, receiver_id: to, message: `Line ${seq}.`, message_id: `${seq}` },
    timestamp: new Date(Date.now() - (n - seq) * 1_000).toISOString(),
  });
  return (route) => {
    const query = new URL(route.request().url()).searchParams;
    const limit = Number(query.get("limit") ?? 1_000);
    const [before, after] = [Number(query.get("before") ?? n + 1), query.get("after")];
    const first = after === null ? Math.max(1, before - limit) : Number(after) + 1;
    const count = Math.min(limit, (after === null ? before : n + 1) - first);
    const link = after === null && first > 1 ? { link: `<?before=${first}>; rel="prev"` } : {};
    return route.fulfill({ headers: link, json: Array.from({ length: count }, (_, at) => message(first + at)) });
  };
}

describe("messages", () => {
  it("two people chat, and ticks tell what became of a message", async () => {
    const { ann, ben } = await pair();
    await ann.say("At 3PM?");
    await ben.sees("At 3PM?");
    await ann.ticked("At 3PM?", "Delivered");
    await ben.say("Fine.");
    await ann.sees("Fine.");
    assert.equal(await ben.message("At 3PM?").getByRole("img").count(), 0, "ticks are for own messages");
    await ann.open(fresh("absent"));
    await ann.say("Anybody?");
    await ann.ticked("Anybody?", "Sent");
  });

  it("a message on its way shows a clock", async () => {
    const control = wire();
    const ann = await person(fresh("ann"), { prepare: control.prepare });
    await ann.open(fresh("ben"));
    control.answer = ({ action }) => (action === "sendMessage" ? null : undefined);
    await ann.say("Slow");
    await ann.ticked("Slow", "Sending");
    await ann.say("Slower");
    await ann.ticked("Slower", "Waiting");
  });

  it("a refused message stays, with the reason, and can be tried again or discarded", async () => {
    const control = wire();
    const ann = await person(fresh("ann"), { prepare: control.prepare });
    await ann.open(fresh("ben"));
    control.answer = ({ message, client_message_id }) =>
      message && { type: "error", code: "message_too_long", message: "The text is too long.", client_message_id, retryable: false };
    await ann.say("Refused");
    await ann.message("Refused").getByText("The text is too long.").waitFor();
    await until("the failure is said aloud", async () => (await ann.spoken()).some((text) => text.includes("not sent")));
    await picture(ann.page, "failed");
    await ann.message("Refused").getByRole("button", { name: "Try again" }).click();
    await ann.message("Refused").getByText("The text is too long.").waitFor();
    control.answer = () => undefined;
    await ann.message("Refused").getByRole("button", { name: "Try again" }).click();
    await ann.ticked("Refused", "Sent");
    control.answer = ({ message, client_message_id }) =>
      message && { type: "error", code: "message_too_long", message: "No.", client_message_id, retryable: false };
    await ann.say("Never mind");
    await ann.message("Never mind").getByRole("button", { name: "Discard" }).click();
    await until("it is gone", async () => (await ann.message("Never mind").count()) === 0);
  });

  it("a day begins with its date, and messages of one sender within five minutes are joined", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, peer, user, numbered("Line", 4));
    // The times of the real history are moved: two days ago, then one, one minute and ten minutes later.
    const minutes = [-2 * 1440, -1440, -1439, -1429];
    const ann = await person(user, {
      prepare: (page) =>
        page.route(/\/chat\/history/, async (route) => {
          const response = await route.fetch();
          const messages = await response.json();
          const noon = new Date().setUTCHours(10, 0, 0, 0);
          const moved = messages.map((message, at) => ({ ...message, timestamp: new Date(noon + minutes[at] * 60_000).toISOString() }));
          await route.fulfill({ response, json: moved });
        }),
    });
    await ann.open(peer);
    await ann.sees("Line 4.");
    const days = await ann.log.getByRole("heading").allTextContents();
    assert.equal(days.length, 2);
    assert.match(days[0], /day/);
    assert.equal(days[1], "Yesterday");
    assert.match(await ann.log.getByRole("heading").first().locator("time").getAttribute("datetime"), /^\d{4}-\d\d-\d\dT/);
    const gap = async (n) => (await ann.topOf(`Line ${n}.`)) - (await ann.topOf(`Line ${n - 1}.`));
    assert.ok((await gap(3)) < (await gap(4)) - 3, "the third stands closer to the second than the fourth to the third");
  });

  it("Today becomes Yesterday at midnight", async () => {
    const evening = new Date().setUTCHours(23, 59, 56, 0);
    const ann = await person(fresh("ann"), { timezoneId: "UTC", prepare: (page) => page.clock.install({ time: evening }) });
    await ann.open(fresh("ben"));
    await ann.say("Good night");
    await ann.ticked("Good night", "Sent");
    await ann.log.getByRole("heading", { name: "Today" }).waitFor();
    // The clock goes on by itself: a jump would wake the library, and any change draws the day anew.
    await ann.log.getByRole("heading", { name: "Yesterday" }).waitFor();
  });

  it("times are those of the server, whatever the clock of this machine says", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, peer, user, ["First."]);
    const ann = await person(user, { prepare: (page) => page.clock.install({ time: new Date("2001-02-03T04:05:06Z") }) });
    await ann.open(peer);
    await ann.say("Second.");
    await ann.ticked("Second.", "Sent");
    await seed(chat, peer, user, ["Third."]);
    await ann.sees("Third.");
    const times = await ann.log.locator("article time").evaluateAll((all) => all.map((time) => time.dateTime));
    assert.ok(times.every((time) => Math.abs(new Date(time) - Date.now()) < 60_000), times.join());
    const label = (time) => new Intl.DateTimeFormat("en-GB", { timeStyle: "short", timeZone: "Europe/Berlin" }).format(new Date(time));
    assert.deepEqual(await ann.log.locator("article time").allTextContents(), times.map(label));
    assert.equal(await ann.log.getByText("Today").count(), 0);
    const order = await ann.log.getByRole("article").allTextContents();
    assert.deepEqual(order.map((text) => /First|Second|Third/.exec(text)[0]), ["First", "Second", "Third"]);
  });

  it("markup and characters of control are shown as the text that they are", async () => {
    const { ann, ben } = await pair();
    for (const text of MARKUP) await ann.say(text);
    await ben.sees(MARKUP.at(-2));
    const shown = () => ben.log.locator("article > p").evaluateAll((all) => all.map((p) => p.textContent));
    await until("all are there", async () => (await shown()).length === MARKUP.length);
    assert.deepEqual(await shown(), MARKUP);
    assert.equal(await ben.log.locator("script, img, iframe, article svg").count(), 0);
    assert.match(await ben.page.title(), /MeetMe$/);
    for (const p of await ben.log.locator("article > p").all()) assert.equal(await p.getAttribute("dir"), "auto");
  });

  it("only http and https become links, without the punctuation after them", async () => {
    const { ann, ben } = await pair();
    await ann.say("See https://example.com/a_(b)?c=1#d. And (http://example.org), javascript:alert(1) ftp://x.example data:text/html,x");
    await ann.say("\u202Ehttps://example.com/safe\u202Eexe");
    await ben.sees("safe");
    const links = ben.log.getByRole("article").getByRole("link", { includeHidden: true });
    const found = await links.evaluateAll((all) => all.map(({ href, target, rel }) => ({ href, target, rel })));
    assert.deepEqual(found.map(({ href }) => href), ["https://example.com/a_(b)?c=1#d", "http://example.org/", "https://example.com/safe"]);
    for (const { target, rel } of found) assert.deepEqual([target, rel], ["_blank", "noopener noreferrer nofollow"]);
  });

  it("one to three emoji alone are large", async () => {
    const { ann } = await pair();
    const texts = ["👍", "👩‍👩‍👧‍👦🇩🇪 1️⃣", "👍👍👍👍", "👍 yes", "12"];
    for (const text of texts) await ann.say(text);
    await ann.sees("12");
    const sizes = await ann.log.locator("article > p").evaluateAll((all) => all.map((p) => parseFloat(getComputedStyle(p).fontSize)));
    assert.deepEqual(sizes.map((size) => size > 30), [true, true, false, false, false]);
  });
});

describe("the place of the reader", () => {
  it("stays at the bottom when it is there, and only then", async () => {
    const { ann, ben } = await pair();
    await seed(chat, ben.user, ann.user, numbered("Line", 40));
    await ann.sees("Line 40.");
    await until("ann is at the bottom", async () => (await ann.fromBottom()) < 2);
    await ann.log.evaluate((log) => (log.scrollTop -= 600));
    const held = await ann.topOf("Line 25.");
    await ben.say("New one");
    const button = ann.page.getByRole("button", { name: /^1 new/ });
    await button.waitFor();
    assert.equal(await button.textContent(), "1 new ↓");
    assert.equal(await ann.topOf("Line 25."), held);
    await button.click();
    await until("ann is at the bottom again", async () => (await ann.fromBottom()) < 2);
    await button.waitFor({ state: "hidden" });
  });

  it("does not move while an older page comes in above", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, peer, user, numbered("Line", 120));
    let release;
    const held = new Promise((resolve) => (release = resolve));
    const ann = await person(user, {
      prepare: (page) => page.route(/before=/, async (route) => (await held, route.continue())),
    });
    await ann.open(peer);
    await ann.sees("Line 120.");
    await ann.scrollTo(40);
    const text = await ann.log.evaluate((log) => {
      const top = log.getBoundingClientRect().top;
      const first = [...log.querySelectorAll("article")].find((one) => one.getBoundingClientRect().top > top + 100);
      return first.querySelector("p").textContent;
    });
    const [before, count] = [await ann.topOf(text), await ann.log.getByRole("article").count()];
    assert.ok(count < 120, `${count} messages before the page`);
    release();
    await until("the older page is there", async () => (await ann.log.getByRole("article").count()) > count);
    const moved = Math.abs((await ann.topOf(text)) - before);
    assert.ok(moved <= 1, `moved by ${moved} px`);
  });

  it("older pages are asked for a screen ahead, and at most 1,000 messages are elements", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    const ann = await person(user, { prepare: (page) => page.route(/\/chat\/history/, madeUp(peer, user, 1_080)) });
    await ann.open(peer);
    await until("the first page is there", async () => (await ann.log.getByRole("article").count()) >= 50);
    const count = () => ann.log.locator("article").count();
    const first = await count();
    await ann.log.evaluate((log) => (log.scrollTop = log.clientHeight - 50));
    await until("a page came before the end was reached", async () => (await count()) > first);
    assert.ok((await ann.log.evaluate((log) => log.scrollTop)) > 0);
    let most = 0;
    await until(
      "the beginning",
      async () => {
        await ann.scrollTo(0);
        most = Math.max(most, await count());
        return ann.page.getByText("This is the beginning.").isVisible();
      },
      30_000,
    );
    assert.ok(most <= 1_000, `${most} messages`);
    assert.ok(most > 900, `${most} messages`);
    await ann.page.getByRole("button", { name: "newest" }).click();
    await until("the newest are back", async () => (await ann.fromBottom()) < 2 && (await count()) <= 1_000);
  });

  it("reload returns to the conversation and to the place in it", async () => {
    const { ann, ben } = await pair();
    await seed(chat, ben.user, ann.user, numbered("Line", 120));
    await ann.sees("Line 120.");
    await ann.log.evaluate((log) => (log.scrollTop = log.scrollHeight / 2));
    await until("the page above is there", () => ann.page.getByText("This is the beginning.").isVisible().then(async () => (await ann.log.getByRole("article").count()) >= 100));
    const text = await ann.log.evaluate((log) => {
      const { top } = log.getBoundingClientRect();
      return [...log.querySelectorAll("article")].find((one) => one.getBoundingClientRect().bottom > top).querySelector("p").textContent;
    });
    const before = await ann.topOf(text);
    await ann.page.reload();
    await ann.page.getByRole("heading", { name: ben.user }).waitFor();
    let top;
    await until("the place is as before", async () => {
      top = (await ann.message(text).count()) === 1 && (await ann.message(text).boundingBox())?.y;
      return Math.abs(top - before) <= 2;
    }).catch((error) => assert.fail(`${error.message}: ${text} at ${top}, not ${before}`));
  });

  it("back and forward go through the conversations", async () => {
    const { ann, ben } = await pair();
    const other = fresh("carl");
    await ann.open(other);
    assert.equal(new URL(ann.page.url()).hash, `#chat=${encodeURIComponent(other)}`);
    await ann.page.goBack();
    await ann.page.getByRole("heading", { name: ben.user }).waitFor();
    await ann.page.goForward();
    await ann.page.getByRole("heading", { name: other }).waitFor();
  });
});

describe("what is read", () => {
  it("a line stands above what is unread until the user sends", async () => {
    const { ann, ben } = await pair();
    await ben.say("Read before");
    await ann.sees("Read before");
    await until("it is read", async () => (await ann.row(ben.user).getByText("unread").count()) === 0);
    await ann.open(fresh("carl"));
    await seed(chat, ben.user, ann.user, numbered("Missed", 3));
    await ann.row(ben.user).getByText("3 unread").waitFor();
    await ann.open(ben.user);
    await ann.divider.waitFor();
    const parts = await ann.log.locator("#rows > *").allTextContents();
    const at = parts.indexOf("New");
    assert.match(parts[at - 1], /^Read before/);
    assert.match(parts[at + 1], /^Missed 1/);
    await ann.row(ben.user).getByText("unread").waitFor({ state: "detached" });
    assert.equal(await ann.divider.count(), 1, "it stays when they are read");
    await picture(ann.page, "divider");
    await ann.say("Here I am");
    await until("the line is gone", async () => (await ann.divider.count()) === 0);
  });

  it("a line stands above what came while the window had no focus", async () => {
    const { ann, ben } = await pair();
    await ann.say("Hello");
    await ann.focused(false);
    await ben.say("While away");
    await ann.sees("While away");
    assert.equal(await ann.divider.count(), 0);
    await ann.focused(true);
    await ann.divider.waitFor();
  });

  it("only what somebody sees is read", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, user, peer, ["Before."]);
    await seed(chat, peer, user, numbered("Line", 45));
    const ann = await person(user);
    await ann.focused(false);
    await ann.open(peer);
    await ann.divider.waitFor();
    const unread = async () => parseInt((await ann.row(peer).locator(".count").textContent({ timeout: 500 }).catch(() => "0")) ?? "0");
    // A second and more of looking at nothing: what would be marked is asked for in the page itself.
    await ann.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_300)));
    assert.equal(await unread(), 45);
    await ann.focused(true);
    await until("what is in view is read", async () => (await unread()) < 45);
    const left = await unread();
    assert.ok(left > 10, `${left} are not in view and unread`);
    await ann.log.evaluate((log) => (log.scrollTop = log.scrollHeight));
    await until("all is read", async () => (await unread()) === 0);
  });

  it("the list shows the count, the last message in one line, own ones as such, drafts and times", async () => {
    const [user, ben, carl] = [fresh("ann"), fresh("ben"), fresh("carl")];
    const ann = await person(user);
    await ann.open(carl);
    await ann.say("Several\nlines");
    await ann.ticked("Several", "Sent");
    await until("own last message", async () => /You: Several lines/.test(await ann.row(carl).innerText().then((text) => text.replace(/\s+/g, " "))));
    const height = (await ann.row(carl).boundingBox()).height;
    assert.ok(height < 80, `a row is ${height} px high`);
    const sender = await Sender.open(chat, ben);
    await sender.flood(user, numbered("Line", 120));
    await sender.close();
    await ann.row(ben).getByText("99+ unread").waitFor();
    assert.match(await ann.row(ben).locator("time").textContent(), /^\d\d:\d\d$/);
    const names = await ann.page.getByRole("list", { name: "Conversations" }).locator("bdi").allTextContents();
    assert.deepEqual(names, [ben, carl], "the newest is first");
    await ann.input.fill("Not yet");
    await ann.open(ben);
    await ann.row(carl).getByText("Draft: Not yet").waitFor();
  });

  it("the title counts what is unread elsewhere, and what came while the tab was hidden", async () => {
    const { ann, ben } = await pair();
    const titled = (title) => until(`the title is ${title}`, async () => (await ann.page.title()) === title);
    await seed(chat, fresh("carl"), ann.user, ["Hello.", "Hello?"]);
    await titled("(2) MeetMe");
    await ann.visible(false);
    await ben.say("Psst");
    await titled("(3) MeetMe");
    await ann.visible(true);
    await titled("(2) MeetMe");
  });

  it("notifications are asked for by a button only, shown while the tab is hidden, and closed when read", async () => {
    const { ann, ben } = await pair({
      prepare: (page) =>
        page.addInitScript(() => {
          globalThis.shown = [];
          globalThis.Notification = class {
            static permission = "default";
            static async requestPermission() {
              return (Notification.permission = "granted");
            }
            constructor(title, { tag, body }) {
              globalThis.shown.push(this);
              Object.assign(this, { title, tag, body, closed: false });
            }
            close() {
              this.closed = true;
            }
          };
        }),
    });
    const shown = () => ann.page.evaluate(() => globalThis.shown.map(({ title, tag, body, closed }) => ({ title, tag, body, closed })));
    await ann.page.getByLabel("Menu").click();
    await ann.page.getByRole("button", { name: "Turn on notifications" }).click();
    await ann.page.getByRole("button", { name: "Turn on notifications" }).waitFor({ state: "hidden" });
    await ben.say("In view");
    await ann.sees("In view");
    assert.deepEqual(await shown(), []);
    await ann.visible(false);
    await ben.say("Out of view");
    await until("a notification", async () => (await shown()).length === 1);
    const [{ title, tag, body }] = await shown();
    assert.deepEqual([title, body], [ben.user, "Out of view"]);
    assert.ok(tag.includes(ben.user), tag);
    await ann.visible(true);
    await until("it is closed", async () => (await shown())[0].closed);
  });

  it("marks and drafts follow in another tab of the same browser", async () => {
    const { ann, ben } = await pair();
    const other = await tab(ann);
    await ann.visible(false);
    await ben.say("Read elsewhere");
    await other.row(ben.user).getByText("1 unread").waitFor();
    await ann.row(ben.user).getByText("1 unread").waitFor();
    await ann.visible(true);
    await other.row(ben.user).getByText("unread").waitFor({ state: "detached" });
    await other.open(ben.user);
    await ann.input.fill("Half a thou");
    await until("the draft is in the other tab", async () => (await other.input.inputValue()) === "Half a thou");
  });
});

describe("writing", () => {
  it("Enter sends, Shift and Enter make a line", async () => {
    const { ann } = await pair();
    await ann.input.pressSequentially("One");
    await ann.input.press("Shift+Enter");
    await ann.input.pressSequentially("Two");
    assert.equal(await ann.input.inputValue(), "One\nTwo");
    const high = (await ann.input.boundingBox()).height;
    await ann.input.press("Enter");
    await ann.ticked("One", "Delivered");
    assert.equal(await ann.input.inputValue(), "");
    assert.ok(high > (await ann.input.boundingBox()).height + 10, "the input grew with the text");
    await ann.say("   ");
    assert.equal(await ann.log.getByRole("article").count(), 1, "nothing but spaces is not sent");
  });

  it("Enter does not send while an input method composes", async () => {
    const { ann } = await pair();
    const session = await ann.context.newCDPSession(ann.page);
    await ann.input.focus();
    await session.send("Input.imeSetComposition", { text: "にほん", selectionStart: 3, selectionEnd: 3 });
    const key = { key: "Enter", code: "Enter", windowsVirtualKeyCode: 229 };
    await session.send("Input.dispatchKeyEvent", { type: "rawKeyDown", ...key });
    await session.send("Input.dispatchKeyEvent", { type: "keyUp", ...key });
    await session.send("Input.imeSetComposition", { text: "日本", selectionStart: 2, selectionEnd: 2 });
    await ann.input.evaluate((input) =>
      input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true })),
    );
    assert.equal(await ann.log.getByRole("article").count(), 0);
    await session.send("Input.insertText", { text: "日本" });
    assert.equal(await ann.input.inputValue(), "日本");
    await ann.input.press("Enter");
    await ann.ticked("日本", "Delivered");
  });

  it("what is too long is not cut but refused, and the last tenth is counted down", async () => {
    const { ann } = await pair();
    const count = ann.page.locator("#count");
    await ann.input.fill("ü".repeat(7_000));
    assert.equal(await count.textContent(), "");
    await ann.input.fill("ü".repeat(8_000));
    assert.equal(await count.textContent(), "384 bytes left");
    await ann.say(`x${"ü".repeat(8_192)}`);
    assert.equal(await count.textContent(), "1 bytes too long. Shorten the message to send it.");
    assert.equal((await ann.input.inputValue()).length, 8_193);
    assert.equal(await ann.log.getByRole("article").count(), 0);
    await ann.say("ü".repeat(8_192));
    await ann.ticked("üü", "Delivered");
  });

  it("drafts are kept for each conversation, over a reload too", async () => {
    const { ann, ben } = await pair();
    const other = fresh("carl");
    await ann.input.fill("For Ben");
    await ann.open(other);
    assert.equal(await ann.input.inputValue(), "");
    await ann.input.fill("For Carl");
    await ann.open(ben.user);
    assert.equal(await ann.input.inputValue(), "For Ben");
    await ann.input.pressSequentially(", and more");
    await ann.page.reload();
    await until("the draft is back", async () => (await ann.input.inputValue()) === "For Ben, and more");
    await ann.open(other);
    assert.equal(await ann.input.inputValue(), "For Carl");
    await ann.say("Sent");
    await ann.open(ben.user);
    await ann.open(other);
    assert.equal(await ann.input.inputValue(), "", "what is sent is no draft");
  });

  it("another user of this browser sees no draft of the first", async () => {
    const { ann, ben } = await pair();
    await ann.input.fill("Secret");
    await ann.open(fresh("carl"));
    const other = await Person.at(browser, chat.http, { context: ann.context });
    people.push(other);
    await other.signIn(fresh("eve"));
    await other.open(ben.user);
    assert.equal(await other.input.inputValue(), "");
  });
});

describe("access", () => {
  it("a new message is said aloud once, history never", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, peer, user, numbered("Old", 70));
    const ann = await person(user);
    await ann.open(peer);
    await ann.sees("Old 70.");
    await ann.scrollTo(0);
    await ann.sees("Old 1.");
    assert.deepEqual(await ann.spoken(), []);
    assert.equal(await ann.log.getAttribute("aria-live"), "off");
    await seed(chat, peer, user, ["News."]);
    await ann.sees("News.");
    await until("it is said", async () => (await ann.spoken()).length > 0);
    assert.deepEqual(await ann.spoken(), [`${peer}: News.`]);
    assert.equal(await ann.page.locator("#live").getAttribute("aria-live"), "polite");
  });

  it("everything has a role and a name", async () => {
    const { ann, ben } = await pair();
    await ann.say("At 3PM?");
    await ann.ticked("At 3PM?", "Delivered");
    await ann.page.getByRole("main").waitFor();
    await ann.page.getByRole("region", { name: "Conversations" }).waitFor();
    await ann.page.getByRole("region", { name: ben.user }).waitFor();
    await ann.page.getByRole("log", { name: ben.user }).waitFor();
    await ann.page.getByRole("article", { name: /^You: At 3PM\?, \d\d:\d\d, Delivered$/ }).waitFor();
    await ben.page.getByRole("article", { name: new RegExp(`^${ann.user}: At 3PM\\?, \\d\\d:\\d\\d$`) }).waitFor();
    await ann.page.getByRole("button", { name: "Send" }).waitFor();
    await ann.page.getByRole("form", { name: "New conversation" }).waitFor();
    assert.equal(await ann.row(ben.user).getAttribute("aria-current"), "true");
  });

  it("Tab goes from the list to the messages to the input, arrows go inside, Escape goes back to the input", async () => {
    const control = wire();
    const { ann, ben } = await pair({ prepare: control.prepare });
    await ann.say("One");
    await ann.say("Two https://example.com/");
    control.answer = ({ message, client_message_id }) =>
      message && { type: "error", code: "message_too_long", message: "No.", client_message_id, retryable: false };
    await ann.say("Three");
    await ann.message("Three").getByRole("button", { name: "Discard" }).waitFor();
    const focus = () => ann.page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);
    const press = async (key) => (await ann.page.keyboard.press(key), focus());
    await ann.row(ben.user).focus();
    await ann.page.keyboard.press("Tab");
    await until("a message has the focus", async () => /Back|You: Three/.test(await focus()));
    assert.match(await focus(), /^You: Three/);
    assert.match(await press("ArrowUp"), /^You: Two/);
    assert.match(await press("Tab"), /^https:/);
    assert.match(await press("ArrowUp"), /^You: One/);
    assert.match(await press("Tab"), /^Message/, "links of other messages are no stops");
    assert.match(await press("Shift+Tab"), /^You: One/);
    assert.match(await press("End"), /^You: Three/);
    assert.match(await press("Tab"), /^Try again/);
    assert.match(await press("Escape"), /^Message/);
  });

  for (const [name, options] of Object.entries({
    light: { viewport: { width: 1200, height: 760 } },
    dark: { viewport: { width: 1200, height: 760 }, colorScheme: "dark" },
    phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  })) {
    it(`axe finds nothing wrong (${name})`, async () => {
      const control = wire();
      const one = await Person.at(browser, chat.http, { ...options, prepare: control.prepare });
      people.push(one);
      await axe(one, "sign-in");
      const peer = fresh("ben");
      await one.signIn(fresh("ann"));
      await seed(chat, peer, one.user, ["See https://example.com/", "🎉"]);
      await one.row(peer).waitFor();
      await axe(one, "list");
      await one.open(peer);
      const send = async (text) => (await one.input.fill(text), one.page.getByRole("button", { name: "Send" }).click());
      await send("Good morning!");
      await one.ticked("Good morning!", "Sent");
      control.answer = ({ message, client_message_id }) =>
        message && { type: "error", code: "message_too_long", message: "The text is too long.", client_message_id, retryable: false };
      await send("Refused");
      await one.message("Refused").getByRole("button", { name: "Discard" }).waitFor();
      await one.input.fill("x".repeat(16_400));
      await axe(one, "conversation");
      await picture(one.page, `axe-${name}`);
    });
  }

  it("on a phone one pane is shown at a time, and Enter makes a line", async () => {
    const peer = fresh("ben");
    const ann = await person(fresh("ann"), { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
    await seed(chat, peer, ann.user, numbered("Line", 60));
    await ann.row(peer).tap();
    await ann.page.getByRole("heading", { name: peer }).waitFor();
    assert.equal(await ann.row(peer).isVisible(), false);
    await ann.sees("Line 60.");
    const composer = await ann.page.getByRole("form", { name: "Write a message" }).boundingBox();
    assert.ok(Math.abs(composer.y + composer.height - 844) < 2, "the input is at the lower edge");
    assert.ok((await ann.input.evaluate((input) => parseFloat(getComputedStyle(input).fontSize))) >= 16);
    assert.equal(await ann.page.evaluate(() => document.documentElement.scrollWidth), 390, "nothing is wider than the screen");
    await ann.input.fill("One");
    await ann.input.press("Enter");
    assert.equal(await ann.input.inputValue(), "One\n");
    await ann.page.getByRole("button", { name: "Send" }).tap();
    await ann.ticked("One", "Sent");
    await picture(ann.page, "phone");
    // A keyboard that lies over the page, as in Safari.
    await ann.page.evaluate(() => {
      Object.defineProperty(visualViewport, "height", { configurable: true, value: 500 });
      visualViewport.dispatchEvent(new Event("resize"));
    });
    const above = await ann.page.getByRole("form", { name: "Write a message" }).boundingBox();
    assert.ok(above.y + above.height <= 502, "the input stays above the keyboard");
    await until("the newest message too", async () => (await ann.fromBottom()) < 2);
    await ann.page.getByRole("link", { name: "Back" }).tap();
    await ann.row(peer).waitFor();
    assert.equal(await ann.input.isVisible(), false);
  });

  it("the scheme of the system is followed, and nothing moves for those who want no motion", async () => {
    const { ann } = await pair();
    const look = () =>
      ann.page.evaluate(() => {
        const style = getComputedStyle(document.documentElement);
        const luminance = style.backgroundColor.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
        return { dark: luminance < 200, scheme: style.colorScheme, bar: getComputedStyle(document.querySelector(".bar")).animationName };
      });
    assert.deepEqual(await look(), { dark: false, scheme: "light dark", bar: "appear" });
    await ann.page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
    assert.deepEqual(await look(), { dark: true, scheme: "light dark", bar: "none" });
  });

  it("the line for typing has its place, so that nothing will jump", async () => {
    const { ann } = await pair();
    const { height } = await ann.page.locator("#typing").boundingBox();
    assert.ok(height >= 20, `${height} px`);
  });
});

describe("the connection", () => {
  it("a cut shows nothing at first, then the seconds to the next try, and everything arrives", async () => {
    const control = wire();
    const { ann, ben } = await pair({ prepare: control.prepare });
    await ann.say("Before");
    await ben.sees("Before");
    control.refuse = true;
    await chat.post("/_local/cut");
    await ann.say("During");
    await ann.ticked("During", "Waiting");
    assert.equal(await ann.banner.isVisible(), false, "not within two seconds");
    await ann.banner.getByRole("status").getByText(/Not connected|Connecting/).waitFor();
    await ann.banner.getByText(/Next try in \d+ s\./).waitFor({ timeout: 20_000 });
    await picture(ann.page, "banner");
    await ben.say("Meanwhile");
    control.refuse = false;
    await ann.banner.getByRole("button", { name: "Now" }).click({ timeout: 1_000 }).catch(() => {});
    await ann.sees("Meanwhile");
    await ben.sees("During");
    await ann.banner.waitFor({ state: "hidden" });
  });

  it("one connection too many ends this one, and it goes on here when the user says so", async () => {
    const { ann, ben } = await pair();
    const others = [];
    for (let n = 0; n < SOCKETS_PER_USER; n++) others.push(await Sender.open(chat, ann.user));
    await ann.banner.getByText("Open elsewhere.").waitFor();
    await ann.banner.getByRole("button", { name: "Continue here" }).click();
    await ann.banner.waitFor({ state: "hidden" });
    await ben.say("There you are");
    await ann.sees("There you are");
    await Promise.all(others.map((other) => other.close()));
  });

  it("a history that cannot be read says so, and can be tried again", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, peer, user, numbered("Line", 70));
    let broken = true;
    const refuse = (route) => (broken ? route.fulfill({ status: 503, body: "{}" }) : route.fallback());
    const ann = await person(user, { prepare: (page) => page.route(/\/chat\/history/, refuse) });
    await ann.page.evaluate((hash) => (location.hash = hash), `#chat=${encodeURIComponent(peer)}`);
    const trouble = ann.page.getByRole("alert").filter({ hasText: "cannot be read now" });
    await trouble.waitFor();
    broken = false;
    await ann.sees("Line 70.");
    await trouble.waitFor({ state: "hidden" });
    broken = true;
    await ann.scrollTo(0);
    await trouble.waitFor();
    broken = false;
    assert.equal(await ann.message("Line 1.").count(), 0, "older pages are not asked for again by themselves");
    await trouble.getByRole("button", { name: "Try again" }).click();
    await ann.sees("Line 1.");
    await trouble.waitFor({ state: "hidden" });
  });
});

describe("signing in and out", () => {
  it("a user id that cannot be one gets a sentence", async () => {
    const one = await Person.at(browser, chat.http);
    people.push(one);
    const enter = async (text) => {
      await one.page.getByLabel("Your user id").fill(text);
      await one.page.getByRole("button", { name: "Sign in" }).click();
    };
    await enter("");
    await one.page.getByText("Enter a user id.").waitFor();
    await enter("ü".repeat(128));
    await one.page.getByText("This user id is too long: at most 254 bytes.").waitFor();
    await enter("a\u0007b");
    await one.page.getByText("A user id has no control characters.").waitFor();
    await one.signIn(`${"ü".repeat(120)} +&#%/?"<b>`);
    await one.open("somebody");
    await one.say("It is me");
    await one.ticked("It is me", "Sent");
    await one.page.getByLabel("User id of the other person").fill(one.user);
    await one.page.getByRole("button", { name: "Start" }).click();
    await one.page.getByText("This is you.").waitFor();
  });

  it("signing out removes messages and drafts in all tabs", async () => {
    const { ann, ben } = await pair();
    await ann.say("Secret message");
    await ann.ticked("Secret message", "Delivered");
    const other = await tab(ann);
    await other.open(ben.user);
    await other.sees("Secret message");
    await ann.input.fill("Secret draft");
    await ann.open(fresh("carl"));
    await until("the draft is in the other tab", async () => (await other.input.inputValue()) === "Secret draft");
    await ann.page.getByLabel("Menu").click();
    await ann.page.getByRole("button", { name: "Sign out" }).click();
    for (const one of [ann, other]) {
      await one.page.getByLabel("Your user id").waitFor();
      assert.equal(await one.page.locator("#app").isVisible(), false);
      assert.doesNotMatch(await one.page.locator("body").innerHTML(), /Secret/);
      const kept = await one.page.evaluate(async () => {
        const stores = await indexedDB.databases();
        return JSON.stringify([{ ...localStorage }, { ...sessionStorage }, stores.map(({ name }) => name)]);
      });
      assert.ok(!kept.includes(ann.user), kept);
    }
    await other.page.reload();
    await other.page.getByLabel("Your user id").waitFor();
  });

  it("without JavaScript, settings or storage the page says what is wrong", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(chat.http);
    await until("the page asks for JavaScript", () => page.locator("noscript p").isVisible());
    await context.close();

    let broken = true;
    const one = await Person.at(browser, chat.http, {
      prepare: async (page) => {
        await page.route(/config\.json/, (route) => (broken ? route.fulfill({ status: 500, json: {} }) : route.continue()));
        await page.addInitScript(() => {
          const refuse = () => {
            throw new DOMException("refused", "SecurityError");
          };
          IDBFactory.prototype.open = refuse;
          Object.defineProperty(globalThis, "localStorage", { get: refuse });
        });
      },
    });
    people.push(one);
    await one.page.getByText("The settings of the chat cannot be loaded.").waitFor();
    broken = false;
    await one.page.getByRole("button", { name: "Try again" }).click();
    await one.signIn(fresh("ann"));
    await one.page.getByText("This browser refuses to store data here.").waitFor();
    const peer = fresh("ben");
    await one.open(peer);
    await one.say("Works");
    await one.ticked("Works", "Sent");
    await one.input.fill("A draft");
    await one.open(fresh("carl"));
    await one.open(peer);
    assert.equal(await one.input.inputValue(), "A draft");
  });
});

describe("pictures", () => {
  it("two people in two windows", async () => {
    const size = { viewport: { width: 860, height: 640 } };
    const ann = await person("student@example.com", size);
    const ben = await person("prof@example.com", { ...size, colorScheme: "dark" });
    await Promise.all([ann.open(ben.user), ben.open(ann.user)]);
    const talk = [
      [ann, "Good morning! May I ask about exercise 4?"],
      [ben, "Of course."],
      [ben, "Which part of it?"],
      [ann, "Why is a majority enough for a write?"],
      [ben, "Because any two majorities share a member. Figure 8 shows it: https://raft.github.io/raft.pdf"],
      [ann, "Now I see. Thank you!"],
      [ann, "🎉"],
      [ben, "At 3PM I have time for the rest."],
    ];
    for (const [one, text] of talk) {
      await one.say(text);
      await (one === ann ? ben : ann).sees(text);
    }
    await ann.ticked("🎉", "Delivered");
    for (const one of [ann, ben]) await until("all is read", async () => (await one.page.locator(".count").count()) === 0);
    await sideBySide(browser, [ann.page, ben.page], "two-people");
    await picture(ann.page, "light");
    await picture(ben.page, "dark");
  });
});

/** What axe-core says about the page as it is. */
async function axe(one, where) {
  const { source } = load("axe-core");
  // Through the debugger: the policy of the page lets no other script in.
  const session = await one.context.newCDPSession(one.page);
  await session.send("Runtime.evaluate", { expression: source });
  const { violations } = await one.page.evaluate(() => {
    for (const animation of document.getAnimations()) animation.finish();
    return globalThis.axe.run(document, { resultTypes: ["violations"] });
  });
  await session.detach();
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("\n")}`);
  assert.deepEqual(found, [], where);
}
