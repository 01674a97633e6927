// Read marks between people, devices and tabs; who is there; and the settings of both.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { startDatabase } from "../client/database.js";
import { startChat } from "../client/stack.js";
import { browser, chat, fakePresence, fresh, pair, person, visit, wire } from "./fixture.js";
import { PHONE, numbered, seed, until } from "./people.js";
import { picture, sideBySide } from "./pictures.js";

const unreadOf = (one, peer) => one.row(peer).getByText("unread");

/** Signs in the same person on another device. */
const device = (one, options) => person(one.user, options);

/** Waits until a switch of a dialog is on or off. */
const shows = (dialog, name, on) =>
  until(`${name} is ${on ? "on" : "off"}`, () => dialog.getByRole("switch", { name }).isChecked().then((checked) => checked === on));

describe("marks", () => {
  it("a message shows one tick when stored, two when delivered, and bold ones when read", async () => {
    const { ann, ben } = await pair();
    await ben.focused(false);
    await ann.send("At 3PM?");
    await ben.sees("At 3PM?");
    await ann.showsState("At 3PM?", "Delivered");
    await ann.page.getByRole("article", { name: /^You: At 3PM\?, \d\d:\d\d, Delivered$/ }).waitFor();
    await ben.focused(true);
    await ann.showsState("At 3PM?", "Read");
    await ann.page.getByRole("article", { name: /^You: At 3PM\?, \d\d:\d\d, Read$/ }).waitFor();
    assert.deepEqual(await ann.announcements(), [], "a tick is not read aloud by itself");
    await ann.open(fresh("absent"));
    await ann.send("Anybody?");
    await ann.showsState("Anybody?", "Sent");
  });

  it("a message that the other one gets later becomes delivered, and read when it is seen", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    const ann = await person(user);
    await ann.open(peer);
    await ann.send("For later");
    await ann.showsState("For later", "Sent");
    const ben = await person(peer);
    await unreadOf(ben, user).waitFor();
    await ben.focused(false);
    await ben.open(user);
    await ann.showsState("For later", "Delivered");
    await ben.focused(true);
    await ann.showsState("For later", "Read");
  });

  it("who sits at a desk sees when the other one reads on a phone, and writes there", async () => {
    const ann = await person(fresh("ann"));
    const ben = await person(fresh("ben"), PHONE);
    await Promise.all([ann.open(ben.user), ben.open(ann.user)]);
    await ben.focused(false);
    await ann.send("At 3PM?");
    await ben.sees("At 3PM?");
    await ann.showsState("At 3PM?", "Delivered");
    await ben.focused(true);
    await ann.showsState("At 3PM?", "Read");
    await ben.input.tap();
    await ben.input.pressSequentially("Ye");
    const line = ann.page.locator("#typing");
    await until("Ann sees that Ben writes", async () => (await line.textContent()) === `${ben.user} is typing…`);
    await sideBySide(browser, [ann.page, ben.page], "desk-and-phone");
    await until("it ends by itself, after twelve seconds", async () => (await line.textContent()) === "", 30_000);
  });

  it("an answer within a second of a message is read as well", async () => {
    const { ann, ben } = await pair();
    await ann.send("At 3PM?");
    await ben.sees("At 3PM?");
    await ben.send("Fine.");
    await ben.showsState("Fine.", "Read");
  });

  it("what is read on one device is read on the others, and a new device begins where they are", async () => {
    const { ann, ben } = await pair();
    await ann.focused(false);
    const second = await device(ann);
    await ben.send("One.");
    await unreadOf(ann, ben.user).waitFor();
    await unreadOf(second, ben.user).waitFor();
    await until("the title counts it", async () => (await second.page.title()) === "(1) MeetMe");
    await second.open(ben.user);
    await unreadOf(second, ben.user).waitFor({ state: "detached" });
    await unreadOf(ann, ben.user).waitFor({ state: "detached" });
    await until("the title follows", async () => (await ann.page.title()) === "MeetMe");
    await second.focused(false);
    await seed(chat, ben.user, ann.user, numbered("Line", 2));
    await ann.row(ben.user).getByText("2 unread").waitFor();
    const third = await device(ann);
    await third.row(ben.user).getByText("2 unread").waitFor();
    await third.open(ben.user);
    await third.divider.waitFor();
    const parts = await third.log.locator("#rows > *").allTextContents();
    assert.match(parts[parts.indexOf("New") + 1], /^Line 1/);
    await unreadOf(ann, ben.user).waitFor({ state: "detached" });
  });

  it("the divider stays where it is when another device reads", async () => {
    const [ann, peer] = [await person(fresh("ann")), fresh("ben")];
    const second = await device(ann);
    await seed(chat, peer, ann.user, numbered("Line", 4));
    await ann.focused(false);
    await ann.open(peer);
    await ann.divider.waitFor();
    await second.open(peer);
    await unreadOf(ann, peer).waitFor({ state: "detached" });
    const parts = await ann.log.locator("#rows > *").allTextContents();
    assert.match(parts[parts.indexOf("New") + 1], /^Line 1/);
    await ann.focused(true);
    assert.equal(await ann.divider.count(), 1);
    await ann.open(fresh("carl"));
    await ann.open(peer);
    await ann.sees("Line 4.");
    assert.equal(await ann.divider.count(), 0, "it is gone when the user has left");
  });

  it("a conversation opens at the first unread message, also if that is not on the newest page", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    const ann = await person(user);
    await ann.open(peer);
    await seed(chat, peer, user, ["Read."]);
    await ann.sees("Read.");
    await until("it is read", async () => (await unreadOf(ann, peer).count()) === 0);
    await ann.visible(false);
    await seed(chat, peer, user, numbered("Line", 130));
    const second = await device(ann);
    await second.row(peer).getByText("99+ unread").waitFor();
    await second.open(peer);
    await second.divider.waitFor();
    await until("the divider is in view", async () => {
      const [line, log] = [await second.divider.boundingBox(), await second.log.boundingBox()];
      return line.y > log.y && line.y < log.y + log.height / 2;
    });
    await second.sees("Line 1.");
    assert.equal(await second.log.getByRole("article").first().locator("p").textContent(), "Read.");
  });

  it("a text that waited in the outbox marks nothing as read", async () => {
    const control = wire();
    const { ann, ben } = await pair({ prepare: control.prepare });
    await ann.focused(false);
    control.respond = ({ action }) => (action === "sendMessage" ? null : undefined);
    await ann.send("Written before");
    await ann.showsState("Written before", "Sending");
    await ben.send("Came meanwhile");
    await ann.sees("Came meanwhile");
    control.respond = () => undefined;
    await chat.post("/_local/cut");
    await ben.sees("Written before");
    await ann.row(ben.user).getByText("1 unread").waitFor();
    await ben.showsState("Came meanwhile", "Delivered");
  });

  it("both see the same ticks after cuts, and while the function that sends and marks is killed", async () => {
    const { ann, ben } = await pair();
    const texts = (one) => one.log.locator("article > p").allTextContents();
    // Longer than the library waits for an acknowledgement.
    const both = (what, condition) => until(what, async () => (await condition(ann)) && condition(ben), 60_000);
    try {
      for (const [round, at] of ["invoke", "before_push", "after_push"].entries()) {
        await chat.put({ seed: round, kill: [{ function: "SendMessageFunction", at, share: 0.3 }] });
        await chat.cut();
        await Promise.all([ann.send(`Ann ${at}.`), ben.send(`Ben ${at}.`)]);
        // A push may get lost with the function. The next message shows that one is missing.
        await both(`the messages of ${at} are stored`, async (one) => (await one.log.getByRole("img", { name: /Waiting|Sending/ }).count()) === 0);
      }
    } finally {
      await chat.put({});
    }
    await Promise.all([ann.send("Ann at last."), ben.send("Ben at last.")]);
    await both("both have all messages", async (one) => (await texts(one)).length === 8);
    for (const one of [ann, ben]) {
      await until(
        `the four messages of ${one.user} are read`,
        async () => {
          const read = one.log.getByRole("img", { name: "Read" });
          await read.nth(3).waitFor({ timeout: 4_000 }).catch(() => {});
          if ((await read.count()) === 4) return true;
          // A receipt may get lost. The list, which a page reads when it opens, has the marks.
          await one.page.reload();
        },
        60_000,
      );
    }
    // A stored copy that a reload shows first may lack the newest ones.
    await both("both have all messages again", async (one) => (await texts(one)).length === 8);
    assert.deepEqual(await texts(ann), await texts(ben));
  });

  it("both see the same ticks after a restart of the database", async (t) => {
    const database = await startDatabase(t);
    const own = await startChat({ uri: database.uri });
    t.after(() => own.stop());
    const { ann, ben } = await pair({ http: own.http });
    await ann.send("Before.");
    await ann.showsState("Before.", "Read");
    await database.stop();
    await Promise.all([ann.send("Ann without."), ben.send("Ben without.")]);
    await ann.log.getByRole("img", { name: /Waiting|Sending/ }).waitFor();
    await database.start();
    // Longer than the library waits for an acknowledgement.
    for (const one of [ann, ben]) {
      const read = () => one.log.getByRole("img", { name: "Read" }).count();
      const expected = one === ann ? 2 : 1;
      await until(`the messages of ${one.user} are read`, async () => (await read()) === expected, 60_000);
      await until(`${one.user} has all messages`, async () => (await one.log.getByRole("article").count()) === 3, 60_000);
    }
  });
});

