// Screen readers, the keyboard, phones and colour schemes.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { load } from "./browser.js";
import { chat, fresh, pair, person, visit, wire } from "./fixture.js";
import { PHONE, numbered, seed, until } from "./people.js";
import { picture } from "./pictures.js";

describe("access", () => {
  it("a screen reader reads a new message once, and the history never", async () => {
    const [user, peer] = [fresh("ann"), fresh("ben")];
    await seed(chat, peer, user, numbered("Old", 70));
    const ann = await person(user);
    await ann.open(peer);
    await ann.sees("Old 70.");
    await ann.scrollTo(0);
    await ann.sees("Old 1.");
    assert.deepEqual(await ann.announcements(), []);
    assert.equal(await ann.log.getAttribute("aria-live"), "off");
    await seed(chat, peer, user, ["News."]);
    await ann.sees("News.");
    await until("it is said", async () => (await ann.announcements()).length > 0);
    assert.deepEqual(await ann.announcements(), [`${peer}: News.`]);
    assert.equal(await ann.page.locator("#live").getAttribute("aria-live"), "polite");
  });

  it("all parts of the page have a role and a name", async () => {
    const { ann, ben } = await pair();
    await ann.send("At 3PM?");
    await ann.showsState("At 3PM?", "Delivered");
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

  it("Tab moves from the list to the menu, the messages and the input, arrow keys move inside, Escape returns to the input", async () => {
    const control = wire();
    const { ann, ben } = await pair({ prepare: control.prepare });
    await ann.send("One");
    await ann.send("Two https://example.com/");
    control.respond = ({ message, client_message_id }) =>
      message && { type: "error", code: "message_too_long", message: "No.", client_message_id, retryable: false };
    await ann.send("Three");
    await ann.message("Three").getByRole("button", { name: "Discard" }).waitFor();
    const focus = () => ann.page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);
    const press = async (key) => (await ann.page.keyboard.press(key), focus());
    await ann.row(ben.user).focus();
    assert.match(await press("Tab"), /^This conversation/);
    assert.match(await press("Tab"), /^You: Three/);
    assert.match(await press("ArrowUp"), /^You: Two/);
    assert.match(await press("Tab"), /^https:/);
    assert.match(await press("ArrowUp"), /^You: One/);
    assert.match(await press("Tab"), /^Actions/);
    assert.match(await press("Tab"), /^Message/, "links of other messages are no stops");
    assert.match(await press("Shift+Tab"), /^Actions/);
    assert.match(await press("Shift+Tab"), /^You: One/);
    assert.match(await press("End"), /^You: Three/);
    assert.match(await press("Tab"), /^Try again/);
    assert.match(await press("Escape"), /^Message/);
  });

  for (const [name, options] of Object.entries({
    light: { viewport: { width: 1200, height: 760 } },
    dark: { viewport: { width: 1200, height: 760 }, colorScheme: "dark" },
    phone: PHONE,
  })) {
    it(`axe finds nothing wrong (${name})`, async () => {
      const control = wire();
      const one = await visit({ ...options, prepare: control.prepare });
      await axe(one, "sign-in");
      const peer = fresh("ben");
      await one.signIn(fresh("ann"));
      await seed(chat, peer, one.user, ["See https://example.com/", "🎉"]);
      await one.row(peer).waitFor();
      await axe(one, "list");
      const dialog = await one.settings();
      await axe(one, "settings");
      const { x, width } = await dialog.boundingBox();
      assert.ok(x >= 0 && x + width <= one.page.viewportSize().width, "the dialog fits the window");
      await picture(one.page, `settings-${name}`);
      await one.page.keyboard.press("Escape");
      await one.open(peer);
      const send = async (text) => (await one.input.fill(text), one.page.getByRole("button", { name: "Send" }).click());
      await send("Good morning!");
      await one.showsState("Good morning!", "Sent");
      const other = await person(peer);
      await other.open(one.user);
      await one.showsState("Good morning!", "Read");
      // Now that both have written, the server tells who is online.
      await one.page.reload();
      await one.page.getByRole("region", { name: peer }).getByText("online").waitFor();
      await one.message("Good morning!").hover();
      await one.message("Good morning!").getByRole("button", { name: "Actions" }).click();
      await axe(one, "actions");
      await one.page.getByRole("menuitem", { name: "Delete" }).click();
      await axe(one, "confirm");
      await one.page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
      await until("the focus is on the message", () => one.page.evaluate(() => document.activeElement.localName === "article"));
      await one.input.press("ArrowUp");
      await axe(one, "editing");
      await one.input.press("Escape");
      await send("Deleted soon");
      await one.showsState("Deleted soon", "Read");
      await one.message("Deleted soon").getByRole("button", { name: "Actions" }).click();
      await one.page.getByRole("menuitem", { name: "Delete" }).click();
      await one.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
      await one.message("Message deleted").waitFor();
      control.respond = ({ message, client_message_id }) =>
        message && { type: "error", code: "message_too_long", message: "The text is too long.", client_message_id, retryable: false };
      await one.input.press("ArrowUp");
      await one.input.fill("Good evening!");
      await one.page.getByRole("button", { name: "Save" }).click();
      await one.message("Good morning!").getByText("Not edited.").waitFor();
      await send("Refused");
      await one.message("Refused").getByRole("button", { name: "Discard" }).waitFor();
      await one.input.fill("x".repeat(16_400));
      await axe(one, "conversation");
      await picture(one.page, `axe-${name}`);
    });
  }

  it("on a phone one pane is shown at a time, and Enter begins a new line", async () => {
    const peer = fresh("ben");
    const ann = await person(fresh("ann"), PHONE);
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
    await ann.showsState("One", "Sent");
    await picture(ann.page, "phone");
    // The keyboard covers the page, as in Safari.
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

  it("the page follows the system's colour scheme and its preference for reduced motion", async () => {
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

  it("the typing line has a fixed height", async () => {
    const { ann } = await pair();
    const { height } = await ann.page.locator("#typing").boundingBox();
    assert.ok(height >= 20, `${height} px`);
  });
});

/** Checks the page as it is now with axe-core. */
export async function axe(one, where) {
  const { source } = load("axe-core");
  // Injected by the debugger, because the page's content security policy allows no other script.
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
