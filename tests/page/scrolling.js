// The scroll position, older pages and the browser's history.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { chat, fakeHistory, fresh, pair, person } from "./fixture.js";
import { numbered, seed, until } from "./people.js";

describe("the place of the reader", () => {
  it("the list stays at the bottom only if the reader is there", async () => {
    const { ann, ben } = await pair();
    await seed(chat, ben.user, ann.user, numbered("Line", 40));
    await ann.sees("Line 40.");
    await until("ann is at the bottom", async () => (await ann.fromBottom()) < 2);
    await ann.log.evaluate((log) => (log.scrollTop -= 600));
    const held = await ann.topOf("Line 25.");
    await ben.send("New one");
    const button = ann.page.getByRole("button", { name: /^1 new/ });
    await button.waitFor();
    assert.equal(await button.textContent(), "1 new ↓");
    assert.equal(await ann.topOf("Line 25."), held);
    await button.click();
    await until("ann is at the bottom again", async () => (await ann.fromBottom()) < 2);
    await button.waitFor({ state: "hidden" });
  });

  it("a change that comes with a scroll does not take the reader back to the bottom", async () => {
    const { ann, ben } = await pair();
    await seed(chat, ben.user, ann.user, numbered("Line", 40));
    await ann.sees("Line 40.");
    await until("ann is at the bottom", async () => (await ann.fromBottom()) < 2);
    const moved = await ann.log.evaluate((log) => {
      const first = () => log.querySelector("article").getBoundingClientRect().top;
      log.scrollTop = 300;
      const before = first();
      // The list is drawn again before the event of the scroll.
      dispatchEvent(new Event("visibilitychange"));
      return first() - before;
    });
    assert.equal(moved, 0);
  });

  it("the messages in view do not move while an older page is inserted above", async () => {
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

  it("older pages are requested one screen ahead, and at most 1,000 messages are elements", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    const ann = await person(user, { prepare: (page) => page.route(/\/chat\/history/, fakeHistory(peer, user, 1_080)) });
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

  it("a reload returns to the conversation and the scroll position", async () => {
    const { ann, ben } = await pair();
    await seed(chat, ben.user, ann.user, numbered("Line", 120));
    await ann.sees("Line 120.");
    await ann.log.evaluate((log) => (log.scrollTop = log.scrollHeight / 2));
    await until("all pages are there", async () => (await ann.page.getByText("This is the beginning.").isVisible()) && (await ann.log.getByRole("article").count()) === 120);
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

  it("the browser's back and forward move through the conversations", async () => {
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