describe("presence", () => {
  it("the head of a conversation says whether the other one is there, once both have written", async () => {
    const { ann, ben } = await pair();
    const head = ann.page.getByRole("region", { name: ben.user }).locator("#presence");
    const stranger = await person(fresh("stranger"));
    await stranger.open(ben.user);
    await stranger.send("Hello?");
    await stranger.showsState("Hello?", "Delivered");
    await ann.send("Are you there?");
    await ben.sees("Are you there?");
    await ben.send("Yes.");
    await ann.sees("Yes.");
    // The page has asked when it opened the conversation, and asks again after a minute.
    await ann.page.reload();
    await until("ann sees that ben is online", async () => (await head.textContent()) === "online");
    await picture(ann.page, "online");
    await stranger.page.reload();
    await stranger.sees("Hello?");
    assert.equal(await stranger.page.locator("#presence").textContent(), "", "one who has written alone learns nothing");
  });

  for (const [ago, sentence] of Object.entries({
    20: "last seen just now",
    310: "last seen 5 minutes ago",
    3_610: "last seen 1 hour ago",
    180_000: "last seen 2 days ago",
  })) {
    it(`somebody who was there ${ago} s ago was ${sentence}`, async () => {
      const lastSeen = new Date(Date.now() - ago * 1_000).toISOString();
      const peer = fresh("ben");
      const ann = await person(fresh("ann"), { prepare: (page) => page.route(/\/chat\/presence/, fakePresence({ online: false, last_seen: lastSeen })) });
      await ann.open(peer);
      await until(sentence, async () => (await ann.page.locator("#presence").textContent()) === sentence);
    });
  }

  it("the time since somebody was there goes on, and a wrong clock makes no wrong sentence", async () => {
    const lastSeen = new Date(Date.now() - 310_000).toISOString();
    const presence = fakePresence({ online: false, last_seen: lastSeen });
    const ann = await person(fresh("ann"), { prepare: async (page) => (await page.clock.install(), page.route(/\/chat\/presence/, presence)) });
    await ann.open(fresh("ben"));
    const line = async () => ann.page.locator("#presence").textContent();
    await until("five minutes", async () => (await line()) === "last seen 5 minutes ago");
    await ann.page.clock.fastForward("01:00");
    await until("six minutes", async () => (await line()) === "last seen 6 minutes ago");
    const late = await person(fresh("late"), {
      prepare: async (page) => (await page.clock.install({ time: new Date("2001-02-03T04:05:06Z") }), page.route(/\/chat\/presence/, presence)),
    });
    await late.open(fresh("ben"));
    await until("a date", async () => /^last seen \d+ \w+ \d{4}$/.test(await late.page.locator("#presence").textContent()));
  });
});

