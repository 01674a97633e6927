// The client on real sockets, against a server that fails on command: tokens.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { SignedOut } from "../src/index.js";
import { TIMING as USUAL } from "../src/timing.js";
import { scenario, texts } from "./clients.js";
import { times, token, until } from "./server.js";

/** A token callback that counts, and takes a while. */
function issuer(user, { ms = 0, ...claims } = {}) {
  const issue = async ({ signal }) => {
    issue.signals.push(signal);
    issue.calls++;
    issue.most = Math.max(issue.most, ++issue.open);
    await after(ms);
    issue.open--;
    return token(user, claims);
  };
  return Object.assign(issue, { calls: 0, open: 0, most: 0, signals: [] });
}

scenario("19: one call of the token callback is in flight, whatever asks for it", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann", { ms: 80 });
  const ann = await world.online("ann", { token: issue });
  for (const peer of ["ben", "cat", "dan"]) ann.with(peer);
  await until(() => server.requests.length >= 3, "the conversations are loaded");
  for (const { token: old } of [...server.past]) server.revoked.add(old);
  server.cut("ann");
  for (const peer of ["eve", "fay"]) ann.with(peer);
  ann.tab.show();
  await ann.until("online");
  await ann.with("ben").talk.send("hi").done;
  assert.equal(issue.most, 1);
});

scenario("19: the token is refreshed before it expires, by its lifetime and not by this machine's clock", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann", { lifetime: 1, issued: 1_000_000_000 });
  const ann = await world.online("ann", { token: issue, timing: { tokenMargin: 200 } });
  const start = server.past[0].opened;
  assert.equal(USUAL.tokenMargin, 60_000);
  await until(() => server.past.length >= 2, "there is a connection with a new token", 1_500);
  const wait = server.past[1].opened - start;
  assert.ok(wait > 700 && wait < 1_000, `after ${wait} ms`);
  assert.notEqual(server.past[1].token, server.past[0].token);
  await ann.with("ben").talk.send("hi").done;
  assert.deepEqual(ann.states.map(({ state }) => state).filter((state) => state !== "idle"), ["connecting", "online"]);
  assert.ok(issue.calls <= 4, `${issue.calls} calls`);
});

scenario("19: a token that cannot be read is used until it is refused", { guarded: true }, async (world) => {
  const { server } = world;
  const good = token("ann");
  server.onHandshake = () => undefined;
  const ann = await world.online("ann", { token: async () => good.replace(/\.signed$/, ".") });
  await ann.with("ben").talk.send("hi").done;
  assert.equal(server.handshakes.length, 1);
});

scenario("19: SignedOut ends the client at once", { guarded: true }, async (world) => {
  const { server } = world;
  let out = false;
  const issue = issuer("ann");
  const callback = async (call) => {
    if (out) throw new SignedOut();
    return issue(call);
  };
  const ann = await world.online("ann", { token: callback });
  const view = ann.with("ben");
  await view.talk.send("hi").done;
  out = true;
  server.onFrame = () => ({ error: { code: "token_expired", retryable: true } });
  const entry = view.talk.send("too late");
  await ann.until("signed-out");
  const before = server.handshakes.length;
  await after(250);
  assert.deepEqual([server.handshakes.length, issue.calls], [before, 1]);
  assert.equal(view.entry("too late").key, entry.key, "nothing that was typed is lost");
});

scenario("19: a token that is refused is asked for anew, and the second refusal ends the client", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  server.onHandshake = () => ({ status: 401 });
  server.onHistory = () => ({ status: 401 });
  const ann = world.client("ann", { token: issue });
  ann.chat.connect();
  await ann.until("signed-out");
  assert.ok(issue.calls === 2, `${issue.calls} calls`);
  assert.equal(ann.chat.state.error.code, "unauthorized");
  const before = server.handshakes.length;
  await after(250);
  assert.equal(server.handshakes.length, before);
  assert.ok(before >= 2, "two handshakes in a row were refused before the history was asked");
});

scenario("19: a refused token, and a good new one: the client goes on", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  const stale = token("ann");
  server.revoked.add(stale);
  const ann = world.client("ann", { token: async (call) => (issue.calls++ ? issue(call) : stale) });
  ann.chat.connect();
  await ann.until("online");
  await ann.with("ben").talk.send("hi").done;
});

scenario("19: a handshake that is refused while the history lets one in goes on being tried", { guarded: true }, async (world) => {
  const { server } = world;
  server.onHandshake = () => (server.handshakes.length <= 5 ? { status: 500 } : undefined);
  const ann = world.client("ann", { token: issuer("ann") });
  ann.chat.connect();
  await ann.until("online");
  assert.equal(server.handshakes.length, 6);
});

scenario("19: a token callback that is slow does not block an open connection", { guarded: true }, async (world) => {
  const { server } = world;
  let slow = false;
  let slowCalls = 0;
  const issue = issuer("ann", { lifetime: 1 });
  const callback = (call) => (slow ? (slowCalls++, new Promise(() => {})) : issue(call));
  const ann = await world.online("ann", { token: callback, timing: { tokenMargin: 500 } });
  const view = ann.with("ben");
  slow = true;
  await until(() => slowCalls > 0, "the token is to be refreshed", 1_500);
  for (const text of texts("hi", 5)) await view.talk.send(text).done;
  server.post("ben", "ann", "push");
  await view.shows([...texts("hi", 5), "push"]);
  assert.equal(ann.state, "online");
  assert.equal(server.past.length, 1);
});

scenario("19: a token callback that never returns is given up, its signal fires, and it is called again", { guarded: true }, async (world) => {
  const signals = [];
  const callback = ({ signal }) => {
    signals.push(signal);
    return signals.length < 3 ? new Promise(() => {}) : Promise.resolve(token("ann"));
  };
  const ann = world.client("ann", { token: callback, timing: { token: 80 } });
  const entry = ann.with("ben").talk.send("typed");
  ann.chat.connect();
  await ann.until("online");
  await entry.done;
  assert.ok(signals[0].aborted && signals[1].aborted);
});

scenario("19: a token callback that fails is called again, with pauses", { guarded: true }, async (world) => {
  let calls = 0;
  const callback = async () => {
    if (++calls < 4) throw new Error("no network");
    return token("ann");
  };
  const ann = world.client("ann", { token: callback });
  ann.chat.connect();
  await ann.until("online");
  assert.equal(calls, 4);
  assert.ok(ann.states.some(({ state }) => state === "waiting"));
});

scenario("19: token_expired, which the server closes with 1000, leads to a new token and not to replaced", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  server.onFrame = times(1, { error: { code: "token_expired", retryable: true } });
  const ann = await world.online("ann", { token: issue });
  await ann.with("ben").talk.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  assert.equal(issue.calls, 2);
  assert.equal(server.past.length, 2);
  assert.ok(!ann.states.some(({ state }) => state === "replaced"));
});

scenario("19: a history that answers 401 gets a new token once, while the connection stays", { guarded: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  const ann = await world.online("ann", { token: issue });
  server.onHistory = times(1, { status: 401 });
  server.post("ben", "ann", "hi", { push: false });
  await ann.with("ben").shows(["hi"]);
  assert.equal(issue.calls, 2);
  assert.equal(ann.state, "online");
});
