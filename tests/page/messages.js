// Messages: states, days, times, links and emoji.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { chat, fresh, pair, person, wire } from "./fixture.js";
import { numbered, seed, until } from "./people.js";
import { picture } from "./pictures.js";

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

describe("messages", () => {
  it("two people chat, and ticks show the state of a message", async () => {
    const { ann, ben } = await pair();
    await ann.send("At 3PM?");
    await ben.sees("At 3PM?");
    await ann.showsState("At 3PM?", "Delivered");
    await ben.send("Fine.");
    await ann.sees("Fine.");
    assert.equal(await ben.message("At 3PM?").getByRole("img").count(), 0, "ticks are for own messages");
    await ann.open(fresh("absent"));
    await ann.send("Anybody?");
    await ann.showsState("Anybody?", "Sent");
  });

  it("a message that is not acknowledged yet shows a clock", async () => {
    const control = wire();
    const ann = await person(fresh("ann"), { prepare: control.prepare });
    await ann.open(fresh("ben"));
    control.respond = ({ action }) => (action === "sendMessage" ? null : undefined);
    await ann.send("Slow");
    await ann.showsState("Slow", "Sending");
    await ann.send("Slower");
    await ann.showsState("Slower", "Waiting");
  });

  it("a rejected message stays with the reason, and can be retried or discarded", async () => {
    const control = wire();
    const ann = await person(fresh("ann"), { prepare: control.prepare });
    await ann.open(fresh("ben"));
    control.respond = ({ message, client_message_id }) =>
      message && { type: "error", code: "message_too_long", message: "The text is too long.", client_message_id, retryable: false };
    await ann.send("Refused");
    await ann.message("Refused").getByText("The text is too long.").waitFor();
    await until("the failure is said aloud", async () => (await ann.announcements()).some((text) => text.includes("not sent")));
    await picture(ann.page, "failed");
    await ann.message("Refused").getByRole("button", { name: "Try again" }).click();
    await ann.message("Refused").getByText("The text is too long.").waitFor();
    control.respond = () => undefined;
    await ann.message("Refused").getByRole("button", { name: "Try again" }).click();
    await ann.showsState("Refused", "Sent");
    control.respond = ({ message, client_message_id }) =>
      message && { type: "error", code: "message_too_long", message: "No.", client_message_id, retryable: false };
    await ann.send("Never mind");
    await ann.message("Never mind").getByRole("button", { name: "Discard" }).click();
    await until("it is gone", async () => (await ann.message("Never mind").count()) === 0);
  });

  it("a rejection is said aloud, also while the history is not loaded yet", async () => {
    const control = wire();
    let release;
    const held = new Promise((resolve) => (release = resolve));
    const prepare = async (page) => {
      await page.route(/\/chat\/history/, async (route) => (await held, route.continue()));
      await control.prepare(page);
    };
    const ann = await person(fresh("ann"), { prepare });
    await ann.open(fresh("ben"));
    control.respond = ({ message, client_message_id }) =>
      message && { type: "error", code: "message_too_long", message: "The text is too long.", client_message_id, retryable: false };
    await ann.send("Refused");
    await until("the failure is said aloud", async () => (await ann.announcements()).join() === "Message not sent. The text is too long.");
    release();
    await ann.page.getByText("This is the beginning.").waitFor();
    assert.equal((await ann.announcements()).length, 1);
  });

  it("each day begins with its date, and messages of one sender within five minutes are joined", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, peer, user, numbered("Line", 4));
    // Changes the timestamps of the history: two days ago, one day ago, one minute later and ten minutes later.
    const minutes = [-2 * 1440, -1440, -1439, -1429];
    const ann = await person(user, {
      timezoneId: "UTC",
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
    await ann.send("Good night");
    await ann.showsState("Good night", "Sent");
    await ann.log.getByRole("heading", { name: "Today" }).waitFor();
    // The clock runs by itself. A jump would wake up the library, and any change would draw the day again.
    await ann.log.getByRole("heading", { name: "Yesterday" }).waitFor();
  });

  it("times are the server's, whatever the clock of this machine says", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, peer, user, ["First."]);
    const ann = await person(user, { prepare: (page) => page.clock.install({ time: new Date("2001-02-03T04:05:06Z") }) });
    await ann.open(peer);
    await ann.send("Second.");
    await ann.showsState("Second.", "Sent");
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
    for (const text of MARKUP) await ann.send(text);
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
    await ann.send("See https://example.com/a_(b)?c=1#d. And (http://example.org), javascript:alert(1) ftp://x.example data:text/html,x");
    await ann.send("\u202Ehttps://example.com/safe\u202Eexe");
    const links = ben.log.getByRole("article").getByRole("link", { includeHidden: true });
    await until("both messages are there", async () => (await links.count()) >= 3 && (await ben.message("safe").count()) === 1);
    const found = await links.evaluateAll((all) => all.map(({ href, target, rel }) => ({ href, target, rel })));
    assert.deepEqual(found.map(({ href }) => href), ["https://example.com/a_(b)?c=1#d", "http://example.org/", "https://example.com/safe"]);
    for (const { target, rel } of found) assert.deepEqual([target, rel], ["_blank", "noopener noreferrer nofollow"]);
  });

  it("one to three emoji alone are large", async () => {
    const { ann } = await pair();
    const texts = ["👍", "👩‍👩‍👧‍👦🇩🇪 1️⃣", "👍👍👍👍", "👍 yes", "12"];
    for (const text of texts) await ann.send(text);
    await ann.sees("12");
    const sizes = await ann.log.locator("article > p").evaluateAll((all) => all.map((p) => parseFloat(getComputedStyle(p).fontSize)));
    assert.deepEqual(sizes.map((size) => size > 30), [true, true, false, false, false]);
  });
});
