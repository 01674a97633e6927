// Editing and deleting messages.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { chat, fakeNotifications, fresh, notificationsOf, oldServer, pair, person, tab, wire } from "./fixture.js";
import { PHONE, numbered, seed, until } from "./people.js";
import { picture } from "./pictures.js";

/** Returns the button that opens the menu of a message. */
const actionsOf = (one, text) => one.message(text).getByRole("button", { name: "Actions" });

/** Chooses an action in the menu of a message. */
async function choose(one, text, action) {
  await one.message(text).hover();
  await actionsOf(one, text).click();
  await one.page.getByRole("menuitem", { name: action }).click();
}

/** Edits a message, and waits until that is stored. */
async function edit(one, text, now) {
  await choose(one, text, "Edit");
  await one.send(now);
  await one.message(now).getByRole("img", { name: /Sent|Delivered|Read/ }).waitFor();
}

/** Deletes a message. */
async function remove(one, text) {
  await choose(one, text, "Delete");
  await one.page.getByRole("dialog", { name: "Delete this message?" }).getByRole("button", { name: "Delete" }).click();
  await until(`${text} is gone`, async () => (await one.message(text).count()) === 0);
}

const texts = (one) => one.log.locator("article > p").allTextContents();
const shows = (one, expected) => until(`${one.user} sees ${expected}`, async () => JSON.stringify(await texts(one)) === JSON.stringify(expected));
const focused = (one) => one.page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);

