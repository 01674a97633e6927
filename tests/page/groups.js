// Groups: creating one, its members, what has changed it, and leaving.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { axe } from "./access.js";
import { chat, fresh, oldServer, person, tab, wire } from "./fixture.js";
import { PHONE, until } from "./people.js";
import { picture } from "./pictures.js";

/** Fills in the dialog for a new group. */
async function fillNewGroup(one, title, users) {
  await one.page.getByRole("button", { name: "New group" }).click();
  const dialog = one.page.getByRole("dialog", { name: "New group" });
  await dialog.getByLabel("Name").fill(title);
  await dialog.getByLabel("Members", { exact: true }).fill(users.join("\n"));
  return dialog;
}

/** Creates a group, which is open then. */
async function createGroup(one, title, users) {
  const dialog = await fillNewGroup(one, title, users);
  await dialog.getByRole("button", { name: "Create group" }).click();
  await one.page.getByRole("heading", { name: title }).waitFor();
  await dialog.waitFor({ state: "hidden" });
}

/** Opens a group that is in the list. */
async function enter(one, title) {
  await one.row(title).click();
  await one.page.getByRole("heading", { name: title }).waitFor();
}

/** Returns people in a new group that the first of them has created. Each has it open. */
async function group(names, title, options) {
  const all = [];
  for (const name of names) all.push(await person(fresh(name), options));
  const [first, ...others] = all;
  await createGroup(first, title, others.map(({ user }) => user));
  for (const other of others) await enter(other, title);
  return all;
}

/** Opens the dialog with the members. */
async function members(one, title) {
  await one.page.getByRole("button", { name: /members?$/i }).click();
  const dialog = one.page.getByRole("dialog", { name: title });
  await dialog.waitFor();
  return dialog;
}

const event = (one, text) => one.log.locator(".event").filter({ hasText: text });
const sees = (one, text) => event(one, text).waitFor();
const left = (one) => one.page.getByText("You are not in this group any more.").first();
const focused = (one) => one.page.evaluate(() => document.activeElement.ariaLabel || document.activeElement.id || document.activeElement.textContent);
const rowsOf = (dialog) => dialog.getByRole("listitem").evaluateAll((items) => items.map((item) => `${item.querySelector("bdi").textContent} ${item.querySelector("small").textContent}`.trim()));

