// Signing in and out, and browsers without JavaScript, settings or storage.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { browser, chat, fresh, pair, tab, visit } from "./fixture.js";
import { until } from "./people.js";

describe("signing in and out", () => {
  it("an invalid user id gets an error message", async () => {
    const one = await visit();
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
    await one.send("It is me");
    await one.showsState("It is me", "Sent");
    await one.page.getByLabel("User id of the other person").fill(one.user);
    await one.page.getByRole("button", { name: "Start" }).click();
    await one.page.getByText("This is you.").waitFor();
  });

  it("signing out removes messages and drafts in all tabs", async () => {
    const { ann, ben } = await pair();
    await ann.send("Secret message");
    await ann.showsState("Secret message", "Delivered");
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
      const kept = () =>
        one.page.evaluate(async () => {
          const stores = await indexedDB.databases();
          return JSON.stringify([{ ...localStorage }, { ...sessionStorage }, stores.map(({ name }) => name)]);
        });
      // The form is shown while the database is being deleted.
      await until("nothing of the user is stored", async () => !(await kept()).includes(ann.user));
    }
    await other.page.reload();
    await other.page.getByLabel("Your user id").waitFor();
  });

  it("without JavaScript, settings or storage the page says what is missing", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(chat.http);
    await until("the page asks for JavaScript", () => page.locator("noscript p").isVisible());
    await context.close();

    let broken = true;
    const one = await visit({
      prepare: async (page) => {
        await page.route(/config\.json/, (route) => (broken ? route.fulfill({ status: 500, json: {} }) : route.continue()));
        await page.addInitScript(() => {
          const reject = () => {
            throw new DOMException("refused", "SecurityError");
          };
          IDBFactory.prototype.open = reject;
          Object.defineProperty(globalThis, "localStorage", { get: reject });
        });
      },
    });
    await one.page.getByText("The settings of the chat cannot be loaded.").waitFor();
    broken = false;
    await one.page.getByRole("button", { name: "Try again" }).click();
    await one.signIn(fresh("ann"));
    await one.page.getByText("This browser refuses to store data here.").waitFor();
    const peer = fresh("ben");
    await one.open(peer);
    await one.send("Works");
    await one.showsState("Works", "Sent");
    await one.input.fill("A draft");
    await one.open(fresh("carl"));
    await one.open(peer);
    assert.equal(await one.input.inputValue(), "A draft");
  });
});
