// The input and drafts.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { fresh, pair, visit } from "./fixture.js";
import { until } from "./people.js";
import { picture } from "./pictures.js";

describe("writing", () => {
  it("Enter sends, Shift+Enter begins a new line", async () => {
    const { ann } = await pair();
    await ann.input.pressSequentially("One");
    await ann.input.press("Shift+Enter");
    await ann.input.pressSequentially("Two");
    assert.equal(await ann.input.inputValue(), "One\nTwo");
    const high = (await ann.input.boundingBox()).height;
    await ann.input.press("Enter");
    await ann.showsState("One", "Delivered");
    assert.equal(await ann.input.inputValue(), "");
    assert.ok(high > (await ann.input.boundingBox()).height + 10, "the input grew with the text");
    await ann.send("   ");
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
    await ann.showsState("日本", "Delivered");
  });

  it("a text that is too long is not sent, and the last tenth of the limit is counted down", async () => {
    const { ann } = await pair();
    const count = ann.page.locator("#count");
    await ann.input.fill("ü".repeat(7_000));
    assert.equal(await count.textContent(), "");
    await ann.input.fill("ü".repeat(8_000));
    assert.equal(await count.textContent(), "384 bytes left");
    await ann.send(`x${"ü".repeat(8_192)}`);
    assert.equal(await count.textContent(), "1 bytes too long. Shorten the message to send it.");
    assert.equal((await ann.input.inputValue()).length, 8_193);
    assert.equal(await ann.log.getByRole("article").count(), 0);
    await ann.send("ü".repeat(8_192));
    await ann.showsState("üü", "Delivered");
  });

  it("the other one sees that somebody writes, until the message comes", async () => {
    const { ann, ben } = await pair();
    const line = ben.page.locator("#typing");
    // Ben's message tells Ann's page that he is there.
    await ben.send("Are you there?");
    await ann.sees("Are you there?");
    await ann.input.pressSequentially("Ye");
    await until("Ben sees that Ann writes", async () => (await line.textContent()) === `${ann.user} is typing…`);
    await picture(ben.page, "typing");
    await ann.send("Yes.");
    await ben.sees("Yes.");
    await until("the line is empty again", async () => (await line.textContent()) === "");
  });

  it("drafts are kept for each conversation, after a reload too", async () => {
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
    await ann.send("Sent");
    await ann.open(ben.user);
    await ann.open(other);
    assert.equal(await ann.input.inputValue(), "", "what is sent is no draft");
  });

  it("another user of this browser sees no draft of the first", async () => {
    const { ann, ben } = await pair();
    await ann.input.fill("Secret");
    await ann.open(fresh("carl"));
    const other = await visit({ context: ann.context });
    await other.signIn(fresh("eve"));
    await other.open(ben.user);
    assert.equal(await other.input.inputValue(), "");
  });
});
