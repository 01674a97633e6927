// Muted conversations, blocked users, and the file with all messages.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";

import { chat, fakeNotifications, fresh, notificationsOf, oldServer, pair, person } from "./fixture.js";
import { numbered, seed, until } from "./people.js";

/** Chooses an action in the menu of the open conversation. */
async function choose(one, action) {
  await one.page.getByLabel("This conversation").click();
  await one.page.getByRole("button", { name: action, exact: true }).click();
}

const dialogOf = (one, name) => one.page.getByRole("dialog", { name });

/** Starts the download, and returns the lines of the file. */
async function download(one) {
  const saved = one.page.waitForEvent("download");
  await one.page.getByLabel("Menu").click();
  await one.page.getByRole("button", { name: "Download my messages" }).click();
  const file = await saved;
  assert.equal(file.suggestedFilename(), "messages.ndjson");
  const text = await readFile(await file.path(), "utf8");
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

describe("mute and block", () => {
  it("a muted conversation shows a sign on all devices, is unread, and makes no notification", async () => {
    const { ann, ben } = await pair({ prepare: (page) => page.addInitScript(fakeNotifications) });
    await ben.send("Before");
    await ann.sees("Before");
    const second = await person(ann.user);
    await choose(ann, "Mute");
    await ann.row(ben.user).getByText("muted").waitFor({ state: "attached" });
    await second.row(ben.user).getByText("muted").waitFor({ state: "attached" });
    await ann.page.getByLabel("Menu").click();
    await ann.page.getByRole("button", { name: "Turn on notifications" }).click();
    await ann.visible(false);
    await ben.send("Shh");
    await ann.row(ben.user).getByText("unread").waitFor({ state: "attached" });
    assert.deepEqual(await notificationsOf(ann.page), []);
    await ann.visible(true);
    await choose(ann, "Unmute");
    await second.row(ben.user).getByText("muted").waitFor({ state: "detached" });
    await ann.visible(false);
    await ben.send("Hello!");
    await until("a notification is shown", async () => (await notificationsOf(ann.page)).some(({ body }) => body === "Hello!"));
  });

  it("blocking asks first, says what it does, and then nothing of the blocked user is shown, also after it", async () => {
    const { ann, ben } = await pair();
    await ben.send("Before");
    await ann.sees("Before");
    await choose(ann, "Block");
    const question = dialogOf(ann, `Block ${ben.user}?`);
    await question.getByText("They are not told").waitFor();
    await question.getByRole("button", { name: "Cancel" }).click();
    await choose(ann, "Block");
    await question.getByRole("button", { name: "Block" }).click();
    await ann.page.getByText("You have blocked this user.").waitFor();
    assert.equal(await ann.input.isVisible(), false);
    await ann.row(ben.user).getByText("blocked").waitFor({ state: "attached" });
    await ben.send("Withheld");
    await ben.showsState("Withheld", "Sent");
    const second = await person(ann.user);
    await second.open(ben.user);
    await second.sees("Before");
    await second.page.getByText("You have blocked this user.").waitFor();

    await choose(second, "Unblock");
    await ann.input.waitFor();
    await ben.send("After");
    for (const one of [ann, second]) {
      await one.sees("After");
      assert.equal(await one.message("Withheld").count(), 0);
      assert.equal(await one.message("Before").count(), 1);
    }
    await ann.send("Hello again");
    await ben.sees("Hello again");
  });

  it("a long name leaves room for its sign", async () => {
    const [ann, long] = [await person(fresh("ann")), fresh("x".repeat(60))];
    await ann.open(long);
    await ann.send("Hi");
    await choose(ann, "Mute");
    const [sign, time] = [ann.row(long).getByTitle("muted"), ann.row(long).locator("time")];
    await sign.waitFor();
    const [of, before] = [await sign.boundingBox(), await time.boundingBox()];
    assert.ok(of.width > 0 && of.x + of.width <= before.x, JSON.stringify([of, before]));
  });

  it("with an older server there is no such menu", async () => {
    const ann = await person(fresh("ann"), { prepare: oldServer });
    await ann.open(fresh("ben"));
    await ann.send("Hi");
    await ann.showsState("Hi", "Sent");
    assert.equal(await ann.page.getByLabel("This conversation").isVisible(), false);
  });
});

describe("the download", () => {
  it("has every message of every conversation, and none that is withheld", async () => {
    const [user, ben, cleo] = [fresh("ann"), fresh("ben"), fresh("cleo")];
    await seed(chat, ben, user, numbered("Ben", 3));
    await seed(chat, user, cleo, numbered("Ann", 2));
    const ann = await person(user);
    await ann.open(ben);
    await choose(ann, "Block");
    await dialogOf(ann, `Block ${ben}?`).getByRole("button", { name: "Block" }).click();
    await ann.page.getByText("You have blocked this user.").waitFor();
    await seed(chat, ben, user, ["Withheld"]);
    const lines = await download(ann);
    const expected = [...numbered("Ben", 3).map((text) => [ben, ben, text]), ...numbered("Ann", 2).map((text) => [cleo, user, text])];
    assert.deepEqual(lines.map((line) => [line.with, line.sender_id, line.message]).sort(), expected.sort());
    assert.ok(lines.every(({ timestamp, seq, conversation_id: id }) => !Number.isNaN(Date.parse(timestamp)) && seq > 0 && id.startsWith("direct:")));
    await dialogOf(ann, "Download my messages").waitFor({ state: "hidden" });
  });

  it("shows its progress, can be cancelled, and goes on after a failure", async () => {
    const [user, ben] = [fresh("ann"), fresh("ben")];
    await seed(chat, ben, user, numbered("Line", 3));
    const ann = await person(user);
    await ann.row(ben).waitFor();
    const dialog = dialogOf(ann, "Download my messages");
    const begin = async () => {
      await ann.page.getByLabel("Menu").click();
      await ann.page.getByRole("button", { name: "Download my messages" }).click();
    };
    let release;
    const held = new Promise((resolve) => (release = resolve));
    await ann.page.route(/\/chat\/history/, async (route) => (await held, route.continue()), { times: 1 });
    await begin();
    await dialog.getByText("Reading… 0 messages").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "hidden" });
    release();

    await ann.page.route(/\/chat\/history/, (route) => route.fulfill({ status: 400, json: {} }), { times: 2 });
    await begin();
    await dialog.getByText("0 messages so far. The others cannot be read now.").waitFor();
    const saved = ann.page.waitForEvent("download");
    await dialog.getByRole("button", { name: "Go on" }).click();
    const text = await readFile(await (await saved).path(), "utf8");
    assert.equal(text.split("\n").length, 4, "three lines");
  });
});
