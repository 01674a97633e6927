// The page in a browser, on the whole chat: one open conversation.
//
// The tests of all modules of a file run in one process, so that one browser and one chat are started for them. Each test shows one
// behavior.

import { describe, it } from "node:test";

import { browser, person } from "./fixture.js";
import { until } from "./people.js";
import { picture, sideBySide } from "./pictures.js";
import "./messages.js";
import "./changes.js";
import "./scrolling.js";
import "./reading.js";
import "./writing.js";

describe("pictures", () => {
  it("two people in two windows", async () => {
    const size = { viewport: { width: 860, height: 640 } };
    const ann = await person("student@example.com", size);
    const ben = await person("prof@example.com", { ...size, colorScheme: "dark" });
    await Promise.all([ann.open(ben.user), ben.open(ann.user)]);
    const messages = [
      [ann, "Good morning! May I ask about exercise 4?"],
      [ben, "Of course."],
      [ben, "Which part of it?"],
      [ann, "Why is a majority enough for a write?"],
      [ben, "Because any two majorities share a member. Figure 8 shows it: https://raft.github.io/raft.pdf"],
      [ann, "Now I see. Thank you!"],
      [ann, "🎉"],
      [ben, "At 3PM I have time for the rest."],
    ];
    for (const [one, text] of messages) {
      await one.send(text);
      await (one === ann ? ben : ann).sees(text);
    }
    await ann.showsState("🎉", "Read");
    await ben.showsState("At 3PM I have time", "Read");
    for (const one of [ann, ben]) {
      // Now that both have written, the server tells who is online.
      await one.page.reload();
      await one.page.locator("#presence", { hasText: "online" }).waitFor();
    }
    for (const one of [ann, ben]) await until("all is read", async () => (await one.page.locator(".count").count()) === 0);
    await sideBySide(browser, [ann.page, ben.page], "two-people");
    await picture(ann.page, "light");
    await picture(ben.page, "dark");
  });
});
