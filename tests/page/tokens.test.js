// Signing in to a chat with tokens.

import assert from "node:assert/strict";
import { after, afterEach, before, it } from "node:test";

import { startChat } from "../client/stack.js";
import { launch } from "./browser.js";
import { Issuer } from "./issuer.js";
import { Person, until } from "./people.js";
import { picture } from "./pictures.js";

let browser, chat, issuer;
let people = [];
let users = 0;

before(async () => {
  issuer = await Issuer.start();
  [browser, chat] = await Promise.all([launch(), startChat({ flags: issuer.flags })]);
});
after(() => Promise.allSettled([browser?.close(), chat?.stop(), issuer?.stop()]));
afterEach(async () => {
  const leaving = people;
  people = [];
  for (const person of leaving) await person.check();
  await Promise.all(leaving.map(({ context }) => context.close()));
});

const fresh = (name) => `${name}.${++users}@example.com`;
const linkOf = (token) => `${chat.http}#token=${encodeURIComponent(token)}`;

async function visit(url, options) {
  const one = await Person.at(browser, url, options);
  people.push(one);
  return one;
}

/** Pastes a token where the page asks for one. */
async function paste(one, token) {
  await one.page.getByLabel("Your token").fill(token);
  await one.page.getByRole("button", { name: "Sign in" }).click();
}

it("a link signs in, and its token is neither in the address nor in the history of the tab", async () => {
  const [ann, ben] = [fresh("ann"), fresh("ben")];
  const one = await visit(linkOf(issuer.token(ann)));
  const two = await visit(linkOf(issuer.token(ben)));
  [one.user, two.user] = [ann, ben];
  await one.page.getByText(ann).waitFor();
  assert.doesNotMatch(one.page.url(), /token/);
  const stored = await one.page.evaluate(() => [sessionStorage.length, localStorage.length]);
  assert.deepEqual(stored, [1, 0], "the token is kept for this tab only");
  await one.open(ben);
  await two.open(ann);
  await one.send("Hello");
  await two.sees("Hello");
  await one.showsState("Hello", "Delivered");
  await one.page.reload();
  await one.sees("Hello");
  await one.page.goBack();
  assert.doesNotMatch(one.page.url(), /token/);
});

it("a pasted token signs in, and an invalid one gets an error message", async () => {
  const ann = fresh("ann");
  const one = await visit(chat.http);
  await paste(one, "not a token");
  await one.page.getByText("This is no token.").waitFor();
  await paste(one, `x.${Buffer.from("{}").toString("base64url")}.x`);
  await one.page.getByText("This token names no user.").waitFor();
  await paste(one, ` ${issuer.token(ann)}\n`);
  await one.open(fresh("ben"));
  await one.send("Hello");
  await one.showsState("Hello", "Sent");
  const other = await visit(`${chat.http}#token=broken`);
  await other.page.getByText("This is no token.").waitFor();
  assert.doesNotMatch(other.page.url(), /token/);
});

it("an expired token is asked for again, and no typed text is lost", async () => {
  const [ann, ben] = [fresh("ann"), fresh("ben")];
  const one = await visit(linkOf(issuer.token(ann, { seconds: 5 })));
  one.user = ann;
  await one.page.getByText(ann).waitFor();
  await one.open(ben);
  await one.send("Before");
  await one.showsState("Before", "Sent");
  await one.input.fill("Half a thou");
  await one.page.getByText("Your sign-in has ended.").waitFor({ timeout: 15_000 });
  assert.equal(await one.input.inputValue(), "Half a thou");
  await one.send("While signed out");
  await one.input.fill("Half a thou");
  await picture(one.page, "sign-in-again");
  await paste(one, "nonsense");
  await one.page.getByText("This is no token.").waitFor();
  await paste(one, issuer.token(ann));
  await one.showsState("While signed out", "Sent");
  await one.page.getByLabel("Your token").waitFor({ state: "hidden" });
  assert.equal(await one.input.inputValue(), "Half a thou");
});

it("a token that the server rejects is asked for again, and messages stay queued", async () => {
  const [ann, ben] = [fresh("ann"), fresh("ben")];
  const one = await visit(linkOf(issuer.token(ann, { seconds: 3_600, age: 7_200 })));
  one.user = ann;
  await one.page.getByText(ann).waitFor();
  await one.page.evaluate((hash) => (location.hash = hash), `#chat=${encodeURIComponent(ben)}`);
  await one.send("Written in vain?");
  await one.input.fill("Half a thou");
  await one.page.getByText("The server does not accept your sign-in.").waitFor({ timeout: 20_000 });
  await paste(one, issuer.token(ann));
  await one.showsState("Written in vain?", "Sent");
  assert.equal(await one.input.inputValue(), "Half a thou");
});

it("the token of another user shows nothing of the first", async () => {
  const [ann, ben, eve] = [fresh("ann"), fresh("ben"), fresh("eve")];
  const one = await visit(linkOf(issuer.token(ann)));
  await one.open(ben);
  await one.send("Secret");
  await one.showsState("Secret", "Sent");
  await one.page.evaluate((hash) => (location.hash = hash), `#token=${issuer.token(eve)}`);
  await one.page.getByText(eve).waitFor();
  await until("nothing of ann is shown", async () => !(await one.page.locator("body").innerText()).includes("Secret"));
  assert.doesNotMatch(one.page.url(), /token/);
});