describe("settings", () => {
  it("without read receipts neither sees what the other has read, but unread counts go on", async () => {
    const { ann, ben } = await pair();
    const dialog = await ben.settings();
    await shows(dialog, "Read receipts", true);
    await picture(ben.page, "settings");
    const saved = ben.page.waitForResponse((response) => response.request().method() === "PUT");
    await dialog.getByRole("switch", { name: "Read receipts" }).click();
    assert.equal((await saved).status(), 200);
    await ben.page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    // The dialog is hidden a task before its event moves the focus.
    await until("the focus is where it was", () => ben.page.evaluate(() => document.activeElement.ariaLabel === "Menu"));
    // The server uses settings for up to a minute. Nobody has been told anything of these two yet.
    const other = await device(ben);
    // Ben reads only when the other device has shown the message as unread.
    await ben.focused(false);
    await ann.send("One");
    await unreadOf(other, ann.user).waitFor();
    await ben.focused(true);
    await unreadOf(other, ann.user).waitFor({ state: "detached" });
    await ben.send("Two");
    await ann.sees("Two");
    await unreadOf(ann, ben.user).waitFor({ state: "detached" });
    await ann.showsState("One", "Delivered");
    await ben.showsState("Two", "Delivered");
    for (const one of [ann, ben]) {
      await one.page.reload();
      await one.sees("Two");
      await one.row(one === ann ? ben.user : ann.user).waitFor();
      assert.equal(await one.log.getByRole("img", { name: "Read" }).count(), 0);
    }
  });

  it("settings are the same on all devices, also while the dialog is open, and after a reload", async () => {
    const ann = await person(fresh("ann"));
    const second = await device(ann);
    const [here, there] = [await ann.settings(), await second.settings()];
    await here.getByRole("switch", { name: "Online and last seen" }).press("Space");
    // Told by the server after it has saved them.
    await shows(there, "Online and last seen", false);
    await shows(there, "Read receipts", true);
    await here.getByRole("button", { name: "Close" }).click();
    await here.waitFor({ state: "hidden" });
    await ann.page.reload();
    await shows(await ann.settings(), "Online and last seen", false);
  });

  it("a setting that cannot be saved is put back, with the reason", async () => {
    let broken = true;
    const ann = await visit({
      prepare: (page) =>
        page.route(/\/chat\/settings/, (route) => (broken && route.request().method() === "PUT" ? route.fulfill({ status: 503, json: {} }) : route.fallback())),
    });
    await ann.signIn(fresh("ann"));
    const dialog = await ann.settings();
    const presence = dialog.getByRole("switch", { name: "Online and last seen" });
    await presence.click();
    await dialog.getByRole("alert").filter({ hasText: "Not saved." }).waitFor();
    await shows(dialog, "Online and last seen", true);
    broken = false;
    await presence.click();
    await shows(dialog, "Online and last seen", false);
    await dialog.getByRole("alert").waitFor({ state: "hidden" });
  });
});