describe("changes of messages", () => {
  it("an edited message shows its new text to both, in all tabs, and says that it was edited", async () => {
    const { ann, ben } = await pair();
    const other = await tab(ann);
    await other.open(ben.user);
    await ann.send("At 3PM?");
    await ben.sees("At 3PM?");
    await choose(ann, "At 3PM?", "Edit");
    const bar = ann.page.getByText("Editing: At 3PM?");
    await bar.waitFor();
    assert.equal(await ann.input.inputValue(), "At 3PM?");
    await picture(ann.page, "editing");
    await ann.send("At 4PM?");
    await bar.waitFor({ state: "hidden" });
    for (const one of [ann, other, ben]) {
      await one.sees("At 4PM?");
      await one.message("At 4PM?").getByText("edited", { exact: true }).waitFor();
    }
    await ann.page.getByRole("article", { name: /^You: At 4PM\?, edited, \d\d:\d\d, (Delivered|Read)$/ }).waitFor();
    await until("ben hears it", async () => (await ben.announcements()).includes(`${ann.user} edited: At 4PM?`));
    await ann.page.reload();
    await shows(ann, ["At 4PM?"]);
    await picture(ben.page, "edited");
  });

  it("a deleted message leaves its place to both, and its text is nowhere", async () => {
    const { ann, ben } = await pair();
    for (const text of ["One", "Secret", "Three"]) await ann.send(text);
    await ben.sees("Three");
    await choose(ann, "Secret", "Delete");
    const dialog = ann.page.getByRole("dialog", { name: "Delete this message?" });
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "hidden" });
    await until("the focus is on the message", async () => /^You: Secret/.test(await focused(ann)));
    await remove(ann, "Secret");
    await until("the focus is where the message was", async () => /^You: Message deleted/.test(await focused(ann)));
    for (const one of [ann, ben]) await shows(one, ["One", "Message deleted", "Three"]);
    await until("ben hears it", async () => (await ben.announcements()).includes(`${ann.user} deleted a message`));
    assert.ok(!(await ben.page.locator("body").innerHTML()).includes("Secret"), "it is nowhere in the page");
    await ann.page.getByRole("article", { name: /^You: Message deleted, \d\d:\d\d$/ }).waitFor();
    await picture(ann.page, "deleted");
    assert.equal(await ann.message("Message deleted").getByRole("button").count(), 0, "it cannot be changed");
    await ben.page.reload();
    await shows(ben, ["One", "Message deleted", "Three"]);
    for (const one of [ann, ben]) {
      // Stored copies are written when the page is hidden, at the latest.
      await one.visible(false);
      const kept = () => one.page.evaluate(async () => {
        const names = (await indexedDB.databases()).map(({ name }) => name);
        const rows = (name) => new Promise((resolve, reject) => {
          const open = indexedDB.open(name);
          open.onerror = () => reject(open.error);
          open.onsuccess = () => {
            const all = open.result.transaction("conversations").objectStore("conversations").getAll();
            all.onsuccess = () => (open.result.close(), resolve(all.result));
          };
        });
        return JSON.stringify(await Promise.all(names.map(rows)));
      });
      await until("the store has the other texts", async () => (await kept()).includes("Three"));
      await until("the store has not the deleted one", async () => !(await kept()).includes("Secret"));
    }
  });

  it("one who was away sees what was changed meanwhile", async () => {
    const control = wire();
    const ann = await person(fresh("ann"));
    const away = await person(fresh("away"), { prepare: control.prepare });
    await away.open(ann.user);
    await ann.open(away.user);
    for (const text of ["One", "Two", "Three"]) await ann.send(text);
    await away.sees("Three");
    await ann.showsState("Three", "Read");
    control.reject = true;
    await chat.cut();
    await away.banner.getByRole("status").getByText(/Not connected|Connecting/).waitFor();
    await edit(ann, "One", "First");
    await remove(ann, "Two");
    await edit(ann, "First", "The first");
    assert.deepEqual(await texts(away), ["One", "Two", "Three"]);
    control.reject = false;
    await away.banner.getByRole("button", { name: "Now" }).click({ timeout: 1_000 }).catch(() => {});
    await shows(away, ["The first", "Message deleted", "Three"]);
  });

  it("a deleted message counts as unread no more, and the list shows the one before", async () => {
    const ben = await person(fresh("ben"));
    const ann = await person(fresh("ann"));
    await seed(chat, ben.user, ann.user, numbered("Line", 3));
    await ann.row(ben.user).getByText("3 unread").waitFor();
    await ben.open(ann.user);
    await remove(ben, "Line 3.");
    await ann.row(ben.user).getByText("2 unread").waitFor();
    await ann.row(ben.user).getByText("Line 2.").waitFor();
    await until("the title follows", async () => (await ann.page.title()) === "(2) MeetMe");
    await edit(ben, "Line 2.", "Second line.");
    await ann.row(ben.user).getByText("Second line.").waitFor();
    for (const text of ["Line 1.", "Second line."]) await remove(ben, text);
    await ann.row(ben.user).getByText("unread").waitFor({ state: "detached" });
    await ann.row(ben.user).getByText("Message deleted").waitFor();
    await ann.open(ben.user);
    await shows(ann, ["Message deleted", "Message deleted", "Message deleted"]);
    assert.equal(await ann.divider.count(), 0, "nothing is new");
  });

  it("a notification follows its message", async () => {
    const ben = await person(fresh("ben"));
    const ann = await person(fresh("ann"), { prepare: (page) => page.addInitScript(fakeNotifications) });
    await ann.page.getByLabel("Menu").click();
    await ann.page.getByRole("button", { name: "Turn on notifications" }).click();
    await ann.page.getByRole("button", { name: "Turn on notifications" }).waitFor({ state: "hidden" });
    await ann.visible(false);
    await ben.open(ann.user);
    const bodies = async () => (await notificationsOf(ann.page)).map(({ body, closed }) => `${body}${closed ? " (closed)" : ""}`);
    const shown = (expected) => until(`the notifications ${expected}`, async () => JSON.stringify(await bodies()) === JSON.stringify(expected));
    for (const text of ["One", "Two"]) {
      await ben.send(text);
      await ann.row(ben.user).getByText(text).waitFor();
    }
    await shown(["One", "Two"]);
    await edit(ben, "Two", "Second");
    await shown(["One", "Two", "Second"]);
    await edit(ben, "One", "First");
    await ann.row(ben.user).getByText("Second").waitFor();
    await remove(ben, "Second");
    await shown(["One", "Two", "Second (closed)"]);
    const tags = new Set((await notificationsOf(ann.page)).map(({ tag }) => tag));
    assert.equal(tags.size, 1, "each takes the place of the one before");
  });

  it("ArrowUp in the empty input edits the last own message, Escape keeps it, and the draft comes back", async () => {
    const { ann, ben } = await pair();
    await ann.send("Mine");
    await ben.sees("Mine");
    await ben.send("Theirs");
    await ann.sees("Theirs");
    await ann.input.press("ArrowUp");
    await ann.page.getByText("Editing: Mine").waitFor();
    await ann.input.fill("Something else");
    await ann.input.press("Escape");
    await ann.page.getByText("Editing:").waitFor({ state: "hidden" });
    assert.equal(await ann.input.inputValue(), "");
    await ann.input.fill("A draft");
    await ann.input.press("ArrowUp");
    assert.equal(await ann.page.getByText("Editing:").isVisible(), false, "not while there is a text");
    await choose(ann, "Mine", "Edit");
    assert.equal(await ann.input.inputValue(), "Mine");
    await ann.page.getByRole("button", { name: "Cancel editing" }).click();
    assert.equal(await ann.input.inputValue(), "A draft");
    await choose(ann, "Mine", "Edit");
    // An unchanged text is not sent.
    await ann.input.press("Enter");
    assert.equal(await ann.input.inputValue(), "A draft");
    await choose(ann, "Mine", "Edit");
    await ann.open(fresh("carl"));
    await ann.open(ben.user);
    assert.equal(await ann.input.inputValue(), "A draft", "leaving the conversation ends editing");
    assert.deepEqual(await texts(ann), ["Mine", "Theirs"]);
    assert.equal(await ann.log.getByText("edited").count(), 0);
  });

  it("the menu is used by the keyboard alone", async () => {
    const { ann, ben } = await pair();
    await ann.send("One");
    await ann.showsState("One", "Read");
    const press = async (key) => (await ann.page.keyboard.press(key), focused(ann));
    await ann.message("One").focus();
    assert.match(await press("Tab"), /^Actions/);
    assert.match(await press("Enter"), /^Edit/);
    assert.match(await press("ArrowDown"), /^Delete/);
    assert.match(await press("ArrowUp"), /^Edit/);
    assert.match(await press("End"), /^Delete/);
    assert.match(await press("Escape"), /^You: One/);
    assert.equal(await ann.page.getByRole("menu").count(), 0);
    await press("Shift+F10");
    await until("the key for menus opens it too", async () => (await focused(ann)) === "Edit");
    await press("Enter");
    await ann.page.getByText("Editing: One").waitFor();
    await ann.page.keyboard.type(" and a half");
    await ann.page.keyboard.press("Enter");
    await ben.sees("One and a half");
    assert.equal(await ben.message("One and a half").getByRole("button").count(), 0, "messages of others have no menu");
  });

  it("a change that is refused is taken back with the reason, said aloud, and can be retried or discarded", async () => {
    const control = wire();
    const { ann, ben } = await pair({ prepare: control.prepare });
    await ann.send("At 3PM?");
    await ann.showsState("At 3PM?", "Read");
    control.respond = ({ action, client_message_id }) =>
      /^(edit|delete)/.test(action) ? { type: "error", code: "forbidden", message: "It is not allowed.", client_message_id, retryable: false } : undefined;
    await choose(ann, "At 3PM?", "Edit");
    await ann.send("At 4PM?");
    await ann.message("At 3PM?").getByText("Not edited. It is not allowed.").waitFor();
    await until("it is said aloud", async () => (await ann.announcements()).includes("Message not changed. It is not allowed."));
    await picture(ann.page, "not-edited");
    control.respond = () => undefined;
    await ann.message("At 3PM?").getByRole("button", { name: "Try again" }).click();
    await ben.sees("At 4PM?");
    control.respond = ({ action, client_message_id }) =>
      action === "deleteMessage" ? { type: "error", code: "forbidden", message: "It is not allowed.", client_message_id, retryable: false } : undefined;
    await choose(ann, "At 4PM?", "Delete");
    await ann.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await ann.message("At 4PM?").getByText("Not deleted. It is not allowed.").waitFor();
    await ann.message("At 4PM?").getByRole("button", { name: "Discard" }).click();
    await ann.message("At 4PM?").getByText("Not deleted.").waitFor({ state: "detached" });
    await shows(ben, ["At 4PM?"]);
  });

  it("a change shows a clock until it is stored, also after a reload", async () => {
    const control = wire();
    const { ann, ben } = await pair({ prepare: control.prepare });
    await ann.send("One");
    await ann.showsState("One", "Read");
    control.respond = ({ action }) => (action === "editMessage" ? null : undefined);
    await choose(ann, "One", "Edit");
    await ann.send("First");
    await ann.showsState("First", "Sending");
    assert.deepEqual(await texts(ben), ["One"]);
    await ann.page.reload();
    await ann.sees("First");
    control.respond = () => undefined;
    await chat.cut();
    await ben.sees("First");
    await ann.showsState("First", "Read");
  });

  it("a message that is deleted on another device while it is being edited here ends that", async () => {
    const { ann, ben } = await pair();
    const other = await person(ann.user);
    await other.open(ben.user);
    await ann.send("One");
    await other.sees("One");
    await choose(ann, "One", "Edit");
    await ann.page.getByText("Editing: One").waitFor();
    await remove(other, "One");
    await ann.page.getByText("Editing:").waitFor({ state: "hidden" });
    assert.equal(await ann.input.inputValue(), "");
  });

  it("on a phone the button is always there, and the menu fits the screen", async () => {
    const peer = fresh("ben");
    const ann = await person(fresh("ann"), PHONE);
    await seed(chat, ann.user, peer, numbered("Line", 30));
    await ann.open(peer);
    await ann.sees("Line 30.");
    const button = actionsOf(ann, "Line 30.");
    assert.equal(await button.evaluate((element) => getComputedStyle(element).opacity), "1");
    const { x, width, height } = await button.boundingBox();
    assert.ok(x >= 0 && width >= 24 && height >= 24, `${width} x ${height} at ${x}`);
    const fits = async () => {
      const menu = await ann.page.getByRole("menu").boundingBox();
      assert.ok(menu.x >= 0 && menu.x + menu.width <= 390 && menu.y >= 0 && menu.y + menu.height <= 844, JSON.stringify(menu));
    };
    await button.tap();
    await fits();
    await picture(ann.page, "menu-phone");
    await ann.page.getByRole("menuitem", { name: "Edit" }).tap();
    await ann.input.fill("The last line.");
    await ann.page.getByRole("button", { name: "Save" }).tap();
    await ann.sees("The last line.");
    await ann.input.fill("High.\n".repeat(60));
    await ann.page.getByRole("button", { name: "Send" }).tap();
    await ann.showsState("High.", "Sent");
    await ann.message("High.").focus();
    await ann.page.keyboard.press("Shift+F10");
    await ann.page.getByRole("menu").waitFor();
    await fits();
  });

  it("with an older server messages have no actions", async () => {
    const { ann, ben } = await pair({ prepare: oldServer });
    await ann.send("One");
    await ben.sees("One");
    await ann.showsState("One", "Delivered");
    assert.equal(await actionsOf(ann, "One").count(), 0);
    await ann.input.press("ArrowUp");
    assert.equal(await ann.page.getByText("Editing:").isVisible(), false);
  });
});
