// Read marks, unread counts and notifications.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { chat, fakeNotifications, fresh, notificationsOf, pair, person, tab } from "./fixture.js";
import { numbered, seed, Sender, until } from "./people.js";
import { picture } from "./pictures.js";

describe("what is read", () => {
  it("a divider stands above unread messages until the user sends", async () => {
    const { ann, ben } = await pair();
    await ben.send("Read before");
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
    await ann.send("Here I am");
    await until("the line is gone", async () => (await ann.divider.count()) === 0);
  });

  it("a divider stands above messages that arrived while the window had no focus", async () => {
    const { ann, ben } = await pair();
    await ann.send("Hello");
    await ann.focused(false);
    await ben.send("While away");
    await ann.sees("While away");
    assert.equal(await ann.divider.count(), 0);
    await ann.focused(true);
    await ann.divider.waitFor();
  });

  it("only messages in view are marked as read", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, user, peer, ["Before."]);
    await seed(chat, peer, user, numbered("Line", 45));
    const ann = await person(user);
    await ann.focused(false);
    await ann.open(peer);
    await ann.divider.waitFor();
    const unread = async () => parseInt((await ann.row(peer).locator(".count").allTextContents())[0] ?? "0");
    await until("all are unread", async () => (await unread()) === 45);
    // Longer than a message takes to be read. The page itself waits, because its timers are the ones that count.
    await ann.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_300)));
    assert.equal(await unread(), 45);
    await ann.focused(true);
    await until("what is in view is read", async () => (await unread()) < 45);
    const left = await unread();
    assert.ok(left > 10, `${left} are not in view and unread`);
    await ann.log.evaluate((log) => (log.scrollTop = log.scrollHeight));
    await until("all is read", async () => (await unread()) === 0);
  });

  it("the list shows unread counts, last messages in one line, drafts and times", async () => {
    const [user, ben, carl] = [fresh("ann"), fresh("ben"), fresh("carl")];
    const ann = await person(user);
    await ann.open(carl);
    await ann.send("Several\nlines");
    await ann.showsState("Several", "Sent");
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

  it("the title counts unread messages of other conversations, and those that arrived while the tab was hidden", async () => {
    const { ann, ben } = await pair();
    const titled = (title) => until(`the title is ${title}`, async () => (await ann.page.title()) === title);
    await seed(chat, fresh("carl"), ann.user, ["Hello.", "Hello?"]);
    await titled("(2) MeetMe");
    await ann.visible(false);
    await ben.send("Psst");
    await titled("(3) MeetMe");
    await ann.visible(true);
    await titled("(2) MeetMe");
  });

  it("notifications are turned on by a button only, shown while the tab is hidden, and closed when read", async () => {
    const { ann, ben } = await pair({ prepare: (page) => page.addInitScript(fakeNotifications) });
    const shown = () => notificationsOf(ann.page);
    await ann.page.getByLabel("Menu").click();
    await ann.page.getByRole("button", { name: "Turn on notifications" }).click();
    await ann.page.getByRole("button", { name: "Turn on notifications" }).waitFor({ state: "hidden" });
    await ben.send("In view");
    await ann.sees("In view");
    assert.deepEqual(await shown(), []);
    await ann.visible(false);
    await ben.send("Out of view");
    await until("a notification", async () => (await shown()).length === 1);
    const [{ title, tag, body }] = await shown();
    assert.deepEqual([title, body], [ben.user, "Out of view"]);
    assert.ok(tag.includes(ben.user), tag);
    await ann.visible(true);
    await until("it is closed", async () => (await shown())[0].closed);
  });

  it("read marks and drafts reach another tab of the same browser", async () => {
    const { ann, ben } = await pair();
    const other = await tab(ann);
    await ann.visible(false);
    await ben.send("Read elsewhere");
    await other.row(ben.user).getByText("1 unread").waitFor();
    await ann.row(ben.user).getByText("1 unread").waitFor();
    await ann.visible(true);
    await other.row(ben.user).getByText("unread").waitFor({ state: "detached" });
    await other.open(ben.user);
    await ann.input.fill("Half a thou");
    await until("the draft is in the other tab", async () => (await other.input.inputValue()) === "Half a thou");
  });
});
