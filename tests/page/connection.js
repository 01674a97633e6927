// The banner of the connection, and the history that cannot be read.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { chat, fresh, pair, person, SOCKETS_PER_USER, wire } from "./fixture.js";
import { numbered, seed, Sender, until } from "./people.js";
import { picture } from "./pictures.js";

/** Runs in the page: sets `lost` when a connection is closed. */
function noteClosed() {
  globalThis.WebSocket = class extends WebSocket {
    constructor(...values) {
      super(...values);
      this.addEventListener("close", () => (globalThis.lost = true));
    }
  };
}

describe("the connection", () => {
  it("a lost connection shows a banner after two seconds, with the time to the next attempt, and no message is lost", async () => {
    const control = wire();
    const prepare = async (page) => {
      await page.clock.install();
      await control.prepare(page);
      await page.addInitScript(noteClosed);
    };
    const { ann, ben } = await pair({ prepare });
    await ann.send("Before");
    await ben.sees("Before");
    control.reject = true;
    const { clock } = ann.page;
    // The page's time goes on by this test's command only, so that a slow machine does not make two seconds of it.
    await clock.pauseAt(Date.now() + 10_000);
    await chat.post("/_local/cut");
    await until("the page's connection is closed", () => ann.page.evaluate(() => globalThis.lost));
    await ann.send("During");
    await ann.showsState("During", "Waiting");
    await clock.runFor(1_900);
    assert.equal(await ann.banner.isVisible(), false, "not within two seconds");
    await clock.runFor(100);
    assert.equal(await ann.banner.isVisible(), true, "after two seconds");
    await clock.resume();
    await ann.banner.getByRole("status").getByText(/Not connected|Connecting/).waitFor();
    await ann.banner.getByText(/Next try in \d+ s\./).waitFor({ timeout: 20_000 });
    await picture(ann.page, "banner");
    await ben.send("Meanwhile");
    control.reject = false;
    await ann.banner.getByRole("button", { name: "Now" }).click({ timeout: 1_000 }).catch(() => {});
    await ann.sees("Meanwhile");
    await ben.sees("During");
    await ann.banner.waitFor({ state: "hidden" });
  });

  it("a replaced connection continues here when the user clicks the button", async () => {
    const { ann, ben } = await pair();
    const others = [];
    for (let n = 0; n < SOCKETS_PER_USER; n++) others.push(await Sender.open(chat, ann.user));
    await ann.banner.getByText("Open elsewhere.").waitFor();
    await ann.banner.getByRole("button", { name: "Continue here" }).click();
    await ann.banner.waitFor({ state: "hidden" });
    await ben.send("There you are");
    await ann.sees("There you are");
    await Promise.all(others.map((other) => other.close()));
  });

  it("a history that cannot be read shows an error with a button to try again", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    // Own messages: unread ones would be loaded at once.
    await seed(chat, user, peer, numbered("Line", 70));
    let broken = true;
    const reject = (route) => (broken ? route.fulfill({ status: 503, body: "{}" }) : route.fallback());
    const ann = await person(user, { prepare: (page) => page.route(/\/chat\/history/, reject) });
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
    assert.equal(await ann.message("Line 1.").count(), 0, "older pages are not requested again automatically");
    await trouble.getByRole("button", { name: "Try again" }).click();
    await ann.sees("Line 1.");
    await trouble.waitFor({ state: "hidden" });
  });
});