describe("groups", () => {
  it("three people talk in a group: names above others' messages, events between, and it is in all lists", async () => {
    const [ann, ben, carl] = await group(["ann", "ben", "carl"], "Study group");
    for (const one of [ben, carl]) await sees(one, `${ann.user} created the group “Study group”`);
    await sees(ann, "You created the group “Study group”");
    await ann.page.getByRole("button", { name: "3 members" }).waitFor();
    await ben.send("One");
    await ben.send("Two");
    await carl.sees("Two");
    await carl.send("Three");
    for (const one of [ann, ben, carl]) await one.sees("Three");
    const senders = (one) => one.log.locator(".sender").allTextContents();
    assert.deepEqual(await senders(ann), [ben.user, carl.user], "a name stands above a run, not above each message");
    assert.deepEqual(await senders(ben), [carl.user]);
    await ann.page.getByRole("article", { name: new RegExp(`^${ben.user}: One, \\d\\d:\\d\\d$`) }).waitFor();
    await ann.row("Study group").getByText(`${carl.user}: Three`).waitFor();
    await carl.row("Study group").getByText("You: Three").waitFor();
    await picture(ann.page, "group");
    const other = await tab(carl);
    await enter(other, "Study group");
    await other.sees("Three");
    await ben.page.reload();
    await ben.page.getByRole("heading", { name: "Study group" }).waitFor();
    await ben.sees("Three");
    await ben.page.getByRole("button", { name: "3 members" }).waitFor();
  });

  it("unread messages of a group are counted, and somebody who is added sees what is written from then on", async () => {
    const [ann, ben] = await group(["ann", "ben"], "Counted");
    await ann.send("Before");
    await ben.sees("Before");
    const carl = await person(fresh("carl"));
    const dialog = await members(ann, "Counted");
    await dialog.getByLabel("User id of a new member").fill(carl.user);
    await dialog.getByRole("button", { name: "Add" }).click();
    await until("carl is in the list of members", async () => (await rowsOf(dialog)).includes(carl.user));
    assert.equal(await dialog.getByLabel("User id of a new member").inputValue(), "");
    await ann.page.keyboard.press("Escape");
    for (const text of ["After 1", "After 2"]) await ann.send(text);
    await carl.row("Counted").getByText("2 unread").waitFor();
    assert.equal(await carl.page.title(), "(2) MeetMe");
    await enter(carl, "Counted");
    await sees(carl, `${ann.user} added you`);
    await carl.sees("After 2");
    assert.equal(await carl.message("Before").count(), 0);
    await carl.row("Counted").getByText("unread").waitFor({ state: "detached" });
    await sees(ben, `${ann.user} added ${carl.user}`);
  });

  it("who is removed while writing reads why nothing can be sent, keeps the history, and goes on when added again", async () => {
    const [ann, ben] = await group(["ann", "ben", "carl"], "Removal");
    await ben.send("Stored");
    await ann.sees("Stored");
    const control = wire();
    const tabOfBen = await person(ben.user, { prepare: control.prepare });
    await enter(tabOfBen, "Removal");
    await tabOfBen.sees("Stored");
    await ben.input.fill("I am just writ");
    const dialog = await members(ann, "Removal");
    await dialog.getByRole("button", { name: `Remove ${ben.user}` }).click();
    await ann.page.getByRole("dialog", { name: `Remove ${ben.user}?` }).getByRole("button", { name: "Remove", exact: true }).click();
    for (const one of [ben, tabOfBen]) {
      await left(one).waitFor();
      assert.equal(await one.input.isVisible(), false);
      await sees(one, `${ann.user} removed you`);
      await one.sees("Stored");
      assert.equal(await one.page.getByRole("button", { name: /members?$/ }).isVisible(), false);
    }
    await until("it is said", async () => (await ben.announcements()).includes(`${ann.user} removed you`));
    await picture(ben.page, "removed");
    await dialog.getByLabel("User id of a new member").fill(ben.user);
    await dialog.getByRole("button", { name: "Add" }).click();
    await ben.input.waitFor();
    assert.equal(await ben.input.inputValue(), "I am just writ", "the draft is kept");
    await ben.send("I am back");
    await ann.sees("I am back");
    await left(ben).waitFor({ state: "hidden" });
  });

  it("a message that is refused because of a removal is shown with the reason, and can be sent after an invitation", async () => {
    const control = wire();
    const ann = await person(fresh("ann"));
    const ben = await person(fresh("ben"), { prepare: control.prepare });
    await createGroup(ann, "Refused", [ben.user]);
    await enter(ben, "Refused");
    // His frames wait until he is removed.
    control.respond = ({ action }) => (action === "sendMessage" ? null : undefined);
    await ben.send("Too late");
    const dialog = await members(ann, "Refused");
    await dialog.getByRole("button", { name: `Remove ${ben.user}` }).click();
    await ann.page.getByRole("dialog", { name: /^Remove/ }).getByRole("button", { name: "Remove", exact: true }).click();
    await left(ben).waitFor();
    control.respond = () => undefined;
    await chat.cut();
    await ben.message("Too late").getByText("Not sent. You are not in this group any more.").waitFor();
    await dialog.getByLabel("User id of a new member").fill(ben.user);
    await dialog.getByRole("button", { name: "Add" }).click();
    await ben.input.waitFor();
    await ben.message("Too late").getByRole("button", { name: "Try again" }).click();
    await ann.sees("Too late");
  });

  it("an owner renames, makes another one an owner, and leaves after a question; the members' dialog follows", async () => {
    const [ann, ben, carl] = await group(["ann", "ben", "carl"], "Old name");
    const dialog = await members(ann, "Old name");
    assert.deepEqual(await rowsOf(dialog), [`${ann.user} you, owner`, ben.user, carl.user]);
    await dialog.getByLabel("Name of the group").fill("New name");
    await dialog.getByRole("button", { name: "Rename" }).click();
    for (const one of [ann, ben, carl]) {
      await one.page.getByRole("heading", { name: "New name", includeHidden: true }).first().waitFor({ state: "attached" });
      await one.row("New name").waitFor({ state: "attached" });
    }
    await sees(ben, `${ann.user} named the group “New name”`);
    const renamed = ann.page.getByRole("dialog", { name: "New name" });
    await renamed.getByRole("button", { name: `Make owner: ${ben.user}` }).click();
    await renamed.getByRole("button", { name: `No longer owner: ${ben.user}` }).waitFor();
    await sees(ben, `${ann.user} made you an owner`);
    const ofCarl = await members(carl, "New name");
    assert.deepEqual(await rowsOf(ofCarl), [`${ann.user} owner`, `${ben.user} owner`, `${carl.user} you`]);
    for (const name of ["Rename", "Add", /^Remove/, /^Make/]) assert.equal(await ofCarl.getByRole("button", { name }).count(), 0, `${name}`);
    await carl.page.keyboard.press("Escape");
    await renamed.getByRole("button", { name: "Leave group" }).click();
    const question = ann.page.getByRole("dialog", { name: "Leave this group?" });
    await question.getByRole("button", { name: "Cancel" }).click();
    await until("the focus is back", async () => (await focused(ann)) === "leave");
    await renamed.getByRole("button", { name: "Leave group" }).click();
    await question.getByRole("button", { name: "Leave" }).click();
    await left(ann).waitFor();
    await renamed.waitFor({ state: "hidden" });
    await sees(carl, `${ann.user} left`);
    await sees(ann, "You left");
    await carl.page.getByRole("button", { name: "2 members" }).waitFor();
    await ann.page.reload();
    await left(ann).waitFor();
  });

  it("when the last owner leaves, the next one is told", async () => {
    const [ann, ben] = await group(["ann", "ben"], "Heir");
    const dialog = await members(ann, "Heir");
    await dialog.getByRole("button", { name: "Leave group" }).click();
    await ann.page.getByRole("dialog", { name: "Leave this group?" }).getByRole("button", { name: "Leave" }).click();
    await sees(ben, `${ann.user} left. You are an owner now`);
    await (await members(ben, "Heir")).getByRole("button", { name: "Add" }).waitFor();
  });

  it("owners delete messages of others, members only their own", async () => {
    const [ann, ben, carl] = await group(["ann", "ben", "carl"], "Deleting");
    await ben.send("Not nice");
    for (const one of [ann, carl]) await one.sees("Not nice");
    assert.equal(await carl.message("Not nice").getByRole("button").count(), 0);
    await ann.message("Not nice").hover();
    await ann.message("Not nice").getByRole("button", { name: "Actions" }).click();
    assert.deepEqual(await ann.page.getByRole("menuitem").allTextContents(), ["Delete"]);
    await ann.page.getByRole("menuitem", { name: "Delete" }).click();
    await ann.page.getByRole("dialog", { name: "Delete this message?" }).getByRole("button", { name: "Delete" }).click();
    for (const one of [ann, ben, carl]) await one.message("Message deleted").waitFor();
  });

  it("those who type are named", async () => {
    const [ann, ben, carl] = await group(["ann", "ben", "carl"], "Typing");
    const typing = (text) => ann.page.locator("#typing", { hasText: text }).waitFor();
    await ben.input.pressSequentially("Hel");
    await typing(`${ben.user} is typing…`);
    await carl.input.pressSequentially("Hel");
    await typing(`${ben.user} and ${carl.user} are typing…`);
    await ben.send("Hello");
    await typing(new RegExp(`^${carl.user} is typing…$`));
  });

  it("what fails says what to do", async () => {
    const control = wire();
    const ann = await person(fresh("ann"), { prepare: control.prepare });
    const ben = await person(fresh("ben"));
    const dialog = await fillNewGroup(ann, "Mistakes", [ben.user, "x".repeat(300)]);
    await dialog.getByRole("button", { name: "Create group" }).click();
    await dialog.getByText("xxxxxxxxxxxxxxxxxxxx: This user id is too long").waitFor();
    await dialog.getByLabel("Members", { exact: true }).fill(ben.user);
    const refuse = (code, message) => {
      control.respond = ({ action, client_message_id }) => action !== "ping" && client_message_id && { type: "error", code, message, client_message_id, retryable: false };
    };
    refuse("group_full", "A group has at most 100 members.");
    await dialog.getByRole("button", { name: "Create group" }).click();
    await dialog.getByText("Not done. A group has at most 100 members. Remove somebody first, or begin another group.").waitFor();
    control.respond = () => undefined;
    await dialog.getByRole("button", { name: "Create group" }).click();
    await ann.page.getByRole("heading", { name: "Mistakes" }).waitFor();
    const panel = await members(ann, "Mistakes");
    await panel.getByLabel("User id of a new member").fill(ben.user);
    await panel.getByRole("button", { name: "Add" }).click();
    await panel.getByText("Not done. They are in the group already.").waitFor();
    refuse("forbidden", "Only owners of the group can do this.");
    await panel.getByRole("button", { name: `Make owner: ${ben.user}` }).click();
    await panel.getByText("Not done. Only owners of the group can do this. Ask an owner of the group.").waitFor();
    assert.equal(await panel.getByText("already").count(), 0);
  });

  it("a group whose creation is not confirmed yet is created after a reload, once", async () => {
    const control = wire();
    const ann = await person(fresh("ann"), { prepare: control.prepare });
    control.respond = ({ action }) => (action === "createGroup" ? null : undefined);
    const dialog = await fillNewGroup(ann, "Later", [fresh("ben")]);
    await dialog.getByRole("button", { name: "Create group" }).click();
    await dialog.getByRole("button", { name: "Creating…" }).waitFor();
    await until("it is stored", () => ann.page.evaluate(async () => {
      const [{ name }] = await indexedDB.databases();
      return new Promise((resolve) => {
        const open = indexedDB.open(name);
        open.onsuccess = () => {
          const all = open.result.transaction("outbox").objectStore("outbox").count();
          all.onsuccess = () => (open.result.close(), resolve(all.result > 0));
        };
      });
    }));
    control.respond = () => undefined;
    await ann.page.reload();
    await ann.row("Later").waitFor();
    await until("there is one", async () => (await ann.row("Later").count()) === 1);
  });

  it("an older server has no groups, and the page says so", async () => {
    const ann = await person(fresh("ann"), { prepare: oldServer });
    const dialog = await fillNewGroup(ann, "Too new", [fresh("ben")]);
    await dialog.getByRole("button", { name: "Create group" }).click();
    await dialog.getByText("Not done. This server cannot do that. Ask who runs this chat for a newer server.").waitFor();
  });

  it("a message that is too old for a change is not offered it again", async () => {
    const control = wire();
    const ann = await person(fresh("ann"), { prepare: control.prepare });
    await ann.open(fresh("ben"));
    await ann.send("Old");
    await ann.showsState("Old", "Sent");
    control.respond = ({ action, client_message_id }) =>
      action === "editMessage" && { type: "error", code: "too_late", message: "A message can be edited for a day.", client_message_id, retryable: false };
    await ann.input.press("ArrowUp");
    await ann.send("New");
    await ann.message("Old").getByText("Not edited. A message can be edited for a day.").waitFor();
    assert.equal(await ann.message("Old").getByRole("button", { name: "Try again" }).count(), 0);
    await ann.message("Old").getByRole("button", { name: "Discard" }).click();
    await ann.message("Old").getByText("Not edited.").waitFor({ state: "detached" });
    await ann.message("Old").hover();
    await ann.message("Old").getByRole("button", { name: "Actions" }).click();
    assert.deepEqual(await ann.page.getByRole("menuitem").allTextContents(), ["Delete"]);
    await ann.page.keyboard.press("Escape");
    await ann.input.press("ArrowUp");
    assert.equal(await ann.page.getByText("Editing:").isVisible(), false);
  });

  it("a group is made, changed and left by the keyboard alone", async () => {
    const [ann, ben] = [await person(fresh("ann")), await person(fresh("ben"))];
    const { keyboard } = ann.page;
    await ann.page.getByRole("button", { name: "New group" }).focus();
    await keyboard.press("Enter");
    await until("the name has the focus", async () => (await focused(ann)) === "group-name");
    await keyboard.type("Keys");
    await keyboard.press("Tab");
    await keyboard.type(ben.user);
    for (let i = 0; i < 10 && (await focused(ann)) !== "create-group"; i++) await keyboard.press("Tab");
    await keyboard.press("Enter");
    await ann.page.getByRole("heading", { name: "Keys" }).waitFor();
    await ann.page.getByRole("button", { name: "2 members" }).focus();
    await keyboard.press("Enter");
    await ann.page.getByRole("dialog", { name: "Keys" }).waitFor();
    for (let i = 0; i < 10 && (await focused(ann)) !== `Make owner: ${ben.user}`; i++) await keyboard.press("Tab");
    await keyboard.press("Enter");
    await until("the button keeps the focus", async () => (await focused(ann)) === `No longer owner: ${ben.user}`);
    await keyboard.press("Escape");
    await until("the focus is back", async () => /2 members|open-members/.test(await focused(ann)));
    await ben.row("Keys").getByText(`${ann.user} made you an owner`).waitFor();
  });

  for (const [name, options] of Object.entries({ light: {}, dark: { colorScheme: "dark" }, phone: PHONE })) {
    it(`axe finds nothing wrong with groups (${name})`, async () => {
      const [ann, ben] = [await person(fresh("ann"), options), await person(fresh("ben"))];
      const fits = async (dialog) => {
        const { x, y, width, height } = await dialog.boundingBox();
        const size = ann.page.viewportSize();
        assert.ok(x >= 0 && y >= 0 && x + width <= size.width && y + height <= size.height, "the dialog fits the window");
      };
      const dialog = await fillNewGroup(ann, "A group with a name that is rather long for a phone", [ben.user]);
      await axe(ann, "new group");
      await fits(dialog);
      await picture(ann.page, `new-group-${name}`);
      await dialog.getByRole("button", { name: "Create group" }).click();
      await enter(ben, "A group with a name");
      await ben.send("Hello");
      await ann.sees("Hello");
      await axe(ann, "group");
      await picture(ann.page, `group-${name}`);
      assert.equal(await ann.page.evaluate(() => document.documentElement.scrollWidth), ann.page.viewportSize().width, "nothing is wider than the window");
      const panel = await members(ann, "A group with a name");
      await until("ben is listed", async () => (await rowsOf(panel)).length === 2);
      await axe(ann, "members");
      await fits(panel);
      await picture(ann.page, `members-${name}`);
      await panel.getByRole("button", { name: "Leave group" }).click();
      await axe(ann, "question");
      await ann.page.getByRole("dialog", { name: "Leave this group?" }).getByRole("button", { name: "Leave" }).click();
      await left(ann).waitFor();
      await axe(ann, "left");
      await picture(ann.page, `left-${name}`);
    });
  }
});
