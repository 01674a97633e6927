// The list of conversations, as the server has it.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { chat, fakeList, fresh, oldServer, pair, person } from "./fixture.js";
import { numbered, seed, Sender, until } from "./people.js";
import { picture } from "./pictures.js";

const rowsOf = (one) => one.page.getByRole("list", { name: "Conversations" }).getByRole("listitem");
const text = async (locator) => (await locator.innerText()).replace(/\s+/g, " ");

describe("the list", () => {
  it("a new browser shows the conversations of the server, newest first, before any is opened", async () => {
    const [user, ben, carl, dora] = [fresh("ann"), fresh("ben"), fresh("carl"), fresh("dora")];
    await seed(chat, ben, user, numbered("Line", 3));
    await seed(chat, user, carl, ["Several\nlines"]);
    const sender = await Sender.open(chat, dora);
    await sender.flood(user, numbered("Line", 120));
    await sender.close();
    let pages = 0;
    const ann = await person(user, { prepare: (page) => page.route(/\/chat\/history/, (route) => (pages++, route.continue())) });
    await ann.row(dora).getByText("99+ unread").waitFor();
    const names = await ann.page.getByRole("list", { name: "Conversations" }).locator("bdi").allTextContents();
    assert.deepEqual(names, [dora, carl, ben], "the newest is first");
    await ann.row(ben).getByText("3 unread").waitFor();
    assert.match(await text(ann.row(ben)), /\d\d:\d\d Line 3\. 3 unread/);
    assert.match(await text(ann.row(carl)), /You: Several lines$/);
    assert.equal(await ann.page.title(), "(99+) MeetMe");
    const heights = await rowsOf(ann).evaluateAll((all) => all.map((row) => row.offsetHeight));
    assert.ok(heights.every((height) => height < 80), `rows are ${heights} px high`);
    assert.equal(pages, 0, "no history is read for the list");
    await picture(ann.page, "list");
  });

  it("the unread count of a conversation that was never opened here goes up with each message, and not with own ones", async () => {
    const [user, ben] = [fresh("ann"), fresh("ben")];
    await seed(chat, ben, user, numbered("Line", 3));
    const ann = await person(user);
    await ann.row(ben).getByText("3 unread").waitFor();
    await seed(chat, ben, user, ["Another."]);
    await ann.row(ben).getByText("4 unread").waitFor();
    await seed(chat, user, ben, ["Sent from another device."]);
    await until("the preview is the own message", async () => /You: Sent from another/.test(await text(ann.row(ben))));
    assert.match(await text(ann.row(ben)), /4 unread/);
  });

  it("older conversations are loaded by scrolling, and after a failure by the button", async () => {
    const user = fresh("ann");
    let broken = false;
    const fake = fakeList(user, 230);
    const serve = (route) => (broken ? route.fulfill({ status: 503, json: {} }) : fake(route));
    const ann = await person(user, { prepare: (page) => page.route(/\/chat\/conversations/, serve) });
    const count = () => rowsOf(ann).count();
    await until("the first page", async () => (await count()) === 50);
    const scroll = ann.page.locator("#list-scroll");
    const toEnd = () => scroll.evaluate((element) => (element.scrollTop = element.scrollHeight));
    broken = true;
    await toEnd();
    await ann.page.getByText("The conversations cannot be loaded now.").waitFor();
    assert.equal(await count(), 50);
    broken = false;
    await ann.page.getByRole("button", { name: "Older conversations" }).click();
    await until("the second page", async () => (await count()) >= 100);
    await ann.page.getByText("The conversations cannot be loaded now.").waitFor({ state: "detached" });
    await until("all pages", async () => (await toEnd(), (await count()) === 230));
    await ann.page.getByRole("button", { name: "Older conversations" }).waitFor({ state: "hidden" });
    const names = await rowsOf(ann).locator("bdi").allTextContents();
    assert.deepEqual(names, Array.from({ length: 230 }, (_, at) => `peer${at}@example.com`));
  });

  it("older conversations that are loaded while the tab is hidden are no news", async () => {
    const user = fresh("ann");
    const ann = await person(user, {
      prepare: async (page) => {
        await page.route(/\/chat\/conversations/, fakeList(user, 100, 2));
        await page.addInitScript(() => {
          globalThis.titles = [];
          globalThis.Notification = class {
            static permission = "granted";
            constructor(title) {
              globalThis.titles.push(title);
            }
            close() {}
          };
        });
      },
    });
    await until("the first page", async () => (await rowsOf(ann).count()) === 50);
    await ann.visible(false);
    await ann.page.getByRole("button", { name: "Older conversations" }).evaluate((button) => button.click());
    await until("the second page", async () => (await rowsOf(ann).count()) === 100);
    const stranger = fresh("stranger");
    await seed(chat, stranger, user, ["Hello."]);
    await ann.row(stranger).waitFor();
    assert.deepEqual(await ann.page.evaluate(() => globalThis.titles), [stranger]);
  });

  it("a row keeps the focus when a newer conversation goes above it", async () => {
    const [user, ben, carl] = [fresh("ann"), fresh("ben"), fresh("carl")];
    await seed(chat, ben, user, ["One."]);
    await seed(chat, carl, user, ["Two."]);
    const ann = await person(user);
    await ann.row(ben).focus();
    await seed(chat, ben, user, ["Three."]);
    await until("it is the first", async () => (await rowsOf(ann).first().innerText()).includes("Three."));
    assert.equal(await ann.row(ben).evaluate((link) => link === document.activeElement), true);
  });

  it("somebody who writes is shown in the list", async () => {
    const { ann, ben } = await pair();
    await ben.send("Are you there?");
    await ann.sees("Are you there?");
    await ben.open(fresh("carl"));
    await ann.input.pressSequentially("Ye");
    await ben.row(ann.user).getByText("typing…").waitFor();
    await ann.send("Yes.");
    await ben.row(ann.user).getByText("Yes.").waitFor();
  });

  it("with an older server the list has what this browser knows, and nothing else is missed", async () => {
    const { ann, ben } = await pair({ prepare: oldServer });
    await ben.send("Read before");
    await ann.sees("Read before");
    await ann.row(ben.user).getByText("unread").waitFor({ state: "detached" });
    await ann.send("Answered");
    await ann.showsState("Answered", "Delivered");
    await ann.open(fresh("carl"));
    await seed(chat, ben.user, ann.user, numbered("Missed", 2));
    await ann.row(ben.user).getByText("2 unread").waitFor();
    assert.equal(await ann.page.title(), "(2) MeetMe");
    await ann.open(ben.user);
    await ann.divider.waitFor();
    await ann.row(ben.user).getByText("unread").waitFor({ state: "detached" });
    assert.equal(await ann.page.locator("#presence").textContent(), "");
    await ann.page.getByLabel("Menu").click();
    assert.equal(await ann.page.getByRole("button", { name: "Settings" }).isVisible(), false);
    assert.equal(await ann.page.getByRole("button", { name: "Older conversations" }).isVisible(), false);
    await ann.page.reload();
    await ann.row(ben.user).getByText("Missed 2.").waitFor();
  });
});
